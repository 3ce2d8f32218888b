//! Letting the producer get ahead.
//!
//! A consumer that is faster than the producer polls the very line that is being written, so that each message waits for its
//! line to go to and fro: an order of magnitude. When messages come one upon the other, it looks at a line further on
//! instead, and goes on when that changes, or has not for a while.
//!
//! Messages that come soon may be a stream, held up by just that, or the answers of a fast peer, which are waited for one by
//! one: which of both takes longer differs from machine to machine. So it is tried. If several were there in the end it was a
//! stream; if it was waited in vain, it takes twice as many messages to try again. How far ahead the producer is let is how far
//! it gets in time.

use super::distance;

/// How many lines it looks further on, at the least, and at the most.
const NEAR: u64 = 32;
const FAR: u64 = 512;
/// How often it does.
const LOOKS: u32 = 512;
/// After how many looks in vain a message has not come soon.
const SOON: u32 = 128;
/// How many messages in a row that came soon make it try, at first, and at the most.
const STREAM: u32 = 4;
const DOUBT: u32 = 1 << 16;
/// How many messages have to be there for it to have been one.
const SEVERAL: u64 = 3;

/// What a consumer has seen of how messages come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lag {
    /// How often it found nothing since it found something.
    misses: u32,
    /// How many messages in a row came soon after it had found nothing.
    streak: u32,
    /// How many of them make it try.
    convinced: u32,
    /// How many lines it looks further on.
    reach: u64,
    /// Where it tried the last time, until that is judged.
    tried: Option<u64>,
    /// How often it still looks at the line further on.
    left: u32,
    /// The first word of that line, and what it was.
    at: usize,
    was: u64,
    /// How many messages were not there when they were looked for.
    awaited: u64,
}

impl Default for Lag {
    fn default() -> Self {
        Self {
            misses: 0,
            streak: 0,
            convinced: STREAM,
            reach: NEAR,
            tried: None,
            left: 0,
            at: 0,
            was: 0,
            awaited: 0,
        }
    }
}

impl Lag {
    /// Whether there is nothing to do.
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.misses | self.left == 0
    }

    #[inline(always)]
    pub(super) fn is_on(&self) -> bool {
        self.left > 0
    }

    /// The word to look at while it is on.
    #[inline(always)]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Whether it stays on, with what that word is now.
    #[inline]
    pub(super) fn goes_on(&mut self, word: u64) -> bool {
        if word != self.was {
            self.left = 0;
            self.reach = (2 * self.reach).min(FAR);
            return false;
        }
        self.left -= 1;
        if self.left == 0 {
            self.reach = (self.reach / 2).max(NEAR);
        }
        true
    }

    /// Nothing was found at a position, where messages have so many lines. Whether the producer is to get ahead.
    pub(super) fn misses(&mut self, position: u64, lines: u64) -> bool {
        self.misses = self.misses.saturating_add(1);
        if self.misses > 1 {
            return false;
        }
        match self.tried.take() {
            Some(from) if distance(from, position) >= (SEVERAL * lines).cast_signed() => {
                self.convinced = STREAM;
            }
            Some(_) => {
                self.convinced = (2 * self.convinced).min(DOUBT);
                self.streak = 0;
            }
            None => {}
        }
        let tries = self.streak >= self.convinced;
        self.tried = tries.then_some(position);
        tries
    }

    /// How many lines further on to look.
    pub(super) fn reach(&self) -> u64 {
        self.reach
    }

    /// Lets it, until the word `at` is no more what it `was`.
    pub(super) fn begin(&mut self, at: usize, was: u64) {
        (self.at, self.was, self.left) = (at, was, LOOKS);
    }

    /// Something was found.
    #[inline(always)]
    pub(super) fn hits(&mut self) {
        if self.misses > 0 {
            self.streak = if self.misses <= SOON { self.streak.saturating_add(1) } else { 0 };
            self.misses = 0;
            self.awaited = self.awaited.wrapping_add(1);
        }
    }

    /// How many messages were not there when they were looked for.
    pub(super) fn awaited(&self) -> u64 {
        self.awaited
    }
}
