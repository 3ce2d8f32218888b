//! Mutual exclusion, shown: several processes raise one counter, and not one step is lost.

use std::time::Instant;

use crate::failure::{Failure, expect};
use crate::party::Party;
use crate::run::Run;

/// How many processes compete.
const WORKERS: usize = 3;

/// Starts the workers, lets them all begin at once, and checks their common total with what `total` reads.
pub(super) fn compete(run: &mut Run<'_>, total: impl Fn() -> Result<u64, Failure>) -> Result<(), Failure> {
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(run.start("worker")?);
    }
    for _ in 0..WORKERS {
        run.wait_for("ready")?;
    }
    for worker in workers {
        run.cue(worker)?;
    }
    run.finish()?;
    let should = run.rounds() * WORKERS as u64;
    expect("steps that the workers counted", run.count("steps"), should)?;
    expect("the counter", total()?, should)
}

/// One worker: as often as there are rounds, in turns with the others, reads the counter and writes it one higher.
///
/// `step` does so once under mutual exclusion. Reading and writing are two steps on purpose: without the exclusion they
/// would lose some.
pub(super) fn work(party: &Party, mut step: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    party.reached("ready", "");
    party.wait_for_cue()?;
    let mut samples = party.samples();
    let mut steps = 0;
    for _ in 0..party.rounds() {
        let start = Instant::now();
        step()?;
        samples.push(start.elapsed());
        steps += 1;
    }
    party.say(&format!("Worker {}: {steps} steps", std::process::id()));
    party.counted("steps", steps);
    party.measured(samples);
    Ok(())
}
