//! `twixt completions` and `twixt man`: what can be made from the definition of the command line.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::Arguments;
use crate::exit::Exit;
use crate::output;

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "twixt", &mut script);
    output::raw(&script)?;
    Ok(Exit::Success)
}

/// Writes `twixt.1` and a page for each subcommand.
pub fn manual(directory: &Path) -> anyhow::Result<Exit> {
    clap_mangen::generate_to(Arguments::command(), directory)
        .with_context(|| format!("cannot write the manual pages into {}", directory.display()))?;
    Ok(Exit::Success)
}
