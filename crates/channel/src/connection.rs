//! One half of a connection, where the user wants one.

use std::os::fd::BorrowedFd;

use twixt_os::{Outcome, Prepared, Result, Wait};

use crate::gather::Gather;
use crate::half::{Accept, Halves, PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{Attributes, Capabilities, Capacity, Message, Opening, Readiness, Side};

/// The connection of a side; the listening one waits for the first.
pub(crate) fn open(mechanism: &dyn Mechanism, opening: &Opening, side: Side) -> Result<Halves> {
    match opening.side_or(side) {
        Side::Connect => mechanism.connect(opening),
        Side::Listen => mechanism.listener(opening)?.accept(opening.opening_wait()),
    }
}

/// The sending half: it connects unless told to listen.
pub(crate) fn sender(mechanism: &dyn Mechanism, opening: &Opening) -> Result<Box<dyn SendHalf>> {
    let (half, unused) = open(mechanism, opening, Side::Connect)?;
    Ok(Box::new(Deaf { half, _unused: unused }))
}

/// The receiving half: it listens and hears everyone who connects, unless told to connect.
pub(crate) fn receiver(mechanism: &dyn Mechanism, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
    match opening.side_or(Side::Listen) {
        Side::Listen => gather(mechanism.listener(opening)?),
        Side::Connect => Ok(quiet(mechanism.connect(opening)?)),
    }
}

/// Hears everyone who connects.
pub(crate) fn gather(accept: Box<dyn Accept>) -> Result<Box<dyn ReceiveHalf>> {
    Ok(Box::new(Gather::new(accept, Box::new(quiet))?))
}

/// A connection of which only one direction is used. Its other half stays open all the same: many a peer takes the end
/// of what it reads for the end of the conversation.
pub(crate) fn quiet((unused, half): Halves) -> Box<dyn ReceiveHalf> {
    Box::new(Quiet { half, _unused: unused })
}

/// Sends, and leaves what the peer answers where it is.
struct Deaf {
    half: Box<dyn SendHalf>,
    _unused: Box<dyn ReceiveHalf>,
}

impl SendHalf for Deaf {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        self.half.send(bytes, attributes, wait)
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        self.half.prepare(bytes, wait)
    }

    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        self.half.finish_prepared(first, bytes, wait)
    }

    fn flush(&mut self, wait: Wait) -> Result<()> {
        self.half.flush(wait)
    }

    fn holds_back(&self) -> bool {
        self.half.holds_back()
    }

    fn finish(&mut self, wait: Wait) -> Result<()> {
        self.half.finish(wait)
    }

    fn capabilities(&self) -> Capabilities {
        self.half.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.half.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        self.half.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        self.half.readiness()
    }

    fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.half.stream()
    }
}

/// Receives, and says nothing.
struct Quiet {
    half: Box<dyn ReceiveHalf>,
    _unused: Box<dyn SendHalf>,
}

impl ReceiveHalf for Quiet {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        self.half.receive(message, wait)
    }

    fn prepare<'a>(&'a mut self, message: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        self.half.prepare(message, wait)
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        self.half.finish_prepared(first, message, wait)
    }

    fn has_buffered(&self) -> bool {
        self.half.has_buffered()
    }

    fn capabilities(&self) -> Capabilities {
        self.half.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.half.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        self.half.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        self.half.readiness()
    }

    fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.half.stream()
    }
}
