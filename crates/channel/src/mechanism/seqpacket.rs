//! Unix seqpacket sockets.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;

use twixt_address::{Endpoint, OptionName};
use twixt_os::unix::{Attachments, Received, Receiving, Seqpacket as Socket, SeqpacketListener, UnlinkGuard};
use twixt_os::{Error, ErrorKind, Maker, Object, Outcome, Prepared, Result, Room, Wait};

use super::socket::{self, Buffer, RESERVED, USUAL_LONGEST_UNIX};
use crate::half::{Accept, Halves, PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::message::Details;
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Direction, Message, Opening, Parties,
    Readiness, Side, connection,
};

pub(super) struct Seqpacket;

impl Mechanism for Seqpacket {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(USUAL_LONGEST_UNIX)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        connection::sender(self, opening)
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        if opening.capacity() != Some(Capacity::Zero) {
            let why = "the senders' buffers hold what is under way";
            opening.without("receive from", &[OptionName::Capacity], why)?;
        }
        connection::receiver(self, opening)
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        connection::open(self, opening, Side::Connect)
    }

    fn connect(&self, opening: &Opening) -> Result<Halves> {
        socket::makes_nothing(opening)?;
        let address = socket::unix_address(opening)?;
        let connected = Socket::connect_wait(&address, opening.opening_wait()).map_err(socket::or_advise)?;
        let longest = longest(&connected);
        set_buffers(opening, &connected)?;
        Ok(halves(connected, longest, Origin::of(opening).object, Ending::Own(Maker::this())))
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        let listener: SeqpacketListener =
            socket::bind_options(opening).listen(&socket::unix_address(opening)?)?;
        let guard = match listener.local_address()?.as_path() {
            Some(_) => Some(listener.unlink_on_drop()?),
            None => None,
        };
        Ok(accept(listener, guard, opening))
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
        sees_end: true,
        listens: true,
        capacities: Capacities::ZERO.union(Capacities::BOUNDED),
        ..Capabilities::new(Boundaries::Kept)
    }
}

/// The longest message that may come: asked before the socket's own buffer is changed.
fn longest(untouched: &Socket) -> usize {
    socket::longest_unix(untouched.options().send_buffer().unwrap_or(USUAL_LONGEST_UNIX))
}

fn set_buffers(opening: &Opening, socket: &Socket) -> Result<()> {
    socket::set_buffer(opening, socket.options(), Buffer::Send)
}

/// Whose the connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// This process's: who drops the sender tells the other side so, unless it is a forked child's copy.
    Own(Maker),
    /// Others may have the same socket: it ends when all have closed it.
    Shared,
}

impl Ending {
    fn is_told_on_drop(self) -> bool {
        matches!(self, Self::Own(maker) if maker.is_this())
    }

    /// One connection that came as a descriptor is all there is.
    fn limits(self, can: Capabilities) -> Capabilities {
        match self {
            Self::Own(_) => can,
            Self::Shared => {
                Capabilities { senders: Parties::One, listens: false, capacities: Capacities::empty(), ..can }
            }
        }
    }
}

/// Both halves of a socket that came as a descriptor.
pub(super) fn halves_of(connected: Socket, object: Object) -> Halves {
    let longest = longest(&connected);
    halves(connected, longest, object, Ending::Shared)
}

fn halves(connected: Socket, longest: usize, object: Object, ending: Ending) -> Halves {
    let socket = Arc::new(connected);
    let sender = Sender { socket: Arc::clone(&socket), ending };
    let (receiving, room) = (Box::new(Receiving::new()), None);
    (Box::new(sender), Box::new(Receiver { socket, longest, receiving, room, object, ending }))
}

/// A listening socket, bound here or passed to this process.
pub(super) fn accept(
    listener: SeqpacketListener,
    guard: Option<UnlinkGuard>,
    opening: &Opening,
) -> Box<dyn Accept> {
    Box::new(Listening { listener, opening: opening.clone(), _guard: guard })
}

struct Listening {
    // Before the listener, so that nobody finds the path of a socket that listens no more.
    _guard: Option<UnlinkGuard>,
    listener: SeqpacketListener,
    opening: Opening,
}

impl Accept for Listening {
    fn accept(&self, wait: Wait) -> Result<Halves> {
        let connected = self.listener.accept_wait(wait)?;
        let longest = longest(&connected);
        set_buffers(&self.opening, &connected)?;
        Ok(halves(connected, longest, Origin::of(&self.opening).object, Ending::Own(Maker::this())))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.listener.as_fd()))
    }

    fn capabilities(&self) -> Capabilities {
        let buffer = self.listener.options().send_buffer().unwrap_or(USUAL_LONGEST_UNIX + RESERVED);
        capabilities(buffer.saturating_sub(RESERVED))
    }

    fn address(&self) -> Result<Endpoint> {
        Ok(self.opening.endpoint().clone())
    }
}

struct Sender {
    socket: Arc<Socket>,
    ending: Ending,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        if attributes.descriptors.is_empty() {
            return self.socket.send_wait(bytes, wait);
        }
        self.socket.send_with_wait(bytes, &Attachments::descriptors(attributes.descriptors), wait)
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        Some(PreparedSend { call: self.socket.prepare_send(bytes, wait), whole: bytes.len() })
    }

    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        self.socket.finish_send(first, bytes, wait)
    }

    fn finish(&mut self, _wait: Wait) -> Result<()> {
        match self.ending {
            Ending::Own(_) => self.socket.shutdown(Shutdown::Write),
            Ending::Shared => Ok(()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let buffer = self.socket.options().send_buffer().unwrap_or(USUAL_LONGEST_UNIX + RESERVED);
        self.ending.limits(capabilities(buffer.saturating_sub(RESERVED)))
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

impl Drop for Sender {
    fn drop(&mut self) {
        if self.ending.is_told_on_drop() {
            let _ = self.finish(Wait::never());
        }
    }
}

struct Receiver {
    socket: Arc<Socket>,
    /// Room for every message but one of a sender with privileges, once such a one has come also for those.
    longest: usize,
    /// Where what comes beside the bytes arrives.
    receiving: Box<Receiving>,
    /// Room for a message, where the call that receives it is prepared.
    room: Option<Box<Room>>,
    object: Object,
    ending: Ending,
}

impl Receiver {
    /// Receives a message, unless the connection has ended.
    #[inline(always)]
    fn take(&mut self, first: Option<Outcome>, message: &mut Message, wait: Wait) -> Result<bool> {
        let Self { socket, receiving, room, longest, .. } = self;
        let done = |is_message, received: &mut Received| {
            // A socket that came as a descriptor may have it sent; nobody could take it out.
            received.pidfd = None;
            Ok((is_message, received.len))
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

    /// Receives a message, where the prepared call has come to `first`, if there was one.
    #[inline(always)]
    fn take_any(&mut self, mut first: Option<Outcome>, message: &mut Message, wait: Wait) -> Result<()> {
        let mut was_reset = false;
        loop {
            match self.take(first.take(), message, wait) {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(self.ended()),
                Err(error) => self.overcome(error, &mut was_reset, wait)?,
            }
        }
    }

    /// Makes way for another attempt, if it may overcome the failure. Apart, since it hardly ever happens.
    #[cold]
    #[inline(never)]
    fn overcome(&mut self, error: Error, was_reset: &mut bool, wait: Wait) -> Result<()> {
        // The other side closed with messages of ours unread. What it sent before is still there.
        if error.kind() == ErrorKind::PeerGone && !*was_reset {
            *was_reset = true;
            return Ok(());
        }
        let longer = socket::longer(
            &error,
            |keep| self.socket.keep_long_messages(keep),
            || Ok(self.socket.peek_wait(&mut [], wait)?.unwrap_or(0)),
        );
        self.longest = self.longest.max(longer?.ok_or(error)?);
        Ok(())
    }

    #[cold]
    fn ended(&self) -> Error {
        let why = "the other side has closed the connection";
        let mechanism = twixt_os::Mechanism::UnixSeqpacket;
        Error::refused(mechanism, "receive from", self.object.clone(), ErrorKind::PeerGone, why)
    }
}

/// The other direction may live on: so who still sends is told that nobody receives.
impl Drop for Receiver {
    fn drop(&mut self) {
        if self.ending.is_told_on_drop() {
            let _ = self.socket.shutdown(Shutdown::Read);
        }
    }
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        self.take_any(None, message, wait)
    }

    fn prepare<'a>(&'a mut self, message: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        let (room, Details { received, .. }) = socket::room_in(&mut self.room, message, self.longest);
        self.socket.prepare_receive_into(&mut self.receiving, room, received, wait)
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        self.take_any(Some(first), message, wait)
    }

    fn capabilities(&self) -> Capabilities {
        self.ending.limits(capabilities(self.longest.saturating_sub(RESERVED)))
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        // The sender has the buffer.
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.socket.as_fd()))
    }
}
