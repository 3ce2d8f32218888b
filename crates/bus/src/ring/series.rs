//! Messages of one length, published one after the other: what is needed of the ring stays in registers.

use crate::sync::{AtomicU64, Ordering, order};
use crate::words::Window;

use super::frame::{About, Flags, lines_of, tag};
use super::producer::{Producer, words_of};
use super::{FETCHED, HEADER, distance, fetch_ahead};

/// Where a series has come to. Its producer knows when this is dropped, whatever `fill` does: a message whose `fill` panics is none,
/// and those behind it can be received.
struct Series<'p> {
    producer: &'p Producer,
    len: usize,
    lines: u64,
    /// Where the next message begins, how far behind the one before, and its number.
    position: u64,
    back: u64,
    sequence: u64,
    published: u64,
    /// Whether it is just being written.
    is_filling: bool,
    /// See [`Producer::shut`].
    open: u64,
}

impl Drop for Series<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let producer = self.producer;
        producer.open.set(self.open);
        producer.before.set(self.position.wrapping_sub(self.back));
        producer.next.set(self.position);
        producer.sequence.set(self.sequence);
        let bytes = self.published.wrapping_mul(self.len as u64);
        producer.bytes.set(producer.bytes.get().wrapping_add(bytes));
        if self.is_filling {
            give_up(producer, self.len, self.lines);
        }
    }
}

/// Has the message passed over that comes next, and was not written.
#[cold]
#[inline(never)]
fn give_up(producer: &Producer, len: usize, lines: u64) {
    let slot = producer.take(producer.next.get(), len, Flags::empty(), lines);
    producer.give_up(slot);
}

impl Producer {
    /// Publishes up to `most` messages of `len` bytes as far as it is known that there is room, and says how many. Each is written by
    /// `fill`, which says whether to publish it, and otherwise ends all. Nothing else is reserved meanwhile.
    #[inline(always)]
    pub(crate) fn publish_series(
        &self,
        len: usize,
        most: usize,
        mut fill: impl FnMut(&[AtomicU64]) -> bool,
    ) -> usize {
        let lines = lines_of(len, Flags::empty());
        let Some(window) = Window::new(lines, HEADER, words_of(len)) else { return 0 };
        let (position, sequence) = (self.next.get(), self.sequence.get());
        let room = distance(position, self.open.get()).max(0).cast_unsigned() / lines;
        let most = room.min(most as u64);
        if most == 0 {
            return 0;
        }
        let back = position.wrapping_sub(self.before.get());
        let (is_filling, open) = (false, self.shut());
        let mut series =
            Series { producer: self, len, lines, position, back, sequence, published: 0, is_filling, open };
        let about = |back| About { len, back, flags: Flags::empty() }.word();
        let (mut word, word_of_others) = (about(back), about(lines));
        let ring = self.ring.strip();
        while series.published < most {
            let Some((line, words)) = ring.frame(series.position, window) else { break };
            let next = series.position.wrapping_add(lines);
            // Before anybody can come there: see "why a tag is never stale".
            ring.line(next)[0].store(0, Ordering::Relaxed);
            fetch_ahead(next, lines, FETCHED, |line| ring.fetch_to_write(line));
            series.is_filling = true;
            let is_wanted = fill(words);
            series.is_filling = false;
            if !is_wanted {
                break;
            }
            line[1].store(word, Ordering::Relaxed);
            line[2].store(series.sequence, Ordering::Relaxed);
            // Release: see `Producer::publish`.
            line[0].store(tag(series.position), order::PUBLISH);
            series.position = next;
            series.sequence = series.sequence.wrapping_add(1);
            series.published += 1;
            (series.back, word) = (lines, word_of_others);
        }
        series.published as usize
    }
}
