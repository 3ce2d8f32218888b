//! The fence between publishing and looking who sleeps, paid for by those who are about to sleep.
//!
//! Publishing a message and then looking whether somebody sleeps needs a full fence in between, and so does announcing that one
//! sleeps and then looking for a message; with less, both can miss each other. A fence costs as much as publishing does. So
//! publishers that have registered with the kernel execute none, and whoever is about to sleep has the kernel execute one
//! on all their processors ([`twixt_sys::barrier`]).

use crate::sync::{Ordering, fence, order};

/// Whether this process need not execute fences of its own.
///
/// Asked once for each publisher: registration is the process's, and a forked child begins without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Light {
    is_registered: bool,
}

impl Light {
    pub(crate) fn register() -> Self {
        // Neither models nor Miri have the system call.
        Self { is_registered: cfg!(not(any(twixt_loom, miri))) && twixt_sys::barrier::register().is_ok() }
    }

    /// The publisher's side. `is_asked` says that some sleeper could not execute the other side.
    #[inline(always)]
    pub(crate) fn fence(self, is_asked: impl FnOnce() -> bool) {
        if !order::BELL {
            return;
        }
        if !self.is_registered || is_asked() {
            // Pairs with the fence in `heavy`.
            fence(Ordering::SeqCst);
        } else {
            core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        }
    }
}

/// The sleeper's side. Whether it reached the publishers: if not, they have to be asked to fence for themselves.
pub(crate) fn heavy() -> bool {
    // Pairs with the fence of a publisher that executes one; the barrier is for those that do not.
    fence(Ordering::SeqCst);
    cfg!(any(twixt_loom, miri)) || twixt_sys::barrier::global().is_ok()
}
