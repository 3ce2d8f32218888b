//! Publish and subscribe: every subscriber gets every message of every publisher.
//!
//! Each publisher has a ring of its own, which nobody else writes; each subscriber has a page of its own with its cursors.
//! Publishing costs the same for one subscriber or fifty: nobody is looked at unless there is no room, or somebody sleeps.

mod cursor;
mod followed;
mod loan;
mod message;
mod publisher;
mod sample;
mod spill;
mod subscriber;

pub use loan::{Flow, Loan};
pub use message::Message;
pub use publisher::{Batch, Publisher};
pub use sample::Sample;
pub use subscriber::{Event, Left, Subscriber, SubscriberOptions};

/// The most publishers at a time.
pub const MOST_PUBLISHERS: usize = 128;
/// The most subscribers at a time.
pub const MOST_SUBSCRIBERS: usize = 1024;

/// What becomes of a subscriber that is slower than the publishers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slow {
    /// Publishers wait for it.
    #[default]
    Block,
    /// It misses the oldest messages that it has not received, and is told how many.
    DropOldest,
    /// It keeps what it has not received, and misses what came when the ring was full, and is told how many.
    DropNewest,
    /// It is told that it was too slow, and that is the end for it.
    Disconnect,
}

impl Slow {
    /// The word for it, as addresses have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropOldest => "drop-oldest",
            Self::DropNewest => "drop-newest",
            Self::Disconnect => "disconnect",
        }
    }

    fn word(self) -> u64 {
        match self {
            Self::Block => 1,
            Self::DropOldest => 2,
            Self::DropNewest => 3,
            Self::Disconnect => 4,
        }
    }

    pub(crate) fn of(word: u64) -> Option<Self> {
        [Self::Block, Self::DropOldest, Self::DropNewest, Self::Disconnect]
            .into_iter()
            .find(|it| it.word() == word)
    }
}

/// The page of a subscriber, behind its header.
///
/// ```text
/// word  512   received    messages                                   written by the subscriber
/// word  513   bytes
/// word  514   missed      messages
/// word  515   parks
/// word  516   leaving     not 0 once it takes no more
/// word  517   joined      not 0 once it has decided where it begins: all that is published after that is received
/// word 1024 + 8 k         cursor at publisher k: 2 p + 1 when all before position p was received; 0 before it follows, 2 if it does not
/// word 1025 + 8 k         with a capacity of zero: 2 p + 1 while it waits for the message at position p of publisher k, else 0
/// ```
pub(crate) mod page {
    use crate::ring::distance;

    pub(crate) const COUNTERS: usize = crate::segment::HEADER;
    pub(crate) const RECEIVED: usize = 0;
    pub(crate) const BYTES: usize = 1;
    pub(crate) const MISSED: usize = 2;
    pub(crate) const PARKS: usize = 3;
    pub(crate) const LEAVING: usize = 4;
    pub(crate) const JOINED: usize = 5;
    pub(crate) const COUNTED: usize = 64;
    pub(crate) const CURSORS: usize = 1024;
    pub(crate) const STEP: usize = 8;
    /// From a cursor to the word beside it.
    pub(crate) const INVITATION: usize = 1;
    pub(crate) const WORDS: usize = CURSORS + STEP * super::MOST_PUBLISHERS;

    const TOP: u64 = 1 << 63;

    /// The word of a cursor at a publisher that the subscriber does not listen to: it is not to be waited for.
    pub(crate) const IGNORED: u64 = 2;

    /// The word of a cursor.
    pub(crate) fn cursor(position: u64) -> u64 {
        position.wrapping_mul(2) | 1
    }

    /// The position that a cursor's word says, near another: the upper bit is not in it.
    pub(crate) fn position(word: u64, near: u64) -> Option<u64> {
        if word & 1 == 0 {
            return None;
        }
        let position = word >> 1 | near & TOP;
        // Half of all positions away is what nobody is: the other half is meant.
        let is_near = distance(near, position).unsigned_abs() < TOP / 2;
        Some(if is_near { position } else { position ^ TOP })
    }
}

/// Where a publisher's segment has what, behind its header.
pub(crate) mod segment {
    use crate::ring::{CONTROL, Geometry};
    use crate::segment::HEADER;

    pub(crate) const CONTROL_AT: usize = HEADER;
    /// The ring begins at a page of its own.
    pub(crate) const RING: usize = 2 * HEADER;

    pub(crate) fn bytes(geometry: Geometry) -> usize {
        const { assert!(CONTROL_AT + CONTROL <= RING) };
        8 * RING + geometry.bytes()
    }
}
