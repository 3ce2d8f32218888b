//! Unix stream sockets.

use std::time::Duration;

use twixt_address::{Endpoint, Framing, OptionName, UnixName};
use twixt_os::unix::{Address, BindOptions, Stream, StreamListener, UnlinkGuard};
use twixt_os::{Deadline, ErrorKind, Result, Wait};

use super::socket::{self, Buffer};
use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::opening::Opening;
use crate::origin::Origin;
use crate::stream::{self, UnixEnd};
use crate::{Capabilities, Capacities, Capacity, Direction, Parties, Readiness, Side, connection};

pub(super) struct Unix;

impl Mechanism for Unix {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(Framing::Frame)
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
        let why = "only the listening side makes the socket file";
        opening.without("connect to", &[OptionName::Create, OptionName::Mode], why)?;
        let socket = Stream::connect_wait(&address(opening)?, opening.opening_wait())?;
        Manner::of(opening).halves(socket, false)
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        let address = address(opening)?;
        let wait = Wait::until(Deadline::after(TAKE_OVER));
        let listener =
            BindOptions::new().mode(opening.mode()).take_over_stale(wait).listen::<Stream>(&address)?;
        let guard = address.as_path().map(|_| listener.unlink_on_drop()).transpose()?;
        let (endpoint, manner) = (opening.endpoint().clone(), Manner::of(opening));
        Ok(Box::new(Listening { _guard: guard, listener, endpoint, manner }))
    }
}

/// How long another process may hold the lock under which a stale path is replaced.
const TAKE_OVER: Duration = Duration::from_secs(5);

fn capabilities(framing: Framing) -> Capabilities {
    Capabilities {
        direction: Direction::BothWays,
        descriptors: stream::passed_descriptors(framing),
        // Of whoever has connected, when it did.
        credentials: true,
        senders: Parties::Many,
        listens: true,
        capacities: Capacities::ZERO | Capacities::BOUNDED,
        ..stream::capabilities(framing)
    }
}

fn address(opening: &Opening) -> Result<Address> {
    match opening.endpoint() {
        Endpoint::Unix { name: UnixName::Path(path), .. } => Address::path(path.as_path()),
        Endpoint::Unix { name: UnixName::Abstract(name), .. } => Address::abstract_name(name.as_bytes()),
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it is not a Unix socket")),
    }
}

/// A listening socket that was passed to this process. Its path is not ours to remove.
pub(super) fn listening(listener: StreamListener, opening: &Opening) -> Box<dyn Accept> {
    let (endpoint, manner) = (opening.endpoint().clone(), Manner::of(opening));
    Box::new(Listening { _guard: None, listener, endpoint, manner })
}

/// How a socket becomes a channel.
struct Manner {
    framing: Framing,
    opening: Opening,
}

impl Manner {
    fn of(opening: &Opening) -> Self {
        Self { framing: opening.framing_or(Framing::Frame), opening: opening.clone() }
    }

    /// A connection that was accepted, or that we have made: whom we have connected to is no news.
    fn halves(&self, socket: Stream, was_accepted: bool) -> Result<Halves> {
        // The sender's buffer holds what is under way; the receiver's is of no use here.
        socket::set_buffer(&self.opening, socket.options(), Buffer::Send)?;
        let can = Capabilities { credentials: was_accepted, ..capabilities(self.framing) };
        let passes = can.descriptors > 0;
        let ends =
            if was_accepted { UnixEnd::accepted(socket, passes)? } else { UnixEnd::pair(socket, passes) };
        Ok(stream::halves(ends, self.framing, &can, &Origin::of(&self.opening)))
    }
}

struct Listening {
    // Before the listener, so that nobody finds the path of a socket that listens no more.
    _guard: Option<UnlinkGuard>,
    listener: StreamListener,
    endpoint: Endpoint,
    manner: Manner,
}

impl Accept for Listening {
    fn accept(&self, wait: Wait) -> Result<Halves> {
        self.manner.halves(self.listener.accept_wait(wait)?, true)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(std::os::fd::AsFd::as_fd(&self.listener)))
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.manner.framing)
    }

    fn address(&self) -> Result<Endpoint> {
        Ok(self.endpoint.clone())
    }
}
