//! Killing a participant at any instruction, and at any time.
//!
//! A sweep plays a role once for each point: the child runs to its first mark, then over so many system calls and so many
//! instructions, is killed there, and the survivors are looked at. A section of few system calls is stepped through from end
//! to end; of one with many, a stretch behind each of them, since stepping is slow.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use twixt_testkit::{Missing, Spawn, Step, Test, descriptors};

/// One test at a time: a child that another test forks has copies of all locks until it executes something, so that a place
/// that has just become free would not look so.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many instructions of a section, or kills at random: as many as `TWIXT_TEST_POINTS` says, or so many.
pub fn points(short: u64) -> u64 {
    std::env::var("TWIXT_TEST_POINTS").ok().map_or(short, |points| points.parse().unwrap())
}

/// Every instruction is too many where a section has more than this.
pub const WHOLE: u64 = 4_000;

/// Between two system calls, so many instructions are taken at the most where not all of them are.
const STRETCH: u64 = 300;

/// Kills a child at so many instructions between its two marks, and at its second mark. `after` is told whether it came there.
/// Prints what was killed, or why nothing could be.
pub fn sweep(test: &Test, what: &str, points: u64, child: impl Fn() -> Spawn, after: impl FnMut(bool)) {
    match try_sweep(what, points, child, after) {
        Ok(swept) => println!("{swept}"),
        Err(missing) => test.skip(&missing),
    }
}

fn try_sweep(
    what: &str,
    points: u64,
    child: impl Fn() -> Spawn,
    mut after: impl FnMut(bool),
) -> Result<String, Missing> {
    let mut open = Descriptors::default();
    let mut run = |calls: u64, steps: u64| {
        let mut victim = child().traced()?;
        let (mut called, mut stepped) = (0, 0);
        let mut is_over = false;
        while !is_over && called < calls {
            is_over = victim.run_to_call() == Step::Marked;
            called += u64::from(!is_over);
        }
        while !is_over && stepped < steps {
            is_over = victim.step() == Step::Marked;
            stepped += u64::from(!is_over);
        }
        victim.kill();
        after(is_over);
        open.count();
        Ok((called, stepped))
    };
    // Some calls belong to the marks.
    let calls = run(u64::MAX, 0)?.0;
    let calls = if calls <= 8 { 0 } else { calls };
    let stretch = if calls == 0 { run(0, u64::MAX)?.1 } else { STRETCH };
    let all = (calls + 1) * stretch;
    let points = points.min(all);
    // Not always the same ones, where there are more.
    let mut dice = (all + 1) | 1;
    for point in 0..points {
        let at = point * all / points;
        let within = if points == all {
            at % stretch
        } else {
            dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (at % stretch + (dice >> 33) % (all / points + 1)) % stretch
        };
        run(at / stretch, within)?;
    }
    let where_ = match calls {
        0 => format!("of {all} instructions"),
        calls => format!("of {all} instructions behind {calls} ends of system calls"),
    };
    Ok(format!("{what}: killed at {points} {where_}, and at the end"))
}

/// That descriptors do not become more and more.
#[derive(Default)]
struct Descriptors {
    first: usize,
}

impl Descriptors {
    fn count(&mut self) {
        // Other tests of this process have some as well: a leak is what goes on.
        let now = descriptors();
        if self.first == 0 {
            self.first = now;
        }
        assert!(now < self.first + 100, "{now} descriptors, and {} at first", self.first);
    }
}

/// How long the survivors took to learn of deaths. Printed, and not asserted: the machine may be busy.
#[derive(Default)]
pub struct Told {
    deaths: u32,
    all: Duration,
    slowest: Duration,
}

impl Told {
    /// Somebody has learnt now of a death at that time.
    pub fn of(&mut self, death: Instant) {
        self.add(death.elapsed());
    }

    /// Somebody has learnt of a death after that time.
    pub fn add(&mut self, time: Duration) {
        self.deaths += 1;
        self.all += time;
        self.slowest = self.slowest.max(time);
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mean) = self.all.checked_div(self.deaths) else { return write!(f, "nobody to be told") };
        write!(f, "{} told of a death after {mean:.1?}, {:.1?} at the most", self.deaths, self.slowest)
    }
}

/// A test of some instructions for each sweep, and one of all of them that is run when asked for.
macro_rules! sweeps {
    ($($name:ident, $whole:ident: $sweep:ident, $points:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let _alone = kills::alone();
                let test = test!();
                $sweep(&test, kills::points($points));
            }

            #[test]
            #[ignore = "the whole sweep takes minutes"]
            fn $whole() {
                let _alone = kills::alone();
                let test = test!().unwatched();
                $sweep(&test, kills::points(kills::WHOLE));
            }
        )*
    };
}

/// A test of some kills at random, and one of thousands that is run when asked for.
macro_rules! kills_at_random {
    ($storm:ident) => {
        #[test]
        fn killed_at_random() {
            let _alone = kills::alone();
            $storm(&test!(), kills::points(40));
        }

        #[test]
        #[ignore = "thousands of kills take minutes"]
        fn killed_at_random_thousands_of_times() {
            let _alone = kills::alone();
            $storm(&test!().unwatched(), kills::points(3000));
        }
    };
}
