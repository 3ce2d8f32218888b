//! What a stage and its parties say to each other.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use twixt_channel::{
    Boundaries, Capabilities, Capacities, Capacity, Content, Direction, Parties, Persistence,
};
use twixt_os::{Error, ErrorKind};

use crate::body::Body;

/// What a party is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Opens it; as the side that listens, where it is otherwise the one that connects.
    Open {
        end: End,
        address: String,
        listens: bool,
    },
    Send {
        body: Body,
        with: With,
        how: How,
    },
    /// Sends the numbered messages from `first` on until it has sent `count` of them, or one fails.
    SendMany {
        first: u64,
        count: u64,
        how: How,
    },
    Receive {
        how: How,
    },
    /// Receives numbered messages.
    ReceiveMany {
        most: u64,
        keep: bool,
        how: How,
    },
    Select(Choice),
    Flush {
        how: How,
    },
    HoldsBack,
    Close {
        how: How,
    },
    /// Lets go of its end without a word.
    Drop,
    Len,
    Capacity,
    /// Polls its end once for so long; says whether it is ready.
    Poll {
        patience: Duration,
    },
    /// The memory and the descriptors of its process.
    Usage,
    /// Waits for a connection, and opens it as a duplex.
    Accept {
        how: How,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Sender,
    Receiver,
    Duplex,
    Listener,
}

/// How long a call may wait, and under what circumstances it is made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct How {
    pub limit: Limit,
    pub interruptible: bool,
    /// Under a thousand signals a second, of which the stage is told.
    pub storm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    Forever,
    Never,
    /// With a deadline that has passed before the call.
    Past,
    Within(Duration),
}

impl How {
    pub const FOREVER: Self = Self { limit: Limit::Forever, interruptible: false, storm: false };
    pub const NEVER: Self = Self { limit: Limit::Never, ..Self::FOREVER };
    pub const PAST: Self = Self { limit: Limit::Past, ..Self::FOREVER };
    /// Longer than anything takes that works: what is waited for so long has failed.
    pub const PATIENT: Self = Self::within(Duration::from_secs(30));

    pub const fn within(time: Duration) -> Self {
        Self { limit: Limit::Within(time), ..Self::FOREVER }
    }

    pub const fn interruptible(self) -> Self {
        Self { interruptible: true, ..self }
    }

    pub const fn in_storm(self) -> Self {
        Self { storm: true, ..self }
    }
}

/// What goes along with a message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct With {
    pub message_type: Option<i64>,
    pub priority: Option<u32>,
    /// The write ends of so many new pipes, whose names stand in the messages that were written into them.
    pub descriptors: usize,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Choice {
    Any,
    Type(i64),
    AtMost(i64),
    Except(i64),
}

/// What a party says to an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The first word: the thread that plays the party.
    Here {
        tid: i32,
        pid: i32,
    },
    /// Ahead of the answer proper: the call has been under the storm for a while.
    Stormed,
    Settled {
        outcome: Result<Done, Failure>,
        took: Duration,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Done {
    Nothing,
    Opened(Abilities),
    Received(Got),
    Sent(Tally),
    Collected(Collected),
    Is(bool),
    Len(Option<u64>),
    Capacity(Option<Room>),
    Usage(Usage),
}

/// A failure, as far as it concerns a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub kind: String,
    pub text: String,
}

impl Failure {
    pub fn new(kind: ErrorKind, text: impl ToString) -> Self {
        Self { kind: format!("{kind:?}"), text: text.to_string() }
    }

    pub fn is(&self, kind: ErrorKind) -> bool {
        self.kind == format!("{kind:?}")
    }

    pub fn is_one_of(&self, kinds: &[ErrorKind]) -> bool {
        kinds.iter().any(|kind| self.is(*kind))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// A received message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Got {
    pub body: Body,
    pub message_type: Option<i64>,
    pub priority: Option<u32>,
    /// Process, user and group.
    pub credentials: Option<(Option<i32>, u32, u32)>,
    /// How many of the descriptors lead to where the sender said; the rest is wrong.
    pub descriptors: Vec<String>,
}

/// How far a [`Order::SendMany`] came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tally {
    pub sent: u64,
    pub failure: Option<Failure>,
}

/// What a [`Order::ReceiveMany`] received.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Collected {
    pub count: u64,
    pub sum: u64,
    /// The messages' numbers, if they were to be kept.
    pub numbers: Vec<u64>,
    /// The first thing that was wrong with one of the messages.
    pub wrong: Option<String>,
    /// What ended it before `most` were received.
    pub failure: Option<Failure>,
    /// Whether it was told to stop.
    pub stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Room {
    Zero,
    Bytes(u64),
    Messages(u64),
    Unbounded(u64),
}

impl Room {
    pub fn of(capacity: Capacity) -> Self {
        match capacity {
            Capacity::Zero => Self::Zero,
            Capacity::Bytes(bytes) => Self::Bytes(bytes),
            Capacity::Messages(messages) => Self::Messages(messages),
            Capacity::Unbounded { budget } => Self::Unbounded(budget),
            other => panic!("a capacity that the suite does not know: {other}"),
        }
    }

    pub fn amount(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Bytes(amount) | Self::Messages(amount) | Self::Unbounded(amount) => amount,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Usage {
    pub resident: u64,
    pub descriptors: u64,
}

/// [`Capabilities`], fit to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    pub keeps_boundaries: bool,
    pub number: Option<Numbers>,
    pub both_ways: bool,
    pub max_message: Option<usize>,
    pub unmixed: Option<usize>,
    pub empty_messages: bool,
    pub types: bool,
    pub priority: Option<u32>,
    pub descriptors: usize,
    pub credentials: bool,
    pub many_senders: bool,
    pub many_receivers: bool,
    /// Whether each of them gets every message.
    pub fans_out: bool,
    pub reliable: bool,
    pub newest_wins: bool,
    pub sees_end: bool,
    pub listens: bool,
    /// Whether messages outlive the processes.
    pub persists: bool,
    pub zero: bool,
    pub bounded: bool,
    pub unbounded: bool,
    pub pollable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    pub least: i64,
    pub most: u64,
    pub adds_up: bool,
}

impl Abilities {
    pub fn of(can: &Capabilities) -> Self {
        let number = match can.content {
            Content::Number { least, most, adds_up } => Some(Numbers { least, most, adds_up }),
            _ => None,
        };
        Self {
            keeps_boundaries: can.boundaries == Boundaries::Kept,
            number,
            both_ways: can.direction == Direction::BothWays,
            max_message: can.max_message,
            unmixed: can.unmixed,
            empty_messages: can.empty_messages,
            types: can.types,
            priority: can.priority,
            descriptors: can.descriptors,
            credentials: can.credentials,
            many_senders: can.senders == Parties::Many,
            many_receivers: can.receivers != Parties::One,
            fans_out: can.receivers == Parties::All,
            reliable: can.reliable,
            newest_wins: can.newest_wins,
            sees_end: can.sees_end,
            listens: can.listens,
            persists: can.persistence != Persistence::Process,
            zero: can.capacities.contains(Capacities::ZERO),
            bounded: can.capacities.contains(Capacities::BOUNDED),
            unbounded: can.capacities.contains(Capacities::UNBOUNDED),
            pollable: can.pollable,
        }
    }

    /// Whether numbers that wait are added up.
    pub fn adds_up(&self) -> bool {
        self.number.is_some_and(|number| number.adds_up)
    }

    /// Whether messages arrive in the order in which they were sent, be it that some do not.
    pub fn keeps_order(&self) -> bool {
        self.reliable || self.newest_wins
    }

    /// Whether a send waits for room, in the end.
    pub fn fills_up(&self) -> bool {
        self.reliable && (self.bounded || !self.unbounded)
    }
}

pub fn write<T: Serialize>(mut to: &UnixStream, what: &T) {
    let bytes = postcard::to_allocvec(what).expect("plain data");
    let len = u32::try_from(bytes.len()).expect("less than 4 GiB");
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend(bytes);
    // The other side may have gone, which shows when it is listened to.
    let _ = to.write_all(&frame);
}

/// The next word, or none if the other side has gone.
pub fn read<T: DeserializeOwned>(mut from: &UnixStream) -> std::io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    from.read_exact(&mut bytes)?;
    Ok(postcard::from_bytes(&bytes).expect("what the other side wrote"))
}
