//! How long to try before one sleeps, and sleeping.
//!
//! Trying again and again costs a processor and no time; sleeping costs nothing and what a wake-up takes, which differs by an
//! order of magnitude between machines. So it is measured: whoever rings a bell that is slept on leaves the time
//! ([`Hints::rung`]), and whoever wakes up knows how long that took, and when it would have seen the message had it been
//! awake. What is waited for usually comes after about as long as it did the last times: if that is less than a wake-up
//! takes, and what it takes of processors besides, it is worth while to try that long; otherwise hardly at all.

use std::time::Duration;

use twixt_os::{Deadline, Errno, Error, ErrorKind, Mechanism, Object, Wait};

use crate::barrier;
use crate::bell::{Bell, LONGEST};
use crate::hints::{Hints, now, roughly_now};
use crate::sync::{Ordering, fence, relax};

/// What to do while there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// Try for as long as it pays, then sleep. It pays less than a wake-up takes, and not at all on one processor.
    #[default]
    Adaptive,
    /// Try without end: the fastest, and a whole processor.
    Spin,
    /// Sleep at once. Where those that are waited for can only run on the same processor it is given up to them first, while that
    /// pays: they need not wake anybody then.
    Block,
}

/// Attempts before the clock is looked at for the first time: some hundred nanoseconds.
pub(crate) const FIRST: u32 = 64;
/// The same where whoever tries keeps those from running that it waits for.
const FEW: u32 = 8;
/// Attempts between two looks at the clock.
const MORE: u32 = 32;
/// What a wake-up is taken to cost before it was measured.
const GUESS: u64 = 20_000;
/// The most that one is believed to cost: what the clock of a machine that was busy says is not about wake-ups.
const DEAREST: u64 = 100_000;
/// What sleeping and being woken takes of the two processors, for the system calls and switches, while nobody waits for it: this
/// is not measured, as asking for it takes a system call itself. Without it, one who is woken fast sleeps for what is nearly there.
const TOLL: u64 = 10_000;
/// How long to try where it does not seem to pay: things change.
const PROBE: u64 = 1_000;

/// What a participant has learnt about waiting.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    waiting: Waiting,
    /// What a wake-up costs here, in nanoseconds.
    cost: u64,
    /// How long it took lately until there was something, in nanoseconds.
    usual: u64,
    /// When it was last looked who has died. Not when this wait began: where there is always something after a while, no single
    /// wait is long.
    looked: u64,
    /// How often it slept.
    pub(crate) parks: u64,
    /// Whether publishers fence for themselves, for the sake of this one.
    is_fenced_for: bool,
    /// Whether there are more that take part than processors.
    is_crowded: bool,
    /// How much giving its processor up has helped.
    giving_up: GivingUp,
}

/// Whether to give one's processor up before sleeping, where those that are waited for need it. It takes two thirds of what
/// sleeping and being woken do; but if nobody wants it, it was for nothing, and if somebody else does, it is away for milliseconds, where
/// one who is woken is let in before. So whenever it did not help, it is left off for twice as many waits.
#[derive(Clone, Copy, Debug, Default)]
struct GivingUp {
    /// How often in a row it did not help, at most [`MOST_FAILURES`](Self::MOST_FAILURES).
    failures: u32,
    /// For how many waits it is left off.
    pause: u32,
}

impl GivingUp {
    /// It is left off for some thousand waits at the most.
    const MOST_FAILURES: u32 = 12;

    fn is_due(&mut self) -> bool {
        let is_due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        is_due
    }

    fn learn(&mut self, has_helped: bool) {
        self.failures = if has_helped { 0 } else { (self.failures + 1).min(Self::MOST_FAILURES) };
        self.pause = if has_helped { 0 } else { 1 << self.failures };
    }
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    TimedOut,
    Interrupted,
}

impl Stopped {
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    /// The error of an operation that it ended.
    pub(crate) fn error(self, operation: &'static str, object: &Object) -> Error {
        Error::kernel(Mechanism::Bus, operation, object.clone(), self.errno()).with_kind(self.kind())
    }

    pub(crate) fn errno(self) -> Errno {
        match self {
            Self::TimedOut => Errno::TIMEDOUT,
            Self::Interrupted => Errno::INTR,
        }
    }
}

/// Why a wait ended without what was waited for, where what is looked at now and then may be an end as well.
#[derive(Debug)]
pub(crate) enum Ended {
    Stopped(Stopped),
    Error(Error),
}

impl Ended {
    /// The error of an operation that it ended.
    pub(crate) fn into_error(self, operation: &'static str, object: &Object) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Stopped(stopped) => stopped.error(operation, object),
        }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Stopped> for Ended {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

/// What is needed besides what is waited for.
pub(crate) struct Place<'a> {
    pub(crate) bell: &'a Bell,
    pub(crate) hints: &'a Hints,
    /// Whether those that are waited for can only run if this one does not.
    pub(crate) shares_cpu: bool,
}

impl Patience {
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self {
            waiting,
            cost: GUESS,
            usual: 0,
            looked: now(),
            parks: 0,
            is_fenced_for: false,
            is_crowded: false,
            giving_up: GivingUp::default(),
        }
    }

    /// Says whether there are more that take part than processors. Then it gives its own up between attempts, and once at least
    /// before it sleeps: while others have much to do, they do it in one go, and nobody need be woken for each message of it.
    pub(crate) fn crowd(&mut self, is_crowded: bool) {
        self.is_crowded = is_crowded;
    }

    /// Whether it ever tries before it sleeps.
    pub(crate) fn tries(&self) -> bool {
        self.waiting != Waiting::Block
    }

    /// Something was there as good as at once.
    pub(crate) fn found_at_once(&mut self) {
        self.learn(0);
    }

    /// The fence before one sleeps: a heavy one; or a light one, where publishers fence for themselves.
    ///
    /// Who sleeps all the time asks them for that: it would otherwise interrupt their processors each time. The heavy fence
    /// after asking makes sure that they know.
    fn fence(&mut self, place: &Place<'_>) {
        if self.is_fenced_for && place.hints.asks_for_fences() {
            return fence(Ordering::SeqCst);
        }
        if self.waiting == Waiting::Block || place.shares_cpu {
            place.hints.ask_for_fences();
            self.is_fenced_for = true;
        }
        if !barrier::heavy() {
            place.hints.ask_for_fences();
            self.is_fenced_for = true;
        }
    }

    /// Whether it is time to look who has died, which is taken to happen then: for those that never wait for long.
    pub(crate) fn is_due(&mut self) -> bool {
        let time = roughly_now();
        // The coarse clock is behind.
        let is_due = time.saturating_sub(self.looked) >= LONGEST.as_nanos() as u64;
        if is_due {
            self.looked = time;
        }
        is_due
    }

    /// Waits until `look` finds something. At least each [`LONGEST`] `idle` is asked, which looks who has died, and may find
    /// something, too.
    pub(crate) fn wait<T, E: From<Stopped>>(
        &mut self,
        place: &Place<'_>,
        wait: Wait,
        mut look: impl FnMut() -> Option<T>,
        mut idle: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        let tries = match self.waiting {
            Waiting::Block => 1,
            _ if place.shares_cpu => 1,
            _ if self.is_crowded => FEW,
            _ => FIRST,
        };
        for _ in 0..tries {
            if let Some(found) = look() {
                self.learn(0);
                return Ok(found);
            }
            relax();
        }
        let begin = now();
        if let Some(found) = self.spin(place, wait, begin, &mut look, &mut idle)? {
            self.learn(now().saturating_sub(begin));
            return Ok(found);
        }
        if place.shares_cpu
            && let Some(found) = self.give_up(begin, &mut look)
        {
            return Ok(found);
        }
        self.sleep(place, wait, begin, look, idle)
    }

    /// For how long it tries, in nanoseconds.
    fn budget(&self, shares_cpu: bool) -> u64 {
        match self.waiting {
            Waiting::Spin if !shares_cpu => u64::MAX,
            Waiting::Block => 0,
            _ if shares_cpu => 0,
            _ if self.usual <= self.cost + TOLL => self.cost + TOLL,
            _ => PROBE,
        }
    }

    fn spin<T, E: From<Stopped>>(
        &mut self,
        place: &Place<'_>,
        wait: Wait,
        begin: u64,
        look: &mut impl FnMut() -> Option<T>,
        idle: &mut impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let budget = self.budget(place.shares_cpu);
        if budget == 0 {
            return Ok(None);
        }
        loop {
            let time = now();
            if time.saturating_sub(begin) >= budget {
                return Ok(None);
            }
            if wait.has_passed() {
                return Err(Stopped::TimedOut.into());
            }
            if time.saturating_sub(self.looked) >= LONGEST.as_nanos() as u64 {
                self.looked = time;
                if let Some(found) = idle()? {
                    return Ok(Some(found));
                }
            }
            if self.is_crowded {
                std::thread::yield_now();
            }
            for _ in 0..if self.is_crowded { FEW } else { MORE } {
                if let Some(found) = look() {
                    return Ok(Some(found));
                }
                relax();
            }
        }
    }

    /// Lets those have the processor that are waited for.
    fn give_up<T>(&mut self, begin: u64, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        if !self.giving_up.is_due() {
            return None;
        }
        std::thread::yield_now();
        let found = look();
        let has_helped = found.is_some() && now().saturating_sub(begin) <= DEAREST;
        self.giving_up.learn(has_helped);
        found
    }

    fn sleep<T, E: From<Stopped>>(
        &mut self,
        place: &Place<'_>,
        wait: Wait,
        begin: u64,
        mut look: impl FnMut() -> Option<T>,
        mut idle: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        // However often it wakes up for nothing, the dead are looked for.
        loop {
            let announced = place.bell.announce();
            self.fence(place);
            if let Some(found) = look() {
                return Ok(found);
            }
            // Not only after a long sleep: whoever is woken all the time, by others or by ill will, looks as well.
            let time = now();
            if time.saturating_sub(self.looked) >= LONGEST.as_nanos() as u64 / 2 {
                self.looked = time;
                if let Some(found) = idle()? {
                    return Ok(found);
                }
            }
            let left = match wait.deadline().map(Deadline::remaining) {
                Some(Duration::ZERO) => return Err(Stopped::TimedOut.into()),
                Some(left) => left.min(LONGEST),
                None => LONGEST,
            };
            self.parks += 1;
            let slept = place.bell.sleep(announced, time + left.as_nanos() as u64);
            if let Some(found) = look() {
                if self.tries() {
                    self.learn_waking(place.hints, begin);
                }
                return Ok(found);
            }
            if slept.is_err() && wait.is_interruptible() {
                return Err(Stopped::Interrupted.into());
            }
        }
    }

    fn learn(&mut self, took: u64) {
        let took = took.min(8 * (self.cost + TOLL));
        self.usual = self.usual - self.usual / 4 + took / 4;
    }

    fn learn_waking(&mut self, hints: &Hints, begin: u64) {
        let (rung, time) = (hints.rung(), now());
        // Anybody may have written anything there.
        if rung < begin || rung > time {
            return self.learn(time.saturating_sub(begin));
        }
        let cost = (time - rung).min(DEAREST);
        self.cost = self.cost - self.cost / 8 + cost / 8;
        self.learn(rung - begin);
    }
}
