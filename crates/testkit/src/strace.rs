//! Counting the system calls of a child process.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Missing, Spawn, command, scratch};

/// How often a child made each system call, by name, from its start to its end.
///
/// Run the same role with n and with 2n messages: what the second run has more is what n messages cost.
///
/// # Errors
/// strace is missing, or may not trace here.
pub fn calls(child: Spawn) -> Result<BTreeMap<String, u64>, Missing> {
    command("strace")?;
    let directory = scratch();
    let log = directory.path().join("strace");
    let log_name = log.to_str().expect("a plain path").to_owned();
    let mut child = child.under(&["strace", "-f", "-qq", "-o", &log_name]).spawn();
    child.close_stdin();
    let status = child.wait();
    let text = fs::read_to_string(&log).unwrap_or_default();
    if text.is_empty() {
        return Err(Missing("permission to trace a process (ptrace)".into()));
    }
    assert!(status.success(), "the traced child ended with {status}");
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = call_name(line) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    Ok(calls)
}

/// What to run a child [under](Spawn::under) so that each such system call of it begins this much later.
///
/// # Errors
/// strace is missing, or may not trace here.
pub fn delaying(call: &str, delay: Duration) -> Result<Vec<String>, Missing> {
    command("strace")?;
    let words = [
        "strace".to_owned(),
        "-fqqq".to_owned(),
        format!("--trace={call}"),
        "--output=/dev/null".to_owned(),
        format!("--inject={call}:delay_enter={}", delay.as_micros()),
    ];
    let probe = Command::new(&words[0]).args(&words[1..]).arg("true").stderr(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) {
        return Ok(words.to_vec());
    }
    Err(Missing("permission to trace a process (ptrace)".into()))
}

/// How many rounds [`cost`] counts.
pub const ROUNDS: u64 = 100;

/// How many calls more of each kind a role makes for 200 rounds than for 100; `role` makes the child that plays so many.
/// One call in ten rounds is noise: what is so near to a whole number a round is that number.
///
/// # Errors
/// Those of [`calls`].
pub fn cost(role: impl Fn(u64) -> Spawn) -> Result<BTreeMap<String, u64>, Missing> {
    Ok(difference(&calls(role(ROUNDS))?, calls(role(2 * ROUNDS))?))
}

/// [`cost`] of counts that were made otherwise: of [`ROUNDS`] rounds, and of twice as many.
pub fn difference(once: &BTreeMap<String, u64>, mut more: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for (call, count) in &mut more {
        *count = count.saturating_sub(once.get(call).copied().unwrap_or_default());
    }
    // The life of a process and of its threads is not the same twice: a few calls come and go, of these kinds as of others.
    more.retain(|_, count| {
        let nearest = (*count + ROUNDS / 2) / ROUNDS * ROUNDS;
        if count.abs_diff(nearest) <= ROUNDS / 10 {
            *count = nearest;
        }
        *count > 0
    });
    more
}

/// What [`cost`] is to be: so many of each call in all rounds together, and none of another kind.
pub fn expected(calls: &[(&str, u64)]) -> BTreeMap<String, u64> {
    calls.iter().map(|(call, count)| ((*call).to_owned(), *count)).collect()
}

/// The call that a line of the log begins: `1234  read(3, ...`. A resumed call was counted where it began.
fn call_name(line: &str) -> Option<&str> {
    let rest = line.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
    let name = &rest[..rest.find('(')?];
    name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_').then_some(name)
}
