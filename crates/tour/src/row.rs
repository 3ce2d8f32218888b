//! What the tour found out about one mechanism.

use serde::Serialize;

/// One row of the tour; the fields of its JSON form are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The version of this form: 1. Fields may be added within a version, not changed or removed.
    pub schema: u32,
    /// The demonstration's name, as `twixt tour NAME` takes it.
    pub mechanism: &'static str,
    /// What was shown, in a few words.
    pub shows: &'static str,
    /// How many rounds were held and checked; 0 if it did not come to that.
    pub rounds: u64,
    /// The median time of one round in nanoseconds, where the rounds were timed.
    pub p50_ns: Option<u64>,
    /// How it went.
    pub status: Status,
    /// Why it was skipped or failed.
    pub reason: Option<String>,
}

/// How a demonstration went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every byte, count and order was as it should be.
    Passed,
    /// This machine or user lacks something that the reason names.
    Skipped,
    /// Something was not as it should be.
    Failed,
}
