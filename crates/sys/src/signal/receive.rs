//! Taking blocked signals: `rt_sigtimedwait(2)`, `signalfd(2)`.

use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::Timespec;

use super::mask::RESERVED;
use super::{RawInfo, RawSet, SET};
use crate::Errno;
use crate::call::checked;

/// `rt_sigtimedwait(2)`: takes the lowest pending signal of the set. Without a timeout it waits, with a timeout of
/// zero it does not, and an elapsed one is `EAGAIN`.
#[doc(alias = "sigtimedwait")]
#[doc(alias = "sigwaitinfo")]
pub fn timed_wait(set: RawSet, timeout: Option<Timespec>) -> Result<RawInfo, Errno> {
    let mut info = RawInfo::zeroed();
    let set = set & !RESERVED;
    let timeout = timeout.map(|time| libc::timespec { tv_sec: time.tv_sec, tv_nsec: time.tv_nsec });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the set and its size, a record of the size of a `siginfo_t` and the timeout live through the call.
    checked(unsafe {
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, &raw mut info, timeout, SET)
    })?;
    Ok(info)
}

bitflags::bitflags! {
    /// The flags of `signalfd4(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SignalFdFlags: i32 {
        /// `SFD_CLOEXEC`
        const CLOEXEC = libc::SFD_CLOEXEC;
        /// `SFD_NONBLOCK`
        const NONBLOCK = libc::SFD_NONBLOCK;
    }
}

/// `signalfd4(-1, ..)`: a new descriptor that gives the signals of the set.
#[doc(alias = "signalfd")]
pub fn new_signalfd(set: RawSet, flags: SignalFdFlags) -> Result<OwnedFd, Errno> {
    let fd = signalfd4(-1, set, flags.bits())?;
    // SAFETY: the call has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `signalfd4(fd, ..)`: changes the set of a signalfd. `EINVAL` if it is none.
#[doc(alias = "signalfd")]
pub fn set_signalfd(descriptor: BorrowedFd<'_>, set: RawSet) -> Result<(), Errno> {
    signalfd4(descriptor.as_raw_fd(), set, 0)?;
    Ok(())
}

fn signalfd4(fd: i32, set: RawSet, flags: i32) -> Result<i32, Errno> {
    let set = set & !RESERVED;
    // SAFETY: the set lives through the call, and its size is passed.
    let fd = checked(unsafe { libc::syscall(libc::SYS_signalfd4, fd, &raw const set, SET, flags) })?;
    i32::try_from(fd).map_err(|_| Errno::BADF)
}
