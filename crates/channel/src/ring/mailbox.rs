//! The halves of a ring that everybody sends to and receives from.

use twixt_os::{Result, Wait};

use crate::half::{ReceiveHalf, SendHalf};
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Direction, Message, Opening, Persistence,
    Readiness,
};

use super::guard::Guard;
use super::layout::{Discipline, Purpose};
use super::transfer::{Everybody, Ring};
use super::{posix, sysv};

/// What rings can do: mailboxes, and connections beside them.
pub(crate) fn capabilities(persistence: Persistence) -> Capabilities {
    Capabilities {
        direction: Direction::BothWays,
        persistence,
        capacities: Capacities::all(),
        pollable: false,
        ..Capabilities::new(Boundaries::Kept)
    }
}

/// The half that sends to `mmap:` and `posix-shm:`.
pub(crate) fn posix_sender(opening: &Opening, persistence: Persistence) -> Result<Box<dyn SendHalf>> {
    Ok(Box::new(posix_mailbox(opening, persistence)?))
}

/// The half that receives from them.
pub(crate) fn posix_receiver(opening: &Opening, persistence: Persistence) -> Result<Box<dyn ReceiveHalf>> {
    Ok(Box::new(posix_mailbox(opening, persistence)?))
}

fn posix_mailbox(opening: &Opening, persistence: Persistence) -> Result<Mailbox<posix::Posix>> {
    let (guard, shape) = posix::open(opening, Purpose::Mailbox)?;
    Ok(Mailbox { ring: Ring::new(guard, shape, 0), origin: Origin::of(opening), persistence })
}

/// The half that sends to `sysv-shm:`.
pub(crate) fn sysv_sender(opening: &Opening) -> Result<Box<dyn SendHalf>> {
    Ok(Box::new(sysv_mailbox(opening)?))
}

/// The half that receives from it.
pub(crate) fn sysv_receiver(opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
    Ok(Box::new(sysv_mailbox(opening)?))
}

fn sysv_mailbox(opening: &Opening) -> Result<Mailbox<sysv::SystemV>> {
    let (guard, shape) = sysv::open(opening, Purpose::Mailbox)?;
    let persistence = Persistence::Kernel;
    Ok(Mailbox { ring: Ring::new(guard, shape, 0), origin: Origin::of(opening), persistence })
}

/// Either half: they differ in what is done with them.
struct Mailbox<G> {
    ring: Ring<G>,
    origin: Origin,
    persistence: Persistence,
}

impl<G: Guard> Mailbox<G> {
    fn capabilities(&self) -> Capabilities {
        let shape = &self.ring.shape;
        Capabilities {
            direction: Direction::OneWay,
            max_message: Some(shape.longest()),
            capacities: match shape.discipline {
                Discipline::Bounded => Capacities::BOUNDED,
                Discipline::Zero => Capacities::ZERO,
                Discipline::Unbounded { .. } => Capacities::UNBOUNDED,
            },
            ..capabilities(self.persistence)
        }
    }

    fn len(&self) -> Result<Option<u64>> {
        self.ring.waiting().map(Some).map_err(|fault| fault.of("look at", &self.origin))
    }
}

impl<G: Guard> SendHalf for Mailbox<G> {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let Self { ring, origin, .. } = self;
        ring.send(bytes, wait, &Everybody, origin).map_err(|fault| fault.of("send to", origin))
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(self.ring.shape.capacity()))
    }

    fn len(&self) -> Result<Option<u64>> {
        self.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

impl<G: Guard> ReceiveHalf for Mailbox<G> {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let Self { ring, origin, .. } = self;
        ring.receive(message, wait, &Everybody).map_err(|fault| {
            message.set_len(0);
            fault.of("receive from", origin)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(self.ring.shape.capacity()))
    }

    fn len(&self) -> Result<Option<u64>> {
        self.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}
