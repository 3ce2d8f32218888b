//! The word that says whose a message is.
//!
//! ```text
//! bits  0..2   state    0 free, 1 taken, 2 done
//! bits  2..12  owner    the place of the consumer that has taken it
//! bits 12..20  count    how often it was handed out; stays at 255
//! bits 20..32  time     when it was taken, in the units of `Visibility`, modulo 4096
//! bits 32..64  lap      of the position that it is about: the position by the length of the ring, modulo 2^32
//! ```
//!
//! | word | what it says of position `p` in slot `p mod N` | who stores it, from what |
//! |---|---|---|
//! | lap of `p`, free, count 0 | nobody has had it, or nothing was published there | the producer, when it reclaims the lap before; 0 in a fresh ledger is lap 0 |
//! | lap of `p`, taken | it is the owner's | a consumer, from free |
//! | lap of `p`, free, count above 0 | it was given back | its owner, or whoever found the owner dead or too slow, from taken |
//! | lap of `p`, done | it was acknowledged, or withdrawn by its sender | its owner, from taken; the producer, from free |
//! | the lap after | its room is the producer's | the producer, from done |
//!
//! Every change but the producer's reclaiming is one compare-and-exchange of the whole word, so that of all that want to change
//! it one does. A word is never the same again while it is about the same position: with each taking the count goes up.

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Free,
    Taken,
    Done,
}

const OWNER: u32 = 2;
const COUNT: u32 = 12;
const TIME: u32 = 20;
const LAP: u32 = 32;

/// How many consumers a word can name.
pub(crate) const OWNERS: usize = 1 << (COUNT - OWNER);
/// The most that is counted.
pub(crate) const MOST_COUNTED: u64 = (1 << (TIME - COUNT)) - 1;
/// Times are told modulo this.
const TIMES: u64 = 1 << (LAP - TIME);

impl Claim {
    pub(crate) fn of(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// Nobody has had it.
    #[inline(always)]
    pub(crate) fn fresh(lap: u32) -> Self {
        Self(u64::from(lap) << LAP)
    }

    /// What is no state counts as done: nobody gets it, and its room is not kept.
    #[inline(always)]
    pub(crate) fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Free,
            1 => State::Taken,
            _ => State::Done,
        }
    }

    #[inline(always)]
    pub(crate) fn lap(self) -> u32 {
        (self.0 >> LAP) as u32
    }

    /// A place, below [`OWNERS`].
    pub(crate) fn owner(self) -> usize {
        (self.0 >> OWNER) as usize & (OWNERS - 1)
    }

    pub(crate) fn count(self) -> u64 {
        self.0 >> COUNT & MOST_COUNTED
    }

    pub(crate) fn time(self) -> u64 {
        self.0 >> TIME & (TIMES - 1)
    }

    #[inline(always)]
    pub(crate) fn is_free(self, lap: u32) -> bool {
        self.lap() == lap && self.state() == State::Free
    }

    #[inline(always)]
    pub(crate) fn is_taken(self, lap: u32) -> bool {
        self.lap() == lap && self.state() == State::Taken
    }

    /// Whether its room can be used again. The lap after stands there where a producer died while it reclaimed.
    #[inline(always)]
    pub(crate) fn is_over(self, lap: u32) -> bool {
        self.lap() == lap && self.state() == State::Done || self.lap() == lap.wrapping_add(1)
    }

    /// The same, taken.
    #[inline(always)]
    pub(crate) fn taken(self, owner: usize, time: u64) -> Self {
        let count = (self.count() + 1).min(MOST_COUNTED);
        Self(
            u64::from(self.lap()) << LAP
                | (time & (TIMES - 1)) << TIME
                | count << COUNT
                | (owner as u64 & (OWNERS as u64 - 1)) << OWNER
                | 1,
        )
    }

    /// The same, taken at another time.
    pub(crate) fn renewed(self, time: u64) -> Self {
        Self(self.0 & !((TIMES - 1) << TIME) | (time & (TIMES - 1)) << TIME)
    }

    /// The same, given back.
    pub(crate) fn returned(self) -> Self {
        Self(self.0 & !(u64::from(u32::MAX) & !(MOST_COUNTED << COUNT)))
    }

    /// The same, given back by one who has not looked at it: as if it had not been handed out.
    pub(crate) fn untaken(self) -> Self {
        let count = self.count().saturating_sub(1);
        Self(u64::from(self.lap()) << LAP | count << COUNT)
    }

    /// The same, done.
    #[inline(always)]
    pub(crate) fn done(self) -> Self {
        Self(u64::from(self.lap()) << LAP | 2)
    }
}

/// For how long a message may be worked on, in the units in which claims tell time.
///
/// The unit is such that it is 128 to 255 of them, or a millisecond; times repeat after 16 times as long at the least. What
/// seems to have been taken within the last sixteenth of that was, by the clocks of several processors, taken just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visibility {
    shift: u32,
    units: u64,
}

/// A millisecond, nearly: coarse clocks do not know better.
const FINEST: u32 = 20;

impl Visibility {
    pub(crate) fn new(nanoseconds: u64) -> Self {
        let bits = u64::BITS - nanoseconds.leading_zeros();
        let shift = bits.saturating_sub(8).max(FINEST);
        Self { shift, units: (nanoseconds >> shift) + 1 }
    }

    /// Nanoseconds as claims tell them.
    pub(crate) fn time(self, nanoseconds: u64) -> u64 {
        nanoseconds >> self.shift & (TIMES - 1)
    }

    /// Whether the time of a claim is up.
    pub(crate) fn is_over(self, claim: Claim, now: u64) -> bool {
        let age = now.wrapping_sub(claim.time()) & (TIMES - 1);
        age > self.units && age < TIMES - TIMES / 16
    }
}

#[cfg(all(test, not(twixt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_what_it_was_told() {
        for lap in [0, 7, u32::MAX] {
            let fresh = Claim::fresh(lap);
            assert!(fresh.is_free(lap) && !fresh.is_taken(lap) && fresh.count() == 0);
            let taken = fresh.taken(1023, 4095);
            assert!(taken.is_taken(lap) && !taken.is_free(lap) && !taken.is_over(lap));
            assert_eq!((taken.owner(), taken.count(), taken.time(), taken.lap()), (1023, 1, 4095, lap));
            assert_eq!(taken.renewed(5).renewed(4095), taken);
            assert_eq!(taken.renewed(5).time(), 5);
            assert_eq!(taken.untaken(), fresh);
            let back = taken.returned();
            assert!(back.is_free(lap));
            assert_eq!((back.owner(), back.count(), back.time()), (0, 1, 0));
            assert_eq!(back.taken(3, 1).count(), 2);
            assert!(taken.done().is_over(lap) && !taken.done().is_over(lap.wrapping_add(1)));
            assert!(Claim::fresh(lap.wrapping_add(1)).is_over(lap));
            assert!(!Claim::fresh(lap.wrapping_sub(1)).is_over(lap));
        }
        let mut often = Claim::fresh(3);
        for _ in 0..300 {
            often = often.taken(1, 0).returned();
        }
        assert_eq!(often.count(), MOST_COUNTED);
    }

    #[test]
    fn time_is_up_after_as_long_as_was_said_and_not_before() {
        for nanoseconds in [1, 1_000_000, 100_000_000, 30_000_000_000, 86_400_000_000_000, u64::MAX] {
            let visibility = Visibility::new(nanoseconds);
            for taken_at in [0, 1 << 40, u64::MAX / 3] {
                let claim = Claim::fresh(0).taken(0, visibility.time(taken_at));
                let after =
                    |time: u64| visibility.is_over(claim, visibility.time(taken_at.wrapping_add(time)));
                assert!(!after(0) && !after(nanoseconds / 2) && !after(nanoseconds));
                let unit = 1_u64 << visibility.shift;
                if nanoseconds < 1 << 60 {
                    assert!(after(nanoseconds + 3 * unit));
                    assert!(after(4 * nanoseconds + 3 * unit));
                }
                // Another processor's clock, a little behind.
                assert!(!visibility.is_over(claim, visibility.time(taken_at).wrapping_sub(1)));
            }
        }
    }
}
