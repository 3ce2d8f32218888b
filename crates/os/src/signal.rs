//! Signals: `signal(7)`.
//!
//! A signal is a number that one process, a timer or the kernel sends to a process. [`Signal`] knows them all. What
//! comes of it is the process's choice:
//!
//! | the program wants | here |
//! |---|---|
//! | to take signals when it is ready for them | [`SignalSet::block`], then [`SignalSet::wait`] |
//! | the same, in an event loop | [`SignalFd`] |
//! | to be interrupted, and count them or read their records later | [`Action`] with a [`Counter`] or a [`SelfPipe`] |
//! | to ignore them, or the default | [`Action::ignore`], [`Action::default_disposition`] |
//!
//! and it sends them with [`kill`], [`queue`], [`raise`], a [`PidFd`], or by [`Timer`], [`alarm`] and
//! [`set_interval_timer`].
//!
//! Standard signals say *that* something happened: several that are pending at once are one. **Real-time signals**
//! ([`Signal::RTMIN`] to [`Signal::RTMAX`]) are messages: each one is kept, with a [`Value`], lower numbers first and
//! those of one number in the order in which they were sent.
//!
//! ```
//! use twixt_os::signal::{self, Signal, SignalSet};
//!
//! let work = Signal::real_time(1).unwrap();
//! let set = SignalSet::from([work]);
//! // In main, before other threads are started, so that they block it too.
//! let _blocked = set.block()?;
//! # let (me, thread) = (signal::this_process(), signal::this_thread());
//! # signal::queue_to_thread(me, thread, work, 10)?;
//! # signal::queue_to_thread(me, thread, work, 20)?;
//! // Another process: signal::queue(pid, work, 10)?; signal::queue(pid, work, 20)?;
//! for expected in [10, 20] {
//!     let info = set.wait()?;
//!     println!("{} from {:?} with {:?}", info.signal(), info.pid(), info.value());
//!     assert_eq!(info.value().unwrap().as_i32(), expected);
//! }
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! # Limits
//!
//! `RLIMIT_SIGPENDING` of the receiver (`ulimit -i`) bounds how many signals may be pending for all processes of its
//! user; beyond it [`queue`] fails with [`LimitReached`](crate::ErrorKind::LimitReached).

mod action;
mod info;
mod interval;
mod mask;
mod number;
mod pidfd;
mod receive;
mod self_pipe;
mod send;
mod set;
mod signalfd;
mod stream;
mod timer;

pub use action::{Action, Counter, Disposition, Installed};
pub use info::{Cause, ChildEvent, Info, Sender, Value};
pub use interval::{alarm, interval_timer, set_interval_timer};
pub use mask::MaskGuard;
pub use number::{DefaultAction, NotASignal, Signal};
pub use pidfd::PidFd;
pub use rustix::process::Pid;
pub use self_pipe::SelfPipe;
pub use send::{
    Presence, Target, broadcast, kill, kill_thread, probe, queue, queue_to_thread, raise, this_process,
    this_thread,
};
pub use set::SignalSet;
pub use signalfd::SignalFd;
pub use timer::{Notify, Timer};
pub use twixt_sys::signal::{ActionFlags, Clock, IntervalTimer, TimerSetting};

use twixt_sys::signal::{INFO, RECORD};

use crate::{Errno, Error, ErrorKind, Mechanism, Object};

/// An error of the kernel.
fn failed(operation: &'static str, object: Object, errno: Errno) -> Error {
    Error::kernel(Mechanism::Signal, operation, object, errno)
}

/// A record that is none: the descriptor is something else.
fn malformed(operation: &'static str, object: Object) -> Error {
    let why = "what was read is not the record of a signal";
    Error::refused(Mechanism::Signal, operation, object, ErrorKind::Malformed, why)
}

/// A descriptor that could not be made.
fn no_descriptor(operation: &'static str, errno: Errno) -> Error {
    failed(operation, Object::Unnamed, errno).with_descriptor_limit()
}

/// The part of a `siginfo_t` that has a meaning.
fn head(info: &[u8; INFO]) -> &[u8; RECORD] {
    info.first_chunk().unwrap_or(&[0; RECORD])
}
