//! `twixt`: use, see and learn every way two processes can talk on Linux.
//!
//! The binary is thin: it reads flags, calls the libraries, and prints what they say as tables or JSON.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod applies;
mod args;
mod base64;
mod channel;
mod command;
mod confirm;
mod exit;
mod framing;
mod interrupt;
mod keep;
mod output;
mod pace;
mod progress;
mod stop;
mod streams;
mod undelivered;

fn main() -> ExitCode {
    // The tour's own way to start this program again; no user's command line.
    if let Some(exit) = command::tour::party() {
        return exit;
    }
    // A benchmark's likewise.
    if let Some(exit) = command::bench::party() {
        return exit;
    }
    // The way in which `with` starts its guard.
    if let Some(exit) = command::with::guard() {
        return exit;
    }
    let arguments = args::Arguments::parse();
    match streams::check(&arguments.command).and_then(|()| command::run(arguments.command)) {
        Ok(exit) => exit.into(),
        Err(error) if output::is_broken_pipe(&error) => exit::Exit::Success.into(),
        Err(error) => {
            let _ = output::complain(&error);
            exit::Exit::of(&error).into()
        }
    }
}
