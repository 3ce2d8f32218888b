//! Connections of the bus: a ring there and a ring back.

use core::cell::{OnceCell, RefCell};
use std::os::fd::{AsFd, OwnedFd};

use twixt_address::Endpoint;
use twixt_bus::{Link, LinkReceiver, LinkSender, Listener};
use twixt_os::{ErrorKind, Result, Wait};

use super::bus;
use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Direction, Message, Opening, Parties,
    Readiness, Side, connection,
};

pub(super) struct Rpc;

impl Mechanism for Rpc {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(None)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        connection::sender(self, opening)
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        connection::receiver(self, opening)
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        connection::open(self, opening, Side::Connect)
    }

    fn connect(&self, opening: &Opening) -> Result<Halves> {
        // What is sent waits until the other side accepts, as with a socket.
        Ok(halves(Link::request(bus::name(opening)?, &bus::options(opening)?)?))
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        // Who listens makes the meeting point, as with sockets.
        let options = bus::options(opening)?.create(true);
        let mut listener = Listener::open(bus::name(opening)?, &options)?;
        let doorbell = bus::copy(listener.doorbell()?)?;
        let endpoint = opening.endpoint().clone();
        Ok(Box::new(Listening { listener: RefCell::new(listener), doorbell, endpoint }))
    }
}

/// What connections can do, with messages of so many bytes.
fn capabilities(longest: Option<usize>) -> Capabilities {
    Capabilities {
        max_message: longest,
        direction: Direction::BothWays,
        receivers: Parties::One,
        sees_end: true,
        listens: true,
        capacities: Capacities::ZERO | Capacities::BOUNDED,
        ..Capabilities::new(Boundaries::Kept)
    }
}

fn halves(link: Link) -> Halves {
    let longest = link.longest();
    let (sender, receiver) = link.split();
    let capacity = bus::capacity(sender.capacity());
    let receiver =
        Receiver { receiver: RefCell::new(receiver), doorbell: OnceCell::new(), longest, capacity };
    (Box::new(Sender { sender, doorbell: OnceCell::new() }), Box::new(receiver))
}

struct Listening {
    listener: RefCell<Listener>,
    /// A copy of the listener's.
    doorbell: OwnedFd,
    endpoint: Endpoint,
}

impl Accept for Listening {
    fn accept(&self, wait: Wait) -> Result<Halves> {
        let mut listener = self.listener.borrow_mut();
        match listener.accept_wait(wait) {
            Ok(link) => Ok(halves(link)),
            Err(error) => {
                if error.kind() == ErrorKind::WouldBlock {
                    // Whoever polls next is told of who comes from now on, and of who came meanwhile.
                    listener.arm()?;
                }
                Err(error)
            }
        }
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.doorbell.as_fd()).tended())
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(None)
    }

    fn address(&self) -> Result<Endpoint> {
        Ok(self.endpoint.clone())
    }
}

struct Sender {
    sender: LinkSender,
    /// A copy of the sender's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let sent = self.sender.send_wait(bytes, wait);
        if let Err(error) = &sent
            && error.kind() == ErrorKind::WouldBlock
            && self.doorbell.get().is_some()
        {
            self.sender.arm()?;
        }
        sent
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(Some(self.sender.longest()))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(bus::capacity(self.sender.capacity())))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let copy = bus::copy(self.sender.doorbell().ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }
}

struct Receiver {
    receiver: RefCell<LinkReceiver>,
    /// A copy of the receiver's, once somebody has polled: until then nobody has to ring it.
    doorbell: OnceCell<OwnedFd>,
    longest: usize,
    capacity: Capacity,
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let is_polled = self.doorbell.get().is_some();
        let receiver = self.receiver.get_mut();
        let error = match receiver.receive_wait(wait) {
            Ok(mut sample) => {
                let len = sample.len();
                sample.read(&mut message.room(len)[..len])?;
                message.set_len(len);
                message.details().sequence = Some(sample.sequence());
                return Ok(());
            }
            Err(error) => error,
        };
        if is_polled && error.kind() == ErrorKind::WouldBlock {
            receiver.arm()?;
        }
        Err(error)
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(Some(self.longest))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(self.capacity))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.doorbell.get().is_none() {
            let copy = bus::copy(self.receiver.borrow_mut().doorbell().ok()?).ok()?;
            let _ = self.doorbell.set(copy);
        }
        self.doorbell.get().map(|doorbell| Readiness::to_read(doorbell.as_fd()).tended())
    }
}
