//! `twixt serve`.
//!
//! One thread takes what comes, once there is a place for it; each command has a thread that waits for its end.

use std::thread::Scope;
use std::time::Duration;

use anyhow::anyhow;
use rustix::event::{PollFd, PollFlags, poll};
use twixt::os::{Deadline, ErrorKind, Wait, timespec};

use crate::args::Serve;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::output;

mod crew;
mod door;
mod message;
mod source;
mod talk;

use crew::{Crew, Place};
use source::{Source, Work};

/// Serves until it is told to end.
pub fn run(arguments: &Serve) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::new()?;
    let crew = Crew::new(&arguments.command);
    if let Err(status) = crew.check() {
        let name = arguments.command.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        let why = if status == 127 { "there is no such program" } else { "it cannot be executed" };
        output::complain(&anyhow!("cannot run {name}: {why}"))?;
        return Ok(Exit::Command(status));
    }
    let mut sources = source::open(arguments)?;
    let connects = sources.iter().all(Source::is_of_connections);
    let most = arguments.max.unwrap_or(if connects { 100 } else { 1 });
    let crew = crew.of(most);
    let names: Vec<String> = sources.iter().map(Source::name).collect();
    tell(&format!("serving {}", names.join(", ")));
    if crew.most() < most as usize {
        tell(&format!(
            "no more than {} at once, for which there are descriptors: see `ulimit -n`",
            crew.most()
        ));
    }
    std::thread::scope(|scope| {
        let taken = take_all(&mut sources, scope, &crew, &interrupt);
        // Nobody is to come any more, and conversations end between two messages.
        drop(sources);
        if crew.finish(&interrupt) {
            return taken.map(|()| Exit::Success);
        }
        if let Err(error) = taken {
            let _ = output::complain(&error);
        }
        // Some may wait for others than commands, which nothing ends but the end of the process.
        std::process::exit(128 + i32::from(interrupt.signal().unwrap_or_default()))
    })
}

/// Takes what comes until there is a reason not to, or nothing more can come.
fn take_all<'scope>(
    sources: &mut Vec<Source>,
    scope: &'scope Scope<'scope, '_>,
    crew: &'scope Crew,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let mut number = 0;
    // What is there is taken only when there is somebody to deal with it.
    while let Some(place) = crew.place(interrupt) {
        let Some(work) = next(sources, number + 1, interrupt)? else { break };
        number += 1;
        start(scope, crew, place, work, number);
    }
    Ok(())
}

/// How long to do nothing after a fault that may be there for a while, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits for the next to come from any of the sources.
fn next(sources: &mut Vec<Source>, number: u64, interrupt: &Interrupt) -> anyhow::Result<Option<Work>> {
    while !sources.is_empty() && !interrupt.is_due() {
        let is_alone = sources.len() == 1;
        let wait = if is_alone { interrupt.wait(None) } else { Wait::never() };
        // Each is the first to be asked once in a while.
        sources.rotate_left(1);
        let mut ended = None;
        for (at, source) in sources.iter_mut().enumerate() {
            let error = match source.take(number, wait) {
                Ok(work) => return Ok(Some(work)),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                ErrorKind::PeerGone if source.goes_on() => {}
                ErrorKind::PeerGone => ended = Some(at),
                ErrorKind::Removed | ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                    return Err(error.into());
                }
                // One who talks nonsense does not end it for the others.
                ErrorKind::Malformed => tell(&error.to_string()),
                _ => {
                    tell(&error.to_string());
                    interrupt.sleep_until(Deadline::after(PAUSE));
                }
            }
        }
        if let Some(at) = ended {
            sources.remove(at);
        } else if !is_alone {
            let mut polled: Vec<PollFd<'_>> = sources
                .iter()
                .filter_map(Source::descriptor)
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
                .collect();
            // An interruption is looked at next.
            let patience = sources.iter().filter_map(Source::patience).min().map(timespec);
            let _ = poll(&mut polled, patience.as_ref());
        }
    }
    Ok(None)
}

/// Has a thread deal with it.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    crew: &'scope Crew,
    place: Place<'scope>,
    work: Work,
    number: u64,
) {
    let deal = move || {
        match work {
            Work::Connection(guest) => {
                if let Err(error) = connection(guest, number, crew) {
                    tell(&format!("connection {number}: {error}"));
                }
            }
            Work::Question(question) => question.answer(crew),
            Work::Message(request, answer) => request.serve(crew, &answer),
        }
        drop(place);
    };
    let thread = std::thread::Builder::new().name(format!("{number}"));
    if let Err(error) = thread.spawn_scoped(scope, deal) {
        tell(&format!("number {number} was taken and not served: {error}"));
    }
}

/// Runs the command with the connection as its standard input and output.
fn connection(guest: door::Guest, number: u64, crew: &Crew) -> Result<(), String> {
    crew.run_once_possible(move || {
        let (input, output) = (guest.connection.try_clone()?, guest.connection.try_clone()?);
        let command = crew.command().stdin(input).stdout(output);
        Ok(message::environment(command, number, guest.credentials, guest.source.as_deref()))
    })
}

/// Says something of the service, which goes on.
fn tell(text: &str) {
    let _ = output::note(&format!("twixt: {text}"));
}
