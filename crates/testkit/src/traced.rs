//! A child process that is executed instruction by instruction, and killed at any of them.
//!
//! The role marks where it gets interesting with [`Peer::mark`], and where it ends to be:
//!
//! ```no_run
//! # let test = twixt_testkit::Test::named("x");
//! test.role("victim", |peer| {
//!     peer.mark();
//!     // What must survive being killed anywhere.
//!     peer.mark();
//! });
//! let mut victim = test.child("victim").traced().unwrap();
//! for _ in 0..1000 {
//!     if victim.step() == twixt_testkit::Step::Marked {
//!         break;
//!     }
//! }
//! victim.kill();
//! ```

use std::process::Stdio;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use twixt_sys::signal::send_to_thread;
use twixt_sys::spawn::die_with_parent;
use twixt_sys::trace::{self, Event};

use crate::{Missing, Peer, Spawn};

/// What a child does at a mark: nobody else sends it.
const MARK: i32 = 10;
const TRAP: i32 = 5;

/// A traced child, which stands at a mark or behind some instructions. Killed when dropped.
///
/// Everything is done by the thread that started it; it can have one at a time, and no other children.
#[derive(Debug)]
pub struct Traced {
    process: i32,
    thread: i32,
    /// The processors of the thread that traces, while it is kept to one of them.
    processors: Option<CpuSet>,
    is_over: bool,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An instruction was executed.
    Done,
    /// It has come to a mark.
    Marked,
}

impl Peer {
    /// In a child that is traced: stops it here.
    pub fn mark(&self) {
        send_to_thread(rustix::thread::gettid(), MARK).expect("a signal to itself");
    }
}

impl Spawn {
    /// Starts it and lets it run to its first mark.
    ///
    /// # Errors
    /// Tracing is forbidden here.
    pub fn traced(self) -> Result<Traced, Missing> {
        let missing = || Missing("permission to trace a process (ptrace)".into());
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        die_with_parent(&mut command);
        trace::trace_child(&mut command);
        let child = match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Err(missing()),
            spawned => spawned.unwrap_or_else(|error| panic!("{self:?}: {error}")),
        };
        let process = child.id().cast_signed();
        let mut traced = Traced { process, thread: process, processors: None, is_over: false };
        // It has stopped at its first instruction.
        assert_eq!(traced.wait_for(process), Event::Signal(TRAP));
        trace::follow(process).map_err(|_| missing())?;
        trace::resume(process, 0).map_err(|_| missing())?;
        traced.run_to_mark();
        Ok(traced)
    }
}

impl Traced {
    /// Executes one instruction.
    ///
    /// From the first one on, the child's thread is kept to one processor: to which this thread is kept, too, until the child
    /// ends. Two that wait for each other at each instruction would wake each other's processor each time, which takes ten
    /// times as long.
    pub fn step(&mut self) -> Step {
        self.share_a_processor();
        trace::step(self.thread, 0).expect("a stopped thread");
        loop {
            match self.wait_for(self.thread) {
                Event::Signal(TRAP) => return Step::Done,
                Event::Signal(MARK) => return Step::Marked,
                Event::Signal(signal) => trace::step(self.thread, signal).expect("a stopped thread"),
                Event::Call | Event::Other => trace::step(self.thread, 0).expect("a stopped thread"),
                Event::Ended => panic!("the child ended between two marks"),
            }
        }
    }

    fn share_a_processor(&mut self) {
        if self.processors.is_some() {
            return;
        }
        let Ok(all) = sched_getaffinity(None) else { return };
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        // Where it is not allowed, all of it takes longer, and that is all.
        let _ = sched_setaffinity(None, &one);
        let _ = sched_setaffinity(Pid::from_raw(self.thread), &one);
        self.processors = Some(all);
    }

    /// Lets it run until it enters or leaves a system call.
    pub fn run_to_call(&mut self) -> Step {
        let mut signal = 0;
        loop {
            trace::resume(self.thread, signal).expect("a stopped thread");
            signal = match self.wait_for(self.thread) {
                Event::Call => return Step::Done,
                Event::Signal(MARK) => return Step::Marked,
                Event::Signal(signal) => signal,
                Event::Other => 0,
                Event::Ended => panic!("the child ended between two marks"),
            };
        }
    }

    /// Lets it run to the next mark.
    pub fn run_to_mark(&mut self) {
        loop {
            let (thread, event) = trace::wait().expect("a child that runs");
            let signal = match event {
                Event::Signal(MARK) => {
                    self.thread = thread;
                    return;
                }
                // Of a thread that begins.
                Event::Signal(libc::SIGSTOP) => 0,
                Event::Signal(signal) => signal,
                Event::Call | Event::Other => 0,
                Event::Ended if thread == self.process => panic!("the child ended before its mark"),
                Event::Ended => continue,
            };
            // It may have been killed meanwhile.
            let _ = trace::resume(thread, signal);
        }
    }

    /// Kills it where it stands, and waits until nothing of it is left.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        if let Some(process) = Pid::from_raw(self.process) {
            let _ = kill_process(process, Signal::KILL);
        }
        while trace::wait().is_ok_and(|(thread, event)| (thread, event) != (self.process, Event::Ended)) {}
        if let Some(all) = self.processors.take() {
            let _ = sched_setaffinity(None, &all);
        }
    }

    /// What becomes of a thread; the others go on meanwhile.
    fn wait_for(&self, wanted: i32) -> Event {
        loop {
            match trace::wait() {
                Ok((thread, event)) if thread == wanted => return event,
                Ok((_, Event::Ended)) | Err(Errno::INTR) => {}
                Ok((thread, event)) => {
                    let signal = match event {
                        Event::Signal(libc::SIGSTOP) => 0,
                        Event::Signal(signal) => signal,
                        _ => 0,
                    };
                    let _ = trace::resume(thread, signal);
                }
                Err(errno) => panic!("waiting for a traced child: {errno}"),
            }
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.end();
    }
}
