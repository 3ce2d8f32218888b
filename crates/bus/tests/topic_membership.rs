//! Who comes, who goes, and what the others learn of it, between real processes.

use std::time::Duration;

use twixt_bus::{Event, Kind, Left, Publisher, Role, State, Subscriber, SubscriberOptions, remove};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{call, descriptors, strace, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, in_ms, kind, message, read, receive};

#[test]
fn history_is_what_late_joiners_begin_with() {
    let topic = Topic::new();
    let publisher = Publisher::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    for number in 0..1000 {
        publisher.publish(&message(0, number, 40)).unwrap();
    }
    for history in [0, 1, 5] {
        let mut late = topic.subscriber_with(SubscriberOptions::new().history(history));
        for number in 1000 - history..1000 {
            assert_eq!(read(&receive(&mut late)).1, number);
        }
        assert_eq!(kind(late.try_receive()), ErrorKind::WouldBlock);
    }
    // More than there is.
    let mut late = topic.subscriber_with(SubscriberOptions::new().history(u64::MAX));
    let first = read(&receive(&mut late)).1;
    assert!((900..1000).contains(&first), "{first}");
    for number in first + 1..1000 {
        assert_eq!(read(&receive(&mut late)).1, number);
    }
    // Also of those that have gone.
    drop(publisher);
    let mut late = topic.subscriber_with(SubscriberOptions::new().history(2));
    assert_eq!(read(&receive(&mut late)).1, 998);
    assert_eq!(read(&receive(&mut late)).1, 999);
    assert!(matches!(late.next(Wait::never()).unwrap(), Event::Left { how: Left::Closed, .. }));
}

#[test]
fn who_leaves_and_who_dies_is_told_once() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        publisher.publish(&message(peer.arg(1).parse().unwrap(), 0, 40)).unwrap();
        peer.say("there");
        peer.wait_for("leave");
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let mut publishers: Vec<_> =
        (0..3).map(|who| test.child("publisher").arg(topic.arg()).arg(who).spawn()).collect();
    for publisher in &mut publishers {
        publisher.expect("there");
    }
    for _ in 0..3 {
        receive(&mut subscriber);
    }
    let mut left = publishers.pop().unwrap();
    left.tell("leave");
    left.succeed();
    match subscriber.next(in_ms(60_000)).unwrap() {
        Event::Left { how: Left::Closed, .. } => {}
        other => panic!("{other:?}"),
    }
    publishers.pop().unwrap().kill();
    match subscriber.next(in_ms(60_000)).unwrap() {
        Event::Left { how: Left::Died, .. } => {}
        other => panic!("{other:?}"),
    }
    assert!(subscriber.has_publishers());
    publishers.pop().unwrap().kill();
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    assert!(!subscriber.has_publishers());
    assert_eq!(kind(subscriber.receive_wait(in_ms(120))), ErrorKind::TimedOut);
}

#[test]
fn a_death_is_told_whatever_the_others_do_and_however_one_waits() {
    let test = test!();
    test.role("publisher", |peer| {
        let _publisher = Topic::of(peer).publisher();
        peer.say("there");
        peer.wait_for("end");
    });
    test.role("chatter", |peer| {
        let publisher = Topic::of(peer).publisher();
        for number in 0.. {
            publisher.publish(&message(0, number, 40)).unwrap();
            if peer.arg(1) == "slowly" {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    for how in ["slowly", "quickly"] {
        for waits in [true, false] {
            let topic = Topic::new();
            let mut subscriber = topic.subscriber();
            let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
            publisher.expect("there");
            let chatter = test.child("chatter").arg(topic.arg()).arg(how).spawn();
            receive(&mut subscriber);
            publisher.kill();
            loop {
                match subscriber.next(if waits { in_ms(60_000) } else { Wait::never() }) {
                    Ok(Event::Left { how: Left::Died, .. }) => break,
                    Ok(Event::Message(_)) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    other => panic!("{other:?}"),
                }
            }
            chatter.kill();
        }
    }
}

#[test]
fn a_successor_takes_the_place_and_goes_on() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let first: u64 = peer.arg(1).parse().unwrap();
        for number in first..first + 10 {
            publisher.publish(&message(0, number, 40)).unwrap();
        }
        let mut lent = publisher.loan(40).unwrap();
        lent.write(0, &message(0, 99, 40));
        peer.say("done");
        peer.wait_for("leave");
        drop(lent);
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let spawn = |first: u64| {
        let mut child = test.child("publisher").arg(topic.arg()).arg(first).spawn();
        child.expect("done");
        child
    };
    spawn(0).kill();
    // Nobody has looked meanwhile.
    let second = spawn(10);
    let mut told = Vec::new();
    let mut next = 0;
    while next < 20 {
        match subscriber.next(in_ms(60_000)).unwrap() {
            Event::Message(sample) => {
                assert_eq!(sample.publisher(), 0);
                assert_eq!(read(&sample.to_vec().unwrap()).1, next);
                next += 1;
            }
            Event::Left { how, .. } => told.push(how),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, [Left::Died]);
    let mut second = second;
    second.tell("leave");
    second.succeed();
    let third = spawn(20);
    for number in 20..30 {
        loop {
            match subscriber.next(in_ms(60_000)).unwrap() {
                Event::Message(sample) => {
                    break assert_eq!(read(&sample.to_vec().unwrap()).1, number);
                }
                Event::Left { how, .. } => told.push(how),
                other => panic!("{other:?}"),
            }
        }
    }
    // Messages of the successor may come first.
    while told.len() < 2 {
        match subscriber.next(in_ms(60_000)).unwrap() {
            Event::Left { how, .. } => told.push(how),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, [Left::Died, Left::Closed]);
    third.kill();
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    assert_eq!(topic.files(), ["p0", "s0", "site"]);
}

#[test]
fn a_dead_subscriber_keeps_nobody_from_publishing() {
    let test = test!();
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        subscriber.doorbell().unwrap();
        peer.say("there");
        peer.wait_for("never");
    });
    let topic = Topic::new();
    let publisher = Publisher::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    for waits in [true, false] {
        let mut subscriber = test.child("subscriber").arg(topic.arg()).spawn();
        subscriber.expect("there");
        while publisher.try_publish(&[0; 40]).is_ok() {}
        assert_eq!(topic.files(), ["p0", "s0", "s0.bell", "site"]);
        subscriber.kill();
        if waits {
            publisher.publish(&[0; 40]).unwrap();
        } else {
            while publisher.try_publish(&[0; 40]).is_err() {}
        }
        assert_eq!(topic.files(), ["p0", "site"]);
    }
}

#[test]
fn removal_ends_all_waits() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        while publisher.try_publish(&[0; 40]).is_ok() {}
        peer.say("full");
        assert_eq!(kind(publisher.publish(&[0; 40])), ErrorKind::Removed);
        assert_eq!(kind(publisher.try_publish(b"")), ErrorKind::Removed);
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        assert_eq!(kind(subscriber.receive()), ErrorKind::Removed);
    });
    for role in ["publisher", "subscriber"] {
        let topic = Topic::new();
        let slow = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
        let mut child = test.child(role).arg(topic.arg()).spawn();
        child.hear();
        child.wait_until_blocked_in(&[call::FUTEX]);
        remove(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
        child.succeed();
        assert!(topic.place().names().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(topic.place().path()).unwrap().count(), 0);
        drop(slow);
        // Another of the same name is another.
        let (mut subscriber, publisher) = (topic.subscriber(), topic.publisher());
        publisher.publish(b"anew").unwrap();
        assert_eq!(receive(&mut subscriber), b"anew");
    }
}

#[test]
fn two_thousand_come_and_go() {
    let test = test!();
    // In a process where no other test forks, whose children would hold its locks for a moment.
    test.role("all", |peer| come_and_go(&Topic::of(peer)));
    let topic = Topic::new();
    test.child("all").arg(topic.arg()).spawn().succeed();
}

fn come_and_go(topic: &Topic) {
    let publisher = Publisher::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    let mut steady = topic.subscriber();
    let before = descriptors();
    let mut next = [0; 2];
    for round in 0..1000 {
        let mut subscriber = topic.subscriber();
        let other = topic.publisher();
        publisher.publish(&message(0, round, 40)).unwrap();
        other.publish(&message(1, round, 40)).unwrap();
        let mut both = [read(&receive(&mut subscriber)), read(&receive(&mut subscriber))];
        both.sort_unstable();
        assert_eq!(both, [(0, round), (1, round)]);
        if round % 3 == 0 {
            subscriber.doorbell().unwrap();
        }
        drop((subscriber, other));
        loop {
            match steady.next(Wait::never()) {
                Ok(Event::Message(sample)) => {
                    let (who, number) = read(&sample.to_vec().unwrap());
                    assert_eq!(number, next[who as usize]);
                    next[who as usize] += 1;
                }
                Ok(Event::Left { how: Left::Closed, .. }) => {}
                other => break assert_eq!(kind(other), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(next, [round + 1; 2]);
    }
    assert!(descriptors() <= before + 8, "{} descriptors, and {before} before", descriptors());
    assert_eq!(topic.files(), ["p0", "p1", "s0", "site"]);
}

#[test]
fn places_are_limited_and_come_back() {
    let test = test!();
    // In a process of its own: see above.
    test.role("all", |peer| take_all_places(&Topic::of(peer)));
    let topic = Topic::new();
    test.child("all").arg(topic.arg()).spawn().succeed();
}

fn take_all_places(topic: &Topic) {
    let mut all = vec![Publisher::open(&Topic::name(), &topic.sized(1 << 10)).unwrap()];
    let error = loop {
        match Publisher::open(&Topic::name(), &topic.options()) {
            Ok(publisher) => all.push(publisher),
            Err(error) => break error,
        }
    };
    assert_eq!(all.len(), twixt_bus::MOST_PUBLISHERS);
    assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
    all.pop();
    topic.publisher();
}

#[test]
fn who_is_said_to_have_joined_gets_all_that_follows() {
    let test = test!();
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        assert_eq!(subscriber.receive().unwrap().to_vec().unwrap(), b"the first");
    });
    // It has its place a good while before it knows where it begins.
    let slowly = match strace::delaying("membarrier", Duration::from_millis(300)) {
        Ok(slowly) => slowly,
        Err(missing) => return test.skip(&missing),
    };
    let topic = Topic::new();
    let publisher = topic.publisher();
    let subscriber = test.child("subscriber").arg(topic.arg()).under(&slowly).spawn();
    let mut seen = Vec::new();
    while publisher.subscribers().unwrap() == 0 {
        let stat = twixt_bus::stat(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
        seen.extend(stat.participants.iter().filter(|it| it.role == Role::Subscriber).map(|it| it.state));
        std::thread::sleep(Duration::from_millis(1));
    }
    publisher.publish(b"the first").unwrap();
    subscriber.succeed();
    seen.dedup();
    assert_eq!(seen.first(), Some(&State::Joining));
}

#[test]
fn what_a_predecessor_has_published_waits_as_well() {
    let _test = test!();
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let lag = || {
        let stat = twixt_bus::stat(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
        stat.participants.iter().find_map(|it| it.lag)
    };
    topic.publisher().publish(b"the first").unwrap();
    assert_eq!(lag(), Some(64));
    let successor = topic.publisher();
    assert_eq!(lag(), Some(64), "the subscriber has not looked since");
    successor.publish(b"the second").unwrap();
    assert_eq!(lag(), Some(128));
    assert_eq!(receive(&mut subscriber), b"the first");
    assert_eq!(receive(&mut subscriber), b"the second");
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    assert_eq!(lag(), Some(0));
}

#[test]
fn one_that_has_come_and_gone_between_two_looks_is_told() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    for _ in 0..3 {
        drop(topic.publisher());
        assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    }
    // Those from before it came are none of its own.
    let mut late = topic.subscriber();
    assert_eq!(kind(late.try_receive()), ErrorKind::WouldBlock);
}

#[test]
fn what_waits_is_counted_before_anything_is_received() {
    let _test = test!();
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    assert_eq!(subscriber.waiting_bytes().unwrap(), 0);
    topic.publisher().publish(b"from somebody who came later").unwrap();
    assert_eq!(subscriber.waiting_bytes().unwrap(), 64);
    assert_eq!(receive(&mut subscriber), b"from somebody who came later");
    assert_eq!(subscriber.waiting_bytes().unwrap(), 0);
}

#[test]
fn a_death_is_not_taken_for_the_good_bye_of_a_successor() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        publisher.publish(b"first").unwrap();
        peer.say("there");
        std::thread::sleep(Duration::from_secs(60));
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    child.expect("there");
    assert_eq!(receive(&mut subscriber), b"first");
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    child.kill();
    // It comes and goes before anybody looks.
    let successor = topic.publisher();
    successor.publish(b"second").unwrap();
    drop(successor);
    assert_eq!(receive(&mut subscriber), b"second");
    for expected in [Left::Died, Left::Closed] {
        match subscriber.next(in_ms(60_000)).unwrap() {
            Event::Left { publisher: 0, how } => assert_eq!(how, expected),
            other => panic!("{other:?}"),
        }
    }
}
