//! `twixt bench` with other people's libraries among the transports.
//!
//! Each is used as its documentation advises for speed, by the workloads of `twixt_bench`, in processes of their own.

use std::process::ExitCode;

use clap::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt::bench::command::{self, Arguments, Ended};
use twixt::bench::{Entry, Registry, party};
use twixt::os::signal::{Signal, SignalFd, SignalSet};

#[cfg(feature = "aeron")]
mod aeron;
#[cfg(feature = "boost")]
mod boost;
mod capacity;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
#[cfg(feature = "interprocess")]
mod interprocess;
#[cfg(feature = "ipc-channel")]
mod ipc_channel;
#[cfg(feature = "nng")]
mod nng;
#[cfg(feature = "python")]
mod python;
#[cfg(feature = "shaq")]
mod shaq;
#[cfg(feature = "zeromq")]
mod zeromq;

#[derive(Debug, Parser)]
#[command(name = "peers", about = "Measure other libraries beside twixt's transports and the floor", long_about = None)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> anyhow::Result<ExitCode> {
    #[cfg(feature = "aeron")]
    if let Some(ended) = aeron::drive() {
        return ended;
    }
    let registry = Registry::own().with(peers());
    let mut words = std::env::args().skip(1);
    if let (Some(party::PLAY), Some(setup)) = (words.next().as_deref(), words.next()) {
        return Ok(party::play(&registry, &setup));
    }
    let arguments = CommandLine::parse().arguments;
    // Held back rather than deadly: what was measured is shown, and what was made is removed.
    let signals: SignalSet = [Signal::INT, Signal::TERM, Signal::HUP].into_iter().collect();
    signals.block()?.keep();
    let stop = SignalFd::create(signals)?;
    let is_stopped = || {
        let polled = &mut [PollFd::new(&stop, PollFlags::IN)];
        matches!(poll(polled, Some(&Timespec::default())), Ok(1..))
    };
    let ended = command::run(&arguments, &registry, &is_stopped)?;
    Ok(match ended {
        Ended::Well => ExitCode::SUCCESS,
        Ended::WithFailures => ExitCode::from(1),
        Ended::Stopped => ExitCode::from(130),
    })
}

/// Those that were built in.
fn peers() -> Vec<Entry> {
    vec![
        #[cfg(feature = "iceoryx2")]
        iceoryx2::publish_subscribe(),
        #[cfg(feature = "iceoryx2")]
        iceoryx2::request_response(),
        #[cfg(feature = "shaq")]
        shaq::entry(),
        #[cfg(feature = "ipc-channel")]
        ipc_channel::entry(),
        #[cfg(feature = "interprocess")]
        interprocess::entry(),
        #[cfg(feature = "aeron")]
        aeron::entry(),
        #[cfg(feature = "zeromq")]
        zeromq::entry(),
        #[cfg(feature = "nng")]
        nng::entry(),
        #[cfg(feature = "nng")]
        nng::publish_subscribe(),
        #[cfg(feature = "boost")]
        boost::message_queue(),
        #[cfg(feature = "boost")]
        boost::spsc_queue(),
        #[cfg(feature = "python")]
        python::connection(),
        #[cfg(feature = "python")]
        python::shared_memory(),
    ]
}
