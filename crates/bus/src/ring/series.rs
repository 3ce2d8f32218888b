//! Messages of one length, published one after the other: what is needed of the ring stays in registers.

use crate::sync::{AtomicU64, Ordering, order};
use crate::words::Window;

use super::frame::{About, Flags, lines_of, tag};
use super::producer::{Producer, Slot, words_of};
use super::{HEADER, distance, fetch_ahead};

/// A message whose `fill` panics is none, and those behind it can be received.
struct Unfilled<'p> {
    producer: &'p Producer,
    slot: Slot,
}

impl Drop for Unfilled<'_> {
    #[cold]
    fn drop(&mut self) {
        self.producer.give_up(self.slot);
    }
}

impl Producer {
    /// Publishes up to `most` messages of `len` bytes as far as it is known that there is room, which each is written to by `fill`, and
    /// says how many. Whatever else `fill` publishes comes behind.
    #[inline(always)]
    pub(crate) fn publish_series(
        &self,
        len: usize,
        most: usize,
        mut fill: impl FnMut(&[AtomicU64]),
    ) -> usize {
        let lines = lines_of(len, Flags::empty());
        let Some(window) = Window::new(lines, HEADER, words_of(len)) else { return 0 };
        let mut published = 0;
        loop {
            let (mut position, mut sequence) = (self.next.get(), self.sequence.get());
            let room = distance(position, self.open.get()).max(0).cast_unsigned() / lines;
            let end = published + (most - published).min(room as usize);
            if published == end {
                return published;
            }
            let mut back = position.wrapping_sub(self.before.get());
            let about = |back| About { len, back, flags: Flags::empty() }.word();
            let (mut word, word_of_others) = (about(back), about(lines));
            let ring = self.ring.strip();
            while published < end {
                let Some((line, words)) = ring.frame(position, window) else { return published };
                let next = position.wrapping_add(lines);
                // Before anybody can come there: see "why a tag is never stale".
                ring.line(next)[0].store(0, Ordering::Relaxed);
                fetch_ahead(next, lines, |line| ring.fetch_to_write(line));
                self.before.set(position);
                self.next.set(next);
                self.sequence.set(sequence.wrapping_add(1));
                let unfilled = Unfilled { producer: self, slot: Slot::of(position, back, sequence, len) };
                fill(words);
                core::mem::forget(unfilled);
                line[1].store(word, Ordering::Relaxed);
                line[2].store(sequence, Ordering::Relaxed);
                // Release: see `Producer::publish`.
                line[0].store(tag(position), order::PUBLISH);
                self.bytes.set(self.bytes.get().wrapping_add(len as u64));
                published += 1;
                if self.next.get() != next {
                    // `fill` has published something itself.
                    break;
                }
                (position, sequence) = (next, sequence.wrapping_add(1));
                (back, word) = (lines, word_of_others);
            }
        }
    }
}
