//! Locks on files: whole ones (`flock(2)`) and ranges of bytes (open-file-description locks of `fcntl_locking(2)`).
//!
//! ```
//! use twixt_os::lock::{Kind, LockFile};
//! use twixt_os::ErrorKind;
//! # let directory = twixt_testkit::scratch();
//! # let path = directory.path().join("daemon.lock");
//!
//! let held = LockFile::acquire(&path, Kind::Exclusive)?; // one at a time, over all processes
//! let refused = LockFile::try_acquire(&path, Kind::Exclusive).unwrap_err();
//! assert_eq!(refused.kind(), ErrorKind::WouldBlock);
//! drop(held);
//! let _held = LockFile::try_acquire(&path, Kind::Exclusive)?;
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! | | what is locked | who holds it | goes with |
//! |---|---|---|---|
//! | [`LockFile`] | a path | this value | the value, or the process |
//! | [`File::lock`] | a whole file | an open file description | its guard, or the process |
//! | [`File::lock_range`] | some bytes of it | an open file description | its guard, or the process |
//!
//! All are *advisory*: they keep out those who ask for the lock, not those who read and write without. The two kinds know
//! nothing of each other: a file that is locked whole can be locked in ranges by others. The kernel releases
//! both when the last descriptor of the open file description closes, so also when the holder is killed.
//!
//! # An open file description, and not a process
//!
//! One `open(2)` makes one description, which copies of the descriptor (`dup(2)`, `fork(2)`, sent over a socket)
//! share, and the lock with it. So two [`File`]s of one path exclude each other, in one process too, while a forked
//! child has the very lock of its parent. A guard that the child drops releases nothing; the lock goes when the
//! parent's guard does.
//!
//! The older POSIX locks (`F_SETLK`, `lockf(3)`) are not used here: a process loses them as soon as *any* of its
//! descriptors of the file is closed, by any library. They exclude range locks, and are excluded by them.
//!
//! # Limits
//!
//! There is no sysctl for the number of locks. [`ErrorKind::LimitReached`] (`ENOLCK`) comes from network file systems. NFS
//! turns `flock` into a POSIX lock on the server, which needs the descriptor to be open for writing to be exclusive.

use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result, Wait};

mod file;
mod holders;
mod path;
mod range;

pub use file::{File, Lock};
pub use holders::{Class, Holder, Holders, holders};
pub use path::LockFile;
pub use range::{ByteRange, Conflict, RangeLock};

/// Who else may have the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Others who want it shared: `LOCK_SH`, `F_RDLCK`.
    #[doc(alias = "LOCK_SH")]
    #[doc(alias = "F_RDLCK")]
    Shared,
    /// Nobody: `LOCK_EX`, `F_WRLCK`.
    #[doc(alias = "LOCK_EX")]
    #[doc(alias = "F_WRLCK")]
    Exclusive,
}

/// Takes a lock for which the kernel has a call that waits without end and one that does not wait, and none that waits
/// for a time.
fn acquire(
    wait: Wait,
    mut waiting: impl FnMut() -> core::result::Result<(), Errno>,
    attempt: impl FnMut() -> core::result::Result<(), Errno>,
) -> core::result::Result<(), Errno> {
    if wait.is_forever() { wait.with_timeout(|_| waiting()) } else { wait.with_backoff(attempt) }
}

fn failure(operation: &'static str, object: &Object, errno: Errno) -> Error {
    let error = Error::kernel(Mechanism::Lock, operation, object.clone(), errno);
    match errno {
        Errno::BADF => error
            .with_kind(ErrorKind::PermissionDenied)
            .with_advice("open it for reading to share it, for writing to have it alone"),
        Errno::NOLCK => error.with_advice("its file system keeps no more locks"),
        Errno::INVAL | Errno::OPNOTSUPP => {
            error.with_kind(ErrorKind::Unsupported).with_advice("its file system has no such locks")
        }
        _ => error,
    }
}

fn result<T>(operation: &'static str, object: &Object, outcome: core::result::Result<T, Errno>) -> Result<T> {
    outcome.map_err(|errno| failure(operation, object, errno))
}
