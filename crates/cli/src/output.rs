//! Printing that survives a closed pipe, and errors that read as one sentence.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What could not be done here.
pub const PALE: Style = AnsiColor::Yellow.on_default();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Headings.
pub const HEADING: Style = Style::new().bold();

/// Prints one line to standard output; colours only where the user can see them.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(anstream::stdout(), "{text}").map_err(unwritable)
}

/// Prints one JSON object on a line of its own.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, value).map_err(io::Error::from).map_err(unwritable)?;
    stdout.write_all(b"\n").map_err(unwritable)
}

/// Prints bytes as they are.
pub fn raw(bytes: &[u8]) -> io::Result<()> {
    io::stdout().write_all(bytes).map_err(unwritable)
}

/// Says what could not be written to; the kind stays, so that a closed pipe is still told from a full disk.
fn unwritable(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}

/// Says something to the user that is not the result.
pub fn note(text: &str) -> io::Result<()> {
    writeln!(anstream::stderr(), "{text}")
}

/// Prints an error with what led to it.
pub fn complain(error: &anyhow::Error) -> io::Result<()> {
    writeln!(anstream::stderr(), "{BAD}twixt:{BAD:#} {error:#}")
}

/// Whether the reader of our output has gone, which is its right.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

/// The beginning of a message, as it can be shown.
pub fn beginning(message: &[u8]) -> String {
    const SHOWN: usize = 32;
    let shown = &message[..message.len().min(SHOWN)];
    let text = match str::from_utf8(shown) {
        Ok(text) => text.escape_debug().to_string(),
        // Cut within a character.
        Err(error) if error.error_len().is_none() && message.len() > SHOWN => {
            String::from_utf8_lossy(&shown[..error.valid_up_to()]).escape_debug().to_string()
        }
        Err(_) => shown.escape_ascii().to_string(),
    };
    let more = if message.len() > SHOWN { "…" } else { "" };
    format!("\"{text}{more}\"")
}
