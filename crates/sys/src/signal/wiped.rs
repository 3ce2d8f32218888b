//! What a handler must know that `fork(2)` has to reset, in a page that the kernel wipes in the child.
//!
//! After a fork the child has a copy of every handler, of the pipes that they write to, and of the count of handlers
//! at work in threads that it does not have. The page tells a handler for the price of a load that it runs in a child
//! (whose signals are none of the parent's business), and starts the counts anew.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::handler::SIGNALS;
use crate::Errno;
use crate::fork::{Wipeable, Wiped};

/// All zero in a process that has installed no handler.
pub(super) struct Handlers {
    /// The [`fork::epoch`](crate::fork::epoch) of the process that installed the handlers. Written by [`ensure`].
    process: AtomicU64,
    /// How many handlers of each signal are running. Written by them.
    running: [AtomicU32; SIGNALS],
}

// SAFETY: atomic integers, of which 0 is a value.
unsafe impl Wipeable for Handlers {}

static HANDLERS: Wiped<Handlers> = Wiped::new();

impl Handlers {
    /// Whether this is the process that `process` was when it installed a handler.
    pub(super) fn is_in(&self, process: u64) -> bool {
        self.process.load(Ordering::Relaxed) == process
    }

    /// The running handlers of a signal.
    pub(super) fn running(&self, signal: usize) -> Option<&AtomicU32> {
        self.running.get(signal)
    }
}

/// The page, once there is one. Async-signal-safe.
pub(super) fn page() -> Option<&'static Handlers> {
    HANDLERS.get()
}

/// The page, made on the first call in the life of the process or its ancestors, and marked as this process's. The
/// caller holds the registry's lock.
pub(super) fn ensure(process: u64) -> Result<&'static Handlers, Errno> {
    // It has no epoch where the kernel gave no such page.
    if process == 0 {
        return Err(Errno::NOMEM);
    }
    let page = HANDLERS.get_or_make()?;
    page.process.store(process, Ordering::Relaxed);
    Ok(page)
}
