//! Which signals the calling thread holds back: `rt_sigprocmask(2)`, `rt_sigpending(2)`, `rt_sigsuspend(2)`.

use core::ptr;

use rustix::event::Timespec;

use super::{RawSet, SET};
use crate::Errno;
use crate::call::checked;

/// How [`change_mask`] combines the set with the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// `SIG_BLOCK`: adds it.
    Block,
    /// `SIG_UNBLOCK`: takes it away.
    Unblock,
    /// `SIG_SETMASK`: replaces the mask.
    Set,
}

/// The two signals below SIGRTMIN, with which glibc cancels threads and changes user ids. As in its own functions
/// they never enter a mask, nor a set to take from: a thread that held one back or took it away would hang `setuid(2)`.
pub(super) const RESERVED: RawSet = 1 << 31 | 1 << 32;

/// `rt_sigprocmask(2)` on the calling thread; returns the mask as it was.
#[doc(alias = "pthread_sigmask")]
pub fn change_mask(how: How, set: RawSet) -> Result<RawSet, Errno> {
    let how = match how {
        How::Block => libc::SIG_BLOCK,
        How::Unblock => libc::SIG_UNBLOCK,
        How::Set => libc::SIG_SETMASK,
    };
    let set = set & !RESERVED;
    procmask(how, &set)
}

/// The calling thread's mask.
pub fn mask() -> Result<RawSet, Errno> {
    procmask(libc::SIG_BLOCK, ptr::null())
}

fn procmask(how: i32, set: *const RawSet) -> Result<RawSet, Errno> {
    let mut old: RawSet = 0;
    // SAFETY: `set` is null or points to a set, `old` is one, and their size is passed.
    checked(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, set, &raw mut old, SET) })?;
    Ok(old)
}

/// `rt_sigpending(2)`: what is blocked and has arrived, for the thread or the process.
#[doc(alias = "sigpending")]
pub fn pending() -> Result<RawSet, Errno> {
    let mut set: RawSet = 0;
    // SAFETY: `set` is a set, and its size is passed.
    checked(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, SET) })?;
    Ok(set)
}

/// `rt_sigsuspend(2)`: waits with this mask until a handler has run, and says so with `EINTR`, always.
#[doc(alias = "sigsuspend")]
pub fn suspend(mask: RawSet) -> Errno {
    let mask = mask & !RESERVED;
    // SAFETY: `mask` is a set, and its size is passed.
    let returned = checked(unsafe { libc::syscall(libc::SYS_rt_sigsuspend, &raw const mask, SET) });
    returned.err().unwrap_or(Errno::INTR)
}

/// `ppoll(2)` on nothing: as [`suspend`], with a timeout. `Ok` when that has elapsed, `EINTR` when a handler has run.
pub fn suspend_timeout(mask: RawSet, timeout: Timespec) -> Result<(), Errno> {
    let mask = mask & !RESERVED;
    let mut timeout = libc::timespec { tv_sec: timeout.tv_sec, tv_nsec: timeout.tv_nsec };
    let nothing: *mut libc::pollfd = ptr::null_mut();
    // SAFETY: no descriptors are passed; `timeout`, which the kernel may update, and `mask` live through the call.
    checked(unsafe {
        libc::syscall(libc::SYS_ppoll, nothing, 0_usize, &raw mut timeout, &raw const mask, SET)
    })?;
    Ok(())
}
