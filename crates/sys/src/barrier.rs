//! Memory barriers that one process pays for and others do not: `membarrier(2)`.
//!
//! A flag that is raised rarely and looked at often needs a fence on both sides. The side that looks can do without, if the
//! side that raises the flag makes all processors that run registered processes execute one.

use crate::Errno;
use crate::call::checked;

/// `MEMBARRIER_CMD_GLOBAL_EXPEDITED`.
const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
/// `MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED`.
const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

/// Registers this process for the barriers of others: from then on its accesses are ordered with [`global`] as if it had
/// executed a full fence there. It stays registered; a forked child has to register anew.
///
/// # Errors
/// `ENOSYS` before Linux 4.16 or without `CONFIG_MEMBARRIER`, `EPERM` under a filter of system calls.
#[doc(alias = "MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED")]
pub fn register() -> Result<(), Errno> {
    call(REGISTER_GLOBAL_EXPEDITED)
}

/// A full fence on every processor that runs a registered process. It is one here, too.
///
/// # Errors
/// As [`register`].
#[doc(alias = "MEMBARRIER_CMD_GLOBAL_EXPEDITED")]
pub fn global() -> Result<(), Errno> {
    call(GLOBAL_EXPEDITED)
}

fn call(command: libc::c_int) -> Result<(), Errno> {
    let none: libc::c_int = 0;
    // SAFETY: the call takes numbers only, and touches no memory of the process.
    checked(unsafe { libc::syscall(libc::SYS_membarrier, command, none, none) })?;
    Ok(())
}
