//! The files of the bus: made whole, mapped, and held by a lock as long as their owner lives.
//!
//! ```text
//! every file        word  0   "twixtbus"
//!                   word  1   format version in the lower half, what it is in the upper
//!                   word  2   its length in bytes
//!                   word  3   the number of the site that it belongs to, drawn when that was made
//!                   word  4   lines of a ring                      (publishers)
//!                   word  5   pid of the owner                     (participants)
//!                   word  6   its start time
//!                   word  7   the namespace of its pid
//!                   word  8   the only CPU that it may run on, plus 1; 0 if there are more
//!                   word  9   how it wants to be waited for        (subscribers)
//!                   word 16   and on: see the site
//! ```

use core::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{OFlags, fstat, open, unlink};
use twixt_os::making::{create, reserve, reserve_error};
use twixt_os::{Errno, ErrorKind, Mechanism, Mode, Object, Result};
use twixt_sys::{Access, Mapping};

use crate::bell::LONGEST;
use crate::error::{fault, kernel, malformed, refused};
use crate::hints::roughly_now;
use crate::holder::{self, Process};
use crate::sync::Ordering;
use crate::words::{Foreign, WORD, Words};

/// "twixtbus" as it stands in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"twixtbus");
/// The version of the format. Whoever knows another one refuses.
pub(crate) const VERSION: u64 = 1;
/// Words of a header.
pub(crate) const HEADER: usize = 512;

/// Where things stand in a header.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const WHAT: usize = 1;
    pub(crate) const LEN: usize = 2;
    pub(crate) const SITE: usize = 3;
    pub(crate) const LINES: usize = 4;
    pub(crate) const PID: usize = 5;
    pub(crate) const STARTED: usize = 6;
    pub(crate) const NAMESPACE: usize = 7;
    pub(crate) const PINNED: usize = 8;
    pub(crate) const POLICY: usize = 9;
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Site,
    Publisher,
    Subscriber,
    Ledger,
    State,
    Spill,
    Consumer,
    Reader,
    Listener,
    Caller,
}

impl What {
    fn number(self) -> u64 {
        match self {
            Self::Site => 1,
            Self::Publisher => 2,
            Self::Subscriber => 3,
            Self::Ledger => 4,
            Self::State => 5,
            Self::Spill => 7,
            Self::Consumer => 6,
            Self::Reader => 8,
            Self::Listener => 9,
            Self::Caller => 10,
        }
    }

    fn word(self) -> u64 {
        VERSION | self.number() << 32
    }
}

/// How a file is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    pub(crate) what: What,
    pub(crate) site: u64,
    pub(crate) len: usize,
    pub(crate) mode: Mode,
    /// Whether all of it is reserved at once. What is not has to be, before it is written.
    pub(crate) reserved: usize,
}

/// A file that this process has made, or taken over: it alone writes it, and holds its lock.
pub(crate) struct Own {
    mapping: Arc<Mapping>,
    /// With the lock.
    lock: OwnedFd,
    path: PathBuf,
}

/// A file of another process, or one of all.
pub(crate) struct Peer {
    mapping: Arc<Mapping>,
    file: OwnedFd,
    path: PathBuf,
}

const OPEN: &str = "open";

/// Neither a link is followed nor a FIFO waited for that somebody has put in the place of a file.
const PLAIN: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Own {
    /// Makes a file that does not exist, which has its name when it is whole and locked. `None` if the name is taken.
    pub(crate) fn create(path: &Path, making: Making, fill: impl Fn(&Words)) -> Result<Option<Self>> {
        let object = Object::path(path);
        let lock = std::cell::RefCell::new(None);
        let made = create(path, making.mode, |file| {
            // As it was asked for, whatever the umask is: who may take part is a property of the name.
            rustix::fs::fchmod(file, rustix::fs::Mode::from_raw_mode(making.mode.bits()))?;
            reserve(file, making.reserved as u64)?;
            if making.reserved < making.len {
                rustix::fs::ftruncate(file, making.len as u64)?;
            }
            let mapping = Arc::new(Mapping::shared(file, 0, HEADER * WORD, Access::ReadWrite)?);
            let words = Words::new(&mapping, 0, HEADER).map_err(|_| Errno::IO)?;
            let this = Process::this();
            for (at, word) in [
                (header::MAGIC, MAGIC),
                (header::WHAT, making.what.word()),
                (header::LEN, making.len as u64),
                (header::SITE, making.site),
                (header::PID, this.pid),
                (header::STARTED, this.started),
                (header::NAMESPACE, this.namespace),
                (header::PINNED, pinned()),
            ] {
                words[at].store(word, Ordering::Relaxed);
            }
            fill(&words);
            let held = file
                .try_clone_to_owned()
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            holder::take(held.as_fd())?;
            *lock.borrow_mut() = Some(held);
            Ok(())
        });
        let (file, _) = match made {
            Err(Errno::EXIST) => return Ok(None),
            Err(errno @ (Errno::NOSPC | Errno::FBIG)) => {
                let needed = making.reserved as u64;
                return Err(reserve_error(Mechanism::Bus, "create", object, errno, needed));
            }
            made => made.map_err(|errno| kernel("create", path, errno))?,
        };
        let Some(lock) = lock.into_inner() else { return Err(kernel("create", path, Errno::IO)) };
        let mapping = Mapping::shared(file.as_fd(), 0, making.len, Access::ReadWrite)
            .map_err(|errno| kernel("map", path, errno))?;
        Ok(Some(Self { mapping: Arc::new(mapping), lock, path: path.to_owned() }))
    }

    /// Takes over a file whose owner has gone. `None` if it lives, or the file has gone or may not be written.
    pub(crate) fn adopt(path: &Path, what: What, site: u64) -> Result<Option<Self>> {
        let lock = match open(path, OFlags::RDWR | PLAIN, rustix::fs::Mode::empty()) {
            Err(Errno::NOENT | Errno::ACCESS | Errno::PERM) => return Ok(None),
            file => file.map_err(|errno| kernel(OPEN, path, errno))?,
        };
        if !holder::take(lock.as_fd()).map_err(|errno| kernel("lock", path, errno))? {
            return Ok(None);
        }
        if !is_still(path, lock.as_fd()) {
            return Ok(None);
        }
        let mapping = map(path, lock.as_fd(), what, Some(site), None, Access::ReadWrite)?;
        let own = Self { mapping: Arc::new(mapping), lock, path: path.to_owned() };
        let (this, words) = (Process::this(), own.words(0, HEADER)?);
        for (at, word) in [
            (header::PID, this.pid),
            (header::STARTED, this.started),
            (header::NAMESPACE, this.namespace),
            (header::PINNED, pinned()),
        ] {
            words[at].store(word, Ordering::Relaxed);
        }
        Ok(Some(own))
    }

    /// `len` words from word `start` on.
    pub(crate) fn words(&self, start: usize, len: usize) -> Result<Words> {
        Words::new(&self.mapping, start * WORD, len)
            .map_err(|why| fault("map", &Object::path(&self.path), why))
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Removes the name, if it is still this file's.
    pub(crate) fn remove(&self) {
        if is_still(&self.path, self.lock.as_fd()) {
            let _ = unlink(&self.path);
        }
    }
}

impl Peer {
    /// Opens a file of another process for reading. `None` if there is none.
    pub(crate) fn open(path: &Path, what: What, site: Option<u64>) -> Result<Option<Self>> {
        Self::open_with(path, what, site, None, Access::ReadOnly)
    }

    /// As [`open`](Self::open), if it has exactly so many bytes: before anything is mapped that is larger than it should be.
    pub(crate) fn open_of(path: &Path, what: What, site: u64, len: usize) -> Result<Option<Self>> {
        Self::open_with(path, what, Some(site), Some(len), Access::ReadOnly)
    }

    /// Opens a file that all write.
    pub(crate) fn open_shared(path: &Path, what: What, site: Option<u64>) -> Result<Option<Self>> {
        Self::open_with(path, what, site, None, Access::ReadWrite)
    }

    fn open_with(
        path: &Path,
        what: What,
        site: Option<u64>,
        len: Option<usize>,
        access: Access,
    ) -> Result<Option<Self>> {
        let mode = if access == Access::ReadOnly { OFlags::RDONLY } else { OFlags::RDWR };
        let file = match open(path, mode | PLAIN, rustix::fs::Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.map_err(|errno| kernel(OPEN, path, errno))?,
        };
        let mapping = map(path, file.as_fd(), what, site, len, access)?;
        Ok(Some(Self { mapping: Arc::new(mapping), file, path: path.to_owned() }))
    }

    /// `len` words from word `start` on, to be read.
    pub(crate) fn foreign(&self, start: usize, len: usize) -> Result<Foreign> {
        Foreign::new(&self.mapping, start * WORD, len)
            .map_err(|why| fault("map", &Object::path(&self.path), why))
    }

    /// The same of a file that all write.
    pub(crate) fn words(&self, start: usize, len: usize) -> Result<Words> {
        Words::new(&self.mapping, start * WORD, len)
            .map_err(|why| fault("map", &Object::path(&self.path), why))
    }

    pub(crate) fn header(&self, at: usize) -> u64 {
        self.mapping.load_u64(at * WORD, core::sync::atomic::Ordering::Relaxed).unwrap_or(0)
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its owner lives.
    pub(crate) fn is_alive(&self) -> bool {
        holder::is_alive(self.file.as_fd(), self.process())
    }

    /// Who says to own it.
    pub(crate) fn process(&self) -> Process {
        Process {
            pid: self.header(header::PID),
            started: self.header(header::STARTED),
            namespace: self.header(header::NAMESPACE),
        }
    }

    /// Whether it still has its name.
    pub(crate) fn has_name(&self) -> bool {
        is_still(&self.path, self.file.as_fd())
    }
}

/// Whether somebody holds a file, be it the child of an owner who has gone.
pub(crate) fn is_held(peer: &Peer) -> bool {
    holder::is_alive(peer.file.as_fd(), Process::default())
}

/// Whether a file is there, and belongs to a process that lives. One that makes no sense does as long as it is locked.
pub(crate) fn lives(path: &Path, what: What) -> bool {
    match Peer::open(path, what, None) {
        Ok(None) => false,
        Ok(Some(peer)) => peer.is_alive(),
        Err(_) => is_locked(path),
    }
}

/// Whether somebody holds the file of that name, which is not looked into: be it this process, or the child of an owner who has
/// gone.
pub(crate) fn is_locked(path: &Path) -> bool {
    match open(path, OFlags::RDONLY | PLAIN, rustix::fs::Mode::empty()) {
        Ok(file) => holder::is_alive(file.as_fd(), Process::default()),
        // What cannot be looked at is not dead.
        Err(errno) => errno != Errno::NOENT,
    }
}

/// Removes a file whose owner has gone, with its doorbell. Whether the name is free now.
pub(crate) fn sweep(path: &Path) -> bool {
    sweep_with(path, None)
}

/// As [`sweep`], and another file with it that belongs to it.
pub(crate) fn sweep_with(path: &Path, beside: Option<&Path>) -> bool {
    let file = match open(path, OFlags::RDWR | PLAIN, rustix::fs::Mode::empty()) {
        Err(Errno::NOENT) => return true,
        Err(_) => return false,
        Ok(file) => file,
    };
    // With the lock nobody else takes it over while it is removed.
    if !matches!(holder::take(file.as_fd()), Ok(true)) || !is_still(path, file.as_fd()) {
        return false;
    }
    // First the doorbell: once the name is free, it may be a successor's.
    let _ = unlink(bell_of(path));
    if let Some(beside) = beside {
        let _ = unlink(beside);
    }
    unlink(path).is_ok()
}

/// The doorbell beside a subscriber's file.
pub(crate) fn bell_of(path: &Path) -> PathBuf {
    path.with_extension("bell")
}

/// Whether a path names a file.
pub(crate) fn is_still(path: &Path, file: BorrowedFd<'_>) -> bool {
    match (fstat(file), rustix::fs::lstat(path)) {
        (Ok(open), Ok(named)) => (open.st_dev, open.st_ino) == (named.st_dev, named.st_ino),
        _ => false,
    }
}

/// Maps all of a file that is what it should be.
fn map(
    path: &Path,
    file: BorrowedFd<'_>,
    what: What,
    site: Option<u64>,
    expected: Option<usize>,
    access: Access,
) -> Result<Mapping> {
    let object = Object::path(path);
    let wrong = |why: &'static str| Err(malformed(OPEN, &object, why));
    let stat = fstat(file).map_err(|errno| kernel(OPEN, path, errno))?;
    let len = usize::try_from(stat.st_size).unwrap_or(0);
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile
        || len < HEADER * WORD
    {
        return wrong("it is too short to be a file of the bus");
    }
    if expected.is_some_and(|expected| expected != len) {
        return wrong("it has not the length that such a file has here");
    }
    let mapping = Mapping::shared(file, 0, len, access).map_err(|errno| kernel("map", path, errno))?;
    // Acquire, for form's sake: a file has its name once all of its header is there, and the kernel orders that.
    let word = |at: usize| {
        mapping
            .load_u64(at * WORD, core::sync::atomic::Ordering::Acquire)
            .map_err(|why| fault(OPEN, &object, why))
    };
    if word(header::MAGIC)? != MAGIC {
        return wrong("it is no file of the bus");
    }
    let found = word(header::WHAT)?;
    if found & 0xffff_ffff != VERSION {
        let why = format!("its format has version {}, and this program knows {VERSION}", found & 0xffff_ffff);
        return Err(refused(OPEN, &object, ErrorKind::Unsupported, why)
            .with_advice("use the same version of twixt in all programs, or remove it with `twixt rm`"));
    }
    if found != what.word() {
        return wrong("it is another kind of file of the bus");
    }
    if word(header::LEN)? != len as u64 {
        return wrong("it has not the length that it says");
    }
    if site.is_some_and(|site| word(header::SITE) != Ok(site)) {
        return wrong("it belongs to another of the same name, which has been removed");
    }
    Ok(mapping)
}

/// As [`pinned`], asked for by this thread at most each [`LONGEST`](crate::bell::LONGEST): for those who are about to wait, who
/// would pay for a system call each time. What has changed meanwhile makes them try for too long, or sleep too soon.
pub(crate) fn pinned_lately() -> u64 {
    thread_local! {
        static LAST: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
    }
    let now = roughly_now();
    match LAST.get() {
        Some((then, cpu)) if now.wrapping_sub(then) < LONGEST.as_nanos() as u64 => cpu,
        _ => {
            let cpu = pinned();
            LAST.set(Some((now, cpu)));
            cpu
        }
    }
}

/// The only CPU that this process may run on, plus 1; 0 if there are more.
pub(crate) fn pinned() -> u64 {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return 0 };
    if set.count() != 1 {
        return 0;
    }
    (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| set.is_set(cpu)).map_or(0, |cpu| cpu as u64 + 1)
}

/// A random number that is not 0.
pub(crate) fn draw() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| kernel("draw a number for the", Path::new("/dev/urandom"), errno))?;
    Ok(u64::from_ne_bytes(bytes) | 1)
}
