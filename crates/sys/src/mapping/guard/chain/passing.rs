//! Telling a signal that is passed on for the first time from one that has come round in a circle of handlers.
//!
//! Handlers that call each other pass on the same record, from ever deeper frames of one thread's stack. A table of
//! threads that are passing something on shows that. A handler that leaves by `siglongjmp` leaves its thread's entry
//! behind; its next signal finds the same thread, but not a deeper frame under the same record, and takes the
//! entry over.

use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// What one thread is passing on. Only that thread writes the two addresses.
struct Entry {
    /// Its thread id; 0 is free.
    thread: AtomicI32,
    /// The address of the signal's record.
    record: AtomicUsize,
    /// An address in the stack frame of [`Passing::begin`].
    frame: AtomicUsize,
}

/// As many threads at once. Those that find no room go unobserved.
static ENTRIES: [Entry; 32] =
    [const { Entry { thread: AtomicI32::new(0), record: AtomicUsize::new(0), frame: AtomicUsize::new(0) } };
        32];

/// A signal is being passed on, until this is dropped.
pub(super) struct Passing(Option<&'static Entry>);

impl Passing {
    /// `None` if the calling thread is passing on this very signal already. Async-signal-safe.
    #[inline(never)]
    pub(super) fn begin(record: usize) -> Option<Self> {
        let local = 0_u8;
        let frame = (&raw const local).addr();
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        // Relaxed throughout: what a thread must see of its entry, it has written itself.
        let own = ENTRIES.iter().find(|entry| entry.thread.load(Ordering::Relaxed) == thread);
        if let Some(entry) = own {
            let is_same = entry.record.load(Ordering::Relaxed) == record;
            if is_same && frame < entry.frame.load(Ordering::Relaxed) {
                return None;
            }
        }
        let entry = own.or_else(|| {
            ENTRIES.iter().find(|entry| {
                entry.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            })
        });
        if let Some(entry) = entry {
            entry.record.store(record, Ordering::Relaxed);
            entry.frame.store(frame, Ordering::Relaxed);
        }
        Some(Self(entry))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(entry) = self.0 {
            entry.thread.store(0, Ordering::Relaxed);
        }
    }
}
