//! Sending and taking signals between processes: order, values, senders, limits.

use rustix::process::{Resource, Rlimit, setrlimit};
use twixt_os::signal::{
    self, Cause, Info, Pid, Presence, Signal, SignalFd, SignalSet, Target, broadcast, kill, probe, queue,
};
use twixt_os::{Errno, ErrorKind};
use twixt_testkit::{Child, Peer, Spawn, command, root, test};

const A: Signal = Signal::RTMIN;
const B: Signal = Signal::real_time(1).unwrap();
const C: Signal = Signal::RTMAX;

/// Starts the child with all signals blocked in all its threads, also those of the test harness: a signal to the
/// process then stays until the role takes it.
fn blocked(spawn: Spawn) -> Spawn {
    spawn.under(&["env", "--block-signal"])
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.pid()).unwrap()
}

/// Says one taken signal in a line.
fn say(peer: &Peer, info: &Info) {
    let value = info.value().map_or("-".to_owned(), |value| value.as_usize().to_string());
    peer.say(&format!("{} {value}", info.signal()));
}

/// A role that takes all that is pending each time it is told to.
fn take_when_told(peer: &Peer) {
    peer.say("ready");
    loop {
        match peer.hear().as_str() {
            "take" => {
                while let Ok(info) = SignalSet::ALL.try_wait() {
                    say(peer, &info);
                }
                peer.say("nothing");
            }
            "read" => {
                let signals = SignalFd::create(SignalSet::ALL).unwrap();
                let mut taken = Vec::new();
                while signals.try_receive_many(&mut taken).is_ok() {}
                taken.iter().for_each(|info| say(peer, info));
                peer.say("nothing");
            }
            _ => return,
        }
    }
}

#[test]
fn real_time_signals_arrive_by_number_then_in_order_with_their_values() {
    let test = test!();
    test.role("receiver", take_when_told);
    for how in ["take", "read"] {
        let mut child = blocked(test.child("receiver")).spawn();
        child.expect("ready");
        let to = pid(&child);
        // Out of order, so that neither plain arrival order nor luck looks right.
        for (signal, value) in [(C, 1), (A, usize::MAX), (B, 3), (A, 4), (C, 1 << 40), (B, 0), (A, 7)] {
            queue(to, signal, value).unwrap();
        }
        child.tell(how);
        for (signal, value) in [(A, usize::MAX), (A, 4), (A, 7), (B, 3), (B, 0), (C, 1), (C, 1 << 40)] {
            child.expect(&format!("{signal} {value}"));
        }
        child.expect("nothing");
        child.succeed();
    }
}

#[test]
fn many_are_queued_and_none_is_lost() {
    let test = test!();
    test.role("receiver", take_when_told);
    for how in ["take", "read"] {
        let mut child = blocked(test.child("receiver")).spawn();
        child.expect("ready");
        for value in 0..500_usize {
            queue(pid(&child), A, value).unwrap();
        }
        child.tell(how);
        for value in 0..500 {
            child.expect(&format!("{A} {value}"));
        }
        child.expect("nothing");
        child.succeed();
    }
}

#[test]
fn standard_signals_coalesce_and_come_first() {
    let test = test!();
    test.role("receiver", take_when_told);
    let mut child = blocked(test.child("receiver")).spawn();
    child.expect("ready");
    let to = pid(&child);
    queue(to, A, 1).unwrap();
    for value in [10, 11, 12] {
        queue(to, Signal::USR1, value).unwrap();
    }
    for _ in 0..3 {
        kill(to, Signal::HUP).unwrap();
    }
    child.tell("take");
    child.expect("SIGHUP -");
    child.expect("SIGUSR1 10");
    child.expect("SIGRTMIN 1");
    child.expect("nothing");
    child.succeed();
}

#[test]
fn an_i32_value_is_what_c_sees_as_sival_int() {
    let test = test!();
    test.role("receiver", |peer| {
        peer.say("ready");
        for _ in 0..2 {
            let value = SignalSet::from(A).wait().unwrap().value().unwrap();
            peer.say(&format!("{} {}", value.as_i32(), value.as_usize()));
        }
    });
    let mut child = blocked(test.child("receiver")).spawn();
    child.expect("ready");
    queue(pid(&child), A, -5).unwrap();
    child.expect("-5 4294967291");
    queue(pid(&child), A, -5_isize as usize).unwrap();
    child.expect(&format!("-5 {}", -5_isize as usize));
    child.succeed();
}

#[test]
fn the_receivers_limit_is_named_and_nothing_is_sent_beyond_it() {
    let test = test!();
    test.role("limited", |peer| {
        // The limit counts the signals of the whole user, and this user shares it with other tests: a limit of zero
        // leaves room for none, whatever they do.
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Sigpending, none).unwrap();
        take_when_told(peer);
    });
    let mut child = blocked(test.child("limited")).spawn();
    child.expect("ready");
    let to = pid(&child);
    let process = signal::PidFd::open(to).unwrap();
    let errors = [
        queue(to, A, 1).unwrap_err(),
        process.queue(A, 1).unwrap_err(),
        signal::queue_to_thread(to, to, A, 1).unwrap_err(),
        signal::kill_thread(to, to, A).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.errno(), Some(Errno::AGAIN));
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current), ("RLIMIT_SIGPENDING", Some(0)));
        assert!(error.to_string().contains(&format!("to process {to_raw}", to_raw = child.pid())), "{error}");
    }
    // kill(2) never fails for that, but keeps one signal without its record.
    kill(to, B).unwrap();
    kill(to, B).unwrap();
    child.tell("take");
    child.expect(&format!("{B} -"));
    child.expect("nothing");
    child.succeed();
}

#[test]
fn a_timer_needs_a_place_for_its_signal() {
    let test = test!();
    test.role("limited", |_| {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Sigpending, none).unwrap();
        let notify = signal::Notify::Process { signal: A, value: 1.into() };
        let error = signal::Timer::create(signal::Clock::Monotonic, notify).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        assert_eq!(error.limit().unwrap().name, "RLIMIT_SIGPENDING");
        assert_eq!(error.limit().unwrap().current, Some(0));
    });
    test.child("limited").spawn().succeed();
}

#[test]
fn the_sender_is_known() {
    let test = test!();
    test.role("receiver", |peer| {
        peer.say(&signal::this_thread().as_raw_nonzero().to_string());
        let set = SignalSet::from([A, Signal::USR1, Signal::USR2]);
        let signals = SignalFd::create(set).unwrap();
        for turn in 0..6 {
            let info = if turn % 2 == 0 { set.wait() } else { signals.receive() }.unwrap();
            let cause = match info.cause() {
                Cause::User { .. } => "user",
                Cause::Queue { .. } => "queue",
                Cause::Thread { .. } => "thread",
                _ => "other",
            };
            let sender = info.pid().unwrap().as_raw_nonzero();
            peer.say(&format!("{cause} {sender} {} {} {}", info.uid().unwrap(), info.code(), info.errno()));
        }
    });
    test.role("sender", |peer| {
        let [to, thread] = [0, 1].map(|index| Pid::from_raw(peer.arg(index).parse().unwrap()).unwrap());
        for _ in 0..2 {
            kill(to, Signal::USR1).unwrap();
            peer.wait_for("next");
            queue(to, A, 1).unwrap();
            peer.wait_for("next");
            signal::kill_thread(to, thread, Signal::USR2).unwrap();
            peer.wait_for("next");
        }
    });
    let mut receiver = blocked(test.child("receiver")).spawn();
    let thread = receiver.hear();
    let mut sender = test.child("sender").arg(receiver.pid()).arg(thread).spawn();
    let uid = rustix::process::getuid().as_raw();
    for (cause, code) in [("user", 0), ("queue", -1), ("thread", -6)].repeat(2) {
        receiver.expect(&format!("{cause} {} {uid} {code} 0", sender.pid()));
        sender.tell("next");
    }
    sender.succeed();
    receiver.succeed();
}

#[test]
fn another_user_is_known_by_uid_and_may_not_signal_root() {
    let test = test!();
    test.role("stranger", |peer| {
        let to = Pid::from_raw(peer.arg(0).parse().unwrap()).unwrap();
        let process = signal::PidFd::open(to).unwrap();
        let errors = [
            kill(to, Signal::USR1).unwrap_err(),
            queue(to, A, 1).unwrap_err(),
            process.send(Signal::USR1).unwrap_err(),
            process.queue(A, 1).unwrap_err(),
            signal::kill_thread(to, to, Signal::USR1).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.errno(), Some(Errno::PERM));
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert!(error.advice().unwrap().contains("CAP_KILL"));
        }
        assert_eq!(probe(to).unwrap(), Presence::Forbidden);
        let friend = Pid::from_raw(peer.arg(1).parse().unwrap()).unwrap();
        queue(friend, A, 5).unwrap();
    });
    test.role("friend", |peer| {
        peer.say("ready");
        let info = SignalSet::from(A).wait().unwrap();
        peer.say(&format!("{} {}", info.pid().unwrap().as_raw_nonzero(), info.uid().unwrap()));
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut friend = blocked(test.child("friend")).as_nobody().spawn();
    friend.expect("ready");
    let stranger = test.child("stranger").arg(std::process::id()).arg(friend.pid()).as_nobody().spawn();
    let pid = stranger.pid();
    friend.expect(&format!("{pid} 65534"));
    stranger.succeed();
    friend.succeed();
}

#[test]
fn nobody_there_is_an_error() {
    let gone = Pid::from_raw(i32::MAX).unwrap();
    for error in [
        kill(gone, Signal::TERM).unwrap_err(),
        kill(Target::Group(gone), Signal::TERM).unwrap_err(),
        queue(gone, A, 1).unwrap_err(),
        signal::kill_thread(gone, gone, A).unwrap_err(),
        signal::queue_to_thread(signal::this_process(), gone, A, 1).unwrap_err(),
    ] {
        assert_eq!(error.errno(), Some(Errno::SRCH));
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    let error = kill(gone, Signal::TERM).unwrap_err().to_string();
    assert_eq!(error, "cannot send signal to process 2147483647: no such process (ESRCH)");
    assert_eq!(probe(gone).unwrap(), Presence::Absent);
    assert_eq!(probe(Target::OwnGroup).unwrap(), Presence::Reachable);
}

#[test]
fn a_zombie_is_still_there() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    signal::PidFd::of_child(&child).unwrap().wait_exit().unwrap();
    assert_eq!(probe(&child).unwrap(), Presence::Reachable);
    kill(&child, Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(probe(&child).unwrap(), Presence::Absent);
}

#[test]
fn targets_are_the_numbers_of_kill() {
    let one = Pid::from_raw(1).unwrap();
    assert_eq!(Target::from_raw(5), Pid::from_raw(5).map(Target::Process));
    assert_eq!(Target::from_raw(-5), Pid::from_raw(5).map(Target::Group));
    assert_eq!(Target::from_raw(0), Some(Target::OwnGroup));
    assert_eq!(Target::from_raw(-1), None);
    assert_eq!(Target::from_raw(i32::MIN), None);
    assert_eq!(Target::from_raw(i32::MIN + 1).unwrap().as_raw(), i32::MIN + 1);
    // The group 1 would be kill(-1): everyone. A mistake must not get there.
    for error in [kill(Target::Group(one), Signal::URG).unwrap_err(), probe(Target::Group(one)).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("every process"), "{error}");
    }
}

#[test]
fn a_broadcast_reaches_everyone_but_the_sender() {
    let test = test!();
    // A PID namespace, so that everyone is few.
    let wrapper = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let works = |words: &[&str]| {
        let mut command = std::process::Command::new(words[0]);
        command.args(&words[1..]).arg("true").stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    test.role("first", |peer| {
        use std::os::unix::process::ExitStatusExt;
        let sleep = || std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut sleepers = [sleep(), sleep()];
        broadcast(Signal::TERM).unwrap();
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
        }
        let error = broadcast(Signal::TERM).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        peer.say("alone");
    });
    if !works(&wrapper) {
        return test.skip(&twixt_testkit::Missing("a private PID namespace (unshare --pid)".into()));
    }
    let mut child = test.child("first").under(&wrapper).spawn();
    child.expect("alone");
    child.succeed();
}

#[test]
fn a_c_program_queues_to_us_and_takes_from_us() {
    let test = test!();
    test.role("receiver", |peer| {
        peer.say("ready");
        peer.wait_for("take");
        for _ in 0..3 {
            let info = SignalSet::from([A, B]).wait().unwrap();
            let (value, from) = (info.value().unwrap().as_i32(), info.pid().unwrap().as_raw_nonzero());
            peer.say(&format!("{} {value} {from}", info.signal()));
        }
    });
    let scratch = twixt_testkit::scratch();
    let sender = twixt_testkit::compile_c(
        scratch.path(),
        "sender",
        r#"
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        int main(int argc, char **argv) {
            pid_t to = atoi(argv[1]);
            int numbers[] = { SIGRTMIN + 1, SIGRTMIN, SIGRTMIN }, values[] = { 1, -2, 3 };
            for (int i = 0; i < 3; i++) {
                union sigval value = { .sival_int = values[i] };
                if (sigqueue(to, numbers[i], value)) { perror("sigqueue"); return 1; }
            }
            return 0;
        }
        "#,
        &[],
    );
    let mut child = blocked(test.child("receiver")).spawn();
    child.expect("ready");
    let mut c = std::process::Command::new(sender).arg(child.pid().to_string()).spawn().unwrap();
    let from = c.id();
    assert!(c.wait().unwrap().success());
    child.tell("take");
    for line in ["SIGRTMIN -2", "SIGRTMIN 3", "SIGRTMIN+1 1"] {
        child.expect(&format!("{line} {from}"));
    }
    child.succeed();

    let receiver = twixt_testkit::compile_c(
        scratch.path(),
        "receiver",
        r#"
        #include <signal.h>
        #include <stdio.h>
        int main(void) {
            sigset_t set; siginfo_t info;
            sigfillset(&set);
            sigprocmask(SIG_BLOCK, &set, NULL);
            printf("ready\n"); fflush(stdout);
            for (int i = 0; i < 3; i++) {
                int number = sigwaitinfo(&set, &info);
                printf("%d %d %d %d %d\n", number, info.si_code == SI_QUEUE ? info.si_value.sival_int : 0,
                       info.si_code, info.si_pid, info.si_uid);
                fflush(stdout);
            }
            return 0;
        }
        "#,
        &[],
    );
    let mut c = Child::start(std::process::Command::new(receiver));
    assert_eq!(c.line().as_deref(), Some("ready"));
    let (me, uid) = (std::process::id(), rustix::process::getuid().as_raw());
    queue(pid(&c), A, -42).unwrap();
    assert_eq!(c.line(), Some(format!("34 -42 -1 {me} {uid}")));
    signal::PidFd::open(pid(&c)).unwrap().queue(B, 43).unwrap();
    assert_eq!(c.line(), Some(format!("35 43 -1 {me} {uid}")));
    kill(pid(&c), Signal::USR1).unwrap();
    assert_eq!(c.line(), Some(format!("10 0 0 {me} {uid}")));
    c.succeed();
}

#[test]
fn a_python_program_queues_to_us_and_takes_from_us() {
    let test = test!();
    test.role("receiver", |peer| {
        peer.say("ready");
        say(peer, &SignalSet::from(A).wait().unwrap());
    });
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let python = |program: &str, argument: i32| {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", program, &argument.to_string()]);
        Child::start(command)
    };
    let mut child = blocked(test.child("receiver")).spawn();
    child.expect("ready");
    let send = "import ctypes, signal, sys\n\
                assert ctypes.CDLL(None).sigqueue(int(sys.argv[1]), signal.SIGRTMIN, ctypes.c_void_p(123)) == 0";
    python(send, child.pid()).succeed();
    child.expect(&format!("{A} 123"));
    child.succeed();

    let take = "import signal\n\
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN, signal.SIGUSR1])\n\
                print('ready', flush=True)\n\
                for _ in range(2):\n\
                \x20 i = signal.sigwaitinfo([signal.SIGRTMIN, signal.SIGUSR1])\n\
                \x20 print(i.si_signo, i.si_code, i.si_pid, i.si_uid, flush=True)";
    let mut taker = python(take, 0);
    assert_eq!(taker.line().as_deref(), Some("ready"));
    let (me, uid) = (std::process::id(), rustix::process::getuid().as_raw());
    queue(pid(&taker), A, 1).unwrap();
    assert_eq!(taker.line(), Some(format!("34 -1 {me} {uid}")));
    kill(pid(&taker), Signal::USR1).unwrap();
    assert_eq!(taker.line(), Some(format!("10 0 {me} {uid}")));
    taker.succeed();
}
