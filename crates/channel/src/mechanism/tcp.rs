//! TCP.

use std::os::fd::AsFd;

use twixt_address::{Endpoint, Framing, Host, HostPort, OptionName};
use twixt_os::net::Options;
use twixt_os::net::tcp::{ConnectOptions, ListenOptions, Listener, Stream};
use twixt_os::{ErrorKind, Result, Wait};

use super::socket::{self, Buffer};
use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::opening::Opening;
use crate::origin::Origin;
use crate::stream::{self, TcpEnd};
use crate::{Capabilities, Capacities, Direction, Parties, Readiness, Side, connection};

pub(super) struct Tcp;

impl Mechanism for Tcp {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(Framing::Frame)
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
        opening.without("connect to", &[OptionName::Create], "only the listening side makes the socket")?;
        let peer = peer(opening)?;
        // A message is written as a whole and may be the last for a while: it does not wait to be joined by another.
        let mut options = ConnectOptions::new().no_delay(true);
        // Before the connection is made: the handshake tells the other side of it.
        if let Some((_, half)) = socket::asked_and_half(opening) {
            options = options.send_buffer(half).receive_buffer(half);
        }
        let socket = options.connect_wait((peer.host.as_str(), peer.port), opening.opening_wait())?;
        check_buffers(opening, socket.options())?;
        Ok(halves(socket, opening.framing_or(Framing::Frame), &Origin::of(opening)))
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        let peer = peer(opening)?;
        let mut options = ListenOptions::new();
        if let Some((_, half)) = socket::asked_and_half(opening) {
            options = options.send_buffer(half).receive_buffer(half);
        }
        let listener = options.listen((peer.host.as_str(), peer.port))?;
        // Its connections begin with what it has.
        check_buffers(opening, listener.options())?;
        let framing = opening.framing_or(Framing::Frame);
        Ok(Box::new(Listening { listener, peer: peer.clone(), framing, origin: Origin::of(opening) }))
    }
}

fn capabilities(framing: Framing) -> Capabilities {
    Capabilities {
        direction: Direction::BothWays,
        senders: Parties::Many,
        listens: true,
        capacities: Capacities::ZERO | Capacities::BOUNDED,
        ..stream::capabilities(framing)
    }
}

fn peer(opening: &Opening) -> Result<&HostPort> {
    match opening.endpoint() {
        Endpoint::Tcp(peer) => Ok(peer),
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it is not a TCP address")),
    }
}

/// Both buffers of the own side have to be as large as was asked for.
fn check_buffers(opening: &Opening, options: Options<'_>) -> Result<()> {
    socket::check_buffer(opening, options, Buffer::Send)?;
    socket::check_buffer(opening, options, Buffer::Receive)
}

/// A listening socket that was passed to this process.
pub(super) fn listening(listener: Listener, opening: &Opening) -> Result<Box<dyn Accept>> {
    let address = listener.local_address()?;
    let host = Host::new(address.ip().to_string())
        .map_err(|error| opening.refused("listen at", ErrorKind::InvalidInput, error.to_string()))?;
    let peer = HostPort { host, port: address.port() };
    let framing = opening.framing_or(Framing::Frame);
    Ok(Box::new(Listening { listener, peer, framing, origin: Origin::of(opening) }))
}

fn halves(socket: Stream, framing: Framing, origin: &Origin) -> Halves {
    stream::halves(TcpEnd::pair(socket), framing, &capabilities(framing), origin)
}

struct Listening {
    listener: Listener,
    peer: HostPort,
    framing: Framing,
    origin: Origin,
}

impl Accept for Listening {
    fn accept(&self, wait: Wait) -> Result<Halves> {
        let socket = self.listener.accept_wait(wait)?;
        // Fails if the peer has gone again, which the first receive tells better.
        let _ = socket.set_no_delay(true);
        Ok(halves(socket, self.framing, &self.origin))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.listener.as_fd()))
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.framing)
    }

    fn address(&self) -> Result<Endpoint> {
        let port = self.listener.local_address()?.port();
        Ok(Endpoint::Tcp(HostPort { host: self.peer.host.clone(), port }))
    }
}
