//! The ring against a model.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::ring::space::{Heap, Space};

const AREA: usize = 1024;

fn queue(first: u64, doublings: u32) -> (Queue, Heap) {
    let most = first << doublings;
    let queue = Queue { control: Control::of(0), area: AREA, first, most };
    let heap = Heap::new(AREA + most as usize);
    queue.initialise(&heap).unwrap();
    (queue, heap)
}

#[derive(Clone, Debug)]
enum Act {
    Put(Vec<u8>),
    Take,
    Grow,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Act::Put),
        4 => Just(Act::Take),
        1 => Just(Act::Grow),
    ]
}

fn take(queue: &Queue, heap: &Heap) -> Option<Vec<u8>> {
    let mut message = Message::new();
    let state = queue.state(heap).unwrap();
    let after = queue.peek(heap, state, &mut message).unwrap()?;
    queue.remove(heap, after).unwrap();
    Some(message.into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_behaves_like_a_queue_of_messages(
        words in 2_u64..12,
        start in 0_u64..1_000,
        acts in prop::collection::vec(act(), 1..200),
    ) {
        let (queue, heap) = queue(words * 8, 3);
        // Somewhere in the middle of its life.
        heap.store(queue.control.head(), start * 8).unwrap();
        heap.store(queue.control.tail(), start * 8).unwrap();
        let mut model = VecDeque::new();
        for act in acts {
            let state = queue.state(&heap).unwrap();
            let waiting: u64 = model.iter().map(|message: &Vec<u8>| frame(message.len())).sum();
            prop_assert_eq!(state.waiting(), waiting);
            match act {
                Act::Put(bytes) if frame(bytes.len()) <= state.room() => {
                    queue.put(&heap, state, &bytes).unwrap();
                    model.push_back(bytes);
                }
                Act::Put(_) => {}
                Act::Take => prop_assert_eq!(take(&queue, &heap), model.pop_front()),
                Act::Grow if state.length < queue.most => {
                    queue.grow(&heap, state).unwrap();
                }
                Act::Grow => {}
            }
        }
        while let Some(message) = take(&queue, &heap) {
            prop_assert_eq!(Some(message), model.pop_front());
        }
        prop_assert!(model.is_empty());
    }

    /// Whatever stands in the memory: an answer or `Malformed`, and no access outside (the heap would panic).
    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), AREA + 256),
        words in prop::collection::vec(prop_oneof![
            0_u64..4_096, any::<u64>(), Just(u64::MAX), Just(u64::MAX - 7), Just(1 << 63)
        ], 3),
        message in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (queue, heap) = queue(64, 2);
        heap.write(0, &bytes).unwrap();
        let [head, tail, length] = [queue.control.head(), queue.control.tail(), queue.control.length()];
        for (at, word) in [head, tail, length].into_iter().zip(words) {
            heap.store(at, word & !7).unwrap();
        }
        for length_now in [0, 64, 128, 256] {
            if length_now > 0 {
                heap.store(length, length_now).unwrap();
            }
            let Ok(state) = queue.state(&heap) else { continue };
            let mut into = Message::new();
            let _ = queue.peek(&heap, state, &mut into);
            if frame(message.len()) <= state.room() {
                let _ = queue.put(&heap, state, &message);
            }
            if state.length < queue.most {
                queue.grow(&heap, state).unwrap();
            }
        }
    }
}

#[test]
fn a_message_of_the_whole_ring_fits_wherever_it_begins() {
    let (queue, heap) = queue(64, 0);
    let message: Vec<u8> = (0..56).collect();
    for start in 0..64 {
        heap.store(queue.control.head(), start * 8).unwrap();
        heap.store(queue.control.tail(), start * 8).unwrap();
        let state = queue.state(&heap).unwrap();
        queue.put(&heap, state, &message).unwrap();
        assert_eq!(queue.state(&heap).unwrap().room(), 0);
        assert_eq!(take(&queue, &heap).unwrap(), message);
    }
}

#[test]
fn counters_at_their_end_are_an_error_and_not_an_overflow() {
    let (queue, heap) = queue(64, 0);
    heap.store(queue.control.head(), u64::MAX - 7).unwrap();
    heap.store(queue.control.tail(), u64::MAX - 7).unwrap();
    let state = queue.state(&heap).unwrap();
    assert!(matches!(queue.put(&heap, state, b"last"), Err(Fault::Malformed(_))));
}

#[test]
fn a_lying_length_is_malformed_and_makes_no_room() {
    let (queue, heap) = queue(64, 0);
    queue.put(&heap, queue.state(&heap).unwrap(), b"hello").unwrap();
    for header in [u64::from(u32::MAX), 9, 5, word(57, 0), word(u32::MAX, 0), word(5, 8)] {
        heap.store(AREA, header).unwrap();
        let mut message = Message::new();
        let state = queue.state(&heap).unwrap();
        assert!(matches!(queue.peek(&heap, state, &mut message), Err(Fault::Malformed(_))), "{header:#x}");
        assert!(message.room(0).is_empty());
    }
}
