//! `twixt tour`.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, bail};
use twixt::tour::{
    self, Demonstration, Ended, Failure, Names, Observer, Program, Row, Settings, Side, Status,
};

use crate::args::{SideArgument, Tour};
use crate::exit::Exit;
use crate::output::{self, BAD, GOOD, HEADING, PALE};
use crate::stop::Stop;

const ROUNDS: u64 = 1000;
/// A dialogue is for reading.
const ROUNDS_OF_DIALOGUE: u64 = 5;
/// What the texts' programs hold.
const ROUNDS_OF_A_SIDE: u64 = 100;

/// Shows the rows that were asked for.
pub fn run(arguments: &Tour) -> anyhow::Result<Exit> {
    let selection = select(&arguments.mechanisms)?;
    if arguments.list {
        return list(&selection, arguments);
    }
    match arguments.side {
        Some(side) => play_side(&selection, side, arguments),
        None => hold(&selection, arguments),
    }
}

/// Plays a party of a demonstration, if another process conducts one and started this one for that.
pub fn party() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next()?.to_str()?, arguments.next()?.to_str()?, arguments.next()) {
        (tour::PLAY, cue, None) => Some(tour::play(cue)),
        _ => None,
    }
}

/// The demonstrations whose names begin with one of the words. Every word must find one.
fn select(words: &[String]) -> anyhow::Result<Vec<&'static Demonstration>> {
    let all = tour::demonstrations();
    if words.is_empty() {
        return Ok(all.to_vec());
    }
    let mut selection: Vec<&'static Demonstration> = Vec::new();
    for word in words {
        let exact = all.iter().filter(|one| one.name() == word);
        let mut found: Vec<_> = exact.copied().collect();
        if found.is_empty() && !word.is_empty() {
            found = all.iter().copied().filter(|one| one.name().starts_with(word.as_str())).collect();
        }
        if found.is_empty() {
            let names: Vec<&str> = all.iter().map(|one| one.name()).collect();
            bail!("cannot show {word:?}: no row of the tour has that name; there are {}", names.join(", "));
        }
        for one in found {
            if !selection.iter().any(|selected| selected.name() == one.name()) {
                selection.push(one);
            }
        }
    }
    Ok(selection)
}

fn list(selection: &[&'static Demonstration], arguments: &Tour) -> anyhow::Result<Exit> {
    let width = longest(selection, Demonstration::name);
    let shows_width = longest(selection, Demonstration::shows);
    for one in selection {
        if arguments.json {
            let sides = one.has_sides();
            output::json(
                &serde_json::json!({ "schema": 1, "mechanism": one.name(), "shows": one.shows(), "sides": sides }),
            )?;
        } else {
            let sides = if one.has_sides() { "also with --as" } else { "" };
            let line = format!("{:width$}  {:shows_width$}  {sides}", one.name(), one.shows());
            output::line(line.trim_end())?;
        }
    }
    Ok(Exit::Success)
}

fn play_side(
    selection: &[&'static Demonstration],
    side: SideArgument,
    arguments: &Tour,
) -> anyhow::Result<Exit> {
    let [demonstration] = selection else {
        bail!(
            "cannot play one side of {} rows: name one, like `twixt tour fifo --as server`",
            selection.len()
        );
    };
    let (side, other) = match side {
        SideArgument::Server => (Side::Server, Side::Client),
        SideArgument::Client => (Side::Client, Side::Server),
    };
    let names = Names::agreed()?;
    if let Some(address) = demonstration.address(&names) {
        let name = demonstration.name();
        output::note(&format!(
            "meeting at {address}; the other side: twixt tour {name} --as {}",
            other.as_str()
        ))?;
    }
    let stop = Stop::new()?;
    let settings = settings(&stop, arguments.rounds.unwrap_or(ROUNDS_OF_A_SIDE), Some(print))?;
    match tour::play_side(&settings, demonstration, side, &names) {
        Ok(row) => {
            let median = row.p50_ns.map(|p50_ns| format!(", {} each", duration(p50_ns))).unwrap_or_default();
            output::line(&format!("{} rounds{median}", row.rounds))?;
            Ok(Exit::Success)
        }
        Err(Failure::Stopped) => Ok(Exit::Stopped(stop.signal()?)),
        Err(failure) => Err(anyhow::Error::new(failure)),
    }
}

/// Prints a line of dialogue. A reader that has gone needs none.
fn print(line: &str) {
    let _ = output::line(line);
}

fn settings(stop: &Stop, rounds: u64, dialogue: Option<fn(&str)>) -> anyhow::Result<Settings<'_>> {
    let path =
        std::env::current_exe().context("cannot find the program's own executable, which each party runs")?;
    let program = Program { path, arguments: vec![tour::PLAY.into()] };
    Ok(Settings { program, rounds, dialogue, stop: Some(stop.as_fd()) })
}

fn hold(selection: &[&'static Demonstration], arguments: &Tour) -> anyhow::Result<Exit> {
    let stop = Stop::new()?;
    let rounds = arguments.rounds.unwrap_or(if arguments.dialogue { ROUNDS_OF_DIALOGUE } else { ROUNDS });
    let settings = settings(&stop, rounds, arguments.dialogue.then_some(print))?;
    let mut printer = Printer::new(selection, arguments);
    printer.heading()?;
    let ended = tour::tour(&settings, selection, &mut printer);
    printer.clear();
    printer.outcome?;
    Ok(match ended {
        Ended::Well => Exit::Success,
        Ended::WithFailures => Exit::Nothing,
        Ended::Stopped => Exit::Stopped(stop.signal()?),
    })
}

/// Prints the rows as they come.
struct Printer {
    json: bool,
    headings: bool,
    dialogue: bool,
    /// Whether the user can see which row is running.
    progress: bool,
    width: usize,
    shows_width: usize,
    outcome: io::Result<()>,
}

impl Printer {
    fn new(selection: &[&'static Demonstration], arguments: &Tour) -> Self {
        Self {
            json: arguments.json,
            headings: !arguments.noheadings && !arguments.json,
            dialogue: arguments.dialogue,
            progress: io::stderr().is_terminal() && !is_dumb() && !arguments.dialogue,
            width: longest(selection, Demonstration::name).max("MECHANISM".len()),
            shows_width: longest(selection, Demonstration::shows),
            outcome: Ok(()),
        }
    }

    fn heading(&self) -> io::Result<()> {
        if !self.headings {
            return Ok(());
        }
        let (width, shows_width) = (self.width, self.shows_width);
        let columns =
            format!("{:width$}  {:shows_width$}  {:>7}  {:>10}", "MECHANISM", "SHOWS", "ROUNDS", "MEDIAN");
        output::line(&format!("{HEADING}{columns}  STATUS{HEADING:#}"))
    }

    /// Takes the line about the running row away.
    fn clear(&self) {
        if self.progress {
            eprint!("\r\x1b[K");
        }
    }

    fn print(&self, row: &Row) -> io::Result<()> {
        if self.json {
            return output::json(row);
        }
        let (width, shows_width) = (self.width, self.shows_width);
        let median = row.p50_ns.map_or("-".to_owned(), duration);
        let (style, status) = match row.status {
            Status::Passed => (GOOD, "passed"),
            Status::Skipped => (PALE, "skipped"),
            Status::Failed => (BAD, "failed"),
        };
        let reason = row.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        output::line(&format!(
            "{:width$}  {:shows_width$}  {:>7}  {median:>10}  {style}{status}{style:#}{reason}",
            row.mechanism, row.shows, row.rounds,
        ))
    }
}

impl Observer for Printer {
    fn begins(&mut self, demonstration: &'static Demonstration) {
        if self.progress {
            eprint!("\r\x1b[K{} ...", demonstration.name());
        }
        if self.dialogue && self.outcome.is_ok() {
            self.outcome = output::line(&format!("{HEADING}{}{HEADING:#}", demonstration.name()));
        }
    }

    fn ended(&mut self, row: Row) -> ControlFlow<()> {
        self.clear();
        if self.outcome.is_ok() {
            self.outcome = self.print(&row);
        }
        if self.outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// How wide a column of this text must be.
fn longest(selection: &[&'static Demonstration], text: fn(&Demonstration) -> &'static str) -> usize {
    selection.iter().map(|one| text(one).chars().count()).max().unwrap_or(0)
}

/// Whether the terminal can do no more than a typewriter.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|name| name == "dumb")
}

/// Nanoseconds for people.
fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanoseconds as f64 / 1e3),
        _ => format!("{:.1} ms", nanoseconds as f64 / 1e6),
    }
}
