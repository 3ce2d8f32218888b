//! Opening a channel: the address, and what an address cannot say.

use std::time::Duration;

use twixt_address::{Address, Endpoint, Framing, OptionName};
use twixt_os::{Deadline, Error, ErrorKind, Mode, Result, Wait};

use crate::origin::Origin;
use crate::{Capabilities, Capacity, Duplex, Listener, Receiver, Sender, mechanism, rendezvous};

/// Which side of a mechanism that has a listening side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Makes the meeting point and waits there.
    Listen,
    /// Goes to a meeting point that is there.
    Connect,
}

/// How to open a channel, where the address alone does not say it.
///
/// ```
/// use std::time::Duration;
/// use twixt_address::{Address, Framing};
/// use twixt_channel::{Opening, Side};
/// use twixt_os::{Deadline, Wait};
///
/// let address: Address = "unix:@twixt-opening-doc".parse()?;
/// let server = Opening::new(&address).framing(Framing::Lines).listener()?;
/// let wait = Wait::until(Deadline::after(Duration::from_secs(5)));
/// let mut sender = Opening::new(&address).framing(Framing::Lines).wait(wait).sender()?;
/// sender.send(b"hello")?;
/// let mut connection = server.accept()?;
/// assert_eq!(connection.receive()?.bytes(), b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Opening {
    address: Address,
    side: Option<Side>,
    framing: Option<Framing>,
    wait: Option<Wait>,
    to_present_end: bool,
}

impl Opening {
    /// As the address says.
    pub fn new(address: &Address) -> Self {
        Self { address: address.clone(), side: None, framing: None, wait: None, to_present_end: false }
    }

    /// The side to take. Otherwise receivers listen and senders and duplex channels connect.
    #[must_use]
    pub fn side(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }

    /// How messages are told apart in a stream of bytes, where the address does not say it. Mechanisms that keep
    /// boundaries themselves take no notice.
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = Some(framing);
        self
    }

    /// How long opening may wait for the other side, where opening waits; otherwise the address's `timeout`, or
    /// for ever.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Takes the present end of a file for the end of its messages, rather than waiting there for the file to grow: a
    /// last line without a newline is a message then, and after it comes [`PeerGone`](ErrorKind::PeerGone). Mechanisms
    /// other than files take no notice.
    #[must_use]
    pub fn to_present_end(mut self) -> Self {
        self.to_present_end = true;
        self
    }

    /// Opens it to send.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the mechanism carries no messages or lacks what the address asks for;
    /// otherwise those of the mechanism.
    pub fn sender(&self) -> Result<Sender> {
        let mechanism = self.mechanism()?;
        let half = if self.is_rendezvous() {
            rendezvous::sender(mechanism, self)?
        } else {
            mechanism.sender(self)?
        };
        Ok(Sender::new(half, Origin::of(self)))
    }

    /// Opens it to receive.
    ///
    /// # Errors
    /// As [`Opening::sender`].
    pub fn receiver(&self) -> Result<Receiver> {
        let mechanism = self.mechanism()?;
        let half = if self.is_rendezvous() {
            rendezvous::receiver(mechanism, self)?
        } else {
            mechanism.receiver(self)?
        };
        let mut origin = Origin::of(self);
        if let Some(endpoint) = half.address() {
            origin.endpoint = Some(endpoint);
        }
        Ok(Receiver::new(half, origin))
    }

    /// Opens it to send and receive. On the listening side that waits for the first connection and serves that one only.
    ///
    /// # Errors
    /// As [`Opening::sender`].
    pub fn duplex(&self) -> Result<Duplex> {
        let mechanism = self.mechanism()?;
        self.no_rendezvous("connect")?;
        Ok(Duplex::new(mechanism.duplex(self)?, Origin::of(self)))
    }

    /// Opens it to accept connections.
    ///
    /// # Errors
    /// As [`Opening::sender`].
    pub fn listener(&self) -> Result<Listener> {
        let mechanism = self.mechanism()?;
        self.no_rendezvous("listen at")?;
        Ok(Listener::new(mechanism.listener(self)?, self))
    }

    /// Makes both ends of a channel without a name: `pipe:` and `eventfd:`.
    ///
    /// # Errors
    /// As [`Opening::sender`].
    pub fn pair(&self) -> Result<(Sender, Receiver)> {
        Ok(Duplex::new(self.mechanism()?.pair(self)?, Origin::of(self)).split())
    }

    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.address.endpoint()
    }

    /// The side to take, if the user chose none.
    pub(crate) fn side_or(&self, otherwise: Side) -> Side {
        self.side.unwrap_or(otherwise)
    }

    /// How long opening may wait.
    pub(crate) fn opening_wait(&self) -> Wait {
        self.wait.unwrap_or_else(|| wait_for(self.timeout()))
    }

    /// Whether the present end of a file is its end.
    pub(crate) fn is_to_present_end(&self) -> bool {
        self.to_present_end
    }

    /// How long each operation may wait that is given no time of its own.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.address.options().timeout()
    }

    /// How messages are told apart: what the address says, or else the user, or else what the mechanism is mostly
    /// used with.
    pub(crate) fn framing_or(&self, otherwise: Framing) -> Framing {
        self.address.options().framing().or(self.framing).unwrap_or(otherwise)
    }

    /// The permissions of a new object.
    pub(crate) fn mode(&self) -> Mode {
        self.address.options().mode().and_then(Mode::new).unwrap_or_default()
    }

    /// The capacity asked for. `bytes` or `messages` as the mechanism counts; only rings and files take a budget.
    pub(crate) fn capacity(&self) -> Option<Capacity> {
        let options = self.address.options();
        match (options.budget(), options.capacity()) {
            (Some(budget), _) => Some(Capacity::Unbounded { budget }),
            (None, Some(0)) => Some(Capacity::Zero),
            (None, Some(bytes)) => Some(Capacity::Bytes(bytes)),
            (None, None) => None,
        }
    }

    /// An error about this address that is not the kernel's.
    pub(crate) fn refused(&self, operation: &'static str, kind: ErrorKind, why: impl Into<String>) -> Error {
        let object = mechanism::object(self.endpoint());
        Error::refused(mechanism::name_of(self.endpoint()), operation, object, kind, why.into())
    }

    /// Refuses an option that this use of the mechanism has no place for, rather than ignoring it.
    pub(crate) fn without(&self, operation: &'static str, names: &[OptionName], why: &str) -> Result<()> {
        match names.iter().find(|&&name| self.address.options().has(name)) {
            Some(name) => {
                Err(self.refused(operation, ErrorKind::Unsupported, format!("option {name}: {why}")))
            }
            None => Ok(()),
        }
    }

    fn mechanism(&self) -> Result<&'static dyn mechanism::Mechanism> {
        let endpoint = self.endpoint();
        let Some(mechanism) = mechanism::of(endpoint) else {
            let why = "it carries no messages";
            return Err(self.refused("open", ErrorKind::Unsupported, why));
        };
        let options = self.address.options();
        if options.budget().is_some() && options.capacity().is_some() {
            let why = "capacity and budget exclude each other: a send waits for room, or it never waits";
            return Err(self.refused("open", ErrorKind::InvalidInput, why));
        }
        let can = mechanism.capabilities(endpoint).capacities;
        let asked = match self.capacity() {
            Some(Capacity::Zero) => crate::Capacities::ZERO,
            Some(Capacity::Unbounded { .. }) => crate::Capacities::UNBOUNDED,
            Some(_) => crate::Capacities::BOUNDED,
            None => crate::Capacities::empty(),
        };
        if !can.contains(asked) {
            let why = match self.capacity() {
                Some(Capacity::Zero) => {
                    "capacity 0 needs a way back, by which the receiver says that it has taken the message; \
                     unix, unix-seqpacket, tcp, mmap, sysv-shm, posix-shm, topic, queue and rpc have one"
                }
                _ if mechanism.capabilities(endpoint).newest_wins => {
                    "nothing waits in it, so that it has no capacity; message-size says how long a value may be"
                }
                _ => "it has no budget of bytes; mmap, sysv-shm, posix-shm, file, topic and queue have one",
            };
            return Err(self.refused("open", ErrorKind::Unsupported, why));
        }
        Ok(mechanism)
    }

    /// Whether the two sides meet through messages of their own. Rings have capacity zero in themselves.
    fn is_rendezvous(&self) -> bool {
        let over_connection =
            Capabilities::of(self.endpoint()).is_some_and(|can| can.listens && can.sees_end);
        over_connection && self.capacity() == Some(Capacity::Zero)
    }

    fn no_rendezvous(&self, operation: &'static str) -> Result<()> {
        if self.is_rendezvous() {
            let why = "capacity 0 has one direction; open a sender or a receiver";
            return Err(self.refused(operation, ErrorKind::Unsupported, why));
        }
        Ok(())
    }
}

/// A timeout from now, or none.
#[inline]
pub(crate) fn wait_for(timeout: Option<Duration>) -> Wait {
    match timeout {
        None => Wait::forever(),
        Some(timeout) => Wait::until(Deadline::after(timeout)),
    }
}
