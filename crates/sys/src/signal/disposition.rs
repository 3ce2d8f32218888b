//! What is done with a signal when it is delivered: `sigaction(2)`.

use core::mem::MaybeUninit;
use core::ptr;

use super::{RawSet, handler};
use crate::Errno;
use crate::call::checked;

bitflags::bitflags! {
    /// The flags of a disposition: `sa_flags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ActionFlags: i32 {
        /// `SA_RESTART`: an interrupted system call goes on by itself after the handler, where the kernel allows it.
        /// Never restarted are `poll`, `select`, `epoll_wait`, the System V calls, sleeps and waits for signals.
        #[doc(alias = "SA_RESTART")]
        const RESTART = libc::SA_RESTART;
        /// `SA_NODEFER`: the signal is not blocked while its handler runs.
        #[doc(alias = "SA_NODEFER")]
        const NODEFER = libc::SA_NODEFER;
        /// `SA_RESETHAND`: the default disposition comes back as the handler starts: it runs once.
        #[doc(alias = "SA_RESETHAND")]
        const RESETHAND = libc::SA_RESETHAND;
        /// `SA_NOCLDSTOP`, for SIGCHLD: no signal when a child stops or continues.
        #[doc(alias = "SA_NOCLDSTOP")]
        const NOCLDSTOP = libc::SA_NOCLDSTOP;
        /// `SA_NOCLDWAIT`, for SIGCHLD: children leave no zombies, and cannot be waited for one by one.
        #[doc(alias = "SA_NOCLDWAIT")]
        const NOCLDWAIT = libc::SA_NOCLDWAIT;
        /// `SA_ONSTACK`: the handler runs on the thread's alternate stack, where it has one.
        #[doc(alias = "SA_ONSTACK")]
        const ONSTACK = libc::SA_ONSTACK;
    }
}

/// Which of the three dispositions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `SIG_DFL`
    Default,
    /// `SIG_IGN`
    Ignore,
    /// A handler that [`install`](super::install) put there.
    Ours,
    /// A handler of somebody else, at this address.
    Foreign(usize),
}

/// A disposition as the kernel holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// Which of the three.
    pub kind: Kind,
    /// Its flags, as far as they have a name here.
    pub flags: ActionFlags,
    /// What is blocked while the handler runs, beside the signal itself.
    pub mask: RawSet,
}

/// `sigaction(2)`, asking only.
///
/// # Errors
/// `EINVAL` for a number that is no signal, and for the two that the C library keeps for itself.
#[doc(alias = "sigaction")]
pub fn current(signal: i32) -> Result<Current, Errno> {
    let action = query(signal)?;
    let kind = match action.sa_sigaction {
        libc::SIG_DFL => Kind::Default,
        libc::SIG_IGN => Kind::Ignore,
        address if address == handler::address() => Kind::Ours,
        address => Kind::Foreign(address),
    };
    Ok(Current { kind, flags: ActionFlags::from_bits_truncate(action.sa_flags), mask: set_of(&action) })
}

/// A disposition in the C library's form.
pub(super) fn action(handler: usize, flags: i32, mask: RawSet) -> libc::sigaction {
    // SAFETY: all-zero is a valid `sigaction`: the default disposition, an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    let words = (&raw mut action.sa_mask).cast::<RawSet>();
    // SAFETY: a `sigset_t` is an array of words of which the first holds the signals 1 to 64, and is aligned so.
    unsafe { words.write(mask) };
    action
}

const _: () = assert!(size_of::<libc::sigset_t>() >= size_of::<RawSet>());
const _: () = assert!(align_of::<libc::sigset_t>() >= align_of::<RawSet>());

fn set_of(action: &libc::sigaction) -> RawSet {
    let words = (&raw const action.sa_mask).cast::<RawSet>();
    // SAFETY: as in `action`.
    unsafe { words.read() }
}

pub(super) fn query(signal: i32) -> Result<libc::sigaction, Errno> {
    // SAFETY: as in `action`.
    let mut old: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: nothing is changed, and `old` outlives the call.
    checked(unsafe { libc::sigaction(signal, ptr::null(), &mut old) })?;
    Ok(old)
}

/// Sets a disposition. Its handler must be fit to be one.
///
/// # Safety
/// `new.sa_sigaction` is `SIG_DFL`, `SIG_IGN`, this crate's handler with `SA_SIGINFO`, or what [`query`] has found.
pub(super) unsafe fn set(signal: i32, new: &libc::sigaction) -> Result<libc::sigaction, Errno> {
    // SAFETY: as in `action`.
    let mut old: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: both live through the call; the caller answers for the handler.
    checked(unsafe { libc::sigaction(signal, new, &mut old) })?;
    Ok(old)
}
