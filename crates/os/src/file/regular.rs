//! Opening regular files, and nothing else, by their paths.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Stat};

use crate::file::Identity;
use crate::{Errno, Error, ErrorKind, Mechanism, Mode, Object, Result, Wait};

/// Opens an existing regular file. Neither follows a symbolic link nor waits, whatever stands there.
pub(crate) fn open(mechanism: Mechanism, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    open_with_mode(mechanism, path, flags, Mode::OWNER)
}

/// Opens a regular file; with [`OFlags::CREATE`], one of this mode, made if there is none.
pub(crate) fn open_with_mode(
    mechanism: Mechanism,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let object = Object::path(path);
    let file =
        open_any(path, flags, mode).map_err(|errno| open_error(mechanism, "open", object.clone(), errno))?;
    check(mechanism, "open", &object, file.as_fd())?;
    Ok(file)
}

/// Opens whatever stands there, without following a symbolic link or waiting.
pub(crate) fn open_any(path: &Path, flags: OFlags, mode: Mode) -> core::result::Result<OwnedFd, Errno> {
    // Without O_NONBLOCK a FIFO would make this wait for its other end. It means nothing for a regular file.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Wait::forever().with_timeout(|_| rustix::fs::open(path, flags, mode.to_rustix()))
}

/// What [`open_any`] refused.
pub(crate) fn open_error(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    errno: Errno,
) -> Error {
    let error = Error::kernel(mechanism, operation, object, errno);
    match errno {
        Errno::LOOP => error.with_advice("symbolic links are not followed: give the file itself"),
        // A socket, or a FIFO without a reader.
        Errno::NXIO => error.with_kind(ErrorKind::InvalidInput).with_advice("it must be a regular file"),
        _ => error.with_descriptor_limit(),
    }
}

/// Refuses what is not a regular file.
pub(crate) fn check(
    mechanism: Mechanism,
    operation: &'static str,
    object: &Object,
    file: BorrowedFd<'_>,
) -> Result<()> {
    let stat = rustix::fs::fstat(file)
        .map_err(|errno| Error::kernel(mechanism, operation, object.clone(), errno))?;
    if is_regular(&stat) {
        return Ok(());
    }
    let why = "it is not a regular file";
    Err(Error::refused(mechanism, operation, object.clone(), ErrorKind::InvalidInput, why))
}

pub(crate) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

pub(crate) fn len(file: BorrowedFd<'_>) -> core::result::Result<u64, Errno> {
    let stat = rustix::fs::fstat(file)?;
    u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)
}

/// Whether the path, not followed if it is a link, names this open file.
pub(crate) fn names(path: &Path, file: BorrowedFd<'_>) -> bool {
    matches!((Identity::of_path(path), Identity::of_open(file)), (Ok(named), Ok(open)) if named == open)
}
