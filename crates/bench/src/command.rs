//! `twixt bench`: its command line, and what it prints.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::recommend::{Advice, recommend};
use crate::view::{Look, Page, Units, html};
use crate::{Failure, Forecast, Machine, Plan, Program, Registry, Status, measure};

mod arguments;
mod choice;
mod facts;
mod list;
mod output;
mod page;
mod screen;

pub use arguments::Arguments;

use page::PageFile;
use screen::{Screen, Seen, Shows};

/// The version of what `--json` prints. Fields may be added within one.
const SCHEMA: u32 = 1;

/// From there on a user wants to know beforehand.
const LONG: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that can be measured was.
    Well,
    /// Something failed.
    WithFailures,
    /// The user stopped it.
    Stopped,
}

/// Measures what was asked for, and prints it.
///
/// # Errors
/// A transport that there is not; nothing to print on, or no place for the page.
pub fn run(
    arguments: &Arguments,
    registry: &Registry,
    is_stopped: &dyn Fn() -> bool,
) -> anyhow::Result<Ended> {
    if arguments.list {
        let names = match arguments.transports.as_slice() {
            [] => registry.entries().iter().map(|entry| entry.name().to_owned()).collect(),
            words => choice::choose(words, registry)?,
        };
        list::list(&names, registry, arguments.json, !arguments.noheadings)?;
        return Ok(Ended::Well);
    }
    let plan = plan(arguments, registry)?;
    let page = arguments.html.as_deref().map(PageFile::new).transpose()?;
    let machine = Machine::this();
    announce(arguments, &plan, registry, &machine)?;
    let look = Look { width: output::width(), is_utf8: output::is_utf8(), headings: !arguments.noheadings };
    let shows = match (arguments.json, arguments.recommend) {
        (true, _) => Shows::Lines,
        (false, true) => Shows::Nothing,
        (false, false) => Shows::Tables,
    };
    let screen = Screen::new(shows, look, registry, is_stopped);
    let measured = measure(&plan, registry, &Program::this()?, &screen);
    // Also what was measured before somebody stopped it.
    let Seen { records, blocks, remarks } = screen.end()?;
    if arguments.recommend {
        for advice in recommend(&blocks, &arguments.need, registry) {
            tell(arguments, &advice, look.is_utf8)?;
        }
    }
    if let Some(page) = page {
        page.write(&html(&about(&machine, measured.is_ok(), remarks), &blocks))?;
    }
    match measured {
        Ok(_) if records.iter().any(|record| matches!(record.status, Status::Failed(_))) => {
            Ok(Ended::WithFailures)
        }
        Ok(_) => Ok(Ended::Well),
        Err(Failure::Stopped) => Ok(Ended::Stopped),
        Err(failure) => Err(failure.into()),
    }
}

fn plan(arguments: &Arguments, registry: &Registry) -> anyhow::Result<Plan> {
    Ok(Plan {
        transports: choice::choose(&arguments.transports, registry)?,
        patterns: once(&arguments.pattern),
        sizes: once(&arguments.size),
        waits: once(&arguments.wait),
        touch: arguments.touch,
        publishers: arguments.pubs.into(),
        subscribers: arguments.subs.into(),
        repeats: arguments.repeat.into(),
        pins: arguments.pin,
        time: Duration::from_millis(arguments.time_ms().into()),
        capacity: arguments.capacity.map(|bytes| bytes as u64),
        count: None,
        counts_calls: true,
        patience: Duration::from_secs(20),
    })
}

/// What is said twice is measured once.
fn once<T: Copy + PartialEq>(said: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    said.iter().for_each(|one| {
        if !once.contains(one) {
            once.push(*one)
        }
    });
    once
}

/// Says what comes: to a program in a line, to a user at a terminal how long it will take.
fn announce(
    arguments: &Arguments,
    plan: &Plan,
    registry: &Registry,
    machine: &Machine,
) -> std::io::Result<()> {
    let forecast = Forecast::new(plan, registry);
    let (time, transports) = (forecast.all(), forecast.transports());
    if arguments.json {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        output::json(&json!({
            "schema": SCHEMA, "kind": "run", "version": env!("CARGO_PKG_VERSION"), "machine": machine,
            "began_at": began.as_secs(), "transports": plan.transports, "patterns": plan.patterns, "sizes": plan.sizes,
            "waits": plan.waits, "touch": plan.touch, "pubs": plan.publishers, "subs": plan.subscribers,
            "repeats": plan.repeats, "pinned": plan.pins, "time_ms": arguments.time_ms(), "capacity": plan.capacity,
        }))?;
    }
    if output::has_progress() && time > LONG {
        let plural =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        output::note(&format!(
            "{}, {}, {}: about {}",
            plural(transports, "transport"),
            plural(plan.workloads().len(), "workload"),
            plural(plan.repeats, "repeat"),
            Units { is_utf8: false }.wait(time.as_secs_f64())
        ));
    }
    Ok(())
}

fn tell(arguments: &Arguments, advice: &Advice, is_utf8: bool) -> anyhow::Result<()> {
    if !arguments.json {
        return Ok(output::line(&advice.text(is_utf8))?);
    }
    let mut line = serde_json::to_value(advice)?;
    line["schema"] = SCHEMA.into();
    line["kind"] = "recommendation".into();
    Ok(output::json(&line)?)
}

/// What the page says beside the figures.
fn about(machine: &Machine, is_whole: bool, remarks: Vec<String>) -> Page {
    let words = std::env::args_os().skip(1).map(|word| {
        let word = word.to_string_lossy().into_owned();
        let is_plain =
            !word.is_empty() && word.chars().all(|it| it.is_alphanumeric() || "-_=,.:/@+%".contains(it));
        if is_plain { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    let program = std::env::args_os().next().map(PathBuf::from);
    let name = program.as_deref().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy();
    let command = [name.into_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    let mut facts = vec![
        ("Command".to_owned(), command),
        ("Version".to_owned(), format!("twixt {}", env!("CARGO_PKG_VERSION"))),
    ];
    facts.extend(facts::facts(machine));
    let mut doubts = remarks;
    if !is_whole {
        doubts.insert(0, "It was stopped before all had been measured.".to_owned());
    }
    Page { facts, doubts }
}
