//! What a topic promises, between real processes.

use std::time::Duration;

use rustix::process::Signal;
use twixt_bus::{
    Capacity, Event, Kind, Left, Options, Publisher, Slow, Subscriber, SubscriberOptions, TypeName, remove,
};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{call, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Dice, Topic, in_ms, kind, message, read, receive};

#[test]
fn messages_keep_their_order_and_their_bounds() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let longest = publisher.longest();
        let mut dice = Dice(7);
        for number in 0..3000 {
            let len = match number % 50 {
                0 => longest,
                1 => 0,
                2..10 => dice.below(100_000) as usize,
                _ => dice.below(200) as usize,
            };
            publisher.publish(&message(1, number, len)).unwrap();
        }
        publisher.publish(b"").unwrap();
        let error = publisher.publish(&vec![0; longest + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLong, "{error}");
        assert_eq!(kind(publisher.loan(longest + 1)), ErrorKind::TooLong);
        publisher.publish(&vec![9; longest]).unwrap();
    });
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 20)).unwrap();
    let publisher = test.child("publisher").arg(topic.arg()).spawn();
    for number in 0..3000 {
        assert_eq!(read(&receive(&mut subscriber)), (1, number));
    }
    assert_eq!(receive(&mut subscriber), b"");
    assert_eq!(receive(&mut subscriber), vec![9; subscriber.longest()]);
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    assert_eq!(kind(subscriber.receive_wait(in_ms(10))), ErrorKind::TimedOut);
    publisher.succeed();
}

#[test]
fn everybody_gets_everything() {
    let test = test!();
    const EACH: u64 = 4000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let who = peer.arg(1).parse().unwrap();
        peer.say("there");
        peer.wait_for("go");
        let mut dice = Dice(u64::from(who) + 1);
        for number in 0..EACH {
            publisher.publish(&message(who, number, dice.below(300) as usize)).unwrap();
        }
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        let mut next = [0; 3];
        while next != [EACH; 3] {
            let (who, number) = read(&receive(&mut subscriber));
            assert_eq!(number, next[who as usize]);
            next[who as usize] += 1;
        }
        assert_eq!(subscriber.received().0, 3 * EACH);
        assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    });
    let topic = Topic::new();
    drop(Subscriber::open(&Topic::name(), &topic.sized(1 << 14)).unwrap());
    let mut children: Vec<_> = (0..3).map(|_| test.child("subscriber").arg(topic.arg()).spawn()).collect();
    children.extend((0..3).map(|who| test.child("publisher").arg(topic.arg()).arg(who).spawn()));
    for child in &mut children {
        child.expect("there");
    }
    for child in &mut children[3..] {
        child.tell("go");
    }
    for child in children {
        child.succeed();
    }
    assert_eq!(topic.files(), ["p0", "p1", "p2", "site"]);
}

#[test]
fn a_fast_publisher_does_not_keep_the_others_unheard() {
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 20)).unwrap();
    let (fast, slow) = (topic.publisher(), topic.publisher());
    for number in 0..2000 {
        fast.publish(&message(0, number, 40)).unwrap();
    }
    receive(&mut subscriber);
    slow.publish(&message(1, 0, 40)).unwrap();
    // There is always one more of the fast one.
    let heard = (0..1000).position(|_| read(&receive(&mut subscriber)).0 == 1);
    assert!(heard.is_some_and(|after| after < 200), "{heard:?}");
}

#[test]
fn what_was_published_is_there_for_who_does_not_wait() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    // A stream, which is let get ahead: but not so that one says that there is nothing.
    for number in 0..1000 {
        publisher.publish(&message(0, number, 16)).unwrap();
        assert_eq!(read(&subscriber.try_receive().unwrap().to_vec().unwrap()).1, number);
        for _ in 0..number % 3 {
            assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        }
    }
}

#[test]
fn a_full_ring_holds_up_who_waits_and_refuses_who_does_not() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let mut number = 0;
        while publisher.try_publish(&message(0, number, 40)).is_ok() {
            number += 1;
        }
        assert_eq!(kind(publisher.try_publish(b"")), ErrorKind::WouldBlock);
        assert_eq!(kind(publisher.publish_wait(b"", in_ms(20))), ErrorKind::TimedOut);
        let deadline = Deadline::after(Duration::from_millis(20));
        assert_eq!(kind(publisher.publish_deadline(b"", deadline)), ErrorKind::TimedOut);
        assert_eq!(kind(publisher.loan_wait(1, Wait::never())), ErrorKind::WouldBlock);
        assert_eq!(kind(publisher.flow_wait(1, Wait::never())), ErrorKind::WouldBlock);
        peer.say(&number.to_string());
        publisher.publish(&message(0, number, 40)).unwrap();
        publisher.publish(&message(0, number + 1, 40)).unwrap();
    });
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    let count: u64 = publisher.hear().parse().unwrap();
    assert!((20..64).contains(&count), "{count}");
    publisher.wait_until_blocked_in(&[call::FUTEX]);
    for number in 0..count + 2 {
        assert_eq!(read(&receive(&mut subscriber)).1, number);
    }
    publisher.succeed();
}

#[test]
fn who_drops_the_oldest_is_told_exactly_how_many() {
    let test = test!();
    const ALL: u64 = 60_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        for number in 0..ALL {
            publisher.publish(&message(0, number, 16 + number as usize % 100)).unwrap();
            // Two of the subscribers are so slow that nobody else would be.
            if number % 5000 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    test.role("subscriber", |peer| {
        let slow = if peer.arg(1) == "oldest" { Slow::DropOldest } else { Slow::Disconnect };
        let mut subscriber = Topic::of(peer).subscriber_with(SubscriberOptions::new().slow(slow));
        peer.say("there");
        let (mut next, mut received, mut missed, mut lost) = (0, 0, 0, 0);
        loop {
            match subscriber.next(in_ms(60_000)) {
                Ok(Event::Message(mut sample)) => {
                    let mut bytes = Vec::new();
                    if received % 997 == 0 {
                        std::thread::sleep(Duration::from_micros(700));
                    }
                    match sample.read_into(&mut bytes) {
                        Ok(()) => {
                            let (_, number) = read(&bytes);
                            assert_eq!(number, next);
                            assert_eq!(sample.sequence(), number);
                            (next, received) = (next + 1, received + 1);
                        }
                        Err(error) if error.kind() == ErrorKind::Overrun => lost += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                Ok(Event::Missed { messages, .. }) => {
                    assert!(messages > 0);
                    next += messages;
                    missed += messages;
                }
                Ok(Event::Left { how, .. }) => {
                    assert_eq!((how, next), (Left::Closed, ALL));
                    break;
                }
                Err(error) if slow == Slow::Disconnect => {
                    assert_eq!(error.kind(), ErrorKind::Overrun, "{error}");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        if slow == Slow::Disconnect {
            assert_eq!(kind(subscriber.receive()), ErrorKind::Overrun);
            assert_eq!(kind(subscriber.try_receive()), ErrorKind::Overrun);
            return peer.say("disconnected");
        }
        assert_eq!(received + missed, ALL);
        assert_eq!((subscriber.received().0, subscriber.missed()), (received, missed));
        assert!(missed > 0, "it was never slow; overwritten while it was read: {lost}");
    });
    let topic = Topic::new();
    let _site = Subscriber::open(&Topic::name(), &topic.sized(1 << 13)).unwrap();
    drop(_site);
    let mut oldest = test.child("subscriber").arg(topic.arg()).arg("oldest").spawn();
    let mut disconnect = test.child("subscriber").arg(topic.arg()).arg("disconnect").spawn();
    oldest.expect("there");
    disconnect.expect("there");
    test.child("publisher").arg(topic.arg()).spawn().succeed();
    disconnect.expect("disconnected");
    oldest.succeed();
    disconnect.succeed();
}

#[test]
fn nothing_is_missed_twice() {
    let topic = Topic::new();
    let _site = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    drop(_site);
    let mut slow = topic.subscriber_with(SubscriberOptions::new().slow(Slow::DropOldest));
    let publisher = topic.publisher();
    let mut sent = 0;
    let mut send = |count| {
        for _ in 0..count {
            publisher.publish(&message(0, sent, 40)).unwrap();
            sent += 1;
        }
    };
    let mut accounted = 0;
    for round in 0..50 {
        send(100 + round * 7);
        // Between being told and receiving, it is too slow again.
        match slow.next(Wait::never()).unwrap() {
            Event::Missed { messages, .. } => accounted += messages,
            Event::Message(sample) => {
                assert_eq!(sample.sequence(), accounted);
                // While it is held it is overwritten; that is noticed whether it is read or not.
                send(200);
                drop(sample);
            }
            other => panic!("{other:?}"),
        }
    }
    loop {
        match slow.next(Wait::never()) {
            Ok(Event::Missed { messages, .. }) => accounted += messages,
            Ok(Event::Message(sample)) => {
                assert_eq!(read(&sample.to_vec().unwrap()).1, accounted);
                accounted += 1;
            }
            other => break assert_eq!(kind(other.map(drop)), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(accounted, sent);
    assert_eq!(slow.received().0 + slow.missed(), sent);
}

#[test]
fn what_is_there_must_be_what_is_wanted() {
    let topic = Topic::new();
    let name = Topic::name();
    let absent = Options::new().place(topic.place());
    assert_eq!(kind(Publisher::open(&name, &absent)), ErrorKind::NotFound);
    let typed = |hash, description: &str| TypeName { hash, description: description.to_owned() };
    let made = topic.sized(10_000).type_name(typed(7, "Price { cents: u64 }"));
    let _publisher = Publisher::open(&name, &made).unwrap();
    assert_eq!(_publisher.capacity(), Capacity::Bounded(1 << 14));
    assert_eq!(kind(Subscriber::open(&name, &topic.sized(1 << 15))), ErrorKind::InvalidInput);
    assert_eq!(
        kind(Subscriber::open(&name, &topic.options().capacity(Capacity::Zero))),
        ErrorKind::InvalidInput
    );
    let error = Subscriber::open(&name, &absent.clone().type_name(typed(8, "Order"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(
        error.to_string().contains("Price { cents: u64 }") && error.to_string().contains("Order"),
        "{error}"
    );
    Subscriber::open(&name, &absent.type_name(typed(7, "the same"))).unwrap();
    let huge = Topic::new();
    let error = Publisher::open(&name, &huge.sized(u64::MAX)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}");
}

#[test]
fn a_site_that_is_not_one_is_refused() {
    use std::os::unix::fs::FileExt;
    let topic = Topic::new();
    drop(topic.publisher());
    let site = topic.directory().join("site");
    let whole = std::fs::read(&site).unwrap();
    let open = || Subscriber::open(&Topic::name(), &topic.options()).map(drop);
    for len in [0, 7, 4096, whole.len() - 1] {
        std::fs::write(&site, &whole[..len]).unwrap();
        assert_eq!(kind(open()), ErrorKind::Malformed, "{len}");
    }
    let spoil = |at: u64, word: u64| {
        std::fs::write(&site, &whole).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&site).unwrap();
        file.write_all_at(&word.to_le_bytes(), 8 * at).unwrap();
        open().unwrap_err()
    };
    for (at, word) in [(0, 1), (2, 1), (4, 3), (4, 1 << 40), (16, 99), (17, 0), (20, 5000)] {
        assert_eq!(spoil(at, word).kind(), ErrorKind::Malformed, "{at}");
    }
    let version = spoil(1, 1 << 32 | 7);
    assert_eq!(version.kind(), ErrorKind::Unsupported);
    assert!(version.to_string().contains('7'), "{version}");
    std::fs::write(&site, &whole).unwrap();
    open().unwrap();
}

#[test]
fn a_forked_child_is_refused_and_its_parent_may_die() {
    let test = test!();
    test.role("parent", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        let mut subscriber = topic.subscriber();
        publisher.publish(b"both see it").unwrap();
        publisher.publish(b"still there").unwrap();
        let loan = publisher.loan(9).unwrap();
        let mut kept = publisher.loan(13).unwrap();
        kept.write(0, b"of the parent");
        // SAFETY: the child leaves by `_exit` or by a signal, and runs nothing of the test harness.
        let child = unsafe { libc::fork() };
        if child == 0 {
            kept.write(0, b"of the child!");
            let refused = [
                kind(loan.publish()),
                kind(publisher.publish(b"from the child")),
                kind(publisher.loan(1)),
                kind(subscriber.receive()),
                kind(subscriber.try_receive()),
                kind(publisher.arm()),
                kind(subscriber.arm()),
            ];
            drop(kept);
            drop((publisher, subscriber));
            let ok = refused.iter().all(|kind| *kind == ErrorKind::InvalidInput);
            if !ok {
                // SAFETY: as above.
                unsafe { libc::_exit(1) };
            }
            // It keeps all descriptors, until it is killed with the test.
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        peer.say(&child.to_string());
        peer.wait_for("go on");
        drop(loan);
        kept.publish().unwrap();
        publisher.publish(b"from the parent").unwrap();
        for expected in [b"both see it".as_slice(), b"still there", b"of the parent", b"from the parent"] {
            assert_eq!(receive(&mut subscriber), expected);
        }
        peer.say("done");
        peer.wait_for("never");
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let mut parent = test.child("parent").arg(topic.arg()).spawn();
    let child: i32 = parent.hear().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(child).unwrap();
    let _end = twixt_testkit::defer(|| _ = rustix::process::kill_process(pid, Signal::KILL));
    // It has had its answers when it sleeps.
    twixt_testkit::wait_until_blocked_in(child.cast_unsigned(), &[call::NANOSLEEP]);
    parent.tell("go on");
    parent.expect("done");
    for _ in 0..4 {
        receive(&mut subscriber);
    }
    // A zombie, with a child that has inherited its locks.
    parent.signal(Signal::KILL);
    match subscriber.next(in_ms(60_000)).unwrap() {
        Event::Left { how: Left::Died, .. } => {}
        other => panic!("{other:?}"),
    }
    // The dead subscriber, whose lock the child has, is not waited for.
    let publisher = topic.publisher();
    drop(subscriber);
    for _ in 0..40_000 {
        publisher.publish(&[0; 40]).unwrap();
    }
    let stat = std::fs::metadata(format!("/proc/{child}"));
    assert!(stat.is_ok(), "the child lives still");
    parent.wait();
}

#[test]
fn nothing_is_lost_for_want_of_descriptors() {
    let test = test!();
    test.role("publisher", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        let limit = |count: u64| {
            let limit = rustix::process::Rlimit { current: Some(count), maximum: None };
            let old = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let limit = rustix::process::Rlimit { maximum: old.maximum, ..limit };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        };
        limit(3);
        peer.say("starved");
        peer.wait_for("subscribed");
        // The one who has come is to be waited for, and cannot be looked at.
        let error = publisher.publish(&[0; 40]).unwrap_err();
        assert_eq!(error.errno(), Some(twixt_os::Errno::MFILE), "{error}");
        assert!(error.to_string().contains("ulimit"), "{error}");
        assert!(publisher.publish(&[0; 40]).is_err());
        let error = Publisher::open(&Topic::name(), &topic.options()).unwrap_err();
        assert_eq!(error.errno(), Some(twixt_os::Errno::MFILE), "{error}");
        limit(256);
        for number in 0..1000 {
            publisher.publish(&message(0, number, 40)).unwrap();
        }
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        let old = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let starve = |count| {
            let limit = rustix::process::Rlimit { current: Some(count), ..old };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        };
        starve(3);
        peer.say("starved");
        peer.wait_for("published");
        for _ in 0..2 {
            let error = subscriber.receive_wait(in_ms(60_000)).unwrap_err();
            assert_eq!(error.errno(), Some(twixt_os::Errno::MFILE), "{error}");
        }
        starve(256);
        for number in 0..5 {
            assert_eq!(read(&receive(&mut subscriber)).1, number);
        }
    });
    let topic = Topic::new();
    let _site = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    drop(_site);
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    child.expect("starved");
    let mut subscriber = topic.subscriber();
    child.tell("subscribed");
    for number in 0..1000 {
        assert_eq!(read(&receive(&mut subscriber)).1, number);
    }
    child.succeed();
    let mut child = test.child("subscriber").arg(topic.arg()).spawn();
    child.expect("starved");
    let publisher = topic.publisher();
    for number in 0..5 {
        publisher.publish(&message(0, number, 40)).unwrap();
    }
    child.tell("published");
    child.succeed();
}

#[test]
fn a_full_file_system_is_an_error_when_one_joins() {
    let test = test!();
    test.in_namespaces(|_| {
        let scratch = twixt_testkit::scratch();
        let target = std::ffi::CString::new(scratch.path().to_str().unwrap()).unwrap();
        rustix::mount::mount(
            "tmpfs",
            target.as_c_str(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            Some(c"size=256k"),
        )
        .unwrap();
        let _unmount = twixt_testkit::defer(|| {
            _ = rustix::mount::unmount(target.as_c_str(), rustix::mount::UnmountFlags::DETACH);
        });
        let topic = Topic::at(scratch.path());
        let error = Publisher::open(&Topic::name(), &topic.sized(1 << 20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(topic.files(), ["site"], "nothing is left of it");
        remove(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
        let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 15)).unwrap();
        let publisher = topic.publisher();
        let mut others = Vec::new();
        let error = loop {
            match Subscriber::open(&Topic::name(), &topic.options()) {
                Ok(other) => others.push(other),
                Err(error) => break error,
            }
            assert!(others.len() < 100);
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        // Those that are there have all that they need.
        for number in 0..100 {
            publisher.publish(&message(0, number, 4000)).unwrap();
            assert_eq!(read(&receive(&mut subscriber)).1, number);
            for other in &mut others {
                assert_eq!(read(&receive(other)).1, number);
            }
        }
    });
}

#[test]
fn a_million_messages_go_round_and_round() {
    let test = test!();
    const ALL: u64 = 1_000_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let mut batch = publisher.batch();
        for number in 0..ALL {
            let wait = Wait::forever();
            batch
                .publish_with(16, wait, |words| {
                    words[0].store(number, std::sync::atomic::Ordering::Relaxed);
                    words[1].store(!number, std::sync::atomic::Ordering::Relaxed);
                })
                .unwrap();
        }
    });
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 14)).unwrap();
    topic.near_the_wrap(500_000);
    // That one has gone already.
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    let publisher = test.child("publisher").arg(topic.arg()).spawn();
    for number in 0..ALL {
        let mut words = [0; 2];
        let mut at = 0;
        let mut sample = subscriber.receive_wait(in_ms(60_000)).unwrap();
        sample
            .read_words(|word| {
                words[at] = word;
                at += 1
            })
            .unwrap();
        assert_eq!(words, [number, !number]);
    }
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    publisher.succeed();
    // It did begin there, and went over it.
    assert!((400_000..ALL).contains(&topic.claim()), "{}", topic.claim());
}
