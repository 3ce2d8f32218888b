//! Open-file-description locks on ranges of bytes: `F_OFD_SETLK` and its kin of `fcntl_locking(2)`.
//!
//! They belong to the open file description, as those of `flock(2)` do: closing another descriptor of the file releases
//! nothing, and two threads that opened the file each for itself exclude each other.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Errno;
use crate::call::checked;

/// What is asked for a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `F_RDLCK`: others may have it shared too. The descriptor must be open for reading.
    Shared,
    /// `F_WRLCK`: nobody else has it. The descriptor must be open for writing.
    Exclusive,
    /// `F_UNLCK`.
    Unlock,
}

/// A lock in the way of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Never [`Kind::Unlock`].
    pub kind: Kind,
    /// The first byte.
    pub start: i64,
    /// The number of bytes; 0 is up to the end of the file, wherever that will be.
    pub len: i64,
    /// The process, if it is one of the old POSIX locks; -1 for an open file description.
    pub pid: i32,
}

/// `F_OFD_SETLK`: locks or unlocks `len` bytes from `start` on; 0 is up to the end. Does not wait.
///
/// # Errors
/// `EAGAIN` if a lock is in the way, `EBADF` if the descriptor's access mode does not allow the kind, `EINVAL` for
/// a negative start, `EOVERFLOW` past the largest offset, `ENOLCK` where the file system keeps no more locks.
#[doc(alias = "F_OFD_SETLK")]
pub fn set(fd: BorrowedFd<'_>, kind: Kind, start: i64, len: i64) -> Result<(), Errno> {
    control(fd, libc::F_OFD_SETLK, &mut request(kind, start, len))
}

/// `F_OFD_SETLKW`: as [`set`], but waits. There is no deadlock detection.
///
/// # Errors
/// `EINTR` if a signal handler ran; otherwise as [`set`], without `EAGAIN`.
#[doc(alias = "F_OFD_SETLKW")]
pub fn set_waiting(fd: BorrowedFd<'_>, kind: Kind, start: i64, len: i64) -> Result<(), Errno> {
    control(fd, libc::F_OFD_SETLKW, &mut request(kind, start, len))
}

/// `F_OFD_GETLK`: one of the locks that [`set`] would find in its way.
#[doc(alias = "F_OFD_GETLK")]
pub fn get(fd: BorrowedFd<'_>, kind: Kind, start: i64, len: i64) -> Result<Option<Conflict>, Errno> {
    let mut lock = request(kind, start, len);
    control(fd, libc::F_OFD_GETLK, &mut lock)?;
    let kind = match i32::from(lock.l_type) {
        libc::F_RDLCK => Kind::Shared,
        libc::F_WRLCK => Kind::Exclusive,
        _ => return Ok(None),
    };
    Ok(Some(Conflict { kind, start: lock.l_start, len: lock.l_len, pid: lock.l_pid }))
}

fn request(kind: Kind, start: i64, len: i64) -> libc::flock {
    let kind = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
        Kind::Unlock => libc::F_UNLCK,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // Anything else is refused for these commands.
        l_pid: 0,
    }
}

fn control(fd: BorrowedFd<'_>, command: libc::c_int, lock: &mut libc::flock) -> Result<(), Errno> {
    let lock: *mut libc::flock = lock;
    // SAFETY: the descriptor is open, and these commands read and write one `struct flock`, to which `lock` points.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), command, lock) })?;
    Ok(())
}
