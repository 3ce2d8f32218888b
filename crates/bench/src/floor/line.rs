//! One cache line there and back: `floor-line`.
//!
//! The first word of the line is whose turn it is, the others are the message. The party that begins makes it odd, the one
//! that answers even, each by one more. A message of which only the header is touched fits whatever its size.

use std::sync::atomic::{AtomicU64, Ordering};

use super::bell::wait;
use super::segment::{LINE, Lane, Segment, Shape};
use crate::message::touched_words;
use crate::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport, Waiting,
};

/// One direction of the line.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    line: &'a [AtomicU64],
    /// What the first word is next.
    turn: u64,
}

impl<'a> Turn<'a> {
    /// The one that makes the first word `turn`, or waits until it is.
    pub(super) fn new(lane: Lane<'a>, turn: u64) -> Self {
        Self { line: &lane.slots[..LINE], turn }
    }

    #[inline]
    fn is_here(&self) -> bool {
        // Acquire: pairs with the Release in `try_send`.
        self.line[0].load(Ordering::Acquire) == self.turn
    }
}

impl Send for Turn<'_> {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        message.fill_words(&self.line[1..]);
        // Release: pairs with the Acquire in `is_here`, which so sees what was filled in. That the other has read what stood
        // there is why this is our turn.
        self.line[0].store(self.turn, Ordering::Release);
        self.turn += 2;
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.try_send(message).map(drop)
    }
}

impl Receive for Turn<'_> {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        if !self.is_here() {
            return Ok(false);
        }
        incoming.check_words(&self.line[1..]);
        self.turn += 2;
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        wait(None, || self.is_here())?;
        self.try_receive(incoming).map(drop)
    }
}

/// A party's part in the line.
pub(super) struct Line {
    setup: Setup,
    made: Option<Segment>,
}

/// A line, and the other that is fetched with it.
const SHAPE: Shape = Shape { marks: 0, slots: 2, stride: LINE, pieces: 1 };

impl Transport for Line {
    type Sender = Turn<'static>;
    type Receiver = Turn<'static>;

    fn supports(setup: &Setup) -> Result<()> {
        let workload = &setup.workload;
        let why = if workload.pattern != Pattern::Rtt || workload.waiting != Waiting::Spin {
            "it goes there and back, and spins"
        } else if touched_words(workload) >= LINE {
            "a cache line has room for messages of 56 bytes"
        } else {
            return Ok(());
        };
        Err(Failure::Unsupported(why.into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        Ok(Self { setup: setup.clone(), made: Segment::prepare(setup, SHAPE, 1)? })
    }

    fn connect(self) -> Result<Ends<Self::Sender, Self::Receiver>> {
        let lane = Segment::open(self.made, &self.setup, SHAPE)?.lane(0)?;
        let (sends, receives) = if matches!(self.setup.role, Role::Publisher(_)) { (1, 2) } else { (2, 1) };
        Ok(Ends { sender: Some(Turn::new(lane, sends)), receiver: Some(Turn::new(lane, receives)) })
    }
}
