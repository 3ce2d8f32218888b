//! One safe, faithful module for every inter-process communication mechanism of Linux.
//!
//! The tree is the map: the module is named after the mechanism, and so are its test, its heading in
//! `docs/mechanisms.md` and its scheme in an endpoint address. What the manual page offers, the module offers,
//! under the field's names; the C name finds it in the search (`msgrcv`, `mq_notify`, `sigqueue`, ...).
//!
//! # Waiting
//!
//! Every call that can block comes in the same forms:
//!
//! | form | waits | gives up with |
//! |---|---|---|
//! | `receive` | until it is done | nothing: signals are waited out |
//! | `try_receive` | not at all | [`ErrorKind::WouldBlock`] |
//! | `receive_deadline` | until a point of the monotonic clock | [`ErrorKind::TimedOut`] |
//! | `receive_interruptible` | until it is done or a signal handler has run | [`ErrorKind::Interrupted`] |
//! | `receive_wait` | as the [`Wait`] says: any of the above, or a deadline that signals may cut short | either |
//!
//! Two names differ. Where the operation itself is called `wait`, the last form is `wait_with`
//! ([`SignalSet`](signal::SignalSet::wait_with), [`Job`](popen::Job::wait_with)). And a lock is turned into the other kind,
//! waiting as told, by `convert`, of which `upgrade_wait` is one half ([`Lock`](lock::Lock::convert),
//! [`RangeLock`](lock::RangeLock::convert)).
//!
//! A handler that was installed with `SA_RESTART` does not end the `_interruptible` form of calls that block in the kernel
//! and that the kernel restarts: reads and writes, sends and receives of sockets, locks, `waitid(2)`. See `signal(7)`.
//!
//! # Errors
//!
//! Every call fails with the same [`Error`]: what was tried, on what, what the kernel said, which limit was hit
//! with its current value, and what to do.
//!
//! # Defaults
//!
//! Descriptors are close-on-exec, new objects have mode 0600, symbolic links are not followed, and nothing is
//! removed when a value is dropped, unless a guard was asked to.

#![forbid(unsafe_code)]

mod deadline;
mod error;
mod file;
mod maker;
mod mode;
mod wait;

pub mod eventfd;
pub mod fifo;
pub mod inherit;
pub mod lock;
pub mod memfd;
pub mod mmap;
pub mod net;
pub mod pipe;
pub mod popen;
pub mod posix;
pub mod signal;
pub mod sysv;
pub mod unix;

pub use deadline::Deadline;
pub use error::{Error, ErrorKind, Limit, Mechanism, Object, Result};
#[doc(hidden)]
pub use file::making;
#[doc(hidden)]
pub use maker::Maker;
pub use mode::{Mode, NotAMode};
pub use rustix::io::Errno;
pub use twixt_sys::{Outcome, Prepared, Room};
pub use wait::Wait;
#[doc(hidden)]
pub use wait::timespec;
