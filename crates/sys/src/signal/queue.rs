//! Sending: `kill(2)`, `tgkill(2)`, `rt_sigqueueinfo(2)`, `pidfd_send_signal(2)`.

use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::RawInfo;
use super::mask::RESERVED;
use crate::Errno;
use crate::call::checked;

/// `kill(2)`: `target` is a process, 0 the caller's group, -1 everyone, below that a group. Signal 0 only asks.
pub fn kill(target: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: the call takes two integers and touches no memory.
    checked(unsafe { libc::kill(target, signal) })?;
    Ok(())
}

/// Refuses the two signals that glibc keeps for itself, where they would come to a thread as if from itself: its
/// handler takes one from its own process for a part of `setuid(2)`, and follows a pointer that only that sets.
pub(super) fn not_reserved(signal: i32) -> Result<(), Errno> {
    match signal {
        1..=64 if RESERVED & 1 << (signal - 1) != 0 => Err(Errno::INVAL),
        _ => Ok(()),
    }
}

/// `tgkill(2)`: to one thread of a process. `EINVAL` also for the two signals that the C library keeps for itself.
pub fn tgkill(process: i32, thread: i32, signal: i32) -> Result<(), Errno> {
    not_reserved(signal)?;
    // SAFETY: the call takes three integers and touches no memory.
    checked(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) })?;
    Ok(())
}

/// `rt_sigqueueinfo(2)`, as `sigqueue(3)` makes it: with the caller's pid and uid, and a value.
#[doc(alias = "sigqueue")]
pub fn queue(process: i32, signal: i32, value: usize) -> Result<(), Errno> {
    let info = RawInfo::queued(signal, value);
    // SAFETY: `info` has the size of a `siginfo_t` and outlives the call, which only reads it.
    checked(unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process, signal, &raw const info) })?;
    Ok(())
}

/// `rt_tgsigqueueinfo(2)`: as [`queue`], to one thread.
#[doc(alias = "pthread_sigqueue")]
pub fn queue_to_thread(process: i32, thread: i32, signal: i32, value: usize) -> Result<(), Errno> {
    let info = RawInfo::queued(signal, value);
    // SAFETY: as in `queue`.
    checked(unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, &raw const info) })?;
    Ok(())
}

/// `pidfd_send_signal(2)` without a record of the caller's making: as `kill(2)`, or as [`tgkill`] if it is the
/// descriptor of a thread. Signal 0 only asks.
#[doc(alias = "pidfd_send_signal")]
pub fn pidfd_send(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    not_reserved(signal)?;
    pidfd_send_signal(process, signal, ptr::null())
}

/// `pidfd_send_signal(2)` with a value: as [`queue`].
#[doc(alias = "pidfd_send_signal")]
pub fn pidfd_queue(process: BorrowedFd<'_>, signal: i32, value: usize) -> Result<(), Errno> {
    pidfd_send_signal(process, signal, &RawInfo::queued(signal, value))
}

fn pidfd_send_signal(process: BorrowedFd<'_>, signal: i32, info: *const RawInfo) -> Result<(), Errno> {
    let descriptor = process.as_raw_fd();
    // SAFETY: `info` is null or points to something of the size of a `siginfo_t`, which the call only reads.
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor, signal, info, 0_u32) })?;
    Ok(())
}
