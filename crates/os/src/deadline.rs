//! A point in time up to which an operation may wait.

use std::sync::OnceLock;
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
// Not an `Instant`, which is twice as long: a deadline goes along with each call that may wait.
pub struct Deadline {
    /// Since the first time that this process asked; [`LAST`] at the most.
    nanoseconds: u64,
}

/// The last nanosecond that a deadline can be, well over a century away: the upper two bits are for a [`Wait`](crate::Wait) that
/// has one.
const LAST: u64 = (1 << 62) - 1;

/// Stands in for "never" where a duration would overflow the clock: about a century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What deadlines are counted from. All that is before it has passed.
fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    *BEGINNING.get_or_init(Instant::now)
}

impl Deadline {
    /// The present moment: an operation with this deadline is tried once.
    pub fn now() -> Self {
        Self::since_beginning(beginning().elapsed())
    }

    /// The moment `duration` from now. Durations beyond a century count as a century.
    pub fn after(duration: Duration) -> Self {
        Self::since_beginning(beginning().elapsed().saturating_add(duration.min(FAR)))
    }

    fn since_beginning(duration: Duration) -> Self {
        Self { nanoseconds: u64::try_from(duration.as_nanos()).unwrap_or(LAST).min(LAST) }
    }

    /// As a number of 62 bits.
    pub(crate) const fn to_bits(self) -> u64 {
        self.nanoseconds
    }

    /// Of the lower 62 bits.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { nanoseconds: bits & LAST }
    }

    /// The time left, zero once the deadline has passed.
    pub fn remaining(self) -> Duration {
        Duration::from_nanos(self.nanoseconds).saturating_sub(beginning().elapsed())
    }

    /// Whether no time is left.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// One that lies before the first deadline of this process becomes that, which has passed as well.
impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self::since_beginning(instant.saturating_duration_since(beginning()))
    }
}

impl From<Deadline> for Instant {
    fn from(deadline: Deadline) -> Self {
        beginning() + Duration::from_nanos(deadline.nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_comes_back_as_it_was() {
        let first = Instant::from(Deadline::now());
        for instant in [first, first + Duration::from_nanos(1), first + FAR] {
            assert_eq!(Instant::from(Deadline::from(instant)), instant);
        }
    }

    #[test]
    fn what_lies_before_all_deadlines_has_passed() {
        let now = Deadline::now();
        let early = beginning() - Duration::from_nanos(1);
        assert!(Deadline::from(early).has_passed() && Deadline::from(early) <= now);
    }

    #[test]
    fn the_farthest_is_a_century_away() {
        let left = Deadline::after(Duration::MAX).remaining();
        assert!(left <= FAR && left > FAR - Duration::from_secs(3600), "{left:?}");
    }
}
