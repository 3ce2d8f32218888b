//! Messages that are written in place, and large ones that are read meanwhile, between real processes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::process::Signal;
use twixt_bus::{Event, Left, Slow, Subscriber, SubscriberOptions};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{call, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Dice, Topic, in_ms, kind, message, read, receive};

#[test]
fn loans_leave_in_order_and_a_dropped_one_is_no_message() {
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 14)).unwrap();
    let publisher = topic.publisher();
    let mut number = 0;
    for round in 0..200_u64 {
        let mut loans: Vec<_> = (0..4)
            .map(|at| {
                let mut loan = publisher.loan(16 + (round as usize * 13 + at) % 90).unwrap();
                let bytes = message(0, number + at as u64, loan.len());
                loan.write(0, &bytes);
                Some(loan)
            })
            .collect();
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        let mut dice = Dice(round + 1);
        let mut dropped = Vec::new();
        for _ in 0..40 {
            let at = dice.below(4) as usize;
            match loans[at].take() {
                Some(loan) if dice.below(3) == 0 => {
                    drop(loan);
                    dropped.push(number + at as u64);
                }
                Some(loan) => loan.publish().unwrap(),
                None => {}
            }
        }
        drop(loans);
        for at in (number..number + 4).filter(|at| !dropped.contains(at)) {
            assert_eq!(read(&receive(&mut subscriber)).1, at);
        }
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        number += 4;
    }
}

#[test]
fn a_loan_is_not_written_over_by_those_behind_it() {
    let topic = Topic::new();
    let _site = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    drop(_site);
    let publisher = topic.publisher();
    let mut slow = topic.subscriber_with(SubscriberOptions::new().slow(Slow::DropOldest));
    let mut loan = publisher.loan(40).unwrap();
    loan.write(0, &message(0, 0, 40));
    let mut behind = 0;
    let error = loop {
        match publisher.publish(&message(0, 1 + behind, 40)) {
            Ok(()) => behind += 1,
            Err(error) => break error,
        }
        assert!(behind < 100, "it goes round over the loan");
    };
    // Not even who would wait: nobody else can make room.
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    loan.publish().unwrap();
    for number in 0..=behind {
        assert_eq!(read(&receive(&mut slow)).1, number);
    }
    publisher.publish(&message(0, 0, 40)).unwrap();
}

#[test]
fn who_waits_for_room_that_only_its_own_loan_has_is_told() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        for number in 0..10 {
            publisher.publish(&message(0, number, 40)).unwrap();
        }
        let loan = publisher.loan(40).unwrap();
        while publisher.try_publish(&[0; 40]).is_ok() {}
        peer.say("full");
        // The subscriber reads what is before the loan; then it is the loan's turn.
        let error = loop {
            if let Err(error) = publisher.publish(&[0; 40]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        drop(loan);
    });
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 12)).unwrap();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    publisher.expect("full");
    publisher.wait_until_blocked_in(&[call::FUTEX]);
    for number in 0..10 {
        assert_eq!(read(&receive(&mut subscriber)).1, number);
    }
    while let Ok(sample) = subscriber.receive_wait(in_ms(60_000)) {
        drop(sample);
    }
    publisher.succeed();
}

#[test]
fn a_panic_while_a_message_is_written_is_no_message() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let hush = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        publisher.publish_with(40, Wait::forever(), |_| panic!("in the middle"))
    }));
    std::panic::set_hook(hush);
    assert!(caught.is_err());
    publisher.publish(b"afterwards").unwrap();
    assert_eq!(receive(&mut subscriber), b"afterwards");
}

#[test]
fn a_large_message_is_read_while_it_is_written() {
    let test = test!();
    const LEN: usize = 300_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let bytes = message(3, 1, LEN);
        let mut flow = publisher.flow(LEN).unwrap();
        flow.write(&bytes[..64_000]);
        peer.say("some");
        peer.wait_for("seen");
        for piece in bytes[64_000..].chunks(8_000) {
            flow.write(piece);
        }
        flow.finish().unwrap();
        // Broken off: no message.
        let mut flow = publisher.flow(LEN).unwrap();
        flow.write(&bytes[..8_000]);
        drop(flow);
        publisher.publish(b"behind").unwrap();
        peer.wait_for("end");
        let mut flow = publisher.flow(LEN).unwrap();
        flow.write(&bytes[..8_000]);
        peer.say("in the middle");
        std::thread::sleep(Duration::from_secs(60));
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    publisher.expect("some");
    // What is not whole yet is not lost by who does not wait that long.
    for wait in [Wait::never(), in_ms(5)] {
        let mut sample = subscriber.receive_wait(wait).unwrap();
        assert_eq!(sample.len(), LEN);
        let expected = if wait.is_never() { ErrorKind::WouldBlock } else { ErrorKind::TimedOut };
        assert_eq!(kind(sample.read(&mut vec![0; LEN])), expected);
    }
    assert_eq!(subscriber.received().0, 0);
    let mut sample = subscriber.receive().unwrap();
    let mut seen = 0;
    let mut bytes = Vec::new();
    sample
        .read_words(|word| {
            bytes.extend(word.to_ne_bytes());
            seen += 8;
            if seen == 64_000 {
                publisher.tell("seen");
            }
        })
        .unwrap();
    assert_eq!(read(&bytes), (3, 1));
    drop(sample);
    assert_eq!(receive(&mut subscriber), b"behind");
    publisher.tell("end");
    publisher.expect("in the middle");
    let mut sample = subscriber.receive().unwrap();
    let reading = std::thread::scope(|scope| {
        scope.spawn(|| publisher.signal(Signal::KILL));
        sample.read(&mut vec![0; LEN])
    });
    assert_eq!(kind(reading), ErrorKind::PeerGone);
    drop(sample);
    assert!(matches!(subscriber.next(in_ms(60_000)).unwrap(), Event::Left { how: Left::Died, .. }));
    assert_eq!(subscriber.received().0, 2);
}

#[test]
fn a_publisher_that_does_not_go_on_holds_nobody_who_has_a_deadline() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let mut flow = publisher.flow(100_000).unwrap();
        flow.write(&[1; 800]);
        peer.say("begun");
        peer.wait_for("go on");
        flow.write(&[1; 99_200]);
        flow.finish().unwrap();
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    publisher.expect("begun");
    publisher.stop();
    for _ in 0..3 {
        let error = subscriber.receive_wait(in_ms(150)).unwrap().read(&mut vec![0; 100_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
    publisher.signal(Signal::CONT);
    publisher.tell("go on");
    assert_eq!(receive(&mut subscriber), vec![1; 100_000]);
    publisher.succeed();
}

#[test]
fn the_first_word_of_what_is_still_being_written_is_waited_for() {
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(1 << 18)).unwrap();
    let publisher = topic.publisher();
    let mut flow = publisher.flow(40 << 10).unwrap();
    // Nothing of it is there: it stays.
    for wait in [Wait::never(), in_ms(1)] {
        let kind = subscriber.receive_wait(wait).unwrap().first_word().unwrap_err().kind();
        assert_eq!(kind, if wait.is_never() { ErrorKind::WouldBlock } else { ErrorKind::TimedOut });
    }
    flow.write(&0x0102_0304_0506_0708_u64.to_ne_bytes());
    let mut sample = subscriber.receive().unwrap();
    assert_eq!(sample.first_word().unwrap(), 0x0102_0304_0506_0708);
    drop(sample);
    flow.finish().unwrap();
    // That it was looked at is that it was received.
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
}
