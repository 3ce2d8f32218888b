//! The receiving end.

use core::fmt;
use std::os::fd::BorrowedFd;

use twixt_address::{Address, Endpoint};
use twixt_os::{Deadline, ErrorKind, Mechanism, Result, Wait};

use crate::half::ReceiveHalf;
use crate::origin::Origin;
use crate::{Capabilities, Capacity, Message, Opening, Readiness, Select};

/// Receives messages, over whatever mechanism its address names.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::{Receiver, Sender};
///
/// let address: Address = "unix:@twixt-receiver-doc".parse()?;
/// let mut receiver = Receiver::open(&address)?;
/// Sender::open(&address)?.send(b"hello")?;
/// assert_eq!(receiver.receive()?.bytes(), b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Receiver {
    half: Box<dyn ReceiveHalf>,
    /// Whether the origin has a timeout: here, so that a call without one looks at this one line of memory.
    is_timed: bool,
    /// In a box, as it is seldom looked at and long.
    origin: Box<Origin>,
}

impl Receiver {
    /// Opens an address to receive from. A mechanism with a listening side is listened on, and everyone who connects is
    /// heard; [`Opening`] has other ways.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is nothing to receive from, [`AlreadyExists`](ErrorKind::AlreadyExists)
    /// if somebody else listens there, [`Unsupported`](ErrorKind::Unsupported) if the mechanism cannot do what the
    /// address asks for, and those of the mechanism.
    pub fn open(address: &Address) -> Result<Self> {
        Opening::new(address).receiver()
    }

    pub(crate) fn new(half: Box<dyn ReceiveHalf>, origin: Origin) -> Self {
        Self { half, is_timed: origin.timeout.is_some(), origin: Box::new(origin) }
    }

    /// Receives a message, waiting for one; no longer than the address's `timeout`, if it has one.
    ///
    /// # Errors
    /// - [`PeerGone`](ErrorKind::PeerGone): all senders have gone and everything has been received; only from
    ///   channels that [see the end](Capabilities::sees_end).
    /// - [`Malformed`](ErrorKind::Malformed): what arrived is damaged or was cut short. What follows it in a stream is
    ///   lost too.
    /// - [`TooLong`](ErrorKind::TooLong): a sender announces a message longer than [`Capabilities::max_message`].
    /// - [`TimedOut`](ErrorKind::TimedOut): the `timeout` passed first.
    pub fn receive(&mut self) -> Result<Message> {
        let mut message = Message::new();
        self.receive_wait(&mut message, self.origin.wait())?;
        Ok(message)
    }

    /// As [`receive`](Self::receive), into a message that was used before: nothing is allocated.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); `message` is empty then.
    #[inline(always)]
    pub fn receive_into(&mut self, message: &mut Message) -> Result<()> {
        if self.is_timed {
            self.receive_in_time(message)
        } else {
            self.receive_wait(message, Wait::forever())
        }
    }

    /// As the address's `timeout` says. Apart, so that a receiver without one has no registers to save for the clock.
    #[cold]
    #[inline(never)]
    fn receive_in_time(&mut self, message: &mut Message) -> Result<()> {
        self.receive_wait(message, self.origin.wait())
    }

    /// As [`receive`](Self::receive) without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`WouldBlock`](ErrorKind::WouldBlock) if there is none.
    pub fn try_receive(&mut self) -> Result<Message> {
        let mut message = Message::new();
        self.receive_wait(&mut message, Wait::never())?;
        Ok(message)
    }

    /// As [`receive`](Self::receive), until `deadline`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<Message> {
        let mut message = Message::new();
        self.receive_wait(&mut message, Wait::until(deadline))?;
        Ok(message)
    }

    /// As [`receive`](Self::receive), until a signal handler has run.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn receive_interruptible(&mut self) -> Result<Message> {
        let mut message = Message::new();
        self.receive_wait(&mut message, Wait::forever().interruptible())?;
        Ok(message)
    }

    /// As [`receive_into`](Self::receive_into), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and what `wait` ends with; `message` is empty then. Nothing is lost: what had
    /// arrived of a message in a stream is kept for the next call.
    #[inline(always)]
    pub fn receive_wait(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        message.clear();
        self.half.receive_into(message, wait)
    }

    /// The messages, one by one, until all senders have gone.
    pub fn messages(&mut self) -> Messages<'_> {
        Messages { receiver: self, ended: false }
    }

    /// Chooses by type which messages to receive from now on.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if its messages have no types.
    pub fn select(&mut self, select: Select) -> Result<()> {
        if !self.half.capabilities().types {
            let why = "its messages have no types to choose by";
            return Err(self.origin.refused("receive from", ErrorKind::Unsupported, why));
        }
        self.half.select(select);
        Ok(())
    }

    /// What this channel can do.
    pub fn capabilities(&self) -> Capabilities {
        self.half.capabilities()
    }

    /// How much may wait in it; `None` where the kernel does not tell.
    ///
    /// # Errors
    /// Those of asking the kernel.
    pub fn capacity(&self) -> Result<Option<Capacity>> {
        self.half.capacity()
    }

    /// How much waits in it, in the unit of its capacity; `None` where the kernel does not tell.
    ///
    /// # Errors
    /// Those of asking the kernel.
    pub fn len(&self) -> Result<Option<u64>> {
        self.half.len()
    }

    /// Whether nothing waits in it; `None` where the kernel does not tell.
    ///
    /// # Errors
    /// Those of asking the kernel.
    pub fn is_empty(&self) -> Result<Option<bool>> {
        Ok(self.len()?.map(|len| len == 0))
    }

    /// What to poll before a [`try_receive`](Self::try_receive) that would block is tried again. Poll only after one
    /// would block: a stream may have messages buffered that no poll shows.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what has no descriptor: System V queues, and rings in shared memory.
    pub fn readiness(&self) -> Result<Readiness<'_>> {
        self.origin.pollable(self.half.readiness())
    }

    /// Whether a message stands ready that no poll would show.
    pub fn has_buffered(&self) -> bool {
        self.half.has_buffered()
    }

    /// The descriptor of a stream of bytes, for moving bytes out of it as they are (`splice(2)`). `None` for all other
    /// channels, and while something is buffered.
    pub fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.half.stream()
    }

    /// Where it leads, with the port that the kernel chose where 0 was asked for; `None` within a process.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.origin.endpoint.as_ref()
    }

    /// What its errors say of it.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The mechanism, as errors name it.
    pub fn mechanism(&self) -> Mechanism {
        self.origin.mechanism
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver")
            .field(&format_args!("{} {}", self.origin.mechanism, self.origin.object))
            .finish()
    }
}

/// The messages of a receiver; ends when all senders have gone, or after an error that is no passing one.
#[derive(Debug)]
pub struct Messages<'a> {
    receiver: &'a mut Receiver,
    ended: bool,
}

impl Iterator for Messages<'_> {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Result<Message>> {
        if self.ended {
            return None;
        }
        match self.receiver.receive() {
            Err(error) if error.kind() == ErrorKind::PeerGone => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = error.kind() != ErrorKind::TimedOut;
                Some(Err(error))
            }
            message => Some(message),
        }
    }
}
