//! Topics of the bus: every subscriber gets every message.

use core::cell::{OnceCell, RefCell};
use std::os::fd::{AsFd, OwnedFd};

use twixt_address::{Endpoint, OptionName};
use twixt_bus::{Publisher, Slow, Subscriber, SubscriberOptions};
use twixt_os::{ErrorKind, Result, Wait};

use super::bus;
use crate::half::{ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Message, Opening, Parties, Readiness,
};

pub(super) struct Topic;

impl Mechanism for Topic {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        Capabilities {
            receivers: Parties::All,
            sees_end: true,
            capacities: Capacities::all(),
            ..Capabilities::new(Boundaries::Kept)
        }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let why = "it is the subscriber's to choose";
        opening.without("send to", &[OptionName::History, OptionName::Slow], why)?;
        let publisher = Publisher::open(bus::name(opening)?, &bus::options(opening)?)?;
        Ok(Box::new(Sender { publisher, doorbell: OnceCell::new() }))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let options = opening.address().options();
        let slow = slow(options.slow().unwrap_or_default());
        let how = SubscriberOptions::new().slow(slow).history(options.history().unwrap_or(0));
        let subscriber = Subscriber::open_with(bus::name(opening)?, &bus::options(opening)?, how)?;
        Ok(Box::new(Receiver {
            subscriber: RefCell::new(subscriber),
            doorbell: OnceCell::new(),
            slow,
            told: 0,
        }))
    }
}

fn slow(slow: twixt_address::Slow) -> Slow {
    match slow {
        twixt_address::Slow::Block => Slow::Block,
        twixt_address::Slow::DropOldest => Slow::DropOldest,
        twixt_address::Slow::DropNewest => Slow::DropNewest,
        twixt_address::Slow::Disconnect => Slow::Disconnect,
    }
}

/// What a half can do, with a ring as it is.
fn capabilities(room: twixt_bus::Capacity, longest: usize) -> Capabilities {
    Capabilities {
        receivers: Parties::All,
        max_message: Some(longest),
        capacities: bus::capacities(room),
        ..Capabilities::new(Boundaries::Kept)
    }
}

struct Sender {
    publisher: Publisher,
    /// A copy of the publisher's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let sent = self.publisher.publish_wait(bytes, wait);
        if let Err(error) = &sent
            && error.kind() == ErrorKind::WouldBlock
            && self.doorbell.get().is_some()
        {
            // Whoever polls next is told of room from now on, and of what there came to be meanwhile.
            self.publisher.arm()?;
        }
        sent
    }

    fn capabilities(&self) -> Capabilities {
        // Nobody need subscribe.
        capabilities(self.publisher.capacity(), self.publisher.longest())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(bus::capacity(self.publisher.capacity())))
    }

    fn len(&self) -> Result<Option<u64>> {
        // It differs from subscriber to subscriber.
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let copy = bus::copy(self.publisher.doorbell().ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }

    fn receivers(&self) -> Result<Option<usize>> {
        self.publisher.subscribers().map(Some)
    }
}

struct Receiver {
    subscriber: RefCell<Subscriber>,
    /// A copy of the subscriber's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
    slow: Slow,
    /// How many missed messages were told of.
    told: u64,
}

/// Copies the next message out.
fn take(subscriber: &mut Subscriber, message: &mut Message, wait: Wait) -> Result<()> {
    let mut sample = subscriber.receive_wait(wait)?;
    let len = sample.len();
    sample.read(&mut message.room(len)[..len])?;
    message.set_len(len);
    message.details().publisher = Some(sample.publisher() as u64);
    message.details().sequence = Some(sample.sequence());
    Ok(())
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let is_polled = self.doorbell.get().is_some();
        let subscriber = self.subscriber.get_mut();
        loop {
            let error = match take(subscriber, message, wait) {
                Ok(()) => {
                    message.details().missed = subscriber.missed().saturating_sub(self.told);
                    self.told = subscriber.missed();
                    return Ok(());
                }
                Err(error) => error,
            };
            match error.kind() {
                // One of several, or one that was broken off by its death: what follows says so.
                ErrorKind::PeerGone if subscriber.has_publishers() => {}
                // Overwritten while it was read: one more that was missed.
                ErrorKind::Overrun if self.slow != Slow::Disconnect => {}
                ErrorKind::WouldBlock if is_polled => {
                    // Whoever polls next is told of what comes from now on, and of what came meanwhile.
                    subscriber.arm()?;
                    return Err(error);
                }
                _ => return Err(error),
            }
        }
    }

    fn capabilities(&self) -> Capabilities {
        let subscriber = self.subscriber.borrow();
        Capabilities { sees_end: true, ..capabilities(subscriber.capacity(), subscriber.longest()) }
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(bus::capacity(self.subscriber.borrow().capacity())))
    }

    fn len(&self) -> Result<Option<u64>> {
        self.subscriber.borrow_mut().waiting_bytes().map(Some)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let copy = bus::copy(self.subscriber.borrow_mut().doorbell().ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }
}
