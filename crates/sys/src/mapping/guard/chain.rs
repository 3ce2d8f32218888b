//! The SIGBUS disposition: taking it over, and passing on what is somebody else's.

use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::{default_action, on_sigbus};
use crate::Errno;
use crate::call::checked;
use crate::signal;

mod passing;

/// What the handler replaced; null is the default disposition. What it points to is never freed, since a handler on
/// another thread may be reading it.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Whether the handler was ever installed.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Installs the handler, unless it is installed or has been replaced by another one.
///
/// Who replaces it is expected to pass on what is not his. Installing it again on top of such a handler would have
/// the two pass the same signal to each other without end. Where the disposition has gone back to the default, which
/// the handler of Rust's runtime sees to when it meets a signal that it cannot explain, there is no such danger.
pub(super) fn install() -> Result<(), Errno> {
    let current = query()?;
    let is_handler = !matches!(current.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN);
    if is_ours(&current) || is_handler && INSTALLED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // Remembered first: the handler may be called as soon as it is installed.
    remember(&current);
    let mut action = default_action();
    action.sa_sigaction = address();
    // A signal that somebody sends interrupts system calls as it did before.
    let restart = if is_handler { current.sa_flags & libc::SA_RESTART } else { libc::SA_RESTART };
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
    let replaced = exchange(&action)?;
    INSTALLED.store(true, Ordering::Relaxed);
    // Another thread may have changed the disposition between the query and the exchange, to this very handler even.
    if !is_ours(&replaced) && replaced.sa_sigaction != current.sa_sigaction {
        remember(&replaced);
    }
    Ok(())
}

pub(super) fn is_installed() -> bool {
    INSTALLED.load(Ordering::Relaxed)
        && query().is_ok_and(|current| !matches!(current.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN))
}

/// Does with a signal what would have been done with it without this crate.
///
/// A handler that stood below this one may have been installed a second time since, above it, and then passes faults
/// down in turn. A signal that comes round like this is nobody's.
pub(super) fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // Acquire: pairs with the Release in `remember`.
    let previous = PREVIOUS.load(Ordering::Acquire);
    // SAFETY: null, or an action that `remember` leaked.
    match unsafe { previous.as_ref() } {
        None => end_process(info),
        Some(action) if action.sa_sigaction == libc::SIG_DFL => end_process(info),
        // The kernel does not let a fault be ignored; only a signal that was sent can be.
        Some(action) if action.sa_sigaction == libc::SIG_IGN => {
            if is_fault(info) {
                end_process(info);
            }
        }
        Some(action) => {
            let Some(_passing) = passing::Passing::begin(info.addr()) else { return end_process(info) };
            if action.sa_flags & libc::SA_RESETHAND != 0 {
                // Only one of several threads gets to call it, as with the kernel's own reset.
                let reset = PREVIOUS.compare_exchange(
                    previous,
                    ptr::null_mut(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                if reset.is_err() {
                    // Another thread had it; after a one-shot handler comes the default.
                    return end_process(info);
                }
            }
            call(action, signal, info, context);
        }
    }
}

/// Calls a replaced handler under the signal mask that it asked for.
fn call(action: &libc::sigaction, number: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let mut mask = default_action().sa_mask;
    // SAFETY: both sets are initialised and outlive the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &action.sa_mask, &mut mask) };
    if action.sa_flags & libc::SA_NODEFER != 0 {
        let mut own = default_action().sa_mask;
        // SAFETY: an initialised set and a valid signal number.
        unsafe { libc::sigaddset(&mut own, number) };
        // SAFETY: the set is initialised; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &own, ptr::null_mut()) };
    }
    if action.sa_sigaction == signal::handler_address() {
        // The crate's other handler, which may also be the one that handed the signal down to this one.
        signal::pass_on(address(), number, info, context);
    } else if action.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: with SA_SIGINFO the address is that of a function of this type, and it is no SIG_DFL or SIG_IGN.
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            unsafe { mem::transmute(action.sa_sigaction) };
        handler(number, info, context);
    } else {
        // SAFETY: without SA_SIGINFO it is that of a function of this type.
        let handler: extern "C" fn(c_int) = unsafe { mem::transmute(action.sa_sigaction) };
        handler(number);
    }
    // SAFETY: the set is initialised; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut()) };
}

/// Restores the default disposition and sees to it that the signal comes again when the handler has returned.
fn end_process(info: *mut libc::siginfo_t) {
    // SAFETY: the action is initialised; the replaced one is not asked for. `sigaction` is async-signal-safe.
    unsafe { libc::sigaction(libc::SIGBUS, &default_action(), ptr::null_mut()) };
    if is_fault(info) {
        // The instruction is executed again and faults again, with its registers as they are for the core dump.
        return;
    }
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    // The signal is blocked until the handler returns, and delivered then, saying who had sent it.
    // SAFETY: `info` is the valid record that the kernel passed; the call only reads it.
    unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, libc::SIGBUS, info) };
}

/// Whether an instruction of the interrupted thread raised the signal, so that it will do so again.
fn is_fault(info: *mut libc::siginfo_t) -> bool {
    // SAFETY: `info` is the valid record that the kernel passed to the handler.
    let code = unsafe { (*info).si_code };
    matches!(code, libc::BUS_ADRALN | libc::BUS_ADRERR | libc::BUS_OBJERR | libc::BUS_MCEERR_AR)
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == address()
}

fn address() -> usize {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_sigbus;
    handler as *const () as usize
}

fn remember(action: &libc::sigaction) {
    let leaked =
        if action.sa_sigaction == libc::SIG_DFL { ptr::null_mut() } else { Box::into_raw(Box::new(*action)) };
    // Release: pairs with the Acquire in `pass_on`.
    PREVIOUS.store(leaked, Ordering::Release);
}

fn query() -> Result<libc::sigaction, Errno> {
    let mut current = default_action();
    // SAFETY: no new action is given; `current` is valid for writing.
    checked(unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), &mut current) })?;
    Ok(current)
}

fn exchange(action: &libc::sigaction) -> Result<libc::sigaction, Errno> {
    let mut replaced = default_action();
    // SAFETY: `action` is initialised, and its handler calls only what is async-signal-safe.
    checked(unsafe { libc::sigaction(libc::SIGBUS, action, &mut replaced) })?;
    Ok(replaced)
}
