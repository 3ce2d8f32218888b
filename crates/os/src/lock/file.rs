//! An open file to lock, and the lock on the whole of it: `flock(2)`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::range::Span;
use super::{Kind, acquire, result};
use crate::file::regular;
use crate::maker::Maker;
use crate::{Deadline, Errno, Mechanism, Mode, Object, Result, Wait};

/// A file opened to be locked. Its content is left alone.
///
/// ```
/// use twixt_os::lock::{File, Kind};
/// # let directory = twixt_testkit::scratch();
/// # let path = directory.path().join("ledger");
///
/// let mut ledger = File::open_or_create(&path)?;
/// let lock = ledger.lock(Kind::Shared)?;
/// // ... read ...
/// let lock = lock.upgrade()?; // others may have had it in between: read again
/// // ... write ...
/// lock.unlock()?;
///
/// let _first = ledger.lock_range(Kind::Exclusive, 0..100)?;
/// let _rest = ledger.lock_range(Kind::Shared, 100..)?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    object: Object,
    /// The ranges that guards hold: the kernel would let one description lock the same bytes twice, and unlock them
    /// for both at once.
    pub(super) held: Mutex<Vec<Span>>,
}

impl File {
    /// Creates an empty file, mode 0600.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists), also for a symbolic link; others as `open(2)`.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a regular file for reading and writing.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`PermissionDenied`](crate::ErrorKind::PermissionDenied), also for a
    /// symbolic link; [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), OFlags::RDWR)
    }

    /// Opens a regular file for reading: enough for every lock on the whole, and for shared ranges.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), OFlags::RDONLY)
    }

    /// Opens a regular file, made with mode 0600 if there is none.
    ///
    /// If somebody may remove the file and make it anew, lock it by [`LockFile`](super::LockFile).
    ///
    /// # Errors
    /// As [`File::open`], without `NotFound` for the file itself.
    pub fn open_or_create(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), OFlags::RDWR | OFlags::CREATE)
    }

    fn open_with(path: &Path, flags: OFlags) -> Result<Self> {
        let fd = regular::open_with_mode(Mechanism::Lock, path, flags, Mode::OWNER)?;
        Ok(Self::new(fd, Object::path(path)))
    }

    /// Takes an open descriptor, of anything that the kernel can lock. Nothing is asked of the kernel.
    pub fn from_fd(fd: OwnedFd) -> Self {
        let object = Object::descriptor(fd.as_fd());
        Self::new(fd, object)
    }

    fn new(fd: OwnedFd, object: Object) -> Self {
        Self { fd, object, held: Mutex::new(Vec::new()) }
    }

    /// `flock(2)`: takes the lock on the whole file, waiting while others have it.
    ///
    /// The guard borrows the file exclusively: a second lock through the same open file would replace the first.
    /// Waiters are served in no particular order.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) or [`Unsupported`](crate::ErrorKind::Unsupported) from the file system.
    #[doc(alias = "flock")]
    pub fn lock(&mut self, kind: Kind) -> Result<Lock<'_>> {
        self.lock_wait(kind, Wait::forever())
    }

    /// [`File::lock`] without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if others have it.
    #[doc(alias = "LOCK_NB")]
    pub fn try_lock(&mut self, kind: Kind) -> Result<Lock<'_>> {
        self.lock_wait(kind, Wait::never())
    }

    /// [`File::lock`] with a deadline. The kernel has no such call: it is tried again and again, every 4 ms at the
    /// longest, so that those who wait in the kernel have the better chance.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn lock_deadline(&mut self, kind: Kind, deadline: Deadline) -> Result<Lock<'_>> {
        self.lock_wait(kind, Wait::until(deadline))
    }

    /// [`File::lock`], ended by a signal handler, unless it was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn lock_interruptible(&mut self, kind: Kind) -> Result<Lock<'_>> {
        self.lock_wait(kind, Wait::forever().interruptible())
    }

    /// [`File::lock`], waiting as told. One system call if it is free.
    ///
    /// # Errors
    /// As the other forms.
    pub fn lock_wait(&mut self, kind: Kind, wait: Wait) -> Result<Lock<'_>> {
        result("take", &self.object, flock_wait(self.fd.as_fd(), kind, wait))?;
        Ok(Lock { file: self, kind, maker: Maker::this() })
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }
}

/// `flock(2)`, waiting as told.
pub(super) fn flock_wait(fd: BorrowedFd<'_>, kind: Kind, wait: Wait) -> core::result::Result<(), Errno> {
    let (waiting, attempt) = match kind {
        Kind::Shared => (FlockOperation::LockShared, FlockOperation::NonBlockingLockShared),
        Kind::Exclusive => (FlockOperation::LockExclusive, FlockOperation::NonBlockingLockExclusive),
    };
    acquire(wait, || flock(fd, waiting), || flock(fd, attempt))
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> Self {
        file.fd
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        Self::from_fd(fd)
    }
}

/// A lock on a whole file, released when dropped.
///
/// A forked child that drops its copy releases nothing.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock<'file> {
    file: &'file File,
    kind: Kind,
    maker: Maker,
}

impl<'file> Lock<'file> {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The locked file, for its descriptor and for locks on its ranges.
    pub fn file(&self) -> &File {
        self.file
    }

    /// Makes a shared lock exclusive, waiting while others share it.
    ///
    /// The kernel **gives up the shared lock first** if others share it, and then waits for the exclusive one like
    /// anybody else: another process may have had it, and changed the file, in between. On failure the lock is gone;
    /// that is why this takes the guard. [`RangeLock::upgrade`](super::RangeLock::upgrade) keeps its lock
    /// meanwhile.
    ///
    /// # Errors
    /// As [`File::lock`].
    pub fn upgrade(self) -> Result<Self> {
        self.convert(Kind::Exclusive, Wait::forever())
    }

    /// [`Lock::upgrade`] without waiting. **If it fails, the shared lock is gone too.**
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if others share it.
    pub fn try_upgrade(self) -> Result<Self> {
        self.convert(Kind::Exclusive, Wait::never())
    }

    /// [`Lock::upgrade`] with a deadline. If it fails, the shared lock is gone too.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn upgrade_deadline(self, deadline: Deadline) -> Result<Self> {
        self.convert(Kind::Exclusive, Wait::until(deadline))
    }

    /// [`Lock::upgrade`], ended by a signal handler. If it fails, the shared lock is gone too.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn upgrade_interruptible(self) -> Result<Self> {
        self.convert(Kind::Exclusive, Wait::forever().interruptible())
    }

    /// [`Lock::upgrade`], waiting as told. If it fails, the shared lock is gone too.
    ///
    /// # Errors
    /// As the other forms.
    pub fn upgrade_wait(self, wait: Wait) -> Result<Self> {
        self.convert(Kind::Exclusive, wait)
    }

    /// Makes an exclusive lock shared. Linux does it in one step on local file systems, so that no writer gets in
    /// between; the manual page promises that nowhere.
    ///
    /// # Errors
    /// As [`File::lock`]; the lock is then gone.
    pub fn downgrade(self) -> Result<Self> {
        self.convert(Kind::Shared, Wait::forever())
    }

    /// Turns it into the other kind, waiting as told.
    ///
    /// # Errors
    /// As [`Lock::upgrade`] and its forms; the lock is then gone.
    pub fn convert(mut self, kind: Kind, wait: Wait) -> Result<Self> {
        // On failure the guard is dropped here, and releases what an early failure may have left.
        result("convert", &self.file.object, flock_wait(self.file.as_fd(), kind, wait))?;
        self.kind = kind;
        Ok(self)
    }

    /// Releases it, as dropping does, and says whether that went well.
    ///
    /// # Errors
    /// Those of network file systems.
    #[doc(alias = "LOCK_UN")]
    pub fn unlock(self) -> Result<()> {
        let file = self.file;
        let outcome = self.release();
        core::mem::forget(self);
        result("release", &file.object, outcome)
    }

    fn release(&self) -> core::result::Result<(), Errno> {
        // In a forked child the open file description is the parent's too, and so is the lock.
        if !self.maker.is_this() {
            return Ok(());
        }
        Wait::forever().with_timeout(|_| flock(self.file.as_fd(), FlockOperation::Unlock))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Failing, it goes when the descriptor is closed.
        _ = self.release();
    }
}
