//! Looking on while other processes make system calls: `ptrace(2)`.
//!
//! The tracer is the *thread* that starts the command: it alone can [`wait`] for what is traced and [`resume`] it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Errno;
use crate::call::checked;

/// Has the command stop, traced, as soon as it is executed. What it starts is traced as well, once [`follow`] was called.
///
/// The spawn fails with `EPERM` where tracing is forbidden: by seccomp, by Yama, or since this process is traced itself and
/// its children with it.
#[doc(alias = "PTRACE_TRACEME")]
pub fn trace_child(command: &mut Command) {
    let request = || {
        // SAFETY: the request takes nothing and touches no memory of this process.
        checked(unsafe { libc::ptrace(libc::PTRACE_TRACEME) })?;
        Ok(())
    };
    // SAFETY: between fork and exec `request` makes only a system call, which is async-signal-safe.
    unsafe { command.pre_exec(request) };
}

/// What has become of a traced thread. All but [`Ended`](Event::Ended) leave it stopped, until [`resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It enters a system call or leaves one: [`is_entering`].
    Call,
    /// It is to get this signal, which [`resume`] must pass on; or has been stopped by it.
    Signal(i32),
    /// It has made a thread or a process, or is executing another program.
    Other,
    /// It is no more. Nothing else will be told of it, and its number may be another's from now on.
    Ended,
}

/// Waits until something becomes of any child of the calling thread, traced by it or not; gives its thread id.
///
/// What has ended is reaped: a `std::process::Child` of this thread cannot be waited for afterwards.
///
/// # Errors
/// `ECHILD` if there is none left, `EINTR`.
#[doc(alias = "waitpid")]
pub fn wait() -> Result<(i32, Event), Errno> {
    let mut status = 0;
    // Without `__WNOTHREAD` this would take the children of other threads, too.
    let options = libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: the status is written to a valid place.
    let thread = checked(unsafe { libc::waitpid(-1, &mut status, options) })?;
    let event = if !libc::WIFSTOPPED(status) {
        Event::Ended
    } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
        Event::Call
    } else if status >> 16 != 0 {
        Event::Other
    } else {
        Event::Signal(libc::WSTOPSIG(status))
    };
    Ok((thread, event))
}

/// Has a stopped thread's calls told apart from signals, all that it starts traced, and all of it killed when the tracer
/// ends.
///
/// # Errors
/// `ESRCH` if it is not stopped, not traced by the calling thread, or dead.
#[doc(alias = "PTRACE_SETOPTIONS")]
pub fn follow(thread: i32) -> Result<(), Errno> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    let nothing = core::ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes a number and touches no memory; a thread that is not this one's tracee is refused.
    checked(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, thread, nothing, libc::c_long::from(options)) })?;
    Ok(())
}

/// Lets a stopped thread go on until its next system call begins or ends, with this signal; 0 is none.
///
/// # Errors
/// As [`follow`]; `EIO` for what is no signal.
#[doc(alias = "PTRACE_SYSCALL")]
pub fn resume(thread: i32, signal: i32) -> Result<(), Errno> {
    let nothing = core::ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes a number and touches no memory; a thread that is not this one's tracee is refused.
    checked(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, thread, nothing, libc::c_long::from(signal)) })?;
    Ok(())
}

/// Lets a stopped thread execute one instruction, after which it stops with `SIGTRAP`; a system call is one. With this signal;
/// 0 is none.
///
/// # Errors
/// As [`resume`]; `EIO` on machines that cannot.
#[doc(alias = "PTRACE_SINGLESTEP")]
pub fn step(thread: i32, signal: i32) -> Result<(), Errno> {
    let nothing = core::ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes a number and touches no memory; a thread that is not this one's tracee is refused.
    checked(unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, thread, nothing, libc::c_long::from(signal)) })?;
    Ok(())
}

/// Whether a thread that has stopped with [`Event::Call`] enters the call, rather than leaves it. Linux 5.3.
///
/// # Errors
/// As [`follow`]; `EIO` from older kernels.
#[doc(alias = "PTRACE_GET_SYSCALL_INFO")]
pub fn is_entering(thread: i32) -> Result<bool, Errno> {
    const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
    const ENTRY: u8 = 1;
    // The first bytes of `struct ptrace_syscall_info`, which begins with what it is about; more is not asked for.
    let mut info = [0u8; 8];
    let (room, place) = (info.len(), info.as_mut_ptr());
    // SAFETY: at the most `room` bytes are written, for which there is room; another's tracee is refused.
    checked(unsafe { libc::ptrace(GET_SYSCALL_INFO as _, thread, room, place) })?;
    Ok(info[0] == ENTRY)
}
