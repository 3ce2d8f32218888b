//! Messages of one producer in a row, each like the one before: what is needed to tell and to read them stays in registers.
//!
//! A message by itself has its consumer looked up, its ring, its shape and its position loaded, and what came of it stored, which is
//! most of what a small one costs. In a run that is done once.

use crate::sync::{Ordering, fence};
use crate::words::{ForeignStrip, View, Window, Word};

use super::consumer::{self, Consumer, Frame, Shape};
use super::{FETCHED_FAR, Geometry, control, fetch_ahead};

/// Reads on from the message at hand. Where it has come to, its consumer knows when this is dropped.
pub(crate) struct Run<'c> {
    ring: ForeignStrip<'c>,
    claim: Claim<'c>,
    shape: Shape,
    window: Window,
    /// Behind the message that was taken last.
    position: u64,
    /// Of the message that was found last, its number and its words; and the number of the one before it in this run.
    sequence: u64,
    words: View<'c>,
    before: u64,
    ends: Ends<'c>,
}

/// What a consumer has of that.
struct Ends<'c> {
    position: &'c mut u64,
    expected: &'c mut Option<u64>,
}

impl Consumer {
    /// From the message at hand on, which is whole.
    #[inline(always)]
    pub(crate) fn run(&mut self) -> Option<Run<'_>> {
        let window = self.shape.window()?;
        let Self { geometry, ring, control, position, expected, sequence, shape, .. } = self;
        let ring = ring.strip();
        let (_, words) = ring.frame(*position, window)?;
        let claim = Claim { word: control.word(control::CLAIM)?, geometry: *geometry };
        let (shape, sequence) = (*shape, *sequence);
        let (begin, ends) = (*position, Ends { position, expected });
        Some(Run { ring, claim, shape, window, position: begin, sequence, words, before: 0, ends })
    }
}

impl<'c> Run<'c> {
    /// Takes the message that was found, and goes on behind it.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> (Frame, View<'c>) {
        let frame = self.shape.frame(self.position, self.sequence);
        self.position = frame.next();
        (frame, self.words)
    }

    /// Where it is.
    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// How many lines each message has, and how many bytes.
    #[inline(always)]
    pub(crate) fn each(&self) -> (u64, u64) {
        (self.shape.lines, self.shape.len as u64)
    }

    /// Whether another message is there that is like the one before, and whole.
    #[inline(always)]
    pub(crate) fn finds(&mut self) -> bool {
        let Some((line, words)) = self.ring.frame(self.position, self.window) else { return false };
        let Some(sequence) = self.shape.begins_in(line, self.position) else { return false };
        if self.shape.is_below {
            let arrived = line.load::<3>();
            // Acquire: pairs with the Release in `Producer::show`.
            fence(Ordering::Acquire);
            if arrived < self.shape.len as u64 {
                return false;
            }
        }
        (self.before, self.sequence, self.words) = (self.sequence, sequence, words);
        fetch_ahead(self.position, self.shape.lines, FETCHED_FAR, |line| self.ring.fetch_far(line));
        true
    }

    /// What tells whether messages were overwritten.
    #[inline(always)]
    pub(crate) fn claim(&self) -> Claim<'c> {
        self.claim
    }

    /// Goes back before the message that was taken last, which was overwritten: neither its length nor its number can be believed.
    pub(crate) fn give_back(&mut self) {
        self.position = self.position.wrapping_sub(self.shape.lines);
        self.sequence = self.before;
    }

    /// Whether the message that was taken last is what was published.
    #[inline(always)]
    pub(crate) fn is_intact(&self) -> bool {
        self.claim.is_intact(self.position.wrapping_sub(self.shape.lines))
    }
}

impl Drop for Run<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if *self.ends.position != self.position {
            *self.ends.position = self.position;
            *self.ends.expected = Some(self.sequence.wrapping_add(1));
        }
    }
}

/// Up to where a producer has said that it writes.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'c> {
    word: Word<'c>,
    geometry: Geometry,
}

impl Claim<'_> {
    /// See [`Consumer::is_intact`].
    #[inline(always)]
    pub(crate) fn is_intact(self, position: u64) -> bool {
        consumer::is_intact(position, self.geometry, || self.word.load())
    }
}
