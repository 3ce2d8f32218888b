//! `twixt`: use, see and learn every way two processes can talk on Linux.
//!
//! The binary is thin: it reads flags, calls the libraries, and prints what they say as tables or JSON.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod command;
mod confirm;
mod exit;
mod output;
mod stop;

fn main() -> ExitCode {
    // The tour's own way to start this program again; no user's command line.
    if let Some(exit) = command::tour::party() {
        return exit;
    }
    let arguments = args::Arguments::parse();
    match command::run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(error) if output::is_broken_pipe(&error) => exit::Exit::Success.into(),
        Err(error) => {
            let _ = output::complain(&error);
            exit::Exit::of(&error).into()
        }
    }
}
