//! One producer and its consumers within a process, against a model.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::consumer::{Arrived, Consumer, Frame, Look};
use super::frame::{About, Flags, tag};
use super::producer::Producer;
use super::{CONTROL, Geometry, control};
use crate::sync::{AtomicU64, Ordering};
use crate::words::{Words, copy_in};

fn memory(lines: u64) -> (Geometry, Words, Words) {
    let geometry = Geometry::new(lines).unwrap();
    (geometry, Words::heap(geometry.words()), Words::heap(CONTROL))
}

fn follow(geometry: Geometry, ring: &Words, control: &Words) -> Consumer {
    Consumer::new(geometry, ring.foreign(), control.foreign(), 0).unwrap()
}

fn bytes(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number as usize * 31 + at) as u8).collect()
}

fn send(producer: &Producer, number: u64, len: usize) -> Option<()> {
    let flags = if len > 256 { Flags::BELOW } else { Flags::empty() };
    let slot = producer.reserve(len, flags)?;
    copy_in(producer.payload(slot), &bytes(number, len));
    producer.publish(slot);
    Some(())
}

fn receive(consumer: &mut Consumer) -> Option<(u64, Vec<u8>)> {
    let Look::Message(frame) = consumer.look() else { return None };
    assert_eq!(consumer.arrived(frame), Arrived::Whole);
    let mut read = vec![0; frame.len];
    consumer.payload(frame).copy_to(0, &mut read);
    assert!(consumer.is_intact(frame.position));
    assert_eq!(consumer.advance(frame), 0);
    Some((frame.sequence, read))
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    /// Lend so many, publish or drop them in this order.
    Lend(Vec<(usize, bool)>, bool),
    Receive(usize),
    /// The producer dies, and another adopts the ring.
    Die,
}

fn step(longest: usize) -> impl Strategy<Value = Step> {
    let len = prop_oneof![0..=100_usize, 0..=longest];
    prop_oneof![
        4 => len.clone().prop_map(Step::Send),
        1 => (prop::collection::vec((0..=120_usize, any::<bool>()), 1..4), any::<bool>())
            .prop_map(|(lent, reversed)| Step::Lend(lent, reversed)),
        4 => (1..8_usize).prop_map(Step::Receive),
        1 => Just(Step::Die),
    ]
}

proptest! {
    #[test]
    fn a_ring_is_a_queue(
        start in prop_oneof![Just(0), Just(u64::MAX / 2 - 100), Just(u64::MAX - 77)],
        steps in prop::collection::vec(step(448), 1..200),
    ) {
        let (geometry, ring, words) = memory(32);
        // As if so many lines had gone through it before.
        for at in [control::CHECKPOINT, control::CHECKPOINT + 1, control::CLAIM] {
            words[at].store(start, Ordering::Relaxed);
        }
        let mut producer = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
        let mut consumer = follow(geometry, &ring, &words);
        consumer.at_start();
        let mut model = VecDeque::new();
        let mut number = 0;
        for step in steps {
            producer.allow(consumer.position());
            match step {
                Step::Send(len) => {
                    let is_empty = model.is_empty();
                    match send(&producer, number, len) {
                        Some(()) => model.push_back(bytes(number, len)),
                        None => prop_assert!(!is_empty || consumer.position() != producer.next() || len > 0),
                    }
                    number += 1;
                }
                Step::Lend(lent, reversed) => {
                    let mut slots = Vec::new();
                    for (len, publishes) in lent {
                        let Some(slot) = producer.reserve(len, Flags::empty()) else { break };
                        producer.lend(slot);
                        copy_in(producer.payload(slot), &bytes(number, len));
                        if publishes {
                            model.push_back(bytes(number, len));
                        }
                        slots.push((slot, publishes));
                        number += 1;
                    }
                    if reversed {
                        slots.reverse();
                    }
                    for (slot, publishes) in slots {
                        producer.publish_lent(slot, if publishes { Flags::empty() } else { Flags::SKIP });
                    }
                }
                Step::Receive(count) => {
                    for _ in 0..count {
                        let Some((_, read)) = receive_any(&mut consumer) else { break };
                        prop_assert_eq!(Some(read), model.pop_front());
                    }
                }
                Step::Die => {
                    let (sent, _) = producer.published();
                    producer = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
                    prop_assert_eq!(producer.published().0, sent);
                }
            }
            prop_assert_eq!(producer.head(), producer.next());
        }
        while let Some((_, read)) = receive_any(&mut consumer) {
            prop_assert_eq!(Some(read), model.pop_front());
        }
        prop_assert!(model.is_empty());
    }
}

/// As `receive`, where loans that were given back have left holes in the numbers.
fn receive_any(consumer: &mut Consumer) -> Option<(u64, Vec<u8>)> {
    let Look::Message(frame) = consumer.look() else { return None };
    let mut read = vec![0; frame.len];
    consumer.payload(frame).copy_to(0, &mut read);
    assert!(consumer.is_intact(frame.position));
    consumer.advance(frame);
    Some((frame.sequence, read))
}

#[test]
fn the_longest_message_always_fits_in_an_empty_ring() {
    let (geometry, ring, words) = memory(64);
    let producer = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
    let mut consumer = follow(geometry, &ring, &words);
    for number in 0..500 {
        producer.allow(consumer.position());
        send(&producer, number, if number % 3 == 0 { geometry.longest() } else { 40 }).unwrap();
        assert_eq!(receive(&mut consumer).unwrap().0, number);
    }
}

#[test]
fn a_slow_consumer_notices_and_catches_up() {
    let (geometry, ring, words) = memory(32);
    let producer = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
    let mut consumer = follow(geometry, &ring, &words);
    for number in 0..1000 {
        producer.allow(producer.next());
        send(&producer, number, 8).unwrap();
    }
    assert_eq!(consumer.look(), Look::Overrun);
    consumer.expected = Some(0);
    consumer.catch_up();
    let Look::Message(frame) = consumer.look() else { panic!("{:?}", consumer.look()) };
    assert_eq!(frame.sequence, 1000 - 16);
    assert_eq!(consumer.advance(frame), 1000 - 16);
    assert_eq!(std::iter::from_fn(|| receive(&mut consumer)).count(), 15);
}

#[test]
fn history_goes_back_as_far_as_wanted_and_as_there_is() {
    let (geometry, ring, words) = memory(32);
    let producer = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
    let mut consumer = follow(geometry, &ring, &words);
    consumer.at_history(5, u64::MAX);
    assert_eq!(consumer.look(), Look::Empty);
    for number in 0..3 {
        producer.allow(producer.next());
        send(&producer, number, 100).unwrap();
    }
    for (most, first) in [(0, None), (1, Some(2)), (2, Some(1)), (3, Some(0)), (9, Some(0))] {
        consumer.at_history(most, u64::MAX);
        assert_eq!(receive(&mut consumer).map(|it| it.0), first);
    }
}

#[test]
fn what_a_dead_producer_left_open_is_skipped_and_what_it_published_behind_is_not() {
    let (geometry, ring, words) = memory(32);
    let producer = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
    let mut consumer = follow(geometry, &ring, &words);
    producer.allow(0);
    let lent = producer.reserve(10, Flags::empty()).unwrap();
    producer.lend(lent);
    let behind = producer.reserve(3, Flags::empty()).unwrap();
    producer.lend(behind);
    copy_in(producer.payload(behind), b"two");
    producer.publish_lent(behind, Flags::empty());
    let flowing = producer.reserve(300, Flags::BELOW).unwrap();
    producer.open(flowing);
    producer.show(flowing, 100);
    assert_eq!(consumer.look(), Look::Pending);

    // Dead, and nobody adopts it: who knows that goes on.
    let mut alone = consumer.clone();
    assert!(alone.skip_pending(1));
    assert_eq!(receive_any(&mut alone).unwrap().1, b"two");
    let Look::Message(frame) = alone.look() else { panic!() };
    assert_eq!(alone.arrived(frame), Arrived::Part(100));
    assert!(alone.skip_pending(1));
    assert!(!alone.skip_pending(1));

    let next = Producer::adopt(geometry, ring.clone(), words.clone()).unwrap();
    next.allow(0);
    send(&next, 7, 5).unwrap();
    assert_eq!(alone.arrived(frame), Arrived::Broken);
    assert_eq!(receive_any(&mut consumer).unwrap().1, b"two");
    assert_eq!(receive_any(&mut consumer).unwrap().1, bytes(7, 5));
    assert_eq!(receive_any(&mut alone).unwrap().1, bytes(7, 5));
    assert_eq!(next.published().0, 2);
}

proptest! {
    /// Whatever stands in the memory, a consumer comes to an end and reads nothing outside of it.
    #[test]
    fn nonsense_is_survived(
        seed in prop::collection::vec(any::<u64>(), 128),
        control_words in prop::collection::vec(prop_oneof![0..300_u64, any::<u64>()], CONTROL),
        start in 0..300_u64,
        tags in prop::collection::vec(0..16_u64, 0..16),
    ) {
        let (geometry, ring, words) = memory(16);
        for (word, value) in ring.iter().zip(&seed) {
            word.store(*value, Ordering::Relaxed);
        }
        for (word, value) in words.iter().zip(&control_words) {
            word.store(*value, Ordering::Relaxed);
        }
        for line in tags {
            let position = start - start % 16 + line;
            ring[geometry.word(position)].store(super::frame::tag(position), Ordering::Relaxed);
        }
        let mut consumer = follow(geometry, &ring, &words);
        consumer.position = start;
        for _ in 0..100 {
            match consumer.look() {
                Look::Message(frame) => {
                    let mut read = vec![0; frame.len.min(4096)];
                    consumer.payload(frame).copy_to(0, &mut read);
                    let _ = consumer.arrived(frame);
                    consumer.advance(frame);
                }
                Look::Overrun => consumer.catch_up(),
                Look::Pending => _ = consumer.skip_pending(consumer.epoch()),
                Look::Empty | Look::Nonsense => break,
            }
        }
        consumer.at_history(u64::MAX, u64::MAX);
        let _ = Producer::adopt(geometry, ring, words);
    }
}

/// A frame of any kind: it is mostly like the one before, so that there are runs.
fn any_frame() -> impl Strategy<Value = (Option<usize>, Option<Flags>, bool)> {
    let len = prop_oneof![4 => Just(None), 1 => (0..200_usize).prop_map(Some)];
    let flags = [Flags::empty(), Flags::BELOW, Flags::SKIP, Flags::BELOW | Flags::BROKEN];
    let flags = prop_oneof![4 => Just(None), 1 => prop::sample::select(flags.to_vec()).prop_map(Some)];
    (len, flags, prop::bool::weighted(0.9))
}

/// What was read of a frame, and whether it counts.
type Read = (Frame, Vec<u8>, bool);

fn read_singly(consumer: &mut Consumer, most: usize) -> Vec<Read> {
    let mut reads = Vec::new();
    while reads.len() < most && (consumer.finds() || matches!(consumer.look(), Look::Message(_))) {
        if !consumer.is_whole() {
            break;
        }
        let frame = consumer.hand();
        let mut read = vec![0; frame.len];
        consumer.payload(frame).copy_to(0, &mut read);
        reads.push((frame, read, consumer.is_intact(frame.position)));
        consumer.advance(frame);
    }
    reads
}

fn read_in_runs(consumer: &mut Consumer, most: usize) -> Vec<Read> {
    let mut reads = Vec::new();
    while reads.len() < most && matches!(consumer.look(), Look::Message(_)) && consumer.is_whole() {
        let mut run = consumer.run().unwrap();
        loop {
            let (frame, words) = run.take();
            let mut read = vec![0; frame.len];
            words.copy_to(0, &mut read);
            reads.push((frame, read, run.claim().is_intact(frame.position)));
            if reads.len() == most || !run.finds() {
                break;
            }
        }
    }
    reads
}

proptest! {
    /// Whatever stands in the memory, a run finds what one look after the other finds.
    #[test]
    fn a_run_is_as_one_look_after_the_other(
        start in prop_oneof![0..64_u64, (0..64_u64).prop_map(|it| u64::MAX - it)],
        usual in (0..120_usize, prop::sample::select(vec![Flags::empty(), Flags::BELOW])),
        frames in prop::collection::vec(any_frame(), 1..40),
        claimed in 0..25_u64,
    ) {
        let (geometry, ring, words) = memory(16);
        for (index, word) in ring.iter().enumerate() {
            word.store((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), Ordering::Relaxed);
        }
        words[control::CHECKPOINT].store(start, Ordering::Relaxed);
        words[control::CLAIM].store(start.wrapping_add(claimed), Ordering::Relaxed);
        let mut position = start;
        for (number, (len, flags, is_whole)) in frames.into_iter().enumerate() {
            // Over the end, and over each other, too.
            let (len, flags) = (len.unwrap_or(usual.0), flags.unwrap_or(usual.1));
            let about = About { len, back: 1, flags };
            let at = geometry.word(position);
            ring[at].store(tag(position), Ordering::Relaxed);
            ring[at + 1].store(about.word(), Ordering::Relaxed);
            ring[at + 2].store(number as u64, Ordering::Relaxed);
            if flags.contains(Flags::BELOW) {
                let there = if is_whole { about.len } else { about.len / 2 };
                ring[at + 3].store(there as u64, Ordering::Relaxed);
            }
            position = position.wrapping_add(about.lines());
        }
        let mut consumer = follow(geometry, &ring, &words);
        consumer.position = start;
        let mut other = consumer.clone();
        prop_assert_eq!(read_in_runs(&mut consumer, 40), read_singly(&mut other, 40));
        prop_assert_eq!((consumer.position, consumer.expected), (other.position, other.expected));
    }

    /// A series leaves what as many messages by themselves leave, whatever becomes of writing them.
    #[test]
    fn a_series_is_as_one_message_after_the_other(
        start in prop_oneof![0..64_u64, (0..64_u64).prop_map(|it| u64::MAX - it)],
        steps in prop::collection::vec((0..170_usize, 1..40_u64, 0..31_u64, 0..60_u64, 0..60_u64), 1..40),
    ) {
        let [one, other] = [(); 2].map(|()| {
            let (geometry, ring, words) = memory(32);
            for at in [control::CHECKPOINT, control::CHECKPOINT + 1, control::CLAIM] {
                words[at].store(start, Ordering::Relaxed);
            }
            (Producer::adopt(geometry, ring.clone(), words.clone()).unwrap(), ring, words)
        });
        for (len, most, behind, nests_at, fails_at) in steps {
            let write = |producer: &Producer, words: &[AtomicU64], number: u64| {
                words.iter().for_each(|word| word.store(number, Ordering::Relaxed));
                if number == nests_at {
                    assert!(producer.is_filling() && producer.reserve(8, Flags::empty()).is_none());
                }
                if number == fails_at {
                    std::panic::resume_unwind(Box::new(()));
                }
            };
            let publish = |producer: &Producer, number: u64| {
                let Some(slot) = producer.reserve(len, Flags::empty()) else { return false };
                let fill = || producer.fill(slot, |words| write(producer, words, number));
                let is_whole = std::panic::catch_unwind(std::panic::AssertUnwindSafe(fill)).is_ok();
                if is_whole {
                    producer.publish(slot);
                }
                is_whole
            };
            let singly = |producer: &Producer| _ = (0..most).all(|number| publish(producer, number));
            let in_series = |producer: &Producer| {
                let mut number = 0;
                // What is found to be open by the first.
                while number < most && publish(producer, number) {
                    number += 1;
                    let first = number;
                    let fill = |words: &[AtomicU64]| {
                        write(producer, words, number);
                        number += 1;
                        true
                    };
                    let series = || producer.publish_series(len, (most - first) as usize, fill);
                    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(series)) {
                        Ok(published) => assert_eq!(published as u64, number - first),
                        Err(_) => break,
                    }
                }
            };
            for (producer, ..) in [&one, &other] {
                producer.allow(producer.next().wrapping_sub(behind));
            }
            singly(&one.0);
            in_series(&other.0);
            let words = |words: &Words| words.iter().map(|it| it.load(Ordering::Relaxed)).collect::<Vec<_>>();
            prop_assert_eq!(words(&one.1), words(&other.1));
            prop_assert_eq!(words(&one.2), words(&other.2));
            prop_assert_eq!((one.0.next(), one.0.published()), (other.0.next(), other.0.published()));
        }
    }
}
