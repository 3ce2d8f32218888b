//! A process, and not another that gets its number later.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::process::Pid;
use twixt_os::signal::PidFd;
use twixt_os::unix::Credentials;
use twixt_os::{Error, ErrorKind, Object, Result};

use super::refused;
use crate::process::{Identity, has_ended};

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
