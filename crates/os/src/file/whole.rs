//! Making a file that appears under its name when it is whole, never before, and leaves nothing when it cannot be made.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, Stat, fstat, linkat, open, renameat_with, unlink};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::file::{Identity, regular};
use crate::{Errno, Mode};

/// Creates a file that must not exist, which has its name only after `fill`. `EEXIST` if the name is taken, if only by a
/// symbolic link.
///
/// `fill` may run twice, on another file the second time. The stat is of the file as it was when it got its name.
pub fn create(
    path: &Path,
    mode: Mode,
    fill: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<(OwnedFd, Stat), Errno> {
    // Asked first to spare filling much for a name that is taken; giving the name is what decides.
    if Identity::of_path(path).is_ok() {
        return Err(Errno::EXIST);
    }
    let file = match nameless(path, mode, &fill)? {
        Some(file) => file,
        None => renamed(path, mode, &fill)?,
    };
    let stat = fstat(&file)?;
    // Opened again by its name, the file has that name in /proc/PID/maps, where people look for it.
    match regular::open_any(path, OFlags::RDWR, Mode::OWNER) {
        Ok(named) if Identity::of_open(&named) == Ok(Identity::of(&stat)) => Ok((named, stat)),
        _ => Ok((file, stat)),
    }
}

/// A file without a name, given one when it is whole. Killed on the way, a process leaves nothing.
///
/// `None` if the file system has no nameless files, or there is no `/proc` to name them by.
fn nameless(
    path: &Path,
    mode: Mode,
    fill: &impl Fn(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = match open(directory_of(path), flags, mode.to_rustix()) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(None),
        file => file?,
    };
    fill(file.as_fd())?;
    // What `open(2)` gives as the way for processes without CAP_DAC_READ_SEARCH.
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, itself, CWD, path, AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        linked => linked.map(|()| Some(file)),
    }
}

/// The same with a temporary name beside the real one, as the C library does it.
fn renamed(
    path: &Path,
    mode: Mode,
    fill: &impl Fn(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<OwnedFd, Errno> {
    let temporary = temporary_beside(path)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(&temporary, flags, mode.to_rustix())?;
    let named = fill(file.as_fd()).and_then(|()| {
        match linkat(CWD, &temporary, CWD, path, AtFlags::empty()) {
            // A file system without hard links.
            Err(Errno::PERM | Errno::OPNOTSUPP) => {
                renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE)
            }
            linked => linked,
        }
    });
    match unlink(&temporary) {
        // It was renamed.
        Ok(()) | Err(Errno::NOENT) => named.map(|()| file),
        Err(errno) => named.and(Err(errno)),
    }
}

/// The directory that a path's last component is an entry of.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A name in the same directory that nobody else uses.
pub(crate) fn temporary_beside(path: &Path) -> Result<PathBuf, Errno> {
    let mut random = [0; 8];
    getrandom(&mut random[..], GetRandomFlags::empty())?;
    Ok(directory_of(path).join(format!(".twixt.{:016x}", u64::from_ne_bytes(random))))
}
