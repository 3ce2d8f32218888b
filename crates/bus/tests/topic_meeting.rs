//! Topics with no capacity: a message is received when its publishing is over, also where both sides give up all the time.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_bus::{Capacity, Options, Publisher, Subscriber};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Peer, Test, call, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, in_ms, kind, receive};

fn rounds(usual: u64) -> u64 {
    std::env::var("TWIXT_TEST_ROUNDS").ok().map_or(usual, |rounds| rounds.parse().unwrap())
}

fn meeting(topic: &Topic) -> Options {
    topic.options().capacity(Capacity::Zero)
}

fn publisher(topic: &Topic) -> Publisher {
    Publisher::open(&Topic::name(), &meeting(topic)).unwrap()
}

fn subscriber(topic: &Topic) -> Subscriber {
    Subscriber::open(&Topic::name(), &meeting(topic)).unwrap()
}

/// Up to some hundred microseconds, other ones each time.
fn moment(state: &mut u64) -> Duration {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    Duration::from_micros((*state >> 33) % 300)
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

/// Publishes numbers, each as long as it dares, and says which went.
fn hasty(peer: &Peer) {
    let publisher = publisher(&Topic::of(peer));
    peer.say("there");
    let (mut state, mut published) = (1, String::new());
    for number in 0..rounds(20_000) {
        let outcome = match moment(&mut state) {
            time if time.as_micros() % 8 == 0 => publisher.try_publish(&number.to_ne_bytes()),
            time => publisher.publish_deadline(&number.to_ne_bytes(), Deadline::after(time)),
        };
        match outcome {
            Ok(()) => published += &format!("{number}\n"),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            }
        }
    }
    // What was given up is not counted, however far it had come.
    assert_eq!(publisher.published().0, published.lines().count() as u64);
    std::fs::write(peer.arg(1), published).unwrap();
    publisher.publish(&u64::MAX.to_ne_bytes()).unwrap();
}

#[test]
fn what_was_published_is_received_once_however_soon_both_sides_give_up() {
    let test = test!();
    test.role("publisher", hasty);
    let topic = Topic::new();
    // It makes the topic, and is there all the time.
    let mut subscriber = subscriber(&topic);
    let scratch = twixt_testkit::scratch();
    let note = scratch.path().join("published");
    let mut child = test.child("publisher").arg(topic.arg()).arg(note.display()).spawn();
    child.expect("there");
    let (mut received, mut state) = (Vec::new(), 2);
    loop {
        let wait = match moment(&mut state) {
            time if time.as_micros() % 8 == 0 => Wait::never(),
            time => Wait::until(Deadline::after(time)),
        };
        match subscriber.receive_wait(wait) {
            Ok(sample) => received.push(number(&sample.to_vec().unwrap())),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            }
        }
        if received.last() == Some(&u64::MAX) {
            received.pop();
            break;
        }
    }
    let published = std::fs::read_to_string(note).unwrap();
    let published: Vec<u64> = published.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(received, published);
    assert!(!received.is_empty(), "they have never met");
    child.succeed();
}

/// Nanoseconds of a clock that both processes have.
fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// How long the publisher waits until somebody has its message, in nanoseconds.
const PATIENCE: i64 = 3_000_000;

/// Publishes when it is told to, for a while, and says whether it went and until when it has waited at least.
fn persistent(peer: &Peer) {
    let publisher = publisher(&Topic::of(peer));
    peer.say("there");
    let mut went = 0;
    for number in 0..peer.arg(1).parse::<u64>().unwrap() {
        peer.wait_for("publish");
        let end = now() + PATIENCE;
        let deadline = Deadline::after(Duration::from_nanos(PATIENCE as u64));
        match publisher.publish_deadline(&number.to_ne_bytes(), deadline) {
            Ok(()) => {
                went += 1;
                peer.say(&format!("went {end}"));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                peer.say(&format!("failed {end}"));
            }
        }
        // Once, if it was published anew; and not at all if it was given up.
        assert_eq!(publisher.published(), (went, 8 * went));
    }
}

/// Whoever was to have a message leaves without it; another comes at about the time when its publisher gives up.
#[test]
fn what_was_published_is_the_next_ones_or_was_not_published() {
    let test = test!();
    test.role("publisher", persistent);
    let topic = Topic::new();
    let rounds = rounds(500);
    let mut first = subscriber(&topic);
    let mut child = test.child("publisher").arg(topic.arg()).arg(rounds.to_string()).spawn();
    child.expect("there");
    let (mut state, mut went) = (3, 0);
    for expected in 0..rounds {
        // Once nothing else has happened, what makes it readable is the message, which it does not take.
        while first.arm().unwrap() {
            assert_eq!(kind(first.try_receive()), ErrorKind::WouldBlock);
        }
        child.tell("publish");
        let bell = first.doorbell().unwrap();
        let time = Timespec { tv_sec: 60, tv_nsec: 0 };
        assert!(poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&time)).unwrap() > 0);
        drop(first);
        let dropped = now();
        std::thread::sleep(Duration::from_micros(2400) + 4 * moment(&mut state));
        let mut second = subscriber(&topic);
        let patience = Wait::until(Deadline::after(Duration::from_nanos(PATIENCE as u64)));
        let number_of = |sample: twixt_bus::Sample<'_>| number(&sample.to_vec().unwrap());
        let mut found = second.receive_wait(patience).map(number_of);
        let line = child.hear();
        if found.is_err() {
            found = second.try_receive().map(number_of);
        }
        let (outcome, end) = line.split_once(' ').unwrap();
        match outcome {
            // Where the first was still there when the time was up, it was that one's.
            "went" if dropped >= end.parse().unwrap() => {}
            "went" => {
                assert_eq!(found.unwrap(), expected, "it is lost");
                went += 1;
            }
            _ => assert_eq!(kind(found), ErrorKind::WouldBlock, "{expected} was not published"),
        }
        first = second;
    }
    println!("{went} of {rounds} went");
    child.succeed();
}

/// Who comes, takes what there is and goes, all while the publisher cannot look, has nothing of what that one then gives up.
#[test]
fn what_was_given_up_nobody_has_received() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = publisher(&Topic::of(peer));
        peer.say("there");
        for (number, patience) in [(1_u64, 300), (2, 60_000)] {
            peer.wait_for("publish");
            let deadline = Deadline::after(Duration::from_millis(patience));
            let mut message = number.to_ne_bytes().to_vec();
            message.resize(peer.arg(1).parse().unwrap(), 9);
            peer.say(match publisher.publish_deadline(&message, deadline) {
                Ok(()) => "went",
                Err(_) => "failed",
            });
        }
    });
    // One that is received while it is written, too.
    for len in [8, 40_000] {
        give_up(&test, len);
    }
}

fn give_up(test: &Test, len: usize) {
    let topic = Topic::new();
    let mut guest = Some(subscriber(&topic));
    let mut child = test.child("publisher").arg(topic.arg()).arg(len).spawn();
    child.expect("there");
    // The first time the time is over when it looks again, the second time it is not.
    for time in [Duration::from_millis(300), Duration::ZERO] {
        let mut first = guest.take().unwrap_or_else(|| subscriber(&topic));
        while first.arm().unwrap() {
            assert_eq!(kind(first.try_receive()), ErrorKind::WouldBlock);
        }
        child.tell("publish");
        let bell = first.doorbell().unwrap();
        assert!(poll(&mut [PollFd::new(&bell, PollFlags::IN)], None).unwrap() > 0);
        child.wait_until_blocked_in(&[call::FUTEX]);
        child.stop();
        drop(first);
        let mut second = subscriber(&topic);
        let mut has_received = second.try_receive().is_ok();
        drop(second);
        std::thread::sleep(time);
        child.signal(rustix::process::Signal::CONT);
        if time.is_zero() {
            // Whoever comes while it waits has it.
            let mut third = subscriber(&topic);
            let found = receive(&mut third);
            assert_eq!((number(&found[..8]), found.len()), (2, len));
            assert!(found[8..].iter().all(|byte| *byte == 9));
            assert!(!has_received, "it was received twice");
            has_received = true;
        }
        child.expect(if has_received { "went" } else { "failed" });
    }
    child.succeed();
}

#[test]
fn whoever_comes_while_a_loan_is_out_has_it_too() {
    let topic = Topic::new();
    let (mut first, publisher) = (subscriber(&topic), publisher(&topic));
    while first.arm().unwrap() {
        assert_eq!(kind(first.try_receive()), ErrorKind::WouldBlock);
    }
    let mut loan = publisher.loan_wait(8, Wait::never()).unwrap();
    loan.write(0, &7_u64.to_ne_bytes());
    let second = subscriber(&topic);
    std::thread::scope(|scope| {
        for mut subscriber in [first, second] {
            scope.spawn(move || {
                assert_eq!(number(&receive(&mut subscriber)), 7);
                assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
            });
        }
        loan.publish().unwrap();
    });
}

#[test]
fn an_invitation_is_for_one_message() {
    let topic = Topic::new();
    let (mut subscriber, publisher) = (subscriber(&topic), publisher(&topic));
    while subscriber.arm().unwrap() {
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    }
    let loan = publisher.loan_wait(8, Wait::never()).unwrap();
    assert_eq!(kind(publisher.loan_wait(8, Wait::never())), ErrorKind::WouldBlock);
    // To wait would be in vain: nobody but the one who would wait can publish it.
    assert_eq!(kind(publisher.publish(b"another")), ErrorKind::WouldBlock);
    drop(loan);
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    while subscriber.arm().unwrap() {}
    publisher.try_publish(b"the one").unwrap();
    assert_eq!(subscriber.try_receive().unwrap().to_vec().unwrap(), b"the one");
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
}

#[test]
fn without_capacity_publishing_is_over_when_all_have_it() {
    let test = test!();
    test.role("publisher", |peer| {
        let topic = Topic::of(peer);
        let publisher = publisher(&topic);
        peer.say("there");
        while peer.hear() == "publish" {
            publisher.publish(b"x").unwrap();
            peer.say("met");
        }
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        while peer.hear() == "receive" {
            assert_eq!(receive(&mut subscriber), b"x");
            assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
            peer.say("has it");
        }
    });
    let topic = Topic::new();
    let publisher = publisher(&topic);
    // Nobody is there.
    assert_eq!(kind(publisher.try_publish(b"never")), ErrorKind::WouldBlock);
    assert_eq!(kind(publisher.publish_wait(b"never", in_ms(10))), ErrorKind::TimedOut);
    drop(publisher);
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    child.expect("there");
    child.tell("publish");
    child.wait_until_blocked_in(&[call::FUTEX]);
    // Whoever comes while it waits has the message; and not what was given up.
    let mut first = topic.subscriber();
    assert_eq!(receive(&mut first), b"x");
    assert_eq!(kind(first.try_receive()), ErrorKind::WouldBlock);
    child.expect("met");
    // All have it, or nobody.
    let mut second = test.child("subscriber").arg(topic.arg()).spawn();
    second.expect("there");
    child.tell("publish");
    child.wait_until_blocked_in(&[call::FUTEX]);
    assert_eq!(kind(first.receive_wait(in_ms(30))), ErrorKind::TimedOut);
    second.tell("receive");
    second.wait_until_blocked_in(&[call::FUTEX]);
    assert_eq!(receive(&mut first), b"x");
    second.expect("has it");
    child.expect("met");
    assert_eq!(kind(first.try_receive()), ErrorKind::WouldBlock);
    // One leaves instead, or dies.
    for dies in [false, true] {
        child.tell("publish");
        child.wait_until_blocked_in(&[call::FUTEX]);
        assert_eq!(kind(first.receive_wait(in_ms(30))), ErrorKind::TimedOut);
        if dies {
            second.kill();
        } else {
            second.tell("leave");
            second.succeed();
        }
        assert_eq!(receive(&mut first), b"x");
        child.expect("met");
        second = test.child("subscriber").arg(topic.arg()).spawn();
        second.expect("there");
    }
    second.kill();
    child.succeed();
}

#[test]
fn without_capacity_what_fails_reaches_nobody() {
    let test = test!();
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        let (mut next, mut tries) = (0, 0);
        loop {
            // Coming and going all the time, at last with more patience.
            let patience = Duration::from_micros(tries % 700 + if tries < 2000 { 0 } else { 200_000 });
            match subscriber.receive_wait(Wait::until(Deadline::after(patience))) {
                Ok(message) => {
                    let number = u64::from_le_bytes(message.to_vec().unwrap().try_into().unwrap());
                    if number == u64::MAX {
                        break;
                    }
                    peer.say(&number.to_string());
                    assert!(number >= next, "{number} after {next}");
                    next = number + 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            }
            tries += 1;
        }
        peer.say("the end");
    });
    let topic = Topic::new();
    let publisher = publisher(&topic);
    let mut children: Vec<_> = (0..2).map(|_| test.child("subscriber").arg(topic.arg()).spawn()).collect();
    for child in &mut children {
        child.expect("there");
    }
    let mut sent = Vec::new();
    for number in 0..1000_u64 {
        let wait = Wait::until(Deadline::after(Duration::from_micros(number * 7 % 1500)));
        match publisher.publish_wait(&number.to_le_bytes(), wait) {
            Ok(()) => sent.push(number),
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
        }
    }
    publisher.publish(&u64::MAX.to_le_bytes()).unwrap();
    for child in &mut children {
        for number in &sent {
            child.expect(&number.to_string());
        }
        child.expect("the end");
    }
    for child in children {
        child.succeed();
    }
}

#[test]
fn without_capacity_who_polls_waits() {
    let test = test!();
    test.role("publisher", |peer| {
        let topic = Topic::of(peer);
        let publisher = publisher(&topic);
        for number in 0..3_u8 {
            peer.hear();
            publisher.publish(&[number]).unwrap();
            peer.say("met");
        }
    });
    let topic = Topic::new();
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    let mut subscriber = subscriber(&topic);
    subscriber.doorbell().unwrap();
    for number in 0..3 {
        child.tell("publish");
        // It comes in its own time, and rings.
        loop {
            let bell = subscriber.doorbell().unwrap();
            let mut polled = [rustix::event::PollFd::new(&bell, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, None).unwrap();
            match subscriber.try_receive() {
                Ok(message) => {
                    assert_eq!(message.to_vec().unwrap(), [number]);
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
        child.expect("met");
    }
    child.succeed();
}

/// Whether there is room is true of that moment: who has waited then may not any more when something is published.
#[test]
fn a_look_for_room_invites_nobody_to_what_comes_later() {
    let topic = Topic::new();
    let (mut subscriber, publisher) = (subscriber(&topic), publisher(&topic));
    assert_eq!(publisher.subscribers().unwrap(), 1);
    for _ in 0..2 {
        while subscriber.arm().unwrap() {
            assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        }
        assert!(publisher.arm().unwrap());
        assert_eq!(kind(subscriber.receive_wait(in_ms(1))), ErrorKind::TimedOut);
        assert_eq!(kind(publisher.loan_wait(1, Wait::never())), ErrorKind::WouldBlock);
        assert_eq!(kind(publisher.try_publish(b"x")), ErrorKind::WouldBlock);
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        assert!(!publisher.arm().unwrap());
    }
    while subscriber.arm().unwrap() {}
    assert!(publisher.arm().unwrap());
    publisher.try_publish(b"x").unwrap();
    assert_eq!(receive(&mut subscriber), b"x");
}

#[test]
fn who_was_invited_is_not_its_successor() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = publisher(&Topic::of(peer));
        peer.say("there");
        peer.wait_for("publish");
        let die = |_: &[_]| {
            peer.say("invited");
            std::thread::sleep(Duration::from_secs(60));
        };
        publisher.publish_with(200, Wait::forever(), die).unwrap();
    });
    let topic = Topic::new();
    let mut subscriber = subscriber(&topic);
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    child.expect("there");
    while subscriber.arm().unwrap() {
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    }
    child.tell("publish");
    child.expect("invited");
    child.kill();
    assert_eq!(kind(subscriber.receive_wait(in_ms(60_000))), ErrorKind::PeerGone);
    let publisher = publisher(&topic);
    assert_eq!(kind(subscriber.receive_wait(in_ms(1))), ErrorKind::TimedOut);
    assert_eq!(kind(publisher.loan_wait(8, Wait::never())), ErrorKind::WouldBlock);
    while subscriber.arm().unwrap() {}
    publisher.try_publish(b"from the successor").unwrap();
    assert_eq!(receive(&mut subscriber), b"from the successor");
}

/// A forked child has a copy of what was armed, and of a message in hand.
#[test]
fn what_a_forked_child_has_of_a_message_revokes_nothing() {
    let test = test!();
    test.role("forks", |peer| {
        let mut subscriber = subscriber(&Topic::of(peer));
        let arm = |subscriber: &mut Subscriber| {
            while subscriber.arm().unwrap() {
                assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
            }
        };
        peer.say("there");
        peer.wait_for("arm");
        arm(&mut subscriber);
        peer.say("armed");
        peer.wait_for("receive");
        let (reader, writer) = std::io::pipe().unwrap();
        let sample = subscriber.try_receive().unwrap();
        // SAFETY: this role runs one thread of the test's; the child uses what it has and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(writer);
            // Until it is closed.
            let read = std::io::read_to_string(reader);
            drop(sample);
            // SAFETY: ends the process, as is allowed after a fork.
            unsafe { libc::_exit(i32::from(read.is_err())) };
        }
        drop(sample);
        arm(&mut subscriber);
        drop((reader, writer));
        let mut status = 0;
        // SAFETY: waits for a child of this process, into a variable of its own.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        peer.say("armed");
        peer.wait_for("receive");
        assert_eq!(subscriber.try_receive().unwrap().to_vec().unwrap(), b"two");
        assert_eq!(subscriber.received().0, 2);
    });
    let topic = Topic::new();
    let publisher = publisher(&topic);
    let mut child = test.child("forks").arg(topic.arg()).spawn();
    child.expect("there");
    child.tell("arm");
    for message in [b"one", b"two"] {
        child.expect("armed");
        publisher.try_publish(message).unwrap();
        child.tell("receive");
    }
    child.succeed();
}

/// Whoever panics over a message, and leaves by that, has had it.
#[test]
fn what_was_looked_at_when_somebody_panicked_was_received() {
    let topic = Topic::new();
    let mut guest = subscriber(&topic);
    let publisher = publisher(&topic);
    std::thread::scope(|scope| {
        let panics = scope.spawn(move || {
            let look = || {
                guest.receive_batch(5, Wait::forever(), |message| {
                    assert_eq!(message.first_word().unwrap(), 7);
                    std::panic::resume_unwind(Box::new(()));
                })
            };
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
            assert!(caught.is_err());
            assert_eq!(guest.received(), (1, 8));
        });
        let deadline = Deadline::after(Duration::from_secs(60));
        publisher.publish_deadline(&7_u64.to_ne_bytes(), deadline).unwrap();
        panics.join().unwrap();
    });
    assert_eq!(publisher.published(), (1, 8));
}
