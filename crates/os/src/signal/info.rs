//! What comes with a signal: who sent it, why, and with which value.

use core::fmt;
use std::time::Duration;

use rustix::process::Pid;
use twixt_sys::signal::RECORD;

use crate::signal::Signal;

/// A signal that was taken, and all that the kernel tells about it: `siginfo_t`.
///
/// ```
/// use twixt_os::signal::{Cause, Signal, SignalSet, queue_to_thread, this_process, this_thread};
/// let set = SignalSet::from(Signal::RTMIN);
/// let _blocked = set.block()?;
/// queue_to_thread(this_process(), this_thread(), Signal::RTMIN, 42)?;
/// let info = set.wait()?;
/// assert_eq!(info.pid(), Some(this_process()));
/// assert_eq!(info.value().unwrap().as_i32(), 42);
/// assert!(matches!(info.cause(), Cause::Queue { .. }));
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "siginfo_t")]
pub struct Info {
    signal: Signal,
    errno: i32,
    code: i32,
    cause: Cause,
}

impl Info {
    /// The signal.
    #[doc(alias = "si_signo")]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Where it came from.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The raw `si_code`: `SI_USER` is 0, `SI_QUEUE` -1, and so on; see `sigaction(2)`.
    #[doc(alias = "si_code")]
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The raw `si_errno`, which Linux leaves 0 mostly.
    #[doc(alias = "si_errno")]
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The sender, where a process sent it and it can be seen from this process's PID namespace; for a signal about a
    /// child, the child.
    #[doc(alias = "si_pid")]
    pub fn pid(&self) -> Option<Pid> {
        match self.cause {
            Cause::User { sender } | Cause::Thread { sender } => sender.pid,
            Cause::Queue { sender, .. } | Cause::MessageQueue { sender, .. } => sender.pid,
            Cause::Child { child, .. } => child.pid,
            _ => None,
        }
    }

    /// The sender's (or the child's) real user id.
    #[doc(alias = "si_uid")]
    pub fn uid(&self) -> Option<u32> {
        match self.cause {
            Cause::User { sender } | Cause::Thread { sender } => Some(sender.uid),
            Cause::Queue { sender, .. } | Cause::MessageQueue { sender, .. } => Some(sender.uid),
            Cause::Child { child, .. } => Some(child.uid),
            _ => None,
        }
    }

    /// The value that came along, if it was queued with one.
    #[doc(alias = "si_value")]
    pub fn value(&self) -> Option<Value> {
        match self.cause {
            Cause::Queue { value, .. } | Cause::Timer { value, .. } => Some(value),
            Cause::MessageQueue { value, .. } | Cause::AsyncIo { value } => Some(value),
            _ => None,
        }
    }

    /// From the head of a `siginfo_t`.
    pub(super) fn from_record(record: &[u8; RECORD]) -> Option<Self> {
        let long = |at| u64::from_ne_bytes(field(record, at));
        let word = |at| i32::from_ne_bytes(field(record, at));
        Self::new(
            word(0),
            word(4),
            word(8),
            &Fields {
                pid: word(16),
                uid: word(20).cast_unsigned(),
                value: Value(long(24) as usize),
                timer: word(16),
                overrun: word(20),
                status: word(24),
                user_ticks: long(32),
                system_ticks: long(40),
                address: long(16),
                band: long(16),
                descriptor: word(24),
                system_call: word(24),
            },
        )
    }

    /// From a `signalfd_siginfo`.
    pub(super) fn from_signalfd(record: &[u8; 128]) -> Option<Self> {
        let long = |at| u64::from_ne_bytes(field(record, at));
        let word = |at| i32::from_ne_bytes(field(record, at));
        Self::new(
            word(0),
            word(4),
            word(8),
            &Fields {
                pid: word(12),
                uid: word(16).cast_unsigned(),
                value: Value(long(48) as usize),
                timer: word(24),
                overrun: word(32),
                status: word(40),
                user_ticks: long(56),
                system_ticks: long(64),
                address: long(72),
                band: word(28).cast_unsigned().into(),
                descriptor: word(20),
                system_call: word(84),
            },
        )
    }

    fn new(signal: i32, errno: i32, code: i32, fields: &Fields) -> Option<Self> {
        let signal = Signal::new(signal)?;
        Some(Self { signal, errno, code, cause: Cause::of(signal, code, fields) })
    }
}

/// Where a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// `SI_USER`: `kill(2)`. The kernel vouches for the sender.
    User {
        /// The process that sent it.
        sender: Sender,
    },
    /// `SI_TKILL`: `tgkill(2)`, `raise(3)`. The kernel vouches for the sender.
    Thread {
        /// The process that sent it.
        sender: Sender,
    },
    /// `SI_QUEUE`: `sigqueue(3)`. The sender is what the sending program *says* it is; the C library and this one say
    /// the truth, but a program may fill in anything.
    Queue {
        /// The process that sent it, by its own account.
        sender: Sender,
        /// The value.
        value: Value,
    },
    /// `SI_TIMER`: a POSIX timer went off.
    Timer {
        /// The kernel's number for the timer.
        id: i32,
        /// How often it went off again before this signal was taken.
        overrun: i32,
        /// The value that the timer was made with.
        value: Value,
    },
    /// `SI_MESGQ`: a message came to an empty POSIX message queue.
    MessageQueue {
        /// The process that sent the message.
        sender: Sender,
        /// The value that was registered.
        value: Value,
    },
    /// `SI_ASYNCIO`: a POSIX asynchronous read or write is done.
    AsyncIo {
        /// The value that was registered.
        value: Value,
    },
    /// `SI_KERNEL`: the kernel itself, such as for Ctrl-C and `alarm(2)`.
    Kernel,
    /// SIGCHLD: what became of a child.
    Child {
        /// The child.
        child: Sender,
        /// What happened.
        event: ChildEvent,
        /// Its processor time in user mode so far.
        user_time: Duration,
        /// The kernel's processor time for it so far.
        system_time: Duration,
    },
    /// SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP from an instruction; `code` says how.
    Fault {
        /// The address that was used, or of the instruction.
        address: u64,
    },
    /// SIGIO, or the signal chosen with `F_SETSIG`: a descriptor is ready.
    Poll {
        /// The events, as `poll(2)` gives them.
        band: u64,
        /// The descriptor.
        descriptor: i32,
    },
    /// SIGSYS: a system call that seccomp caught.
    SystemCall {
        /// The number of the call.
        number: i32,
    },
    /// Something newer than this library.
    Other,
}

/// The process behind a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its number; none if it is outside this process's PID namespace.
    pub pid: Option<Pid>,
    /// Its real user id.
    pub uid: u32,
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildEvent {
    /// `CLD_EXITED`: it ended with this status.
    Exited(i32),
    /// `CLD_KILLED`: a signal ended it.
    Killed(Signal),
    /// `CLD_DUMPED`: a signal ended it, and a core file was left.
    Dumped(Signal),
    /// `CLD_TRAPPED`: it is traced, and a signal stopped it.
    Trapped(Signal),
    /// `CLD_STOPPED`: a signal stopped it.
    Stopped(Signal),
    /// `CLD_CONTINUED`: SIGCONT made it go on.
    Continued,
    /// A code or signal that is not known here, with its status.
    Other(i32),
}

/// What a queued signal carries: a number of the size of a pointer, or, as C programs mostly use it, an `int`.
///
/// An `int` and a pointer share their bytes, and nothing tells which one the sender meant: the programs agree on it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[doc(alias = "sigval")]
#[doc(alias = "sival_int")]
#[doc(alias = "sival_ptr")]
pub struct Value(usize);

impl Value {
    /// The value as `sival_int`: the first four bytes.
    pub fn as_i32(self) -> i32 {
        i32::from_ne_bytes(field(&self.0.to_ne_bytes(), 0))
    }

    /// The value as the number of `sival_ptr`.
    pub fn as_usize(self) -> usize {
        self.0
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        let mut bytes = [0; size_of::<usize>()];
        bytes[..4].copy_from_slice(&value.to_ne_bytes());
        Self(usize::from_ne_bytes(bytes))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} or {:#x})", self.as_i32(), self.0)
    }
}

/// All fields that either form of record may have; those that the cause does not have hold something else's bytes.
struct Fields {
    pid: i32,
    uid: u32,
    value: Value,
    timer: i32,
    overrun: i32,
    status: i32,
    user_ticks: u64,
    system_ticks: u64,
    address: u64,
    band: u64,
    descriptor: i32,
    system_call: i32,
}

impl Cause {
    fn of(signal: Signal, code: i32, fields: &Fields) -> Self {
        let sender = fields.sender();
        let value = fields.value;
        match (code, signal) {
            (0, _) => Self::User { sender },
            (-1, _) => Self::Queue { sender, value },
            (-2, _) => Self::Timer { id: fields.timer, overrun: fields.overrun, value },
            (-3, _) => Self::MessageQueue { sender, value },
            (-4, _) => Self::AsyncIo { value },
            (-6, _) => Self::Thread { sender },
            (0x80, _) => Self::Kernel,
            (1.., Signal::CHLD) => Self::Child {
                child: sender,
                event: ChildEvent::of(code, fields.status),
                user_time: ticks(fields.user_ticks),
                system_time: ticks(fields.system_ticks),
            },
            (1.., Signal::SEGV | Signal::BUS | Signal::ILL | Signal::FPE | Signal::TRAP) => {
                Self::Fault { address: fields.address }
            }
            (1, Signal::SYS) => Self::SystemCall { number: fields.system_call },
            (-5 | 1..=6, _) => Self::Poll { band: fields.band, descriptor: fields.descriptor },
            _ => Self::Other,
        }
    }
}

impl Fields {
    /// A sender can claim any number, so a negative one is taken for none.
    fn sender(&self) -> Sender {
        Sender { pid: if self.pid > 0 { Pid::from_raw(self.pid) } else { None }, uid: self.uid }
    }
}

impl ChildEvent {
    fn of(code: i32, status: i32) -> Self {
        match (code, Signal::new(status)) {
            (1, _) => Self::Exited(status),
            (2, Some(signal)) => Self::Killed(signal),
            (3, Some(signal)) => Self::Dumped(signal),
            (4, Some(signal)) => Self::Trapped(signal),
            (5, Some(signal)) => Self::Stopped(signal),
            (6, _) => Self::Continued,
            _ => Self::Other(status),
        }
    }
}

/// Processor time in the unit of `times(2)`.
fn ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let rest = ticks % per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(rest * 1_000_000_000 / per_second)
}

/// `N` bytes at an offset that is known to lie within the record.
fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&record[at..at + N]);
    bytes
}
