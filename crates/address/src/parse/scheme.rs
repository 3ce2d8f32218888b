//! The scheme, and what was meant if it is none.

use super::Part;
use crate::error::{Fault, shown};
use crate::percent::mended;
use crate::{Scheme, ValueError};

/// A correct address for errors that know of nothing nearer.
const ANY: &str = "fifo:/run/jobs";
const BEGINS: &str = "an address begins with a scheme and a colon";

/// The scheme and what follows its colon.
pub(super) fn split(head: Part<'_>) -> Result<(&'static Scheme, Part<'_>), Fault> {
    if let "-" = head.text
        && let Some(scheme) = Scheme::of("-")
    {
        return Ok((scheme, head.end()));
    }
    let Some((name, rest)) = head.split_once(':') else {
        return Err(missing(head));
    };
    match Scheme::of(name.text).filter(|scheme| scheme.name != "-") {
        Some(scheme) => Ok((scheme, rest)),
        None => Err(unknown(head, name)),
    }
}

fn missing(head: Part<'_>) -> Fault {
    let text = head.text;
    if text.is_empty() {
        return ValueError::new("the address is empty", BEGINS).at(head.span(), ANY);
    }
    if let Some(scheme) = Scheme::of(text) {
        let error = ValueError::new(format!("scheme {text} has no colon after it"), BEGINS);
        return error.at(head.end().span(), scheme.example);
    }
    if text.contains('/') {
        return path(head);
    }
    if let Some(scheme) = meant(text) {
        return wrong(head, scheme);
    }
    ValueError::new(format!("{} has no scheme", shown(text)), BEGINS)
        .at(head.span(), ANY)
        .like(format!("queue:{text}"))
}

/// `name` is not a scheme, though a colon follows it.
pub(super) fn unknown(head: Part<'_>, name: Part<'_>) -> Fault {
    match name.text {
        "" => return ValueError::new("the scheme is missing", BEGINS).at(name.span(), ANY),
        "-" => {
            let error = ValueError::new(
                "a colon follows -",
                "standard input and output are - alone, or - and options",
            );
            return error.at(head.span(), "-");
        }
        text if text.contains('/') => return path(head),
        _ => (),
    }
    if let Some(scheme) = meant(name.text) {
        return wrong(name, scheme);
    }
    let after = &head.text[name.text.len() + 1..];
    if !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = format!("{} has no scheme", shown(head.text));
        let error = ValueError::new(why, "a host and a port follow tcp: or udp:");
        return error.at(head.span(), "tcp:localhost:7000").like(format!("tcp:{}", head.text));
    }
    let schemes: Vec<_> = Scheme::ALL.iter().map(Scheme::shown).collect();
    let right = format!("the schemes are {}", schemes.join(" "));
    ValueError::new(format!("scheme {} is unknown", shown(name.text)), right).at(name.span(), ANY)
}

fn path(head: Part<'_>) -> Fault {
    let why = format!("{} has no scheme", shown(head.text));
    ValueError::new(why, "a path follows one of fifo: file: mmap: lock: unix:")
        .at(head.span(), ANY)
        .like(format!("fifo:{}", mended(head.text)))
}

fn wrong(name: Part<'_>, scheme: &Scheme) -> Fault {
    let why = format!("scheme {} is unknown", shown(name.text));
    ValueError::new(why, format!("did you mean {}", scheme.shown())).at(name.span(), scheme.example)
}

/// What other programs call these things, where spelling would not lead there.
const SYNONYMS: [(&str, &str); 24] = [
    ("abstract", "unix"),
    ("cmd", "exec"),
    ("command", "exec"),
    ("dgram", "unix-dgram"),
    ("flock", "lock"),
    ("http", "tcp"),
    ("https", "tcp"),
    ("icmp", "raw"),
    ("kill", "signal"),
    ("mkfifo", "fifo"),
    ("mq", "posix-mq"),
    ("mqueue", "posix-mq"),
    ("msg", "sysv-msg"),
    ("popen", "exec"),
    ("sem", "posix-sem"),
    ("seqpacket", "unix-seqpacket"),
    ("shm", "posix-shm"),
    ("socket", "unix"),
    ("stdin", "-"),
    ("stdio", "-"),
    ("stdout", "-"),
    ("stream", "unix"),
    ("uds", "unix"),
    ("unix-stream", "unix"),
];

fn meant(name: &str) -> Option<&'static Scheme> {
    let lower = name.to_ascii_lowercase();
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == lower).map(|&(_, name)| name);
    let names = Scheme::ALL.iter().map(|scheme| scheme.name).filter(|&name| name != "-");
    Scheme::of(synonym.or_else(|| nearest(&lower, names))?)
}

/// The candidate that most resembles `word`: fewer than half of its letters, and at most two, differ.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // No candidate is longer than 14 bytes, and comparing takes time with the product of the lengths.
    if word.len() > 20 {
        return None;
    }
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 2 && distance * 2 < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, taken away, replaced or exchanged with their neighbour (optimal string
/// alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut current = vec![row; to.len() + 1];
        for column in 1..=to.len() {
            let differs = usize::from(from[row - 1] != to[column - 1]);
            current[column] =
                (above[column] + 1).min(current[column - 1] + 1).min(above[column - 1] + differs);
            if row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1] {
                current[column] = current[column].min(before[column - 2] + 1);
            }
        }
        before = above;
        above = current;
    }
    above[to.len()]
}
