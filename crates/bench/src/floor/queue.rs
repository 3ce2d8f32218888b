//! A ring that several producers and consumers take slots of by tickets: `floor-mpmc`.
//!
//! After Dmitry Vyukov's bounded queue. Two marks count tickets: the tail those of producers, the head those of consumers.
//! The sequence word of a slot says in which lap it is, and whether it is filled, so that memory of zeros is an empty queue:
//!
//! | word | slot | who makes it so |
//! |---|---|---|
//! | 2 × lap | free for the producer whose ticket is `lap * slots + index` | the consumer of the lap before |
//! | 2 × lap + 1 | filled for the consumer with the same ticket | that producer |
//!
//! A ticket is taken only for a slot that was seen free, or filled: nobody waits with a ticket in its hand.

use std::sync::atomic::{AtomicU64, Ordering};

use super::bell::{Bell, wait};
use super::segment::{Lane, Segment, Shape};
use crate::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport, Waiting,
};

/// A producer's or a consumer's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tickets<'a> {
    slots: &'a [AtomicU64],
    stride: usize,
    /// The logarithm of the number of slots.
    shift: u32,
    /// The next ticket of this side.
    next: &'a AtomicU64,
    /// What is added to twice the lap in the word of a slot that this side can take.
    ready: u64,
    filled: Option<Bell<'a>>,
    freed: Option<Bell<'a>>,
}

const TAIL: usize = 0;
const HEAD: usize = 1;

impl<'a> Tickets<'a> {
    /// A producer's, of which there may be several. It sleeps if `parks`.
    pub(super) fn produce(lane: Lane<'a>, parks: bool) -> Self {
        Self::new(lane, lane.mark(TAIL), 0, parks)
    }

    /// A consumer's.
    pub(super) fn consume(lane: Lane<'a>, parks: bool) -> Self {
        Self::new(lane, lane.mark(HEAD), 1, parks)
    }

    fn new(lane: Lane<'a>, next: &'a AtomicU64, ready: u64, parks: bool) -> Self {
        Self {
            slots: lane.slots,
            stride: lane.shape.stride,
            shift: lane.shape.slots.ilog2(),
            next,
            ready,
            filled: parks.then(|| Bell::new(lane.filled)),
            freed: parks.then(|| Bell::new(lane.freed)),
        }
    }

    /// The slot that a ticket is for, and what its word is when it can be taken.
    #[inline]
    fn slot(&self, ticket: u64) -> (&'a [AtomicU64], u64) {
        // Not more than the number of slots, which is one.
        let index = (ticket & ((1 << self.shift) - 1)) as usize;
        (&self.slots[index * self.stride..(index + 1) * self.stride], 2 * (ticket >> self.shift) + self.ready)
    }

    /// A ticket, its slot, and the slot's word; `None` if there is none free, or filled.
    #[inline]
    fn take(&self) -> Option<(u64, &'a [AtomicU64], u64)> {
        let mut ticket = self.next.load(Ordering::Relaxed);
        loop {
            let (slot, ready) = self.slot(ticket);
            // Acquire: pairs with the Release in `give`: the other side has filled the slot, or has read it.
            let word = slot[0].load(Ordering::Acquire);
            if word < ready {
                return None;
            }
            // A later word: others have taken this ticket meanwhile.
            let now = if word > ready {
                self.next.load(Ordering::Relaxed)
            } else {
                // Relaxed: the slot's word orders all that is in it.
                let taken =
                    self.next.compare_exchange_weak(ticket, ticket + 1, Ordering::Relaxed, Ordering::Relaxed);
                match taken {
                    Ok(_) => return Some((ticket, slot, ready)),
                    Err(now) => now,
                }
            };
            ticket = now;
        }
    }

    /// Hands a slot to the other side.
    #[inline]
    fn give(slot: &[AtomicU64], word: u64) {
        // Release: pairs with the Acquire in `take`.
        slot[0].store(word + 1, Ordering::Release);
    }

    /// Whether a ticket is the last of a quarter of the slots.
    #[inline]
    fn ends_quarter(&self, ticket: u64) -> bool {
        let quarter = (1u64 << self.shift >> 2).max(1);
        (ticket + 1) & (quarter - 1) == 0
    }

    fn is_there(&self) -> bool {
        let (slot, ready) = self.slot(self.next.load(Ordering::Relaxed));
        // A hint: `take` looks for itself.
        slot[0].load(Ordering::Relaxed) >= ready
    }
}

impl Send for Tickets<'_> {
    #[inline(always)]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        let Some((_, slot, word)) = self.take() else { return Ok(false) };
        message.fill_words(&slot[1..]);
        Self::give(slot, word);
        self.filled.map_or(Ok(()), Bell::ring)?;
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        while !self.try_send(message)? {
            wait(self.freed, || self.is_there())?;
        }
        Ok(())
    }
}

impl Receive for Tickets<'_> {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let Some((ticket, slot, word)) = self.take() else { return Ok(false) };
        incoming.check_words(&slot[1..]);
        Self::give(slot, word);
        // A producer that is woken for each free slot fills it and sleeps again. One that sleeps has filled them all, so that
        // a quarter is still to come; who is late with a slot rings before it sleeps, and before it ends.
        if self.ends_quarter(ticket) || incoming.has_stopped() {
            self.freed.map_or(Ok(()), Bell::ring)?;
        }
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.try_receive(incoming)? {
            self.freed.map_or(Ok(()), Bell::ring)?;
            wait(self.filled, || self.is_there())?;
        }
        Ok(())
    }
}

/// A party's part in the queue.
pub(super) struct Queue {
    setup: Setup,
    shape: Shape,
    made: Option<Segment>,
}

/// As many slots as a power of two, so that a ticket's is found by a mask.
pub(super) fn round(shape: Shape) -> Shape {
    Shape { slots: 1 << shape.slots.ilog2(), ..shape }
}

impl Transport for Queue {
    type Sender = Tickets<'static>;
    type Receiver = Tickets<'static>;

    fn supports(setup: &Setup) -> Result<()> {
        if setup.workload.pattern == Pattern::Work {
            return Ok(());
        }
        Err(Failure::Unsupported("it shares work among several".into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let shape = round(Shape::of(setup, 2, false));
        Ok(Self { setup: setup.clone(), shape, made: Segment::prepare(setup, shape, 1)? })
    }

    fn connect(self) -> Result<Ends<Self::Sender, Self::Receiver>> {
        let parks = self.setup.workload.waiting != Waiting::Spin;
        let lane = Segment::open(self.made, &self.setup, self.shape)?.lane(0)?;
        Ok(match self.setup.role {
            Role::Publisher(_) => Ends { sender: Some(Tickets::produce(lane, parks)), receiver: None },
            Role::Subscriber(_) => Ends { sender: None, receiver: Some(Tickets::consume(lane, parks)) },
        })
    }
}
