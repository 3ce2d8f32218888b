//! The subcommands, a file each.

use crate::args::Command;
use crate::exit::Exit;

pub mod bench;
mod call;
mod generate;
mod make;
mod recv;
mod relay;
mod remove;
mod send;
mod serve;
mod signal;
mod stat;
pub mod tour;
pub mod with;
mod work;

/// Does what the command line asks for.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Send(arguments) => send::run(&arguments),
        Command::Recv(arguments) => recv::run(&arguments),
        Command::Relay(arguments) => relay::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Call(arguments) => call::run(&arguments),
        Command::With(arguments) => with::run(&arguments),
        Command::Work(arguments) => work::run(&arguments),
        Command::Stat(arguments) => stat::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tour(arguments) => tour::run(&arguments),
        Command::Mk(arguments) => make::run(&arguments),
        Command::Rm(arguments) => remove::run(&arguments),
        Command::Signal(arguments) => signal::run(arguments.command),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::manual(&directory),
    }
}
