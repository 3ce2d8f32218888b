//! UDP sockets.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use twixt_address::{Endpoint, HostPort};
use twixt_os::net::InetName;
use twixt_os::net::udp::{Connected, LONGEST, LONGEST_V6, Socket};
use twixt_os::{ErrorKind, Outcome, Prepared, Result, Room, Wait};

use super::socket::{self, Buffer};
use crate::half::{Halves, PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{
    Attributes, Boundaries, Capabilities, Capacity, Direction, Message, Opening, Parties, Readiness, Side,
};

/// More than any datagram has.
const ROOM: usize = 65_536;

pub(super) struct Udp;

impl Mechanism for Udp {
    fn capabilities(&self, endpoint: &Endpoint) -> Capabilities {
        match endpoint {
            Endpoint::Udp(peer) if peer.host.is_ipv6() => capabilities(LONGEST_V6),
            _ => capabilities(LONGEST),
        }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        if opening.side_or(Side::Connect) == Side::Listen {
            let why = "a sender of datagrams goes to the address; the receiver has it";
            return Err(opening.refused("listen at", ErrorKind::Unsupported, why));
        }
        let socket = connected(opening)?;
        Ok(Box::new(Sender { longest: longest(socket.peer_address()?), socket: Arc::new(socket) }))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        if opening.side_or(Side::Listen) == Side::Connect {
            let why = "a receiver of datagrams has to have the address; a duplex channel goes to another's";
            return Err(opening.refused("connect to", ErrorKind::Unsupported, why));
        }
        let socket = bound(opening)?;
        let longest = longest(socket.local_address()?);
        Ok(Box::new(Receiver::new(Listening::Bound(socket), longest)))
    }

    /// The connecting side is answered at the port that the kernel gives it. The listening side waits for a first message
    /// and talks to its sender.
    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        let (socket, first) = match opening.side_or(Side::Connect) {
            Side::Connect => {
                let socket = connected(opening)?;
                socket::set_buffer(opening, socket.options(), Buffer::Receive)?;
                (socket, None)
            }
            Side::Listen => {
                let bound = bound(opening)?;
                socket::set_buffer(opening, bound.options(), Buffer::Send)?;
                let mut first = Message::new();
                let mut room = Room::with_len(ROOM);
                let (len, from) = bound.receive_from_wait(&mut room, opening.opening_wait())?;
                first.set(&room[..len]);
                first.details().source.set_inet(&from);
                (bound.connect(from)?, Some(first))
            }
        };
        let (sender, mut receiver) = halves_of_connected(socket)?;
        receiver.first = first;
        Ok((sender, Box::new(receiver)))
    }
}

/// What a socket with messages of up to so many bytes can do.
fn capabilities(longest: usize) -> Capabilities {
    Capabilities {
        direction: Direction::BothWays,
        max_message: Some(longest),
        receivers: Parties::One,
        reliable: false,
        ..Capabilities::new(Boundaries::Kept)
    }
}

/// The longest datagram to or from an address.
fn longest(address: SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(_) => LONGEST,
        // It travels as IPv4.
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => LONGEST,
        IpAddr::V6(_) => LONGEST_V6,
    }
}

fn host_and_port(opening: &Opening) -> Result<&HostPort> {
    match opening.endpoint() {
        Endpoint::Udp(peer) => Ok(peer),
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it names no host and port")),
    }
}

fn connected(opening: &Opening) -> Result<Connected> {
    let HostPort { host, port } = host_and_port(opening)?;
    if *port == 0 {
        let why = "nobody has port 0; name the receiver's";
        return Err(opening.refused("connect to", ErrorKind::InvalidInput, why));
    }
    let socket = Connected::to((host.as_str(), *port))?;
    socket::set_buffer(opening, socket.options(), Buffer::Send)?;
    Ok(socket)
}

fn bound(opening: &Opening) -> Result<Socket> {
    let HostPort { host, port } = host_and_port(opening)?;
    if *port == 0 {
        let why = "with port 0 nobody would know where to send to; choose one";
        return Err(opening.refused("receive from", ErrorKind::InvalidInput, why));
    }
    let socket = Socket::bind((host.as_str(), *port))?;
    socket::set_buffer(opening, socket.options(), Buffer::Receive)?;
    Ok(socket)
}

/// Both halves of a connected socket.
pub(super) fn halves_of(socket: Connected) -> Result<Halves> {
    let (sender, receiver) = halves_of_connected(socket)?;
    Ok((sender, Box::new(receiver)))
}

/// The receiving half of a socket that is not connected.
pub(super) fn receiver_of(socket: Socket) -> Result<Box<dyn ReceiveHalf>> {
    let longest = longest(socket.local_address()?);
    Ok(Box::new(Receiver::new(Listening::Bound(socket), longest)))
}

fn halves_of_connected(socket: Connected) -> Result<(Box<dyn SendHalf>, Receiver)> {
    let longest = longest(socket.peer_address()?);
    let socket = Arc::new(socket);
    let receiver = Receiver::new(Listening::Connected(Arc::clone(&socket)), longest);
    Ok((Box::new(Sender { socket, longest }), receiver))
}

struct Sender {
    socket: Arc<Connected>,
    longest: usize,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        self.socket.send_wait(bytes, wait)
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        Some(PreparedSend { call: self.socket.prepare_send(bytes, wait), whole: bytes.len() })
    }

    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        self.socket.finish_send(first, bytes, wait)
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.longest)
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

enum Listening {
    /// Hears everyone.
    Bound(Socket),
    /// Hears its peer.
    Connected(Arc<Connected>),
}

struct Receiver {
    socket: Listening,
    longest: usize,
    /// Room for a message, and for its sender's address, where the call that receives it is prepared.
    room: Option<Box<Room>>,
    from: InetName,
    /// The message by which a peer was found.
    first: Option<Message>,
}

impl Receiver {
    fn new(socket: Listening, longest: usize) -> Self {
        Self { socket, longest, room: None, from: InetName::new(), first: None }
    }

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
        match &self.socket {
            Listening::Bound(socket) => take(socket, message, wait),
            Listening::Connected(socket) => take_from_peer(socket, message, wait),
        }
    }

    fn prepare<'a>(&'a mut self, message: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        match &self.socket {
            Listening::Bound(socket) if self.first.is_none() => {
                let (room, _) = socket::room_in(&mut self.room, message, ROOM);
                socket.prepare_receive_from(&mut self.from, room, wait)
            }
            _ => None,
        }
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        let Self { socket: Listening::Bound(socket), room, from, .. } = self else {
            return self.receive(message, wait);
        };
        socket::receive_in(room, message, ROOM, |room, details| {
            let (len, sender) = socket.finish_receive_from(from, first, room, wait)?;
            details.source.set_inet(&sender);
            Ok(((), len))
        })
    }

    fn has_buffered(&self) -> bool {
        self.first.is_some()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.longest)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        let bytes = match &self.socket {
            Listening::Bound(socket) => socket.options().receive_buffer()?,
            Listening::Connected(socket) => socket.options().receive_buffer()?,
        };
        Ok(Some(Capacity::Bytes(bytes as u64)))
    }

    fn len(&self) -> Result<Option<u64>> {
        // The kernel tells the length of the first message alone.
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(match &self.socket {
            Listening::Bound(socket) => socket.as_fd(),
            Listening::Connected(socket) => socket.as_fd(),
        }))
    }
}

/// Apart from [`take`], so that the usual receiver's way is short.
#[inline(never)]
fn take_from_peer(socket: &Connected, message: &mut Message, wait: Wait) -> Result<()> {
    socket::receive(message, ROOM, |room, _| {
        let len = socket.receive_wait(room, wait)?;
        Ok(((), len))
    })
}

#[inline]
fn take(socket: &Socket, message: &mut Message, wait: Wait) -> Result<()> {
    socket::receive(message, ROOM, |room, details| {
        let (len, sender) = socket.receive_from_wait(room, wait)?;
        details.source.set_inet(&sender);
        Ok(((), len))
    })
}
