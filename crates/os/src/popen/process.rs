//! One started command, and those that were abandoned.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};

use rustix::event::PollFlags;
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal,
    waitid,
};

use crate::popen::Command;
use crate::signal::SignalSet;
use crate::wait::Attempt;
use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object, Result, Wait};

/// A child process that runs a command.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// Means this process for ever, where the pid means another one once this is reaped.
    pidfd: OwnedFd,
    object: Object,
    status: Option<ExitStatus>,
}

const START: &str = "start";
const WAIT: &str = "wait for";

impl Process {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        reap_abandoned();
        // Only where there is something to undo: a plain spawn is cheaper.
        if !SignalSet::blocked().unwrap_or(SignalSet::ALL).is_empty() {
            twixt_sys::spawn::unblock_signals(&mut command.inner);
        }
        let child = command.inner.spawn().map_err(|error| explain_start(&command.object, &error))?;
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd, object: command.object, status: None }),
            Err(errno) => {
                // Without it the command could not be waited for safely.
                let mut child = child;
                let _ = child.kill();
                let _ = child.wait();
                Err(explain_start(&command.object, &errno.into()))
            }
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            // It has ended: there is nothing left to tell it.
            Err(Errno::SRCH) => Ok(()),
            sent => sent.map_err(|errno| self.error("signal", errno)),
        }
    }

    pub(super) fn wait(&mut self, wait: Wait) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = wait
            .on_descriptor(self.pidfd.as_fd(), PollFlags::IN, |attempt| {
                let patience = match attempt {
                    Attempt::Block => WaitIdOptions::empty(),
                    Attempt::DontWait => WaitIdOptions::NOHANG,
                };
                let ended = WaitIdOptions::EXITED | patience;
                waitid(WaitId::PidFd(self.pidfd.as_fd()), ended)?.ok_or(Errno::AGAIN)
            })
            .map_err(|errno| self.explain_wait(errno))?;
        let status = exit_status(&status);
        self.status = Some(status);
        Ok(status)
    }

    /// Lets it run on, to be reaped later.
    pub(super) fn abandon(mut self) {
        if matches!(self.wait(Wait::never()), Err(error) if error.kind() == ErrorKind::WouldBlock) {
            abandoned().push(self.pidfd);
        }
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(Mechanism::Popen, operation, self.object.clone(), errno)
    }

    fn explain_wait(&self, errno: Errno) -> Error {
        let error = self.error(WAIT, errno);
        match errno {
            Errno::CHILD => error.with_kind(ErrorKind::NotFound).with_advice(
                "its status is lost: SIGCHLD is ignored in this process, or something else has waited for it",
            ),
            _ => error,
        }
    }
}

fn explain_start(object: &Object, error: &io::Error) -> Error {
    let Some(raw) = error.raw_os_error() else {
        // The standard library refuses a NUL in the name, an argument or the environment.
        let why = "the program, an argument or the environment contains a NUL byte";
        return Error::refused(Mechanism::Popen, START, object.clone(), ErrorKind::InvalidInput, why);
    };
    let errno = Errno::from_raw_os_error(raw);
    let error = Error::kernel(Mechanism::Popen, START, object.clone(), errno);
    match errno {
        // What fork(2) says when the user has too many processes.
        Errno::AGAIN => error
            .with_kind(ErrorKind::LimitReached)
            .with_limit(Limit::rlimit("RLIMIT_NPROC", Resource::Nproc)),
        Errno::NOEXEC => error
            .with_kind(ErrorKind::InvalidInput)
            .with_advice("a script begins with #! and the path of its interpreter"),
        _ => error.with_descriptor_limit(),
    }
}

/// The status of `waitid` in the form of `wait`, which the standard library takes.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    const CORE_DUMPED: i32 = 0x80;
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) if status.dumped() => signal | CORE_DUMPED,
        (None, signal) => signal.unwrap_or_default(),
    };
    ExitStatus::from_raw(raw)
}

/// Commands that nobody waits for. Known by descriptors, since a pid may come to mean another child.
static ABANDONED: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

fn abandoned() -> std::sync::MutexGuard<'static, Vec<OwnedFd>> {
    ABANDONED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps the abandoned commands that have ended since.
pub(super) fn reap_abandoned() {
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // An error means that it is no child of this process (any more).
    abandoned().retain(|pidfd| matches!(waitid(WaitId::PidFd(pidfd.as_fd()), ended), Ok(None)));
}
