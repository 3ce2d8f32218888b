//! What a party tells the conductor: one JSON object a line, on the party's standard output.

use std::io::{self, Write};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Something that happened in a party's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A line of dialogue.
    Say(String),
    /// The party has come to the point that it and its conductor agreed on; the text tells more where there is more.
    Reached(String, String),
    /// So many rounds were held and checked, with this median time in nanoseconds.
    Measured(u64, u64),
    /// The party counted something.
    Counted(String, u64),
    /// Something is missing here: the demonstration is to be skipped.
    Missing(String),
    /// The other side is not there, or not yet.
    Absent(String),
    /// The other side has gone in the middle of it.
    Gone(String),
    /// Something went wrong: the demonstration has failed.
    Wrong(String),
}

/// An event with the time at which it happened, by the clock that all processes of a machine share: parties write to
/// a pipe each, and only the time tells what came first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stamped {
    /// Nanoseconds of the monotonic clock.
    pub(crate) at: u64,
    pub(crate) event: Event,
}

/// Now, as events are stamped.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

impl Event {
    /// Writes the event to the conductor, in one piece.
    ///
    /// A conductor that has gone is no reason to fail: it has no use for events any more.
    pub(crate) fn emit(self) {
        let mut line = serde_json::to_vec(&Stamped { at: now(), event: self }).unwrap_or_default();
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    }
}
