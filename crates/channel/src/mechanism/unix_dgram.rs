//! Unix datagram sockets.

use std::os::fd::AsFd;
use std::sync::Arc;

use twixt_address::{Endpoint, OptionName};
use twixt_os::unix::{Address, Attachments, Datagram, Received, Receiving, UnlinkGuard};
use twixt_os::{Errno, Error, ErrorKind, Outcome, Prepared, Result, Room, Wait};

use super::socket::{self, Buffer, RESERVED, USUAL_LONGEST_UNIX};
use crate::half::{Halves, PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::message::Details;
use crate::{
    Attributes, Boundaries, Capabilities, Capacity, Direction, Message, Opening, Parties, Readiness, Side,
};

pub(super) struct UnixDatagram;

impl Mechanism for UnixDatagram {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(USUAL_LONGEST_UNIX)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        if opening.side_or(Side::Connect) == Side::Listen {
            let why = "a sender of datagrams goes to the address; the receiver has it";
            return Err(opening.refused("listen at", ErrorKind::Unsupported, why));
        }
        let (socket, address) = connected(opening, Datagram::unbound()?)?;
        Ok(Box::new(Sender { socket: Arc::new(socket), address: Some(address) }))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        if opening.side_or(Side::Listen) == Side::Connect {
            let why = "a receiver of datagrams has to have the address; a duplex channel goes to another's";
            return Err(opening.refused("connect to", ErrorKind::Unsupported, why));
        }
        let (socket, guard) = bound(opening)?;
        Ok(Box::new(receiver(Arc::new(socket), guard)?))
    }

    /// The connecting side has an address of its own, which the kernel chooses, so that it can be answered. The listening
    /// side waits for a first message and talks to its sender.
    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        match opening.side_or(Side::Connect) {
            Side::Connect => {
                let (socket, _address) = connected(opening, Datagram::bind(&Address::UNNAMED)?)?;
                let socket = Arc::new(socket);
                let receiver = receiver(Arc::clone(&socket), None)?;
                // Not to be connected anew: another receiver would know nothing of the conversation.
                Ok((Box::new(Sender { socket, address: None }), Box::new(receiver)))
            }
            Side::Listen => {
                let (socket, guard) = bound(opening)?;
                let socket = Arc::new(socket);
                let mut receiver = receiver(Arc::clone(&socket), guard)?;
                let mut first = Message::new();
                receiver.receive(&mut first, opening.opening_wait())?;
                let from = first.details().received.from;
                if from.is_unnamed() {
                    let why =
                        "the first message came from a socket without an address, which cannot be answered";
                    return Err(opening.refused("connect to", ErrorKind::NoPeer, why));
                }
                socket.connect(&from)?;
                receiver.first = Some(first);
                Ok((Box::new(Sender { socket, address: None }), Box::new(receiver)))
            }
        }
    }
}

/// What a socket with messages of up to so many bytes can do.
fn capabilities(longest: usize) -> Capabilities {
    Capabilities {
        direction: Direction::BothWays,
        max_message: Some(longest),
        descriptors: Attachments::MAX_DESCRIPTORS,
        credentials: true,
        receivers: Parties::One,
        ..Capabilities::new(Boundaries::Kept)
    }
}

/// Connects a socket to the receiver at the address.
fn connected(opening: &Opening, socket: Datagram) -> Result<(Datagram, Address)> {
    socket::makes_nothing(opening)?;
    let address = socket::unix_address(opening)?;
    socket.connect(&address).map_err(|error| match error.errno() {
        Some(Errno::PERM) => {
            error.with_advice("the socket there talks to another one, and hears that one only")
        }
        _ => socket::or_advise(error),
    })?;
    socket::set_buffer(opening, socket.options(), Buffer::Send)?;
    Ok((socket, address))
}

/// The socket that has the address.
fn bound(opening: &Opening) -> Result<(Datagram, Option<UnlinkGuard>)> {
    let why = "the senders' buffers hold what is under way, and net.unix.max_dgram_qlen messages at most";
    opening.without("receive from", &[OptionName::Capacity], why)?;
    let socket = socket::bind_options(opening).datagram(&socket::unix_address(opening)?)?;
    let guard = match socket.local_address()?.as_path() {
        Some(_) => Some(socket.unlink_on_drop()?),
        None => None,
    };
    Ok((socket, guard))
}

fn receiver(socket: Arc<Datagram>, guard: Option<UnlinkGuard>) -> Result<Receiver> {
    socket.set_pass_credentials(true)?;
    let longest = socket::longest_unix(socket.options().send_buffer()?);
    let (receiving, room) = (Box::new(Receiving::new()), None);
    Ok(Receiver { socket, longest, receiving, room, first: None, _guard: guard })
}

/// Both halves of a socket that came as a descriptor. It can send if it is connected.
pub(super) fn halves_of(socket: Datagram) -> Result<Halves> {
    let socket = Arc::new(socket);
    let receiver = receiver(Arc::clone(&socket), None)?;
    Ok((Box::new(Sender { socket, address: None }), Box::new(receiver)))
}

struct Sender {
    socket: Arc<Datagram>,
    /// Where to connect again, should another receiver have taken the place of one that has gone.
    address: Option<Address>,
}

impl Sender {
    #[inline(always)]
    fn try_once(&self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        if attributes.descriptors.is_empty() {
            return self.socket.send_wait(bytes, wait);
        }
        let attachments = Attachments::descriptors(attributes.descriptors);
        self.socket.send_with_wait(bytes, None, &attachments, wait)
    }

    /// The kernel takes a receiver that has closed away from its senders, for the next send, or says it at once to one that it
    /// closed with messages unread. Another may have taken its place.
    #[cold]
    #[inline(never)]
    fn try_again(&self, error: Error, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        if !matches!(error.kind(), ErrorKind::NoPeer | ErrorKind::PeerGone) {
            return Err(error);
        }
        let Some(address) = &self.address else { return Err(Self::gone(error)) };
        self.socket.connect(address).map_err(Self::gone)?;
        self.try_once(bytes, attributes, wait).map_err(Self::gone)
    }

    fn gone(error: Error) -> Error {
        match error.kind() {
            ErrorKind::NoPeer | ErrorKind::NotFound => error.with_kind(ErrorKind::PeerGone),
            _ => error,
        }
    }
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        match self.try_once(bytes, attributes, wait) {
            Ok(()) => Ok(()),
            Err(error) => self.try_again(error, bytes, attributes, wait),
        }
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        Some(PreparedSend { call: self.socket.prepare_send(bytes, wait), whole: bytes.len() })
    }

    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        match self.socket.finish_send(first, bytes, wait) {
            Ok(()) => Ok(()),
            Err(error) => self.try_again(error, bytes, &Attributes::NONE, wait),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let buffer = self.socket.options().send_buffer().unwrap_or(USUAL_LONGEST_UNIX + RESERVED);
        capabilities(buffer.saturating_sub(RESERVED))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(Capacity::Bytes(self.socket.options().send_buffer()? as u64)))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(Some(self.socket.options().queued_output()? as u64))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_write(self.socket.as_fd()))
    }
}

struct Receiver {
    // Before the socket, so that nobody finds the path of one that receives no more.
    _guard: Option<UnlinkGuard>,
    socket: Arc<Datagram>,
    /// Room for every message but one of a sender with privileges, once such a one has come also for those.
    longest: usize,
    /// Where what comes beside the bytes arrives.
    receiving: Box<Receiving>,
    /// Room for a message, where the call that receives it is prepared.
    room: Option<Box<Room>>,
    /// The message by which a peer was found.
    first: Option<Message>,
}

impl Receiver {
    #[inline(always)]
    fn take(&mut self, mut first: Option<Outcome>, message: &mut Message, wait: Wait) -> Result<()> {
        let mut was_reset = false;
        loop {
            match self.try_once(first.take(), message, wait) {
                Err(error) => self.overcome(error, &mut was_reset, wait)?,
                taken => return taken,
            }
        }
    }

    #[inline(always)]
    fn try_once(&mut self, first: Option<Outcome>, message: &mut Message, wait: Wait) -> Result<()> {
        let Self { socket, receiving, room, longest, .. } = self;
        let done = |(), received: &mut Received| {
            // A socket that came as a descriptor may have it sent; nobody could take it out.
            received.pidfd = None;
            Ok(((), received.len))
        };
        match first {
            Some(first) => socket::receive_in(room, message, *longest, |room, Details { received, .. }| {
                done(socket.finish_receive_into(receiving, first, room, received, wait)?, received)
            }),
            None => socket::receive(message, *longest, |room, Details { received, .. }| {
                done(socket.receive_into_wait(room, received, wait)?, received)
            }),
        }
    }

    /// Makes way for another attempt, if it may overcome the failure. Apart, since it hardly ever happens.
    #[cold]
    #[inline(never)]
    fn overcome(&mut self, error: Error, was_reset: &mut bool, wait: Wait) -> Result<()> {
        // The peer closed with messages of ours unread. What it sent before is still there.
        if error.kind() == ErrorKind::PeerGone && !*was_reset {
            *was_reset = true;
            return Ok(());
        }
        let keep = |keep| self.socket.keep_long_messages(keep);
        let longer = socket::longer(&error, keep, || self.socket.peek_wait(&mut [], wait))?;
        self.longest = self.longest.max(longer.ok_or(error)?);
        Ok(())
    }
}

impl Receiver {
    /// Hands over the message by which a peer was found.
    #[cold]
    #[inline(never)]
    fn give_first(&mut self, message: &mut Message) {
        *message = self.first.take().unwrap_or_default();
    }
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        if self.first.is_some() {
            self.give_first(message);
            return Ok(());
        }
        self.take(None, message, wait)
    }

    fn prepare<'a>(&'a mut self, message: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        if self.first.is_some() {
            return None;
        }
        let (room, Details { received, .. }) = socket::room_in(&mut self.room, message, self.longest);
        self.socket.prepare_receive_into(&mut self.receiving, room, received, wait)
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        self.take(Some(first), message, wait)
    }

    fn has_buffered(&self) -> bool {
        self.first.is_some()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.longest.saturating_sub(RESERVED))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        // The senders have the buffers.
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.socket.as_fd()))
    }
}
