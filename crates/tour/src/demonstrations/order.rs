//! Order, shown: B starts first and must wait all the same, until A has done its part.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Instant;

use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;
use crate::run::Run;

/// Where both leave their letters, in the order in which they come.
const LETTERS: &str = "letters";

/// Starts B, then A, and checks that their letters alternate from A on.
pub(super) fn conduct(run: &mut Run<'_>) -> Result<(), Failure> {
    run.start("second")?;
    run.wait_for("waiting")?;
    run.start("first")?;
    run.finish()?;
    let letters = std::fs::read_to_string(run.names().path(LETTERS))?;
    let should = "AB".repeat(usize::try_from(run.rounds()).unwrap_or(usize::MAX));
    expect("whether A and B alternate", letters == should, true)
}

pub(super) fn remove(names: &Names) {
    let _ = std::fs::remove_file(names.path(LETTERS));
}

/// A: does its part, tells B, and waits for B to have done the same.
pub(super) fn first(
    party: &Party,
    tell: impl Fn() -> Result<(), Failure>,
    wait: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut letters = open(party)?;
    let mut samples = party.samples();
    for _ in 0..party.rounds() {
        let start = Instant::now();
        letters.write_all(b"A")?;
        party.say("A: did its part");
        tell()?;
        wait()?;
        samples.push(start.elapsed());
    }
    party.measured(samples);
    Ok(())
}

/// B: waits for A, then does its part and tells A.
pub(super) fn second(
    party: &Party,
    wait: impl Fn() -> Result<(), Failure>,
    tell: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut letters = open(party)?;
    party.reached("waiting", "");
    for _ in 0..party.rounds() {
        wait()?;
        letters.write_all(b"B")?;
        party.say("B: did its part");
        tell()?;
    }
    Ok(())
}

fn open(party: &Party) -> Result<File, Failure> {
    Ok(OpenOptions::new().create(true).append(true).open(party.names().path(LETTERS))?)
}
