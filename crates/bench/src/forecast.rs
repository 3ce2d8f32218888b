//! How long a plan takes, beforehand and while it is under way.
//!
//! What a course through a workload costs is known roughly: the runs that find out how many messages to send and with which
//! room, those that count system calls, and then one run for each repeat. All but the repeats happen in the first of them.
//! What has been measured so far says how much longer, or shorter, everything takes on this machine.

use std::time::{Duration, Instant};

use crate::{Entry, Family, Plan, Registry, Setup, Waiting, Workload};

/// What a run takes besides what is measured: processes that start, connect and end.
const AROUND: f64 = 0.025;
/// The runs that find out how many messages to send: short ones, up to one of an eighth of the time.
const TRIALS: f64 = 2.5;
/// The part of the time that a run takes which tries a capacity.
const TRYING: f64 = 0.25;
/// A run under a tracer, which is longer by what its stops take.
const TRACED: f64 = 0.040;

/// What is expected of a plan.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The seconds of each workload's courses: of the first repeat, and of each later one.
    costs: Vec<Vec<(f64, f64)>>,
    repeats: usize,
}

impl Forecast {
    /// Of a plan, as far as one can say without having measured anything.
    pub fn new(plan: &Plan, registry: &Registry) -> Self {
        let names = names(plan, registry);
        let of =
            |workload: &Workload| names.iter().map(|name| cost(plan, registry, name, workload)).collect();
        Self { costs: plan.workloads().iter().map(of).collect(), repeats: plan.repeats }
    }

    /// How long all of it takes.
    pub fn all(&self) -> Duration {
        Duration::from_secs_f64(self.after(0, 0, 0))
    }

    /// How many transports there are.
    pub fn transports(&self) -> usize {
        self.costs.first().map_or(0, Vec::len)
    }

    /// What is expected of everything from this on: the index of a workload, a repeat, the index of a transport.
    fn after(&self, workload: usize, repeat: usize, transport: usize) -> f64 {
        let of = |repeat: usize, courses: &[(f64, f64)]| -> f64 {
            courses.iter().map(|&(first, later)| if repeat == 0 { first } else { later }).sum()
        };
        let mut seconds = 0.0;
        for (index, courses) in self.costs.iter().enumerate().skip(workload) {
            let begins = if index == workload { repeat } else { 0 };
            for at in begins..self.repeats {
                let done = if index == workload && at == repeat { transport } else { 0 };
                seconds += of(at, courses.get(done..).unwrap_or_default());
            }
        }
        seconds
    }
}

/// A forecast that learns.
#[derive(Debug)]
pub(crate) struct Progress {
    forecast: Forecast,
    began: Instant,
}

/// For how many seconds the forecast is believed as much as what was measured.
const BELIEF: f64 = 3.0;

impl Progress {
    pub(crate) fn new(forecast: Forecast) -> Self {
        Self { forecast, began: Instant::now() }
    }

    /// How long the rest takes, from this on.
    pub(crate) fn left(&self, workload: usize, repeat: usize, transport: usize) -> Duration {
        let (all, rest) = (self.forecast.after(0, 0, 0), self.forecast.after(workload, repeat, transport));
        let pace = (self.began.elapsed().as_secs_f64() + BELIEF) / (all - rest + BELIEF);
        Duration::from_secs_f64(rest * pace)
    }
}

/// All that is measured: the floor, whether it is named or not, and then what is named.
pub(crate) fn names(plan: &Plan, registry: &Registry) -> Vec<String> {
    let floors = registry.entries().iter().filter(|entry| entry.family() == Family::Floor);
    let mut names: Vec<String> = floors.map(|entry| entry.name().to_owned()).collect();
    for name in &plan.transports {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The seconds of a transport's first repeat, and of each later one; none of what it cannot do.
fn cost(plan: &Plan, registry: &Registry, name: &str, workload: &Workload) -> (f64, f64) {
    let setup = Setup::to_ask(name, workload, plan.capacity);
    let can = |entry: &&Entry| entry.supports(&setup).is_ok();
    let Some(entry) = registry.find(name).ok().filter(can) else { return (0.0, 0.0) };
    let time = plan.time.as_secs_f64();
    let run = 1.1 * time + AROUND;
    let others = entry.capacities(&setup).len().saturating_sub(1) as f64;
    let trials = if plan.count.is_some() {
        0.0
    } else {
        TRIALS * AROUND + TRYING * time + others * (AROUND + TRYING * time)
    };
    let counted = if plan.counts_calls && workload.waiting == Waiting::Block { 2.0 * TRACED } else { 0.0 };
    (trials + counted + run, run)
}
