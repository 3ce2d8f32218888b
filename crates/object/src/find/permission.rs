//! Whether this process may remove an object, without trying.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, StatxFlags, accessat, statx};
use rustix::process::geteuid;
use twixt_os::sysv::{Perm, msg, sem, shm};
use twixt_os::{Errno, Error, Mechanism, Object};

use super::{Identity, REMOVE};
use crate::Result;

const STICKY: u16 = 0o1000;
/// `CAP_FOWNER`: may do what only owners of files may.
const FOWNER: u32 = 3;
/// `CAP_SYS_ADMIN`: may remove System V objects of others.
const SYS_ADMIN: u32 = 21;

/// Removing a file takes write permission on its directory and, if that has the sticky bit, owning either.
pub(super) fn of_file(mechanism: Mechanism, path: &Path, owner: u32) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let error = |errno| unlink_error(mechanism, path, errno);
    accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(error)?;
    let directory = statx(CWD, directory, AtFlags::empty(), StatxFlags::BASIC_STATS).map_err(error)?;
    let me = geteuid().as_raw();
    let sticky = directory.stx_mode & STICKY != 0;
    if sticky && ![owner, directory.stx_uid].contains(&me) && !has_capability(FOWNER) {
        return Err(error(Errno::PERM));
    }
    Ok(())
}

/// What a refusal to unlink means.
pub(super) fn unlink_error(mechanism: Mechanism, path: &Path, errno: Errno) -> crate::Error {
    let error = Error::kernel(mechanism, REMOVE, Object::path(path), errno);
    let error = match errno {
        Errno::ACCESS => error.with_advice("removing a name takes write permission on its directory"),
        Errno::PERM => {
            error.with_advice("in a sticky directory only the owner of a file may remove it, and root")
        }
        _ => error,
    };
    error.into()
}

/// The file system of the queues has one directory, which is sticky.
pub(super) fn of_posix_queue(name: &OsStr, owner: Option<u32>) -> Result<()> {
    if owner == Some(geteuid().as_raw()) || has_capability(FOWNER) {
        return Ok(());
    }
    let error =
        Error::kernel(Mechanism::PosixMq, REMOVE, Object::name(name.to_string_lossy()), Errno::ACCESS);
    Err(error.with_advice("only its owner and root may").into())
}

pub(super) fn of_sysv(identity: &Identity) -> Result<()> {
    let Some((mechanism, id, perm)) = perm(identity)? else { return Ok(()) };
    let Some(perm) = perm else {
        let error = Error::kernel(mechanism, REMOVE, Object::Id(id), Errno::IDRM);
        return Err(error.into());
    };
    let me = geteuid().as_raw();
    if [perm.uid, perm.creator_uid].contains(&me) || has_capability(SYS_ADMIN) {
        return Ok(());
    }
    let error = Error::kernel(mechanism, REMOVE, Object::Id(id), Errno::PERM);
    Err(error.with_advice("only its owner, its creator and root may").into())
}

/// Read from the list of all, since that takes no permission.
fn perm(identity: &Identity) -> Result<Option<(Mechanism, i32, Option<Perm>)>> {
    Ok(match identity {
        Identity::Queue(id) => {
            let listed = msg::list()?.into_iter().find(|one| one.id == *id);
            Some((Mechanism::SysvMsg, id.as_raw(), listed.map(|one| one.stat.perm)))
        }
        Identity::Set(id) => {
            let listed = sem::list()?.into_iter().find(|one| one.id == *id);
            Some((Mechanism::SysvSem, id.as_raw(), listed.map(|one| one.stat.perm)))
        }
        Identity::Segment(id) => {
            let listed = shm::list()?.into_iter().find(|one| one.id == *id);
            Some((Mechanism::SysvShm, id.as_raw(), listed.map(|one| one.stat.perm)))
        }
        Identity::File { .. } | Identity::PosixQueue { .. } | Identity::OnBus(_) => None,
    })
}

/// Whether this process has an effective capability, by its number in `capabilities(7)`.
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << number != 0)
}
