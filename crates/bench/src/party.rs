//! One of the processes that talk.
//!
//! The conductor starts a program with [`PLAY`] and a [`Setup`] as its arguments, and the program calls [`play`]. The two
//! speak JSON, a line each, over the party's standard streams:
//!
//! | the party says | when | then waits for |
//! |---|---|---|
//! | `"prepared"` | it has made what others open | `"connect"` |
//! | `"connected"` | it has opened what others made | `{"run": {"warm_up": N, "count": N}}` |
//! | `{"done": ...}` | its part of the run has ended | `"stop"`, to send the end of the run once more; or the end |
//! | `{"failed": ...}` | something went wrong | the end |
//!
//! A party in another language speaks the same.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::workload::{consume, ping, pong, produce, stop};
use crate::{Ends, Failure, Outcome, Pattern, Registry, Result, Role, Setup, Transport};

/// The first argument of a program that is to play a party.
pub const PLAY: &str = "bench-party";

/// What the conductor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cue {
    Connect,
    Run { warm_up: u64, count: u64 },
    Stop,
}

/// What a party says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Event {
    Prepared,
    Connected,
    Done(Box<Outcome>),
    Failed { what: String, kind: Kind },
}

/// A failure's kind, across processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Unsupported,
    Wrong,
    Failed,
}

/// Plays the party that `setup` describes, as the conductor has written it.
pub fn play(registry: &Registry, setup: &str) -> ExitCode {
    let outcome = serde_json::from_str::<Setup>(setup)
        .map_err(Failure::failed)
        .and_then(|setup| registry.find(&setup.transport)?.play(&setup));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, first.
fn complain(failure: &Failure) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    let kind = match failure {
        Failure::Unsupported(_) => Kind::Unsupported,
        Failure::Wrong(_) => Kind::Wrong,
        _ => Kind::Failed,
    };
    let what = match failure {
        Failure::Unsupported(what) | Failure::Wrong(what) => what.clone(),
        other => other.to_string(),
    };
    let _ = say(&Event::Failed { what, kind });
}

/// Plays a party over one transport, whatever its name: for an [`Entry`](crate::Entry) that has a type for each size.
///
/// # Errors
/// What went wrong.
pub fn play_over<T: Transport>(setup: &Setup) -> Result<()> {
    if let Some(cpu) = setup.cpu {
        let mut set = rustix::thread::CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set).map_err(io::Error::from)?;
    }
    let transport = T::prepare(setup)?;
    say(&Event::Prepared)?;
    if hear()? != Some(Cue::Connect) {
        return Ok(());
    }
    let mut ends = transport.connect()?;
    say(&Event::Connected)?;
    let Some(Cue::Run { warm_up, count }) = hear()? else { return Ok(()) };
    // Said before anything is closed: that this end is gone is what the other one will say next.
    let outcome = run::<T>(setup, &mut ends, warm_up, count).inspect_err(complain)?;
    say(&Event::Done(Box::new(outcome)))?;
    while hear()? == Some(Cue::Stop) {
        if let (Some(sender), Role::Publisher(_)) = (&mut ends.sender, setup.role) {
            stop(&setup.workload, sender)?;
        }
    }
    Ok(())
}

pub(crate) fn run<T: Transport>(
    setup: &Setup,
    ends: &mut Ends<T::Sender, T::Receiver>,
    warm_up: u64,
    count: u64,
) -> Result<Outcome> {
    let none = || Failure::failed("the transport has no such end for this party");
    if setup.workload.pattern == Pattern::Rtt {
        let sender = ends.sender.as_mut().ok_or_else(none)?;
        let receiver = ends.receiver.as_mut().ok_or_else(none)?;
        return match setup.role {
            Role::Publisher(_) => ping(setup, sender, receiver, warm_up, count),
            Role::Subscriber(_) => pong(setup, sender, receiver, warm_up, count),
        };
    }
    match setup.role {
        Role::Publisher(_) => produce(setup, ends.sender.as_mut().ok_or_else(none)?, warm_up, count),
        Role::Subscriber(_) => {
            consume(setup, ends.receiver.as_mut().ok_or_else(none)?, warm_up, count, T::is_lossy(setup))
        }
    }
}

fn say(event: &Event) -> Result<()> {
    let mut line = serde_json::to_vec(event).map_err(Failure::failed)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    Ok(stdout.flush()?)
}

/// What the conductor says next; `None` once it has no more to say.
fn hear() -> Result<Option<Cue>> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&line).map(Some).map_err(Failure::failed)
}
