//! How noisy the machine was: what took its time away from what was measured.
//!
//! Three things are looked at, none of which costs the parties anything:
//!
//! - *others*: the time of all CPUs that went to processes which are neither this one nor its parties, from `/proc/stat` and
//!   `/proc/self/stat`. Interrupts are left out, since messages over a network cause some themselves.
//! - *steal*: the time that the hypervisor gave to other machines, from `/proc/stat`.
//! - *stolen*: before each run, while no party lives, a loop of always the same work is timed a hundred times. What all of
//!   them took longer than a hundred times the fastest one in the whole measurement was taken away by somebody, or by a
//!   lower frequency.

use std::fs;
use std::hint::black_box;

use serde::{Deserialize, Serialize};

use crate::usage::now_ns;
use crate::{Pattern, Record, Waiting, Workload};

/// The share of the CPUs' time from which on *others* and *steal* together are too much.
pub const TOO_BUSY: f64 = 0.05;

/// The share of its time from which on a loop has had too much taken away.
pub const TOO_STOLEN: f64 = 0.10;

/// How noisy the machine was in one repeat of one workload, over all transports: each has had its part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// The workload's pattern.
    pub pattern: Pattern,
    /// Its size.
    pub size: usize,
    /// Its way to wait.
    pub wait: Waiting,
    /// Which repeat, from 0.
    pub repeat: usize,
    /// The share of the CPUs' time that other processes used; null if the repeat was too short to tell, or nothing is told.
    pub others: Option<f64>,
    /// The share that the hypervisor gave to other machines; null likewise.
    pub steal: Option<f64>,
    /// The share of its time that was taken away from a loop without system calls.
    pub stolen: f64,
    /// Involuntary context switches of the parties in a second, of runs with a CPU for each party. Told, and not judged: a
    /// party that wakes another may have to make room for it.
    pub preempted_per_s: Option<f64>,
    /// Why it was too noisy to tell anything from such a repeat, if it was.
    pub too_noisy: Option<String>,
}

impl Noise {
    /// Whether the record is of this repeat of this workload.
    pub fn is_of(&self, record: &Record) -> bool {
        (self.pattern, self.size, self.wait, self.repeat)
            == (record.pattern, record.size, record.wait, record.repeat)
    }
}

/// Measures the noise of one repeat after the other.
pub(crate) struct Gauge {
    /// The fastest loop so far.
    least: u64,
    loops: u64,
    total: u64,
    ticks: Option<Ticks>,
    preempted: f64,
    seconds: f64,
}

/// How often the loop is timed, and its turns: about 2 ms in all.
const LOOPS: u64 = 100;
const TURNS: u64 = 10_000;

/// What is shorter is too short for clocks that tick a hundred times a second.
const SHORTEST: f64 = 0.5;

impl Gauge {
    pub(crate) fn new() -> Self {
        Self { least: u64::MAX, loops: 0, total: 0, ticks: None, preempted: 0.0, seconds: 0.0 }
    }

    /// A repeat begins.
    pub(crate) fn begin(&mut self) {
        (self.loops, self.total, self.preempted, self.seconds) = (0, 0, 0.0, 0.0);
        self.ticks = Ticks::now();
    }

    /// Times the loop.
    pub(crate) fn look(&mut self) {
        for seed in 0..LOOPS {
            let start = now_ns();
            black_box(
                (0..TURNS).fold(seed | 1, |word, turn| black_box(word.wrapping_mul(0x2545_f491) ^ turn)),
            );
            let took = now_ns() - start;
            self.least = self.least.min(took);
            self.total += took;
        }
        self.loops += LOOPS;
    }

    /// A run with a CPU for each party has had so many involuntary switches in so many seconds.
    pub(crate) fn switched(&mut self, involuntary: u64, seconds: f64) {
        self.preempted += involuntary as f64;
        self.seconds += seconds;
    }

    /// The repeat has ended.
    pub(crate) fn end(&self, workload: &Workload, repeat: usize) -> Noise {
        let spent = self.ticks.zip(Ticks::now()).and_then(|(before, after)| after.since(before));
        let stolen = match self.total {
            0 => 0.0,
            total => 1.0 - (self.least * self.loops) as f64 / total as f64,
        };
        let (others, steal) = (spent.map(|it| it.others), spent.map(|it| it.steal));
        Noise {
            pattern: workload.pattern,
            size: workload.size,
            wait: workload.waiting,
            repeat,
            others,
            steal,
            stolen,
            preempted_per_s: (self.seconds > 0.0).then(|| self.preempted / self.seconds),
            too_noisy: judge(others.unwrap_or_default(), steal.unwrap_or_default(), stolen),
        }
    }
}

fn judge(others: f64, steal: f64, stolen: f64) -> Option<String> {
    let percent = |share: f64| share * 100.0;
    if others + steal >= TOO_BUSY {
        return Some(format!(
            "{:.0} % of the CPUs' time went to others, {:.0} % of it to other machines",
            percent(others + steal),
            percent(steal)
        ));
    }
    let what = format!("{:.0} % of its time was taken away from a loop that only computes", percent(stolen));
    (stolen >= TOO_STOLEN).then_some(what)
}

/// Times in ticks of the kernel's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    at_ns: u64,
    /// All processes.
    all: u64,
    /// The hypervisor's other machines.
    steal: u64,
    /// This process and those that it has waited for.
    own: u64,
}

/// Shares of the CPUs' time.
#[derive(Clone, Copy, Debug)]
struct Spent {
    others: f64,
    steal: f64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let (all, steal) = machine(&fs::read_to_string("/proc/stat").ok()?)?;
        let own = process(&fs::read_to_string("/proc/self/stat").ok()?)?;
        Some(Self { at_ns: now_ns(), all, steal, own })
    }

    fn since(self, before: Self) -> Option<Spent> {
        let seconds = self.at_ns.saturating_sub(before.at_ns) as f64 / 1e9;
        let online = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let capacity = seconds * online * rustix::param::clock_ticks_per_second() as f64;
        let grown = |now: u64, then: u64| now.saturating_sub(then) as f64;
        (seconds >= SHORTEST).then(|| Spent {
            others: (grown(self.all, before.all) - grown(self.own, before.own)).max(0.0) / capacity,
            steal: grown(self.steal, before.steal) / capacity,
        })
    }
}

/// From `/proc/stat`: user, nice and system time together, and stolen time.
fn machine(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    Some((fields.get(..3)?.iter().sum(), fields.get(7).copied().unwrap_or_default()))
}

/// From `/proc/self/stat`: its own user and system time and those of its children.
fn process(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(") ")?;
    let times: Vec<u64> = fields.split(' ').skip(11).take(4).map_while(|word| word.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        assert_eq!(machine("cpu  10 2 30 400 5 6 7 8 0 0\ncpu0 1 1 1"), Some((42, 8)));
        assert_eq!(machine("intr 5"), None);
        let stat = "7 (a) b) R 1 1 1 0 -1 4 101 0 0 0 11 22 33 44 20 0 1";
        assert_eq!(process(stat), Some(110));
        assert!(Ticks::now().is_some(), "this kernel's own files");
    }

    #[test]
    fn shares_are_of_all_cpus_and_too_much_is_said() {
        let cpus = std::thread::available_parallelism().unwrap().get() as u64;
        let hertz = rustix::param::clock_ticks_per_second();
        let before = Ticks { at_ns: 0, all: 100, steal: 0, own: 50 };
        let second = cpus * hertz;
        let after =
            Ticks { at_ns: 1_000_000_000, all: 100 + second, steal: second / 4, own: 50 + second / 2 };
        let spent = after.since(before).unwrap();
        assert!((spent.others - 0.5).abs() < 0.01 && (spent.steal - 0.25).abs() < 0.01, "{spent:?}");
        assert!(Ticks { at_ns: 1_000, ..after }.since(before).is_none(), "too short to tell");
        assert_eq!(judge(0.01, 0.01, 0.01), None);
        assert!(judge(0.03, 0.03, 0.0).unwrap().contains("6 %"));
        assert!(judge(0.0, 0.0, 0.5).unwrap().contains("50 %"));
    }
}
