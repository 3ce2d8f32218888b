//! Both ends of a connection.

use std::time::Duration;

use twixt_address::Address;
use twixt_os::{Deadline, Result, Wait};

use crate::half::Halves;
use crate::origin::Origin;
use crate::{Message, Opening, Receiver, Sender};

/// A connection: what one side sends, the other receives.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::{Duplex, Listener};
///
/// let address: Address = "unix-seqpacket:@twixt-duplex-doc".parse()?;
/// let listener = Listener::open(&address)?;
/// let mut client = Duplex::open(&address)?;
/// let mut server = listener.accept()?;
/// client.send(b"ping")?;
/// assert_eq!(server.receive()?.bytes(), b"ping");
/// server.send(b"pong")?;
/// assert_eq!(client.receive()?.bytes(), b"pong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Duplex {
    sender: Sender,
    receiver: Receiver,
}

impl Duplex {
    /// Connects to an address at which somebody listens, or starts the command of `exec:`, or takes what `fd:` and `-`
    /// name. [`Opening::duplex`] has other ways.
    ///
    /// # Errors
    /// [`NotFound`](twixt_os::ErrorKind::NotFound) or [`NoPeer`](twixt_os::ErrorKind::NoPeer) if nobody listens there,
    /// [`Unsupported`](twixt_os::ErrorKind::Unsupported) if the mechanism has one direction, and those of the
    /// mechanism.
    pub fn open(address: &Address) -> Result<Self> {
        Opening::new(address).duplex()
    }

    pub(crate) fn new((sender, receiver): Halves, origin: Origin) -> Self {
        Self { sender: Sender::new(sender, origin.clone()), receiver: Receiver::new(receiver, origin) }
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message)
    }

    /// As [`Sender::send_wait`].
    ///
    /// # Errors
    /// Those of [`Sender::send_wait`].
    pub fn send_wait(&mut self, message: &[u8], wait: Wait) -> Result<()> {
        self.sender.send_wait(message, wait)
    }

    /// As [`Receiver::receive`].
    ///
    /// # Errors
    /// Those of [`Receiver::receive`].
    pub fn receive(&mut self) -> Result<Message> {
        self.receiver.receive()
    }

    /// As [`Receiver::receive_deadline`].
    ///
    /// # Errors
    /// Those of [`Receiver::receive_deadline`].
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<Message> {
        self.receiver.receive_deadline(deadline)
    }

    /// As [`Receiver::receive_wait`].
    ///
    /// # Errors
    /// Those of [`Receiver::receive_wait`].
    pub fn receive_wait(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        self.receiver.receive_wait(message, wait)
    }

    /// What its errors say of it.
    /// How long the addresses of both halves let an operation wait; the shorter of two.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let both = [self.sender.origin().timeout, self.receiver.origin().timeout];
        both.into_iter().flatten().min()
    }

    pub(crate) fn origin(&self) -> &Origin {
        self.receiver.origin()
    }

    /// The sending half.
    pub fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The receiving half.
    pub fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Both halves at once.
    pub(crate) fn halves(&mut self) -> (&mut Sender, &mut Receiver) {
        (&mut self.sender, &mut self.receiver)
    }

    /// Takes the halves apart, for two threads. Dropping the sender tells the other side that no more will come.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

/// Two halves that belong together, and that may be of two mechanisms (a pipe there and a pipe back).
impl From<(Sender, Receiver)> for Duplex {
    fn from((sender, receiver): (Sender, Receiver)) -> Self {
        Self { sender, receiver }
    }
}
