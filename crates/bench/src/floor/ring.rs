//! A ring of slots with the sequence word inside: `floor-ring`, `floor-futex`, `floor-broadcast`.
//!
//! The slot that has had `n` messages or pieces through it before the present one is published by the word
//! `n * slots + index + 1`, which is the count of all that were published so far. A consumer looks at the slot that comes next
//! and at nothing else, so that a small message is one cache line from the producer to the consumer. There is no shared head.
//!
//! Each consumer has a cursor, the count of those it has done with, in a mark of its own. It publishes that each quarter of
//! the ring; the producer looks at the cursors only when it has come to the end of the room that it knows of.
//!
//! A message that is larger than a piece is published piece by piece.

use std::sync::atomic::{AtomicU64, Ordering};

use super::bell::{Bell, wait};
use super::segment::{LINE, Lane, PIECE, Segment, Shape};
use crate::{
    Ends, Failure, Incoming, Outgoing, Parts, Pattern, Receive, Result, Role, Send, Setup, Transport, Waiting,
};

/// The most messages that go together.
const BATCH: usize = 64;

/// By how many words a consumer lets the producer get ahead: 512 lines.
const AHEAD: usize = 512 * LINE;

/// How often it looks for that before it takes what there is.
const LOOKS: u32 = 512;

/// Writes to a ring.
#[derive(Debug)]
pub(super) struct Producer<'a> {
    slots: &'a [AtomicU64],
    stride: usize,
    /// Of a message.
    pieces: usize,
    batch: usize,
    /// Written by one consumer each.
    cursors: Vec<&'a AtomicU64>,
    /// The word at which the next slot begins.
    at: usize,
    /// How many slots were published.
    head: u64,
    /// How many may be, as far as is known.
    limit: u64,
    capacity: u64,
    /// How many pieces of the message at hand were published.
    sent: usize,
    filled: Option<Bell<'a>>,
    freed: Option<Bell<'a>>,
}

impl<'a> Producer<'a> {
    /// The only one of a lane, for this many consumers, which sleep if `parks`.
    pub(super) fn new(lane: Lane<'a>, consumers: usize, parks: bool) -> Self {
        let Shape { slots, stride, pieces, .. } = lane.shape;
        Self {
            slots: lane.slots,
            stride,
            pieces,
            batch: if pieces == 1 { (slots / 4).clamp(1, BATCH) } else { 1 },
            cursors: (0..consumers).map(|index| lane.mark(index)).collect(),
            at: 0,
            head: 0,
            limit: slots as u64,
            capacity: slots as u64,
            sent: 0,
            filled: parks.then(|| Bell::new(lane.filled)),
            freed: parks.then(|| Bell::new(lane.freed)),
        }
    }

    /// Publishes a message, or as much of it as there is room for: whether all of it. Whoever sleeps may sleep on.
    #[inline(always)]
    fn publish(&mut self, message: &mut Outgoing) -> Result<bool> {
        if self.pieces > 1 {
            return self.publish_pieces(message);
        }
        if self.head == self.limit && !self.has_room() {
            return Ok(false);
        }
        self.publish_slot(|room| message.fill_words(room));
        Ok(true)
    }

    fn publish_pieces(&mut self, message: &mut Outgoing) -> Result<bool> {
        let words = message.words();
        while self.sent < self.pieces {
            if self.head == self.limit && !self.has_room() {
                return Ok(false);
            }
            let len = PIECE.min(words - self.sent * PIECE);
            self.publish_slot(|room| message.fill_part(&room[..len]));
            self.sent += 1;
            // A sleeper that is woken for each piece has read it before the next is there, and sleeps again each time.
            if self.sent.is_power_of_two() {
                self.ring()?;
            }
        }
        self.sent = 0;
        Ok(true)
    }

    #[inline(always)]
    fn publish_slot(&mut self, fill: impl FnOnce(&[AtomicU64])) {
        let (word, room) = self.slots[self.at..self.at + self.stride].split_at(1);
        fill(room);
        self.head += 1;
        // Release: pairs with the Acquire in `Consumer::has_next`, which so sees what was filled in.
        word[0].store(self.head, Ordering::Release);
        self.at += self.stride;
        if self.at == self.slots.len() {
            self.at = 0;
        }
    }

    /// Looks how far all consumers are.
    #[cold]
    fn has_room(&mut self) -> bool {
        // Acquire: pairs with the Release in `Consumer::advance`: what is written to a slot now, nobody still reads.
        let done =
            self.cursors.iter().map(|cursor| cursor.load(Ordering::Acquire)).min().unwrap_or(self.head);
        self.limit = done + self.capacity;
        self.head < self.limit
    }

    #[inline]
    fn ring(&self) -> Result<()> {
        self.filled.map_or(Ok(()), Bell::ring)
    }

    fn wait_for_room(&mut self) -> Result<()> {
        // Pieces may have been published of which nobody was told.
        self.ring()?;
        wait(self.freed, || self.has_room())
    }
}

impl Send for Producer<'_> {
    #[inline(always)]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        let went = self.publish(message)?;
        if went {
            self.ring()?;
        }
        Ok(went)
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        while !self.publish(message)? {
            self.wait_for_room()?;
        }
        self.ring()
    }

    fn batch(&self) -> usize {
        self.batch
    }

    /// All that there is room for, with one look at who sleeps. The sequence words are stored one by one: on x86-64 a Release
    /// is a plain store, and the consumer may begin with the first.
    fn send_batch(&mut self, messages: &mut [Outgoing], waits: bool) -> Result<usize> {
        loop {
            let mut went = 0;
            for message in &mut *messages {
                if !self.publish(message)? {
                    break;
                }
                went += 1;
            }
            if went > 0 {
                self.ring()?;
                return Ok(went);
            }
            if !waits {
                return Ok(0);
            }
            self.wait_for_room()?;
        }
    }

    /// All consumers see the same messages: one is enough.
    fn stop(&mut self, mut message: Outgoing, _: usize) -> Result<()> {
        self.send(&mut message)
    }
}

/// Reads a ring.
#[derive(Debug)]
pub(super) struct Consumer<'a> {
    slots: &'a [AtomicU64],
    stride: usize,
    /// Of a message.
    pieces: usize,
    batch: usize,
    /// Written here, read by the producer.
    cursor: &'a AtomicU64,
    /// The word at which the next slot begins.
    at: usize,
    /// How many slots were read.
    tail: u64,
    /// With how many the cursor is published next.
    due: u64,
    every: u64,
    /// How many pieces of the message at hand were read.
    read: usize,
    parts: Parts,
    /// How many words further on it looks when it had caught up; 0 for the next slot.
    ahead: usize,
    /// How often it still does.
    looks: u32,
    filled: Option<Bell<'a>>,
    freed: Option<Bell<'a>>,
}

impl<'a> Consumer<'a> {
    /// The one of that index. It sleeps if `parks`.
    pub(super) fn new(lane: Lane<'a>, index: usize, parks: bool) -> Self {
        let Shape { slots, stride, pieces, .. } = lane.shape;
        let every = (slots as u64 / 4).max(1);
        Self {
            slots: lane.slots,
            stride,
            pieces,
            batch: if pieces == 1 { (slots / 4).clamp(1, BATCH) } else { 1 },
            cursor: lane.mark(index),
            at: 0,
            tail: 0,
            due: every,
            every,
            read: 0,
            parts: Parts::default(),
            ahead: 0,
            looks: 0,
            filled: parks.then(|| Bell::new(lane.filled)),
            freed: parks.then(|| Bell::new(lane.freed)),
        }
    }

    /// Lets the producer get ahead of it by some lines whenever it has caught up.
    ///
    /// One that is faster than the producer otherwise polls the very line that is being written, so that each message waits
    /// for its line to go to and fro: an order of magnitude. Not for messages that are waited for one by one.
    #[must_use]
    pub(super) fn lagging(mut self) -> Self {
        let slots = (AHEAD / self.stride).min(self.every as usize);
        self.ahead = slots * self.stride;
        self
    }

    /// Whether to leave the producer alone yet.
    #[inline]
    fn lags(&mut self) -> bool {
        let at = self.at + self.ahead;
        let at = if at < self.slots.len() { at } else { at - self.slots.len() };
        // Any word but that of the last lap means that it is ahead. What is published there is not read yet.
        let is_ahead = self.slots[at].load(Ordering::Relaxed) > self.tail;
        self.looks = if is_ahead { 0 } else { self.looks - 1 };
        !is_ahead
    }

    #[inline]
    fn has_next(&self) -> bool {
        // Acquire: pairs with the Release in `Producer::publish_slot`.
        self.slots[self.at].load(Ordering::Acquire) == self.tail + 1
    }

    /// The words of the slot behind its sequence word.
    #[inline]
    fn room(&self) -> &'a [AtomicU64] {
        &self.slots[self.at + 1..self.at + self.stride]
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        self.tail += 1;
        self.at += self.stride;
        if self.at == self.slots.len() {
            self.at = 0;
        }
        if self.tail == self.due {
            self.due += self.every;
            // Release: pairs with the Acquire in `Producer::has_room`; all reads of these slots are over.
            self.cursor.store(self.tail, Ordering::Release);
            if let Some(freed) = self.freed {
                freed.ring()?;
            }
        }
        Ok(())
    }

    fn receive_pieces(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let words = incoming.words();
        while self.has_next() {
            let len = PIECE.min(words - self.read * PIECE);
            let room = self.room();
            incoming.check_part(&mut self.parts, &room[..len]);
            self.read += 1;
            self.advance()?;
            if self.read == self.pieces {
                self.read = 0;
                incoming.check_parts(&mut self.parts);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Receive for Consumer<'_> {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        if self.pieces > 1 {
            return self.receive_pieces(incoming);
        }
        if self.looks > 0 && self.lags() {
            return Ok(false);
        }
        if !self.has_next() {
            self.looks = if self.ahead > 0 { LOOKS } else { 0 };
            return Ok(false);
        }
        incoming.check_words(self.room());
        self.advance()?;
        Ok(true)
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.try_receive(incoming)? {
            wait(self.filled, || self.has_next())?;
        }
        Ok(())
    }

    fn receive_batch(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool> {
        if waits {
            self.receive(incoming)?;
        } else if !self.try_receive(incoming)? {
            return Ok(false);
        }
        for _ in 1..self.batch {
            if !self.try_receive(incoming)? {
                break;
            }
        }
        Ok(true)
    }
}

/// A party's part in one ring, or in two: there and back.
pub(super) struct Rings {
    setup: Setup,
    shape: Shape,
    made: Option<Segment>,
}

impl Transport for Rings {
    type Sender = Producer<'static>;
    type Receiver = Consumer<'static>;

    fn supports(setup: &Setup) -> Result<()> {
        let (pattern, spins) = (setup.workload.pattern, setup.workload.waiting == Waiting::Spin);
        let is_one_to_one = matches!(pattern, Pattern::Rtt | Pattern::Throughput | Pattern::Batch);
        let why = match setup.transport.as_str() {
            "floor-broadcast" if pattern == Pattern::Fanout => return Ok(()),
            "floor-broadcast" => "it goes from one to several",
            _ if !is_one_to_one => "it goes from one to one",
            "floor-ring" if !spins => "it has no way to sleep; floor-futex has",
            "floor-futex" if spins => "it is there for those who sleep; floor-ring spins",
            _ => return Ok(()),
        };
        Err(Failure::Unsupported(why.into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let workload = &setup.workload;
        let shape = Shape::of(setup, workload.subscribers, true);
        let lanes = if workload.pattern == Pattern::Rtt { 2 } else { 1 };
        Ok(Self { setup: setup.clone(), shape, made: Segment::prepare(setup, shape, lanes)? })
    }

    fn connect(self) -> Result<Ends<Self::Sender, Self::Receiver>> {
        let (workload, parks) = (&self.setup.workload, self.setup.workload.waiting != Waiting::Spin);
        let segment = Segment::open(self.made, &self.setup, self.shape)?;
        let there = segment.lane(0)?;
        let back = if workload.pattern == Pattern::Rtt { Some(segment.lane(1)?) } else { None };
        Ok(match self.setup.role {
            Role::Publisher(_) => Ends {
                sender: Some(Producer::new(there, workload.subscribers, parks)),
                receiver: back.map(|back| Consumer::new(back, 0, parks)),
            },
            Role::Subscriber(index) => Ends {
                receiver: Some(if parks || back.is_some() {
                    Consumer::new(there, index, parks)
                } else {
                    Consumer::new(there, index, parks).lagging()
                }),
                sender: back.map(|back| Producer::new(back, 1, parks)),
            },
        })
    }
}
