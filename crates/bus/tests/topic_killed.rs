//! Participants that are killed at any instruction, and at any time.
//!
//! ```sh
//! cargo test -p twixt-bus --test topic_killed                            # some instructions of each section: seconds
//! cargo test --release -p twixt-bus --test topic_killed -- --ignored     # every one, where there are not too many: minutes
//! TWIXT_TEST_POINTS=500 cargo test -p twixt-bus --test topic_killed      # so many of each section
//! ```

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use twixt_bus::{Capacity, Event, Left, Message, Publisher, Slow, Subscriber, SubscriberOptions};
use twixt_os::{ErrorKind, Wait};
use twixt_sys::{Access, Mapping};
use twixt_testkit::{Peer, Test, test};

#[path = "support/kills.rs"]
#[macro_use]
mod kills;
#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use kills::{Told, alone, points, sweep};
use topics::{Dice, Topic, in_ms, message, read};

/// The ring: some of the large messages.
const RING: u64 = 256 << 10;
const LARGE: usize = 33_000;

/// What the survivors see.
struct Observer {
    topic: Topic,
    subscriber: Subscriber,
    /// The number of the next victim's first message.
    base: u64,
    received: u64,
    told: Told,
}

/// Before its section a victim publishes so many.
const BEFORE: u64 = 3;

impl Observer {
    fn new() -> Self {
        let topic = Topic::new();
        let subscriber = Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap();
        Self { topic, subscriber, base: 0, received: 0, told: Told::default() }
    }

    /// A publisher was killed: `most` messages of its section may be there, and must be if it was over.
    fn look(&mut self, most: u64, is_over: bool) {
        let death = Instant::now();
        let mut numbers = Vec::new();
        loop {
            match self.subscriber.next(in_ms(60_000)).unwrap() {
                Event::Message(mut sample) => {
                    let mut bytes = Vec::new();
                    match sample.read_into(&mut bytes) {
                        Ok(()) => numbers.push(read(&bytes).1),
                        // Its publisher has died while it was writing it.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
                    }
                }
                Event::Left { publisher: 0, how: Left::Died } => break,
                other => panic!("{other:?}"),
            }
        }
        self.told.of(death);
        let count = numbers.len() as u64;
        assert!(numbers.iter().copied().eq(self.base..self.base + count), "{numbers:?} from {}", self.base);
        let least = if is_over { BEFORE + most } else { BEFORE };
        assert!((least..=BEFORE + most).contains(&count), "{count} messages; over: {is_over}");
        self.received += count;
        self.base += 10;
        // Who comes next adopts the place, and counts what was received.
        let next = self.topic.publisher();
        assert_eq!(next.published().0, self.received);
        next.publish(&message(9, self.base, 16)).unwrap();
        drop(next);
        let mut last = self.subscriber.receive_wait(in_ms(60_000)).unwrap();
        assert_eq!(last.publisher(), 0);
        let mut bytes = Vec::new();
        last.read_into(&mut bytes).unwrap();
        assert_eq!(read(&bytes), (9, self.base));
        drop(last);
        self.received += 1;
        assert!(matches!(
            self.subscriber.next(in_ms(60_000)).unwrap(),
            Event::Left { publisher: 0, how: Left::Closed }
        ));
        assert_eq!(self.topic.files(), ["p0", "s0", "site"]);
    }
}

fn victim(peer: &Peer, len: usize, section: impl FnOnce(&Publisher, &[u8])) {
    let base: u64 = peer.arg(1).parse().unwrap();
    let publisher = Topic::of(peer).publisher();
    for number in base..base + BEFORE {
        publisher.publish(&message(0, number, 16 + number as usize % 50)).unwrap();
    }
    let bytes = message(0, base + BEFORE, len);
    peer.mark();
    section(&publisher, &bytes);
    peer.mark();
    std::thread::sleep(Duration::from_secs(60));
}

fn sweep_publisher(test: &Test, points: u64, role: &str, most: u64) {
    let observer = std::cell::RefCell::new(Observer::new());
    let child = || {
        let observer = observer.borrow();
        test.child(role).arg(observer.topic.arg()).arg(observer.base)
    };
    sweep(test, role, points, child, |is_over| observer.borrow_mut().look(most, is_over));
    println!("{role}: {}", observer.borrow().told);
}

fn publish(test: &Test, points: u64) {
    test.role("small", |peer| victim(peer, 40, |publisher, bytes| publisher.publish(bytes).unwrap()));
    test.role("medium", |peer| victim(peer, 700, |publisher, bytes| publisher.publish(bytes).unwrap()));
    sweep_publisher(test, points, "small", 1);
    sweep_publisher(test, points, "medium", 1);
}

/// Several at a time.
fn batches(test: &Test, points: u64) {
    test.role("together", |peer| {
        victim(peer, 40, |publisher, bytes| {
            let (_, mut number) = read(bytes);
            let fill = |room: &[AtomicU64]| {
                let bytes = message(0, number, 40);
                for (word, bytes) in room.iter().zip(bytes.as_chunks().0) {
                    word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
                }
                number += 1;
            };
            assert_eq!(publisher.publish_batch(4, 40, Wait::forever(), fill).unwrap(), 4);
        })
    });
    sweep_publisher(test, points, "together", 4);
}

fn large(test: &Test, points: u64) {
    test.role("large", |peer| victim(peer, LARGE, |publisher, bytes| publisher.publish(bytes).unwrap()));
    sweep_publisher(test, points, "large", 1);
}

fn loans(test: &Test, points: u64) {
    test.role("loan", |peer| {
        victim(peer, 40, |publisher, bytes| {
            let mut loan = publisher.loan(40).unwrap();
            loan.write(0, bytes);
            loan.publish().unwrap();
        })
    });
    test.role("two", |peer| {
        victim(peer, 40, |publisher, bytes| {
            let (first, dropped) = (publisher.loan(40).unwrap(), publisher.loan(300).unwrap());
            let mut last = publisher.loan(40).unwrap();
            last.write(0, bytes);
            last.publish().unwrap();
            drop(dropped);
            // Now the last one can be reached.
            drop(first);
        })
    });
    sweep_publisher(test, points, "loan", 1);
    sweep_publisher(test, points, "two", 1);
}

fn flows(test: &Test, points: u64) {
    test.role("flow", |peer| {
        victim(peer, 400, |publisher, bytes| {
            let mut flow = publisher.flow(bytes.len()).unwrap();
            for piece in bytes.chunks(104) {
                flow.write(piece);
            }
            flow.finish().unwrap();
        })
    });
    sweep_publisher(test, points, "flow", 1);
}

/// An unbounded topic, which gives back memory and reserves it for each message.
fn making_memory(test: &Test, points: u64) {
    const BUDGET: u64 = 4 << 20;
    const CHUNK: u64 = 256 << 10;
    const MESSAGES: u64 = 4;
    test.role("memory", |peer| {
        let (topic, base) = (Topic::of(peer), peer.arg(1).parse::<u64>().unwrap());
        let publisher = topic.publisher();
        let messages: Vec<_> =
            (base..base + MESSAGES).map(|number| message(0, number, CHUNK as usize + 9)).collect();
        peer.mark();
        messages.iter().for_each(|message| publisher.publish(message).unwrap());
        peer.mark();
        std::thread::sleep(Duration::from_secs(60));
    });
    let topic = Topic::new();
    let options = topic.options().capacity(Capacity::Unbounded(BUDGET));
    let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let base = std::cell::Cell::new(0);
    let mut received = 0;
    let child = || test.child("memory").arg(topic.arg()).arg(base.get());
    sweep(test, "memory", points, child, |is_over| {
        let (mut expected, mut bytes) = (base.get()..base.get() + MESSAGES, Vec::new());
        loop {
            match subscriber.next(in_ms(60_000)).unwrap() {
                Event::Message(mut sample) => match sample.read_into(&mut bytes) {
                    Ok(()) => assert_eq!(Some(read(&bytes).1), expected.next()),
                    // Its publisher has died while it was writing it.
                    Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
                },
                Event::Left { publisher: 0, how: Left::Died } => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(!is_over || expected.is_empty(), "{expected:?} were published, and are lost");
        received += expected.start - base.get();
        base.set(base.get() + MESSAGES);
        let next = topic.publisher();
        assert_eq!(next.published().0, received);
        next.publish(&message(1, 5, 40)).unwrap();
        assert_eq!(read(&topics::receive(&mut subscriber)), (1, 5));
        received += 1;
        // It has given back what the dead had reserved, but for what it is in.
        let used = std::fs::metadata(topic.directory().join("p0")).unwrap().blocks() * 512;
        assert!(used <= 2 * CHUNK + (64 << 10), "{used} bytes");
        drop(next);
        assert!(matches!(subscriber.next(in_ms(60_000)).unwrap(), Event::Left { how: Left::Closed, .. }));
    });
    println!("    {received} received");
}

/// Without capacity: whoever waited has the message, or nobody.
fn meetings(test: &Test, points: u64) {
    fn section(peer: &Peer, what: &str) {
        let publisher = Topic::of(peer).publisher();
        let bytes = message(0, peer.arg(1).parse().unwrap(), 400);
        peer.mark();
        match what {
            "meeting" => publisher.publish(&bytes).unwrap(),
            "meeting with a loan" => {
                let mut loan = publisher.loan(bytes.len()).unwrap();
                loan.write(0, &bytes);
                loan.publish().unwrap();
            }
            _ => {
                let mut flow = publisher.flow(bytes.len()).unwrap();
                bytes.chunks(104).for_each(|piece| flow.write(piece));
                flow.finish().unwrap();
            }
        }
        peer.mark();
        std::thread::sleep(Duration::from_secs(60));
    }
    const ROLES: [&str; 3] = ["meeting", "meeting with a loan", "meeting in flow"];
    for role in ROLES {
        test.role(role, |peer| section(peer, role));
    }
    for role in ROLES {
        let topic = Topic::new();
        let options = topic.options().capacity(Capacity::Zero);
        let mut guest = Subscriber::open(&Topic::name(), &options).unwrap();
        let over = AtomicBool::new(false);
        let (tell, heard) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let over = &over;
            let _end = twixt_testkit::defer(|| over.store(true, Ordering::Relaxed));
            scope.spawn(move || {
                let mut bytes = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    match guest.next(in_ms(20)) {
                        Ok(Event::Message(mut sample)) => match sample.read_into(&mut bytes) {
                            Ok(()) => tell.send(Some(read(&bytes))).unwrap(),
                            // Its publisher has died while it was writing it, or is slow, being stepped.
                            Err(error) => {
                                let kinds = [ErrorKind::PeerGone, ErrorKind::TimedOut];
                                assert!(kinds.contains(&error.kind()), "{error}");
                            }
                        },
                        Ok(Event::Left { how: Left::Closed, .. }) => tell.send(None).unwrap(),
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
                    }
                }
            });
            let (number, received) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
            let child = || test.child(role).arg(topic.arg()).arg(number.get());
            sweep(test, role, points, child, |is_over| {
                // Who comes now has not waited for it.
                let mut late = topic.subscriber();
                loop {
                    match late.try_receive().map(|sample| sample.to_vec()) {
                        Ok(bytes) => panic!("{bytes:?} was for another"),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
                    }
                }
                drop(late);
                let next = topic.publisher();
                next.publish_wait(&message(1, number.get(), 40), in_ms(60_000)).unwrap();
                drop(next);
                let mut messages = Vec::new();
                while let Some(message) = heard.recv_timeout(Duration::from_secs(60)).unwrap() {
                    messages.push(message);
                }
                let both = [(0, number.get()), (1, number.get())];
                let is_received = messages == both;
                assert!(is_received || !is_over && messages == both[1..], "{messages:?}, over: {is_over}");
                received.set(received.get() + u64::from(is_received));
                number.set(number.get() + 1);
            });
            println!("    {} of {} received", received.get(), number.get());
        });
    }
}

/// Opening, with the first message, and leaving: the place of a dead one is adopted each time.
fn coming_and_going(test: &Test, points: u64) {
    test.role("coming", |peer| {
        let topic = Topic::of(peer);
        let options = topic.options();
        peer.mark();
        let publisher = Publisher::open(&Topic::name(), &options).unwrap();
        publisher.publish(&message(0, peer.arg(1).parse().unwrap(), 40)).unwrap();
        peer.mark();
        std::thread::sleep(Duration::from_secs(60));
    });
    test.role("going", |peer| {
        let publisher = Topic::of(peer).publisher();
        publisher.publish(&message(0, peer.arg(1).parse().unwrap(), 40)).unwrap();
        peer.mark();
        drop(publisher);
        peer.mark();
        std::thread::sleep(Duration::from_secs(60));
    });
    for role in ["coming", "going"] {
        let topic = Topic::new();
        let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap();
        let number = std::cell::Cell::new(0);
        let child = || test.child(role).arg(topic.arg()).arg(number.get());
        sweep(test, role, points, child, |is_over| {
            // The next one comes at once; whoever has died before is told, too.
            let next = topic.publisher();
            next.publish(&message(1, number.get(), 40)).unwrap();
            drop(next);
            let (mut heard, mut left) = (0, Vec::new());
            while left.last() != Some(&Left::Closed) || heard == 0 {
                match subscriber.next(in_ms(60_000)).unwrap() {
                    Event::Message(sample) => {
                        let (who, found) = read(&sample.to_vec().unwrap());
                        assert_eq!(found, number.get());
                        heard += 1 + 10 * u64::from(who);
                    }
                    Event::Left { how, .. } => left.push(how),
                    other => panic!("{other:?}"),
                }
                if heard < 11 {
                    left.retain(|how| *how != Left::Closed);
                }
            }
            let is_there = role == "going" || is_over;
            assert!(heard == 12 || heard == 11 && !is_there, "heard {heard}, over: {is_over}");
            number.set(number.get() + 1);
            assert_eq!(topic.files(), ["p0", "s0", "site"]);
        });
    }
}

/// The first one makes the topic.
fn making(test: &Test, points: u64) {
    test.role("making", |peer| {
        let topic = Topic::of(peer);
        let options = topic.sized(1 << 12);
        peer.mark();
        let publisher = Publisher::open(&Topic::name(), &options).unwrap();
        peer.mark();
        drop(publisher);
    });
    test.role("removing", |peer| {
        let place = Topic::of(peer).place();
        drop(Publisher::open(&Topic::name(), &Topic::of(peer).sized(1 << 12)).unwrap());
        peer.mark();
        twixt_bus::remove(twixt_bus::Kind::Topic, &Topic::name(), Some(&place)).unwrap();
        peer.mark();
    });
    for role in ["making", "removing"] {
        let topic = Topic::new();
        sweep(
            test,
            role,
            points,
            || test.child(role).arg(topic.arg()),
            |_| {
                let _ = twixt_bus::remove(twixt_bus::Kind::Topic, &Topic::name(), Some(&topic.place()));
                let publisher = Publisher::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
                let mut subscriber = topic.subscriber();
                publisher.publish(b"after it").unwrap();
                assert_eq!(topics::receive(&mut subscriber), b"after it");
                assert_eq!(topic.files(), ["p0", "s0", "site"]);
                twixt_bus::remove(twixt_bus::Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
                let left: Vec<_> = std::fs::read_dir(topic.place().path()).unwrap().flatten().collect();
                assert!(left.is_empty(), "{left:?}");
            },
        );
    }
}

/// A subscriber that is killed while it joins, receives, arms its doorbell, or leaves, holds up nobody.
fn subscribers(test: &Test, points: u64) {
    fn section(peer: &Peer, what: &str) {
        let topic = Topic::of(peer);
        let options = topic.options();
        if what == "joining" {
            peer.mark();
            let _subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
            peer.mark();
            std::thread::sleep(Duration::from_secs(60));
        }
        let how = SubscriberOptions::new().history(20);
        let mut subscriber = Subscriber::open_with(&Topic::name(), &options, how).unwrap();
        peer.mark();
        match what {
            "receiving" => {
                for _ in 0..3 {
                    subscriber.receive().unwrap().to_vec().unwrap();
                }
            }
            "receiving together" => {
                let each = |message: &mut Message<'_>| _ = read(&message.to_vec().unwrap());
                assert_eq!(subscriber.receive_batch(5, Wait::forever(), each).unwrap(), 5);
            }
            "arming" => {
                subscriber.doorbell().unwrap();
                subscriber.arm().unwrap();
            }
            _ => drop(subscriber),
        }
        peer.mark();
        std::thread::sleep(Duration::from_secs(60));
    }
    const ROLES: [&str; 5] = ["joining", "receiving", "receiving together", "arming", "leaving"];
    for role in ROLES {
        test.role(role, |peer| section(peer, role));
    }
    for role in ROLES {
        let topic = Topic::new();
        let mut steady = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
        let publisher = topic.publisher();
        for number in 0..20 {
            publisher.publish(&message(0, number, 40)).unwrap();
        }
        let (mut sent, mut next, mut round) = (20, 0, 0);
        sweep(
            test,
            role,
            points,
            || test.child(role).arg(topic.arg()),
            |_| {
                round += 1;
                if round % 8 != 0 {
                    // Who comes next sweeps.
                    drop(topic.subscriber());
                }
                for _ in 0..150 {
                    publisher.publish(&message(0, sent, 40)).unwrap();
                    sent += 1;
                    while let Ok(sample) = steady.try_receive() {
                        assert_eq!(read(&sample.to_vec().unwrap()).1, next);
                        next += 1;
                    }
                }
                assert_eq!(next, sent);
                if round % 8 == 0 {
                    // One that nobody waits for, or knows of, lies there until then.
                    drop(topic.subscriber());
                }
                assert_eq!(topic.files(), ["p0", "s0", "site"]);
            },
        );
    }
}

sweeps! {
    killed_while_publishing, killed_while_publishing_anywhere: publish, 14;
    killed_while_publishing_together, killed_while_publishing_together_anywhere: batches, 14;
    killed_with_loans_out, killed_with_loans_out_anywhere: loans, 10;
    killed_while_a_message_flows, killed_while_a_message_flows_anywhere: flows, 10;
    killed_while_meeting, killed_while_meeting_anywhere: meetings, 10;
    killed_while_making_memory, killed_while_making_memory_anywhere: making_memory, 40;
    killed_while_coming_or_going, killed_while_coming_or_going_anywhere: coming_and_going, 10;
    killed_while_making_the_topic, killed_while_making_the_topic_anywhere: making, 8;
    killed_while_receiving, killed_while_receiving_anywhere: subscribers, 6;
}

/// Nearly all instructions of these copy bytes: the short form has a flow instead.
#[test]
#[ignore = "the whole sweep takes minutes"]
fn killed_while_publishing_a_large_one_anywhere() {
    let _alone = alone();
    large(&test!().unwatched(), points(500));
}

/// Kills publishers at random while they publish as fast as they can.
fn at_random(test: &Test, kills: u64) {
    test.role("publisher", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        let file = std::fs::OpenOptions::new().read(true).write(true).open(peer.arg(1)).unwrap();
        let accepted = Mapping::shared(std::os::fd::AsFd::as_fd(&file), 0, 8, Access::ReadWrite).unwrap();
        let accepted = accepted.atomic_u64(0).unwrap();
        let mut dice = Dice(peer.arg(2).parse::<u64>().unwrap() + 1);
        let mut loans = Vec::new();
        for number in 0.. {
            let len = if number % 500 == 7 { LARGE } else { dice.below(400) as usize };
            let bytes = message(0, number, len);
            match dice.below(8) {
                0 => {
                    let mut loan = publisher.loan(bytes.len()).unwrap();
                    loan.write(0, &bytes);
                    if dice.below(4) == 0 {
                        loans.push(publisher.loan(10).unwrap());
                    }
                    loan.publish().unwrap();
                    loans.clear();
                }
                _ => publisher.publish(&bytes).unwrap(),
            }
            accepted.store(number + 1, Ordering::SeqCst);
        }
    });
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap();
    let counter = topic.place().path().join("accepted");
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&counter).unwrap();
    file.set_len(8).unwrap();
    let accepted = Mapping::shared(std::os::fd::AsFd::as_fd(&file), 0, 8, Access::ReadWrite).unwrap();
    let mut dice = Dice(u64::from(std::process::id()) + 99);
    let (mut received, mut broken) = (0, 0);
    for kill in 0..kills {
        accepted.atomic_u64(0).unwrap().store(0, Ordering::SeqCst);
        let child =
            test.child("publisher").arg(topic.arg()).arg(counter.display()).arg(dice.roll() >> 1).spawn();
        let mut child = Some(child);
        let until = dice.below(2000);
        let mut next = 0;
        loop {
            match subscriber.next(in_ms(60_000)).unwrap() {
                Event::Message(mut sample) => {
                    let mut bytes = Vec::new();
                    match sample.read_into(&mut bytes) {
                        Ok(()) => {
                            assert_eq!(read(&bytes).1, next, "lost or doubled");
                            next += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
                            broken += 1;
                        }
                    }
                    drop(sample);
                    if next > until
                        && let Some(child) = child.take()
                    {
                        child.kill();
                    }
                }
                Event::Left { how: Left::Died, publisher: 0 } => break,
                other => panic!("{other:?}"),
            }
        }
        let accepted = accepted.atomic_u64(0).unwrap().load(Ordering::SeqCst);
        assert!(
            next == accepted || next == accepted + 1,
            "kill {kill}: {next} received, {accepted} accepted"
        );
        received += next;
    }
    let publisher = topic.publisher();
    assert_eq!(publisher.published().0, received);
    println!("{kills} kills, {received} messages, {broken} were never finished");
}

kills_at_random!(at_random);

#[test]
fn a_sleeper_is_not_taken_for_dead() {
    let _alone = alone();
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        for number in 0.. {
            publisher.publish(&message(0, number, 40)).unwrap();
            if number == 0 {
                peer.say("there");
            }
            if number > 200_000 {
                break;
            }
        }
    });
    test.role("subscriber", |peer| {
        let slow = match peer.arg(1).as_str() {
            "block" => Slow::Block,
            "oldest" => Slow::DropOldest,
            _ => Slow::Disconnect,
        };
        let mut subscriber = Topic::of(peer).subscriber_with(SubscriberOptions::new().slow(slow));
        peer.say("there");
        let mut next = 0;
        loop {
            match subscriber.next(Wait::forever()) {
                Ok(Event::Message(mut sample)) => {
                    let mut bytes = Vec::new();
                    if sample.read_into(&mut bytes).is_ok() {
                        assert_eq!(read(&bytes).1, next);
                        next += 1;
                    }
                }
                Ok(Event::Missed { messages, .. }) => {
                    assert_ne!(slow, Slow::Block);
                    next += messages;
                }
                Ok(Event::Left { .. }) => break,
                Err(error) => {
                    assert_eq!((slow, error.kind()), (Slow::Disconnect, ErrorKind::Overrun), "{error}");
                    return peer.say("disconnected");
                }
                Ok(other) => panic!("{other:?}"),
            }
        }
        peer.say(&next.to_string());
    });
    let asleep = Duration::from_millis(300);
    // A publisher.
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 13)).unwrap();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    publisher.expect("there");
    let mut next = 0;
    for _ in 0..3 {
        publisher.stop();
        std::thread::sleep(asleep);
        loop {
            match subscriber.receive_wait(in_ms(150)) {
                Ok(sample) => {
                    assert_eq!(read(&sample.to_vec().unwrap()).1, next);
                    next += 1;
                }
                Err(error) => break assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            }
        }
        publisher.signal(Signal::CONT);
        assert_eq!(read(&topics::receive(&mut subscriber)).1, next);
        next += 1;
    }
    publisher.kill();
    // A subscriber of each kind.
    for slow in ["block", "oldest", "disconnect"] {
        let topic = Topic::new();
        let publisher = Publisher::open(&Topic::name(), &topic.sized(1 << 13)).unwrap();
        let mut subscriber = test.child("subscriber").arg(topic.arg()).arg(slow).spawn();
        subscriber.expect("there");
        publisher.publish(&message(0, 0, 40)).unwrap();
        subscriber.stop();
        let mut sent = 1;
        for _ in 0..1000 {
            match publisher.publish_wait(&message(0, sent, 40), in_ms(300)) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!((slow, error.kind()), ("block", ErrorKind::TimedOut), "{error}");
                    break;
                }
            }
        }
        assert_eq!(sent < 1000, slow == "block");
        std::thread::sleep(asleep);
        assert_eq!(publisher.subscribers().unwrap(), 1);
        subscriber.signal(Signal::CONT);
        publisher.publish(&message(0, sent, 40)).unwrap();
        if slow == "disconnect" {
            subscriber.expect("disconnected");
        } else {
            drop(publisher);
            subscriber.expect(&(sent + 1).to_string());
        }
        subscriber.succeed();
    }
}
