//! Timers that send signals.

use std::time::{Duration, Instant, SystemTime};

use twixt_os::signal::{
    Action, Cause, Clock, Counter, IntervalTimer, Notify, Signal, SignalSet, Timer, TimerSetting, alarm,
    interval_timer, set_interval_timer, this_thread,
};
use twixt_os::{Deadline, ErrorKind};
use twixt_testkit::test;

const MS: Duration = Duration::from_millis(1);

/// To the calling thread, where the test blocks it.
fn here(value: usize) -> Notify {
    Notify::Thread { thread: this_thread(), signal: Signal::RTMIN, value: value.into() }
}

#[test]
fn a_timer_goes_off_once() {
    let set = SignalSet::from(Signal::RTMIN);
    let _blocked = set.block().unwrap();
    for clock in [Clock::Monotonic, Clock::Boottime, Clock::Realtime, Clock::Tai] {
        let timer = Timer::create(clock, here(7)).unwrap();
        assert_eq!(timer.remaining().unwrap(), TimerSetting::default());
        let start = Instant::now();
        timer.arm(20 * MS).unwrap();
        let left = timer.remaining().unwrap();
        assert!(left.value <= 20 * MS && left.interval.is_zero());
        let info = set.wait().unwrap();
        assert!(start.elapsed() >= 20 * MS);
        assert_eq!(info.value().unwrap().as_usize(), 7);
        assert!(matches!(info.cause(), Cause::Timer { id, overrun: 0, .. } if id == timer.id()));
        assert_eq!(timer.remaining().unwrap(), TimerSetting::default());
        assert_eq!(set.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
        // Zero is at once, not never; and so are points that have passed.
        timer.arm(Duration::ZERO).unwrap();
        set.wait().unwrap();
        timer.arm_deadline(Deadline::now()).unwrap();
        set.wait().unwrap();
        let past = timer.arm_at(SystemTime::now() - Duration::from_secs(5));
        if clock == Clock::Realtime {
            past.unwrap();
            set.wait().unwrap();
            let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
            assert_eq!(timer.arm_at(before_1970).unwrap_err().kind(), ErrorKind::InvalidInput);
        } else {
            assert_eq!(past.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}

#[test]
fn a_periodic_timer_counts_its_overruns() {
    let set = SignalSet::from(Signal::RTMIN);
    let _blocked = set.block().unwrap();
    let timer = Timer::create(Clock::Monotonic, here(1)).unwrap();
    let start = Instant::now();
    timer.arm_periodic(MS, MS).unwrap();
    assert_eq!(timer.remaining().unwrap().interval, MS);
    while start.elapsed() < 30 * MS {
        std::hint::spin_loop();
    }
    // One signal, however often it went off, and the count of the others.
    let info = set.wait().unwrap();
    let Cause::Timer { overrun, .. } = info.cause() else { panic!("{info:?}") };
    assert!(overrun >= 28, "{overrun}");
    assert_eq!(timer.overrun().unwrap(), overrun);
    for _ in 0..3 {
        set.wait().unwrap();
    }
    timer.disarm().unwrap();
    while set.try_wait().is_ok() {}
    assert_eq!(set.wait_deadline(Deadline::after(5 * MS)).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_timer_without_a_signal_can_be_watched() {
    let timer = Timer::create(Clock::Monotonic, Notify::Nothing).unwrap();
    timer.arm(Duration::from_secs(1000)).unwrap();
    assert!(timer.remaining().unwrap().value > Duration::from_secs(900));
    let cpu = Timer::create(Clock::ThreadCpu, Notify::Nothing).unwrap();
    cpu.arm(MS).unwrap();
    while !cpu.remaining().unwrap().value.is_zero() {}
}

#[test]
fn a_timer_signals_the_process() {
    let test = test!();
    test.role("process", |_| {
        let counter = Counter::new();
        // For good: the last signal may still be on its way to another thread when the timer has gone.
        Action::count(&counter).restart().install(Signal::RTMAX).unwrap().keep();
        let notify = Notify::Process { signal: Signal::RTMAX, value: 3.into() };
        let timer = Timer::create(Clock::ProcessCpu, notify).unwrap();
        timer.arm_periodic(MS, MS).unwrap();
        while counter.get() < 3 {
            std::hint::spin_loop();
        }
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_dropped_timer_is_deleted() {
    let test = test!();
    test.role("process", |_| {
        // Where the kernel does not list them, the count is 0 throughout.
        let timers =
            || std::fs::read_to_string("/proc/self/timers").unwrap_or_default().matches("ID:").count();
        let set = SignalSet::from(Signal::RTMIN);
        let _blocked = set.block().unwrap();
        for value in 0..50 {
            let timer = Timer::create(Clock::Monotonic, here(value)).unwrap();
            timer.arm(Duration::ZERO).unwrap();
            assert_eq!(set.wait().unwrap().value().unwrap().as_usize(), value);
            timer.arm_periodic(MS, MS).unwrap();
            drop(timer);
            while set.try_wait().is_ok() {}
        }
        assert_eq!(timers(), 0);
        assert_eq!(set.wait_deadline(Deadline::after(10 * MS)).unwrap_err().kind(), ErrorKind::TimedOut);
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_stranger_thread_is_refused() {
    let thread = twixt_os::signal::Pid::from_raw(1).unwrap();
    let notify = Notify::Thread { thread, signal: Signal::RTMIN, value: 0.into() };
    let error = Timer::create(Clock::Monotonic, notify).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_alarm_rings() {
    let test = test!();
    test.role("process", |_| {
        assert_eq!(alarm(1000), 0);
        assert!((999..=1000).contains(&alarm(1)));
        let info = SignalSet::from(Signal::ALRM).wait().unwrap();
        assert_eq!((info.cause(), info.pid(), info.code()), (Cause::Kernel, None, 0x80));
        alarm(500);
        assert!(interval_timer(IntervalTimer::Real).unwrap().value > Duration::from_secs(400));
        assert!(alarm(0) > 400);
        assert_eq!(alarm(0), 0);
    });
    test.child("process").under(&["env", "--block-signal=ALRM"]).spawn().succeed();
}

#[test]
fn interval_timers_count_what_they_are_for() {
    let test = test!();
    test.role("process", |_| {
        for (which, signal) in [
            (IntervalTimer::Real, Signal::ALRM),
            (IntervalTimer::Virtual, Signal::VTALRM),
            (IntervalTimer::Profiling, Signal::PROF),
        ] {
            let counter = Counter::new();
            // For good: the last signal may still be on its way to another thread when the timer has stopped.
            Action::count(&counter).restart().install(signal).unwrap().keep();
            // A nanosecond is rounded up, not down to never.
            let soon = TimerSetting { value: Duration::from_nanos(1), interval: 2 * MS };
            assert_eq!(set_interval_timer(which, soon).unwrap(), TimerSetting::default());
            assert_eq!(interval_timer(which).unwrap().interval, 2 * MS);
            while counter.get() < 3 {
                std::hint::spin_loop();
            }
            let before = set_interval_timer(which, TimerSetting::default()).unwrap();
            assert_eq!(before.interval, 2 * MS);
        }
        let endless = TimerSetting { value: Duration::MAX, interval: Duration::ZERO };
        let error = set_interval_timer(IntervalTimer::Real, endless).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
    test.child("process").spawn().succeed();
}
