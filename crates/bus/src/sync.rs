//! The atomics that the algorithms are made of: the processor's, or those of the model checker.

#[cfg(not(twixt_loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(twixt_loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// One step of waiting for another processor.
#[inline]
pub(crate) fn relax() {
    #[cfg(not(twixt_loom))]
    core::hint::spin_loop();
    #[cfg(twixt_loom)]
    loom::thread::yield_now();
}

/// The orderings that everything rests on. `.ci/weakened` builds with one of them taken away after the other, and the models
/// must find each out: `--cfg twixt_weaken="publish"`.
///
/// The Release of a subscriber's cursor is none of them: without it a load would have to see what is stored later, which the
/// model checker does not do.
pub(crate) mod order {
    use super::Ordering;

    /// Of a tag, which publishes a frame: pairs with [`LOOK`].
    pub(crate) const PUBLISH: Ordering =
        if cfg!(twixt_weaken = "publish") { Ordering::Relaxed } else { Ordering::Release };
    /// Of how much of a large message is there: pairs with the Acquire in `Consumer::arrived`.
    pub(crate) const SHOW: Ordering =
        if cfg!(twixt_weaken = "show") { Ordering::Relaxed } else { Ordering::Release };
    /// Whether there is a fence between seeing a tag and reading the frame.
    pub(crate) const LOOK: bool = !cfg!(twixt_weaken = "look");
    /// The same where the message is like the one before.
    pub(crate) const FIND: bool = !cfg!(twixt_weaken = "find");
    /// Whether there is a fence between claiming lines and writing them: pairs with [`INTACT`].
    pub(crate) const CLAIM: bool = !cfg!(twixt_weaken = "claim");
    /// Whether there is a fence between reading a frame and looking whether its lines were claimed.
    pub(crate) const INTACT: bool = !cfg!(twixt_weaken = "intact");
    /// Whether there is a fence between publishing and looking who sleeps: pairs with the one of whoever is about to.
    pub(crate) const BELL: bool = !cfg!(twixt_weaken = "bell");
    /// Whether there is a fence between offering a message and looking who has come: pairs with the one of whoever joins.
    pub(crate) const OFFER: bool = !cfg!(twixt_weaken = "offer");
}
