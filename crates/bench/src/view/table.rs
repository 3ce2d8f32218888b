//! A block as a table for a terminal: aligned without boxes, as wide as there is room.
//!
//! Colours are always in the text; who prints it takes them away where they cannot be seen.

use core::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Block, Row, Units};
use crate::{Family, Pattern, Spread, Touch, Workload};

/// How a table is to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// How many columns of text there are; no limit without one.
    pub width: Option<usize>,
    /// Whether there are more letters than those of ASCII.
    pub is_utf8: bool,
    /// Whether there is a line with what the columns are.
    pub headings: bool,
}

const HEADING: Style = Style::new().bold();
const PALE: Style = Style::new().dimmed();
const BEST: Style = AnsiColor::Green.on_default().bold();
const DOUBT: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const PLAIN: Style = Style::new();

/// From there on a spread is pointed out.
const WIDE_SPREAD: f64 = 0.2;
/// From there on a bar of the greatest would leave nothing to see of the least.
const LOGARITHMIC: f64 = 20.0;
const BAR: core::ops::RangeInclusive<usize> = 8..=32;

/// One column.
struct Column {
    heading: &'static str,
    /// Those of the highest number go first when there is no room.
    rank: u8,
    cells: Vec<(String, Style)>,
}

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().map(|(text, _)| length(text)).chain([length(self.heading)]).max().unwrap_or(0)
    }
}

/// The table, and after it who is not in it.
pub fn table(block: &Block, look: &Look) -> String {
    let mut text = format!("{HEADING}{}{HEADING:#}\n", title(&block.workload, look.is_utf8));
    if !block.rows.is_empty() {
        text += &rows(block, look);
    }
    for doubt in &block.doubts {
        let _ = writeln!(text, "{DOUBT}  {doubt}{DOUBT:#}");
    }
    for (name, why) in &block.unsupported {
        let _ = writeln!(text, "{PALE}  {name}: not measured: {why}{PALE:#}");
    }
    for (name, how) in &block.failed {
        let _ = writeln!(text, "{BAD}  {name}: FAILED:{BAD:#} {how}");
    }
    text
}

/// A workload in a line.
pub(crate) fn title(workload: &Workload, is_utf8: bool) -> String {
    let dot = if is_utf8 { " · " } else { ", " };
    let pattern = match workload.pattern {
        Pattern::Rtt => "rtt: there and back".to_owned(),
        Pattern::Throughput => "throughput: one to one".to_owned(),
        Pattern::Batch => "batch: one to one, many at a time".to_owned(),
        Pattern::Fanout => format!("fanout: each message to all of {}", workload.subscribers),
        Pattern::Work => {
            format!("work: {} senders, each message to one of {}", workload.publishers, workload.subscribers)
        }
    };
    let touch = match workload.touch {
        Touch::All => "",
        Touch::Header => " (headers touched only)",
    };
    let size = Units { is_utf8 }.size(workload.size);
    format!("{pattern}{dot}{size}{touch}{dot}{}", workload.waiting)
}

fn rows(block: &Block, look: &Look) -> String {
    let units = Units { is_utf8: look.is_utf8 };
    let mut columns = columns(block, units);
    // Two spaces before each column but the first, and a bar where there is room.
    let taken = |columns: &[Column]| columns.iter().map(|column| column.width() + 2).sum::<usize>();
    let width = look.width.unwrap_or(usize::MAX);
    let mut bar = width.saturating_sub(taken(&columns)).min(*BAR.end());
    while bar < *BAR.start() {
        // The name, and what the rows are sorted by, stay.
        let Some(least) =
            (0..columns.len()).filter(|&it| columns[it].rank > 1).max_by_key(|&it| columns[it].rank)
        else {
            break;
        };
        columns.remove(least);
        bar = width.saturating_sub(taken(&columns)).min(*BAR.end());
    }
    let scale =
        block.range().filter(|_| bar >= *BAR.start()).map(|range| Scale::new(range, bar, look.is_utf8));
    let mut text = String::new();
    if look.headings {
        let mut line = String::new();
        for (index, column) in columns.iter().enumerate() {
            cell(&mut line, index, column.heading, PLAIN, column.width());
        }
        if let Some(scale) = scale.as_ref().filter(|scale| scale.is_logarithmic) {
            let _ = write!(
                line,
                "  {}",
                if scale.width >= "(logarithmic)".len() { "(logarithmic)" } else { "(log)" }
            );
        }
        let _ = writeln!(text, "{HEADING}{}{HEADING:#}", line.trim_end());
    }
    let floors = block.rows.iter().filter(|row| row.family == Family::Floor).count();
    for (number, row) in block.rows.iter().enumerate() {
        if number == floors && floors > 0 {
            text.push('\n');
        }
        let mut line = String::new();
        for (index, column) in columns.iter().enumerate() {
            let (value, style) = &column.cells[number];
            cell(&mut line, index, value, *style, column.width());
        }
        if let Some(bar) = scale.as_ref().zip(row.summary.figure()).map(|(it, key)| it.bar(key.median)) {
            let style = if row.family == Family::Floor { PALE } else { AnsiColor::Cyan.on_default() };
            let _ = write!(line, "  {style}{bar}{style:#}");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The first column begins at the left, the others end at the right.
fn cell(line: &mut String, index: usize, text: &str, style: Style, width: usize) {
    let room = " ".repeat(width.saturating_sub(length(text)));
    let _ = match index {
        0 => write!(line, "{style}{text}{style:#}{room}"),
        _ => write!(line, "  {room}{style}{text}{style:#}"),
    };
}

fn columns(block: &Block, units: Units) -> Vec<Column> {
    let is_round_trip = block.workload.pattern == Pattern::Rtt;
    let floors = block.rows.iter().filter(|row| row.family == Family::Floor).count();
    let mut columns = Vec::new();
    let mut add = |heading, rank, cell: &dyn Fn(&Row) -> (String, Style)| {
        let cells = block.rows.iter().map(|row| {
            let (text, style) = cell(row);
            (text, if row.family == Family::Floor && style == PLAIN { PALE } else { style })
        });
        columns.push(Column { heading, rank, cells: cells.collect() });
    };
    let best = block.rows.get(floors).map(|row| row.summary.transport.clone());
    add("TRANSPORT", 0, &|row| {
        (
            row.summary.transport.clone(),
            if Some(&row.summary.transport) == best.as_ref() { BEST } else { PLAIN },
        )
    });
    let median = |figure: Option<Spread>, write: &dyn Fn(f64) -> String| {
        (figure.map_or("-".to_owned(), |figure| write(figure.median)), PLAIN)
    };
    let time = |ns: f64| units.time(ns);
    if is_round_trip {
        add("P50", 1, &|row| median(row.summary.p50_ns, &time));
        add("P99", 3, &|row| median(row.summary.p99_ns, &time));
        add("P99.9", 6, &|row| median(row.summary.p999_ns, &time));
        // Of all repeats: a maximum of medians would hide what it is there to show.
        add("MAX", 8, &|row| (row.summary.max_ns.map_or("-".to_owned(), |it| time(it.greatest)), PLAIN));
    } else {
        add("MSGS/S", 1, &|row| median(row.summary.msgs_per_s, &|rate| units.rate(rate)));
        add("BYTES/S", 3, &|row| median(row.summary.bytes_per_s, &|rate| units.bytes_rate(rate)));
    }
    if block.rows.iter().any(|row| row.summary.floor_ratio.is_some()) {
        let heading = if units.is_utf8 { "× FLOOR" } else { "x FLOOR" };
        add(heading, 2, &|row| median(row.summary.floor_ratio, &|ratio| units.ratio(ratio)));
    }
    if block.rows.iter().any(|row| row.summary.repeats() > 1) {
        add("SPREAD", 4, &|row| {
            let spread = row.summary.figure().and_then(|figure| figure.relative());
            let style = if spread.is_some_and(|spread| spread > WIDE_SPREAD) { DOUBT } else { PLAIN };
            (spread.map_or("-".to_owned(), |spread| units.spread(spread)), style)
        });
    }
    add("CPU/MSG", 5, &|row| median(row.summary.cpu_ns_per_msg, &time));
    let each = |count: f64| units.each(count);
    add("SWITCHES", 9, &|row| median(row.summary.switches_per_msg, &each));
    if block.rows.iter().any(|row| row.summary.syscalls_per_msg.is_some()) {
        add("SYSCALLS", 7, &|row| (row.summary.syscalls_per_msg.map_or("-".to_owned(), each), PLAIN));
    }
    if block.rows.iter().any(|row| row.summary.lost > 0) {
        add("LOST", 2, &|row| {
            (row.summary.lost.to_string(), if row.summary.lost > 0 { DOUBT } else { PLAIN })
        });
    }
    columns
}

/// What length a bar has.
struct Scale {
    width: usize,
    is_logarithmic: bool,
    is_utf8: bool,
    least: f64,
    greatest: f64,
}

impl Scale {
    fn new((least, greatest): (f64, f64), width: usize, is_utf8: bool) -> Self {
        let is_logarithmic = least > 0.0 && greatest / least > LOGARITHMIC;
        Self { width, is_logarithmic, is_utf8, least, greatest }
    }

    fn bar(&self, value: f64) -> String {
        let share = if self.is_logarithmic {
            // The least has a bar to be seen, too.
            let from = (self.least / 2.0).ln();
            (value.ln() - from) / (self.greatest.ln() - from)
        } else if self.greatest > 0.0 {
            value / self.greatest
        } else {
            0.0
        };
        let eighths = (share.clamp(0.0, 1.0) * self.width as f64 * 8.0).round() as usize;
        if !self.is_utf8 {
            return "#".repeat(eighths.div_ceil(8));
        }
        let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        "█".repeat(eighths / 8) + part
    }
}

/// How many columns of a terminal a text takes: one for each letter.
fn length(text: &str) -> usize {
    text.chars().count()
}
