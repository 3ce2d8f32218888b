//! The rings over memory of the test's own, and whole runs of each transport between threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;
use twixt_testkit::{scratch, test};

use super::queue::{self, Tickets};
use super::ring::{Consumer, Producer};
use super::segment::{Budget, Lane, Shape};
use super::{ENTRIES, line, memcpy, ring};
use crate::message::Order;
use crate::party::run;
use crate::workload::stop;
use crate::{
    Incoming, Outcome, Outgoing, Pattern, Receive, Role, Send, Setup, Touch, Transport, Waiting, Workload,
};

struct Heap {
    shape: Shape,
    bells: [AtomicU32; 2],
    words: Vec<AtomicU64>,
}

impl Heap {
    fn new(shape: Shape) -> Self {
        let words = (0..shape.words()).map(|_| AtomicU64::new(0)).collect();
        Self { shape, bells: [const { AtomicU32::new(0) }; 2], words }
    }

    /// Of that many slots for messages of that many bytes.
    fn of(slots: usize, size: usize, marks: usize) -> Self {
        let shape = Shape::new(size.div_ceil(8), Budget::Bytes(0), marks, true);
        Self::new(Shape { slots, ..shape })
    }

    fn lane(&self) -> Lane<'_> {
        Lane::new(self.shape, &self.bells[0], &self.bells[1], &self.words)
    }
}

fn workload(pattern: Pattern, size: usize, waiting: Waiting) -> Workload {
    Workload { pattern, size, waiting, touch: Touch::All, publishers: 1, subscribers: 1 }
}

fn one_way(size: usize) -> (Workload, Incoming) {
    let workload = workload(Pattern::Throughput, size, Waiting::Spin);
    (workload, Incoming::new(&workload, Order::Every))
}

proptest! {
    #[test]
    fn a_ring_is_a_queue_of_bounded_length(
        slots in 2usize..20,
        size in 1usize..300,
        lags: bool,
        steps in prop::collection::vec(any::<bool>(), 1..400),
    ) {
        let heap = Heap::of(slots, size.max(8), 1);
        let (workload, mut incoming) = one_way(size.max(8));
        let mut producer = Producer::new(heap.lane(), 1, false);
        let mut consumer = Consumer::new(heap.lane(), 0, false);
        if lags {
            consumer = consumer.lagging();
        }
        let (mut model, mut number) = (VecDeque::new(), 0);
        for sends in steps {
            if sends {
                let went = producer.try_send(&mut Outgoing::new(&workload, 0, number)).unwrap();
                // What was read since the cursor was last published has no room yet: less than a quarter.
                let fits =
                    if went { model.len() < slots } else { model.len() + (slots / 4).max(1) > slots };
                prop_assert!(fits, "{} of {}: {}", model.len(), slots, went);
                if went {
                    model.push_back(number);
                    number += 1;
                }
            } else {
                let mut came = consumer.try_receive(&mut incoming).unwrap();
                // One that lags takes what there is after a while.
                for _ in 0..1000 {
                    came = came || consumer.try_receive(&mut incoming).unwrap();
                }
                prop_assert_eq!(came, !model.is_empty());
                if came {
                    prop_assert_eq!(model.pop_front().map(|number| number + 1), Some(incoming.received));
                }
            }
            prop_assert_eq!(&incoming.wrong, &None);
        }
    }

    #[test]
    fn tickets_are_a_queue_of_bounded_length(
        shift in 1u32..5,
        size in 8usize..300,
        steps in prop::collection::vec(any::<bool>(), 1..400),
    ) {
        let shape = Shape::new(size.div_ceil(8), Budget::Bytes(0), 2, false);
        let heap = Heap::new(Shape { slots: 1 << shift, ..shape });
        let (workload, mut incoming) = one_way(size);
        let mut producer = Tickets::produce(heap.lane(), false);
        let mut consumer = Tickets::consume(heap.lane(), false);
        let (mut held, mut number) = (0, 0);
        for sends in steps {
            if sends {
                let went = producer.try_send(&mut Outgoing::new(&workload, 0, number)).unwrap();
                prop_assert_eq!(went, held < 1 << shift);
                (held, number) = (held + u64::from(went), number + u64::from(went));
            } else {
                let came = consumer.try_receive(&mut incoming).unwrap();
                prop_assert_eq!(came, held > 0);
                held -= u64::from(came);
            }
            prop_assert_eq!(&incoming.wrong, &None);
        }
        prop_assert_eq!(incoming.received + held, number);
    }
}

#[test]
fn a_batch_goes_as_far_as_there_is_room() {
    let heap = Heap::of(8, 64, 1);
    let (workload, mut incoming) = one_way(64);
    let mut producer = Producer::new(heap.lane(), 1, true);
    let mut consumer = Consumer::new(heap.lane(), 0, true);
    let mut batch: Vec<Outgoing> = (0..10).map(|number| Outgoing::new(&workload, 0, number)).collect();
    assert_eq!(producer.send_batch(&mut batch, false).unwrap(), 8);
    assert_eq!(producer.send_batch(&mut batch[8..], false).unwrap(), 0);
    assert!(consumer.receive_batch(&mut incoming, true).unwrap());
    assert_eq!(incoming.received, 2, "a quarter of the slots");
    assert_eq!(producer.send_batch(&mut batch[8..], true).unwrap(), 2);
    while consumer.receive_batch(&mut incoming, false).unwrap() {}
    assert_eq!((incoming.received, incoming.wrong), (10, None));
}

#[test]
fn a_slow_subscriber_is_waited_for() {
    let heap = Heap::of(4, 8, 3);
    let (workload, incoming) = one_way(8);
    let mut producer = Producer::new(heap.lane(), 3, false);
    let mut consumers: Vec<_> =
        (0..3).map(|index| (Consumer::new(heap.lane(), index, false), incoming.clone())).collect();
    for number in 0..4 {
        assert!(producer.try_send(&mut Outgoing::new(&workload, 0, number)).unwrap());
    }
    let mut next = Outgoing::new(&workload, 0, 4);
    for (consumer, incoming) in &mut consumers[..2] {
        while consumer.try_receive(incoming).unwrap() {}
        assert_eq!(incoming.received, 4);
    }
    assert!(!producer.try_send(&mut next).unwrap());
    let (slow, had) = &mut consumers[2];
    assert!(slow.try_receive(had).unwrap());
    assert!(producer.try_send(&mut next).unwrap());
    assert!(!producer.try_send(&mut Outgoing::new(&workload, 0, 5)).unwrap());
    for (consumer, incoming) in &mut consumers {
        while consumer.try_receive(incoming).unwrap() {}
        assert_eq!((incoming.received, &incoming.wrong), (5, &None));
    }
}

#[test]
fn a_large_message_goes_through_a_ring_that_cannot_hold_it() {
    let size = 100_000;
    let heap = Heap::of(2, size, 1);
    assert!(heap.shape.pieces > 2);
    let (workload, mut incoming) = one_way(size);
    let mut producer = Producer::new(heap.lane(), 1, false);
    let mut consumer = Consumer::new(heap.lane(), 0, false);
    for number in 0..3 {
        let mut message = Outgoing::new(&workload, 0, number);
        while !producer.try_send(&mut message).unwrap() {
            assert!(!consumer.try_receive(&mut incoming).unwrap());
        }
        while !consumer.try_receive(&mut incoming).unwrap() {}
        assert_eq!((incoming.received, &incoming.wrong), (number + 1, &None));
    }
}

#[test]
fn a_torn_piece_is_seen() {
    let size = 100_000;
    let heap = Heap::of(16, size, 1);
    let (workload, mut incoming) = one_way(size);
    let mut producer = Producer::new(heap.lane(), 1, false);
    assert!(producer.try_send(&mut Outgoing::new(&workload, 0, 0)).unwrap());
    heap.lane().slots[heap.shape.stride * 3 + 100].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    assert!(Consumer::new(heap.lane(), 0, false).try_receive(&mut incoming).unwrap());
    assert!(incoming.wrong.is_some_and(|what| what.contains("torn")));
}

#[test]
fn slots_fit_in_what_they_may_take() {
    for size in [1usize, 8, 56, 64, 1000, 16 << 10, (16 << 10) + 1, 64 << 10, 1 << 20, 3 << 30] {
        for cuts in [false, true] {
            let shape = Shape::new(size.div_ceil(8), Budget::Bytes(1 << 20), 1, cuts);
            assert!(shape.slots >= 2 && shape.stride >= 8, "{shape:?}");
            // Slots that several take are whole lines; those of a ring stand one behind the other.
            let held = if cuts { size.div_ceil(8).min(2048) } else { size.div_ceil(8) };
            let expected = if cuts { (held + 1).max(8) } else { (held + 1).next_multiple_of(8) };
            assert_eq!(shape.stride, expected, "{shape:?}");
            assert!(shape.slots == 2 || shape.slots * shape.stride * 8 <= 1 << 20, "{shape:?}");
            assert!(shape.stride > held && shape.pieces * held >= size.div_ceil(8), "{shape:?}");
        }
    }
}

#[test]
fn ratios_are_taken_of_those_that_do_the_work() {
    let shown: Vec<_> =
        ENTRIES.iter().filter(|entry| !entry.is_yardstick()).map(|entry| entry.name()).collect();
    assert_eq!(shown, ["floor-memcpy"]);
}

/// Plays all parties of a run in threads.
fn perform<T: Transport + std::marker::Send>(transport: &str, workload: Workload, count: u64) {
    let directory = scratch();
    let setup = Setup {
        transport: transport.to_owned(),
        workload,
        role: Role::Publisher(0),
        name: "run".into(),
        directory: directory.path().to_owned(),
        capacity: None,
        cpu: None,
        is_crowded: true,
    };
    T::supports(&setup).unwrap();
    let roles = (0..workload.publishers).map(Role::Publisher);
    let roles = roles.chain((0..workload.subscribers).map(Role::Subscriber));
    let have_sent = Arc::new(Barrier::new(workload.publishers));
    let parties: Vec<_> = roles
        .map(|role| {
            let setup = Setup { role, ..setup.clone() };
            let (transport, have_sent) = (T::prepare(&setup).unwrap(), have_sent.clone());
            let play = move || {
                let mut ends = transport.connect().unwrap();
                let outcome = run::<T>(&setup, &mut ends, 10, count).unwrap();
                if let Role::Publisher(index) = role
                    && workload.publishers > 1
                {
                    have_sent.wait();
                    if index == 0 {
                        stop(&workload, ends.sender.as_mut().unwrap()).unwrap();
                    }
                }
                outcome
            };
            (role, thread::spawn(play))
        })
        .collect();
    let outcomes: Vec<(Role, Outcome)> =
        parties.into_iter().map(|(role, party)| (role, party.join().unwrap())).collect();
    let sum = |publishes: bool, what: fn(&Outcome) -> u64| {
        let those = outcomes.iter().filter(|(role, _)| matches!(role, Role::Publisher(_)) == publishes);
        those.map(|(_, it)| what(it)).fold(0, u64::wrapping_add)
    };
    assert!(outcomes.iter().all(|(_, it)| it.wrong.is_none()), "{transport} {workload:?}: {outcomes:?}");
    let sent = (workload.publishers as u64) * (10 + count);
    assert_eq!(sum(true, |it| it.sent), sent);
    assert_eq!(sum(false, |it| it.received), sent * workload.copies(), "{transport} {workload:?}");
    let digests = sum(true, |it| it.digest).wrapping_mul(workload.copies());
    assert_eq!(sum(false, |it| it.digest), digests, "{transport} {workload:?}");
}

const SIZES: [usize; 4] = [1, 64, 1000, 200_000];

#[test]
fn a_line_goes_there_and_back() {
    let _test = test!();
    for (size, touch) in [(1, Touch::All), (56, Touch::All), (1 << 20, Touch::Header)] {
        perform::<line::Line>(
            "floor-line",
            Workload { touch, ..workload(Pattern::Rtt, size, Waiting::Spin) },
            300,
        );
    }
}

#[test]
fn rings_do_all_that_is_between_two() {
    let _test = test!();
    for pattern in [Pattern::Rtt, Pattern::Throughput, Pattern::Batch] {
        for (name, waiting) in [
            ("floor-ring", Waiting::Spin),
            ("floor-futex", Waiting::Block),
            ("floor-futex", Waiting::Adaptive),
        ] {
            for size in SIZES {
                let count = if size > 1000 { 10 } else { 500 };
                perform::<ring::Rings>(name, workload(pattern, size, waiting), count);
            }
        }
    }
}

#[test]
fn all_subscribers_have_all_messages() {
    let _test = test!();
    for &waiting in Waiting::ALL {
        for size in SIZES {
            let count = if size > 1000 { 10 } else { 500 };
            let workload = Workload { subscribers: 3, ..workload(Pattern::Fanout, size, waiting) };
            perform::<ring::Rings>("floor-broadcast", workload, count);
        }
    }
}

#[test]
fn each_message_is_for_one_of_several() {
    let _test = test!();
    for &waiting in Waiting::ALL {
        for size in SIZES {
            let count = if size > 1000 { 10 } else { 500 };
            let work = workload(Pattern::Work, size, waiting);
            for (publishers, subscribers) in [(1, 1), (3, 2), (2, 3)] {
                let workload = Workload { publishers, subscribers, ..work };
                perform::<queue::Queue>("floor-mpmc", workload, count);
            }
        }
    }
}

#[test]
fn what_is_copied_is_counted() {
    let _test = test!();
    for &waiting in Waiting::ALL {
        perform::<memcpy::Copied>("floor-memcpy", workload(Pattern::Throughput, 1000, waiting), 5000);
    }
}
