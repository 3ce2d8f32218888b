//! What a party has done.

use serde::{Deserialize, Serialize};

use crate::Usage;

/// What a party has done in a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Messages that it sent, the warm-up's included.
    pub sent: u64,
    /// Messages that it received, the warm-up's included.
    pub received: u64,
    /// Messages that it missed.
    pub skipped: u64,
    /// A sum over the messages that it sent, or else received: the same in whatever order.
    pub digest: u64,
    /// When the measured part began, on the monotonic clock, and after how many messages.
    pub first: Stamp,
    /// When it ended, and after how many.
    pub last: Stamp,
    /// What it used in between.
    pub usage: Usage,
    /// Round trips in nanoseconds: how many took how long.
    pub round_trips: Vec<(u64, u64)>,
    /// What was wrong with what it received.
    pub wrong: Option<String>,
}

/// A moment of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Nanoseconds of the monotonic clock.
    pub at_ns: u64,
    /// Messages so far.
    pub messages: u64,
}
