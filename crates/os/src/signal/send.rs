//! Sending signals: to a process, a thread, a group, everyone; with and without a value.

use core::fmt;
use std::fs;
use std::process::Child;

use rustix::process::Pid;
use twixt_sys::signal as sys;

use crate::signal::{Signal, Value, failed};
use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object, Result};

/// Whom [`kill`] signals.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// One process.
    Process(Pid),
    /// Every process of a group, by the group's number (that of the process which leads it).
    Group(Pid),
    /// Every process of the caller's own group, the caller included.
    OwnGroup,
}

impl Target {
    /// From the number that `kill(2)` takes: above 0 a process, 0 the caller's group, below -1 a group.
    ///
    /// -1, which means everyone, is not a target: that is [`broadcast`].
    pub fn from_raw(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::OwnGroup),
            -1 => None,
            1.. => Pid::from_raw(number).map(Self::Process),
            ..-1 => number.checked_neg().and_then(Pid::from_raw).map(Self::Group),
        }
    }

    /// The number that `kill(2)` takes. -1 for the group 1, which cannot be told from everyone.
    pub fn as_raw(self) -> i32 {
        match self {
            Self::Process(pid) => pid.as_raw_nonzero().get(),
            Self::Group(pid) => -pid.as_raw_nonzero().get(),
            Self::OwnGroup => 0,
        }
    }

    fn object(self) -> Object {
        match self {
            Self::OwnGroup => Object::name("to the process group"),
            Self::Process(_) | Self::Group(_) => Object::Process(self.as_raw()),
        }
    }
}

impl From<Pid> for Target {
    fn from(process: Pid) -> Self {
        Self::Process(process)
    }
}

impl From<&Child> for Target {
    fn from(child: &Child) -> Self {
        Self::Process(Pid::from_child(child))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "Process({})", pid.as_raw_nonzero()),
            Self::Group(pid) => write!(f, "Group({})", pid.as_raw_nonzero()),
            Self::OwnGroup => f.write_str("OwnGroup"),
        }
    }
}

/// Whether a process or group is there, as [`probe`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There, and the caller may signal it. A process that has ended but was not waited for yet is still there.
    Reachable,
    /// There, and the caller may not signal it.
    Forbidden,
    /// Not there.
    Absent,
}

/// The calling process.
#[doc(alias = "getpid")]
pub fn this_process() -> Pid {
    rustix::process::getpid()
}

/// The calling thread, by the kernel's number for it.
#[doc(alias = "gettid")]
pub fn this_thread() -> Pid {
    rustix::thread::gettid()
}

/// `kill(2)`: sends a signal to a process or to every process of a group.
///
/// A process number may be given to another process once its owner is gone and was waited for;
/// a [`PidFd`](crate::signal::PidFd) has no such doubt.
///
/// Real-time signals that are sent this way are queued too, but where the receiver's `RLIMIT_SIGPENDING` is reached
/// the kernel merges them silently; [`queue`] reports that.
///
/// ```
/// use twixt_os::signal::{self, Action, Counter, Signal};
/// let counter = Counter::new();
/// let _handled = Action::count(&counter).install(Signal::USR2)?;
/// signal::kill(signal::this_process(), Signal::USR2)?;
/// # while !counter.is_set() {}
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound): no such process or group. [`PermissionDenied`](ErrorKind::PermissionDenied):
/// neither the caller's real nor its effective user id is the receiver's real or saved one, and it has no `CAP_KILL`
/// (SIGCONT needs none of that within the session); for a group, it may signal none of its processes. [`InvalidInput`](ErrorKind::InvalidInput): the group 1.
#[doc(alias = "killpg")]
pub fn kill(target: impl Into<Target>, signal: Signal) -> Result<()> {
    let target = target.into();
    send(target, signal.as_raw(), "send")
}

/// `kill(2)` with signal 0: whether there is such a process or group, and whether the caller may signal it.
///
/// ```
/// use twixt_os::signal::{self, Presence, Target};
/// assert_eq!(signal::probe(signal::this_process())?, Presence::Reachable);
/// assert_eq!(signal::probe(Target::from_raw(i32::MAX).unwrap())?, Presence::Absent);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput): the group 1.
pub fn probe(target: impl Into<Target>) -> Result<Presence> {
    match send(target.into(), 0, "probe with") {
        Ok(()) => Ok(Presence::Reachable),
        Err(error) if error.errno() == Some(Errno::PERM) => Ok(Presence::Forbidden),
        Err(error) if error.errno() == Some(Errno::SRCH) => Ok(Presence::Absent),
        Err(error) => Err(error),
    }
}

fn send(target: Target, signal: i32, operation: &'static str) -> Result<()> {
    if target == Target::Group(Pid::INIT) {
        let why = "the group 1 has no number for kill(2): -1 means every process";
        let object = target.object();
        return Err(Error::refused(Mechanism::Signal, operation, object, ErrorKind::InvalidInput, why));
    }
    sys::kill(target.as_raw(), signal).map_err(|errno| refused(operation, target.object(), errno))
}

/// `kill(2)` with -1: sends a signal to **every process** that the caller may signal, except itself and process 1.
///
/// As root that is the whole machine (or container). It has a function of its own, so that no number gone wrong ends
/// up here.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound): there is no such process. [`PermissionDenied`](ErrorKind::PermissionDenied): the
/// caller may signal none of them.
pub fn broadcast(signal: Signal) -> Result<()> {
    sys::kill(-1, signal.as_raw()).map_err(|errno| refused("send", Object::name("to every process"), errno))
}

/// `raise(3)`: sends a signal to the calling thread. Unless it is blocked, it is dealt with before the call returns.
///
/// # Errors
/// [`LimitReached`](ErrorKind::LimitReached): a blocked real-time signal, and as many signals of this user are pending
/// as `RLIMIT_SIGPENDING` allows.
pub fn raise(signal: Signal) -> Result<()> {
    kill_thread(this_process(), this_thread(), signal)
}

/// `tgkill(2)`: sends a signal to one thread of a process. Who ends or stops by it is the whole process.
///
/// # Errors
/// As for [`kill`] and, for real-time signals, [`queue`].
#[doc(alias = "tgkill")]
#[doc(alias = "pthread_kill")]
pub fn kill_thread(process: Pid, thread: Pid, signal: Signal) -> Result<()> {
    let (id, thread) = (process.as_raw_nonzero().get(), thread.as_raw_nonzero().get());
    sys::tgkill(id, thread, signal.as_raw()).map_err(|errno| queue_failed(Some(process), errno))
}

/// `sigqueue(3)`: sends a signal with a value.
///
/// Real-time signals are kept one by one, in order, each with its value. A standard signal is merged with one of its
/// kind that is pending already, and its value lost: use [`Signal::RTMIN`] and up.
///
/// ```
/// use twixt_os::signal::{self, Signal, SignalSet};
/// let set = SignalSet::from(Signal::RTMIN);
/// let _blocked = set.block()?;
/// signal::queue(signal::this_process(), Signal::RTMIN, 7)?;
/// signal::queue(signal::this_process(), Signal::RTMIN, usize::MAX)?;
/// # std::thread::yield_now();
/// assert_eq!(set.wait()?.value().unwrap().as_i32(), 7);
/// assert_eq!(set.wait()?.value().unwrap().as_usize(), usize::MAX);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// [`LimitReached`](ErrorKind::LimitReached): as many signals are pending for the *receiver's* user as the receiver's
/// `RLIMIT_SIGPENDING` allows (`EAGAIN`); nothing was sent. Otherwise as for [`kill`].
#[doc(alias = "sigqueue")]
#[doc(alias = "rt_sigqueueinfo")]
pub fn queue(process: Pid, signal: Signal, value: impl Into<Value>) -> Result<()> {
    let (id, value) = (process.as_raw_nonzero().get(), value.into());
    sys::queue(id, signal.as_raw(), value.as_usize()).map_err(|errno| queue_failed(Some(process), errno))
}

/// `pthread_sigqueue(3)`: as [`queue`], to one thread of a process.
///
/// # Errors
/// As for [`queue`].
#[doc(alias = "pthread_sigqueue")]
#[doc(alias = "rt_tgsigqueueinfo")]
pub fn queue_to_thread(process: Pid, thread: Pid, signal: Signal, value: impl Into<Value>) -> Result<()> {
    let (id, thread) = (process.as_raw_nonzero().get(), thread.as_raw_nonzero().get());
    let (signal, value) = (signal.as_raw(), value.into().as_usize());
    sys::queue_to_thread(id, thread, signal, value).map_err(|errno| queue_failed(Some(process), errno))
}

/// Why sending failed.
pub(super) fn refused(operation: &'static str, to: Object, errno: Errno) -> Error {
    let error = failed(operation, to, errno);
    match errno {
        Errno::PERM => error.with_advice("the sender must be the receiver's user or have CAP_KILL"),
        _ => error,
    }
}

/// Why queueing failed: to a process, or to one that is known by a descriptor only.
pub(super) fn queue_failed(process: Option<Pid>, errno: Errno) -> Error {
    let object = process.map_or(Object::Unnamed, |process| Target::from(process).object());
    let error = refused("send", object, errno);
    if errno != Errno::AGAIN {
        return error;
    }
    error
        .with_kind(ErrorKind::LimitReached)
        .with_limit(Limit {
            name: "RLIMIT_SIGPENDING",
            current: process.and_then(pending_limit),
            needed: None,
        })
        .with_advice("let the receiver take some, or raise its limit with `prlimit --sigpending`")
}

/// The soft limit that counts: the receiver's, not the sender's.
fn pending_limit(process: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.as_raw_nonzero())).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max pending signals"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
