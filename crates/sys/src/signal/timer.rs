//! Timers that send signals: `alarm(2)`, `setitimer(2)`, `timer_create(2)`.

use core::mem::MaybeUninit;
use core::ptr;
use std::time::Duration;

use rustix::process::Pid;

use crate::Errno;
use crate::call::checked;

/// `alarm(2)`: SIGALRM in so many seconds, 0 for never; returns the seconds that an earlier alarm had left.
pub fn alarm(seconds: u32) -> u32 {
    // SAFETY: the call takes an integer and cannot fail.
    unsafe { libc::alarm(seconds) }
}

/// The three timers that every process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalTimer {
    /// `ITIMER_REAL`: wall-clock time; SIGALRM. The same timer as [`alarm`].
    Real,
    /// `ITIMER_VIRTUAL`: processor time of the process in user mode; SIGVTALRM.
    Virtual,
    /// `ITIMER_PROF`: processor time of the process, the kernel's work for it included; SIGPROF.
    Profiling,
}

/// When a timer goes off next, and how often after that. Zero is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// Until the next time.
    pub value: Duration,
    /// From one time to the next; zero for a timer that goes off once.
    pub interval: Duration,
}

/// `setitimer(2)`; returns what was set. Units below a microsecond are cut off.
pub fn setitimer(which: IntervalTimer, setting: TimerSetting) -> Result<TimerSetting, Errno> {
    let new = libc::itimerval { it_interval: timeval(setting.interval)?, it_value: timeval(setting.value)? };
    let mut old = NO_INTERVAL;
    // SAFETY: both live through the call.
    checked(unsafe { libc::setitimer(number(which), &new, &mut old) })?;
    Ok(setting_of(old))
}

/// `getitimer(2)`
pub fn getitimer(which: IntervalTimer) -> Result<TimerSetting, Errno> {
    let mut now = NO_INTERVAL;
    // SAFETY: `now` lives through the call.
    checked(unsafe { libc::getitimer(number(which), &mut now) })?;
    Ok(setting_of(now))
}

const NO_TIME: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 0 };
const NO_INTERVAL: libc::itimerval = libc::itimerval { it_interval: NO_TIME, it_value: NO_TIME };

fn number(which: IntervalTimer) -> libc::c_int {
    match which {
        IntervalTimer::Real => libc::ITIMER_REAL,
        IntervalTimer::Virtual => libc::ITIMER_VIRTUAL,
        IntervalTimer::Profiling => libc::ITIMER_PROF,
    }
}

fn timeval(duration: Duration) -> Result<libc::timeval, Errno> {
    let tv_sec = duration.as_secs().try_into().map_err(|_| Errno::INVAL)?;
    Ok(libc::timeval { tv_sec, tv_usec: duration.subsec_micros().into() })
}

fn setting_of(timer: libc::itimerval) -> TimerSetting {
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.try_into().unwrap_or(0))
            + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0))
    };
    TimerSetting { value: duration(timer.it_value), interval: duration(timer.it_interval) }
}

/// The clocks that a POSIX timer can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// `CLOCK_MONOTONIC`: runs evenly, cannot be set, stops while the machine is suspended.
    #[doc(alias = "CLOCK_MONOTONIC")]
    Monotonic,
    /// `CLOCK_BOOTTIME`: as monotonic, and goes on while the machine is suspended.
    #[doc(alias = "CLOCK_BOOTTIME")]
    Boottime,
    /// `CLOCK_REALTIME`: the time of day, which can be set.
    #[doc(alias = "CLOCK_REALTIME")]
    Realtime,
    /// `CLOCK_TAI`: the time of day without leap seconds.
    #[doc(alias = "CLOCK_TAI")]
    Tai,
    /// `CLOCK_PROCESS_CPUTIME_ID`: the processor time of this process.
    #[doc(alias = "CLOCK_PROCESS_CPUTIME_ID")]
    ProcessCpu,
    /// `CLOCK_THREAD_CPUTIME_ID`: the processor time of the calling thread.
    #[doc(alias = "CLOCK_THREAD_CPUTIME_ID")]
    ThreadCpu,
}

impl Clock {
    fn id(self) -> libc::clockid_t {
        match self {
            Self::Monotonic => libc::CLOCK_MONOTONIC,
            Self::Boottime => libc::CLOCK_BOOTTIME,
            Self::Realtime => libc::CLOCK_REALTIME,
            Self::Tai => libc::CLOCK_TAI,
            Self::ProcessCpu => libc::CLOCK_PROCESS_CPUTIME_ID,
            Self::ThreadCpu => libc::CLOCK_THREAD_CPUTIME_ID,
        }
    }
}

/// What a POSIX timer does when it goes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `SIGEV_NONE`: nothing; it can be looked at.
    Nothing,
    /// `SIGEV_SIGNAL`: a signal with a value, to the process.
    Process {
        /// The signal.
        signal: i32,
        /// The value.
        value: usize,
    },
    /// `SIGEV_THREAD_ID`: a signal with a value, to one thread of this process.
    Thread {
        /// The thread.
        thread: Pid,
        /// The signal.
        signal: i32,
        /// The value.
        value: usize,
    },
}

/// The kernel's `sigevent_t`. The C library's has the same layout, but keeps the thread to itself.
#[repr(C)]
struct KernelEvent {
    value: usize,
    signal: i32,
    notify: i32,
    thread: i32,
    padding: [i32; 11],
}

const _: () = assert!(size_of::<KernelEvent>() == size_of::<libc::sigevent>());

/// A POSIX timer of this process, by the kernel's number for it. It is not inherited by a forked child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(i32);

impl TimerId {
    /// The number, as the records of its signals carry it.
    pub fn as_raw(self) -> i32 {
        self.0
    }
}

/// `timer_create(2)`
pub fn timer_create(clock: Clock, notify: Notify) -> Result<TimerId, Errno> {
    let mut event =
        KernelEvent { value: 0, signal: 0, notify: libc::SIGEV_NONE, thread: 0, padding: [0; 11] };
    match notify {
        Notify::Nothing => {}
        Notify::Process { signal, value } => {
            event = KernelEvent { value, signal, notify: libc::SIGEV_SIGNAL, ..event };
        }
        Notify::Thread { thread, signal, value } => {
            let thread = thread.as_raw_nonzero().get();
            event = KernelEvent { value, signal, notify: libc::SIGEV_THREAD_ID, thread, ..event };
        }
    }
    let mut id = 0_i32;
    // SAFETY: `event` has the kernel's layout, and both live through the call.
    checked(unsafe { libc::syscall(libc::SYS_timer_create, clock.id(), &raw const event, &raw mut id) })?;
    Ok(TimerId(id))
}

/// `timer_settime(2)`, relative to now or, where `absolute`, to the beginning of its clock; returns what was set.
pub fn timer_settime(id: TimerId, absolute: bool, setting: TimerSetting) -> Result<TimerSetting, Errno> {
    let new =
        libc::itimerspec { it_interval: timespec(setting.interval)?, it_value: timespec(setting.value)? };
    let mut old = MaybeUninit::<libc::itimerspec>::zeroed();
    let flags = if absolute { libc::TIMER_ABSTIME } else { 0 };
    // SAFETY: both live through the call.
    checked(unsafe {
        libc::syscall(libc::SYS_timer_settime, id.0, flags, ptr::from_ref(&new), old.as_mut_ptr())
    })?;
    // SAFETY: zeroes are a valid setting, and so is what the kernel wrote over them.
    Ok(spec_of(unsafe { old.assume_init() }))
}

/// `timer_gettime(2)`
pub fn timer_gettime(id: TimerId) -> Result<TimerSetting, Errno> {
    let mut now = MaybeUninit::<libc::itimerspec>::zeroed();
    // SAFETY: `now` lives through the call.
    checked(unsafe { libc::syscall(libc::SYS_timer_gettime, id.0, now.as_mut_ptr()) })?;
    // SAFETY: as in `timer_settime`.
    Ok(spec_of(unsafe { now.assume_init() }))
}

/// `timer_getoverrun(2)`: how often it went off again before the last signal of it was taken.
pub fn timer_getoverrun(id: TimerId) -> Result<i32, Errno> {
    // SAFETY: the call takes an integer and touches no memory.
    let overrun = checked(unsafe { libc::syscall(libc::SYS_timer_getoverrun, id.0) })?;
    Ok(overrun.try_into().unwrap_or(i32::MAX))
}

/// `timer_delete(2)`
pub fn timer_delete(id: TimerId) -> Result<(), Errno> {
    // SAFETY: the call takes an integer and touches no memory.
    checked(unsafe { libc::syscall(libc::SYS_timer_delete, id.0) })?;
    Ok(())
}

fn timespec(duration: Duration) -> Result<libc::timespec, Errno> {
    let tv_sec = duration.as_secs().try_into().map_err(|_| Errno::INVAL)?;
    Ok(libc::timespec { tv_sec, tv_nsec: duration.subsec_nanos().into() })
}

fn spec_of(timer: libc::itimerspec) -> TimerSetting {
    let duration = |time: libc::timespec| {
        Duration::from_secs(time.tv_sec.try_into().unwrap_or(0))
            + Duration::from_nanos(time.tv_nsec.try_into().unwrap_or(0))
    };
    TimerSetting { value: duration(timer.it_value), interval: duration(timer.it_interval) }
}
