//! Queues of the bus: one consumer gets each message.
//!
//! A receive acknowledges what it has copied out, so that nobody gets it again. Whoever wants to work on it first, and have it
//! handed to another should that fail, uses [`twixt_bus::queue`] itself, as `twixt work` does.

use core::cell::OnceCell;
use std::os::fd::{AsFd, OwnedFd};

use twixt_address::Endpoint;
use twixt_bus::queue::{Consumer, Producer};
use twixt_os::{ErrorKind, Result, Wait};

use super::bus;
use crate::half::{ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Message, Opening, Persistence, Readiness,
};

pub(super) struct Queue;

impl Mechanism for Queue {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        Capabilities {
            persistence: Persistence::Kernel,
            capacities: Capacities::all(),
            ..Capabilities::new(Boundaries::Kept)
        }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let producer = Producer::open(bus::name(opening)?, &bus::options(opening)?)?;
        Ok(Box::new(Sender { producer, doorbell: OnceCell::new() }))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let consumer = Consumer::open(bus::name(opening)?, &bus::options(opening)?)?;
        Ok(Box::new(Receiver { consumer, doorbell: OnceCell::new() }))
    }
}

/// What a half can do, with a ring as it is.
fn capabilities(room: twixt_bus::Capacity, longest: usize) -> Capabilities {
    Capabilities {
        max_message: Some(longest),
        persistence: Persistence::Kernel,
        capacities: bus::capacities(room),
        ..Capabilities::new(Boundaries::Kept)
    }
}

struct Sender {
    producer: Producer,
    /// A copy of the producer's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let sent = self.producer.send_wait(bytes, wait);
        if let Err(error) = &sent
            && error.kind() == ErrorKind::WouldBlock
            && self.doorbell.get().is_some()
        {
            // Whoever polls next is told of room from now on, and of what there came to be meanwhile.
            self.producer.arm()?;
        }
        sent
    }

    fn capabilities(&self) -> Capabilities {
        let room = self.producer.capacity();
        // With no capacity there is no room of which a descriptor could tell.
        let pollable = room != twixt_bus::Capacity::Zero;
        Capabilities { pollable, ..capabilities(room, self.producer.longest()) }
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(bus::capacity(self.producer.capacity())))
    }

    fn len(&self) -> Result<Option<u64>> {
        // Messages are counted there, not their bytes.
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let copy = bus::copy(self.producer.doorbell().ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }
}

struct Receiver {
    consumer: Consumer,
    /// A copy of the consumer's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        loop {
            let job = match self.consumer.receive_wait(wait) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.doorbell.get().is_some() => {
                    // Whoever polls next is told of what comes from now on, and of what came meanwhile.
                    self.consumer.arm()?;
                    return Err(error);
                }
                job => job?,
            };
            let len = job.len();
            let (producer, sequence, deliveries) = (job.producer() as u64, job.sequence(), job.deliveries());
            // If it was too slow in this, another has the message.
            if job.read(&mut message.room(len)[..len]).is_err() || job.acknowledge().is_err() {
                continue;
            }
            message.set_len(len);
            message.details().publisher = Some(producer);
            message.details().sequence = Some(sequence);
            message.details().deliveries = Some(deliveries);
            return Ok(());
        }
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.consumer.capacity(), self.consumer.longest())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(bus::capacity(self.consumer.capacity())))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let copy = bus::copy(self.consumer.doorbell().ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }
}
