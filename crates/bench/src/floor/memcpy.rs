//! A copy of each message within one process: `floor-memcpy`, a figure to set others beside.
//!
//! It does not do what the workload asks for. The producer counts, and says how many messages there are to be when it has
//! counted them all. The consumer then copies as many from one piece of its own memory to another with the language's own copy
//! (`memcpy`), and goes through as much memory as `floor-ring` has slots in. Its figure is what a message costs as soon as
//! anybody copies it, once, with nothing handed over; what is copied was written long ago and is in the second-level cache.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bell::{Bell, wait};
use super::segment::{Lane, Segment, Shape};
use crate::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Touch, Transport,
};

/// Counts messages.
#[derive(Debug)]
pub(super) struct Counter {
    /// One more than were counted, once all were.
    all: &'static AtomicU64,
    bell: Bell<'static>,
    counted: u64,
}

impl Send for Counter {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.counted = message.number() + 1;
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.try_send(message).map(drop)
    }

    fn stop(&mut self, _: Outgoing, _: usize) -> Result<()> {
        // Release: pairs with the Acquire in `Copier::all`, although nothing but the word itself is handed over.
        self.all.store(self.counted + 1, Ordering::Release);
        self.bell.ring()
    }
}

/// Copies messages.
#[derive(Debug)]
pub(super) struct Copier {
    all: &'static AtomicU64,
    bell: Bell<'static>,
    from: Vec<u8>,
    into: Vec<u8>,
    len: usize,
    at: usize,
    copied: u64,
}

impl Copier {
    /// How many messages there are to be, if that is known.
    #[inline]
    fn all(&self) -> Option<u64> {
        // Acquire: pairs with the Release in `Counter::stop`.
        self.all.load(Ordering::Acquire).checked_sub(1)
    }
}

impl Receive for Copier {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let Some(all) = self.all() else { return Ok(false) };
        if self.copied == all {
            incoming.check_number(u64::MAX, 64);
            return Ok(true);
        }
        self.into.copy_from_slice(&self.from[self.at..self.at + self.len]);
        black_box(self.into.as_mut_slice());
        self.at += self.len;
        if self.at == self.from.len() {
            self.at = 0;
        }
        incoming.check_number(self.copied, 64);
        self.copied += 1;
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        if self.all().is_none() {
            wait(Some(self.bell), || self.all.load(Ordering::Acquire) > 0)?;
        }
        self.try_receive(incoming).map(drop)
    }
}

/// A party's part.
pub(super) struct Copied {
    setup: Setup,
    made: Option<Segment>,
}

/// Nothing but a mark.
const SHAPE: Shape = Shape { marks: 1, slots: 0, stride: 0, pieces: 0 };

impl Transport for Copied {
    type Sender = Counter;
    type Receiver = Copier;

    fn supports(setup: &Setup) -> Result<()> {
        if setup.workload.pattern == Pattern::Throughput && setup.workload.touch == Touch::All {
            return Ok(());
        }
        Err(Failure::Unsupported("it goes one way, and copies all of a message".into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        Ok(Self { setup: setup.clone(), made: Segment::prepare(setup, SHAPE, 1)? })
    }

    fn connect(self) -> Result<Ends<Counter, Copier>> {
        let lane: Lane<'static> = Segment::open(self.made, &self.setup, SHAPE)?.lane(0)?;
        let (all, bell) = (lane.mark(0), Bell::new(lane.filled));
        Ok(match self.setup.role {
            Role::Publisher(_) => Ends { sender: Some(Counter { all, bell, counted: 0 }), receiver: None },
            Role::Subscriber(_) => {
                let len = self.setup.workload.size;
                let messages = Shape::of(&self.setup, 0, false).slots;
                // Written, so that the pages are there.
                let from = vec![1; len * messages];
                let copier = Copier { all, bell, from, into: vec![2; len], len, at: 0, copied: 0 };
                Ends { sender: None, receiver: Some(copier) }
            }
        })
    }
}
