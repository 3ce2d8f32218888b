//! The sending end.

use core::fmt;
use std::os::fd::BorrowedFd;

use twixt_address::{Address, Endpoint};
use twixt_os::{Deadline, ErrorKind, Mechanism, Result, Wait};

use crate::half::SendHalf;
use crate::origin::Origin;
use crate::{Attributes, Capabilities, Capacity, Opening, Readiness};

/// Sends messages, over whatever mechanism its address names.
///
/// A message is borrowed: a send that fails has sent nothing of it, and the caller still has it whole.
///
/// Of the forms of [`send`](Self::send), each waits as its name says, as all blocking calls of
/// [`twixt_os`](twixt_os#waiting) do.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::{Receiver, Sender};
///
/// let address: Address = "sysv-msg:private".parse()?;
/// # let queue = twixt_os::sysv::msg::Queue::create(twixt_os::sysv::Key::PRIVATE, twixt_os::Mode::OWNER)?.remove_on_drop();
/// # let address: Address = format!("sysv-msg:id={}", queue.id().as_raw()).parse()?;
/// let mut sender = Sender::open(&address)?;
/// sender.send(b"hello")?;
/// # assert_eq!(Receiver::open(&address)?.receive()?.bytes(), b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sender {
    half: Box<dyn SendHalf>,
    /// Whether the origin has a timeout: here, so that a call without one looks at this one line of memory.
    is_timed: bool,
    /// In a box, as it is seldom looked at and long.
    origin: Box<Origin>,
}

impl Sender {
    /// Opens an address to send to: a queue, ring or file that is there (or is made, with `?create`), a FIFO once it is
    /// being read, or a connection to a socket that listens. [`Opening`] has more ways.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) or [`NoPeer`](ErrorKind::NoPeer) if there is nothing to send to,
    /// [`TimedOut`](ErrorKind::TimedOut) after the address's `timeout`, [`Unsupported`](ErrorKind::Unsupported) if the
    /// mechanism cannot do what the address asks for, and those of the mechanism.
    pub fn open(address: &Address) -> Result<Self> {
        Opening::new(address).sender()
    }

    pub(crate) fn new(half: Box<dyn SendHalf>, origin: Origin) -> Self {
        Self { half, is_timed: origin.timeout.is_some(), origin: Box::new(origin) }
    }

    /// Sends a message, waiting for room; no longer than the address's `timeout`, if it has one.
    ///
    /// # Errors
    /// - [`PeerGone`](ErrorKind::PeerGone): nobody will ever receive it.
    /// - [`TooLong`](ErrorKind::TooLong): it is longer than [`Capabilities::max_message`].
    /// - [`LimitReached`](ErrorKind::LimitReached): it exceeds the budget of an unbounded channel.
    /// - [`InvalidInput`](ErrorKind::InvalidInput): its bytes cannot be told from what stands between messages
    ///   (a newline, with `framing=lines`), or are no number where the mechanism carries numbers.
    /// - [`TimedOut`](ErrorKind::TimedOut): the `timeout` passed first.
    ///
    /// Whatever the error, nothing of the message has been sent.
    #[inline(always)]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        if self.is_timed { self.send_in_time(message) } else { self.send_wait(message, Wait::forever()) }
    }

    /// As the address's `timeout` says. Apart, so that a sender without one has no registers to save for the clock.
    #[cold]
    #[inline(never)]
    fn send_in_time(&mut self, message: &[u8]) -> Result<()> {
        self.send_wait(message, self.origin.wait())
    }

    /// As [`send`](Self::send) without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`WouldBlock`](ErrorKind::WouldBlock) if there is no room.
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::never())
    }

    /// As [`send`](Self::send), until `deadline`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(message, Wait::until(deadline))
    }

    /// As [`send`](Self::send), until a signal handler has run.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn send_interruptible(&mut self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever().interruptible())
    }

    /// As [`send`](Self::send), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`send`](Self::send), and what `wait` ends with.
    #[inline(always)]
    pub fn send_wait(&mut self, message: &[u8], wait: Wait) -> Result<()> {
        self.half.send_bytes(message, wait)
    }

    /// Sends a message with something that goes along: a type, a priority, descriptors.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Unsupported`](ErrorKind::Unsupported) for what the mechanism has no place for.
    pub fn send_with(&mut self, message: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        if attributes.is_empty() {
            return self.half.send_bytes(message, wait);
        }
        self.check(attributes)?;
        self.half.send(message, attributes, wait)
    }

    /// Passes on what a stream has accepted and kept back, because its time was up in the middle of a message.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone), and what `wait` ends with; what is left is still kept.
    pub fn flush(&mut self, wait: Wait) -> Result<()> {
        self.half.flush(wait)
    }

    /// Whether [`flush`](Self::flush) has something to pass on.
    pub fn holds_back(&self) -> bool {
        self.half.holds_back()
    }

    /// Ends the sending: passes on what was kept back, and tells the receiver that no more will come. Dropping the
    /// sender does as much of it as can be done without waiting.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). The sender is gone all the same.
    pub fn close(mut self, wait: Wait) -> Result<()> {
        self.half.finish(wait)
    }

    /// How many receive at present; `None` where that is not told. Topics tell it, since what is published while nobody
    /// subscribes reaches only who asks for a history.
    ///
    /// # Errors
    /// Those of looking.
    pub fn receivers(&self) -> Result<Option<usize>> {
        self.half.receivers()
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

    /// What to poll before a [`try_send`](Self::try_send) that would block is tried again.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what has no descriptor: System V queues, rings in shared memory, and queues of the
    /// bus that have no capacity.
    pub fn readiness(&self) -> Result<Readiness<'_>> {
        self.origin.pollable(self.half.readiness())
    }

    /// The descriptor of a stream of bytes, for moving bytes into it as they are (`splice(2)`). `None` for all other
    /// channels, and while [`holds_back`](Self::holds_back).
    pub fn stream(&self) -> Option<BorrowedFd<'_>> {
        self.half.stream()
    }

    /// Where it leads; `None` within a process.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.origin.endpoint.as_ref()
    }

    /// The mechanism, as errors name it.
    pub fn mechanism(&self) -> Mechanism {
        self.origin.mechanism
    }

    /// What its errors say of it.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    fn check(&self, attributes: &Attributes<'_>) -> Result<()> {
        let can = self.half.capabilities();
        let why = if attributes.message_type.is_some() && !can.types {
            "its messages have no types"
        } else if attributes.priority.is_some() && can.priority.is_none() {
            "its messages have no priorities"
        } else if attributes.descriptors.len() > can.descriptors {
            if can.descriptors == 0 {
                "it passes no descriptors"
            } else {
                "too many descriptors for one message"
            }
        } else {
            return Ok(());
        };
        Err(self.origin.refused("send to", ErrorKind::Unsupported, why))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender")
            .field(&format_args!("{} {}", self.origin.mechanism, self.origin.object))
            .finish()
    }
}
