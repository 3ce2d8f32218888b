//! A process by descriptor: `pidfd_open(2)`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};
use twixt_sys::signal as sys;

use crate::signal::send::{queue_failed, refused};
use crate::signal::{Signal, Value, failed};
use crate::wait::Attempt;
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Object, Result, Wait};

/// A process that stays the same one, whatever becomes of its number.
///
/// The descriptor is readable once the process has ended, for `poll` and `epoll`.
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
/// use twixt_os::{Deadline, signal::{PidFd, Signal}};
/// let child = Command::new("sleep").arg("1000").spawn()?;
/// let process = PidFd::of_child(&child)?;
/// assert!(process.try_wait_exit().is_err());
/// process.send(Signal::KILL)?;
/// process.wait_exit_deadline(Deadline::after(Duration::from_secs(10)))?;
/// assert!(!process.reap()?.success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[doc(alias = "pidfd")]
pub struct PidFd {
    descriptor: OwnedFd,
    pid: Option<Pid>,
}

impl PidFd {
    /// Opens a process by its number. Close-on-exec.
    ///
    /// Between learning a number and opening it, the process may end and the number be given away: the parent, who has
    /// not waited for it yet, can be certain, others cannot.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): no such process. [`InvalidInput`](ErrorKind::InvalidInput): the number is
    /// that of a thread. [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_NOFILE`.
    #[doc(alias = "pidfd_open")]
    pub fn open(process: Pid) -> Result<Self> {
        let object = Object::Process(process.as_raw_nonzero().get());
        match pidfd_open(process, PidfdFlags::empty()) {
            Ok(descriptor) => Ok(Self { descriptor, pid: Some(process) }),
            // Kernels differ in how they say that the number is a thread's.
            Err(errno @ (Errno::INVAL | Errno::NOENT)) => Err(failed(OPEN, object, errno)
                .with_kind(ErrorKind::InvalidInput)
                .with_advice("only a process can be opened, by the number of its first thread")),
            Err(errno) => Err(failed(OPEN, object, errno).with_descriptor_limit()),
        }
    }

    /// Opens a child that was not waited for yet.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn of_child(child: &Child) -> Result<Self> {
        Self::open(Pid::from_child(child))
    }

    /// Takes over a pidfd, such as one received over a Unix socket.
    pub fn from_fd(descriptor: OwnedFd) -> Self {
        Self { descriptor, pid: None }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): it has ended and was waited for.
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): as for [`kill`](crate::signal::kill).
    /// [`InvalidInput`](ErrorKind::InvalidInput): the descriptor is no pidfd, or its process is not visible from this
    /// PID namespace.
    #[doc(alias = "pidfd_send_signal")]
    pub fn send(&self, signal: Signal) -> Result<()> {
        let sent = sys::pidfd_send(self.as_fd(), signal.as_raw());
        sent.map_err(|errno| refused("send", self.object(), errno))
    }

    /// Sends a signal with a value, as [`queue`](crate::signal::queue) does.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached): the receiver's `RLIMIT_SIGPENDING`. Otherwise as for
    /// [`send`](Self::send).
    #[doc(alias = "pidfd_send_signal")]
    pub fn queue(&self, signal: Signal, value: impl Into<Value>) -> Result<()> {
        let sent = sys::pidfd_queue(self.as_fd(), signal.as_raw(), value.into().as_usize());
        sent.map_err(|errno| queue_failed(self.pid, errno).with_object(self.object()))
    }

    /// Waits until the process has ended. It need not be a child.
    ///
    /// # Errors
    /// Those of `poll(2)`.
    pub fn wait_exit(&self) -> Result<()> {
        self.wait_exit_wait(Wait::forever())
    }

    /// Finds out whether the process has ended.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock): it has not.
    pub fn try_wait_exit(&self) -> Result<()> {
        self.wait_exit_wait(Wait::never())
    }

    /// Waits until the process has ended, but not past the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut): it has not ended.
    pub fn wait_exit_deadline(&self, deadline: Deadline) -> Result<()> {
        self.wait_exit_wait(Wait::until(deadline))
    }

    /// Waits until the process has ended, or a signal handler runs.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted): a handler ran.
    pub fn wait_exit_interruptible(&self) -> Result<()> {
        self.wait_exit_wait(Wait::forever().interruptible())
    }

    /// Waits until the process has ended, as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn wait_exit_wait(&self, wait: Wait) -> Result<()> {
        let ended = wait.poll(self.as_fd(), PollFlags::IN);
        ended.map_err(|errno| self.failed("wait for the end of the receiver of", errno))
    }

    /// Waits until a child has ended, and takes its status: it leaves no zombie.
    ///
    /// See `waitid(2)`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): it is no child of this process, or was waited for already.
    #[doc(alias = "waitid")]
    #[doc(alias = "waitpid")]
    pub fn reap(&self) -> Result<ExitStatus> {
        self.reap_wait(Wait::forever())
    }

    /// Takes the status of a child that has ended already.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock): it has not. Otherwise as for [`reap`](Self::reap).
    pub fn try_reap(&self) -> Result<ExitStatus> {
        self.reap_wait(Wait::never())
    }

    /// As [`reap`](Self::reap), but not past the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut): it has not ended. Otherwise as for [`reap`](Self::reap).
    pub fn reap_deadline(&self, deadline: Deadline) -> Result<ExitStatus> {
        self.reap_wait(Wait::until(deadline))
    }

    /// As [`reap`](Self::reap), until a signal handler runs, unless it was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted): a handler ran. Otherwise as for [`reap`](Self::reap).
    pub fn reap_interruptible(&self) -> Result<ExitStatus> {
        self.reap_wait(Wait::forever().interruptible())
    }

    /// As [`reap`](Self::reap), waiting as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn reap_wait(&self, wait: Wait) -> Result<ExitStatus> {
        let reap = |attempt| {
            let patience = match attempt {
                Attempt::Block => WaitIdOptions::empty(),
                Attempt::DontWait => WaitIdOptions::NOHANG,
            };
            waitid(WaitId::PidFd(self.as_fd()), WaitIdOptions::EXITED | patience)?.ok_or(Errno::AGAIN)
        };
        match wait.on_descriptor(self.as_fd(), PollFlags::IN, reap) {
            Ok(status) => Ok(exit_status(&status)),
            Err(Errno::CHILD) => {
                let why = "it is no child of this process, or was waited for already";
                let kind = ErrorKind::NotFound;
                Err(Error::refused(Mechanism::Signal, REAP, self.object(), kind, why))
            }
            Err(errno) => Err(self.failed(REAP, errno)),
        }
    }

    fn object(&self) -> Object {
        match self.pid {
            Some(pid) => Object::Process(pid.as_raw_nonzero().get()),
            None => Object::descriptor(self.as_fd()),
        }
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> Error {
        failed(operation, self.object(), errno)
    }
}

const OPEN: &str = "open a process, to send a";
const REAP: &str = "take the status of the receiver of";

/// The status as `wait(2)` encodes it.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    let signal = status.terminating_signal().map(|signal| signal | if status.dumped() { 0x80 } else { 0 });
    ExitStatus::from_raw(code.or(signal).unwrap_or(0))
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl From<PidFd> for OwnedFd {
    fn from(process: PidFd) -> Self {
        process.descriptor
    }
}

impl From<OwnedFd> for PidFd {
    fn from(descriptor: OwnedFd) -> Self {
        Self::from_fd(descriptor)
    }
}
