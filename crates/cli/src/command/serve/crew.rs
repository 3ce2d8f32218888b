//! The commands that run, and their ends.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use rustix::process::{Resource, getrlimit};
use twixt::os::Errno;
use twixt::os::popen::{Command, Job};
use twixt::os::signal::{Pid, PidFd, Signal, Target, kill};

use crate::interrupt::Interrupt;

/// Runs the command, so many times at once and no more.
#[derive(Debug)]
pub struct Crew {
    words: Vec<OsString>,
    most: usize,
    state: Mutex<State>,
    /// Held by who starts one that needs several descriptors for it.
    starting: Mutex<()>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many places are taken.
    taken: usize,
    /// The process groups of the commands that run and were not reaped: their numbers mean no others.
    groups: HashMap<u64, Pid>,
    number: u64,
    /// Nothing is to be started any more, and what was started is killed.
    is_over: bool,
}

/// A place among those at work, given back when dropped.
#[derive(Debug)]
pub struct Place<'a>(&'a Crew);

/// How many descriptors one takes that runs: the connection until it is started, and then what tells of its end.
const EACH: usize = 2;
/// How many are needed beside them, to accept and to start.
const SPARE: usize = 10;

/// How often to look whether the user wants an end, while all places are taken.
const LOOK: Duration = Duration::from_millis(20);

impl Crew {
    pub fn new(words: &[OsString]) -> Self {
        Self {
            words: words.to_vec(),
            most: 1,
            state: Mutex::default(),
            starting: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// So many at once, or as many as there are descriptors for: who is let in must be served.
    pub fn of(self, most: u32) -> Self {
        let open = std::fs::read_dir("/proc/self/fd").map_or(SPARE, Iterator::count);
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(open + SPARE);
        let possible = (free / EACH).max(1);
        Self { most: usize::try_from(most).unwrap_or(usize::MAX).min(possible), ..self }
    }

    /// How many run at once at the most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether the command can be found and executed; otherwise what a shell would end with.
    pub fn check(&self) -> Result<(), u8> {
        let name = Path::new(self.words.first().map_or(OsStr::new(""), OsString::as_os_str));
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let candidates: Vec<_> = if name.components().count() > 1 || name.is_absolute() {
            vec![name.to_owned()]
        } else {
            std::env::split_paths(&paths).map(|directory| directory.join(name)).collect()
        };
        let mut status = 127;
        for candidate in candidates {
            match std::fs::metadata(&candidate) {
                Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => return Ok(()),
                Ok(_) => status = 126,
                Err(_) => {}
            }
        }
        Err(status)
    }

    /// Waits for a place; `None` if there is a reason to take nothing more.
    pub fn place(&self, interrupt: &Interrupt) -> Option<Place<'_>> {
        let mut state = self.state();
        loop {
            if interrupt.is_due() {
                return None;
            }
            if state.taken < self.most {
                state.taken += 1;
                return Some(Place(self));
            }
            (state, _) = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The command, about to be started.
    pub fn command(&self) -> Command {
        let name = self.words.first().map_or(OsStr::new(""), OsString::as_os_str);
        let mut command = Command::program(name).args(self.words.iter().skip(1));
        let inner = command.as_std_mut();
        // What the terminal sends is for us: the commands finish what they do.
        inner.process_group(0);
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"] {
            inner.env_remove(name);
        }
        command
    }

    /// Starts it and waits for its end. The error says how it failed.
    pub fn run(&self, command: Command) -> Result<(), String> {
        let started = self.start(command).map_err(|error| error.to_string())?;
        self.finished(started)
    }

    /// The same of one that can be made again. While descriptors or processes are short, it waits for others to end: who
    /// was let in is not turned away because there are many.
    pub fn run_once_possible(
        &self,
        mut make: impl FnMut() -> Result<Command, anyhow::Error>,
    ) -> Result<(), String> {
        let started = loop {
            // One after the other: to start takes more descriptors than to run.
            let one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
            let started = make().and_then(|command| self.start(command));
            drop(one);
            match started {
                Ok(started) => break started,
                Err(error) if is_short(&error) && self.waits_for_another() => {}
                Err(error) => return Err(format!("{error:#}")),
            }
        };
        // What it was made of is the command's alone from now on.
        drop(make);
        self.finished(started)
    }

    /// Waits a while for another command's end; `false` if there is none that could end, or no reason to wait.
    fn waits_for_another(&self) -> bool {
        let state = self.state();
        if state.groups.is_empty() || state.is_over {
            return false;
        }
        drop(self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner));
        true
    }

    fn finished(&self, (number, mut job): (u64, Job)) -> Result<(), String> {
        // It is not reaped yet when it is taken off the list: nobody kills a stranger that has its number.
        if let Some(end) = job.pids().next().and_then(Pid::from_raw).and_then(|pid| PidFd::open(pid).ok()) {
            let _ = end.wait_exit();
        }
        self.state().groups.remove(&number);
        let status = job.wait().map_err(|error| error.to_string())?;
        let what = self.words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(format!("{what} ended with status {code}")),
            (None, signal) => {
                let signal = signal.and_then(Signal::new).map_or("a signal", Signal::name);
                Err(format!("{what} was ended by {signal}"))
            }
        }
    }

    fn start(&self, command: Command) -> Result<(u64, Job), anyhow::Error> {
        let mut state = self.state();
        if state.is_over {
            bail!("the service ends");
        }
        let job = command.run()?;
        state.number += 1;
        let number = state.number;
        if let Some(pid) = job.pids().next().and_then(Pid::from_raw) {
            state.groups.insert(number, pid);
        }
        Ok((number, job))
    }

    /// Waits until all have ended; kills them if the user asks once more. Whether they ended by themselves.
    pub fn finish(&self, interrupt: &Interrupt) -> bool {
        let mut state = self.state();
        while state.taken > 0 {
            if interrupt.signals() > 1 && !state.is_over {
                state.is_over = true;
                for group in state.groups.values() {
                    let _ = kill(Target::Group(*group), Signal::KILL);
                }
                // Those who wait for something else than a command are not waited for.
                if state.groups.is_empty() {
                    return false;
                }
            }
            if state.is_over && state.groups.is_empty() {
                return false;
            }
            (state, _) = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state().taken -= 1;
        self.0.changed.notify_all();
    }
}

/// Whether something is lacking that others give back when they end.
fn is_short(error: &anyhow::Error) -> bool {
    let of_system = || error.downcast_ref::<std::io::Error>()?.raw_os_error().map(Errno::from_raw_os_error);
    let errno = error.downcast_ref::<twixt::os::Error>().map_or_else(of_system, twixt::os::Error::errno);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM))
}

/// Gives a command these descriptors as 3 and following.
pub fn passing(command: Command, descriptors: Vec<OwnedFd>) -> Result<Command, String> {
    if descriptors.is_empty() {
        return Ok(command);
    }
    command.pass_descriptors(descriptors.into_iter().zip(3..)).map_err(|error| error.to_string())
}
