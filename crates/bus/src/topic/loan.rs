//! Messages that are written in place.

use core::fmt;

use twixt_os::{Result, Wait};

use crate::ring::frame::Flags;
use crate::ring::producer::Slot;
use crate::sync::AtomicU64;
use crate::words::{View, WORD, copy_in};

use super::Publisher;

/// Room for a message in the memory that subscribers read. Dropping it is no message.
///
/// The memory may hold anything before it is written.
pub struct Loan<'p> {
    publisher: &'p Publisher,
    slot: Slot,
    is_done: bool,
}

impl<'p> Loan<'p> {
    pub(super) fn new(publisher: &'p Publisher, slot: Slot) -> Self {
        publisher.lent.set(publisher.lent.get() + 1);
        Self { publisher, slot, is_done: false }
    }

    /// The bytes of the message.
    pub fn len(&self) -> usize {
        self.slot.len
    }

    /// Whether it is a message without bytes.
    pub fn is_empty(&self) -> bool {
        self.slot.len == 0
    }

    /// The message as words, to be written one by one with relaxed stores. The last may have more bytes than the message.
    /// There are none in a forked child: the loan is the parent's.
    pub fn words(&self) -> &[AtomicU64] {
        room(self.publisher, self.slot)
    }

    /// Writes bytes, from byte `offset` on, a multiple of 8. What has no room is left out.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let words = self.words().get(offset / WORD..).unwrap_or(&[]);
        copy_in(words, &bytes[..bytes.len().min(self.slot.len.saturating_sub(offset))]);
    }

    /// Reads what was written.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        View::of(self.words()).copy_to(offset, into);
    }

    /// Publishes it.
    ///
    /// # Errors
    /// With a capacity of zero, why nobody receives it.
    /// [`InvalidInput`](twixt_os::ErrorKind::InvalidInput) in a forked child: the loan is the parent's.
    pub fn publish(mut self) -> Result<()> {
        self.publisher.check_maker()?;
        self.is_done = true;
        self.publisher.lent.set(self.publisher.lent.get() - 1);
        if self.publisher.meets {
            return self.publisher.hand_over_lent(self.slot, &Wait::forever());
        }
        self.publisher.producer.publish_lent(self.slot, Flags::empty());
        self.publisher.ring();
        Ok(())
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        if !self.is_done && self.publisher.is_own() {
            self.publisher.lent.set(self.publisher.lent.get() - 1);
            self.publisher.producer.publish_lent(self.slot, Flags::SKIP);
            // Those behind it can be received now.
            self.publisher.ring();
        }
    }
}

impl fmt::Debug for Loan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("len", &self.slot.len).finish_non_exhaustive()
    }
}

/// Where a message goes. A forked child has the memory, too, and is not to write there.
fn room(publisher: &Publisher, slot: Slot) -> &[AtomicU64] {
    if publisher.is_own() { publisher.producer.payload(slot) } else { &[] }
}

/// A message that subscribers read while it is being written, from its beginning to its end. Dropped before its end it is
/// broken off, and no message.
pub struct Flow<'p> {
    publisher: &'p Publisher,
    slot: Slot,
    written: usize,
    is_done: bool,
}

impl<'p> Flow<'p> {
    pub(super) fn new(publisher: &'p Publisher, slot: Slot) -> Self {
        publisher.lent.set(publisher.lent.get() + 1);
        // Whoever sleeps wakes up while the first piece is written.
        publisher.ring();
        Self { publisher, slot, written: 0, is_done: false }
    }

    /// The bytes of the message.
    pub fn len(&self) -> usize {
        self.slot.len
    }

    /// Whether it is a message without bytes.
    pub fn is_empty(&self) -> bool {
        self.slot.len == 0
    }

    /// How many bytes are missing.
    pub fn remaining(&self) -> usize {
        self.slot.len - self.written
    }

    /// Writes the next bytes and shows them. All but the last call write a multiple of 8; what exceeds the message is left
    /// out.
    pub fn write(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(self.remaining())];
        if !self.publisher.is_own() {
            return;
        }
        let at = self.written / WORD;
        copy_in(&self.publisher.producer.payload(self.slot)[at..], bytes);
        self.show(bytes.len());
    }

    /// The words that come next, up to `most` bytes, to be written in place with relaxed stores before [`show`](Self::show).
    /// There are none in a forked child.
    pub fn next(&self, most: usize) -> &[AtomicU64] {
        let at = self.written / WORD;
        let len = most.min(self.remaining()).div_ceil(WORD);
        room(self.publisher, self.slot).get(at..at + len).unwrap_or(&[])
    }

    /// Shows so many more bytes.
    pub fn show(&mut self, len: usize) {
        self.written = self.slot.len.min(self.written.saturating_add(len));
        if !self.publisher.is_own() {
            return;
        }
        self.publisher.producer.show(self.slot, self.written);
    }

    /// Publishes it: all that was not written is what was there before.
    ///
    /// # Errors
    /// As [`Loan::publish`].
    pub fn finish(self) -> Result<()> {
        self.finish_wait(&Wait::forever())
    }

    /// As [`finish`](Self::finish); with a capacity of zero, waiting as `wait` says until it was received.
    pub(super) fn finish_wait(mut self, wait: &Wait) -> Result<()> {
        self.publisher.check_maker()?;
        self.is_done = true;
        self.publisher.lent.set(self.publisher.lent.get() - 1);
        self.publisher.producer.finish(self.slot, true);
        self.publisher.ring();
        if self.publisher.meets {
            return self.publisher.meet_all(self.slot, wait);
        }
        Ok(())
    }
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        if !self.is_done && self.publisher.is_own() {
            self.publisher.lent.set(self.publisher.lent.get() - 1);
            self.publisher.producer.finish(self.slot, false);
            self.publisher.ring();
        }
    }
}

impl fmt::Debug for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("len", &self.slot.len)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
