//! Counts the system calls of parties, by being their tracer.
//!
//! A traced process stops at every call, which makes it slow: what is counted is not timed. What a thread does while it
//! spins depends on how long it has to, so that a count tells something only of those that block.

use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use twixt_sys::Errno;
use twixt_sys::trace::{self, Event};

use crate::{Failure, Result};

/// A traced child. Waiting for it is its tracer's business: nobody else may use the `Child` but for its streams.
pub(crate) struct Traced {
    pub(crate) child: Child,
    /// What it can be killed by and its end be seen, without any race about its number.
    pub(crate) pidfd: OwnedFd,
}

/// The thread that traces. It ends when the processes have ended that it has started.
pub(crate) struct Tracer(JoinHandle<Result<u64, Errno>>);

impl Tracer {
    /// Starts all of them.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] where nothing can be traced.
    pub(crate) fn start(commands: Vec<Command>) -> Result<(Self, Vec<Traced>)> {
        let (started, heard) = channel();
        let thread =
            thread::Builder::new().name("bench-tracer".into()).spawn(move || run(commands, &started))?;
        match heard.recv() {
            Ok(traced) => Ok((Self(thread), traced?)),
            Err(_) => Err(Failure::failed("the tracer has ended")),
        }
    }

    /// How many calls were made. The processes have been told to end, or killed.
    pub(crate) fn count(self) -> Result<u64> {
        let count = self.0.join().map_err(|_| Failure::failed("the tracer has failed"))?;
        count.map_err(|errno| Failure::Failed(format!("cannot trace: {errno}")))
    }
}

fn run(commands: Vec<Command>, started: &Sender<Result<Vec<Traced>>>) -> Result<u64, Errno> {
    let mut traced: Vec<Traced> = Vec::new();
    for mut command in commands {
        trace::trace_child(&mut command);
        match spawn(&mut command) {
            Ok(one) => traced.push(one),
            Err(failure) => {
                // They stand still yet, and die with this thread if they cannot be killed.
                for one in &mut traced {
                    let _ = one.child.kill();
                    let _ = one.child.wait();
                }
                let _ = started.send(Err(failure));
                return Ok(0);
            }
        }
    }
    let mut left: Vec<u32> = traced.iter().map(|one| one.child.id()).collect();
    // Who does not hear this has gone, and drops them.
    let _ = started.send(Ok(traced));
    let (mut known, mut calls) = (Vec::new(), 0);
    while !left.is_empty() {
        let (thread, event) = match trace::wait() {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let is_new = event != Event::Ended && !known.contains(&thread);
        let signal = match event {
            Event::Ended => {
                known.retain(|&one| one != thread);
                left.retain(|&one| one != thread.unsigned_abs());
                continue;
            }
            // The stop with which each begins.
            _ if is_new => {
                known.push(thread);
                ignore_dead(trace::follow(thread))?;
                0
            }
            Event::Signal(signal) => signal,
            Event::Call => {
                calls += u64::from(match trace::is_entering(thread) {
                    Err(Errno::SRCH) => false,
                    other => other?,
                });
                0
            }
            Event::Other => 0,
        };
        ignore_dead(trace::resume(thread, signal))?;
    }
    Ok(calls)
}

fn spawn(command: &mut Command) -> Result<Traced> {
    let mut child =
        command.spawn().map_err(|error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => {
                Failure::Unsupported(format!("processes cannot be traced here (ptrace: {error})"))
            }
            _ => error.into(),
        })?;
    match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Traced { child, pidfd }),
        Err(errno) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(Failure::Unsupported(format!("processes cannot be traced here (pidfd_open: {errno})")))
        }
    }
}

/// A traced thread may be killed at any time, between any two of our calls.
fn ignore_dead(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}
