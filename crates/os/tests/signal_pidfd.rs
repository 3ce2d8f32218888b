//! Processes by descriptor.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use twixt_os::signal::{self, Pid, PidFd, Signal, SignalSet};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};
use twixt_testkit::{Storm, test};

fn sleeper() -> (std::process::Child, PidFd) {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    let process = PidFd::of_child(&child).unwrap();
    (child, process)
}

#[test]
fn a_killed_child_is_waited_for() {
    let (mut child, process) = sleeper();
    let soon = Duration::from_millis(30);
    let start = Instant::now();
    for error in [
        process.try_wait_exit().unwrap_err(),
        process.try_reap().unwrap_err(),
        process.wait_exit_deadline(Deadline::now()).unwrap_err(),
        process.wait_exit_deadline(Deadline::after(soon)).unwrap_err(),
        process.reap_deadline(Deadline::after(soon)).unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }
    assert!(start.elapsed() >= soon * 2);
    process.send(Signal::KILL).unwrap();
    process.wait_exit().unwrap();
    process.wait_exit_deadline(Deadline::now()).unwrap();
    process.try_wait_exit().unwrap();
    process.wait_exit_interruptible().unwrap();
    // A zombie can be signalled still; one that was waited for cannot.
    process.send(Signal::TERM).unwrap();
    let status = process.reap().unwrap();
    assert_eq!(status.signal(), Some(9));
    let error = process.send(Signal::TERM).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(Errno::SRCH)));
    assert!(error.to_string().contains(&format!("to process {}", child.id())));
    assert_eq!(process.queue(Signal::RTMIN, 1).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(process.try_reap().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(child.try_wait().is_err(), "the status was taken");
}

#[test]
fn statuses_are_those_of_wait() {
    for (script, code, signal) in
        [("exit 0", Some(0), None), ("exit 200", Some(200), None), ("kill -15 $$", None, Some(15))]
    {
        let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let status = PidFd::of_child(&child).unwrap().reap_interruptible().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
        assert!(child.wait().is_err(), "the status was taken");
    }
}

#[test]
fn a_stranger_is_waited_for_but_not_reaped() {
    let test = test!();
    test.role("stranger", |peer| {
        let process = PidFd::open(Pid::from_raw(peer.arg(0).parse().unwrap()).unwrap()).unwrap();
        assert_eq!(process.try_reap().unwrap_err().kind(), ErrorKind::NotFound);
        peer.say("waiting");
        process.wait_exit().unwrap();
        assert_eq!(process.reap().unwrap_err().kind(), ErrorKind::NotFound);
        peer.say("ended");
    });
    let (mut child, process) = sleeper();
    let mut stranger = test.child("stranger").arg(child.id()).spawn();
    stranger.expect("waiting");
    process.send(Signal::KILL).unwrap();
    stranger.expect("ended");
    child.wait().unwrap();
    stranger.succeed();
}

#[test]
fn waiting_survives_a_storm() {
    let test = test!();
    test.role("process", |_| {
        let forms: [fn(&PidFd, Wait) -> twixt_os::Result<()>; 2] =
            [PidFd::wait_exit_wait, |process, wait| process.reap_wait(wait).map(drop)];
        for form in forms {
            let (mut child, process) = sleeper();
            let storm = Storm::on_this_thread();
            let error = form(&process, Wait::forever().interruptible()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted);
            let deadline = Wait::until(Deadline::after(Duration::from_millis(50)));
            assert_eq!(form(&process, deadline).unwrap_err().kind(), ErrorKind::TimedOut);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    storm.wait_for(20);
                    process.send(Signal::KILL).unwrap();
                });
                form(&process, Wait::forever()).unwrap();
            });
            let _ = child.wait();
        }
    });
    test.child("process").spawn().succeed();
}

#[test]
fn a_value_goes_through_it() {
    let test = test!();
    test.role("receiver", |peer| {
        peer.say("ready");
        let info = SignalSet::from(Signal::RTMIN).wait().unwrap();
        peer.say(&format!("{} {}", info.value().unwrap().as_usize(), info.pid().unwrap().as_raw_nonzero()));
    });
    let mut child = test.child("receiver").under(&["env", "--block-signal=RTMIN"]).spawn();
    child.expect("ready");
    let process = PidFd::open(Pid::from_raw(child.pid()).unwrap()).unwrap();
    // By the bare descriptor, as if it had come over a socket.
    let process = PidFd::from(OwnedFd::from(process));
    process.queue(Signal::RTMIN, usize::MAX - 1).unwrap();
    child.expect(&format!("{} {}", usize::MAX - 1, std::process::id()));
    child.succeed();
}

#[test]
fn what_is_no_process_is_an_error() {
    let error = PidFd::open(Pid::from_raw(i32::MAX).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // A thread that leads no process: the test runs in one.
    let error = PidFd::open(signal::this_thread()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let file = PidFd::from_fd(std::fs::File::open("/dev/null").unwrap().into());
    assert!(matches!(file.send(Signal::URG).unwrap_err().kind(), ErrorKind::InvalidInput));
    assert!(file.try_reap().is_err());
}
