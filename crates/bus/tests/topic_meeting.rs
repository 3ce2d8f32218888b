//! Topics with no capacity, where both sides give up all the time: what was said to be received is, once, and nothing else.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_bus::{Capacity, Publisher, Subscriber};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Peer, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, kind};

fn rounds(usual: u64) -> u64 {
    std::env::var("TWIXT_TEST_ROUNDS").ok().map_or(usual, |rounds| rounds.parse().unwrap())
}

fn publisher(topic: &Topic) -> Publisher {
    Publisher::open(&Topic::name(), &topic.options().capacity(Capacity::Zero)).unwrap()
}

fn subscriber(topic: &Topic) -> Subscriber {
    Subscriber::open(&Topic::name(), &topic.options().capacity(Capacity::Zero)).unwrap()
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
    for number in 0..peer.arg(1).parse::<u64>().unwrap() {
        peer.wait_for("publish");
        let end = now() + PATIENCE;
        let deadline = Deadline::after(Duration::from_nanos(PATIENCE as u64));
        match publisher.publish_deadline(&number.to_ne_bytes(), deadline) {
            Ok(()) => peer.say(&format!("went {end}")),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                peer.say(&format!("failed {end}"));
            }
        }
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
        let line = child.hear();
        let (outcome, end) = line.split_once(' ').unwrap();
        let found = second.try_receive().map(|sample| number(&sample.to_vec().unwrap()));
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
