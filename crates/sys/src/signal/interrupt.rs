//! A signal that does nothing but end the system call it interrupts.

use core::mem::MaybeUninit;
use core::ptr;

use rustix::process::Pid;

use super::queue::not_reserved;
use crate::Errno;
use crate::call::checked;

extern "C" fn do_nothing(_signal: libc::c_int) {}

/// Gives `signal` a handler that does nothing, without `SA_RESTART`: a blocked system call ends with `EINTR`.
///
/// # Errors
/// `EINVAL` for a number that is no signal, SIGKILL and SIGSTOP.
pub fn interrupt_calls(signal: i32) -> Result<(), Errno> {
    let handler: extern "C" fn(libc::c_int) = do_nothing;
    // SAFETY: all-zero is a valid `sigaction`: the default disposition, an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: `action` is initialised and outlives the call; its handler is async-signal-safe, having no code.
    checked(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) })?;
    Ok(())
}

/// `tgkill(2)`: sends `signal` to one thread of this process.
///
/// # Errors
/// `ESRCH` if there is no such thread (any more), `EINVAL` for a number that is no signal, and for the two that
/// the C library keeps for itself.
#[doc(alias = "tgkill")]
pub fn send_to_thread(thread: Pid, signal: i32) -> Result<(), Errno> {
    not_reserved(signal)?;
    let process = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: the call takes three integers and touches no memory.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, process, thread.as_raw_nonzero().get(), signal) })?;
    Ok(())
}
