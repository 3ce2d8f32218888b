//! A process, and not another that gets its number later.

use core::fmt;
use core::str::FromStr;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::process::Pid;
use twixt_os::signal::PidFd;
use twixt_os::unix::Credentials;
use twixt_os::{Error, ErrorKind, Object, Result};

use super::refused;

/// A process's number, and when it was started, in the clock ticks of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) pid: i32,
    started: u64,
}

/// A process that is there, or was when it was looked at.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) identity: Identity,
    /// Readable once it has ended. None if it had when it was looked at.
    pidfd: Option<PidFd>,
    pub(super) credentials: Credentials,
}

impl Party {
    /// Looks at a process.
    pub(super) fn of(pid: i32, object: &dyn Fn() -> Object) -> Result<Self> {
        let gone = || refused(object(), ErrorKind::NotFound, "there is no such process");
        let Some(number) = Pid::from_raw(pid.max(0)) else {
            return Err(refused(object(), ErrorKind::InvalidInput, "the id of a process is a number from 1"));
        };
        let pidfd = PidFd::open(number).map_err(|error| match error.kind() {
            // Of a thread that is not its process's first, some kernels say the one, some the other.
            ErrorKind::NotFound | ErrorKind::InvalidInput => gone(),
            _ => retold(&error, object()),
        })?;
        let unreadable = || {
            let why = "/proc does not tell about it";
            refused(object(), ErrorKind::Unsupported, why)
        };
        let identity = Identity::of(pid);
        let credentials = credentials(pid, number);
        if has_ended(&pidfd) {
            return Err(gone());
        }
        // It lived until after both were read, so both are its own.
        let identity = identity.ok_or_else(unreadable)?;
        let credentials = credentials.ok_or_else(unreadable)?;
        Ok(Self { identity, pidfd: Some(pidfd), credentials })
    }

    /// This process.
    pub(super) fn own(object: &dyn Fn() -> Object) -> Result<Self> {
        Self::of(rustix::process::getpid().as_raw_nonzero().get(), object)
    }

    /// One that has ended and left something in the directory of this user.
    pub(super) fn departed(identity: Identity, owner: Credentials) -> Self {
        let credentials = Credentials { pid: Pid::from_raw(identity.pid), ..owner };
        Self { identity, pidfd: None, credentials }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.pidfd.as_ref().is_none_or(has_ended)
    }

    /// What is readable once it has ended; none if it had before.
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }
}

fn has_ended(pidfd: &PidFd) -> bool {
    pidfd.try_wait_exit().is_ok()
}

impl Identity {
    /// The process of this number, if there is one that `/proc` tells about.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything. The time of starting is field 22; the first one after the name is 3.
        let (_, fields) = stat.rsplit_once(')')?;
        let started = fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Whether it is certain that this process has ended.
    pub(super) fn is_gone(self) -> bool {
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

/// The effective ids. (The owner of `/proc/PID` is another thing: it is root where a process must not be looked into.)
fn credentials(pid: i32, number: Pid) -> Option<Credentials> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let effective = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Some(Credentials { pid: Some(number), uid: effective("Uid:")?, gid: effective("Gid:")? })
}

/// What the kernel said, about what the user asked for.
fn retold(error: &Error, object: Object) -> Error {
    match error.errno() {
        Some(errno) => Error::kernel(twixt_os::Mechanism::Direct, super::OPEN, object, errno),
        None => refused(object, error.kind(), "its process cannot be looked at"),
    }
}
