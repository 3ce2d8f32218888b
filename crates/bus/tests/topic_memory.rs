//! What becomes of messages that have no room: kept in a copy, or in memory that comes and goes.

use std::os::unix::fs::MetadataExt;

use twixt_bus::{Capacity, Event, Publisher, Slow, Subscriber, SubscriberOptions};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::test;

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, kind, message, read, receive};

fn keeping_the_oldest() -> SubscriberOptions {
    SubscriberOptions::new().slow(Slow::DropNewest)
}

/// Receives all that there is: the numbers, and how many were missed before which of them.
fn drain(subscriber: &mut Subscriber) -> (Vec<u64>, Vec<(usize, u64)>) {
    let (mut numbers, mut missed) = (Vec::new(), Vec::new());
    loop {
        match subscriber.next(Wait::never()) {
            Ok(Event::Message(sample)) => numbers.push(read(&sample.to_vec().unwrap()).1),
            Ok(Event::Missed { messages, .. }) => missed.push((numbers.len(), messages)),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                return (numbers, missed);
            }
        }
    }
}

#[test]
fn who_keeps_the_oldest_has_them_all_and_misses_what_came_then() {
    let topic = Topic::new();
    let options = topic.sized(1 << 14);
    let mut keeper = Subscriber::open_with(&Topic::name(), &options, keeping_the_oldest()).unwrap();
    let mut other =
        Subscriber::open_with(&Topic::name(), &options, SubscriberOptions::new().slow(Slow::DropOldest))
            .unwrap();
    let publisher = topic.publisher();
    for number in 0..1000 {
        publisher.publish(&message(0, number, 100)).unwrap();
        // It keeps up, and loses nothing for the other's sake.
        assert_eq!(read(&receive(&mut other)), (0, number));
    }
    let (numbers, missed) = drain(&mut keeper);
    let kept = numbers.len() as u64;
    assert!(kept > 50, "{kept}");
    assert_eq!(numbers, (0..kept).collect::<Vec<_>>());
    assert_eq!(missed, []);
    for number in 1000..1010 {
        publisher.publish(&message(0, number, 100)).unwrap();
    }
    let (numbers, missed) = drain(&mut keeper);
    assert_eq!(numbers, (1000..1010).collect::<Vec<_>>());
    assert_eq!(missed, [(0, 1000 - kept)]);
    assert_eq!(keeper.missed(), 1000 - kept);
    // And again: each time it is slow anew.
    for number in 1010..2000 {
        publisher.publish(&message(0, number, 100)).unwrap();
    }
    let (numbers, _) = drain(&mut keeper);
    assert_eq!(numbers[0], 1010);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    drop((keeper, other));
    assert_eq!(topic.files(), ["p0", "site"]);
}

#[test]
fn a_keeper_that_dies_leaves_no_copy_behind() {
    let test = test!();
    test.role("keeper", |peer| {
        let _keeper =
            Subscriber::open_with(&Topic::name(), &Topic::of(peer).options(), keeping_the_oldest()).unwrap();
        peer.say("here");
        peer.hear();
    });
    let topic = Topic::new();
    let publisher = Publisher::open(&Topic::name(), &topic.sized(1 << 14)).unwrap();
    let mut keeper = test.child("keeper").arg(topic.arg()).spawn();
    keeper.expect("here");
    for number in 0..1000 {
        publisher.publish(&message(0, number, 100)).unwrap();
    }
    assert_eq!(topic.files(), ["p0", "s0", "s0.p0", "site"]);
    keeper.kill();
    let mut next = topic.subscriber();
    assert_eq!(topic.files(), ["p0", "s0", "site"]);
    publisher.publish(b"for the next one").unwrap();
    assert_eq!(receive(&mut next), b"for the next one");
}

#[test]
fn unbounded_waits_for_nobody_and_takes_memory_only_while_it_is_needed() {
    const BUDGET: u64 = 16 << 20;
    let topic = Topic::new();
    let options = topic.options().create(true).capacity(Capacity::Unbounded(BUDGET));
    let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    let used = || std::fs::metadata(topic.directory().join("p0")).unwrap().blocks() * 512;
    assert!(used() < 100 << 10, "{}", used());
    let mut sent = 0;
    for round in 0..3 {
        // Far more than a default ring has room for; and then, in the last round, more than the budget.
        let most = if round < 2 { 5000 } else { u64::MAX };
        let begin = sent;
        while sent - begin < most {
            match publisher.publish(&message(0, sent, 1000)) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
                    assert_eq!(error.limit().unwrap().current, Some(BUDGET));
                    break;
                }
            }
        }
        assert!(used() > 4 << 20, "{}", used());
        for number in begin..sent {
            assert_eq!(read(&receive(&mut subscriber)), (0, number));
        }
        // What was received is given back when more is published.
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        for _ in 0..600 {
            publisher.publish(&message(0, sent, 1000)).unwrap();
            assert_eq!(read(&receive(&mut subscriber)), (0, sent));
            sent += 1;
        }
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        assert!(used() < 2 << 20, "{} after round {round}", used());
    }
    assert!(sent > 20_000);
    drop(publisher);
    // Another goes on in its place.
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    publisher.publish(&message(0, sent, 1000)).unwrap();
    loop {
        match subscriber.receive() {
            Ok(sample) => break assert_eq!(read(&sample.to_vec().unwrap()), (0, sent)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
        }
    }
}

/// What has been received by those who are waited for is given back, whoever else has not.
#[test]
fn unbounded_gives_back_what_only_the_slow_have_not_received() {
    const BUDGET: u64 = 16 << 20;
    let topic = Topic::new();
    let options = topic.options().create(true).capacity(Capacity::Unbounded(BUDGET));
    let how = SubscriberOptions::new().slow(Slow::DropOldest);
    let mut slow = Subscriber::open_with(&Topic::name(), &options, how).unwrap();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    let mut next = 0;
    for round in 1..=20 {
        for number in (round - 1) * 1000..round * 1000 {
            publisher.publish(&message(0, number, 1000)).unwrap();
        }
        let (numbers, missed) = drain(&mut slow);
        let missed: u64 = missed.iter().map(|(_, messages)| messages).sum();
        assert!(!numbers.is_empty() && missed > 0, "{} received, {missed} missed", numbers.len());
        assert!(
            numbers.iter().copied().eq(next + missed..round * 1000),
            "{numbers:?} from {next} and {missed}"
        );
        next = round * 1000;
        assert_eq!(publisher.published().0, next);
    }
    drop(publisher);
    // A successor goes on in memory of its own.
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    publisher.publish(&message(0, next, 1000)).unwrap();
    assert_eq!(drain(&mut slow), (vec![next], vec![]));
}
