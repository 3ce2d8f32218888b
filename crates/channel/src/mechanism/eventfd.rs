//! Event counters.

use std::os::fd::AsFd;
use std::sync::Arc;

use twixt_address::Endpoint;
use twixt_os::eventfd::{EventFd, Flags, MAX};
use twixt_os::{ErrorKind, Outcome, Prepared, Result, Wait};

use crate::half::{Halves, PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Content, Message, Opening, Readiness, number,
};

pub(super) struct Eventfd;

impl Mechanism for Eventfd {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities()
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        Err(nameless(opening))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        Err(nameless(opening))
    }

    fn pair(&self, opening: &Opening) -> Result<Halves> {
        let initial = opening.address().options().value().unwrap_or(0);
        let initial = u32::try_from(initial).map_err(|_| {
            let why = "the counter starts with 0 to 4294967295";
            opening.refused("make a pair of", ErrorKind::OutOfRange, why)
        })?;
        // Only so does no addition ever wait longer than it is told to.
        let counter = EventFd::with_flags(initial, Flags::NONBLOCK)?;
        Ok(halves_of(counter, Origin::of(opening)))
    }
}

fn nameless(opening: &Opening) -> twixt_os::Error {
    let why = "it has no name by which the other side could find it; make both ends with Opening::pair, or name an \
               inherited one by fd:N";
    opening.refused("open", ErrorKind::Unsupported, why)
}

fn capabilities() -> Capabilities {
    Capabilities {
        content: Content::Number { least: 1, most: MAX, adds_up: true },
        max_message: Some(20),
        empty_messages: false,
        capacities: Capacities::empty(),
        ..Capabilities::new(Boundaries::Kept)
    }
}

/// Both halves of a counter.
pub(super) fn halves_of(counter: EventFd, origin: Origin) -> Halves {
    let counter = Arc::new(counter);
    let sender = Sender { counter: Arc::clone(&counter), number: [0; 8], origin };
    (Box::new(sender), Box::new(Receiver { counter, number: [0; 8] }))
}

fn len(counter: &EventFd) -> Option<u64> {
    counter.count()
}

struct Sender {
    counter: Arc<EventFd>,
    /// What is being added.
    number: [u8; 8],
    origin: Origin,
}

impl Sender {
    #[inline]
    fn parse(&self, bytes: &[u8]) -> Result<u64> {
        const RIGHT: &str = "a message is the number to add, 1 to 18446744073709551614 in decimal";
        match number::parse(bytes, &self.origin, RIGHT)? {
            // Nobody would be told of it, and the largest number is the one that the counter cannot hold.
            0 | u64::MAX => Err(self.origin.refused("send to", ErrorKind::InvalidInput, RIGHT)),
            number => Ok(number),
        }
    }
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        self.counter.add_wait(self.parse(bytes)?, wait)
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        // What is wrong is said when it is sent.
        self.number = self.parse(bytes).ok()?.to_ne_bytes();
        Some(PreparedSend { call: self.counter.prepare_add(&self.number, wait)?, whole: size_of::<u64>() })
    }

    fn finish_prepared(&mut self, first: Outcome, _: &[u8], wait: Wait) -> Result<()> {
        self.counter.finish_add(first, u64::from_ne_bytes(self.number), wait)
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(len(&self.counter))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_write(self.counter.as_fd()))
    }
}

struct Receiver {
    counter: Arc<EventFd>,
    /// What is being read.
    number: [u8; 8],
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        number::write(message, self.counter.read_wait(wait)?);
        Ok(())
    }

    fn prepare<'a>(&'a mut self, _: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        self.counter.prepare_read(&mut self.number, wait)
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        number::write(message, self.counter.finish_read(first, &mut self.number, wait)?);
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(len(&self.counter))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.counter.as_fd()))
    }
}
