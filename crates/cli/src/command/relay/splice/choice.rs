//! Which way bytes are moved: whichever turns out to be faster.
//!
//! How bytes get into a socket fastest depends on the processor, on what the kernel does for its vulnerabilities, and on what
//! both ends do with the bytes; between two ways it may be a factor of two to either side. So while much comes at a time
//! both are tried, in turns, and the better one is kept to until they are tried again.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A way to move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Within the kernel.
    Splice,
    /// Through a buffer.
    Copy,
    /// The same, with a thread that reads ahead.
    Ahead,
}

/// A stretch of the stream that is moved by one means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stint {
    pub(super) means: Means,
    /// How many bytes it is to move: some more do no harm.
    pub(super) bytes: usize,
}

/// Until more is known, so much is moved before it is looked at whether much comes at a time.
const LOOK: usize = 4 << 20;
/// So much is moved by each means in a turn of the trial...
const TRIAL: usize = 12 << 20;
/// ... of which this counts not: what stands in the kernel's buffers still is as the means before has left it.
const SETTLING: usize = 4 << 20;
/// How often each has its turn.
const TURNS: usize = 2;
/// So much is moved by the better one before both are tried again.
const KEPT: usize = 2 << 30;
/// Less at a time is little: nothing is gained by moving it cleverly. A pipe of the usual size holds twice as much.
pub(super) const MUCH: usize = 32 << 10;

/// Chooses the means.
#[derive(Debug)]
pub(super) struct Choice {
    /// What is used while little comes at a time.
    usual: Means,
    /// The two that are tried while much does, where there are two.
    rivals: Option<[Means; 2]>,
    /// The best turn of each.
    best: [Option<Cost>; 2],
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Looking,
    /// So many turns are over.
    Trying(usize),
    /// The better one was found.
    Keeping(Means),
}

impl Choice {
    pub(super) const fn new(usual: Means, rivals: Option<[Means; 2]>) -> Self {
        Self { usual, rivals, best: [None; 2], phase: Phase::Looking }
    }

    /// What to do next.
    pub(super) fn next(&self) -> Stint {
        let Some(rivals) = self.rivals else { return Stint { means: self.usual, bytes: usize::MAX } };
        match self.phase {
            Phase::Looking => Stint { means: self.usual, bytes: LOOK },
            Phase::Trying(turn) => Stint { means: rivals[turn % 2], bytes: TRIAL },
            Phase::Keeping(means) => Stint { means, bytes: KEPT },
        }
    }

    /// What came of it.
    pub(super) fn learn(&mut self, tally: &Tally) {
        if self.rivals.is_none() {
            return;
        }
        self.phase = match self.phase {
            Phase::Looking | Phase::Keeping(_) if !tally.brought_much() => Phase::Looking,
            Phase::Looking | Phase::Keeping(_) => {
                self.best = [None; 2];
                Phase::Trying(0)
            }
            Phase::Trying(turn) => {
                // That little came at a time may be its own doing: it has lost the turn.
                let cost = tally.brought_much().then(|| tally.cost()).flatten();
                let best = &mut self.best[turn % 2];
                *best = best.map_or(cost, |best| cost.map_or(Some(best), |cost| Some(best.quicker(cost))));
                match self.best {
                    _ if turn + 1 < 2 * TURNS => Phase::Trying(turn + 1),
                    [None, None] => Phase::Looking,
                    _ => Phase::Keeping(self.better()),
                }
            }
        };
    }

    /// The kernel cannot splice here.
    pub(super) fn rule_out_splicing(&mut self) {
        let others = self.rivals.iter().flatten().copied().find(|&means| means != Means::Splice);
        *self = Self::new(if self.usual == Means::Splice { Means::Copy } else { self.usual }, None);
        // One that is only worth it while much comes needs to be looked at.
        if let Some(other) = others.filter(|&means| means != self.usual) {
            self.rivals = Some([other, self.usual]);
        }
    }

    fn better(&self) -> Means {
        let rivals = self.rivals.unwrap_or([self.usual; 2]);
        match self.best {
            [Some(one), Some(other)] if one.is_worse_than(other) => rivals[1],
            [None, Some(_)] => rivals[1],
            _ => rivals[0],
        }
    }
}

/// What it takes to move a byte, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    time: f64,
    /// Of the processors, for this program.
    work: f64,
}

impl Cost {
    /// Slower; where that cannot be told for sure, as when somebody else sets the pace, more work.
    fn is_worse_than(self, other: Self) -> bool {
        const SURE: f64 = 0.9;
        if self.time * SURE > other.time {
            true
        } else if other.time * SURE > self.time {
            false
        } else {
            self.work > other.work
        }
    }

    fn quicker(self, other: Self) -> Self {
        if other.time < self.time { other } else { self }
    }
}

/// What a stint has moved, and what it took.
#[derive(Debug)]
pub(super) struct Tally {
    /// Still to be moved.
    left: usize,
    moved: usize,
    moves: usize,
    /// Since when it counts, and how many bytes were moved before.
    since: Option<(Moment, usize)>,
}

impl Tally {
    pub(super) const fn of(stint: Stint) -> Self {
        Self { left: stint.bytes, moved: 0, moves: 0, since: None }
    }

    /// How many bytes are still to be moved.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Whether enough was moved.
    pub(super) const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// So many bytes were taken at once, and passed on.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.moved += bytes;
        self.moves += 1;
        if self.since.is_none() && self.moved >= SETTLING {
            self.since = Some((Moment::now(), self.moved));
        }
    }

    fn brought_much(&self) -> bool {
        self.is_done() && self.moved / self.moves.max(1) >= MUCH
    }

    fn cost(&self) -> Option<Cost> {
        let (since, before) = self.since?;
        let bytes = (self.moved - before) as f64;
        let now = Moment::now();
        let per_byte = |from: Duration, to: Duration| to.saturating_sub(from).as_nanos() as f64 / bytes;
        (bytes > 0.0)
            .then(|| Cost { time: per_byte(since.time, now.time), work: per_byte(since.work, now.work) })
    }
}

/// A point of time, and of what this process has worked.
#[derive(Clone, Copy, Debug)]
struct Moment {
    time: Duration,
    work: Duration,
}

impl Moment {
    fn now() -> Self {
        let clock = |clock| {
            let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
            Duration::from_secs(tv_sec.unsigned_abs()) + Duration::from_nanos(tv_nsec.unsigned_abs())
        };
        Self { time: clock(ClockId::Monotonic), work: clock(ClockId::ProcessCPUTime) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stint brings in pieces of so many bytes, if the whole of it takes so long.
    fn tally(stint: Stint, piece: usize, nanoseconds_per_byte: f64, work: f64) -> Tally {
        let mut tally = Tally::of(stint);
        while !tally.is_done() {
            tally.moved(piece);
        }
        let now = Moment::now();
        if let Some((since, before)) = &mut tally.since {
            let ago = |cost: f64| Duration::from_nanos((cost * (tally.moved - *before) as f64) as u64);
            since.time = now.time.saturating_sub(ago(nanoseconds_per_byte));
            since.work = now.work.saturating_sub(ago(work));
        }
        tally
    }

    const ONE: Means = Means::Splice;
    const OTHER: Means = Means::Ahead;
    /// Long for a byte, so that the time the test itself takes does not count.
    const QUICK: f64 = 20.0;

    /// What is kept to when both have been tried.
    fn kept(costs: impl Fn(Means, usize) -> f64) -> Means {
        let mut choice = Choice::new(Means::Copy, Some([ONE, OTHER]));
        let look = choice.next();
        assert_eq!(look, Stint { means: Means::Copy, bytes: LOOK });
        choice.learn(&tally(look, 1 << 20, QUICK, 0.0));
        for turn in 0..2 * TURNS {
            let stint = choice.next();
            assert_eq!(stint, Stint { means: [ONE, OTHER][turn % 2], bytes: TRIAL });
            choice.learn(&tally(stint, 1 << 20, costs(stint.means, turn / 2), 0.0));
        }
        let Stint { means, bytes } = choice.next();
        assert_eq!(bytes, KEPT);
        // Tried again afterwards, and forgotten once little comes at a time.
        choice.learn(&tally(Stint { means, bytes: LOOK }, 1 << 20, QUICK, 0.0));
        assert_eq!(choice.next(), Stint { means: ONE, bytes: TRIAL });
        for _ in 0..2 * TURNS {
            choice.learn(&tally(choice.next(), 100, QUICK, 0.0));
        }
        assert_eq!(choice.next(), look);
        means
    }

    #[test]
    fn the_faster_one_is_kept_to() {
        assert_eq!(kept(|means, _| if means == ONE { QUICK } else { 2.0 * QUICK }), ONE);
        assert_eq!(kept(|means, _| if means == OTHER { QUICK } else { 2.0 * QUICK }), OTHER);
    }

    #[test]
    fn one_bad_turn_does_not_count() {
        assert_eq!(kept(|means, turn| if means == ONE && turn == 1 { QUICK } else { 3.0 * QUICK }), ONE);
        assert_eq!(kept(|means, turn| if means == OTHER && turn == 0 { QUICK } else { 3.0 * QUICK }), OTHER);
    }

    #[test]
    fn of_two_that_are_as_fast_the_one_with_less_work_is_better() {
        let cost = |time, work| Cost { time, work };
        assert!(cost(1.0, 0.9).is_worse_than(cost(1.05, 0.5)));
        assert!(!cost(1.05, 0.5).is_worse_than(cost(1.0, 0.9)));
        assert!(!cost(1.0, 0.9).is_worse_than(cost(1.2, 0.5)));
        assert!(cost(1.2, 0.5).is_worse_than(cost(1.0, 0.9)));
    }

    #[test]
    fn little_at_a_time_is_not_worth_a_trial() {
        let mut choice = Choice::new(Means::Copy, Some([ONE, OTHER]));
        for _ in 0..3 {
            choice.learn(&tally(choice.next(), MUCH - 1, QUICK, 0.0));
            assert_eq!(choice.next(), Stint { means: Means::Copy, bytes: LOOK });
        }
        choice.learn(&tally(choice.next(), MUCH, QUICK, 0.0));
        assert_eq!(choice.next().means, ONE);
        // Both have ended early, as reading ahead does when little comes.
        for _ in 0..2 * TURNS {
            choice.learn(&Tally::of(choice.next()));
        }
        assert_eq!(choice.next(), Stint { means: Means::Copy, bytes: LOOK });
    }

    #[test]
    fn one_that_can_only_move_little_at_a_time_has_lost() {
        for slow in [ONE, OTHER] {
            let mut choice = Choice::new(Means::Copy, Some([ONE, OTHER]));
            choice.learn(&tally(choice.next(), 1 << 20, QUICK, 0.0));
            for _ in 0..2 * TURNS {
                let stint = choice.next();
                let piece = if stint.means == slow { 8 << 10 } else { 1 << 20 };
                choice.learn(&tally(stint, piece, QUICK, 0.0));
            }
            assert_eq!(choice.next(), Stint { means: if slow == ONE { OTHER } else { ONE }, bytes: KEPT });
        }
    }

    #[test]
    fn what_the_kernel_cannot_splice_is_copied() {
        let mut choice = Choice::new(Means::Splice, None);
        choice.rule_out_splicing();
        assert_eq!(choice.next(), Stint { means: Means::Copy, bytes: usize::MAX });
        for usual in [Means::Splice, Means::Copy] {
            let mut choice = Choice::new(usual, Some([Means::Splice, Means::Ahead]));
            choice.learn(&tally(choice.next(), 1 << 20, QUICK, 0.0));
            choice.rule_out_splicing();
            assert_eq!(choice.next().means, Means::Copy);
            choice.learn(&tally(choice.next(), 1 << 20, QUICK, 0.0));
            assert_eq!(choice.next().means, Means::Ahead);
        }
        let mut choice = Choice::new(Means::Copy, Some([Means::Splice, Means::Copy]));
        choice.rule_out_splicing();
        assert_eq!(choice.next(), Stint { means: Means::Copy, bytes: usize::MAX });
    }
}
