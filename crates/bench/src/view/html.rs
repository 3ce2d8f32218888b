//! All blocks as one page that needs nothing but itself: no script, no other file, no network.

use core::fmt::Write;

use super::plot::{Axis, Plot, Point, Series, decades, powers};
use super::table::title;
use super::{Block, Row, Units};
use crate::{Family, Pattern, Spread, Workload};

/// What stands on a page beside the figures.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The machine, the command line and the like: what it is, and what is to be said of it.
    pub facts: Vec<(String, String)>,
    /// What makes the figures doubtful, if something does.
    pub doubts: Vec<String>,
}

const UNITS: Units = Units { is_utf8: true };

/// The page.
pub fn html(page: &Page, blocks: &[Block]) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>twixt bench</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <h1>What each way to talk costs on this machine</h1>\n\
         <p class=\"pale\">Between processes of their own, order and loss checked; the floor is what bare memory, a bare ring \
         and a bare futex do with the same work in the same run.</p>\n",
        include_str!("style.css")
    );
    text += "<dl>\n";
    for (what, said) in &page.facts {
        let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", escaped(what), escaped(said));
    }
    text += "</dl>\n";
    for doubt in &page.doubts {
        let _ = writeln!(text, "<p class=\"doubt\">{}</p>", escaped(doubt));
    }
    if blocks.iter().all(|block| block.rows.is_empty()) {
        text += "<p>Nothing was measured.</p>\n";
    }
    let colours = Colours::of(blocks);
    let lines = kin(blocks);
    let sized = |is_round_trip| {
        let colours = &colours;
        lines.iter().filter_map(move |kin| by_size(kin, colours, is_round_trip))
    };
    plots(&mut text, "Latency and throughput by size", sized(true).chain(sized(false)));
    plots(&mut text, "How long round trips take", blocks.iter().filter_map(|block| curves(block, &colours)));
    text += "<h2>All figures</h2>\n";
    for block in blocks {
        text += &table(block);
    }
    text + "</body>\n</html>\n"
}

fn plots(text: &mut String, heading: &str, plots: impl Iterator<Item = String>) {
    let plots: String = plots.collect();
    if !plots.is_empty() {
        let _ = write!(text, "<h2>{heading}</h2>\n<div class=\"plots\">\n{plots}</div>\n");
    }
}

/// The colour of each transport, the same in all plots.
struct Colours<'a>(Vec<&'a str>);

impl<'a> Colours<'a> {
    fn of(blocks: &'a [Block]) -> Self {
        let mut names = Vec::new();
        for row in blocks.iter().flat_map(|block| &block.rows) {
            if row.family != Family::Floor && !names.contains(&row.summary.transport.as_str()) {
                names.push(&row.summary.transport);
            }
        }
        Self(names)
    }

    fn of_row(&self, row: &Row) -> Option<usize> {
        self.0.iter().position(|name| *name == row.summary.transport)
    }
}

/// Blocks that differ in their sizes alone.
fn kin(blocks: &[Block]) -> Vec<Vec<&Block>> {
    let without_size = |block: &Block| Workload { size: 0, ..block.workload };
    let mut all: Vec<Vec<&Block>> = Vec::new();
    for block in blocks {
        match all.iter_mut().find(|kin| without_size(kin[0]) == without_size(block)) {
            Some(kin) => kin.push(block),
            None => all.push(vec![block]),
        }
    }
    all.iter_mut().for_each(|kin| kin.sort_by_key(|block| block.workload.size));
    all
}

/// A workload in words, but for its size.
fn words(workload: &Workload) -> String {
    let all = title(workload, true);
    let size = UNITS.size(workload.size);
    all.replacen(&format!(" · {size}"), "", 1)
}

fn by_size(kin: &[&Block], colours: &Colours<'_>, is_round_trip: bool) -> Option<String> {
    let first = kin.first()?;
    if kin.len() < 2 || (first.workload.pattern == Pattern::Rtt) != is_round_trip {
        return None;
    }
    let value = |row: &Row| {
        let figure = if is_round_trip { row.summary.p50_ns } else { row.summary.bytes_per_s };
        figure.map(|figure| figure.median).filter(|&value| value > 0.0)
    };
    let mut series: Vec<Series> = Vec::new();
    for block in kin {
        let x = (block.workload.size as f64).log2();
        for (row, y) in block.rows.iter().filter_map(|row| Some((row, value(row)?))) {
            let said = if is_round_trip { UNITS.time(y) } else { UNITS.bytes_rate(y) };
            let says = format!("{said} at {}", UNITS.size(block.workload.size));
            let point = Point { x, y: y.log10(), says };
            match series.iter_mut().find(|series| series.label == row.summary.transport) {
                Some(series) => series.points.push(point),
                None => series.push(Series {
                    label: row.summary.transport.clone(),
                    colour: colours.of_row(row),
                    points: vec![point],
                    has_marks: true,
                }),
            }
        }
    }
    let range = range(&series)?;
    let (ticks, ends) = if is_round_trip {
        decades(range, &|ns| short(&UNITS.time(ns)))
    } else {
        powers(range, &|rate| short(&UNITS.bytes_rate(rate)))
    };
    let sizes = kin.iter().map(|block| {
        let size = block.workload.size;
        ((size as f64).log2(), UNITS.size(size))
    });
    let plot = Plot {
        title: words(&first.workload),
        x: Axis { label: "bytes of a message", ticks: sizes.collect() },
        y: Axis { label: if is_round_trip { "median round trip" } else { "bytes each second" }, ticks },
        series,
    };
    Some(plot.svg(ends))
}

/// Which share of the round trips took how long; the shares as far from all of them as they have nines.
fn curves(block: &Block, colours: &Colours<'_>) -> Option<String> {
    let mut series: Vec<Series> = Vec::new();
    for row in block.rows.iter().filter(|row| !row.summary.histogram.is_empty()) {
        series.push(Series {
            label: row.summary.transport.clone(),
            colour: colours.of_row(row),
            points: curve(&row.summary.histogram),
            has_marks: false,
        });
    }
    let (ticks, ends) = decades(range(&series)?, &|ns| short(&UNITS.time(ns)));
    let most =
        series.iter().filter_map(|series| series.points.last()).map(|point| point.x).fold(1.0, f64::max);
    let shares = [
        (0.0, "0"),
        (0.5, "50%"),
        (0.9, "90%"),
        (0.99, "99%"),
        (0.999, "99.9%"),
        (0.9999, "99.99%"),
        (0.99999, "99.999%"),
    ];
    let shares = shares.iter().map(|&(share, name)| (nines(share), name.to_owned()));
    let plot = Plot {
        title: title(&block.workload, true),
        x: Axis { label: "share of the round trips", ticks: shares.filter(|(x, _)| *x <= most).collect() },
        y: Axis { label: "took no longer than", ticks },
        series,
    };
    Some(plot.svg(ends))
}

/// How many nines a share has.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// A hundred points at most: one wherever the line has gone a pixel or so.
fn curve(histogram: &[(u64, u64)]) -> Vec<Point> {
    let all: u64 = histogram.iter().map(|(_, count)| count).sum();
    let mut points: Vec<Point> = Vec::new();
    let mut seen = 0;
    for (index, &(value, count)) in histogram.iter().enumerate() {
        // The last one has no share behind it: it stands where half of it has passed.
        let x = nines((seen as f64 + count as f64 / 2.0) / all as f64);
        seen += count;
        let y = (value.max(1) as f64).log10();
        let is_new = points.last().is_none_or(|last| x - last.x > 0.02 || y - last.y > 0.01);
        if is_new || index + 1 == histogram.len() {
            points.push(Point { x, y, says: String::new() });
        }
    }
    points
}

/// From the least to the greatest of what is shown.
fn range(series: &[Series]) -> Option<(f64, f64)> {
    let values = || series.iter().flat_map(|series| &series.points).map(|point| 10f64.powf(point.y));
    values().reduce(f64::min).zip(values().reduce(f64::max))
}

/// Without digits that say nothing: a tick's value is round.
fn short(text: &str) -> String {
    let Some((digits, unit)) = text.split_once(' ') else { return text.to_owned() };
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits} {unit}")
}

fn table(block: &Block) -> String {
    let mut text = format!("<h3>{}</h3>\n", escaped(&title(&block.workload, true)));
    if !block.rows.is_empty() {
        text += &rows(block);
    }
    for doubt in &block.doubts {
        let _ = writeln!(text, "<p class=\"doubt\">{}</p>", escaped(doubt));
    }
    if !block.unsupported.is_empty() || !block.failed.is_empty() {
        text += "<ul>\n";
        for (name, how) in &block.failed {
            let _ = writeln!(text, "<li class=\"failed\">{}: failed: {}</li>", escaped(name), escaped(how));
        }
        for (name, why) in &block.unsupported {
            let _ =
                writeln!(text, "<li class=\"pale\">{}: not measured: {}</li>", escaped(name), escaped(why));
        }
        text += "</ul>\n";
    }
    text
}

fn rows(block: &Block) -> String {
    let is_round_trip = block.workload.pattern == Pattern::Rtt;
    let first: &[&str] =
        if is_round_trip { &["p50", "p99", "p99.9", "max"] } else { &["messages/s", "bytes/s"] };
    let mut text = "<div class=\"wide\"><table>\n<thead><tr><th>transport</th>".to_owned();
    let rest = ["× floor", "spread", "CPU/message", "switches", "system calls", "lost", ""];
    for heading in first.iter().chain(&rest) {
        let _ = write!(text, "<th>{heading}</th>");
    }
    text += "</tr></thead>\n";
    let floors = block.rows.iter().filter(|row| row.family == Family::Floor).count();
    let range = block.range().unwrap_or((1.0, 1.0));
    for (class, rows) in [("floors", &block.rows[..floors]), ("others", &block.rows[floors..])] {
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(text, "<tbody class=\"{class}\">");
        for (index, row) in rows.iter().enumerate() {
            let class = if index == 0 && class == "others" { " class=\"best\"" } else { "" };
            let _ = writeln!(text, "<tr{class}>{}</tr>", cells(row, &block.workload, range));
        }
        text += "</tbody>\n";
    }
    text + "</table></div>\n"
}

fn cells(row: &Row, workload: &Workload, (least, greatest): (f64, f64)) -> String {
    let dash = || "–".to_owned();
    let median = |figure: Option<Spread>, write: &dyn Fn(f64) -> String| {
        figure.map_or_else(dash, |figure| write(figure.median))
    };
    let time = |ns| UNITS.time(ns);
    let each = |count| UNITS.each(count);
    let mut cells = if workload.pattern == Pattern::Rtt {
        vec![
            median(row.summary.p50_ns, &time),
            median(row.summary.p99_ns, &time),
            median(row.summary.p999_ns, &time),
            row.summary.max_ns.map_or_else(dash, |max| time(max.greatest)),
        ]
    } else {
        vec![
            median(row.summary.msgs_per_s, &|rate| UNITS.rate(rate)),
            median(row.summary.bytes_per_s, &|rate| UNITS.bytes_rate(rate)),
        ]
    };
    let key = row.summary.figure();
    let spread = key.and_then(|figure| figure.relative());
    cells.extend([
        median(row.summary.floor_ratio, &|ratio| UNITS.ratio(ratio)),
        spread.map_or_else(dash, |spread| UNITS.spread(spread)),
        median(row.summary.cpu_ns_per_msg, &time),
        median(row.summary.switches_per_msg, &each),
        row.summary.syscalls_per_msg.map_or_else(dash, each),
        row.summary.lost.to_string(),
    ]);
    let mut text = format!("<td>{}</td>", escaped(&row.summary.transport));
    for cell in cells {
        let _ = write!(text, "<td>{}</td>", escaped(&cell));
    }
    // Logarithmic, as the plots are, from half of the least.
    let from = (least / 2.0).ln();
    let share = key.map_or(0.0, |key| (key.median.ln() - from) / (greatest.ln() - from));
    let percent = if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    let _ = write!(text, "<td class=\"bar\"><i style=\"width:{percent:.1}%\"></i></td>");
    text
}

/// Text as it stands in HTML, in an attribute too. Control characters, which a name may have, become visible.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            _ if letter.is_control() => safe.push('\u{fffd}'),
            _ => safe.push(letter),
        }
    }
    safe
}
