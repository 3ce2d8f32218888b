//! The subcommands, a file each.

use crate::args::Command;
use crate::exit::Exit;

mod generate;
mod make;
mod remove;
mod signal;
pub mod tour;

/// Does what the command line asks for.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Tour(arguments) => tour::run(&arguments),
        Command::Mk(arguments) => make::run(&arguments),
        Command::Rm(arguments) => remove::run(&arguments),
        Command::Signal(arguments) => signal::run(arguments.command),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::manual(&directory),
    }
}
