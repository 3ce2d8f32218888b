//! `twixt bench --list`.

use std::fmt::Write;
use std::io;

use anstyle::Style;

use super::output;
use crate::{Entry, Pattern, Registry, Setup, Touch, Waiting, Workload};

const HEADING: Style = Style::new().bold();

/// Lists those of these names.
pub(super) fn list(names: &[String], registry: &Registry, json: bool, headings: bool) -> io::Result<()> {
    let rows: Vec<Row> = names.iter().filter_map(|name| Row::of(name, registry)).collect();
    if json {
        return rows.iter().try_for_each(|row| {
            output::json(&serde_json::json!({
                "schema": super::SCHEMA, "kind": "transport", "transport": row.name, "family": row.entry.family().as_str(),
                "patterns": row.patterns, "waits": row.waits, "about": row.about,
            }))
        });
    }
    let words = |words: &[&str]| if words.is_empty() { "-".to_owned() } else { words.join(",") };
    let mut table: Vec<[String; 5]> = Vec::new();
    if headings {
        table.push(["TRANSPORT", "FAMILY", "PATTERNS", "WAITS", "WHAT IT IS"].map(str::to_owned));
    }
    table.extend(rows.iter().map(|row| {
        let family = row.entry.family().as_str().to_owned();
        [row.name.clone(), family, words(&row.patterns), words(&row.waits), row.about.to_owned()]
    }));
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for (number, row) in table.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let line = line.trim_end();
        if headings && number == 0 {
            output::line(&format!("{HEADING}{line}{HEADING:#}"))?;
        } else {
            output::line(line)?;
        }
    }
    Ok(())
}

struct Row<'a> {
    name: String,
    entry: &'a Entry,
    patterns: Vec<&'static str>,
    waits: Vec<&'static str>,
    about: &'static str,
}

impl<'a> Row<'a> {
    fn of(name: &str, registry: &'a Registry) -> Option<Self> {
        let entry = registry.find(name).ok()?;
        let can = |pattern, waiting| entry.supports(&setup(name, pattern, waiting)).is_ok();
        let patterns = Pattern::ALL.iter().filter(|&&it| Waiting::ALL.iter().any(|&wait| can(it, wait)));
        let waits = Waiting::ALL.iter().filter(|&&it| Pattern::ALL.iter().any(|&pattern| can(pattern, it)));
        Some(Self {
            name: name.to_owned(),
            entry,
            patterns: patterns.map(|it| it.as_str()).collect(),
            waits: waits.map(|it| it.as_str()).collect(),
            about: entry.about(),
        })
    }
}

/// The least that is asked of a transport: a word, between as few processes as the pattern has.
fn setup(name: &str, pattern: Pattern, waiting: Waiting) -> Setup {
    let subscribers = if matches!(pattern, Pattern::Fanout | Pattern::Work) { 2 } else { 1 };
    let workload = Workload { pattern, size: 8, waiting, touch: Touch::All, publishers: 1, subscribers };
    Setup::to_ask(name, &workload, None)
}
