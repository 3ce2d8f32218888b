//! The ways of waiting for signals, under a storm of others, and past deadlines.

#[path = "support/waiting.rs"]
mod waiting;

use std::fmt::Debug;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use twixt_os::signal::{
    self, Action, Counter, Info, SelfPipe, Signal, SignalFd, SignalSet, kill_thread, queue_to_thread, raise,
    this_process, this_thread,
};
use twixt_os::{Deadline, Errno, Error, ErrorKind, Result, Wait};
use twixt_sys::signal::{SignalFdFlags, new_signalfd};
use twixt_testkit::{Storm, call, command, scratch, test, under_storm};

const SHORT: Duration = Duration::from_millis(50);

/// Every way of waiting, on the calling thread, in a storm. `wake` makes the operation possible.
fn weather<T: Debug>(mut operation: impl FnMut(Wait) -> Result<T>, mut wake: impl FnMut() + Send) {
    let failure = |error: Error, kind| {
        assert_eq!(error.kind(), kind, "{error}");
    };
    failure(operation(Wait::never()).unwrap_err(), ErrorKind::WouldBlock);
    failure(operation(Wait::until(Deadline::now())).unwrap_err(), ErrorKind::TimedOut);
    let storm = Storm::on_this_thread();
    failure(operation(Wait::forever().interruptible()).unwrap_err(), ErrorKind::Interrupted);
    let start = Instant::now();
    failure(operation(Wait::until(Deadline::after(SHORT))).unwrap_err(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SHORT);
    for wait in [Wait::forever(), Wait::until(Deadline::after(Duration::from_secs(60)))] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                storm.wait_for(20);
                wake();
            });
            operation(wait).unwrap();
        });
    }
    drop(storm);
    // What is there is taken whatever the wait.
    wake();
    operation(Wait::until(Deadline::now())).unwrap();
    wake();
    operation(Wait::never()).unwrap();
}

#[test]
fn a_set_in_any_weather() {
    let test = test!();
    test.role("process", |_| {
        let set = SignalSet::from([Signal::RTMIN, Signal::USR1]);
        let _blocked = set.block().unwrap();
        let target = this_thread();
        let wake = || queue_to_thread(this_process(), target, Signal::RTMIN, 5).unwrap();
        weather(|wait| set.wait_with(wait), wake);
        wake();
        assert_eq!(set.wait().unwrap().value().unwrap().as_i32(), 5);
        wake();
        set.try_wait().unwrap();
        wake();
        set.wait_deadline(Deadline::after(SHORT)).unwrap();
        wake();
        set.wait_interruptible().unwrap();
        // Only signals of the set are taken.
        wake();
        let other = SignalSet::from(Signal::USR1);
        assert_eq!(other.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(other.wait_deadline(Deadline::after(SHORT)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(SignalSet::pending().unwrap(), Signal::RTMIN.into());
        // Left pending, it would end the process as the guard goes.
        set.try_wait().unwrap();
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_signalfd_in_any_weather() {
    let test = test!();
    test.role("process", |_| {
        let set = SignalSet::from(Signal::RTMIN);
        let _blocked = set.block().unwrap();
        let signals = SignalFd::create(set).unwrap();
        let target = this_thread();
        let wake = || queue_to_thread(this_process(), target, Signal::RTMIN, 5).unwrap();
        weather(|wait| signals.receive_wait(wait), wake);
        let mut taken = Vec::new();
        weather(|wait| signals.receive_many_wait(&mut taken, wait), wake);
        named_forms(
            wake,
            [
                &|| signals.receive(),
                &|| signals.try_receive(),
                &|| signals.receive_deadline(Deadline::after(SHORT)),
                &|| signals.receive_interruptible(),
                &|| many(|into| signals.receive_many(into)),
                &|| many(|into| signals.try_receive_many(into)),
                &|| many(|into| signals.receive_many_deadline(into, Deadline::after(SHORT))),
                &|| many(|into| signals.receive_many_interruptible(into)),
            ],
        );
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_self_pipe_in_any_weather() {
    let test = test!();
    test.role("process", |_| {
        let pipe = SelfPipe::new().unwrap();
        let _handled = Action::record(&pipe).install(Signal::RTMIN).unwrap();
        let target = this_thread();
        let wake = || queue_to_thread(this_process(), target, Signal::RTMIN, 5).unwrap();
        weather(|wait| pipe.receive_wait(wait), wake);
        let mut taken = Vec::new();
        weather(|wait| pipe.receive_many_wait(&mut taken, wait), wake);
        named_forms(
            wake,
            [
                &|| pipe.receive(),
                &|| pipe.try_receive(),
                &|| pipe.receive_deadline(Deadline::after(SHORT)),
                &|| pipe.receive_interruptible(),
                &|| many(|into| pipe.receive_many(into)),
                &|| many(|into| pipe.try_receive_many(into)),
                &|| many(|into| pipe.receive_many_deadline(into, Deadline::after(SHORT))),
                &|| many(|into| pipe.receive_many_interruptible(into)),
            ],
        );
    });
    test.child("process").spawn().succeed();
}

fn named_forms(wake: impl Fn(), forms: [&dyn Fn() -> Result<Info>; 8]) {
    for form in forms {
        wake();
        assert_eq!(form().unwrap().value().unwrap().as_i32(), 5);
    }
}

fn many(receive: impl FnOnce(&mut Vec<Info>) -> Result<usize>) -> Result<Info> {
    let mut taken = Vec::new();
    let count = receive(&mut taken)?;
    assert_eq!(count, 1);
    Ok(taken[0])
}

#[test]
fn the_awaited_handler_is_no_interruption() {
    let test = test!();
    test.role("process", |_| {
        let pipe = SelfPipe::new().unwrap();
        let _handled = Action::record(&pipe).install(Signal::RTMIN).unwrap();
        let target = this_thread();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                waiting::until_asleep_in(this_process().as_raw_pid(), &[call::READ]);
                queue_to_thread(this_process(), target, Signal::RTMIN, 9).unwrap();
            });
            assert_eq!(pipe.receive_interruptible().unwrap().value().unwrap().as_i32(), 9);
        });
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_signalfd_takes_many_at_once_and_changes_its_set() {
    let test = test!();
    test.role("process", |_| {
        let (a, b) = (Signal::RTMIN, Signal::RTMAX);
        let _blocked = SignalSet::from([a, b]).block().unwrap();
        let signals = SignalFd::create(a.into()).unwrap();
        let queue = |signal, value: usize| {
            queue_to_thread(this_process(), this_thread(), signal, value).unwrap();
        };
        for value in 0..SignalFd::BATCH + 3 {
            queue(a, value);
        }
        queue(b, 1000);
        let mut taken = Vec::new();
        assert_eq!(signals.receive_many(&mut taken).unwrap(), SignalFd::BATCH);
        assert_eq!(signals.receive_many(&mut taken).unwrap(), 3);
        let values: Vec<_> = taken.iter().map(|info| info.value().unwrap().as_usize()).collect();
        assert_eq!(values, (0..SignalFd::BATCH + 3).collect::<Vec<_>>());
        assert_eq!(signals.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        signals.set_signals(b.into()).unwrap();
        assert_eq!(signals.try_receive().unwrap().signal(), b);
        // Handed on and taken over, it is the same one.
        let signals = SignalFd::from_fd(OwnedFd::from(signals)).unwrap();
        queue(b, 1);
        assert_eq!(signals.receive().unwrap().value().unwrap().as_usize(), 1);
    });
    test.child("process").spawn().succeed();
}

#[test]
fn the_flag_that_others_share_is_left_alone() {
    let test = test!();
    test.role("process", |_| {
        let set = SignalSet::from(Signal::RTMIN);
        let _blocked = set.block().unwrap();
        for flags in [SignalFdFlags::CLOEXEC, SignalFdFlags::CLOEXEC | SignalFdFlags::NONBLOCK] {
            let foreign = new_signalfd(set.bits(), flags).unwrap();
            let before = rustix::fs::fcntl_getfl(&foreign).unwrap();
            let signals = SignalFd::from_fd(foreign).unwrap();
            let target = this_thread();
            let wake = || queue_to_thread(this_process(), target, Signal::RTMIN, 5).unwrap();
            weather(|wait| signals.receive_wait(wait), wake);
            assert_eq!(rustix::fs::fcntl_getfl(&signals).unwrap(), before);
        }
    });
    test.child("process").spawn().succeed();
}

/// Kernels before 6.10 do not take `RWF_NOWAIT` for a signalfd, those before 6.4 not for a pipe.
#[test]
fn not_waiting_works_on_older_kernels_too() {
    let test = test!();
    test.role("process", |_| {
        let set = SignalSet::from(Signal::RTMIN);
        let _blocked = set.block().unwrap();
        let signals = SignalFd::create(Signal::RTMAX.into()).unwrap();
        signals.set_signals(set).unwrap();
        let target = this_thread();
        let wake = || queue_to_thread(this_process(), target, Signal::RTMIN, 5).unwrap();
        weather(|wait| signals.receive_wait(wait), wake);
        // The second descriptor follows the first.
        signals.set_signals(Signal::RTMAX.into()).unwrap();
        wake();
        assert_eq!(signals.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        signals.set_signals(set).unwrap();
        signals.try_receive().unwrap();

        let pipe = SelfPipe::new().unwrap();
        let _handled = Action::record(&pipe).install(Signal::USR1).unwrap();
        let wake = || kill_thread(this_process(), target, Signal::USR1).unwrap();
        weather(|wait| pipe.receive_wait(wait), wake);
        let mut taken = Vec::new();
        weather(|wait| pipe.receive_many_wait(&mut taken, wait), wake);
    });
    let inject = ["-e", "trace=preadv2", "-e", "inject=preadv2:error=EOPNOTSUPP"];
    let directory = scratch();
    let log = directory.path().join("log");
    let words = ["strace", "-f", "-qq", "-o", log.to_str().unwrap()];
    if let Err(missing) = command("strace") {
        return test.skip(&missing);
    }
    let mut child = test.child("process").under(&words).under(&inject).spawn();
    let status = child.wait();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if text.is_empty() {
        return test.skip(&twixt_testkit::Missing("permission to trace a process (ptrace)".into()));
    }
    assert!(status.success() && text.contains("EOPNOTSUPP"), "{text}");
}

#[test]
fn what_is_no_signalfd_is_an_error() {
    let directory = scratch();
    let path = directory.path().join("file");
    std::fs::write(&path, [0xff; 300]).unwrap();
    let file = SignalFd::from_fd(std::fs::File::open(&path).unwrap().into()).unwrap();
    assert_eq!(file.receive().unwrap_err().kind(), ErrorKind::Malformed);
    let mut taken = Vec::new();
    assert_eq!(file.receive_many(&mut taken).unwrap_err().kind(), ErrorKind::Malformed);
    assert!(taken.is_empty());
    // At the end of the file there is nothing at all.
    assert_eq!(file.receive().unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(file.set_signals(SignalSet::EMPTY).unwrap_err().errno(), Some(Errno::INVAL));
}

#[test]
fn too_many_descriptors_name_the_limit() {
    let test = test!();
    test.role("process", |_| {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let open = twixt_testkit::descriptors() as u64;
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), maximum: Some(open) }).unwrap();
        let own = signal::this_process();
        for error in [
            SignalFd::create(SignalSet::ALL).unwrap_err(),
            SelfPipe::new().unwrap_err(),
            signal::PidFd::open(own).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
            assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE");
        }
    });
    test.child("process").spawn().succeed();
}

#[test]
fn masks_are_guarded() {
    let test = test!();
    test.role("process", |_| {
        let (a, b) = (Signal::USR1, Signal::USR2);
        let blocked = || SignalSet::blocked().unwrap();
        assert_eq!(blocked(), SignalSet::EMPTY);
        {
            let _a = SignalSet::from(a).block().unwrap();
            let again = SignalSet::from([a, b]).block().unwrap();
            assert_eq!(blocked(), SignalSet::from([a, b]));
            drop(again);
            assert_eq!(blocked(), a.into(), "only what the guard has blocked itself");
            {
                let _through = SignalSet::from([a, b]).unblock().unwrap();
                assert_eq!(blocked(), SignalSet::EMPTY);
            }
            assert_eq!(blocked(), a.into());
            {
                let _all = SignalSet::ALL.set_mask().unwrap();
                assert_eq!(blocked(), SignalSet::ALL - SignalSet::from([Signal::KILL, Signal::STOP]));
            }
            assert_eq!(blocked(), a.into());
        }
        assert_eq!(blocked(), SignalSet::EMPTY);
        SignalSet::from(b).block().unwrap().keep();
        assert_eq!(blocked(), b.into());
        // Another thread inherits the mask, and changes only its own.
        std::thread::spawn(move || {
            assert_eq!(SignalSet::blocked().unwrap(), b.into());
            SignalSet::EMPTY.set_mask().unwrap().keep();
        })
        .join()
        .unwrap();
        assert_eq!(blocked(), b.into());
        // What was pending is delivered as the guard goes.
        let counter = Counter::new();
        let _handled = Action::count(&counter).install(a).unwrap();
        let guard = SignalSet::from(a).block().unwrap();
        raise(a).unwrap();
        raise(a).unwrap();
        assert_eq!((counter.get(), SignalSet::pending().unwrap()), (0, a.into()));
        drop(guard);
        assert_eq!((counter.get(), SignalSet::pending().unwrap()), (1, SignalSet::EMPTY));
    });
    test.child("process").spawn().succeed();
}

#[test]
fn suspend_returns_when_a_handler_has_run() {
    let test = test!();
    test.role("process", |_| {
        let counter = Counter::new();
        let _handled = Action::count(&counter).install(Signal::USR1).unwrap();
        let _blocked = SignalSet::from(Signal::USR1).block().unwrap();
        let open = SignalSet::blocked().unwrap().without(Signal::USR1);
        // Pending already: no wait, in every form.
        raise(Signal::USR1).unwrap();
        open.suspend().unwrap();
        assert_eq!(counter.take(), 1);
        raise(Signal::USR1).unwrap();
        open.suspend_deadline(Deadline::now()).unwrap();
        assert_eq!(counter.take(), 1);
        // None comes.
        let start = Instant::now();
        let error = open.suspend_deadline(Deadline::after(SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= SHORT);
        assert_eq!(open.suspend_deadline(Deadline::now()).unwrap_err().kind(), ErrorKind::TimedOut);
        // One comes while it waits; the mask is back afterwards.
        let target = this_thread();
        for deadline in [None, Some(Deadline::after(Duration::from_secs(60)))] {
            std::thread::scope(|scope| {
                scope.spawn(|| kill_thread(this_process(), target, Signal::USR1).unwrap());
                match deadline {
                    None => open.suspend().unwrap(),
                    Some(deadline) => open.suspend_deadline(deadline).unwrap(),
                }
            });
            assert_eq!(counter.take(), 1);
            assert!(SignalSet::blocked().unwrap().contains(Signal::USR1));
        }
    });
    test.child("process").spawn().succeed();
}

/// The storm's signal is among those that the mask keeps out, so that only the awaited handler may end the wait.
#[test]
fn suspending_weathers_a_storm_of_other_signals() {
    let test = test!();
    test.role("process", |peer| {
        let counter = Counter::new();
        let _handled = Action::count(&counter).install(Signal::USR1).unwrap();
        let _blocked = SignalSet::from(Signal::USR1).block().unwrap();
        let others = SignalSet::ALL.without(Signal::USR1);
        let form = peer.arg(0);
        under_storm(peer, || match form.as_str() {
            "block" => others.suspend(),
            _ => others.suspend_deadline(Deadline::after(Duration::from_secs(60))),
        })
        .unwrap();
        assert_eq!(counter.get(), 1);
        // Let in, it ends the wait: that is what suspending is for.
        let _storm = Storm::on_this_thread();
        match form.as_str() {
            "block" => others.without(Signal::URG).suspend().unwrap(),
            _ => others
                .without(Signal::URG)
                .suspend_deadline(Deadline::after(Duration::from_secs(60)))
                .unwrap(),
        }
        assert_eq!(counter.get(), 1);
    });
    for form in ["block", "deadline"] {
        let mut child = test.child("process").arg(form).under(&["env", "--block-signal=USR1"]).spawn();
        child.expect("stormed");
        child.signal(rustix::process::Signal::USR1);
        child.succeed();
    }
}
