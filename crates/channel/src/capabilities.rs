//! What a mechanism can do, and what it cannot.

use core::fmt;

use bitflags::bitflags;
use twixt_address::{Endpoint, Framing};

use crate::mechanism;

/// What a mechanism can do. Nothing is taken away for the sake of uniformity, and nothing is feigned: what is asked of a
/// mechanism that lacks it is refused by name.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::{Boundaries, Capabilities};
/// let queue: Address = "posix-mq:/jobs".parse()?;
/// let can = Capabilities::of(queue.endpoint()).ok_or("carries no messages")?;
/// assert_eq!(can.boundaries, Boundaries::Kept);
/// assert_eq!(can.priority, Some(32_767));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Who tells one message from the next.
    pub boundaries: Boundaries,
    /// By what messages are told apart in a stream of bytes; `None` where the mechanism keeps boundaries itself. With
    /// `raw` nothing tells them apart: bytes arrive in whatever pieces.
    pub framing: Option<Framing>,
    /// What a message may consist of.
    pub content: Content,
    /// Whether what one side sends and what it receives are of one connection.
    pub direction: Direction,
    /// The most bytes of a message; `None` if nothing but memory limits them. Of an open object this is its own limit,
    /// of a mechanism the one it has by default.
    pub max_message: Option<usize>,
    /// The most bytes of a message that stays in one piece while others send, too; `None` if any does. A longer one waits
    /// until no other is on its way, and is refused ([`Busy`](twixt_os::ErrorKind::Busy)) while another sender has sent
    /// shorter ones and not closed; senders that are not of ours know nothing of that.
    pub unmixed: Option<usize>,
    /// Whether a message without bytes arrives as one.
    pub empty_messages: bool,
    /// Whether messages have types that a receiver can choose by.
    pub types: bool,
    /// The highest priority, if messages have one and higher ones are received first.
    pub priority: Option<u32>,
    /// The most descriptors that can go with a message; 0 if none can.
    pub descriptors: usize,
    /// Whether the kernel says who sent a message.
    pub credentials: bool,
    /// How many may send to one object at a time.
    pub senders: Parties,
    /// How many may receive from one object at a time; each message goes to one of them, or to all ([`Parties::All`]).
    pub receivers: Parties,
    /// Whether what was accepted arrives, all and in order, as long as the receiver lives.
    pub reliable: bool,
    /// Whether a message takes the place of those before it. Receivers then get newer and newer ones and the last, and may
    /// skip what is between; one that has just come gets the last of those before.
    pub newest_wins: bool,
    /// Whether one side learns that the other has gone.
    pub sees_end: bool,
    /// Whether of a sender and a receiver one listens and the other connects. Two [`Duplex`](crate::Duplex) over what has
    /// both ways in shared memory have these sides, too.
    pub listens: bool,
    /// How long messages that nobody has received stay.
    pub persistence: Persistence,
    /// Which capacities can be asked for.
    pub capacities: Capacities,
    /// Whether there is a descriptor to poll.
    pub pollable: bool,
}

/// Who tells one message from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boundaries {
    /// The mechanism itself.
    Kept,
    /// A [`Framing`](twixt_address::Framing) in a stream of bytes.
    Framed,
}

/// What a message may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Any bytes.
    Bytes,
    /// A whole number, written in decimal.
    Number {
        /// The least.
        least: i64,
        /// The greatest.
        most: u64,
        /// Whether numbers that wait are added up into one (event counters).
        adds_up: bool,
    },
}

/// Which ways messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// From senders to receivers.
    OneWay,
    /// Both ways between the two sides of a connection; [`Duplex`](crate::Duplex) opens it.
    BothWays,
}

/// How many may take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parties {
    /// One at a time.
    One,
    /// Any number.
    Many,
    /// Any number of receivers, each of which gets every message.
    All,
}

/// How long messages that nobody has received stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Persistence {
    /// Until the processes that hold it open have gone.
    Process,
    /// Until it is removed or the machine stops.
    Kernel,
    /// Until it is removed.
    File,
}

bitflags! {
    /// The capacities that can be asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Capacities: u8 {
        /// None (`?capacity=0`): a send returns when the message has been taken, and both sides have met.
        const ZERO = 1;
        /// So many bytes or messages; a send waits for room.
        const BOUNDED = 2;
        /// No send ever waits; what exceeds a budget of bytes (`?budget=`) is refused.
        const UNBOUNDED = 4;
    }
}

/// How much may wait between a sender and a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capacity {
    /// Nothing.
    Zero,
    /// So many bytes, whatever the mechanism itself needs of them included.
    Bytes(u64),
    /// So many messages.
    Messages(u64),
    /// Anything within a budget of so many bytes.
    Unbounded {
        /// The budget.
        budget: u64,
    },
}

impl Capabilities {
    /// What the mechanism of an endpoint can do; `None` if it carries no messages.
    ///
    /// What an open channel can do may be less than its mechanism's best, or more exact:
    /// [`Sender::capabilities`](crate::Sender::capabilities).
    pub fn of(endpoint: &Endpoint) -> Option<Self> {
        mechanism::of(endpoint).map(|mechanism| mechanism.capabilities(endpoint))
    }

    /// What most mechanisms of the kernel have in common; each changes what it has otherwise.
    pub(crate) const fn new(boundaries: Boundaries) -> Self {
        Self {
            boundaries,
            framing: None,
            content: Content::Bytes,
            direction: Direction::OneWay,
            max_message: None,
            unmixed: None,
            empty_messages: true,
            types: false,
            priority: None,
            descriptors: 0,
            credentials: false,
            senders: Parties::Many,
            receivers: Parties::Many,
            reliable: true,
            newest_wins: false,
            sees_end: false,
            listens: false,
            persistence: Persistence::Process,
            capacities: Capacities::BOUNDED,
            pollable: true,
        }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("0"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Messages(messages) => write!(f, "{messages} messages"),
            Self::Unbounded { budget } => write!(f, "unbounded within {budget} bytes"),
        }
    }
}
