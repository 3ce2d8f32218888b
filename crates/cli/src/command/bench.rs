//! `twixt bench`.

use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt::bench::command::{self, Arguments, Ended};
use twixt::bench::{Registry, party};

use crate::exit::Exit;
use crate::stop::Stop;

/// Measures what was asked for.
pub fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let stop = Stop::new()?;
    let is_stopped = || {
        let polled = &mut [PollFd::new(&stop, PollFlags::IN)];
        matches!(poll(polled, Some(&Timespec::default())), Ok(1..))
    };
    Ok(match command::run(arguments, &Registry::own(), &is_stopped)? {
        Ended::Well => Exit::Success,
        Ended::WithFailures => Exit::Nothing,
        Ended::Stopped => Exit::Stopped(stop.signal()?),
    })
}

/// Plays a party of a benchmark, if another process conducts one and started this one for that.
pub fn party() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next()?.to_str()?, arguments.next()?.to_str()?, arguments.next()) {
        (party::PLAY, setup, None) => Some(party::play(&Registry::own(), setup)),
        _ => None,
    }
}
