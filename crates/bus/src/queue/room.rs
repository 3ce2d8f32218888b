//! The producer's side of the ledger: which lines it may use again.

use core::cell::Cell;

use crate::ring::frame::{About, Flags, tag};
use crate::ring::producer::Producer;
use crate::ring::{Geometry, distance};
use crate::sync::Ordering;
use crate::words::Words;

use super::ledger::Ledger;

/// The lines of a ring, from its tail on.
///
/// | where the producer died | what stands there | what becomes of it |
/// |---|---|---|
/// | while it has the lines begin their next lap | some say the next lap, the tail is as before | what says the next lap is over ([`Claim::is_over`](super::claim::Claim::is_over)): all is done once more |
/// | before the tail is stored | as above, for all of them | as above |
/// | after that | the tail is the new one, nothing is overwritten yet | nothing |
pub(crate) struct Room {
    geometry: Geometry,
    ring: Words,
    pub(crate) ledger: Ledger,
    tail_word: Words,
    /// What is before was acknowledged.
    tail: Cell<u64>,
}

impl Room {
    /// The room in a ring that `producer` has just made or adopted. `None` if the tail cannot be true.
    pub(crate) fn adopt(
        geometry: Geometry,
        ring: Words,
        tail_word: Words,
        ledger: Ledger,
        producer: &Producer,
    ) -> Option<Self> {
        let tail = tail_word.first()?.load(Ordering::Relaxed);
        let (head, lines) = (producer.head(), geometry.lines());
        if !(0..=lines.cast_signed()).contains(&distance(tail, head)) {
            return None;
        }
        // Whatever the ledger says of lines where nothing is published: it may be a new one.
        ledger.reset(head.wrapping_sub(lines), tail);
        producer.allow(tail);
        Some(Self { geometry, ring, ledger, tail_word, tail: Cell::new(tail) })
    }

    /// The lines of our frame at a position, and whether it is a message.
    fn frame(&self, position: u64) -> Option<(u64, bool)> {
        let at = self.geometry.word(position);
        let about = About::of(self.ring.get(at + 1)?.load(Ordering::Relaxed));
        let is_frame = self.ring.get(at)?.load(Ordering::Relaxed) == tag(position);
        (is_frame && about.fits(self.geometry, position))
            .then(|| (about.lines(), !about.flags.intersects(Flags::SKIP | Flags::BROKEN)))
    }

    /// Takes back the lines of everything that was acknowledged, up to the first that was not. Whether there was any.
    pub(crate) fn reclaim(&self, producer: &Producer) -> bool {
        let (old, head) = (self.tail.get(), producer.head());
        let mut tail = old;
        while distance(tail, head) > 0 {
            let Some((lines, is_message)) = self.frame(tail) else { break };
            if is_message && !self.ledger.is_over(tail) {
                break;
            }
            tail = tail.wrapping_add(lines);
        }
        if tail == old {
            return false;
        }
        self.ledger.reset(old, tail);
        self.tail.set(tail);
        // Release: whoever sees that something was overwritten sees from where on it was not.
        self.tail_word[0].store(tail, Ordering::Release);
        producer.allow(tail);
        true
    }

    /// All before it was acknowledged and taken back.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.get()
    }

    /// Whether the memory is all there.
    pub(crate) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.ring.check()?;
        self.ledger.check()
    }

    /// The message to wait for when there is no room: the first that is not over among those at least an eighth of the ring behind
    /// the tail, so that there is much room at once when it is; if those are all over, the one at the tail, which is what keeps
    /// their room. `None` if nothing keeps any.
    pub(crate) fn gate(&self, producer: &Producer) -> Option<u64> {
        let (tail, head) = (self.tail.get(), producer.head());
        let (mut position, mut first) = (tail, None);
        while distance(position, head) > 0 {
            let (lines, is_message) = self.frame(position)?;
            if is_message && !self.ledger.is_over(position) {
                if distance(tail, position) >= self.geometry.stride().cast_signed() {
                    return Some(position);
                }
                first = first.or(Some(position));
            }
            position = position.wrapping_add(lines);
        }
        first
    }
}
