//! A point in time up to which an operation may wait.

use std::time::{Duration, Instant};

/// A point of the monotonic clock, which no one can set: what `CLOCK_MONOTONIC` means in the manual pages.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::Deadline;
///
/// let deadline = Deadline::after(Duration::from_secs(2));
/// assert!(deadline.remaining() <= Duration::from_secs(2));
/// assert!(Deadline::now().has_passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// Stands in for "never" where a duration would overflow the clock: about a century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Deadline {
    /// The present moment: an operation with this deadline is tried once.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// The moment `duration` from now. Durations beyond a century count as a century.
    pub fn after(duration: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(duration.min(FAR)).unwrap_or(now))
    }

    /// The time left, zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether no time is left.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self(instant)
    }
}

impl From<Deadline> for Instant {
    fn from(deadline: Deadline) -> Self {
        deadline.0
    }
}
