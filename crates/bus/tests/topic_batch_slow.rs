//! Receiving many messages at a time as one that is not waited for: what is overwritten meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};

use twixt_bus::{Event, Slow, SubscriberOptions};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::test;

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, kind, message, numbers, panic_quietly, read, receive_some};

fn dropping_the_oldest() -> SubscriberOptions {
    SubscriberOptions::new().slow(Slow::DropOldest)
}

#[test]
fn what_is_overwritten_while_it_is_looked_at_is_told_and_not_counted() {
    // However much is published meanwhile: to just before it, and some laps.
    for extra in (0..140).chain([500]) {
        for way in 0..5 {
            overwrite_meanwhile(extra, way);
        }
    }
}

/// Publishes so many messages during the third one, which is read before or behind that.
fn overwrite_meanwhile(extra: u64, way: u64) {
    let topic = Topic::of_size(1 << 12);
    let mut subscriber = topic.subscriber_with(dropping_the_oldest());
    let publisher = topic.publisher();
    let mut sent = 0;
    let mut publish = |count| {
        for _ in 0..count {
            publisher.publish(&message(0, sent, 40)).unwrap();
            sent += 1;
        }
    };
    publish(10);
    let (mut whole, mut overrun, mut calls) = (Vec::new(), Vec::new(), 0);
    let received = subscriber
        .receive_batch(100, Wait::never(), |it| {
            calls += 1;
            let number = it.sequence();
            if number == 2 {
                if way == 4 {
                    // It was whole once; and later it is, or says that it is not.
                    assert_eq!(read(&it.to_vec().unwrap()), (0, 2));
                }
                publish(extra);
            }
            let mut words = [0; 5];
            let outcome = match way {
                0 => it.to_vec().map(|bytes| assert_eq!(read(&bytes), (0, number))),
                1 => it.first_word().map(|word| assert_eq!(word, number)),
                2 => {
                    let mut at = 0;
                    let each = |word| {
                        words[at] = word;
                        at += 1;
                    };
                    it.read_words(each).map(|()| assert_eq!(words[0], number))
                }
                3 => it.read_lines(|some| words.copy_from_slice(some)).map(|()| assert_eq!(words[0], number)),
                _ => it.read(&mut [0; 64]).map(drop).and_then(|()| {
                    let bytes = it.to_vec()?;
                    assert_eq!(read(&bytes), (0, number));
                    Ok(())
                }),
            };
            match outcome {
                Ok(()) => whole.push(number),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Overrun, "{error}");
                    // It says so again, however it is asked.
                    assert_eq!(kind(it.to_vec()), ErrorKind::Overrun);
                    assert_eq!(kind(it.first_word()), ErrorKind::Overrun);
                    overrun.push(number);
                }
            }
        })
        .unwrap();
    let what = format!("{extra} {way}: {whole:?} {overrun:?}");
    assert_eq!(received, whole.len(), "{what}");
    assert_eq!(subscriber.received().0, received as u64, "{what}");
    assert_eq!(calls, whole.len() + overrun.len());
    if extra < 20 {
        assert_eq!((&overrun, received), (&vec![], 10 + extra as usize), "{what}");
    }
    if extra >= 130 {
        assert_eq!((&whole, &overrun), (&vec![0, 1], &vec![2]), "{what}");
    }
    // What comes next goes on, and everything is accounted for.
    publish(3);
    let mut all = whole;
    while let Ok(some) = receive_some(&mut subscriber, 7, Wait::never()) {
        all.extend(numbers(&some));
    }
    let last: Vec<_> = (sent - 3..sent).collect();
    assert!(all.ends_with(&last), "{what}: {all:?}");
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{what}: {all:?}");
    assert!(overrun.iter().all(|number| !all.contains(number)), "{what}: {all:?}");
    assert_eq!(subscriber.received().0, all.len() as u64, "{what}");
    assert_eq!(subscriber.missed(), sent - all.len() as u64, "{what}");
    // In one piece, since it was too slow once at the most.
    assert!(all.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count() <= 1, "{what}: {all:?}");
}

#[test]
fn what_a_batch_has_found_overwritten_is_told_as_missed() {
    for most in [1, 2, 3, 100] {
        let topic = Topic::of_size(1 << 12);
        let mut subscriber = topic.subscriber_with(dropping_the_oldest());
        let publisher = topic.publisher();
        let (mut sent, mut next, mut told) = (0, 0, 0);
        for round in 0..60 {
            for _ in 0..3 {
                publisher.publish(&message(0, sent, 40)).unwrap();
                sent += 1;
            }
            // Some are overwritten, some are not.
            let received = subscriber.receive_batch(most, Wait::never(), |it| {
                if it.sequence() % 5 == 2 {
                    for _ in 0..round * 3 {
                        publisher.publish(&message(0, sent, 40)).unwrap();
                        sent += 1;
                    }
                }
                if let Ok(bytes) = it.to_vec() {
                    assert_eq!(read(&bytes), (0, next), "{most}");
                    next += 1;
                }
            });
            match received {
                Ok(received) => assert!(received <= most),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            // Each is told once, by whatever tells.
            loop {
                match subscriber.next(Wait::never()) {
                    Ok(Event::Missed { messages, .. }) => {
                        told += messages;
                        next += messages;
                    }
                    Ok(Event::Message(sample)) => {
                        assert_eq!(read(&sample.to_vec().unwrap()), (0, next));
                        next += 1;
                    }
                    other => break assert_eq!(kind(other.map(drop)), ErrorKind::WouldBlock),
                }
            }
            assert_eq!((next, subscriber.missed()), (sent, told), "{most} {round}");
            assert_eq!(subscriber.received().0, sent - told);
        }
        assert!(told > 300, "{told}");
    }
}

#[test]
fn what_is_overwritten_and_not_looked_at_is_accounted_for() {
    for at in [0, 3, 9] {
        for (len, count) in [(40, 300), (16, 65), (1000, 20)] {
            let topic = Topic::of_size(1 << 12);
            let mut subscriber = topic.subscriber_with(dropping_the_oldest());
            let publisher = topic.publisher();
            for number in 0..10 {
                publisher.publish(&message(0, number, 16)).unwrap();
            }
            let mut sequences = Vec::new();
            let received = subscriber
                .receive_batch(100, Wait::never(), |it| {
                    if it.sequence() == at {
                        for number in 0..count {
                            publisher.publish(&message(0, 10 + number, len)).unwrap();
                        }
                    }
                    sequences.push(it.sequence());
                })
                .unwrap() as u64;
            // Whether that one counts is for it to say; those before do.
            assert!(received == at || received == at + 1, "{received} of {at}, {sequences:?}");
            assert_eq!(sequences, (0..=at).collect::<Vec<_>>());
            assert_eq!(subscriber.received().0, received);
            let mut rest = Vec::new();
            while let Ok(some) = receive_some(&mut subscriber, 7, Wait::never()) {
                rest.extend(numbers(&some));
            }
            assert!(!rest.is_empty());
            assert_eq!(rest, (10 + count - rest.len() as u64..10 + count).collect::<Vec<_>>());
            assert_eq!(subscriber.received().0 + subscriber.missed(), 10 + count);
        }
    }
}

#[test]
fn who_drops_the_oldest_misses_what_it_is_told_between_processes() {
    let test = test!();
    const ALL: u64 = 60_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        for number in 0..ALL {
            publisher.publish(&message(0, number, 16 + number as usize / 500 % 3 * 40)).unwrap();
        }
    });
    let topic = Topic::of_size(1 << 13);
    let mut subscriber = topic.subscriber_with(dropping_the_oldest());
    let child = test.child("publisher").arg(topic.arg()).spawn();
    let (mut next, mut all) = (0, 0);
    loop {
        let mut whole = 0;
        let outcome = subscriber.receive_batch(50, Wait::forever(), |it| match it.to_vec() {
            Ok(bytes) => {
                let (_, number) = read(&bytes);
                assert!(number >= next);
                assert_eq!(it.sequence(), number);
                next = number + 1;
                whole += 1;
                if number % 997 == 0 {
                    std::thread::sleep(std::time::Duration::from_micros(500));
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overrun, "{error}"),
        });
        match outcome {
            Ok(received) => assert_eq!(received, whole),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
        }
        all += whole as u64;
        assert_eq!(subscriber.received().0, all);
    }
    assert_eq!(next, ALL);
    assert_eq!(all + subscriber.missed(), ALL);
    child.succeed();
}

#[test]
fn who_keeps_the_oldest_receives_them_from_its_copy() {
    for during in [None, Some(0), Some(4), Some(30)] {
        let topic = Topic::of_size(1 << 12);
        let keeping = || SubscriberOptions::new().slow(Slow::DropNewest);
        let (mut keeper, mut single) = (topic.subscriber_with(keeping()), topic.subscriber_with(keeping()));
        let publisher = topic.publisher();
        let mut sent = 0;
        let publish = |sent: &mut u64, count| {
            for _ in 0..count {
                publisher.publish(&message(0, *sent, 40)).unwrap();
                *sent += 1;
            }
        };
        publish(&mut sent, if during.is_none() { 340 } else { 40 });
        let mut all = Vec::new();
        for _ in 0..20 {
            let mut calls = 0;
            let outcome = keeper.receive_batch(50, Wait::never(), |it| {
                let sample = single.try_receive().unwrap();
                assert_eq!((it.sequence(), it.len()), (sample.sequence(), sample.len()));
                if during == Some(it.sequence()) && sent == 40 {
                    publish(&mut sent, 200);
                }
                match it.to_vec() {
                    Ok(bytes) => {
                        calls += 1;
                        all.push(read(&bytes).1);
                        assert_eq!(read(&sample.to_vec().unwrap()).1, it.sequence());
                    }
                    // It comes again, out of the copy.
                    Err(error) => {
                        assert_eq!((error.kind(), during), (ErrorKind::Overrun, Some(it.sequence())));
                        assert_eq!(kind(sample.to_vec()), ErrorKind::Overrun);
                    }
                }
            });
            match outcome {
                Ok(received) => assert_eq!(received, calls),
                Err(error) => {
                    assert_eq!((error.kind(), calls), (ErrorKind::WouldBlock, 0));
                    assert_eq!(kind(single.try_receive()), ErrorKind::WouldBlock);
                }
            }
            publish(&mut sent, 3);
        }
        while let Ok(some) = receive_some(&mut keeper, 50, Wait::never()) {
            for number in numbers(&some) {
                assert_eq!(read(&single.try_receive().unwrap().to_vec().unwrap()).1, number);
                all.push(number);
            }
        }
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        // Nothing of what was there is missing, and what is missing is in one piece.
        assert_eq!(all[..40], (0..40).collect::<Vec<_>>());
        assert_eq!(all.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count(), 1, "{all:?}");
        assert_eq!(*all.last().unwrap(), sent - 1);
        assert_eq!((keeper.received().0, keeper.missed()), (all.len() as u64, sent - all.len() as u64));
        assert_eq!((keeper.received(), keeper.missed()), (single.received(), single.missed()));
    }
}

#[test]
fn who_is_disconnected_for_being_slow_is_told() {
    let disconnecting = || SubscriberOptions::new().slow(Slow::Disconnect);
    let topic = Topic::of_size(1 << 12);
    let before = topic.subscriber_with(disconnecting());
    let mut during = topic.subscriber_with(disconnecting());
    let publisher = topic.publisher();
    publisher.publish(&message(0, 0, 40)).unwrap();
    publisher.publish(&message(0, 1, 40)).unwrap();
    let mut told = Vec::new();
    let received = during.receive_batch(5, Wait::never(), |it| {
        if it.sequence() == 1 {
            (2..300).for_each(|number| publisher.publish(&message(0, number, 40)).unwrap());
        }
        told.push(it.to_vec().map(drop).map_err(|error| error.kind()));
    });
    assert_eq!(told, [Ok(()), Err(ErrorKind::Overrun)]);
    assert_eq!(received.unwrap(), 1);
    for mut subscriber in [before, during] {
        for wait in [Wait::forever(), Wait::never()] {
            assert_eq!(kind(subscriber.receive_batch(5, wait, |_| panic!())), ErrorKind::Overrun);
        }
        assert_eq!(kind(subscriber.receive()), ErrorKind::Overrun);
    }
}

#[test]
fn a_panic_over_an_overwritten_message_leaves_nothing_unaccounted() {
    for reads in [false, true] {
        let topic = Topic::of_size(1 << 12);
        let mut subscriber = topic.subscriber_with(dropping_the_oldest());
        let publisher = topic.publisher();
        (0..10).for_each(|number| publisher.publish(&message(0, number, 40)).unwrap());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            subscriber.receive_batch(10, Wait::never(), |it| {
                if it.sequence() == 4 {
                    (10..200).for_each(|number| publisher.publish(&message(0, number, 40)).unwrap());
                    assert!(!reads || kind(it.to_vec()) == ErrorKind::Overrun);
                    panic_quietly();
                }
            })
        }));
        assert!(caught.is_err());
        let counted = subscriber.received().0;
        assert!(counted == 4 || counted == 5, "{counted}");
        let rest = numbers(&receive_some(&mut subscriber, 1000, Wait::never()).unwrap());
        assert_eq!(rest, (200 - rest.len() as u64..200).collect::<Vec<_>>());
        assert_eq!(subscriber.received().0 + subscriber.missed(), 200);
    }
}
