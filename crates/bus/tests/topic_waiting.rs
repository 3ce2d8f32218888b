//! Waiting for messages: asleep on the bell, or by a descriptor.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_bus::{Event, Kind, Left, Subscriber, SubscriberOptions, Waiting, remove};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::test;

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, kind, message, read, receive};

fn is_readable(subscriber: &mut Subscriber, milliseconds: i64) -> bool {
    let bell = subscriber.doorbell().unwrap();
    wait_readable(bell, milliseconds)
}

fn wait_readable(bell: impl AsFd, milliseconds: i64) -> bool {
    let time = Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&time)).unwrap() > 0
}

#[test]
fn a_doorbell_rings_for_all_that_happens() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    assert!(!is_readable(&mut subscriber, 0));
    // A publisher that comes.
    let bell = subscriber.doorbell().unwrap().try_clone_to_owned().unwrap();
    let publisher = topic.publisher();
    assert!(wait_readable(&bell, 0));
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    assert!(!subscriber.arm().unwrap());
    assert!(!wait_readable(&bell, 0));
    // One that comes and publishes at once.
    let other = topic.publisher();
    other.publish(b"first").unwrap();
    assert!(wait_readable(&bell, 0));
    assert_eq!(receive(&mut subscriber), b"first");
    // Something is there already.
    publisher.publish(b"second").unwrap();
    assert!(subscriber.arm().unwrap());
    assert!(wait_readable(&bell, 0));
    assert_eq!(receive(&mut subscriber), b"second");
    // A loan that was taken before the subscriber came, a batch, a flow.
    let loan = publisher.loan(3).unwrap();
    let mut late = topic.subscriber();
    assert!(!is_readable(&mut late, 0));
    loan.publish().unwrap();
    assert!(wait_readable(late.doorbell().unwrap(), 0));
    drop(late);
    receive(&mut subscriber);
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    assert!(!subscriber.arm().unwrap());
    let mut batch = publisher.batch();
    batch.publish(b"1", Wait::never()).unwrap();
    batch.publish(b"2", Wait::never()).unwrap();
    drop(batch);
    assert!(wait_readable(&bell, 0));
    receive(&mut subscriber);
    receive(&mut subscriber);
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    assert!(!subscriber.arm().unwrap());
    publisher.publish(&[7; 100_000]).unwrap();
    assert!(wait_readable(&bell, 0));
    receive(&mut subscriber);
    // A publisher that goes.
    assert!(!subscriber.arm().unwrap());
    drop(other);
    assert!(wait_readable(&bell, 0));
    assert!(matches!(subscriber.next(Wait::never()).unwrap(), Event::Left { how: Left::Closed, .. }));
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    // The end of the topic.
    assert!(!subscriber.arm().unwrap());
    remove(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
    assert!(wait_readable(&bell, 0));
    assert_eq!(kind(subscriber.receive()), ErrorKind::Removed);
}

#[test]
fn a_ring_that_fills_up_in_a_batch_rings_the_doorbell() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        peer.say("there");
        peer.wait_for("go");
        let mut batch = publisher.batch();
        for number in 0..1000 {
            batch.publish(&message(0, number, 40), Wait::forever()).unwrap();
        }
    });
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    publisher.expect("there");
    let mut next = 0;
    subscriber.doorbell().unwrap();
    publisher.tell("go");
    while next < 1000 {
        assert!(wait_readable(subscriber.doorbell().unwrap(), 60_000));
        while let Ok(sample) = subscriber.try_receive() {
            assert_eq!(read(&sample.to_vec().unwrap()).1, next);
            next += 1;
        }
    }
    publisher.succeed();
}

/// There and back with `poll` only: a lost wake is a hang, since nothing here has a time-out.
#[test]
fn no_ring_of_a_doorbell_is_lost() {
    let test = test!();
    let rounds: u64 =
        std::env::var("TWIXT_TEST_ROUNDS").ok().map_or(20_000, |rounds| rounds.parse().unwrap());
    fn next(subscriber: &mut Subscriber) -> u64 {
        loop {
            match subscriber.try_receive() {
                Ok(mut sample) => return sample.first_word().unwrap(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            if !subscriber.arm().unwrap() {
                let bell = subscriber.doorbell().unwrap();
                poll(&mut [PollFd::new(&bell, PollFlags::IN)], None).unwrap();
            }
        }
    }
    test.role("echo", |peer| {
        let there = Topic::of(peer);
        let back = Topic::at(peer.arg(1));
        let (mut receiver, sender) = (there.subscriber(), back.publisher());
        receiver.doorbell().unwrap();
        peer.say("there");
        for round in 0..rounds {
            assert_eq!(next(&mut receiver), round);
            sender.publish(&round.to_ne_bytes()).unwrap();
        }
    });
    let (there, back) = (Topic::new(), Topic::new());
    let mut receiver = back.subscriber();
    let sender = there.publisher();
    let mut echo = test.child("echo").arg(there.arg()).arg(back.arg()).spawn();
    echo.expect("there");
    receiver.doorbell().unwrap();
    for round in 0..rounds {
        sender.publish(&round.to_ne_bytes()).unwrap();
        assert_eq!(next(&mut receiver), round);
    }
    echo.succeed();
}

#[test]
fn no_wake_is_lost() {
    let test = test!();
    const ROUNDS: u64 = 20_000;
    test.role("echo", |peer| {
        let (there, back) = (Topic::of(peer), Topic::at(peer.arg(1)));
        let waiting = if peer.arg(2).starts_with("block") { Waiting::Block } else { Waiting::Adaptive };
        let mut receiver = there.subscriber_with(SubscriberOptions::new().waiting(waiting));
        let sender = back.publisher();
        peer.say("there");
        for _ in 0..ROUNDS {
            let number = receiver.receive().unwrap().first_word().unwrap();
            sender.publish(&number.to_ne_bytes()).unwrap();
        }
        peer.say(&receiver.parks().to_string());
    });
    let cases = [
        ("block", Waiting::Block),
        ("adaptive", Waiting::Adaptive),
        // The last: from there on this thread stays there, and so does its child.
        ("block on one processor", Waiting::Block),
    ];
    for (name, waiting) in cases {
        if name == "block on one processor" {
            stay_on_one_processor();
        }
        let (there, back) = (Topic::new(), Topic::new());
        let mut receiver = back.subscriber_with(SubscriberOptions::new().waiting(waiting));
        let sender = there.publisher();
        let mut echo = test.child("echo").arg(there.arg()).arg(back.arg()).arg(name).spawn();
        echo.expect("there");
        let begun = std::time::Instant::now();
        for round in 0..ROUNDS {
            sender.publish(&round.to_ne_bytes()).unwrap();
            assert_eq!(receiver.receive().unwrap().first_word().unwrap(), round);
        }
        // A lost one would be made up for after 50 ms: a few of those are a busy machine, many are not.
        let took = begun.elapsed();
        println!("{name}: {took:?}, slept {} and {} times", receiver.parks(), echo.hear());
        echo.succeed();
    }
}

fn stay_on_one_processor() {
    let all = rustix::thread::sched_getaffinity(None).unwrap();
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap();
    let mut one = rustix::thread::CpuSet::new();
    one.set(first);
    rustix::thread::sched_setaffinity(None, &one).unwrap();
}
