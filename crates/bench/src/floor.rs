//! The floor of the machine: what memory that two processes share allows, with nothing around it.
//!
//! These transports do what the workloads ask for, every byte and every check of the harness included, and nothing else: no
//! look at who the peer is, whether it lives, or what it has written where. They believe all that stands in the shared
//! memory. A peer that writes nonsense there gets wrong messages or a run that ends by its time limit (and nothing worse: all
//! accesses are within bounds, and atomic). So they are what a library between processes could reach at best, and not one.
//!
//! | name | workloads | what it is |
//! |---|---|---|
//! | `floor-line` | rtt, spinning | one cache line there and back; messages that fit in it |
//! | `floor-ring` | rtt, throughput, batch, spinning | [slots with the sequence word inside](ring) |
//! | `floor-futex` | the same, asleep | the same, with a [bare futex](bell) to sleep on |
//! | `floor-broadcast` | fanout | the same slots, read by all subscribers |
//! | `floor-mpmc` | work | [slots](queue) that several producers and consumers take by tickets |
//! | `floor-memcpy` | throughput | [a copy](memcpy) of each message within one process; for show |
//!
//! No ratio is taken of `floor-memcpy`, as it does not do the work: there is no hand-over.
//!
//! # In place, word by word
//!
//! A message is written to and read from the shared memory in place, with the processor's vectors
//! ([`twixt_sys::words`]): what relaxed accesses of its words do, at half the instructions or fewer. The other way that safe
//! code has is to fill a buffer of the process's own and to copy that in and out
//! ([`Mapping::write`](twixt_sys::Mapping::write), [`Mapping::read`](twixt_sys::Mapping::read)), which takes as many accesses
//! word by word, and the buffer besides.
//!
//! # The memory
//!
//! One file in the run's directory, in memory where there is such a file system: publisher 0 makes it whole, reserved and
//! zeroed, before anybody opens it, and everyone has its pages mapped before the run begins. [`segment`] draws it.

mod bell;
mod line;
mod memcpy;
mod queue;
mod ring;
mod segment;
#[cfg(test)]
mod tests;

use crate::{Entry, Family};

/// All of the floor, in the order in which it is measured.
pub(crate) static ENTRIES: &[Entry] = &[
    Entry::new::<line::Line>("floor-line", Family::Floor).described("one cache line there and back"),
    Entry::new::<ring::Rings>("floor-ring", Family::Floor).described("slots with the sequence word inside"),
    Entry::new::<ring::Rings>("floor-futex", Family::Floor)
        .described("the same slots, and a bare futex to sleep on"),
    Entry::new::<ring::Rings>("floor-broadcast", Family::Floor)
        .described("the same slots, read by all subscribers"),
    Entry::new::<queue::Queue>("floor-mpmc", Family::Floor).described("slots that several take by tickets"),
    Entry::new::<memcpy::Copied>("floor-memcpy", Family::Floor)
        .for_show()
        .described("a copy of each message within one process"),
];
