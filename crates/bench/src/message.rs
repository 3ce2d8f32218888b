//! What the messages hold, so that a receiver can tell a whole one from a torn, lost, doubled or exchanged one.
//!
//! A message is its number, over and over, in eight bytes in the machine's order. Touching only the header, it is the number
//! once. A shorter message has as many of its lower bytes as there is room for.

use std::sync::atomic::{AtomicU64, Ordering};

use twixt_sys::words;

use crate::{Touch, Workload};

/// The number of the message that ends a run.
const STOP: u64 = u64::MAX;

/// The bits of a number that say which publisher it is from.
const PUBLISHER: u32 = 48;

/// A message that is to be sent.
///
/// It is written by [`fill`](Self::fill) wherever the transport has its room for it. A transport that could not send yet is
/// given the same message again, and finds [`is_filled`](Self::is_filled).
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    number: u64,
    len: usize,
    touch: Touch,
    is_filled: bool,
}

impl Outgoing {
    pub(crate) fn new(workload: &Workload, publisher: usize, number: u64) -> Self {
        let number = (publisher as u64) << PUBLISHER | number;
        Self { number, len: workload.size, touch: workload.touch, is_filled: false }
    }

    /// The message that ends a run.
    pub(crate) fn stop(workload: &Workload) -> Self {
        Self { number: STOP, len: workload.size, touch: workload.touch, is_filled: false }
    }

    /// The bytes of the message.
    #[expect(clippy::len_without_is_empty, reason = "no message of a benchmark is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its number, for a transport that carries numbers.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The words that hold what is touched of it.
    #[inline]
    pub fn words(&self) -> usize {
        touched(self.touch, self.len).div_ceil(8)
    }

    /// Whether it was written where the transport has it.
    pub fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// Writes the message; `room` has its length.
    #[inline]
    pub fn fill(&mut self, room: &mut [u8]) {
        let word = self.number.to_ne_bytes();
        let touched = touched(self.touch, room.len());
        let mut words = room[..touched].chunks_exact_mut(8);
        for chunk in &mut words {
            chunk.copy_from_slice(&word);
        }
        let rest = words.into_remainder();
        // Most messages are whole words, and a copy of nothing is a call of `memcpy` all the same.
        if !rest.is_empty() {
            rest.copy_from_slice(&word[..rest.len()]);
        }
        self.is_filled = true;
    }

    /// The same, in memory that another process may look at meanwhile: whole words, so many as hold the length.
    #[inline(always)]
    pub fn fill_words(&mut self, room: &[AtomicU64]) {
        words::fill(&room[..self.words()], self.number);
        self.is_filled = true;
    }

    /// The same for a part of the message, all of `room`: for a transport that sends a message in pieces.
    #[inline]
    pub fn fill_part(&mut self, room: &[AtomicU64]) {
        words::fill(room, self.number);
        self.is_filled = true;
    }
}

/// The pieces of a message that a receiver has read so far, for [`Incoming::check_part`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    number: Option<u64>,
    is_torn: bool,
}

/// What a receiver expects, and what it has had.
#[derive(Clone, Debug)]
pub struct Incoming {
    len: usize,
    words: usize,
    touch: Touch,
    /// The number that comes next, of each publisher.
    next: Vec<u64>,
    order: Order,
    has_stopped: bool,
    pub(crate) received: u64,
    /// Numbers that were passed over.
    pub(crate) skipped: u64,
    /// A sum over all that came, the same in whatever order.
    pub(crate) digest: u64,
    pub(crate) wrong: Option<String>,
}

/// What is wrong with a number that is not the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Anything.
    Every,
    /// Nothing as long as it is a later one: the others went to other receivers, or were lost.
    Ascending,
}

impl Incoming {
    pub(crate) fn new(workload: &Workload, order: Order) -> Self {
        Self {
            len: workload.size,
            words: touched_words(workload),
            touch: workload.touch,
            next: vec![0; workload.publishers],
            order,
            has_stopped: false,
            received: 0,
            skipped: 0,
            digest: 0,
            wrong: None,
        }
    }

    /// The bytes of a message.
    #[expect(clippy::len_without_is_empty, reason = "no message of a benchmark is empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The words that hold what is touched of a message.
    #[inline]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Whether the message came that ends a run.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    /// Reads a message.
    #[inline]
    pub fn check(&mut self, bytes: &[u8]) {
        if bytes.len() != self.len {
            return self.complain(format!("a message of {} bytes is {} long", self.len, bytes.len()));
        }
        let touched = touched(self.touch, bytes.len());
        let (words, rest) = bytes[..touched].as_chunks::<8>();
        let Some(first) = words.first() else { return self.check_short(rest) };
        let (number, mut difference) = (u64::from_ne_bytes(*first), 0);
        for word in words {
            difference |= u64::from_ne_bytes(*word) ^ number;
        }
        // A comparison with nothing is a call of `memcmp` all the same.
        let is_rest_whole = rest.is_empty() || number.to_ne_bytes().starts_with(rest);
        self.take(number, difference == 0 && is_rest_whole);
    }

    /// Reads one in memory that another process may write to meanwhile: the words that hold it.
    #[inline(always)]
    pub fn check_words(&mut self, words: &[AtomicU64]) {
        let number = words[0].load(Ordering::Relaxed);
        let is_whole = words::are_all(&words[..self.words()], number);
        self.take(number, is_whole);
    }

    /// Reads a part of one in such memory: what [`check_parts`](Self::check_parts) judges once all are there.
    #[inline]
    pub fn check_part(&self, parts: &mut Parts, words: &[AtomicU64]) {
        let Some(first) = words.first() else { return };
        let number = *parts.number.get_or_insert_with(|| first.load(Ordering::Relaxed));
        parts.is_torn |= !words::are_all(words, number);
    }

    /// Takes the message of which all parts were read, and forgets them.
    #[inline]
    pub fn check_parts(&mut self, parts: &mut Parts) {
        let Parts { number, is_torn } = std::mem::take(parts);
        self.take(number.unwrap_or_default(), !is_torn);
    }

    /// Takes a message that the transport has read by itself: its first word, and whether all others are the same.
    #[inline(always)]
    pub fn check_number_of(&mut self, number: u64, is_whole: bool) {
        self.take(number, is_whole);
    }

    /// Takes a message of which the transport carries nothing but the number, as far as it is wide.
    pub fn check_number(&mut self, number: u64, bits: u32) {
        let mask = u64::MAX >> (64 - bits.clamp(1, 64));
        if number == STOP & mask {
            self.has_stopped = true;
        } else if number == self.next[0] & mask {
            self.take(self.next[0], true);
        } else {
            self.complain(format!("number {} came as {number}", self.next[0] & mask));
        }
    }

    /// A message too short for its number.
    fn check_short(&mut self, bytes: &[u8]) {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        // The first bytes are the lower ones only on a machine that begins with them.
        self.check_number(u64::from_le_bytes(word), 8 * bytes.len() as u32);
    }

    #[inline(always)]
    fn take(&mut self, number: u64, is_whole: bool) {
        if number == STOP {
            self.has_stopped = true;
            return;
        }
        let (publisher, number) = ((number >> PUBLISHER) as usize, number & ((1 << PUBLISHER) - 1));
        let Some(next) = self.next.get_mut(publisher) else {
            return self.complain(format!("a message is torn: it says that publisher {publisher} sent it"));
        };
        if !is_whole || number < *next || (number > *next && self.order == Order::Every) {
            let what = if is_whole { "out of order" } else { "torn" };
            let expected = *next;
            return self.complain(format!("message {number} is {what}; {expected} was the next"));
        }
        self.skipped += number - *next;
        *next = number + 1;
        self.received += 1;
        self.digest = self.digest.wrapping_add(digest(publisher, number));
    }

    #[cold]
    fn complain(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

/// What a message adds to the digest.
#[inline]
pub(crate) fn digest(publisher: usize, number: u64) -> u64 {
    // An odd factor moves each number somewhere else, and a square tells apart sums that are equal.
    let number = (publisher as u64) << PUBLISHER | number;
    number.wrapping_mul(number ^ 0x9e37_79b9_7f4a_7c15)
}

/// How many words hold what is touched of a message.
pub(crate) fn touched_words(workload: &Workload) -> usize {
    touched(workload.touch, workload.size).div_ceil(8)
}

#[inline]
fn touched(touch: Touch, len: usize) -> usize {
    match touch {
        Touch::All => len,
        Touch::Header => len.min(8),
    }
}
