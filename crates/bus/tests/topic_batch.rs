//! Receiving many messages at a time: what `receive_batch` promises beyond a message at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::Signal;
use twixt_bus::{Capacity, Event, Kind, Left, Message, Publisher, Subscriber, SubscriberOptions, remove};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{call, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{
    Dice, Topic, bytes_of, in_ms, kind, message, numbers, panic_quietly, read, receive, receive_some,
};

const LENGTHS: [usize; 7] = [0, 8, 40, 41, 64, 700, 5000];

/// Looks at a message in a way that its number decides, and has it whole.
fn contents(message: &mut Message<'_>, way: u64) -> Vec<u8> {
    let len = message.len();
    let mut bytes = vec![0; len + 3];
    match way % 4 {
        0 => assert_eq!(message.read(&mut bytes).unwrap(), len),
        1 => return message.to_vec().unwrap(),
        2 => {
            bytes.clear();
            message.read_words(|word| bytes.extend(word.to_ne_bytes())).unwrap();
            assert_eq!(bytes.len(), len.next_multiple_of(8));
        }
        _ => {
            bytes.clear();
            let mut has_ended = false;
            let each = |words: &[u64]| {
                assert!(!has_ended && words.len() <= 8);
                has_ended = words.len() < 8;
                words.iter().for_each(|word| bytes.extend(word.to_ne_bytes()));
            };
            message.read_lines(each).unwrap();
            assert_eq!(bytes.len(), len.next_multiple_of(8));
        }
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn messages_of_any_lengths_come_in_order_with_their_bounds_and_numbers() {
    for mixed in [None].into_iter().chain(LENGTHS.map(Some)) {
        let topic = Topic::of_size(1 << 14);
        let (mut many, mut single) = (topic.subscriber(), topic.subscriber());
        let publisher = topic.publisher();
        let mut dice = Dice(mixed.map_or(9, |len| len as u64 + 1));
        let (mut sent, mut next, mut bytes) = (0, 0, 0);
        while next < 3000 {
            for _ in 0..dice.below(40) {
                let len = mixed.unwrap_or_else(|| LENGTHS[dice.below(7) as usize]);
                if publisher.try_publish(&bytes_of(sent, len)).is_err() {
                    break;
                }
                sent += 1;
            }
            let most = dice.below(12) as usize + 1;
            let there = usize::try_from(sent - next).unwrap().min(most);
            let before = next;
            let outcome = many.receive_batch(most, Wait::never(), |it| {
                let sample = single.try_receive().unwrap();
                assert_eq!(it.len(), sample.len());
                assert_eq!(it.is_empty(), sample.is_empty());
                assert_eq!(it.publisher(), sample.publisher());
                assert_eq!(it.sequence(), sample.sequence());
                assert_eq!(it.position(), sample.position());
                let expected = bytes_of(next, it.len());
                let mut first = [0; 8];
                first[..expected.len().min(8)].copy_from_slice(&expected[..expected.len().min(8)]);
                let mask = if it.is_empty() { 0 } else { u64::MAX };
                if it.len() % 8 == 0 || it.len() > 8 {
                    assert_eq!(it.first_word().unwrap() & mask, u64::from_ne_bytes(first));
                }
                assert!(contents(it, next) == expected, "message {next} of {} bytes", it.len());
                assert!(sample.to_vec().unwrap() == expected);
                next += 1;
                bytes += it.len() as u64;
            });
            match there {
                0 => assert_eq!(kind(outcome), ErrorKind::WouldBlock),
                _ => {
                    let received = outcome.unwrap();
                    assert!((1..=there).contains(&received), "{received} of {there}");
                    assert_eq!(received as u64, next - before);
                }
            }
        }
        while next < sent {
            next += many.receive_batch(100, Wait::never(), |it| bytes += it.len() as u64).unwrap() as u64;
        }
        while single.try_receive().is_ok() {}
        assert_eq!(many.received(), (next, bytes));
        // What others see of it is said when there is nothing more to do.
        assert_eq!(kind(receive_some(&mut many, 1, Wait::never())), ErrorKind::WouldBlock);
        assert_eq!(single.received(), (next, bytes));
        assert_eq!(topic.received(), [(next, bytes); 2]);
    }
}

#[test]
fn counters_and_numbers_go_on_from_single_receives_to_many_and_back() {
    let topic = Topic::of_size(1 << 13);
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let (mut sent, mut next, mut bytes) = (0, 0, 0);
    for round in 0..500 {
        for _ in 0..10 {
            let len = [16, 40, 90][sent as usize / 7 % 3];
            publisher.publish(&message(0, sent, len)).unwrap();
            sent += 1;
        }
        for step in [2, 1, 3, 1, 1, 2] {
            let mut see = |sequence: u64, whole: &[u8]| {
                assert_eq!((sequence, read(whole)), (next, (0, next)));
                next += 1;
                bytes += whole.len() as u64;
            };
            if step == 1 {
                let sample = subscriber.try_receive().unwrap();
                let (sequence, publisher) = (sample.sequence(), sample.publisher());
                assert_eq!(publisher, 0);
                see(sequence, &sample.to_vec().unwrap());
            } else {
                let received = subscriber.receive_batch(step, Wait::never(), |it| {
                    assert_eq!(it.publisher(), 0);
                    see(it.sequence(), &it.to_vec().unwrap());
                });
                // It may be another publisher's turn.
                let received = received.unwrap();
                assert!((1..=step).contains(&received), "round {round}");
                assert_eq!(subscriber.received(), (next, bytes));
            }
        }
        while next < sent {
            let sample = subscriber.try_receive().unwrap();
            bytes += sample.len() as u64;
            assert_eq!(read(&sample.to_vec().unwrap()).1, next);
            next += 1;
        }
        assert_eq!(subscriber.received(), (next, bytes));
        assert_eq!(kind(subscriber.receive_batch(9, Wait::never(), |_| panic!())), ErrorKind::WouldBlock);
        // What others see of it is said when there is nothing more to do.
        assert_eq!(topic.received(), [(next, bytes)]);
    }
    assert_eq!(subscriber.missed(), 0);
}

#[test]
fn it_takes_as_many_as_were_asked_for_and_waits_for_the_first_only() {
    let test = test!();
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        let first = receive_some(&mut subscriber, 100, Wait::forever()).unwrap();
        assert_eq!(numbers(&first), [100]);
    });
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let never = |_: &mut Message<'_>| panic!("there is none");
    // Not even a publisher.
    assert_eq!(kind(subscriber.receive_batch(5, Wait::never(), never)), ErrorKind::WouldBlock);
    assert_eq!(kind(subscriber.receive_batch(5, in_ms(5), never)), ErrorKind::TimedOut);
    let publisher = topic.publisher();
    assert_eq!(kind(subscriber.receive_batch(5, Wait::never(), never)), ErrorKind::WouldBlock);
    assert_eq!(kind(subscriber.receive_batch(5, in_ms(5), never)), ErrorKind::TimedOut);
    assert_eq!(subscriber.receive_batch(0, Wait::never(), never).unwrap(), 0);
    assert_eq!(subscriber.receive_batch(0, Wait::forever(), never).unwrap(), 0);
    for number in 0..100 {
        publisher.publish(&message(0, number, 40)).unwrap();
    }
    assert_eq!(subscriber.receive_batch(0, Wait::forever(), never).unwrap(), 0);
    let mut next = 0;
    for (most, expected) in [(1, 1), (1, 1), (2, 2), (30, 30), (25, 25)] {
        let some = receive_some(&mut subscriber, most, Wait::forever()).unwrap();
        assert_eq!(numbers(&some), (next..next + expected).collect::<Vec<_>>());
        next += expected;
    }
    // More may be there when it returns; but not so that it returned without any.
    while next < 100 {
        let some = receive_some(&mut subscriber, 100, Wait::forever()).unwrap();
        assert_eq!(numbers(&some), (next..next + some.len() as u64).collect::<Vec<_>>());
        assert!(!some.is_empty());
        next += some.len() as u64;
    }
    assert_eq!(kind(subscriber.receive_batch(1, Wait::never(), never)), ErrorKind::WouldBlock);
    // There are fewer: they are not waited for, however it waits.
    for wait in [Wait::never(), in_ms(60_000), Wait::forever()] {
        for number in 0..3 {
            publisher.publish(&message(0, number, 40)).unwrap();
        }
        assert_eq!(numbers(&receive_some(&mut subscriber, usize::MAX, wait).unwrap()), [0, 1, 2]);
    }
    // The first comes while it sleeps.
    let mut child = test.child("subscriber").arg(topic.arg()).spawn();
    child.expect("there");
    child.wait_until_blocked_in(&[call::FUTEX]);
    publisher.publish(&message(0, 100, 40)).unwrap();
    child.succeed();
}

#[test]
fn each_publisher_has_its_turn_and_keeps_its_order() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let publishers: Vec<_> = (0..3).map(|_| topic.publisher()).collect();
    let mut dice = Dice(3);
    for number in 0..400 {
        for (who, publisher) in publishers.iter().enumerate() {
            publisher.publish(&message(who as u32, number, dice.below(90) as usize)).unwrap();
        }
    }
    let (mut next, mut heard, mut all) = ([0; 3], Vec::new(), 0);
    while all < 1200 {
        all += subscriber
            .receive_batch(1000, Wait::never(), |it| {
                let (who, number) = read(&it.to_vec().unwrap());
                assert_eq!(number, next[who as usize]);
                // In the order in which they have come.
                assert_eq!((it.publisher(), it.sequence()), (who as usize, number));
                next[who as usize] += 1;
                heard.push(who);
            })
            .unwrap();
    }
    assert_eq!((next, subscriber.received().0), ([400; 3], 1200));
    for who in 0..3 {
        let first = heard.iter().position(|it| *it == who).unwrap();
        assert!(first < 390, "publisher {who} is first heard after {first}");
    }
    assert_eq!(kind(receive_some(&mut subscriber, 1, Wait::never())), ErrorKind::WouldBlock);
}

#[test]
fn a_fast_publisher_does_not_keep_the_others_unheard_by_who_takes_all() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let (fast, slow) = (topic.publisher(), topic.publisher());
    for number in 0..500 {
        fast.publish(&message(0, number, 40)).unwrap();
    }
    receive(&mut subscriber);
    slow.publish(&message(1, 0, 40)).unwrap();
    // There is always one more of the fast one, also while a batch is under way.
    let (mut after, mut is_heard, mut calls) = (0, false, 0);
    while !is_heard && calls < 1000 {
        calls += 1;
        let received = subscriber.receive_batch(2000, Wait::never(), |it| {
            is_heard |= it.publisher() == 1;
            after += u64::from(!is_heard);
            fast.publish(&message(0, 500 + after, 40)).unwrap();
        });
        assert!(received.unwrap() > 0);
    }
    assert!(is_heard && after < 200, "{after} before it");
}

#[test]
fn nothing_is_lost_between_processes_that_come_and_go_round() {
    let test = test!();
    const EACH: u64 = 20_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let who = peer.arg(1).parse().unwrap();
        let mut dice = Dice(u64::from(who) + 1);
        peer.say("there");
        peer.wait_for("go");
        for number in 0..EACH {
            let len = if number / 100 % 3 == 0 { 40 } else { dice.below(300) as usize };
            publisher.publish(&message(who, number, len)).unwrap();
        }
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        let (mut next, mut dice) = ([0; 2], Dice(77));
        while next != [EACH; 2] {
            let most = dice.below(100) as usize + 1;
            let mut calls = 0;
            let received = subscriber.receive_batch(most, Wait::forever(), |it| {
                let (who, number) = read(&it.to_vec().unwrap());
                assert_eq!(number, next[who as usize]);
                next[who as usize] += 1;
                calls += 1;
            });
            assert_eq!(received.unwrap(), calls);
            assert!((1..=most).contains(&calls));
        }
        assert_eq!(subscriber.received().0, 2 * EACH);
        assert_eq!(kind(receive_some(&mut subscriber, 5, Wait::forever())), ErrorKind::PeerGone);
        assert_eq!(kind(receive_some(&mut subscriber, 5, Wait::never())), ErrorKind::WouldBlock);
    });
    let topic = Topic::of_size(1 << 13);
    let mut children: Vec<_> = (0..2).map(|_| test.child("subscriber").arg(topic.arg()).spawn()).collect();
    children.extend((0..2).map(|who| test.child("publisher").arg(topic.arg()).arg(who).spawn()));
    children.iter_mut().for_each(|child| child.expect("there"));
    children[2..].iter_mut().for_each(|child| child.tell("go"));
    children.into_iter().for_each(|child| child.succeed());
}

#[test]
fn a_panic_has_received_what_it_was_given_and_no_more() {
    for len in [16, 40, 500] {
        for most in [1, 2, 5, 10, 100] {
            for at in 0..most.min(10) as u64 {
                let topic = Topic::of_size(1 << 14);
                let mut subscriber = topic.subscriber();
                let publisher = topic.publisher();
                for number in 0..20 {
                    // The same length, or not.
                    let len = if at % 2 == 0 { len } else { len + number as usize % 9 };
                    publisher.publish(&message(0, number, len)).unwrap();
                }
                let mut seen = Vec::new();
                let mut bytes = 0;
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    subscriber.receive_batch(most, Wait::never(), |it| {
                        bytes += it.len() as u64;
                        if it.sequence() == at {
                            panic_quietly();
                        }
                        seen.push(read(&it.to_vec().unwrap()).1);
                    })
                }));
                assert!(caught.is_err());
                assert_eq!(seen, (0..at).collect::<Vec<_>>());
                assert_eq!(subscriber.received(), (at + 1, bytes));
                assert_eq!(read(&receive(&mut subscriber)).1, at + 1);
                let rest = receive_some(&mut subscriber, 100, Wait::never()).unwrap();
                assert_eq!(numbers(&rest), (at + 2..20).collect::<Vec<_>>());
                assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
                assert_eq!(subscriber.received().0, 20);
                assert_eq!(topic.received(), [subscriber.received()]);
            }
        }
    }
}

#[test]
fn a_message_that_is_not_finished_is_waited_for_as_was_said() {
    const LEN: usize = 200_000;
    let test = test!();
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        peer.wait_for("begun");
        let mut next = 0;
        while next < 3 {
            next += receive_some(&mut subscriber, 10, Wait::forever())
                .unwrap()
                .iter()
                .enumerate()
                .map(|(at, bytes)| assert_eq!(read(bytes), (3, next + at as u64)))
                .count() as u64;
        }
        assert_eq!(subscriber.received(), (3, LEN as u64 + 200));
    });
    let topic = Topic::new();
    let mut child = test.child("subscriber").arg(topic.arg()).spawn();
    child.expect("there");
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let bytes = message(3, 1, LEN);
    publisher.publish(&message(3, 0, 100)).unwrap();
    let mut flow = publisher.flow(LEN).unwrap();
    flow.write(&bytes[..64_000]);
    // What is before it is there, and nothing else is waited for.
    let first = receive_some(&mut subscriber, 10, in_ms(60_000)).unwrap();
    assert_eq!(numbers(&first), [0]);
    for wait in [Wait::never(), in_ms(5), Wait::never()] {
        let expected = if wait.is_never() { ErrorKind::WouldBlock } else { ErrorKind::TimedOut };
        assert_eq!(kind(subscriber.receive_batch(10, wait, |_| panic!())), expected);
    }
    assert_eq!(subscriber.received(), (1, 100));
    // A sample of it may be had in between.
    assert_eq!(subscriber.try_receive().unwrap().len(), LEN);
    child.tell("begun");
    child.wait_until_blocked_in(&[call::NANOSLEEP]);
    flow.write(&bytes[64_000..]);
    flow.finish().unwrap();
    publisher.publish(&message(3, 2, 100)).unwrap();
    child.succeed();
    let mut rest = Vec::new();
    while let Ok(some) = receive_some(&mut subscriber, 10, Wait::never()) {
        rest.extend(some);
    }
    // The sample that was dropped without a look has been received, or has not: as single receives have it.
    let expected: &[u64] = if rest.len() == 1 { &[2] } else { &[1, 2] };
    assert_eq!(numbers(&rest), expected);
}

#[test]
fn one_that_is_like_those_before_it_and_not_finished_is_not_given_out() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let bytes = [message(0, 0, 40_000), message(0, 1, 40_000), message(0, 2, 40_000)];
    publisher.publish(&bytes[0]).unwrap();
    publisher.publish(&bytes[1]).unwrap();
    let mut flow = publisher.flow(40_000).unwrap();
    flow.write(&bytes[2][..39_992]);
    assert_eq!(numbers(&receive_some(&mut subscriber, 10, in_ms(60_000)).unwrap()), [0, 1]);
    assert_eq!(kind(receive_some(&mut subscriber, 10, Wait::never())), ErrorKind::WouldBlock);
    flow.write(&bytes[2][39_992..]);
    flow.finish().unwrap();
    assert_eq!(numbers(&receive_some(&mut subscriber, 10, Wait::never()).unwrap()), [2]);
}

#[test]
fn large_messages_that_are_finished_come_with_the_small_ones() {
    let topic = Topic::of_size(1 << 20);
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let (mut sent, mut next, mut bytes) = (0, 0, 0);
    for round in 0..60 {
        for len in [40, 40, 33_000, 40, 100_000, 0, 50_000] {
            publisher.publish(&bytes_of(sent, len)).unwrap();
            sent += 1;
            bytes += len as u64;
        }
        while next < sent {
            let before = next;
            let received = subscriber.receive_batch(1 + round % 9, Wait::never(), |it| {
                assert_eq!(it.sequence(), next);
                assert!(contents(it, next + round as u64) == bytes_of(next, it.len()), "{next}");
                next += 1;
            });
            assert_eq!(received.unwrap() as u64, next - before);
        }
    }
    assert_eq!(subscriber.received(), (sent, bytes));
}

#[test]
fn a_message_that_is_broken_off_or_whose_publisher_dies_is_none() {
    const LEN: usize = 100_000;
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        peer.say("there");
        for number in 0.. {
            peer.wait_for("begin");
            let mut flow = publisher.flow(LEN).unwrap();
            flow.write(&[7; 8_000]);
            peer.say("begun");
            peer.wait_for("break off");
            drop(flow);
            publisher.publish(&message(0, number, 40)).unwrap();
            peer.say("behind");
        }
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        peer.wait_for("begun");
        let wait = Wait::forever();
        assert_eq!(kind(subscriber.receive_batch(10, wait, |_| panic!())), ErrorKind::PeerGone);
        assert_eq!(subscriber.received(), (0, 0));
        assert_eq!(numbers(&receive_some(&mut subscriber, 10, wait).unwrap()), [0]);
        peer.say("has it");
        peer.wait_for("begun");
        assert_eq!(kind(subscriber.receive_batch(10, wait, |_| panic!())), ErrorKind::PeerGone);
        assert!(matches!(subscriber.next(wait).unwrap(), Event::Left { how: Left::Died, .. }));
        assert_eq!(subscriber.received(), (1, 40));
        assert_eq!(kind(receive_some(&mut subscriber, 1, Wait::never())), ErrorKind::WouldBlock);
    });
    let topic = Topic::new();
    let mut subscriber = test.child("subscriber").arg(topic.arg()).spawn();
    subscriber.expect("there");
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    publisher.expect("there");
    for ends in ["break off", "die"] {
        publisher.tell("begin");
        publisher.expect("begun");
        subscriber.tell("begun");
        subscriber.wait_until_blocked_in(&[call::NANOSLEEP]);
        if ends == "die" {
            publisher.signal(Signal::KILL);
            break;
        }
        publisher.tell(ends);
        publisher.expect("behind");
        subscriber.expect("has it");
    }
    subscriber.succeed();
    publisher.wait();
}

#[test]
fn room_is_given_back_before_a_batch_is_over() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let mut number = 0;
        while publisher.try_publish(&message(0, number, 40)).is_ok() {
            number += 1;
        }
        peer.say(&number.to_string());
        publisher.publish(&message(0, number, 40)).unwrap();
        peer.say("goes on");
        publisher.publish(&message(0, number + 1, 40)).unwrap();
    });
    let topic = Topic::of_size(1 << 12);
    let mut subscriber = topic.subscriber();
    let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
    let full: u64 = publisher.hear().parse().unwrap();
    publisher.wait_until_blocked_in(&[call::FUTEX]);
    // One that does not come back before the publisher has gone on.
    let mut seen = Vec::new();
    let received = subscriber.receive_batch(full as usize, Wait::never(), |it| {
        seen.push(read(&it.to_vec().unwrap()).1);
        if seen.len() as u64 == full / 2 {
            publisher.expect("goes on");
        }
    });
    assert!(received.unwrap() >= 2);
    while seen.len() as u64 != full + 2 {
        seen.extend(numbers(&receive_some(&mut subscriber, 100, Wait::forever()).unwrap()));
    }
    assert_eq!(seen, (0..full + 2).collect::<Vec<_>>());
    publisher.succeed();
}

#[test]
fn who_publishes_meanwhile_is_heard() {
    let topic = Topic::of_size(1 << 12);
    let mut subscriber = topic.subscriber();
    let (same, mut other) = (topic.publisher(), Some(topic.publisher()));
    same.publish(&message(0, 0, 40)).unwrap();
    let (mut next, mut sent, mut is_heard) = (0, 1, false);
    // Many laps within few batches: two are published for each that is received, as far as there is room.
    while next < 3000 {
        let received = subscriber.receive_batch(500, Wait::never(), |it| {
            let (who, number) = read(&it.to_vec().unwrap());
            if who == 1 {
                return is_heard = true;
            }
            assert_eq!(number, next);
            next += 1;
            for _ in 0..2 {
                sent +=
                    u64::from(same.try_publish(&message(0, sent, 16 + sent as usize / 50 % 2 * 60)).is_ok());
            }
            if number == 100 {
                let other = other.take().unwrap();
                other.publish(&message(1, 0, 40)).unwrap();
                // And leaves.
            }
        });
        assert!(received.unwrap() > 0);
    }
    assert!(is_heard);
    assert!(sent > next);
}

#[test]
fn all_that_was_published_comes_before_the_end_which_is_told_once() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    for (first, most) in [(0, 100), (10, 10), (20, 3)] {
        let mut publisher = Some(topic.publisher());
        for number in first..first + 10 {
            publisher.as_ref().unwrap().publish(&message(0, number, 40)).unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 10 {
            let wait = Wait::forever();
            let received = subscriber.receive_batch(most, wait, |it| {
                seen.push(read(&it.to_vec().unwrap()).1);
                // In the middle of it.
                publisher = None;
            });
            assert!(received.unwrap() > 0);
        }
        assert_eq!(seen, (first..first + 10).collect::<Vec<_>>());
        assert_eq!(kind(receive_some(&mut subscriber, most, Wait::forever())), ErrorKind::PeerGone);
        assert_eq!(kind(receive_some(&mut subscriber, most, Wait::never())), ErrorKind::WouldBlock);
        assert_eq!(kind(receive_some(&mut subscriber, most, in_ms(5))), ErrorKind::TimedOut);
    }
    let publisher = topic.publisher();
    publisher.publish(b"the last").unwrap();
    remove(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
    // It may be told before what is there.
    let mut outcome = receive_some(&mut subscriber, 5, Wait::forever());
    if let Ok(some) = outcome {
        assert_eq!(some, [b"the last"]);
        outcome = receive_some(&mut subscriber, 5, Wait::forever());
    }
    assert_eq!(kind(outcome), ErrorKind::Removed);
}

#[test]
fn without_bound_all_of_it_comes_and_its_memory_goes() {
    use std::os::unix::fs::MetadataExt;
    let topic = Topic::new();
    let options = topic.options().capacity(Capacity::Unbounded(16 << 20));
    let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    let used = || std::fs::metadata(topic.directory().join("p0")).unwrap().blocks() * 512;
    let (mut sent, mut next) = (0, 0);
    for _ in 0..4 {
        for _ in 0..5000 {
            publisher.publish(&message(0, sent, 1000)).unwrap();
            sent += 1;
        }
        assert!(used() > 4 << 20, "{}", used());
        let mut extra = 600;
        while next < sent {
            let received = subscriber.receive_batch(700, Wait::never(), |it| {
                assert_eq!(read(&it.to_vec().unwrap()), (0, next));
                next += 1;
                if sent - next < 2500 && extra > 0 {
                    extra -= 1;
                    publisher.publish(&message(0, sent, 1000)).unwrap();
                    sent += 1;
                }
            });
            assert!(received.unwrap() > 0);
        }
        assert_eq!(kind(receive_some(&mut subscriber, 9, Wait::never())), ErrorKind::WouldBlock);
        for _ in 0..600 {
            publisher.publish(&message(0, sent, 1000)).unwrap();
            sent += 1;
            next += receive_some(&mut subscriber, 9, Wait::never()).unwrap().len() as u64;
        }
        assert_eq!(kind(receive_some(&mut subscriber, 9, Wait::never())), ErrorKind::WouldBlock);
        assert!(used() < 2 << 20, "{}", used());
    }
    assert_eq!((subscriber.received().0, next), (sent, sent));
}

#[test]
fn without_capacity_each_is_met() {
    let test = test!();
    test.role("publisher", |peer| {
        let options = Topic::of(peer).options().capacity(Capacity::Zero);
        let publisher = Publisher::open(&Topic::name(), &options).unwrap();
        for number in 0..300 {
            publisher.publish(&message(0, number, 40)).unwrap();
            if number == 0 {
                peer.say("met");
                peer.wait_for("go on");
            }
        }
    });
    let topic = Topic::new();
    let options = topic.options().capacity(Capacity::Zero);
    let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    assert_eq!(numbers(&receive_some(&mut subscriber, 10, Wait::forever()).unwrap()), [0]);
    // It is over without another word of who has it.
    child.expect("met");
    assert_eq!(kind(receive_some(&mut subscriber, 10, in_ms(5))), ErrorKind::TimedOut);
    child.tell("go on");
    let mut next = 1;
    while next < 300 {
        let some = numbers(&receive_some(&mut subscriber, 1 + next as usize % 5, Wait::forever()).unwrap());
        assert_eq!(some, (next..next + some.len() as u64).collect::<Vec<_>>());
        next += some.len() as u64;
    }
    assert_eq!(kind(receive_some(&mut subscriber, 10, Wait::forever())), ErrorKind::PeerGone);
    child.succeed();
}

#[test]
fn history_is_received_together() {
    let topic = Topic::of_size(1 << 12);
    let publisher = topic.publisher();
    for number in 0..1000 {
        publisher.publish(&message(0, number, 40)).unwrap();
    }
    for history in [1, 5, u64::MAX] {
        let mut late = topic.subscriber_with(SubscriberOptions::new().history(history));
        let some = numbers(&receive_some(&mut late, 1000, Wait::never()).unwrap());
        assert!(history > 5 || some.len() as u64 == history);
        assert_eq!(some, (1000 - some.len() as u64..1000).collect::<Vec<_>>());
        assert_eq!((late.received().0, late.missed()), (some.len() as u64, 0));
        assert_eq!(kind(receive_some(&mut late, 1, Wait::never())), ErrorKind::WouldBlock);
    }
    let mut late = topic.subscriber();
    assert_eq!(kind(receive_some(&mut late, 10, Wait::never())), ErrorKind::WouldBlock);
}

#[test]
fn loans_that_are_given_back_are_passed_over() {
    let topic = Topic::of_size(1 << 14);
    let (mut many, mut single) = (topic.subscriber(), topic.subscriber());
    let publisher = topic.publisher();
    let mut number = 0;
    for round in 0..500_u64 {
        let mut dice = Dice(round + 1);
        let mut kept = Vec::new();
        let count = dice.below(8) + 1;
        let loans: Vec<_> = (0..count)
            .map(|at| {
                let len = if round % 2 == 0 { 40 } else { 16 + dice.below(500) as usize };
                let mut loan = publisher.loan(len).unwrap();
                loan.write(0, &message(0, number + at, len));
                loan
            })
            .collect();
        for (at, loan) in loans.into_iter().enumerate() {
            // None, all, or some.
            if dice.below(3) < round % 4 {
                loan.publish().unwrap();
                kept.push(number + at as u64);
            }
        }
        number += count;
        let mut seen = Vec::new();
        let received = many.receive_batch(10, Wait::never(), |it| {
            let sample = single.try_receive().unwrap();
            assert_eq!((it.sequence(), it.position()), (sample.sequence(), sample.position()));
            seen.push(read(&it.to_vec().unwrap()).1);
            assert_eq!(read(&sample.to_vec().unwrap()).1, *seen.last().unwrap());
        });
        match kept.len() {
            0 => assert_eq!(kind(received), ErrorKind::WouldBlock),
            count => assert_eq!(received.unwrap(), count),
        }
        assert_eq!(seen, kept);
        assert_eq!(kind(receive_some(&mut many, 10, Wait::never())), ErrorKind::WouldBlock);
    }
    assert_eq!(many.received(), single.received());
    // One that is kept holds back those behind it.
    publisher.publish(&message(0, 0, 40)).unwrap();
    let mut loan = publisher.loan(40).unwrap();
    loan.write(0, &message(0, 1, 40));
    publisher.publish(&message(0, 2, 40)).unwrap();
    assert_eq!(numbers(&receive_some(&mut many, 10, Wait::forever()).unwrap()), [0]);
    assert_eq!(kind(receive_some(&mut many, 10, Wait::never())), ErrorKind::WouldBlock);
    loan.publish().unwrap();
    assert_eq!(numbers(&receive_some(&mut many, 10, Wait::forever()).unwrap()), [1, 2]);
}

#[test]
fn a_message_says_what_does_not_fit_and_what_is_empty() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    publisher.publish(b"").unwrap();
    publisher.publish(&message(0, 1, 41)).unwrap();
    publisher.publish(b"").unwrap();
    let mut calls = 0;
    let received = subscriber.receive_batch(10, Wait::never(), |it| {
        calls += 1;
        if calls == 2 {
            for len in [0, 8, 40] {
                let mut into = vec![3; len];
                assert_eq!(kind(it.read(&mut into)), ErrorKind::TooLong);
            }
            // It is there all the same.
            let mut into = [3; 50];
            assert_eq!(it.read(&mut into).unwrap(), 41);
            assert_eq!(read(&into[..41]), (0, 1));
            assert_eq!(into[41..], [3; 9]);
            assert_eq!(it.read(&mut into[..41]).unwrap(), 41);
            return;
        }
        assert!(it.is_empty());
        assert_eq!(it.to_vec().unwrap().len(), it.len());
        assert_eq!(it.to_vec().unwrap(), b"");
        assert_eq!(it.read(&mut []).unwrap(), 0);
        assert_eq!(it.first_word().unwrap(), 0);
        it.read_words(|_| panic!("it has none")).unwrap();
        it.read_lines(|words| assert!(words.is_empty())).unwrap();
    });
    assert_eq!((received.unwrap(), calls), (3, 3));
    // Too long for all that was offered, and received.
    publisher.publish(&[1; 100]).unwrap();
    let received = subscriber
        .receive_batch(1, Wait::never(), |it| assert_eq!(kind(it.read(&mut [0; 99])), ErrorKind::TooLong));
    assert_eq!((received.unwrap(), subscriber.received()), (1, (4, 141)));
}
