//! The files behind POSIX semaphores and shared memory: `/dev/shm`.

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, Stat, fstat, lstat, statvfs, unlink};
use twixt_sys::Access;

use crate::file::{Identity, regular, whole};
use crate::posix::Name;
use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Mode, Object};

const DIRECTORY: &str = "/dev/shm";

/// How often another process may make and remove a name while this one tries to open or create it.
const ATTEMPTS: usize = 100;

/// The file of a name: `/dev/shm/name`, `/dev/shm/sem.name`.
pub(super) fn path(prefix: &str, name: &Name) -> PathBuf {
    let mut file = OsString::from(prefix).into_vec();
    file.extend_from_slice(&name.as_c_str().to_bytes()[1..]);
    Path::new(DIRECTORY).join(OsString::from_vec(file))
}

/// Opens a regular file, and no symbolic link. `EINVAL` if the name leads to something else.
pub(super) fn open(path: &Path, access: Access) -> Result<(OwnedFd, Stat), Errno> {
    let access = match access {
        Access::ReadOnly => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    let fd = regular::open_any(path, access, Mode::OWNER)?;
    let stat = fstat(&fd)?;
    if regular::is_regular(&stat) { Ok((fd, stat)) } else { Err(Errno::INVAL) }
}

/// Opens the file, or creates it if there is none.
pub(super) fn open_or_create(
    path: &Path,
    mode: Mode,
    fill: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<(OwnedFd, Stat), Errno> {
    for _ in 0..ATTEMPTS {
        // Without O_CREAT: it is refused for other users' files in a sticky directory (fs.protected_regular).
        match open(path, Access::ReadWrite) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        match whole::create(path, mode, &fill) {
            Err(Errno::EXIST) => {}
            created => return created,
        }
    }
    Err(Errno::BUSY)
}

/// The object that has the name now.
pub(super) fn identity(path: &Path) -> Result<Identity, Errno> {
    Identity::of_path(path)
}

/// Removes the name.
pub(super) fn remove(path: &Path) -> Result<(), Errno> {
    unlink(path)
}

/// What an errno means on a file that was to have `needed` bytes (more).
pub(super) fn error(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    errno: Errno,
    needed: u64,
) -> Error {
    let error = regular::open_error(mechanism, operation, object, errno);
    match errno {
        Errno::NOSPC => {
            let advice = "remove what is not needed from /dev/shm, or mount it with a larger size=";
            error.with_limit(room(needed)).with_advice(advice)
        }
        Errno::OPNOTSUPP => error.with_advice("/dev/shm is not a tmpfs, and cannot reserve memory"),
        Errno::NOENT if lstat(DIRECTORY).is_err() => {
            error.with_kind(ErrorKind::Unsupported).with_advice("mount a tmpfs on /dev/shm")
        }
        Errno::INVAL => error.with_advice("it must be a regular file"),
        Errno::BUSY => error.with_advice("another process makes and removes it all the time"),
        _ => error,
    }
}

/// The room that is left, against the room that is needed.
fn room(needed: u64) -> Limit {
    let current = statvfs(DIRECTORY).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
    Limit { name: "the free space of /dev/shm", current, needed: Some(needed) }
}
