//! Looking on while a process makes system calls.

use std::process::{Command, Stdio};
use std::thread;

use twixt_sys::Errno;
use twixt_sys::trace::{Event, follow, is_entering, resume, trace_child, wait};

/// Runs a shell's script to its end: how many calls were entered, and how many processes have ended; nothing where nobody
/// may trace.
fn run(script: &str) -> Option<(u64, u64)> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null());
    trace_child(&mut command);
    match command.spawn() {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            eprintln!("SKIP: needs permission to trace a process (ptrace)");
            return None;
        }
        Err(error) => panic!("{error}"),
    }
    let (mut calls, mut ended, mut known) = (0, 0, Vec::new());
    loop {
        let (thread, event) = match wait() {
            Err(Errno::CHILD) => return Some((calls, ended)),
            other => other.unwrap(),
        };
        let mut signal = 0;
        match event {
            Event::Ended => {
                ended += 1;
                continue;
            }
            _ if !known.contains(&thread) => {
                known.push(thread);
                follow(thread).unwrap();
            }
            Event::Call => calls += u64::from(is_entering(thread).unwrap()),
            Event::Signal(number) => signal = number,
            Event::Other => {}
        }
        resume(thread, signal).unwrap();
    }
}

#[test]
fn every_call_of_every_child_is_seen() {
    // Calls that no shell leaves out: each is the start of a program, which makes some.
    let Some((few, one)) = run("true; /bin/true") else { return };
    let (more, three) = run("true; /bin/true; /bin/true; /bin/true").unwrap();
    assert!(few > 10 && more > few + 10, "{few} and {more}");
    assert!(three > one, "{one} and {three} processes");
}

#[test]
fn a_signal_is_passed_on() {
    // What follows is reached only if the handler has run.
    let Some((with, _)) = run("trap 'exec /bin/true' USR1; kill -USR1 $$; while :; do sleep 0.01; done")
    else {
        return;
    };
    assert!(with > 0);
}

#[test]
fn what_is_not_traced_is_refused() {
    let other = thread::spawn(|| {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        assert_eq!(follow(own), Err(Errno::SRCH));
        assert_eq!(resume(own, 0), Err(Errno::SRCH));
        assert_eq!(is_entering(own), Err(Errno::SRCH));
        assert_eq!(wait(), Err(Errno::CHILD), "children of other threads are not this one's");
    });
    other.join().unwrap();
}
