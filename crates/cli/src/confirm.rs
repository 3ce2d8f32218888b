//! Asking before something is destroyed.

use std::io::{self, BufRead, IsTerminal, Write};

/// Asks on the terminal. Without one there is nobody to ask, and the answer is an error that says what to do.
pub fn confirm(question: &str) -> anyhow::Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        anyhow::bail!("cannot ask {question:?}: standard input is no terminal; --yes answers");
    }
    let mut stderr = anstream::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}
