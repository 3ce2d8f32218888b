//! The timers that every process has one of: `alarm(2)`, `setitimer(2)`.

use std::time::Duration;

use twixt_sys::signal::{self as sys, IntervalTimer, TimerSetting};

use crate::signal::failed;
use crate::{Object, Result};

/// Has SIGALRM arrive in so many seconds, 0 to 4294967295 (136 years); 0 calls an earlier alarm off. Says how many
/// seconds an earlier one had left, rounded, and never to 0; 0 if there was none.
///
/// See `alarm(2)`.
///
/// It is one timer with [`IntervalTimer::Real`], and one for the whole process: a library that uses it takes it from
/// the program. A [`Timer`](crate::signal::Timer) has no such trouble. `exec` keeps it, a forked child has none.
///
/// ```
/// use twixt_os::signal::alarm;
/// assert_eq!(alarm(1000), 0);
/// assert!(alarm(0) > 0);
/// ```
#[doc(alias = "ualarm")]
#[doc(alias = "SIGALRM")]
pub fn alarm(seconds: u32) -> u32 {
    sys::alarm(seconds)
}

/// Sets an interval timer of the process, and says what was set before. A value of zero stops it, an interval of zero
/// has it go off once.
///
/// The kernel counts in microseconds; times are rounded up to them.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::signal::{IntervalTimer, TimerSetting, interval_timer, set_interval_timer};
/// let hour = TimerSetting { value: Duration::from_secs(3600), interval: Duration::ZERO };
/// set_interval_timer(IntervalTimer::Real, hour)?;
/// assert!(interval_timer(IntervalTimer::Real)?.value > Duration::ZERO);
/// set_interval_timer(IntervalTimer::Real, TimerSetting::default())?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput): longer than the kernel counts.
#[doc(alias = "setitimer")]
pub fn set_interval_timer(which: IntervalTimer, setting: TimerSetting) -> Result<TimerSetting> {
    let setting = TimerSetting { value: rounded(setting.value), interval: rounded(setting.interval) };
    sys::setitimer(which, setting).map_err(|errno| failed("set", object(which), errno))
}

/// The time until an interval timer goes off next, and its interval.
///
/// # Errors
/// None that the kernel is known to give.
#[doc(alias = "getitimer")]
pub fn interval_timer(which: IntervalTimer) -> Result<TimerSetting> {
    sys::getitimer(which).map_err(|errno| failed("read", object(which), errno))
}

fn object(which: IntervalTimer) -> Object {
    Object::name(match which {
        IntervalTimer::Real => "timer ITIMER_REAL",
        IntervalTimer::Virtual => "timer ITIMER_VIRTUAL",
        IntervalTimer::Profiling => "timer ITIMER_PROF",
    })
}

/// The next whole microsecond.
fn rounded(duration: Duration) -> Duration {
    let excess = duration.subsec_nanos() % 1000;
    if excess == 0 { duration } else { duration.saturating_add(Duration::from_nanos((1000 - excess).into())) }
}
