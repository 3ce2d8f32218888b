//! A path as a lock, which others may remove and make anew.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::file::flock_wait;
use super::{Kind, failure};
use crate::file::regular;
use crate::maker::Maker;
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Mode, Object, Result, Wait};

/// The lock that a path stands for, held until this is dropped.
///
/// The file is made with mode 0600 if there is none, and stays. [`LockFile::remove`] removes it without letting two
/// processes believe that they hold the lock: whoever waited for the removed file finds, once it has the lock, that the
/// path names another file, and begins anew.
///
/// ```
/// use twixt_os::ErrorKind;
/// use twixt_os::lock::{Kind, LockFile};
/// # let directory = twixt_testkit::scratch();
/// # let path = directory.path().join("daemon.lock");
///
/// let held = LockFile::acquire(&path, Kind::Exclusive)?;
/// let refused = LockFile::try_acquire(&path, Kind::Shared).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::WouldBlock);
/// held.remove()?; // whoever waited makes the file anew
/// assert!(!path.exists());
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// See `flock(2)`, `open(2)`. To take it costs five system calls: `open` and `fstat` (it is a regular file), `flock`, and the
/// path and the file looked at once more (they are still the same).
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct LockFile {
    file: OwnedFd,
    path: PathBuf,
    kind: Kind,
    maker: Maker,
}

/// How often a file may vanish between two looks before the one who does not wait gives up.
const PATIENCE: u32 = 16;

impl LockFile {
    /// Opens or creates the file and takes its lock (`flock(2)`), waiting while others have it.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), also for a symbolic link;
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is no regular file; others as `open(2)` and
    /// [`File::lock`](super::File::lock).
    #[doc(alias = "flock")]
    pub fn acquire(path: impl AsRef<Path>, kind: Kind) -> Result<Self> {
        Self::acquire_wait(path, kind, Wait::forever())
    }

    /// [`LockFile::acquire`] without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if others have it.
    pub fn try_acquire(path: impl AsRef<Path>, kind: Kind) -> Result<Self> {
        Self::acquire_wait(path, kind, Wait::never())
    }

    /// [`LockFile::acquire`] with a deadline, kept as [`File::lock_deadline`](super::File::lock_deadline) keeps it.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut).
    pub fn acquire_deadline(path: impl AsRef<Path>, kind: Kind, deadline: Deadline) -> Result<Self> {
        Self::acquire_wait(path, kind, Wait::until(deadline))
    }

    /// [`LockFile::acquire`], ended by a signal handler, unless it was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted).
    pub fn acquire_interruptible(path: impl AsRef<Path>, kind: Kind) -> Result<Self> {
        Self::acquire_wait(path, kind, Wait::forever().interruptible())
    }

    /// [`LockFile::acquire`], waiting as told.
    ///
    /// # Errors
    /// As the other forms.
    pub fn acquire_wait(path: impl AsRef<Path>, kind: Kind, wait: Wait) -> Result<Self> {
        let path = path.as_ref();
        let object = Object::path(path);
        let mut tries = 0;
        loop {
            if let Some(file) = find_or_make(path)? {
                flock_wait(file.as_fd(), kind, wait).map_err(|errno| failure("take", &object, errno))?;
                // Whoever held it may have removed the file meanwhile; then this is a lock that nobody else sees.
                if regular::names(path, file.as_fd()) {
                    return Ok(Self { file, path: path.to_owned(), kind, maker: Maker::this() });
                }
            }
            tries += 1;
            if wait.deadline().is_some_and(Deadline::has_passed) {
                return Err(failure("take", &object, Errno::TIMEDOUT));
            }
            if wait.is_never() && tries >= PATIENCE {
                return Err(failure("take", &object, Errno::AGAIN));
            }
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if the path still names it, and releases the lock. Needs the exclusive lock: those who share
    /// one would go on sharing it when others lock the next file of that name.
    ///
    /// A forked child that calls this removes and releases nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a shared lock; [`NotFound`](ErrorKind::NotFound) if the path
    /// names no file or another one; others as `unlink(2)`. The lock is released in any case.
    pub fn remove(self) -> Result<()> {
        let refuse = |kind, why: &'static str| {
            Err(Error::refused(Mechanism::Lock, "remove", Object::path(&self.path), kind, why))
        };
        if !self.maker.is_this() {
            return Ok(());
        }
        if self.kind == Kind::Shared {
            return refuse(ErrorKind::InvalidInput, "it is shared; only the exclusive lock allows that");
        }
        if !regular::names(&self.path, self.file.as_fd()) {
            return refuse(ErrorKind::NotFound, "the path no longer names the locked file");
        }
        rustix::fs::unlink(&self.path)
            .map_err(|errno| Error::kernel(Mechanism::Lock, "remove", Object::path(&self.path), errno))
    }
}

/// Opens the file for as much as it allows; `None` if it came or went at just that moment.
fn find_or_make(path: &Path) -> Result<Option<OwnedFd>> {
    let open = |flags| regular::open_with_mode(Mechanism::Lock, path, flags, Mode::OWNER);
    // Not with O_CREAT alone: in directories like /tmp that is refused for the files of others
    // (fs.protected_regular), even if they may be read.
    let found = match open(OFlags::RDWR) {
        Err(error) if matches!(error.errno(), Some(Errno::ACCESS | Errno::ROFS | Errno::PERM)) => {
            open(OFlags::RDONLY)
        }
        outcome => outcome,
    };
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
                outcome => outcome.map(Some),
            }
        }
        outcome => outcome.map(Some),
    }
}

/// The locked file, to say in it who holds the lock for instance. Opened for reading only if it is another user's that
/// cannot be written.
impl AsFd for LockFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Said explicitly: a forked child may have a copy of the descriptor, which would keep the lock.
        if self.maker.is_this() {
            _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}
