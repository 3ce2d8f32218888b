//! Commands that run.

use std::process::ExitStatus;

use rustix::process::Signal;

use crate::maker::Maker;
use crate::popen::process::{Process, reap_abandoned};
use crate::{Deadline, Result, Wait};

/// The commands of a [`Pipeline`](crate::popen::Pipeline), or a single one, from their start to their end.
///
/// See [`popen`](crate::popen) for what becomes of them when this is dropped.
///
/// ```
/// use twixt_os::popen::Command;
///
/// let mut job = (Command::shell("exit 3") | Command::shell("exit 4")).run()?;
/// assert_eq!(job.wait()?.code(), Some(4));
/// let codes: Vec<_> = job.statuses().map(|status| status.and_then(|status| status.code())).collect();
/// assert_eq!(codes, [Some(3), Some(4)]);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Job {
    processes: Vec<Process>,
    kill_on_drop: bool,
    /// A forked child that drops its copy must not touch commands that are not its children.
    maker: Maker,
}

impl Job {
    pub(super) fn new(kill_on_drop: bool) -> Self {
        Self { processes: Vec::with_capacity(1), kill_on_drop, maker: Maker::this() }
    }

    pub(super) fn add(&mut self, process: Process) {
        self.processes.push(process);
    }

    pub(super) fn set_kill_on_drop(&mut self, kill_on_drop: bool) {
        self.kill_on_drop = kill_on_drop;
    }

    pub(super) fn last(&self) -> Option<&Process> {
        self.processes.last()
    }

    /// Waits for all commands to end. Returns the status of the last, as the shell does; [`statuses`](Self::statuses)
    /// has the others. Once they have ended, it returns the same again.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the status is lost, since this process ignores SIGCHLD or waited
    /// for the command elsewhere.
    #[doc(alias = "pclose")]
    #[doc(alias = "waitid")]
    #[doc(alias = "waitpid")]
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.wait_with(Wait::forever())
    }

    /// The status of the last command, if all have ended.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if one is still running; those of [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<ExitStatus> {
        self.wait_with(Wait::never())
    }

    /// Waits for all commands to end, until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut): some are still running, and can be waited for again or killed;
    /// those of [`wait`](Self::wait).
    pub fn wait_deadline(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        self.wait_with(Wait::until(deadline))
    }

    /// Waits for all commands to end or a signal handler to run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted); those of [`wait`](Self::wait).
    pub fn wait_interruptible(&mut self) -> Result<ExitStatus> {
        self.wait_with(Wait::forever().interruptible())
    }

    /// Waits for all commands to end, as told.
    ///
    /// # Errors
    /// Those of the wait and of [`wait`](Self::wait).
    pub fn wait_with(&mut self, wait: Wait) -> Result<ExitStatus> {
        reap_abandoned();
        // One that fails does not keep the others from being reaped.
        let mut outcome = Ok(ExitStatus::default());
        for process in &mut self.processes {
            match process.wait(wait) {
                Ok(status) if outcome.is_ok() => outcome = Ok(status),
                Ok(_) => {}
                Err(error) if outcome.is_ok() => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
    }

    /// The status of each command, in their order; `None` for those that were not waited for yet.
    pub fn statuses(&self) -> impl ExactSizeIterator<Item = Option<ExitStatus>> + '_ {
        self.processes.iter().map(Process::status)
    }

    /// The process id of each command, in their order. It is good for showing; a command that was waited for no
    /// longer has it.
    pub fn pids(&self) -> impl ExactSizeIterator<Item = i32> + '_ {
        self.processes.iter().map(Process::pid)
    }

    /// Kills all commands with SIGKILL; they are yet to be waited for. What a shell has started lives on.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a command has become another user.
    pub fn kill(&mut self) -> Result<()> {
        // One that cannot be killed does not spare the others.
        let mut outcome = Ok(());
        for process in self.processes.iter().filter(|process| process.status().is_none()) {
            outcome = outcome.and(process.signal(Signal::KILL));
        }
        outcome
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        let killed = self.kill_on_drop && self.kill().is_ok();
        for mut process in self.processes.drain(..) {
            if process.status().is_some() {
                continue;
            }
            if killed {
                // Ends at once, having been killed.
                let _ = process.wait(Wait::forever());
            } else {
                process.abandon();
            }
        }
        reap_abandoned();
    }
}
