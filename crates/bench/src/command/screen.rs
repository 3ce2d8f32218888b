//! What is shown while something is measured: tables or lines as they come, and how far it has come.

use std::cell::{Cell, RefCell};
use std::io;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::output;
use crate::view::{Block, Look, Units, table};
use crate::{Family, Noise, Observer, Record, Registry, Step};

/// What stands on standard output while it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// A table whenever a workload has been measured.
    Tables,
    /// A line for each record.
    Lines,
    /// Nothing.
    Nothing,
}

pub(super) struct Screen<'a> {
    shows: Shows,
    look: Look,
    registry: &'a Registry,
    is_stopped: &'a dyn Fn() -> bool,
    records: RefCell<Vec<Record>>,
    noise: RefCell<Vec<Noise>>,
    remarks: RefCell<Vec<String>>,
    /// How many of them have been shown in tables.
    shown: Cell<usize>,
    outcome: RefCell<io::Result<()>>,
    bar: Option<ProgressBar>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(
        shows: Shows,
        look: Look,
        registry: &'a Registry,
        is_stopped: &'a dyn Fn() -> bool,
    ) -> Self {
        let bar = output::has_progress().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let blocks = if look.is_utf8 { "█▉▊▋▌▍▎▏ " } else { "#>-" };
            if let Ok(style) = ProgressStyle::with_template("{bar:20} {pos}/{len}  {wide_msg}") {
                bar.set_style(style.progress_chars(blocks));
            }
            bar
        });
        Self {
            shows,
            look,
            registry,
            is_stopped,
            records: RefCell::default(),
            noise: RefCell::default(),
            remarks: RefCell::default(),
            shown: Cell::new(0),
            outcome: RefCell::new(Ok(())),
            bar,
        }
    }

    /// Shows what has not been shown, and gives all records.
    ///
    /// # Errors
    /// Standard output could not be written to.
    pub(super) fn end(self) -> io::Result<Seen> {
        self.show_rest();
        let remarks = self.remarks.take();
        if self.shows == Shows::Tables && !remarks.is_empty() {
            self.print(|| output::line(&remarks.join("\n")));
        }
        let blocks = self.blocks(0);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let records = self.records.into_inner();
        self.outcome.into_inner().map(|()| Seen { records, blocks, remarks })
    }

    /// The table of the records that have not been in one.
    fn show_rest(&self) {
        if self.shows != Shows::Tables {
            return;
        }
        for block in self.blocks(self.shown.get()) {
            self.print(|| output::line(&table(&block, &self.look)));
        }
        self.shown.set(self.records.borrow().len());
    }

    /// All but so many of the records, with what was heard meanwhile.
    fn blocks(&self, but: usize) -> Vec<Block> {
        let mut blocks = Block::all(&self.records.borrow()[but..], &|name| family(self.registry, name));
        for block in &mut blocks {
            let workload = &block.workload;
            let is_of = |noise: &&Noise| {
                (noise.pattern, noise.size, noise.wait) == (workload.pattern, workload.size, workload.waiting)
            };
            let noise = self.noise.borrow();
            let doubts = noise.iter().filter(is_of).filter_map(|noise| {
                let why = noise.too_noisy.as_ref()?;
                Some(format!("too noisy to tell, repeat {}: {why}", noise.repeat + 1))
            });
            block.doubts = doubts.collect();
        }
        blocks
    }

    /// Prints beside the bar. What cannot be printed is the end: nobody reads it.
    fn print(&self, print: impl FnOnce() -> io::Result<()>) {
        if self.outcome.borrow().is_err() {
            return;
        }
        let printed = match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        };
        *self.outcome.borrow_mut() = printed;
    }
}

/// What there was to see.
pub(super) struct Seen {
    pub(super) records: Vec<Record>,
    pub(super) blocks: Vec<Block>,
    pub(super) remarks: Vec<String>,
}

/// A record as its line says it.
#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    kind: &'static str,
    #[serde(flatten)]
    said: &'a T,
}

/// The family of a transport or an address.
fn family(registry: &Registry, name: &str) -> Family {
    registry.find(name).map_or(Family::Channel, |entry| entry.family())
}

impl Observer for Screen<'_> {
    fn step(&self, step: Step<'_>) {
        let Some(bar) = &self.bar else { return };
        let units = Units { is_utf8: self.look.is_utf8 };
        let left = units.wait(step.left.as_secs_f64());
        let (transport, workload) = (step.transport, step.workload);
        let (pattern, size, waiting) = (workload.pattern, units.size(workload.size), workload.waiting);
        bar.set_length(step.all as u64);
        bar.set_position(step.done as u64);
        bar.set_message(format!("about {left} left: {transport}, {pattern} of {size}, {waiting}"));
        bar.tick();
    }

    fn record(&self, record: &Record) {
        if self.shows == Shows::Lines {
            self.print(|| output::json(&Line { schema: super::SCHEMA, kind: "measurement", said: record }));
        }
        let is_new = {
            let records = self.records.borrow();
            records.last().is_some_and(|last| last.workload() != record.workload())
        };
        if is_new {
            self.show_rest();
        }
        self.records.borrow_mut().push(record.clone());
    }

    fn noise(&self, noise: &Noise) {
        if self.shows == Shows::Lines {
            self.print(|| output::json(&Line { schema: super::SCHEMA, kind: "noise", said: noise }));
        }
        self.noise.borrow_mut().push(noise.clone());
    }

    fn remark(&self, remark: &str) {
        if self.shows == Shows::Lines {
            let line = serde_json::json!({ "schema": super::SCHEMA, "kind": "remark", "text": remark });
            self.print(|| output::json(&line));
        }
        self.remarks.borrow_mut().push(remark.to_owned());
    }

    fn is_stopped(&self) -> bool {
        (self.is_stopped)() || self.outcome.borrow().is_err()
    }
}
