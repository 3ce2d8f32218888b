//! Which way to talk suits a workload, from what was just measured.
//!
//! What lacks something that is needed is left out, and so is what failed or lost messages. Of the others the best is named,
//! and with it all that this run cannot tell from it: those whose repeats overlap with its own. Round trips are judged by
//! their medians, and where these overlap by the times that 99 of 100 do not exceed; the rest by messages per second. Where
//! the machine was too noisy in half of the repeats or more, nothing was decided, and the advice says so.

use core::fmt::Write;

use serde::Serialize;

use crate::view::{Block, Row, Units};
use crate::{Family, Pattern, Registry, Spread, Waiting, Workload};

mod kind;

pub use crate::Need;
pub use kind::Kind;

/// What to use for a workload.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// The pattern.
    pub pattern: Pattern,
    /// Bytes of a message.
    pub size: usize,
    /// Parties that send.
    pub pubs: usize,
    /// Parties that receive.
    pub subs: usize,
    /// What is needed besides.
    pub needs: Vec<Need>,
    /// By which figure it was decided; by none where this run cannot tell, or there is nothing to choose from.
    pub decided_by: Option<&'static str>,
    /// The best; none if nothing is left.
    pub winner: Option<Choice>,
    /// Those that this run cannot tell from the best.
    pub even: Vec<Choice>,
    /// Those that come after.
    pub runners_up: Vec<Choice>,
    /// Those that do not count, and why.
    pub left_out: Vec<LeftOut>,
    /// How noisy the machine was, if it was too noisy in some of the repeats.
    pub noise: Option<Doubt>,
}

/// That the machine was too noisy in some of the repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// In how many.
    pub noisy: usize,
    /// Of how many.
    pub repeats: usize,
    /// Why, in the words of each.
    pub why: Vec<String>,
}

impl Doubt {
    /// Of the repeats of these, with all ways to wait; `None` if all were quiet.
    fn of(group: &[&Block]) -> Option<Self> {
        let why: Vec<String> = group.iter().flat_map(|block| block.doubts.iter().cloned()).collect();
        let most =
            |block: &&Block| block.rows.iter().map(|row| row.summary.repeats()).max().unwrap_or_default();
        let repeats = group.iter().map(most).sum();
        (!why.is_empty()).then_some(Self { noisy: why.len(), repeats, why })
    }

    /// Whether nothing can be told: the figures are medians, and those of half of the repeats say nothing.
    pub fn is_all(&self) -> bool {
        2 * self.noisy >= self.repeats
    }
}

/// A transport, with a way to wait, that can be chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The transport's name or address.
    pub transport: String,
    /// How the parties waited.
    pub wait: Waiting,
    /// The median round trip, in nanoseconds.
    pub p50_ns: Option<f64>,
    /// What 99 of 100 round trips did not exceed.
    pub p99_ns: Option<f64>,
    /// Messages per second.
    pub msgs_per_s: Option<f64>,
    /// Bytes per second.
    pub bytes_per_s: Option<f64>,
    /// How many times slower than the floor.
    pub floor_ratio: Option<f64>,
    /// Processor time of all parties for each message, in nanoseconds.
    pub cpu_ns_per_msg: Option<f64>,
    /// How far the repeats are apart, as a share of their median; none of a single one.
    pub spread: Option<f64>,
    /// An address of this kind, to begin with; none for what is no address.
    pub address: Option<String>,
    /// Command lines that try it out.
    pub commands: Vec<String>,
}

/// What does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The transport's name or address.
    pub transport: String,
    /// Why.
    pub why: String,
}

/// An [`Advice`] for each workload; ways to wait are part of the choice. What a transport can do the registry knows.
pub fn recommend(blocks: &[Block], needs: &[Need], registry: &Registry) -> Vec<Advice> {
    let key = |workload: &Workload| Workload { waiting: Waiting::Block, ..*workload };
    let mut groups: Vec<Vec<&Block>> = Vec::new();
    for block in blocks {
        match groups.iter_mut().find(|group| key(&group[0].workload) == key(&block.workload)) {
            Some(group) => group.push(block),
            None => groups.push(vec![block]),
        }
    }
    groups.iter().map(|group| advise(group, needs, registry)).collect()
}

/// A row, and how its parties waited.
type Candidate<'a> = (&'a Row, Waiting);

fn advise(group: &[&Block], needs: &[Need], registry: &Registry) -> Advice {
    let workload = group[0].workload;
    let (mut candidates, mut left_out): (Vec<Candidate<'_>>, Vec<LeftOut>) = Default::default();
    let mut leave = |transport: &str, why: String| {
        let one = LeftOut { transport: transport.to_owned(), why };
        if !left_out.contains(&one) {
            left_out.push(one);
        }
    };
    for block in group {
        for row in block.rows.iter().filter(|row| row.family != Family::Floor) {
            match why_not(block, row, needs, registry) {
                Some(why) => leave(&row.summary.transport, why),
                None => candidates.push((row, block.workload.waiting)),
            }
        }
        let has_no_row = |name: &str| block.rows.iter().all(|row| row.summary.transport != name);
        for (name, why) in &block.unsupported {
            leave(name, why.clone());
        }
        for (name, how) in block.failed.iter().filter(|(name, _)| has_no_row(name)) {
            leave(name, format!("it failed: {how}"));
        }
    }
    candidates.sort_by(|(one, _), (other, _)| one.compare(other, workload.pattern));
    let (decided_by, even) = decide(&mut candidates, workload.pattern);
    let noise = Doubt::of(group);
    let decided_by = decided_by.filter(|_| !noise.as_ref().is_some_and(Doubt::is_all));
    let mut choices = candidates.into_iter().map(|(row, wait)| choice(row, wait));
    let winner = choices.next();
    Advice {
        pattern: workload.pattern,
        size: workload.size,
        pubs: workload.publishers,
        subs: workload.subscribers,
        needs: needs.to_vec(),
        decided_by,
        winner,
        even: choices.by_ref().take(even).collect(),
        runners_up: choices.collect(),
        left_out,
        noise,
    }
}

fn why_not(block: &Block, row: &Row, needs: &[Need], registry: &Registry) -> Option<String> {
    if block.failed.iter().any(|(name, _)| *name == row.summary.transport) {
        return Some("it failed in one of its repeats".to_owned());
    }
    if row.summary.lost > 0 {
        return Some(format!("it lost {} messages and delivered {}", row.summary.lost, row.summary.n));
    }
    if needs.is_empty() {
        return None;
    }
    let name = &row.summary.transport;
    // What is said of a transport by name counts before what its name says.
    let said = registry.find(name).ok().and_then(|entry| entry.capabilities());
    let kind = Kind::of(name);
    if said.is_none() && kind.is_none() {
        return Some("what it can do besides is not known here".to_owned());
    }
    let has = |need: Need| match said {
        Some(said) => said.contains(&need),
        None => kind.as_ref().is_some_and(|kind| kind.has(need)),
    };
    let lacks: Vec<&str> = needs.iter().filter(|&&need| !has(need)).map(|need| need.as_str()).collect();
    (!lacks.is_empty()).then(|| format!("lacks {}", lacks.join(", ")))
}

/// Puts the best first, and after it those that cannot be told from it: how many, and by what the best was found.
fn decide(candidates: &mut [Candidate<'_>], pattern: Pattern) -> (Option<&'static str>, usize) {
    let Some(&(best, _)) = candidates.first() else { return (None, 0) };
    // They are in order, but those that overlap with the best need not be neighbours: a wide one may be far off.
    let is_even = |figure: Option<Spread>, of: Option<Spread>| {
        figure.zip(of).is_some_and(|(figure, of)| figure.overlaps(&of))
    };
    candidates.sort_by_key(|(row, _)| !is_even(row.summary.figure(), best.summary.figure()));
    let even =
        candidates.iter().filter(|(row, _)| is_even(row.summary.figure(), best.summary.figure())).count();
    let figure = if pattern == Pattern::Rtt { "p50_ns" } else { "msgs_per_s" };
    if even <= 1 {
        return (Some(figure), 0);
    }
    if pattern != Pattern::Rtt {
        return (None, even - 1);
    }
    let long = |row: &Row| row.summary.p99_ns.map_or(f64::INFINITY, |figure| figure.median);
    candidates[..even].sort_by(|(one, _), (other, _)| long(one).total_cmp(&long(other)));
    let best = candidates[0].0;
    let still_even = |row: &Row| is_even(row.summary.p99_ns, best.summary.p99_ns);
    candidates[..even].sort_by_key(|(row, _)| !still_even(row));
    let even = candidates[..even].iter().filter(|(row, _)| still_even(row)).count();
    if even <= 1 { (Some("p99_ns"), 0) } else { (None, even - 1) }
}

fn choice(row: &Row, wait: Waiting) -> Choice {
    let median = |figure: Option<Spread>| figure.map(|figure| figure.median);
    let kind = Kind::of(&row.summary.transport);
    Choice {
        transport: row.summary.transport.clone(),
        wait,
        p50_ns: median(row.summary.p50_ns),
        p99_ns: median(row.summary.p99_ns),
        msgs_per_s: median(row.summary.msgs_per_s),
        bytes_per_s: median(row.summary.bytes_per_s),
        floor_ratio: median(row.summary.floor_ratio),
        cpu_ns_per_msg: median(row.summary.cpu_ns_per_msg),
        spread: row.summary.figure().and_then(|figure| figure.relative()),
        address: kind.as_ref().map(|kind| kind.address().to_owned()),
        commands: kind.map(|kind| kind.commands()).unwrap_or_default(),
    }
}

/// How many of those that come after are told to people.
const TOLD: usize = 5;

impl Advice {
    /// The advice for people. `title` says what it is for.
    pub fn text(&self, is_utf8: bool) -> String {
        let units = Units { is_utf8 };
        let mut text = format!("{}, {}", self.pattern, units.size(self.size));
        if matches!(self.pattern, Pattern::Work) {
            let _ = write!(text, ", {} to {}", self.pubs, self.subs);
        } else if matches!(self.pattern, Pattern::Fanout) {
            let _ = write!(text, ", to {}", self.subs);
        }
        if !self.needs.is_empty() {
            let needs: Vec<&str> = self.needs.iter().map(|need| need.as_str()).collect();
            let _ = write!(text, ", with {}", needs.join(", "));
        }
        text.push('\n');
        if let Some(noise) = &self.noise {
            let how = if noise.is_all() { "was too noisy to tell" } else { "was noisy" };
            let (noisy, repeats) = (noise.noisy, noise.repeats);
            let _ = writeln!(text, "  The machine {how}, in {noisy} of {repeats} repeats:");
            for why in &noise.why {
                let _ = writeln!(text, "    {why}");
            }
        }
        match &self.winner {
            None => text += "  Nothing that was measured does it.\n",
            Some(winner) => self.tell(&mut text, winner, units),
        }
        if !self.left_out.is_empty() {
            text.push_str("  Left out:\n");
            for LeftOut { transport, why } in &self.left_out {
                let _ = writeln!(text, "    {transport}: {why}");
            }
        }
        text
    }

    fn tell(&self, text: &mut String, winner: &Choice, units: Units) {
        let figures = |choice: &Choice| self.figures(choice, units);
        let is_guess = self.noise.as_ref().is_some_and(Doubt::is_all);
        let verb = if is_guess { "Perhaps" } else { "Use" };
        let _ = writeln!(text, "  {verb} {} ({}): {}", winner.transport, winner.wait, figures(winner));
        if is_guess {
            text.push_str("  Run it again while nothing else runs before you rely on it.\n");
        }
        if !self.even.is_empty() {
            text.push_str("  No difference that this run can tell:\n");
            for choice in &self.even {
                let _ = writeln!(text, "    {} ({}): {}", choice.transport, choice.wait, figures(choice));
            }
        } else if self.decided_by == Some("p99_ns") {
            text.push_str("  Others are as fast half of the time; it has the least p99.\n");
        }
        if winner.spread.is_none() {
            text.push_str("  With one repeat there is no telling how sure that is: --repeat 3 tells more.\n");
        }
        if !self.runners_up.is_empty() {
            text.push_str("  After it:\n");
            for choice in self.runners_up.iter().take(TOLD) {
                let _ = writeln!(text, "    {} ({}): {}", choice.transport, choice.wait, figures(choice));
            }
            if let Some(more @ 1..) = self.runners_up.len().checked_sub(TOLD) {
                let _ = writeln!(text, "    and {more} more");
            }
        }
        if let Some(address) = &winner.address {
            let _ = writeln!(text, "  Its address: {address}");
        }
        if let [first, rest @ ..] = winner.commands.as_slice() {
            let _ = writeln!(text, "  Try it:      {first}");
            for command in rest {
                let _ = writeln!(text, "               {command}");
            }
        }
    }

    fn figures(&self, choice: &Choice, units: Units) -> String {
        let mut parts = Vec::new();
        if self.pattern == Pattern::Rtt {
            parts.extend(choice.p50_ns.map(|ns| format!("median {}", units.time(ns))));
            parts.extend(choice.p99_ns.map(|ns| format!("p99 {}", units.time(ns))));
        } else {
            parts.extend(choice.msgs_per_s.map(|rate| format!("{} messages/s", units.rate(rate))));
            parts.extend(choice.bytes_per_s.map(|rate| units.bytes_rate(rate)));
        }
        parts.extend(choice.floor_ratio.map(|ratio| format!("{} the floor", units.ratio(ratio))));
        parts.extend(choice.cpu_ns_per_msg.map(|ns| format!("{} CPU/message", units.time(ns))));
        parts.extend(choice.spread.map(|spread| units.spread(spread)));
        parts.join(", ")
    }
}
