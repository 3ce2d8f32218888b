//! `twixt stat`.

use std::io;

use anyhow::bail;
use clap::ValueEnum;
use serde::Serialize;
use twixt::address::{Address, BusName, Endpoint};
use twixt::bus::{self, Capacity, Kind, Participant};
use twixt::object::names_on_bus;
use twixt::os::ErrorKind;

use crate::args::{Column, Stat};
use crate::exit::Exit;
use crate::output::{self, HEADING};

/// Prints who takes part in the names.
pub fn run(arguments: &Stat) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    let all = if arguments.addresses.is_empty() { names_on_bus()? } else { Vec::new() };
    let mut found = Vec::new();
    for address in arguments.addresses.iter().chain(&all) {
        let (kind, name) = name_of(address)?;
        match bus::stat(kind, name, None) {
            Ok(stat) => found.push((address.endpoint().to_string(), stat)),
            // It has gone since it was listed.
            Err(error) if arguments.addresses.is_empty() && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let error = anyhow::Error::new(error);
                output::complain(&error)?;
                exit = if arguments.addresses.is_empty() { Exit::Partial } else { Exit::of(&error) };
            }
        }
    }
    for (address, stat) in &found {
        if stat.unreadable > 0 {
            let (count, who) =
                (stat.unreadable, if stat.unreadable == 1 { "participant" } else { "participants" });
            output::note(&format!("twixt: {count} {who} of {address} cannot be read"))?;
            exit = if exit == Exit::Success { Exit::Partial } else { exit };
        }
    }
    if arguments.json {
        for (address, stat) in &found {
            output::json(&Line::of(address, stat))?;
        }
    } else {
        print(arguments, &found)?;
    }
    Ok(exit)
}

fn name_of(address: &Address) -> anyhow::Result<(Kind, &BusName)> {
    if let Some(option) = address.options().given().next() {
        bail!(
            "cannot look at {address}: option {option} says nothing about a name that is there; leave it out"
        );
    }
    Ok(match address.endpoint() {
        Endpoint::Topic(name) => (Kind::Topic, name),
        Endpoint::Queue(name) => (Kind::Queue, name),
        Endpoint::Latest(name) => (Kind::Latest, name),
        Endpoint::Rpc(name) => (Kind::Rpc, name),
        other => {
            bail!(
                "cannot look at {other}: it is no name on the bus; those are topic:, queue:, latest: and rpc:"
            )
        }
    })
}

fn print(arguments: &Stat, found: &[(String, bus::Stat)]) -> io::Result<()> {
    let columns = if arguments.columns.is_empty() { Column::value_variants() } else { &arguments.columns };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (address, stat) in found {
        rows.extend(
            stat.participants.iter().map(|participant| {
                columns.iter().map(|column| cell(*column, address, participant)).collect()
            }),
        );
    }
    if rows.is_empty() {
        for (address, _) in found {
            output::note(&format!("nobody takes part in {address}"))?;
        }
        return Ok(());
    }
    let headings: Vec<String> = columns.iter().map(|column| heading(*column).to_ascii_uppercase()).collect();
    let shown = (!arguments.noheadings).then_some(&headings);
    let width = |index: usize| rows.iter().chain(shown).map(|row| row[index].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line =
        |row: &[String]| {
            let cells = row.iter().zip(columns).zip(&widths);
            let cells = cells.map(|((text, column), width)| {
                if is_number(*column) { format!("{text:>width$}") } else { format!("{text:width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
    if !arguments.noheadings {
        output::line(&format!("{HEADING}{}{HEADING:#}", line(&headings)))?;
    }
    rows.iter().try_for_each(|row| output::line(&line(row)))
}

fn heading(column: Column) -> String {
    column.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn is_number(column: Column) -> bool {
    !matches!(column, Column::Address | Column::Role | Column::State | Column::Slow)
}

fn cell(column: Column, address: &str, of: &Participant) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    match column {
        Column::Address => address.to_owned(),
        Column::Role => of.role.as_str().to_owned(),
        Column::Place => of.index.to_string(),
        Column::Pid => number(of.pid.map(u64::from)),
        Column::State => of.state.as_str().to_owned(),
        Column::Messages => of.messages.to_string(),
        Column::Bytes => number(of.bytes),
        Column::Lag => number(of.lag),
        Column::Missed => number(of.missed),
        Column::Parks => number(of.parks),
        Column::Slow => of.slow.map_or("-", |slow| slow.as_str()).to_owned(),
    }
}

/// A name; the fields are stable.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    address: &'a str,
    /// Bytes of the ring of each sender; 0 for a rendezvous. None with a budget.
    capacity: Option<u64>,
    budget: Option<u64>,
    /// In octal.
    mode: String,
    /// What messages consist of; none for bytes without a type.
    #[serde(rename = "type")]
    type_name: Option<&'a str>,
    /// How many participants could not be read.
    unreadable: usize,
    participants: Vec<One>,
}

/// A participant.
#[derive(Serialize)]
struct One {
    role: &'static str,
    place: usize,
    pid: Option<u32>,
    state: &'static str,
    messages: u64,
    bytes: Option<u64>,
    lag: Option<u64>,
    missed: Option<u64>,
    parks: Option<u64>,
    slow: Option<&'static str>,
}

impl<'a> Line<'a> {
    fn of(address: &'a str, stat: &'a bus::Stat) -> Self {
        let (capacity, budget) = match stat.capacity {
            Capacity::Zero => (Some(0), None),
            Capacity::Bounded(bytes) => (Some(bytes), None),
            Capacity::Unbounded(budget) => (None, Some(budget)),
        };
        Self {
            schema: 1,
            address,
            capacity,
            budget,
            mode: stat.mode.to_string(),
            type_name: Some(stat.type_name.as_str()).filter(|name| !name.is_empty()),
            unreadable: stat.unreadable,
            participants: stat.participants.iter().map(One::of).collect(),
        }
    }
}

impl One {
    fn of(of: &Participant) -> Self {
        Self {
            role: of.role.as_str(),
            place: of.index,
            pid: of.pid,
            state: of.state.as_str(),
            messages: of.messages,
            bytes: of.bytes,
            lag: of.lag,
            missed: of.missed,
            parks: of.parks,
            slow: of.slow.map(|slow| slow.as_str()),
        }
    }
}
