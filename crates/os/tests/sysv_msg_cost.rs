//! What a message through a System V queue costs: system calls and allocations.

use std::cell::RefCell;
use std::fs;

use allocation_counter::measure;
use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{Id, Message, Queue, RemoveOnDrop, Select, Settings, Type};
use twixt_os::{Deadline, ErrorKind, Mode};
use twixt_testkit::strace::ROUNDS;
use twixt_testkit::{Test, namespaces, strace, test};

const ONE: Type = Type::MIN;

fn private() -> RemoveOnDrop {
    Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop()
}

/// Whether each round of the child's role makes exactly so many calls of each kind, and none of another.
fn assert_cost(test: &Test, role: &str, per_round: [(&str, u64); 2]) {
    let queues = RefCell::new(Vec::new());
    let cost = strace::cost(|rounds| {
        let queue = private();
        let child = test.child(role).arg(queue.id()).arg(rounds);
        queues.borrow_mut().push(queue);
        child
    });
    match cost {
        Ok(cost) => {
            assert_eq!(cost, strace::expected(&per_round.map(|(call, count)| (call, count * ROUNDS))))
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_message_costs_one_call_to_send_and_one_to_receive() {
    let test = test!();
    test.role("both", |peer| {
        let queue = Queue::from_id(Id::new(peer.arg(0).parse().unwrap()).unwrap());
        let count: u64 = peer.arg(1).parse().unwrap();
        let mut message = Message::with_capacity(8192);
        for _ in 0..count {
            let later = Deadline::after(std::time::Duration::from_secs(60));
            queue.send(ONE, b"small").unwrap();
            queue.receive(Select::Any, &mut message).unwrap();
            queue.try_send(ONE, &[0; 4096]).unwrap();
            queue.try_receive(Select::from(ONE), &mut message).unwrap();
            queue.send_deadline(ONE, &[0; 8192], later).unwrap();
            queue.receive_deadline(Select::LowestUpTo(ONE), &mut message, later).unwrap();
            queue.send_message(&message).unwrap();
            let _whole = queue.receive_truncating(Select::Any, &mut message).unwrap();
            queue.send_message_interruptible(&message).unwrap();
            queue.receive_interruptible(Select::Any, &mut message).unwrap();
        }
    });
    assert_cost(&test, "both", [("msgsnd", 5), ("msgrcv", 5)]);
}

#[test]
fn what_cannot_be_done_now_costs_one_call_too() {
    let test = test!();
    test.role("neither", |peer| {
        let queue = Queue::from_id(Id::new(peer.arg(0).parse().unwrap()).unwrap());
        let count: u64 = peer.arg(1).parse().unwrap();
        let mut message = Message::with_capacity(100);
        queue.send(Type::MAX, &[0; 16384 / 2]).unwrap();
        queue.send(Type::MAX, &[0; 16384 / 2]).unwrap();
        for _ in 0..count {
            assert_eq!(queue.try_send(ONE, b"no room").unwrap_err().kind(), ErrorKind::WouldBlock);
            let error = queue.try_receive(Select::from(ONE), &mut message).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    });
    // The first send that found the queue full looked at its capacity; that is not repeated.
    assert_cost(&test, "neither", [("msgsnd", 1), ("msgrcv", 1)]);
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let queue = private();
    let mut message = Message::with_capacity(8192);
    let deadline = Deadline::after(std::time::Duration::from_secs(60));
    let text = [0; 8192];
    let counted = measure(|| {
        for len in [0, 10, 512, 513, 8192] {
            queue.send(ONE, &text[..len]).unwrap();
            queue.peek(0, &mut message).unwrap();
            queue.receive(Select::Any, &mut message).unwrap();
            queue.send_deadline(ONE, &text[..len], deadline).unwrap();
            queue.receive_deadline(Select::Any, &mut message, deadline).unwrap();
            queue.send_message(&message).unwrap();
            let _whole = queue.receive_truncating(Select::Any, &mut message).unwrap();
        }
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_queue_found_full_or_empty_allocates_nothing() {
    let _test = test!();
    let (full, empty) = (private(), private());
    full.set(Settings { qbytes: 1, ..Settings::from(full.stat().unwrap()) }).unwrap();
    full.send(ONE, b"x").unwrap();
    let mut message = Message::with_capacity(1);
    let counted = measure(|| {
        let full = full.try_send(ONE, b"x").unwrap_err();
        let empty = empty.try_receive(Select::Any, &mut message).unwrap_err();
        assert_eq!((full.kind(), empty.kind()), (ErrorKind::WouldBlock, ErrorKind::WouldBlock));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_copied_message_beyond_the_stack_allocates_once() {
    let test = test!();
    test.role("confined", |_| {
        for limit in ["msgmax", "msgmnb"] {
            fs::write(format!("/proc/sys/kernel/{limit}"), "100000").unwrap();
        }
        let queue = private();
        let text = [0; 20_000];
        assert_eq!(measure(|| queue.send(ONE, &text).unwrap()).count_total, 1);
        let message = Message::new(ONE, &text);
        assert_eq!(measure(|| queue.send_message(&message).unwrap()).count_total, 0);
    });
    match namespaces() {
        Ok(command) => test.child("confined").under(&command).spawn().succeed(),
        Err(missing) => test.skip(&missing),
    }
}
