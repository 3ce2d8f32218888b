//! Latest values of the bus: every receiver gets the newest, and may skip those before.

use core::cell::{OnceCell, RefCell};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use twixt_address::Endpoint;
use twixt_bus::{LatestReader, LatestWriter, Version};
use twixt_os::{ErrorKind, Result, Room, Wait};

use super::bus;
use crate::half::{ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Message, Opening, Parties, Persistence,
    Readiness,
};

pub(super) struct Latest;

impl Mechanism for Latest {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        Capabilities { sees_end: true, ..capabilities(None) }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let writer = LatestWriter::open(bus::name(opening)?, &bus::options(opening)?)?;
        Ok(Box::new(Sender { writer, always: OnceCell::new() }))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let reader = LatestReader::open(bus::name(opening)?, &bus::options(opening)?)?;
        Ok(Box::new(Receiver {
            reader: RefCell::new(reader),
            seen: None,
            copy: Room::new(),
            doorbell: OnceCell::new(),
        }))
    }
}

/// What a half can do, with values of so many bytes.
fn capabilities(longest: Option<usize>) -> Capabilities {
    Capabilities {
        max_message: longest,
        senders: Parties::One,
        receivers: Parties::All,
        reliable: false,
        newest_wins: true,
        persistence: Persistence::Kernel,
        capacities: Capacities::empty(),
        ..Capabilities::new(Boundaries::Kept)
    }
}

struct Sender {
    writer: LatestWriter,
    /// What is always ready, as the sender is, once somebody has polled.
    always: OnceCell<OwnedFd>,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, _wait: Wait) -> Result<()> {
        // Nobody is ever waited for.
        self.writer.write(bytes).map(drop)
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(Some(self.writer.longest()))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.always.get().is_none() {
            let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
            let _ = self.always.set(counter);
        }
        self.always.get().map(|always| Readiness::to_write(always.as_fd()))
    }
}

struct Receiver {
    reader: RefCell<LatestReader>,
    /// The version that was received last.
    seen: Option<Version>,
    /// Changes places with the room of the message that is received into.
    copy: Room,
    /// A copy of the reader's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let reader = self.reader.get_mut();
        loop {
            match reader.wait_for_newer(self.seen, wait) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.doorbell.get().is_some() => {
                    // Whoever polls next is told of what comes from now on, and of what came meanwhile.
                    reader.arm(self.seen)?;
                    return Err(error);
                }
                newer => newer?,
            };
            let read = reader.read_into(&mut self.copy)?;
            // Somebody has begun it anew meanwhile, and there is nothing yet.
            let Some((version, len)) = read.filter(|&(version, _)| Some(version) != self.seen) else {
                continue;
            };
            message.exchange(&mut self.copy, len);
            // There is one place to write from.
            message.details().publisher = Some(0);
            message.details().sequence = Some(version.number());
            message.details().missed = skipped(self.seen, version);
            self.seen = Some(version);
            return Ok(());
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { sees_end: true, ..capabilities(Some(self.reader.borrow().longest())) }
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let mut reader = self.reader.borrow_mut();
            let copy = bus::copy(reader.doorbell(self.seen).ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }
}

/// How many values were there between one version and another. Those from before the first look were not missed.
fn skipped(seen: Option<Version>, version: Version) -> u64 {
    seen.map_or(0, |seen| version.number().saturating_sub(seen.number()).saturating_sub(1))
}
