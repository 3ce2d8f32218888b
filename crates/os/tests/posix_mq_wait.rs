//! POSIX message queues: blocking, deadlines, signals, readiness.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_os::posix::mq::{Access, Limits, Priority, Queue};
use twixt_os::{Deadline, ErrorKind, Mode, Wait};
use twixt_testkit::{Peer, Storm, call, strace, test, under_storm, unique_name};

const SMALL: Limits = Limits { max_messages: 1, message_size: 16 };

fn queue() -> (Queue, String) {
    let name = format!("/{}", unique_name());
    (Queue::create(&name, Access::ReadWrite, SMALL, Mode::OWNER).unwrap(), name)
}

fn open(peer: &Peer) -> Queue {
    Queue::open(&peer.arg(0), Access::ReadWrite).unwrap()
}

fn received(outcome: twixt_os::Result<twixt_os::posix::mq::Received>, buffer: &[u8]) -> String {
    match outcome {
        Ok(received) => format!("received {}", String::from_utf8_lossy(&buffer[..received.len])),
        Err(error) => failed(error),
    }
}

fn failed(error: twixt_os::Error) -> String {
    format!("{:?}", error.kind())
}

fn later() -> Deadline {
    Deadline::after(Duration::from_secs(80))
}

#[test]
fn receive_waits_for_a_message_whatever_signals_come() {
    let test = test!();
    test.role("receive", |peer| {
        let queue = open(peer);
        let said = under_storm(peer, || {
            let mut buffer = [0; 16];
            let vector = |wait| {
                let (message, _priority) = queue.receive_vec(wait)?;
                Ok(format!("received {}", String::from_utf8(message).unwrap()))
            };
            match peer.arg(1).as_str() {
                "receive" => received(queue.receive(&mut buffer), &buffer),
                "receive_deadline" => received(queue.receive_deadline(&mut buffer, later()), &buffer),
                "receive_vec" => vector(Wait::forever()).unwrap_or_else(failed),
                _ => vector(Wait::until(later())).unwrap_or_else(failed),
            }
        });
        peer.say(&said);
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    for (form, call) in [
        ("receive", &[call::MQ_RECEIVE][..]),
        ("receive_deadline", call::POLLING),
        ("receive_vec", &[call::MQ_RECEIVE]),
        ("receive_vec until", call::POLLING),
    ] {
        let mut child = test.child("receive").arg(&name).arg(form).spawn();
        child.expect("stormed");
        child.wait_until_blocked_in(call);
        queue.send(b"at last", Priority::LOWEST).unwrap();
        child.expect("received at last");
        child.succeed();
    }
}

#[test]
fn send_waits_for_room_whatever_signals_come() {
    let test = test!();
    test.role("send", |peer| {
        let queue = open(peer);
        let outcome = under_storm(peer, || match peer.arg(1).as_str() {
            "send" => queue.send(b"second", Priority::HIGHEST),
            _ => queue.send_deadline(b"second", Priority::HIGHEST, later()),
        });
        peer.say(&format!("{outcome:?}"));
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    for (form, call) in [("send", &[call::MQ_SEND][..]), ("send_deadline", call::POLLING)] {
        queue.send(b"first", Priority::LOWEST).unwrap();
        let mut child = test.child("send").arg(&name).arg(form).spawn();
        child.expect("stormed");
        child.wait_until_blocked_in(call);
        let mut buffer = [0; 16];
        let first = queue.receive(&mut buffer);
        assert_eq!(received(first, &buffer), "received first");
        child.expect("Ok(())");
        let second = queue.receive(&mut buffer);
        assert_eq!(received(second, &buffer), "received second");
        child.succeed();
    }
}

#[test]
fn a_signal_ends_the_interruptible_forms_alone() {
    let test = test!();
    test.role("interrupted", |peer| {
        let queue = open(peer);
        let _storm = Storm::on_this_thread();
        let received = queue.receive_interruptible(&mut [0; 16]);
        peer.say(&format!("{:?}", received.unwrap_err().kind()));
        queue.send(b"full", Priority::LOWEST).unwrap();
        let sent = queue.send_interruptible(b"more", Priority::LOWEST);
        peer.say(&format!("{:?}", sent.unwrap_err().kind()));
        let until = Wait::until(Deadline::after(Duration::from_secs(60))).interruptible();
        let sent = queue.send_wait(b"more", Priority::LOWEST, until);
        peer.say(&format!("{:?}", sent.unwrap_err().kind()));
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut child = test.child("interrupted").arg(&name).spawn();
    child.expect("Interrupted");
    child.expect("Interrupted");
    child.expect("Interrupted");
    child.succeed();
}

#[test]
fn deadlines_are_kept_whatever_signals_come() {
    let test = test!();
    test.role("deadlines", |peer| {
        let queue = open(peer);
        let _storm = Storm::on_this_thread();
        let wait = Duration::from_millis(80);
        let begin = Instant::now();
        let error = queue.receive_deadline(&mut [0; 16], Deadline::after(wait)).unwrap_err();
        assert!(begin.elapsed() >= wait);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        queue.send_deadline(b"full", Priority::LOWEST, Deadline::after(wait)).unwrap();
        let begin = Instant::now();
        let error = queue.send_deadline(b"more", Priority::LOWEST, Deadline::after(wait)).unwrap_err();
        assert!(begin.elapsed() >= wait);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    test.child("deadlines").arg(&name).spawn().succeed();
}

#[test]
fn a_deadline_in_the_past_tries_once() {
    let _test = test!();
    let (queue, _) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let past = Deadline::now();
    let mut buffer = [0; 16];
    assert_eq!(queue.receive_deadline(&mut buffer, past).unwrap_err().kind(), ErrorKind::TimedOut);
    queue.send_deadline(b"x", Priority::LOWEST, past).unwrap();
    assert_eq!(queue.send_deadline(b"y", Priority::LOWEST, past).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(queue.receive_deadline(&mut buffer, past).unwrap().len, 1);
}

#[test]
fn a_message_before_the_deadline_is_received() {
    let test = test!();
    test.role("receive", |peer| {
        let mut buffer = [0; 16];
        let outcome = open(peer).receive_deadline(&mut buffer, Deadline::after(Duration::from_secs(80)));
        peer.say(&received(outcome, &buffer));
    });
    test.role("send", |peer| {
        let queue = open(peer);
        let deadline = Deadline::after(Duration::from_secs(80));
        peer.say(&format!("{:?}", queue.send_deadline(b"squeezed in", Priority::LOWEST, deadline)));
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut child = test.child("receive").arg(&name).spawn();
    child.wait_until_blocked_in(call::POLLING);
    queue.send(b"in time", Priority::LOWEST).unwrap();
    child.expect("received in time");
    child.succeed();

    queue.send(b"first", Priority::LOWEST).unwrap();
    let mut child = test.child("send").arg(&name).spawn();
    child.wait_until_blocked_in(call::POLLING);
    queue.receive(&mut [0; 16]).unwrap();
    child.expect("Ok(())");
    child.succeed();
}

/// A deadline of the system's clock would stand in the arguments of the receive; here it is always the zero time,
/// and the waiting is done by a poll, whose timeout nobody's clock moves.
#[test]
fn deadlines_do_not_depend_on_the_systems_clock() {
    let test = test!();
    test.role("deadline", |peer| {
        let queue = open(peer);
        let deadline = Deadline::after(Duration::from_millis(30));
        assert_eq!(queue.receive_deadline(&mut [0; 16], deadline).unwrap_err().kind(), ErrorKind::TimedOut);
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let log = twixt_testkit::scratch();
    let log = log.path().join("log");
    let log_name = log.to_str().unwrap();
    if let Err(missing) = strace::calls(test.child("deadline").arg(&name)) {
        return test.skip(&missing);
    }
    let strace = ["strace", "-f", "-qq", "-e", "trace=mq_timedreceive,poll,ppoll", "-o", log_name];
    test.child("deadline").arg(&name).under(&strace).spawn().succeed();
    let log = std::fs::read_to_string(log).unwrap();
    let receives: Vec<_> = log.lines().filter(|line| line.contains("mq_timedreceive(")).collect();
    assert!(!receives.is_empty(), "{log}");
    for line in receives {
        assert!(line.contains("{tv_sec=0, tv_nsec=0}) = -1 ETIMEDOUT"), "{line}");
    }
    assert!(log.contains("poll("), "{log}");
}

#[test]
fn the_descriptor_tells_readiness() {
    let _test = test!();
    let (queue, _) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let ready = || {
        let mut polled = [PollFd::from_borrowed_fd(queue.as_fd(), PollFlags::IN | PollFlags::OUT)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        polled[0].revents()
    };
    assert_eq!(ready(), PollFlags::OUT);
    queue.send(b"x", Priority::LOWEST).unwrap();
    assert_eq!(ready(), PollFlags::IN);
}

/// A C program, or a child that shares the description, may have set the flag: waiting is as told all the same.
#[test]
fn a_nonblocking_description_changes_nothing() {
    let test = test!();
    test.role("receive", |peer| {
        let queue = open(peer);
        queue.set_nonblocking(true).unwrap();
        assert!(queue.status().unwrap().nonblocking);
        let mut buffer = [0; 16];
        let outcome = queue.try_receive(&mut buffer);
        peer.say(&received(outcome, &buffer));
        let outcome = queue.receive(&mut buffer);
        peer.say(&received(outcome, &buffer));
        assert_eq!(
            queue
                .receive_deadline(&mut buffer, Deadline::after(Duration::from_millis(5)))
                .unwrap_err()
                .kind(),
            ErrorKind::TimedOut
        );
        queue.set_nonblocking(false).unwrap();
        assert!(!queue.status().unwrap().nonblocking);
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut child = test.child("receive").arg(&name).spawn();
    child.expect("WouldBlock");
    child.wait_until_blocked_in(call::POLLING);
    queue.send(b"polled for", Priority::LOWEST).unwrap();
    child.expect("received polled for");
    child.succeed();
}

#[test]
fn a_killed_receiver_takes_nothing_with_it() {
    let test = test!();
    test.role("receive", |peer| drop(open(peer).receive(&mut [0; 16])));
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let child = test.child("receive").arg(&name).spawn();
    child.wait_until_blocked_in(&[call::MQ_RECEIVE]);
    child.kill();
    queue.send(b"not for it", Priority::LOWEST).unwrap();
    let mut buffer = [0; 16];
    let outcome = queue.try_receive(&mut buffer);
    assert_eq!(received(outcome, &buffer), "received not for it");
}
