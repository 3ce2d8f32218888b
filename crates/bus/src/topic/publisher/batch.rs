//! Many messages, one look at who sleeps.

use twixt_os::{Result, Wait};

use crate::ring::frame::Flags;
use crate::sync::AtomicU64;
use crate::words::copy_in;

use super::{Publisher, Unfilled};

/// Messages that are published one after the other, with one look at who sleeps.
#[derive(Debug)]
pub struct Batch<'p> {
    pub(super) publisher: &'p Publisher,
}

impl Batch<'_> {
    /// As [`Publisher::publish_wait`].
    ///
    /// # Errors
    /// As [`Publisher::publish_wait`].
    pub fn publish(&mut self, message: &[u8], wait: Wait) -> Result<()> {
        self.publish_with(message.len(), wait, |room| copy_in(room, message))
    }

    /// As [`Publisher::publish_with`].
    ///
    /// # Errors
    /// As [`Publisher::publish_with`].
    #[inline(always)]
    pub fn publish_with(&mut self, len: usize, wait: Wait, fill: impl FnOnce(&[AtomicU64])) -> Result<()> {
        let slot = self.publisher.reserve(len, Flags::empty(), &wait)?.plain();
        let unfilled = Unfilled { publisher: self.publisher, slot };
        fill(self.publisher.producer.payload(slot));
        core::mem::forget(unfilled);
        if self.publisher.meets {
            let [position, back, sequence] = slot.parts();
            return self.publisher.hand_over(position, back, sequence, slot.len, &wait);
        }
        self.publisher.producer.publish(slot);
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.publisher.ring();
    }
}
