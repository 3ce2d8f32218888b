//! The whole tour: one demonstration after the other, each with names of its own and nothing left behind.

use std::fs;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::claim;
use crate::demonstration::Demonstration;
use crate::failure::Failure;
use crate::process::Program;
use crate::row::{Row, Status};
use crate::run::Run;

/// How to make the tour.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// What to execute for each party.
    pub program: Program,
    /// How many rounds each conversation has.
    pub rounds: u64,
    /// Takes each line of dialogue; without it there is none.
    pub dialogue: Option<fn(&str)>,
    /// Becomes readable when the user wants to stop: a signalfd, say.
    pub stop: Option<BorrowedFd<'a>>,
}

/// Is told what happens during a tour.
pub trait Observer {
    /// A demonstration begins.
    fn begins(&mut self, demonstration: &'static Demonstration);

    /// A demonstration has ended, and its objects are gone. Breaking ends the tour here.
    fn ended(&mut self, row: Row) -> ControlFlow<()>;
}

/// How a tour ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every demonstration was held or skipped, and none failed.
    Well,
    /// At least one failed.
    WithFailures,
    /// The user or the observer stopped it. Nothing is left behind.
    Stopped,
}

/// Holds the demonstrations one after the other. What earlier tours of this user have left behind, if they were killed,
/// is removed first.
pub fn tour(
    settings: &Settings<'_>,
    selection: &[&'static Demonstration],
    observer: &mut impl Observer,
) -> Ended {
    claim::remove_leftovers();
    let mut ended = Ended::Well;
    for demonstration in selection {
        observer.begins(demonstration);
        let (outcome, measured) = hold(settings, demonstration);
        if outcome == Err(Failure::Stopped) {
            return Ended::Stopped;
        }
        let row = row(demonstration, outcome, measured);
        if row.status == Status::Failed {
            ended = Ended::WithFailures;
        }
        if observer.ended(row).is_break() {
            return Ended::Stopped;
        }
    }
    ended
}

/// How long a party waits for another that the tour started with it.
const PATIENCE: Duration = Duration::from_secs(15);

type Measured = Option<(u64, u64)>;

/// Holds one demonstration and removes what it made, however it went.
fn hold(settings: &Settings<'_>, demonstration: &'static Demonstration) -> (Result<(), Failure>, Measured) {
    let (names, claim) = match claim::unique_names() {
        Ok(claimed) => claimed,
        Err(failure) => return (Err(failure), None),
    };
    let mut run = Run::new(demonstration, settings, names.clone(), PATIENCE, None);
    let outcome = (demonstration.conduct)(&mut run);
    let measured = run.measured();
    // The processes go first, so that none of them makes an object anew.
    drop(run);
    demonstration.remove(&names);
    let _ = fs::remove_dir_all(&names.directory);
    // Held to here, so that no other tour tidied up meanwhile.
    claim.release();
    (outcome, measured)
}

pub(crate) fn row(
    demonstration: &'static Demonstration,
    outcome: Result<(), Failure>,
    measured: Measured,
) -> Row {
    let (status, reason) = match outcome {
        Ok(()) => (Status::Passed, None),
        Err(Failure::Missing(what)) => (Status::Skipped, Some(what)),
        Err(failure) => (Status::Failed, Some(failure.to_string())),
    };
    let (rounds, p50_ns) = measured.unzip();
    Row {
        schema: 1,
        mechanism: demonstration.name,
        shows: demonstration.shows,
        rounds: rounds.unwrap_or(0),
        p50_ns: p50_ns.filter(|p50_ns| *p50_ns > 0),
        status,
        reason,
    }
}
