//! What is to be done.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

mod flow;
mod round_trip;

pub(crate) use flow::{consume, produce, stop};
pub(crate) use round_trip::{ping, pong};

/// What the parties do with the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// One party sends a message and waits for one of the same size that comes back.
    Rtt,
    /// One party sends all it can to another.
    Throughput,
    /// The same with as many messages at a time as the transport moves at once.
    Batch,
    /// One party sends all it can to each of several others.
    Fanout,
    /// Several parties send to several others, each message being for one of these.
    Work,
}

/// What a receiver does while there is nothing, and a sender while there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// It tries again at once.
    Spin,
    /// It sleeps in the kernel.
    Block,
    /// It tries for a while, then sleeps.
    Adaptive,
}

/// How much of a message its sender writes and its receiver reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Touch {
    /// Every byte.
    All,
    /// The first eight, as where a message is handed over and not looked at.
    Header,
}

/// One thing to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Workload {
    /// What the parties do.
    pub pattern: Pattern,
    /// The bytes of a message.
    pub size: usize,
    /// How they wait.
    pub waiting: Waiting,
    /// How much of a message is touched.
    pub touch: Touch,
    /// How many parties send; more than one only with [`Pattern::Work`].
    pub publishers: usize,
    /// How many receive; more than one only with [`Pattern::Fanout`] and [`Pattern::Work`].
    pub subscribers: usize,
}

impl Workload {
    /// How many processes it takes.
    pub fn parties(&self) -> usize {
        self.publishers + self.subscribers
    }

    /// How many of the messages that a receiver is to see all receivers together see for one that was sent.
    pub(crate) fn copies(&self) -> u64 {
        if self.pattern == Pattern::Fanout { self.subscribers as u64 } else { 1 }
    }
}

/// Implements `Display` and `FromStr` with the same words as serde.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{word:?} is none of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(Pattern { Rtt = "rtt", Throughput = "throughput", Batch = "batch", Fanout = "fanout", Work = "work" });
words!(Waiting { Spin = "spin", Block = "block", Adaptive = "adaptive" });
words!(Touch { All = "all", Header = "header" });
