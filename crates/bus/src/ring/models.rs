//! The ring under every interleaving and every order of memory that the language allows.

use loom::thread;

use super::consumer::{Arrived, Consumer, Look};
use super::frame::Flags;
use super::producer::Producer;
use super::{CONTROL, Geometry};
use crate::sync::{AtomicU64, Ordering};
use crate::words::Words;

fn memory() -> (Geometry, Words, Words) {
    let geometry = Geometry::new(super::FEWEST).unwrap();
    (geometry, Words::heap(geometry.words()), Words::heap(CONTROL))
}

/// A producer that may go round once, and who follows it.
fn pair() -> (Producer, Consumer) {
    let (geometry, ring, words) = memory();
    let consumer = Consumer::new(geometry, ring.foreign(), words.foreign(), 0).unwrap();
    let producer = Producer::adopt(geometry, ring, words).unwrap();
    producer.allow(0);
    (producer, consumer)
}

fn send(producer: &Producer, number: u64) {
    let slot = producer.reserve(8, Flags::empty()).unwrap();
    producer.payload(slot)[0].store(number, Ordering::Relaxed);
    producer.publish(slot);
}

/// What is seen is whole and in order.
#[test]
fn what_is_seen_was_published() {
    loom::model(|| {
        let (producer, mut consumer) = pair();
        let sender = thread::spawn(move || {
            send(&producer, 10);
            send(&producer, 11);
        });
        for expected in 10..12 {
            let Look::Message(frame) = consumer.look() else { break };
            assert_eq!(frame.len, 8);
            assert_eq!(consumer.payload(frame).load(0), expected);
            assert!(consumer.is_intact(frame.position));
            consumer.advance(frame);
        }
        sender.join().unwrap();
    });
}

/// A successor is not taken for one that has left, whatever its predecessor has said.
#[test]
fn a_good_bye_is_of_its_own_epoch() {
    loom::model(|| {
        let (geometry, ring, words) = memory();
        let consumer = Consumer::new(geometry, ring.foreign(), words.foreign(), 0).unwrap();
        Producer::adopt(geometry, ring.clone(), words.clone()).unwrap().close();
        let reader = thread::spawn(move || {
            let epoch = consumer.epoch();
            assert!(epoch == 1 || !consumer.is_closed(), "the successor has not left");
        });
        let successor = Producer::adopt(geometry, ring, words).unwrap();
        reader.join().unwrap();
        drop(successor);
    });
}

/// What is found without another look, being like the one before, is whole and in order, too.
#[test]
fn what_is_like_the_one_before_was_published() {
    loom::model(|| {
        let (producer, mut consumer) = pair();
        send(&producer, 10);
        let Look::Message(frame) = consumer.look() else { panic!("it is there") };
        consumer.advance(frame);
        let sender = thread::spawn(move || send(&producer, 11));
        if consumer.finds() {
            let frame = consumer.hand();
            assert_eq!((frame.len, frame.sequence), (8, 1));
            assert_eq!(consumer.payload(frame).load(0), 11);
            assert!(consumer.is_intact(frame.position));
        }
        sender.join().unwrap();
    });
}

/// A consumer that nobody waits for takes nothing that was overwritten for what it looked for.
#[test]
fn what_was_overwritten_is_not_believed() {
    loom::model(|| {
        let (producer, mut consumer) = pair();
        for number in 0..15 {
            send(&producer, number);
        }
        let sender = thread::spawn(move || {
            // Over the first frame, which the consumer may be reading.
            producer.allow(producer.next());
            send(&producer, 15);
            send(&producer, 16);
        });
        match consumer.look() {
            Look::Message(frame) => {
                let read = consumer.payload(frame).load(0);
                if consumer.is_intact(frame.position) {
                    assert_eq!((frame.sequence, read), (0, 0));
                }
            }
            Look::Overrun => {}
            other => panic!("{other:?}"),
        }
        sender.join().unwrap();
    });
}

/// What flows is there as far as it is said to be.
#[test]
fn what_flows_is_there_as_far_as_it_says() {
    loom::model(|| {
        let (producer, mut consumer) = pair();
        let sender = thread::spawn(move || {
            let slot = producer.reserve(16, Flags::BELOW).unwrap();
            producer.open(slot);
            producer.payload(slot)[0].store(7, Ordering::Relaxed);
            producer.show(slot, 8);
            producer.payload(slot)[1].store(8, Ordering::Relaxed);
            producer.finish(slot, true);
        });
        if let Look::Message(frame) = consumer.look() {
            let arrived = match consumer.arrived(frame) {
                Arrived::Part(len) => len,
                Arrived::Whole => 16,
                Arrived::Broken => panic!("nobody broke it off"),
            };
            for index in 0..arrived / 8 {
                assert_eq!(consumer.payload(frame).load(index), 7 + index as u64);
            }
        }
        sender.join().unwrap();
    });
}

/// Publishes several, as far as there is room for them together.
fn send_some(producer: &Producer, numbers: std::ops::Range<u64>) {
    let mut next = numbers.start;
    while next < numbers.end {
        let most = (numbers.end - next) as usize;
        let fill = |room: &[AtomicU64]| {
            room[0].store(next, Ordering::Relaxed);
            next += 1;
            true
        };
        if producer.publish_series(8, most, fill) == 0 {
            send(producer, next);
            next += 1;
        }
    }
}

/// Several that are published together, and received together, are whole and in order.
#[test]
fn what_is_found_in_a_run_was_published() {
    loom::model(|| {
        let (producer, mut consumer) = pair();
        send(&producer, 10);
        assert!(matches!(consumer.look(), Look::Message(_)));
        let sender = thread::spawn(move || send_some(&producer, 11..13));
        let mut run = consumer.run().unwrap();
        let mut expected = 10;
        loop {
            let (frame, words) = run.take();
            assert_eq!((frame.sequence, words.load(0)), (expected - 10, expected));
            assert!(run.claim().is_intact(frame.position));
            expected += 1;
            if expected == 13 || !run.finds() {
                break;
            }
        }
        drop(run);
        assert_eq!((consumer.position(), consumer.expected), (expected - 10, Some(expected - 10)));
        sender.join().unwrap();
    });
}

/// What was overwritten while several are received is not believed.
#[test]
fn what_was_overwritten_in_a_run_is_not_believed() {
    loom::model(|| {
        let (producer, mut consumer) = pair();
        send_some(&producer, 0..15);
        assert!(matches!(consumer.look(), Look::Message(_)));
        let sender = thread::spawn(move || {
            producer.allow(producer.next());
            send_some(&producer, 15..17);
        });
        let mut run = consumer.run().unwrap();
        let mut expected = 0;
        loop {
            let (frame, words) = run.take();
            let read = words.load(0);
            if !run.claim().is_intact(frame.position) {
                run.give_back();
                break;
            }
            assert_eq!((frame.sequence, read), (expected, expected));
            expected += 1;
            if expected == 2 || !run.finds() {
                break;
            }
        }
        drop(run);
        assert_eq!((consumer.position(), consumer.expected), (expected, (expected > 0).then_some(expected)));
        sender.join().unwrap();
    });
}
