//! Dispositions: what a process does with a signal.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use twixt_os::signal::{
    self, Action, ActionFlags, Cause, ChildEvent, Counter, Disposition, PidFd, SelfPipe, Signal, SignalSet,
    kill_thread, queue_to_thread, raise, this_process, this_thread,
};
use twixt_os::{Errno, ErrorKind};
use twixt_testkit::{Storm, descriptors, scratch, test};

/// Ignored by default, so that one too many harms nobody.
const HARMLESS: Signal = Signal::URG;

#[test]
fn kill_and_stop_belong_to_the_kernel() {
    let counter = Counter::new();
    for signal in [Signal::KILL, Signal::STOP] {
        for action in [Action::ignore(), Action::count(&counter), Action::default_disposition()] {
            let error = action.install(signal).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("cannot set the disposition of signal {signal}: only"))
            );
        }
        assert_eq!(Disposition::of(signal).unwrap(), Disposition::Default);
    }
}

#[test]
fn a_counter_counts_and_a_guard_restores() {
    let test = test!();
    test.role("process", |_| {
        let counter = Counter::new();
        let guard = Action::count(&counter).restart().install(Signal::USR1).unwrap();
        assert_eq!(guard.signal(), Signal::USR1);
        let Disposition::Handler { ours: true, flags, blocked } = Disposition::of(Signal::USR1).unwrap()
        else {
            panic!("no handler")
        };
        assert_eq!((flags, blocked), (ActionFlags::RESTART, SignalSet::EMPTY));
        for _ in 0..3 {
            raise(Signal::USR1).unwrap();
        }
        assert_eq!((counter.get(), counter.take(), counter.take()), (3, 3, 0));
        assert!(!counter.is_set());
        drop(guard);
        assert_eq!(Disposition::of(Signal::USR1).unwrap(), Disposition::Default);

        Action::ignore().install(Signal::USR1).unwrap().keep();
        assert_eq!(Disposition::of(Signal::USR1).unwrap(), Disposition::Ignore);
        raise(Signal::USR1).unwrap();
        {
            let blocking = SignalSet::from([Signal::HUP, Signal::RTMAX]);
            let flags = ActionFlags::NODEFER | ActionFlags::ONSTACK;
            let action = Action::interrupt().blocking(blocking).with_flags(flags);
            let _guard = action.install(Signal::USR1).unwrap();
            let now = Disposition::of(Signal::USR1).unwrap();
            assert_eq!(now, Disposition::Handler { ours: true, flags, blocked: blocking });
        }
        assert_eq!(Disposition::of(Signal::USR1).unwrap(), Disposition::Ignore);
        // The default again: this ends the process.
        let _guard = Action::default_disposition().install(Signal::USR1).unwrap();
        raise(Signal::USR1).unwrap();
    });
    let status = test.child("process").spawn().wait();
    assert_eq!(status.signal(), Some(Signal::USR1.as_raw()));
}

#[test]
fn guards_may_go_in_any_order() {
    let test = test!();
    test.role("process", |_| {
        let counters = [Counter::new(), Counter::new(), Counter::new()];
        let count = |index: usize| Action::count(&counters[index]).install(HARMLESS).unwrap();
        let hit = || {
            raise(HARMLESS).unwrap();
            [counters[0].take(), counters[1].take(), counters[2].take()]
        };
        // Last in, first out.
        let (first, second) = (count(0), count(1));
        assert_eq!(hit(), [0, 1, 0]);
        drop(second);
        assert_eq!(hit(), [1, 0, 0]);
        drop(first);
        assert_eq!(Disposition::of(HARMLESS).unwrap(), Disposition::Default);
        // First in, first out: the later ones go on, and never bring back an earlier one that has gone.
        let (first, second, third) = (count(0), count(1), count(2));
        drop(first);
        assert_eq!(hit(), [0, 0, 1]);
        drop(second);
        assert_eq!(hit(), [0, 0, 1]);
        drop(third);
        assert_eq!(Disposition::of(HARMLESS).unwrap(), Disposition::Default);
        // From the middle, with one that has no handler among them.
        let first = count(0);
        let ignored = Action::ignore().install(HARMLESS).unwrap();
        let third = count(2);
        assert_eq!(hit(), [0, 0, 1]);
        drop(ignored);
        assert_eq!(hit(), [0, 0, 1]);
        drop(third);
        assert_eq!(hit(), [1, 0, 0]);
        let ignored = Action::ignore().install(HARMLESS).unwrap();
        drop(first);
        assert_eq!(Disposition::of(HARMLESS).unwrap(), Disposition::Ignore);
        assert_eq!(hit(), [0, 0, 0]);
        drop(ignored);
        assert_eq!(Disposition::of(HARMLESS).unwrap(), Disposition::Default);
        // One that was for once and has fired, below another.
        let once = Action::count(&counters[0]).once().install(HARMLESS).unwrap();
        assert_eq!(hit(), [1, 0, 0]);
        let above = count(1);
        drop(once);
        drop(above);
        assert_eq!(Disposition::of(HARMLESS).unwrap(), Disposition::Default);
    });
    test.child("process").spawn().succeed();
}

#[test]
fn other_peoples_handlers_are_respected() {
    let test = test!();
    test.role("process", |_| {
        let foreign = |what: Disposition| matches!(what, Disposition::Handler { ours: false, .. });
        let counter = Counter::new();
        let ours = Action::count(&counter).install(Signal::URG).unwrap();
        // The storm sets a handler past the registry.
        drop(Storm::on_this_thread());
        assert!(foreign(Disposition::of(Signal::URG).unwrap()));
        drop(ours);
        assert!(
            foreign(Disposition::of(Signal::URG).unwrap()),
            "a later handler of somebody else was taken away"
        );
        let ours = Action::count(&counter).install(Signal::URG).unwrap();
        raise(Signal::URG).unwrap();
        assert_eq!(counter.take(), 1);
        drop(ours);
        assert!(foreign(Disposition::of(Signal::URG).unwrap()));
    });
    test.child("process").spawn().succeed();
}

#[test]
fn one_shot_fires_once() {
    let test = test!();
    test.role("process", |_| {
        let counter = Counter::new();
        let ignored = Action::ignore().install(Signal::USR1).unwrap();
        let guard = Action::count(&counter).once().install(Signal::USR1).unwrap();
        raise(Signal::USR1).unwrap();
        assert_eq!(counter.get(), 1);
        assert_eq!(Disposition::of(Signal::USR1).unwrap(), Disposition::Default);
        // What was there before the guard comes back with its end, also now.
        drop(guard);
        assert_eq!(Disposition::of(Signal::USR1).unwrap(), Disposition::Ignore);
        drop(ignored);
        let _guard = Action::count(&counter).once().install(Signal::USR1).unwrap();
        raise(Signal::USR1).unwrap();
        raise(Signal::USR1).unwrap();
        unreachable!("the second one has its default effect");
    });
    let status = test.child("process").spawn().wait();
    assert_eq!(status.signal(), Some(Signal::USR1.as_raw()));
}

/// Reads from an empty pipe with bare `read(2)`, while another thread sends this one signals, and then a byte.
fn read_under_signals(action: Action, counter: &Counter) -> Result<usize, Errno> {
    let _guard = action.install(HARMLESS).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let target = this_thread();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while counter.get() < 20 {
                kill_thread(this_process(), target, HARMLESS).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
            rustix::io::write(&write, b"x").unwrap();
        });
        rustix::io::read(&read, &mut [0; 1])
    })
}

#[test]
fn restart_decides_whether_a_read_goes_on() {
    let test = test!();
    test.role("process", |_| {
        let counter = Counter::new();
        assert_eq!(read_under_signals(Action::count(&counter).restart(), &counter), Ok(1));
        assert!(counter.take() >= 20);
        assert_eq!(read_under_signals(Action::count(&counter), &counter), Err(Errno::INTR));
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_self_pipe_gives_whole_records_in_order() {
    let test = test!();
    test.role("process", |_| {
        let pipe = SelfPipe::new().unwrap();
        assert_eq!(pipe.capacity(), 1024);
        let signals = [Signal::RTMIN, Signal::real_time(1).unwrap(), Signal::real_time(2).unwrap()];
        let _guards = signals.map(|signal| Action::record(&pipe).install(signal).unwrap());
        let blocked = SignalSet::from(signals).block().unwrap();
        for (round, signal) in signals.into_iter().rev().chain(signals).enumerate() {
            queue_to_thread(this_process(), this_thread(), signal, 100 + round).unwrap();
        }
        assert_eq!(pipe.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        // All six are delivered here, one handler after the other.
        drop(blocked);
        let mut taken = Vec::new();
        assert_eq!(pipe.receive_many(&mut taken).unwrap(), 6);
        let seen: Vec<_> =
            taken.iter().map(|info| (info.signal(), info.value().unwrap().as_usize())).collect();
        let [a, b, c] = signals;
        assert_eq!(seen, [(a, 102), (a, 103), (b, 101), (b, 104), (c, 100), (c, 105)]);
        for info in taken {
            assert_eq!(info.pid(), Some(this_process()));
            assert_eq!(info.uid(), Some(rustix::process::getuid().as_raw()));
            assert_eq!(info.code(), -1);
        }
        assert_eq!(pipe.try_receive_many(&mut Vec::new()).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_full_self_pipe_counts_what_it_loses() {
    let test = test!();
    test.role("process", |_| {
        let pipe = SelfPipe::with_capacity(1).unwrap();
        let capacity = pipe.capacity();
        assert!(capacity >= 1);
        let _guard = Action::record(&pipe).install(Signal::RTMIN).unwrap();
        for value in 0..capacity + 36 {
            queue_to_thread(this_process(), this_thread(), Signal::RTMIN, value).unwrap();
        }
        assert_eq!(pipe.lost(), 36);
        for value in 0..capacity {
            assert_eq!(pipe.receive().unwrap().value().unwrap().as_usize(), value);
        }
        // There is room again, and it is used.
        queue_to_thread(this_process(), this_thread(), Signal::RTMIN, 7).unwrap();
        assert_eq!(pipe.receive().unwrap().value().unwrap().as_usize(), 7);
        assert_eq!(pipe.lost(), 36);
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_self_pipe_larger_than_allowed_names_the_limit() {
    let test = test!();
    test.role("nobody", |_| {
        let error = SelfPipe::with_capacity(usize::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        assert_eq!(error.limit().unwrap().name, "fs.pipe-max-size");
        assert!(error.limit().unwrap().is_exceeded());
        let larger = SelfPipe::with_capacity(10_000).unwrap();
        assert!(larger.capacity() >= 10_000);
    });
    if let Err(missing) = twixt_testkit::root() {
        // Not root already: the limit holds for this user.
        eprintln!("{missing}");
        test.child("nobody").spawn().succeed();
    } else {
        test.child("nobody").as_nobody().spawn().succeed();
    }
}

#[test]
fn a_self_pipe_outlived_by_its_handler_is_no_broken_pipe() {
    let test = test!();
    test.role("process", |_| {
        let before = descriptors();
        let pipe = SelfPipe::new().unwrap();
        let guard = Action::record(&pipe).install(HARMLESS).unwrap();
        drop(pipe);
        raise(HARMLESS).unwrap();
        drop(guard);
        assert_eq!(descriptors(), before, "the handler's pipe is closed with it");
        assert_eq!(Disposition::of(HARMLESS).unwrap(), Disposition::Default);
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_child_is_reported_with_all_that_happens_to_it() {
    let test = test!();
    test.role("parent", |_| {
        let pipe = SelfPipe::new().unwrap();
        let guard = Action::record(&pipe).restart().install(Signal::CHLD).unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = signal::Pid::from_child(&child);
        let expect = |expected: ChildEvent, code: i32| {
            let info = pipe.receive().unwrap();
            assert_eq!((info.signal(), info.pid(), info.code()), (Signal::CHLD, Some(pid), code));
            assert_eq!(info.uid(), Some(rustix::process::getuid().as_raw()));
            assert!(matches!(info.cause(), Cause::Child { event, .. } if event == expected), "{info:?}");
        };
        for (sent, event, code) in [
            (Signal::STOP, ChildEvent::Stopped(Signal::STOP), 5),
            (Signal::CONT, ChildEvent::Continued, 6),
            (Signal::KILL, ChildEvent::Killed(Signal::KILL), 2),
        ] {
            signal::kill(pid, sent).unwrap();
            expect(event, code);
        }
        child.wait().unwrap();
        let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let info = pipe.receive().unwrap();
        assert_eq!(info.pid(), Some(signal::Pid::from_child(&child)));
        assert!(matches!(info.cause(), Cause::Child { event: ChildEvent::Exited(3), .. }));
        child.wait().unwrap();
        drop(guard);

        // SA_NOCLDSTOP: the end only.
        let action = Action::record(&pipe).restart().with_flags(ActionFlags::NOCLDSTOP);
        let guard = action.install(Signal::CHLD).unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        for sent in [Signal::STOP, Signal::CONT, Signal::KILL] {
            signal::kill(&child, sent).unwrap();
        }
        let info = pipe.receive().unwrap();
        assert!(matches!(info.cause(), Cause::Child { event: ChildEvent::Killed(_), .. }), "{info:?}");
        child.wait().unwrap();
        assert!(pipe.try_receive().is_err());
        drop(guard);

        // SA_NOCLDWAIT: no zombie, and nothing to wait for.
        let action = Action::default_disposition().with_flags(ActionFlags::NOCLDWAIT);
        let _guard = action.install(Signal::CHLD).unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = PidFd::of_child(&child).unwrap();
        process.send(Signal::KILL).unwrap();
        process.wait_exit().unwrap();
        assert_eq!(process.reap().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(Errno::CHILD.raw_os_error()));
    });
    test.child("parent").spawn().succeed();
}

#[test]
fn a_genuine_fault_is_handed_to_the_handler_below() {
    let test = test!();
    #[allow(unconditional_recursion, reason = "to run out of stack is the purpose")]
    fn deeper() -> u64 {
        std::hint::black_box(deeper()) + 1
    }
    test.role("process", |_| {
        let counter = Counter::new();
        // Rust's runtime has a handler of its own for this, which ends the process with SIGABRT. Ours comes first, and
        // must neither swallow the fault nor have it again and again.
        assert!(matches!(Disposition::of(Signal::SEGV).unwrap(), Disposition::Handler { ours: false, .. }));
        let action = Action::count(&counter).with_flags(ActionFlags::ONSTACK);
        let _guard = action.install(Signal::SEGV).unwrap();
        // One that a process sends is only counted.
        raise(Signal::SEGV).unwrap();
        assert_eq!(counter.get(), 1);
        deeper();
    });
    let status = test.child("process").spawn().wait();
    assert_eq!(status.signal(), Some(Signal::ABRT.as_raw()));
}

#[test]
fn installing_and_removing_under_fire_harms_nothing() {
    let test = test!();
    test.role("process", |_| {
        let stop = AtomicBool::new(false);
        let directory = scratch();
        let mut files = Vec::new();
        let mut taken_over = 0;
        std::thread::scope(|scope| {
            // Also when something below fails: the scope waits for its threads.
            let _stop = StopOnDrop(&stop);
            // More threads than processors, so that some are always held up in the middle of the handler.
            for _ in 0..8 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        raise(HARMLESS).unwrap();
                    }
                });
            }
            for round in 0..300 {
                let pipe = SelfPipe::new().unwrap();
                let number = format!("{:?}", pipe.as_fd());
                let guard = Action::record(&pipe).install(HARMLESS).unwrap();
                pipe.receive().unwrap();
                drop(guard);
                drop(pipe);
                // Files that take over the numbers of the pipe: a handler that comes too late writes into them.
                for end in ["read", "write"] {
                    files.push(File::create(directory.path().join(format!("{round}-{end}"))).unwrap());
                }
                taken_over += usize::from(format!("{:?}", files[2 * round].as_fd()) == number);
            }
        });
        // Not in every round: the C library opens a file of its own now and then, and has a number for a moment.
        assert!(taken_over > 200, "only {taken_over} of 300 pairs of files stand where a pipe stood");
        assert!(files.iter().all(|file| file.metadata().unwrap().len() == 0));
    });
    test.child("process").spawn().succeed();
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
