//! Printing that survives a closed pipe.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Prints one line, or several; colours only where the user can see them.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(anstream::stdout(), "{text}").map_err(unwritable)
}

/// Prints one JSON object on a line of its own, for whoever reads along.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
    line.push(b'\n');
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(unwritable)
}

/// Says something to the user that is not the result.
pub(super) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// The kind stays, so that a closed pipe is still told from a full disk.
fn unwritable(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}

/// Whether the user sees standard error change in place.
pub(super) fn has_progress() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|name| name != "dumb")
}

/// How many columns a table may have: the terminal's, or what the user says; no limit without either.
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    let terminal = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.filter(|&columns| columns > 0).or_else(said)
}

/// Whether the locale has letters that ASCII has not.
pub(super) fn is_utf8() -> bool {
    let said = |name: &&str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find(|name| said(name));
    let locale = locale.and_then(|name| std::env::var(name).ok()).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
