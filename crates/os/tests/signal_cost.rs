//! What a signal costs: system calls and allocations.

#[path = "support/waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use allocation_counter::measure;
use rustix::process::Pid;
use twixt_os::Deadline;
use twixt_os::signal::{
    Action, Clock, Counter, Notify, PidFd, SelfPipe, Signal, SignalFd, SignalSet, Timer, kill, kill_thread,
    queue, queue_to_thread, raise, this_process, this_thread,
};
use twixt_testkit::strace::{self, ROUNDS, expected};
use twixt_testkit::{Test, call, test};
use waiting::Turns;

const BLOCKED: [&str; 2] = ["env", "--block-signal=RTMIN,USR1"];

/// The number of `rt_sigtimedwait(2)`.
const SIGTIMEDWAIT: i64 = if cfg!(target_arch = "x86_64") { 128 } else { 137 };

/// Where a thread is that waits for a signal.
const TAKING: &[i64] = &[call::READ, call::POLL, call::PPOLL, SIGTIMEDWAIT];

fn later() -> Deadline {
    Deadline::after(Duration::from_secs(80))
}

/// What the role costs, with the signals blocked that it takes.
fn cost(test: &Test, role: &str) -> Result<BTreeMap<String, u64>, twixt_testkit::Missing> {
    strace::cost(|rounds| test.child(role).arg(rounds).under(&BLOCKED))
}

#[test]
fn a_queued_signal_is_the_calls_of_sigqueue_and_sigwaitinfo() {
    let test = test!();
    test.role("talk", |peer| {
        let (count, own) = (peer.arg(0).parse::<usize>().unwrap(), this_process());
        for value in 0..count {
            queue(own, Signal::RTMIN, value).unwrap();
        }
        for value in 0..count {
            assert_eq!(SignalSet::from(Signal::RTMIN).wait().unwrap().value().unwrap().as_usize(), value);
        }
    });
    // sigqueue(3) of the C library asks for the pid and the uid each time, and so does this.
    match cost(&test, "talk") {
        Ok(found) => assert_eq!(
            found,
            expected(&[
                ("rt_sigqueueinfo", ROUNDS),
                ("getpid", ROUNDS),
                ("getuid", ROUNDS),
                ("rt_sigtimedwait", ROUNDS)
            ])
        ),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_plain_signal_is_one_call_each_way() {
    let test = test!();
    test.role("talk", |peer| {
        let (count, own) = (peer.arg(0).parse().unwrap(), this_process());
        let signals = SignalFd::create(Signal::USR1.into()).unwrap();
        for _ in 0..count {
            kill(own, Signal::USR1).unwrap();
            signals.receive().unwrap();
        }
    });
    match cost(&test, "talk") {
        Ok(found) => assert_eq!(found, expected(&[("kill", ROUNDS), ("read", ROUNDS)])),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn many_signals_are_one_read() {
    let test = test!();
    test.role("talk", |peer| {
        let (count, own) = (peer.arg(0).parse::<usize>().unwrap(), this_process());
        let signals = SignalFd::create(Signal::RTMIN.into()).unwrap();
        let mut taken = Vec::new();
        for value in 0..count {
            queue(own, Signal::RTMIN, value).unwrap();
        }
        while taken.len() < count {
            signals.receive_many(&mut taken).unwrap();
        }
    });
    match cost(&test, "talk") {
        // The reads are too few to be listed.
        Ok(found) => assert_eq!(
            found,
            expected(&[("rt_sigqueueinfo", ROUNDS), ("getpid", ROUNDS), ("getuid", ROUNDS)])
        ),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_self_pipe_is_one_write_and_one_read() {
    let test = test!();
    test.role("talk", |peer| {
        let (count, own, thread) = (peer.arg(0).parse::<u64>().unwrap(), this_process(), this_thread());
        let pipe = SelfPipe::new().unwrap();
        let _handled = Action::record(&pipe).install(Signal::USR2).unwrap();
        for _ in 0..count {
            kill_thread(own, thread, Signal::USR2).unwrap();
            pipe.receive().unwrap();
        }
    });
    match cost(&test, "talk") {
        Ok(found) => {
            assert_eq!(
                found,
                expected(&[
                    ("tgkill", ROUNDS),
                    ("write", ROUNDS),
                    ("rt_sigreturn", ROUNDS),
                    ("read", ROUNDS)
                ])
            );
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn the_hot_calls_allocate_nothing() {
    let test = test!();
    test.role("process", |_| {
        let set = SignalSet::from(Signal::RTMIN);
        let (own, thread) = (this_process(), this_thread());
        let pipe = SelfPipe::new().unwrap();
        let counter = Counter::new();
        let _recorded = Action::record(&pipe).install(Signal::USR1).unwrap();
        let _counted = Action::count(&counter).install(Signal::USR2).unwrap();
        let signals = SignalFd::create(set).unwrap();
        let mut taken = Vec::with_capacity(SignalFd::BATCH);
        let cost = measure(|| {
            let blocked = set.block().unwrap();
            for value in 0..10_usize {
                queue_to_thread(own, thread, Signal::RTMIN, value).unwrap();
                set.wait().unwrap();
                set.try_wait().unwrap_err();
                queue_to_thread(own, thread, Signal::RTMIN, value).unwrap();
                signals.receive().unwrap();
                signals.try_receive().unwrap_err();
                queue_to_thread(own, thread, Signal::RTMIN, value).unwrap();
                taken.clear();
                signals.receive_many(&mut taken).unwrap();
                raise(Signal::USR1).unwrap();
                pipe.receive().unwrap();
                pipe.try_receive().unwrap_err();
                raise(Signal::USR2).unwrap();
            }
            drop(blocked);
        });
        assert_eq!(counter.get(), 10);
        assert_eq!(cost.count_total, 0);
    });
    test.child("process").spawn().succeed();
}

/// As in C: a read that sleeps until there is a signal.
#[test]
fn waiting_for_a_signal_costs_no_call_more() {
    let test = test!();
    test.role("wait", |peer| {
        let (count, mut turns) = (peer.arg(0).parse::<u64>().unwrap(), Turns::begin());
        let set = SignalSet::from(Signal::USR1);
        let signals = SignalFd::create(set).unwrap();
        for _ in 0..count {
            match peer.arg(1).as_str() {
                "signalfd" => signals.receive().unwrap(),
                "signalfd deadline" => signals.receive_deadline(later()).unwrap(),
                _ => set.wait().unwrap(),
            };
            turns.done();
        }
    });
    let told = ("write", ROUNDS);
    for (form, calls) in [
        ("signalfd", &[("read", ROUNDS), told][..]),
        ("signalfd deadline", &[("preadv2", 2 * ROUNDS), ("poll", ROUNDS), told]),
        ("set", &[("rt_sigtimedwait", ROUNDS), told]),
    ] {
        let role = |rounds| test.child("wait").arg(rounds).arg(form).under(&BLOCKED);
        match waiting::cost(role, TAKING, |pid| kill(Pid::from_raw(pid).unwrap(), Signal::USR1).unwrap()) {
            Ok(found) => assert_eq!(found, expected(calls), "{form}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

/// The read sleeps, is interrupted by the handler that writes the record, and is made again.
#[test]
fn waiting_for_a_handler_costs_the_read_that_it_interrupts() {
    let test = test!();
    test.role("wait", |peer| {
        let (count, mut turns) = (peer.arg(0).parse::<u64>().unwrap(), Turns::begin());
        let pipe = SelfPipe::new().unwrap();
        let _handled = Action::record(&pipe).install(Signal::USR2).unwrap();
        // In this thread only.
        let _open = SignalSet::from(Signal::USR2).unblock().unwrap();
        for _ in 0..count {
            pipe.receive().unwrap();
            turns.done();
        }
    });
    let role = |rounds| test.child("wait").arg(rounds).under(&["env", "--block-signal=USR2"]);
    match waiting::cost(role, TAKING, |pid| kill(Pid::from_raw(pid).unwrap(), Signal::USR2).unwrap()) {
        // One write is the handler's, one says that the turn is done.
        Ok(found) => assert_eq!(
            found,
            expected(&[("read", 2 * ROUNDS), ("write", 2 * ROUNDS), ("rt_sigreturn", ROUNDS)])
        ),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_pidfd_is_one_call_to_signal_and_one_to_wait() {
    let test = test!();
    test.role("talk", |peer| {
        let (own, count) = (PidFd::open(this_process()).unwrap(), peer.arg(0).parse::<usize>().unwrap());
        let set = SignalSet::from([Signal::USR1, Signal::RTMIN]);
        for value in 0..count {
            own.send(Signal::USR1).unwrap();
            set.wait().unwrap();
            own.queue(Signal::RTMIN, value).unwrap();
            set.wait().unwrap();
            own.try_wait_exit().unwrap_err();
        }
    });
    match cost(&test, "talk") {
        Ok(mut found) => {
            let waits = ["poll", "ppoll", "waitid"].into_iter().filter_map(|name| found.remove(name));
            assert_eq!(waits.sum::<u64>(), ROUNDS);
            assert_eq!(
                found,
                expected(&[
                    ("pidfd_send_signal", 2 * ROUNDS),
                    ("rt_sigtimedwait", 2 * ROUNDS),
                    ("getpid", ROUNDS),
                    ("getuid", ROUNDS)
                ])
            );
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_timer_is_one_call_to_arm_and_one_to_read() {
    let test = test!();
    test.role("talk", |peer| {
        let timer = Timer::create(Clock::Monotonic, Notify::Nothing).unwrap();
        for _ in 0..peer.arg(0).parse().unwrap() {
            timer.arm(Duration::from_secs(1000)).unwrap();
            timer.remaining().unwrap();
            timer.disarm().unwrap();
            timer.overrun().unwrap();
        }
    });
    match cost(&test, "talk") {
        Ok(found) => assert_eq!(
            found,
            expected(&[
                ("timer_settime", 2 * ROUNDS),
                ("timer_gettime", ROUNDS),
                ("timer_getoverrun", ROUNDS)
            ])
        ),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn pidfds_and_timers_allocate_nothing() {
    let test = test!();
    test.role("process", |_| {
        let set = SignalSet::from([Signal::USR1, Signal::RTMIN]);
        let _blocked = set.block().unwrap();
        let own = PidFd::open(this_process()).unwrap();
        let timer = Timer::create(Clock::Monotonic, Notify::Nothing).unwrap();
        let allocated = measure(|| {
            own.queue(Signal::RTMIN, 5_usize).unwrap();
            own.send(Signal::USR1).unwrap();
            own.try_wait_exit().unwrap_err();
            own.wait_exit_deadline(Deadline::now()).unwrap_err();
            timer.arm(Duration::from_secs(1000)).unwrap();
            timer.remaining().unwrap();
            timer.disarm().unwrap();
        });
        assert_eq!(allocated.count_total, 0);
        set.wait().unwrap();
        set.wait().unwrap();
    });
    test.child("process").under(&BLOCKED).spawn().succeed();
}
