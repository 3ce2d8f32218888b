//! POSIX timers, as many as a program needs: `timer_create(2)`.

use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Resource};
use twixt_sys::signal::{self as sys, Clock, TimerId, TimerSetting};

use crate::maker::Maker;
use crate::signal::{Signal, Value, failed};
use crate::{Deadline, Errno, Error, ErrorKind, Limit, Mechanism, Object, Result};

/// What a [`Timer`] does when it goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "sigevent")]
pub enum Notify {
    /// Nothing; [`Timer::remaining`] can be looked at.
    #[doc(alias = "SIGEV_NONE")]
    Nothing,
    /// Sends the process a signal with a value.
    #[doc(alias = "SIGEV_SIGNAL")]
    Process {
        /// The signal.
        signal: Signal,
        /// The value, which arrives in [`Info::value`](crate::signal::Info::value).
        value: Value,
    },
    /// Sends one thread of this process a signal with a value.
    #[doc(alias = "SIGEV_THREAD_ID")]
    Thread {
        /// The thread; [`this_thread`](crate::signal::this_thread) for the caller.
        thread: Pid,
        /// The signal.
        signal: Signal,
        /// The value.
        value: Value,
    },
}

/// A timer of this process, deleted when dropped.
///
/// While a signal of it is pending it sends no other, also where the signal is a real-time one, but counts how often it
/// would have: the overrun, in the record of the signal and in [`overrun`](Self::overrun).
///
/// ```
/// use std::time::Duration;
/// use twixt_os::signal::{Cause, Clock, Notify, Signal, SignalSet, Timer, this_thread};
/// let set = SignalSet::from(Signal::RTMIN);
/// let _blocked = set.block()?;
/// let notify = Notify::Thread { thread: this_thread(), signal: Signal::RTMIN, value: 7.into() };
/// let timer = Timer::create(Clock::Monotonic, notify)?;
/// timer.arm(Duration::from_millis(1))?;
/// let info = set.wait()?;
/// assert!(matches!(info.cause(), Cause::Timer { overrun: 0, .. }));
/// assert_eq!(info.value().unwrap().as_i32(), 7);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// A forked child has none of its parent's timers, and dropping this in the child does nothing.
///
/// See `timer_create(2)`, `timer_delete(2)`.
#[derive(Debug)]
#[doc(alias = "timer_t")]
#[doc(alias = "timer_delete")]
pub struct Timer {
    id: TimerId,
    clock: Clock,
    maker: Maker,
}

impl Timer {
    /// A new timer, not armed yet.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached): each timer reserves a pending signal, and `RLIMIT_SIGPENDING` is
    /// reached. [`InvalidInput`](ErrorKind::InvalidInput): the thread is none of this process.
    #[doc(alias = "timer_create")]
    pub fn create(clock: Clock, notify: Notify) -> Result<Self> {
        let event = match notify {
            Notify::Nothing => sys::Notify::Nothing,
            Notify::Process { signal, value } => {
                sys::Notify::Process { signal: signal.as_raw(), value: value.as_usize() }
            }
            Notify::Thread { thread, signal, value } => {
                sys::Notify::Thread { thread, signal: signal.as_raw(), value: value.as_usize() }
            }
        };
        match sys::timer_create(clock, event) {
            Ok(id) => Ok(Self { id, clock, maker: Maker::this() }),
            Err(errno @ Errno::AGAIN) => Err(failed(CREATE, Object::Unnamed, errno)
                .with_kind(ErrorKind::LimitReached)
                .with_limit(Limit::rlimit("RLIMIT_SIGPENDING", Resource::Sigpending))
                .with_advice("raise it with `ulimit -i`")),
            Err(errno) => Err(failed(CREATE, Object::Unnamed, errno)),
        }
    }

    /// The kernel's number for it, which the records of its signals carry.
    pub fn id(&self) -> i32 {
        self.id.as_raw()
    }

    /// Has it go off once, after this time, in nanoseconds. Zero is at once. What was set before is forgotten.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): longer than the clock runs.
    #[doc(alias = "timer_settime")]
    pub fn arm(&self, after: Duration) -> Result<()> {
        self.arm_periodic(after, Duration::ZERO)
    }

    /// Has it go off after this time, and then after each `interval`. An interval of zero is once.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm).
    pub fn arm_periodic(&self, after: Duration, interval: Duration) -> Result<()> {
        // To the kernel a value of zero means never.
        let value = after.max(Duration::from_nanos(1));
        self.set(false, TimerSetting { value, interval })
    }

    /// Has it go off once, at the deadline; at once if that has passed. The clock should be [`Clock::Monotonic`], which
    /// deadlines are points of.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm).
    pub fn arm_deadline(&self, deadline: Deadline) -> Result<()> {
        self.arm(deadline.remaining())
    }

    /// Has it go off once, at a time of day, also if the clock is set meanwhile. At once if that has passed.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): the timer's clock is not [`Clock::Realtime`], or the time is before
    /// 1970.
    #[doc(alias = "TIMER_ABSTIME")]
    pub fn arm_at(&self, time: SystemTime) -> Result<()> {
        let refuse =
            |why| Error::refused(Mechanism::Signal, SET, self.object(), ErrorKind::InvalidInput, why);
        if self.clock != Clock::Realtime {
            return Err(refuse("a time of day needs a timer on the real-time clock"));
        }
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let value = since.map_err(|_| refuse("the time is before 1970"))?.max(Duration::from_nanos(1));
        self.set(true, TimerSetting { value, interval: Duration::ZERO })
    }

    /// Stops it. A signal that it has sent already stays pending.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    pub fn disarm(&self) -> Result<()> {
        self.set(false, TimerSetting::default())
    }

    /// The time until it goes off next (zero if it is not armed), and its interval.
    ///
    /// # Errors
    /// As for [`disarm`](Self::disarm).
    #[doc(alias = "timer_gettime")]
    pub fn remaining(&self) -> Result<TimerSetting> {
        sys::timer_gettime(self.id).map_err(|errno| failed("read", self.object(), errno))
    }

    /// How often it went off again between the last signal's sending and its taking: 0 to 2147483647
    /// (`DELAYTIMER_MAX`).
    ///
    /// # Errors
    /// As for [`disarm`](Self::disarm).
    #[doc(alias = "timer_getoverrun")]
    pub fn overrun(&self) -> Result<i32> {
        sys::timer_getoverrun(self.id).map_err(|errno| failed("read the overrun of", self.object(), errno))
    }

    fn set(&self, absolute: bool, setting: TimerSetting) -> Result<()> {
        let set = sys::timer_settime(self.id, absolute, setting);
        set.map(drop).map_err(|errno| failed(SET, self.object(), errno))
    }

    fn object(&self) -> Object {
        Object::name(format!("timer {}", self.id()))
    }
}

const CREATE: &str = "create a timer for a";
const SET: &str = "set";

impl Drop for Timer {
    fn drop(&mut self) {
        if self.maker.is_this() {
            // It exists until here, so the kernel has no reason to refuse.
            let _ = sys::timer_delete(self.id);
        }
    }
}
