//! The broadcast ring: one producer's frames of any length in lines of 64 bytes, read by any number of consumers.
//!
//! ```text
//! ring     | line 0 | line 1 | line 2 | ... | line N-1 |      N is a power of two
//!
//! frame    word 0: tag      4p + 1 once the frame at position p is published, 0 before; 4p + 3 while it is lent out
//!          word 1: about    bits 0..32 length in bytes, 32..56 lines back to the frame before, 56..64 flags
//!          word 2: sequence the producer's number of the message, from 0 on
//!          word 3 and on    payload; with BELOW it begins at the next line, and word 3 is how much of it is there
//! ```
//!
//! A *position* counts lines since the ring was made and never wraps in practice (64 bits); line `p` stands in slot
//! `p mod N`. A message of up to 40 bytes is one line, and so one transfer from processor to processor. Frames are
//! contiguous: one that would reach over the end is preceded by a frame of padding.
//!
//! # Why a tag is never stale
//!
//! A line that is the tag of one lap may be payload in another. So before a frame of `n` lines at `p` is published, the tag at
//! `p + n`, where the next frame will begin, is set to 0. A consumer comes to `p + n` only after it has seen the tag at `p`
//! (Acquire, which pairs with the Release store of that tag), so what it finds there is 0 or the tag of that very frame.
//!
//! # Why nothing is read that is being overwritten
//!
//! The producer announces in `claim` up to which position it is going to write, before it does. What a consumer has read of
//! position `p` counts only if after reading it `claim` is at most `p + N`. Consumers that the producer waits for have their
//! cursors looked at when it comes to the end of the room that it knows of, so they pass this test unless they were
//! forgotten: that is what "slow" means. Since the producer never claims more than the ring's length beyond `head`, a `claim`
//! that says otherwise was not written by a producer of ours.
//!
//! # What a dead producer leaves
//!
//! | where it died | what stands there | what becomes of it |
//! |---|---|---|
//! | before the tag of a frame is stored | 0, or for a loan [`frame::reserved`] and a length | nothing, or the loan is skipped |
//! | after the tag, before `head` | a frame that `head` does not count yet | it is a message: its tag was stored last |
//! | while a large message flows | a tag, `BELOW`, and less in word 3 than the length | marked `BROKEN` and skipped |
//!
//! Whoever adopts the ring goes on from there ([`producer::Producer::adopt`]), and a consumer that knows the producer dead
//! reads up to there.
//!
//! ```text
//! control  word  0: turn      which checkpoint counts: the one at 8 + 16 (turn mod 2)   written by the producer, with a claim
//!          word  8: checkpoint head      all before it were published
//!          word  9:            last      position of the frame before head
//!          word 10:            sequence  the number of the next message
//!          word 11:            messages  how many there were, of all incarnations
//!          word 12:            bytes     and their bytes
//!          word 24: the other checkpoint
//!          word 40: claim     see above                                written once in a stride of N/8 lines
//!          word 48: start     head when the present incarnation began  written when it begins
//!          word 49: epoch     which incarnation                         "
//!          word 50: state     see `Life`                               written when it begins and ends
//!          word 51: before    `state` as the incarnation before left it    written when it begins
//!          word 52: origin    head when the first incarnation began    written when that begins
//!          word 56: met       with a capacity of zero: where whoever joins begins. What is before it is for those that waited for it
//!
//! Nothing but the frame is written for a message: from the newest checkpoint, tags lead to the last of them.
//! ```

pub(crate) mod backing;
pub(crate) mod consumer;
pub(crate) mod frame;
mod lag;
#[cfg(all(test, twixt_loom))]
mod models;
pub(crate) mod producer;
pub(crate) mod run;
mod series;
#[cfg(all(test, not(twixt_loom)))]
mod tests;

/// Words of a line.
pub(crate) const LINE: u64 = 8;
/// Bytes of a line.
pub(crate) const LINE_BYTES: usize = 64;
/// Words of a frame before its payload.
pub(crate) const HEADER: usize = 3;
/// The fewest lines of a ring.
pub(crate) const FEWEST: u64 = 16;
/// The most: 16 GiB, and less than what a length field can say twice.
pub(crate) const MOST: u64 = 1 << 28;
/// Words that the control block has.
pub(crate) const CONTROL: usize = 64;

/// Where things stand in the control block.
pub(crate) mod control {
    pub(crate) const TURN: usize = 0;
    /// The first of two checkpoints.
    pub(crate) const CHECKPOINT: usize = 8;
    /// From one to the other.
    pub(crate) const STEP: usize = 16;
    pub(crate) const CLAIM: usize = 40;
    pub(crate) const START: usize = 48;
    pub(crate) const EPOCH: usize = 49;
    pub(crate) const STATE: usize = 50;
    pub(crate) const BEFORE: usize = 51;
    pub(crate) const ORIGIN: usize = 52;
    pub(crate) const MET: usize = 56;
}

/// How far a producer had come at some point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) head: u64,
    pub(crate) last: u64,
    pub(crate) sequence: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Checkpoint {
    /// The newest, of a control block that `load` reads.
    pub(crate) fn read(load: impl Fn(usize) -> u64) -> Self {
        let at = control::CHECKPOINT + control::STEP * (load(control::TURN) & 1) as usize;
        Self {
            head: load(at),
            last: load(at + 1),
            sequence: load(at + 2),
            messages: load(at + 3),
            bytes: load(at + 4),
        }
    }

    /// With a frame behind it.
    #[inline]
    pub(crate) fn with(mut self, position: u64, about: frame::About, sequence: u64) -> Self {
        self.head = position.wrapping_add(about.lines());
        self.last = position;
        if !about.flags.contains(frame::Flags::SKIP) {
            self.sequence = sequence.wrapping_add(1);
        }
        if !about.flags.intersects(frame::Flags::SKIP | frame::Flags::BROKEN) {
            self.messages = self.messages.wrapping_add(1);
            self.bytes = self.bytes.wrapping_add(about.len as u64);
        }
        self
    }
}

/// What a producer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has begun. Whether it lives still, its lock says.
    Active,
    /// It has said good-bye: everything that it published is there.
    Closed,
}

impl Life {
    pub(crate) fn of(word: u64) -> Self {
        if word == Self::Active.word() { Self::Active } else { Self::Closed }
    }

    pub(crate) fn word(self) -> u64 {
        match self {
            Self::Active => 1,
            Self::Closed => 2,
        }
    }
}

/// How many lines lie from `from` to `to`; negative if `to` is before it.
#[inline(always)]
pub(crate) fn distance(from: u64, to: u64) -> i64 {
    to.wrapping_sub(from).cast_signed()
}

/// How many lines further on they are fetched.
const FETCHED: u64 = 16;
/// The same where messages are received together, into the cache behind the nearest: more lines can be on their way to that.
const FETCHED_FAR: u64 = 48;
/// Up to how many lines of a frame are fetched before: of longer ones the processor sees by itself how it goes on.
const FORESEEN: u64 = 32;

/// Has lines fetched as frames of so many lines are passed, one of which is at this position: each line once.
///
/// A message has more instructions than a processor looks ahead, so that lines would come from the other one by one, or a few.
#[inline(always)]
fn fetch_ahead(position: u64, lines: u64, by: u64, fetch: impl Fn(u64)) {
    let ahead = position.wrapping_add(by);
    fetch(ahead);
    if lines > 1 {
        fetch(ahead.wrapping_add(1));
        if lines <= FORESEEN {
            (2..lines).for_each(|line| fetch(ahead.wrapping_add(line)));
        }
    }
}

/// The length of the ring, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    lines: u64,
}

impl Geometry {
    /// Of a power of two lines.
    pub(crate) fn new(lines: u64) -> Option<Self> {
        (lines.is_power_of_two() && (FEWEST..=MOST).contains(&lines)).then_some(Self { lines })
    }

    /// The ring that has `bytes` at least.
    pub(crate) fn of_bytes(bytes: u64) -> Option<Self> {
        let lines = bytes.div_ceil(LINE_BYTES as u64).max(FEWEST).checked_next_power_of_two()?;
        Self::new(lines)
    }

    pub(crate) fn lines(self) -> u64 {
        self.lines
    }

    pub(crate) fn words(self) -> usize {
        (self.lines * LINE) as usize
    }

    pub(crate) fn bytes(self) -> usize {
        self.lines as usize * LINE_BYTES
    }

    /// The slot of a position.
    #[inline(always)]
    pub(crate) fn slot(self, position: u64) -> u64 {
        position & (self.lines - 1)
    }

    /// The first position of the next lap.
    #[inline(always)]
    pub(crate) fn end_of_lap(self, position: u64) -> u64 {
        (position | (self.lines - 1)).wrapping_add(1)
    }

    /// The word where the line of a position begins.
    #[inline(always)]
    pub(crate) fn word(self, position: u64) -> usize {
        (self.slot(position) * LINE) as usize
    }

    /// How far ahead the producer claims at a time, and how far a consumer goes before it says so.
    pub(crate) fn stride(self) -> u64 {
        (self.lines / 8).min(4096)
    }

    /// The longest message: with padding before it, it still fits.
    #[inline]
    pub(crate) fn longest(self) -> usize {
        let lines = (self.lines / 2 - 1) as usize;
        ((lines - 1) * LINE_BYTES).min(u32::MAX as usize / 2)
    }
}
