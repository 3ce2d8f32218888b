//! Work for whoever has time: each message goes to one of the consumers, and again to another if that one dies.
//!
//! Each producer has a ring of its own, which nobody else writes, and beside it a ledger with a word for each message
//! that says whose it is. A consumer takes a message by putting its own place into that word, and acknowledges it in the same
//! word: so a survivor always knows what the dead had in hand. Messages stay when their producer goes, until they are
//! acknowledged or the queue is removed.
//!
//! **At least once.** A message that was accepted is handed out until somebody acknowledges it. It is handed out again when its
//! consumer drops it, rejects it, dies, or has had it for longer than the queue's
//! [visibility](crate::Options::visibility). Who lost a message in that way is told when it acknowledges it. What was handed
//! out [too often](crate::Options::retries) goes to the queue `NAME.dead`.
//!
//! Each producer's messages are handed out in their order; those that are handed out again come late.
//!
//! ```
//! use twixt_bus::{Options, queue};
//! # let scratch = twixt_testkit::scratch();
//! # let place = twixt_bus::Place::at(scratch.path())?;
//! let name = twixt_address::BusName::new("thumbnails")?;
//! let options = Options::new().create(true).retries(3);
//! # let options = options.place(place);
//! let producer = queue::Producer::open(&name, &options)?;
//! producer.send(b"cat.png")?;
//!
//! let consumer = queue::Consumer::open(&name, &options)?;
//! let job = consumer.receive()?;
//! assert_eq!(job.to_vec()?, b"cat.png");
//! assert_eq!(job.deliveries(), 1);
//! job.acknowledge()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aside;
mod basket;
mod claim;
mod consumer;
mod crowd;
mod job;
mod ledger;
#[cfg(all(test, twixt_loom))]
mod models;
mod picker;
mod producer;
mod room;
mod seat;
mod stat;
#[cfg(all(test, not(twixt_loom)))]
mod tests;

pub use consumer::{Consumer, ConsumerOptions};
pub use job::Job;
pub use producer::{Batch, Producer};
pub use stat::{Stat, stat};

/// The most producers at a time.
pub const MOST_PRODUCERS: usize = 128;
/// The most consumers at a time.
pub const MOST_CONSUMERS: usize = claim::OWNERS;

/// From how many bytes on a message begins at a line of its own.
const LARGE: usize = 32 << 10;

/// Where a producer's segment has what, behind its header.
///
/// ```text
/// word  512   control block of the ring    64 words, see `ring`
/// word  640   tail                         all before it was acknowledged and may be overwritten
/// word  641   parks                        how often all who had this place have slept
/// word  642   gate                         2 p + 1 while it waits, or polls, for the message at position p to be over; else 0
/// word 1024   ring
/// ```
///
/// All of it is written by the producer alone.
pub(crate) mod segment {
    use crate::ring::{CONTROL, Geometry};
    use crate::segment::HEADER;

    pub(crate) const CONTROL_AT: usize = HEADER;
    pub(crate) const TAIL_AT: usize = HEADER + 128;
    pub(super) const TAIL: usize = 0;
    pub(crate) const PARKS: usize = 1;
    pub(super) const GATE: usize = 2;
    pub(crate) const TAIL_WORDS: usize = 3;
    /// The ring begins at a page of its own.
    pub(crate) const RING: usize = 2 * HEADER;

    pub(super) fn bytes(geometry: Geometry) -> usize {
        const { assert!(CONTROL_AT + CONTROL <= TAIL_AT && TAIL_AT + TAIL_WORDS <= RING) };
        8 * RING + geometry.bytes()
    }

    /// The word of a gate. The upper bit of a position is in no lap.
    pub(super) fn gate(position: u64) -> u64 {
        position << 1 | 1
    }

    /// The position that it says.
    pub(super) fn gate_at(word: u64) -> Option<u64> {
        (word & 1 != 0).then_some(word >> 1)
    }
}

/// The page of a consumer, behind its header: counts of all who had this place, written by the one that has it.
///
/// ```text
/// word  512   received       messages handed to the program
/// word  513   acknowledged
/// word  514   redelivered    messages that it gave back, its own and those of the dead and the slow
/// word  515   dead           messages that it has put aside
/// word  516   parks
/// ```
pub(crate) mod page {
    pub(crate) const COUNTERS: usize = crate::segment::HEADER;
    pub(crate) const RECEIVED: usize = 0;
    pub(super) const ACKNOWLEDGED: usize = 1;
    pub(super) const REDELIVERED: usize = 2;
    pub(super) const DEAD: usize = 3;
    pub(crate) const PARKS: usize = 4;
    pub(crate) const COUNTED: usize = 64;
    pub(super) const BYTES: usize = 8 * 2 * COUNTERS;
}
