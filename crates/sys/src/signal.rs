//! Signals, their masks, queues and timers: `signal(7)`.
//!
//! A signal handler may do next to nothing safely, so arbitrary handlers are not offered: [`install`] takes one of
//! the few [`Reaction`]s that are written here, once, and are async-signal-safe by construction.

mod blocked;
mod disposition;
mod handler;
mod info;
mod interrupt;
mod mask;
mod queue;
mod receive;
mod timer;
mod wiped;

pub use blocked::with_signals_blocked;
pub use disposition::{ActionFlags, Current, Kind, current};
pub use handler::{Installed, Reaction, Recorder, install};
pub(crate) use handler::{address as handler_address, pass_on};
pub use info::{INFO, RECORD, RawInfo};
pub use interrupt::{interrupt_calls, send_to_thread};
pub use mask::{How, change_mask, mask, pending, suspend, suspend_timeout};
pub use queue::{kill, pidfd_queue, pidfd_send, queue, queue_to_thread, tgkill};
pub use receive::{SignalFdFlags, new_signalfd, set_signalfd, timed_wait};
pub use timer::{
    Clock, IntervalTimer, Notify, TimerId, TimerSetting, alarm, getitimer, setitimer, timer_create,
    timer_delete, timer_getoverrun, timer_gettime, timer_settime,
};

/// A set of signals as the kernel holds it: bit `n - 1` is signal `n`.
pub type RawSet = u64;

/// The size of [`RawSet`], which the kernel checks.
const SET: usize = size_of::<RawSet>();
