//! Which process it is, and not another that gets its number later.

use core::fmt;
use core::str::FromStr;
use std::fs;

use rustix::process::Pid;
use twixt_os::ErrorKind;
use twixt_os::signal::PidFd;

/// A process's number, and when it was started, in the clock ticks of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    pub(crate) started: u64,
}

/// Whether a process has ended, also when nobody has taken note of it yet.
pub(crate) fn has_ended(pidfd: &PidFd) -> bool {
    pidfd.try_wait_exit().is_ok()
}

impl Identity {
    /// The process of this number, if there is one that `/proc` tells about.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything. The time of starting is field 22; the first one after the name is 3.
        let (_, fields) = stat.rsplit_once(')')?;
        let started = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Whether it is certain that this process has ended.
    pub(crate) fn is_gone(self) -> bool {
        match Self::of(self.pid) {
            Some(present) => present != self || is_zombie(self.pid),
            // /proc may hide what is there.
            None => Pid::from_raw(self.pid)
                .is_none_or(|pid| PidFd::open(pid).is_err_and(|error| error.kind() == ErrorKind::NotFound)),
        }
    }
}

/// Whether it has ended and only waits for its parent to take note.
fn is_zombie(pid: i32) -> bool {
    let state = Pid::from_raw(pid).and_then(|pid| PidFd::open(pid).ok());
    state.is_some_and(|pidfd| has_ended(&pidfd))
}

/// `1234.567`
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pid, self.started)
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> core::result::Result<Self, ()> {
        let (pid, started) = text.split_once('.').ok_or(())?;
        let identity = Self { pid: pid.parse().map_err(drop)?, started: started.parse().map_err(drop)? };
        // One way to write it only.
        if identity.pid > 0 && identity.to_string() == text { Ok(identity) } else { Err(()) }
    }
}
