//! A link: a FIFO named after the two processes, made by the first and removed by the last.
//!
//! Each party holds the FIFO open with a shared lock (`flock(2)`). Who leaves asks for the exclusive one, and if that is
//! granted was the last. Who comes and finds that the name no longer stands for what it has locked tries again.
//!
//! A FIFO that nobody holds is empty. So a sender that leaves before the receiver has come puts what it sent into a file
//! beside it (`PAIR.rest`), and whoever comes next puts it back. Both have the exclusive lock for it.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Gid, OFlags, Uid, chownat, fchown, flock, fstat, openat, statat, unlinkat,
};
use rustix::process::getpid;
use twixt_os::fifo::Fifo;
use twixt_os::pipe::Reader;
use twixt_os::{Deadline, Errno, Error, ErrorKind, Mechanism, Mode, Object, Result, Wait};

use super::party::Party;
use super::place::Place;
use super::{OPEN, from, origin, refused};
use crate::origin::Origin;
use crate::process::Identity;

/// Which end of a link a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Send,
    Receive,
}

/// The two processes of a link, by which it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) sender: Identity,
    pub(super) receiver: Identity,
}

/// `1234.567-1240.890`: from the first to the second.
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.sender, self.receiver)
    }
}

impl FromStr for Pair {
    type Err = ();

    fn from_str(text: &str) -> core::result::Result<Self, ()> {
        let (sender, receiver) = text.split_once('-').ok_or(())?;
        Ok(Self { sender: sender.parse()?, receiver: receiver.parse()? })
    }
}

/// One party's hold on a link.
pub(super) struct Link {
    place: Arc<Place>,
    pair: Pair,
    role: Role,
    pub(super) peer: Arc<Party>,
    fifo: Option<Fifo>,
    /// Keeps the FIFO, what is in it, and the lock.
    hold: Option<Reader>,
    /// The process that opened it: a forked child that drops its copy removes nothing.
    maker: i32,
    origin: Origin,
}

impl Link {
    /// Finds or makes the link to or from a process.
    pub(super) fn open(role: Role, process: i32) -> Result<Self> {
        let object = object(role, process);
        let own = Party::own(&|| object.clone())?;
        let peer = match Party::of(process, &|| object.clone()) {
            Err(error) if error.kind() == ErrorKind::NotFound && role == Role::Receive => {
                return Self::left_behind(process, &own)?.ok_or(error);
            }
            peer => peer?,
        };
        let place = Arc::new(Place::of(own.credentials, peer.credentials, &|| object.clone())?);
        sweep(&place);
        let pair = match role {
            Role::Send => Pair { sender: own.identity, receiver: peer.identity },
            Role::Receive => Pair { sender: peer.identity, receiver: own.identity },
        };
        Self::attach(place, pair, role, Arc::new(peer))
    }

    /// What a process that has ended has left for this one.
    fn left_behind(process: i32, own: &Party) -> Result<Option<Self>> {
        let place = Arc::new(Place::open(own.credentials, own.credentials)?);
        let left = |pair: &Pair| pair.sender.pid == process && pair.receiver == own.identity;
        let Some(pair) = pairs(&place).into_iter().find(left) else { return Ok(None) };
        let peer = Arc::new(Party::departed(pair.sender, place.owner));
        Self::attach(place, pair, Role::Receive, peer).map(Some)
    }

    /// Takes a role in the link of a pair, which is made if it is not there.
    pub(super) fn attach(place: Arc<Place>, pair: Pair, role: Role, peer: Arc<Party>) -> Result<Self> {
        let origin = origin(object(role, peer.identity.pid));
        if !roles().insert((pair, role)) {
            let why = match role {
                Role::Send => "this process has a sender to it already, and a link has one",
                Role::Receive => "this process has a receiver or an inbox that hears it already",
            };
            return Err(refused(origin.object, ErrorKind::Busy, why));
        }
        // From here on dropping it gives the role back.
        let maker = getpid().as_raw_nonzero().get();
        let mut link = Self { place, pair, role, peer, fifo: None, hold: None, maker, origin };
        let name = pair.to_string();
        // Others hold the name for moments only, when they remove it or make it another's.
        let moments = Wait::until(Deadline::after(Duration::from_secs(5)));
        let mut failure = None;
        let held = moments.with_backoff(|| match link.try_hold(&name) {
            Ok(Some(held)) => Ok(held),
            Ok(None) => Err(Errno::AGAIN),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                failure = Some(error);
                Err(Errno::AGAIN)
            }
            Err(error) => {
                failure = Some(error);
                Err(Errno::IO)
            }
        });
        match held {
            Ok((fifo, hold)) => {
                link.fifo = Some(fifo);
                link.hold = Some(hold);
                Ok(link)
            }
            Err(errno) => {
                let error = Error::kernel(Mechanism::Direct, OPEN, link.origin.object.clone(), errno);
                Err(failure.unwrap_or(error))
            }
        }
    }

    /// Opens the FIFO of this name and locks it, unless it is just being removed.
    fn try_hold(&self, name: &str) -> Result<Option<(Fifo, Reader)>> {
        let path = self.place.path_of(name);
        let fifo = match Fifo::create(&path, Mode::OWNER) {
            Ok(fifo) => {
                self.give_to_owner(&fifo)?;
                fifo
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match Fifo::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                fifo => fifo?,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let hold = fifo.open_read_now()?;
        let is_first = is_alone(&hold);
        if is_first && names(&self.place, name, &hold) {
            self.put_back(name, &fifo)?;
        }
        if flock(&hold, FlockOperation::NonBlockingLockShared).is_err() {
            return Ok(None);
        }
        Ok(names(&self.place, name, &hold).then_some((fifo, hold)))
    }

    /// Puts what a sender has left behind back into the FIFO.
    fn put_back(&self, name: &str, fifo: &Fifo) -> Result<()> {
        let rest = rest_of(name);
        let fail = |errno| Error::kernel(Mechanism::Direct, OPEN, self.origin.object.clone(), errno);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.place, rest.as_str(), flags, rustix::fs::Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(fail(errno)),
        };
        let mut bytes = Vec::new();
        let most = MOST_REST as u64;
        let read = File::from(file).take(most).read_to_end(&mut bytes);
        read.map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let writer = fifo.open_write_wait(Wait::never())?;
        if writer.capacity()? < bytes.len() {
            writer.set_capacity(bytes.len())?;
        }
        writer.try_write_all(&bytes).map_err(|error| error.error)?;
        unlinkat(&self.place, rest.as_str(), AtFlags::empty()).map_err(fail)
    }

    /// Puts what the receiver has not come for beside the link. As far as that works: dropping has nobody to tell.
    fn put_aside(&self, hold: &Reader) {
        let rest = rest_of(&self.pair.to_string());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) =
            openat(&self.place, rest.as_str(), flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        else {
            return;
        };
        if rustix::process::geteuid().as_raw() != self.place.owner.uid {
            let (uid, gid) = (Uid::from_raw(self.place.owner.uid), Gid::from_raw(self.place.owner.gid));
            let _ = fchown(&file, Some(uid), Some(gid));
        }
        let mut file = File::from(file);
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = hold.try_read(&mut bytes) {
            if file.write_all(&bytes[..read]).is_err() {
                return;
            }
        }
    }

    /// What root makes in a user's directory is the user's.
    fn give_to_owner(&self, fifo: &Fifo) -> Result<()> {
        let owner = self.place.owner;
        if rustix::process::geteuid().as_raw() == owner.uid {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        chownat(fifo, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            .map_err(|errno| Error::kernel(Mechanism::Direct, OPEN, self.origin.object.clone(), errno))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn pair(&self) -> Pair {
        self.pair
    }

    /// The FIFO, to open an end of it.
    pub(super) fn take_fifo(&mut self) -> Result<Fifo> {
        self.fifo.take().ok_or_else(|| refused(self.origin.object.clone(), ErrorKind::Other, "it is in use"))
    }

    /// How many bytes wait in it.
    pub(super) fn queued(&self) -> usize {
        self.hold.as_ref().map_or(0, |hold| hold.queued().unwrap_or(0))
    }

    /// The other process has gone.
    pub(super) fn gone(&self, operation: &'static str) -> Error {
        let why = "the process has ended";
        self.origin.refused(operation, ErrorKind::PeerGone, why)
    }
}

/// The last one removes it.
impl Drop for Link {
    fn drop(&mut self) {
        if getpid().as_raw_nonzero().get() != self.maker {
            return;
        }
        if let Some(hold) = self.hold.take()
            && is_alone(&hold)
            && names(&self.place, &self.pair.to_string(), &hold)
        {
            if self.role == Role::Send && hold.queued().unwrap_or(0) > 0 && !self.peer.has_ended() {
                self.put_aside(&hold);
            }
            let _ = unlinkat(&self.place, self.pair.to_string().as_str(), AtFlags::empty());
        }
        roles().remove(&(self.pair, self.role));
    }
}

/// Whether nobody else holds the link; if so, it is locked against all who come.
fn is_alone(hold: &Reader) -> bool {
    flock(hold, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Whether the name stands for this FIFO.
fn names(place: &Place, name: &str, hold: &Reader) -> bool {
    match (statat(place, name, AtFlags::SYMLINK_NOFOLLOW), fstat(hold)) {
        (Ok(named), Ok(held)) => (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino),
        _ => false,
    }
}

fn object(role: Role, pid: i32) -> Object {
    match role {
        Role::Send => Object::Process(pid),
        Role::Receive => from(pid),
    }
}

/// The roles that this process has: two readers of one stream would tear its messages apart.
fn roles() -> MutexGuard<'static, BTreeSet<(Pair, Role)>> {
    static ROLES: Mutex<BTreeSet<(Pair, Role)>> = Mutex::new(BTreeSet::new());
    ROLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what nobody will ever need: links whose processes have both ended, and what was left for a receiver that has.
pub(super) fn sweep(place: &Place) {
    for (name, pair) in entries(place) {
        // Those that are gone stay so: the names hold when they were started.
        if pair.receiver.is_gone() && (name.ends_with(REST) || pair.sender.is_gone()) {
            let _ = unlinkat(place, name.as_str(), AtFlags::empty());
        }
    }
}

/// All links of a place, and those of which only something is left.
pub(super) fn pairs(place: &Place) -> BTreeSet<Pair> {
    entries(place).into_iter().map(|(_, pair)| pair).collect()
}

fn entries(place: &Place) -> Vec<(String, Pair)> {
    let Ok(entries) = Dir::read_from(place) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    names
        .filter_map(|name| Some((name.strip_suffix(REST).unwrap_or(&name).parse().ok()?, name)))
        .map(|(pair, name)| (name, pair))
        .collect()
}

const REST: &str = ".rest";

/// The most bytes that are put back: what the largest pipe of an ordinary user holds.
const MOST_REST: usize = 1 << 20;

fn rest_of(name: &str) -> String {
    format!("{name}{REST}")
}
