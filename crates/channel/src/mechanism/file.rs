//! Files that are appended to and followed.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, FlockOperation, Mode as FileMode, OFlags, flock, fstat};
use twixt_address::{Endpoint, Framing, OptionName};
use twixt_os::{Errno, Error, ErrorKind, Result, Wait};

use super::create;
use crate::framing::{MAX_MESSAGE, wrap};
use crate::half::{ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Opening, Parties, Persistence, Readiness,
};

mod follow;

pub(super) use follow::Receiver;

pub(super) struct File;

impl Mechanism for File {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(Framing::Lines, false)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let file = open(opening, OFlags::WRONLY | OFlags::APPEND)?;
        let budget = opening.address().options().budget();
        Ok(Box::new(Sender::new(file, budget, opening.framing_or(Framing::Lines), Origin::of(opening))?))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let file = open(opening, OFlags::RDONLY)?;
        let path = path(opening)?.to_owned();
        Ok(Box::new(Receiver::new(file, Some(path), opening, Framing::Lines)?))
    }
}

/// What a file can do with a framing.
fn capabilities(framing: Framing, sees_end: bool) -> Capabilities {
    Capabilities {
        framing: Some(framing),
        max_message: Some(MAX_MESSAGE),
        empty_messages: framing != Framing::Raw,
        sees_end,
        // Any number may read it, and each gets every message.
        receivers: Parties::One,
        persistence: Persistence::File,
        capacities: Capacities::UNBOUNDED,
        ..Capabilities::new(Boundaries::Framed)
    }
}

fn path(opening: &Opening) -> Result<&Path> {
    match opening.endpoint() {
        Endpoint::File(path) => Ok(path.as_path()),
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it names no file")),
    }
}

fn open(opening: &Opening, flags: OFlags) -> Result<OwnedFd> {
    create::only_with_create(opening, &[OptionName::Mode])?;
    let flags = if opening.address().options().create() { flags | OFlags::CREATE } else { flags };
    open_path(path(opening)?, flags, opening.mode(), &Origin::of(opening))
}

/// Opens a regular file and nothing else.
fn open_path(path: &Path, flags: OFlags, mode: twixt_os::Mode, origin: &Origin) -> Result<OwnedFd> {
    // Without O_NONBLOCK a FIFO would make this wait. It means nothing for a regular file.
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
    let fail = |errno| Error::kernel(origin.mechanism, "open", origin.object.clone(), errno);
    let opened =
        Wait::forever().with_timeout(|_| rustix::fs::open(path, flags, FileMode::from_raw_mode(mode.bits())));
    let file = opened.map_err(|errno| match errno {
        Errno::LOOP => fail(errno).with_advice("symbolic links are not followed: give the file itself"),
        // A socket, or a FIFO that nobody reads.
        Errno::NXIO => {
            fail(errno).with_kind(ErrorKind::InvalidInput).with_advice("it must be a regular file")
        }
        _ => create::or_advise(fail(errno)),
    })?;
    match FileType::from_raw_mode(fstat(&file).map_err(fail)?.st_mode) {
        FileType::RegularFile => Ok(file),
        _ => Err(origin.refused("open", ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// Appends each message with one write, which the kernel keeps together: several may append to one file.
pub(super) struct Sender {
    file: OwnedFd,
    budget: Option<u64>,
    framing: Framing,
    origin: Origin,
    /// A file never makes anybody wait, which no poll says: this can always be written to.
    ready: OwnedFd,
}

impl Sender {
    pub(super) fn new(file: OwnedFd, budget: Option<u64>, framing: Framing, origin: Origin) -> Result<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::kernel(origin.mechanism, "open", origin.object.clone(), errno))?;
        Ok(Self { file, budget, framing, origin, ready })
    }

    fn error(&self, errno: Errno) -> Error {
        let error = Error::kernel(self.origin.mechanism, "send to", self.origin.object.clone(), errno);
        match errno {
            Errno::FBIG => error
                .with_kind(ErrorKind::LimitReached)
                .with_advice("the file system, or RLIMIT_FSIZE, allows no larger file"),
            _ => error,
        }
    }

    fn size(&self) -> Result<u64> {
        let stat = fstat(&self.file).map_err(|errno| self.error(errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Keeps others who keep to a budget from appending, as long as the result lives, and sees whether there is room.
    fn reserve(&self, len: usize, budget: u64, wait: Wait) -> Result<Locked<'_>> {
        let locked =
            wait.with_backoff(|| match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => Err(Errno::AGAIN),
                outcome => outcome,
            });
        locked.map_err(|errno| {
            self.error(errno)
                .with_advice("another process has locked the file, as those do who keep to a budget")
        })?;
        let locked = Locked(&self.file);
        let size = self.size()?;
        if size.saturating_add(len as u64) > budget {
            let why = format!("the file has {size} bytes and the message {len}, and the budget is {budget}");
            let (mechanism, object) = (self.origin.mechanism, self.origin.object.clone());
            return Err(Error::refused(mechanism, "send to", object, ErrorKind::LimitReached, why)
                .with_advice("raise ?budget, or begin a new file"));
        }
        Ok(locked)
    }

    /// A write that the kernel could not do whole, of which `written` bytes are in the file now: does the rest, or takes
    /// it back.
    fn rest(&self, mut slices: &mut [IoSlice<'_>], written: usize) -> Result<()> {
        let mut inside = written as u64;
        IoSlice::advance_slices(&mut slices, written);
        while !slices.is_empty() {
            match rustix::io::writev(&self.file, slices) {
                Err(Errno::INTR) => {}
                Ok(written) if written > 0 => {
                    inside += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
                outcome => {
                    let errno = outcome.err().unwrap_or(Errno::NOSPC);
                    return Err(self.take_back(inside, self.error(errno)));
                }
            }
        }
        Ok(())
    }

    /// Cuts off what is in the file of a message, if nobody has appended after it.
    fn take_back(&self, inside: u64, error: Error) -> Error {
        let end = rustix::fs::tell(&self.file);
        match (end, self.size()) {
            (Ok(end), Ok(size))
                if end == size && rustix::fs::ftruncate(&self.file, size.saturating_sub(inside)).is_ok() =>
            {
                error
            }
            _ => error.with_advice(
                "the beginning of the message is in the file, and others have appended after it",
            ),
        }
    }
}

struct Locked<'a>(&'a OwnedFd);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let wrapping = wrap(self.framing, bytes, 0).map_err(|fault| {
            let (mechanism, object) = (self.origin.mechanism, self.origin.object.clone());
            Error::refused(mechanism, "send to", object, fault.kind(), fault.to_string())
        })?;
        let (before, after) = (wrapping.before(), wrapping.after());
        let whole = before.len() + bytes.len() + after.len();
        let _locked = match self.budget {
            Some(budget) => Some(self.reserve(whole, budget, wait)?),
            None => None,
        };
        let slices = &mut [IoSlice::new(before), IoSlice::new(bytes), IoSlice::new(after)];
        let start = usize::from(before.is_empty());
        let end = if after.is_empty() { 2 } else { 3 };
        let slices = &mut slices[start..end];
        match Wait::forever().with_timeout(|_| rustix::io::writev(&self.file, slices)) {
            Ok(written) if written == whole => Ok(()),
            Ok(written) => self.rest(slices, written),
            Err(errno) => Err(self.error(errno)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.framing, false)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(self.budget.map(|budget| Capacity::Unbounded { budget }))
    }

    fn len(&self) -> Result<Option<u64>> {
        // Each receiver has a place of its own.
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_write(self.ready.as_fd()))
    }
}
