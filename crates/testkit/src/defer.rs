//! Work to be done when a scope ends, however it ends.

use core::fmt;

/// Runs `work` when the returned value is dropped, also while a failed test unwinds.
#[must_use = "the work is done when this is dropped"]
pub fn defer<F: FnOnce()>(work: F) -> Defer<F> {
    Defer(Some(work))
}

/// See [`defer`].
pub struct Defer<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Defer<F> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

impl<F: FnOnce()> fmt::Debug for Defer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Defer")
    }
}
