//! A party: one process of a demonstration.

use std::ffi::OsString;
use std::io::{self, BufRead};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use twixt_os::Deadline;
use twixt_os::signal::SignalSet;

use crate::demonstrations::demonstrations;
use crate::event::Event;
use crate::failure::Failure;
use crate::names::Names;
use crate::process::Program;

/// The subcommand under which a program may offer [`play`], if it has no use for another name.
pub const PLAY: &str = "play-party";

/// What a party is told when its process starts, as one command-line argument in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cue {
    pub(crate) demonstration: String,
    pub(crate) party: String,
    pub(crate) rounds: u64,
    pub(crate) dialogue: bool,
    pub(crate) patience_ms: u64,
    pub(crate) names: Names,
    pub(crate) arguments: Vec<String>,
}

/// Plays the party that the cue names, in this process, and reports on standard output.
///
/// A program whose executable was given to the tour as its [`Program`](crate::Program) calls this with the argument
/// that stands behind the program's own.
pub fn play(cue: &str) -> ExitCode {
    let outcome = match serde_json::from_str::<Cue>(cue) {
        Ok(cue) => unblock_signals().and_then(|()| play_cue(cue)),
        Err(error) => Err(Failure::wrong(format_args!("the cue is not one: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Event::from(failure).emit();
            ExitCode::FAILURE
        }
    }
}

impl From<Failure> for Event {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing(what) => Self::Missing(what),
            Failure::Absent(what) => Self::Absent(what),
            Failure::Gone(what) => Self::Gone(what),
            wrong @ (Failure::Wrong(_) | Failure::Stopped) => Self::Wrong(wrong.to_string()),
        }
    }
}

/// A process inherits its parent's signal mask, and a conductor has good reasons to block what should stop it.
fn unblock_signals() -> Result<(), Failure> {
    SignalSet::EMPTY.set_mask()?.keep();
    Ok(())
}

fn play_cue(cue: Cue) -> Result<(), Failure> {
    let play = demonstrations()
        .iter()
        .find(|one| one.name == cue.demonstration)
        .and_then(|one| one.party(&cue.party))
        .ok_or_else(|| Failure::wrong(format_args!("{} has no party {}", cue.demonstration, cue.party)))?;
    play(&Party { cue })
}

/// One process of a demonstration, seen from inside.
#[derive(Debug)]
pub(crate) struct Party {
    cue: Cue,
}

impl Party {
    /// The names of the demonstration's objects.
    pub(crate) fn names(&self) -> &Names {
        &self.cue.names
    }

    /// The command that plays another party of this demonstration as a child of this process. It speaks to the same
    /// conductor.
    pub(crate) fn command(&self, party: &str) -> Result<Command, Failure> {
        // This program again, as the conductor started it; the last argument is this party's own cue.
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        arguments.pop();
        let program = Program { path: std::env::current_exe()?, arguments };
        program.command(&Cue { party: party.to_owned(), ..self.cue.clone() })
    }

    /// How many rounds to hold.
    pub(crate) fn rounds(&self) -> u64 {
        self.cue.rounds
    }

    /// An argument that the conductor gave this party.
    pub(crate) fn argument(&self, index: usize) -> Result<&str, Failure> {
        let argument = self.cue.arguments.get(index).map(String::as_str);
        argument
            .ok_or_else(|| Failure::wrong(format_args!("party {} lacks argument {index}", self.cue.party)))
    }

    /// The point at which to give up waiting for another party, from now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(Duration::from_millis(self.cue.patience_ms))
    }

    /// Says a line of the dialogue, if one was asked for.
    pub(crate) fn say(&self, line: &str) {
        if self.cue.dialogue {
            Event::Say(line.to_owned()).emit();
        }
    }

    /// Tells the conductor that this party has come to a point they agreed on.
    pub(crate) fn reached(&self, point: &str, detail: impl ToString) {
        Event::Reached(point.to_owned(), detail.to_string()).emit();
    }

    /// Tells the conductor a count.
    pub(crate) fn counted(&self, what: &str, count: u64) {
        Event::Counted(what.to_owned(), count).emit();
    }

    /// Room for the times of all rounds.
    pub(crate) fn samples(&self) -> Vec<Duration> {
        Vec::with_capacity(usize::try_from(self.cue.rounds).unwrap_or(0).min(1 << 20))
    }

    /// Tells the conductor how many rounds there were and their median time.
    pub(crate) fn measured(&self, mut samples: Vec<Duration>) {
        samples.sort_unstable();
        let median = samples.get(samples.len() / 2).copied().unwrap_or_default();
        let nanoseconds = u64::try_from(median.as_nanos()).unwrap_or(u64::MAX);
        Event::Measured(samples.len() as u64, nanoseconds).emit();
    }

    /// Waits until the conductor tells this party to go on, and gives what it said.
    pub(crate) fn wait_for_cue(&self) -> Result<String, Failure> {
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line)? {
            0 => Err(Failure::wrong("the conductor has gone")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
