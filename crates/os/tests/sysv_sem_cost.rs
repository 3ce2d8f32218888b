//! What P and V cost: system calls and allocations.

use std::cell::RefCell;
use std::time::Duration;

use allocation_counter::measure;
use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{Id, Mutex, Operation, Order, RemoveOnDrop, Set};
use twixt_os::sysv::shm::{Access, Segment};
use twixt_os::{Deadline, Mode};
use twixt_testkit::{strace, test};

fn set_of(values: &[u16]) -> RemoveOnDrop {
    Set::create_with(Key::PRIVATE, values, Mode::OWNER).unwrap().remove_on_drop()
}

/// One of everything that is done often; ten calls.
fn round(set: &Set, mutex: &Mutex, order: &Order, later: Deadline) {
    set.release(0).unwrap();
    set.acquire(0).unwrap();
    set.try_wait_for_zero(0).unwrap();
    set.operate_deadline(&[Operation::release(0), Operation::release(2).undo()], later).unwrap();
    set.try_operate(&[Operation::acquire(0), Operation::acquire(2).undo()]).unwrap();
    let _ = set.try_acquire(0).unwrap_err();
    drop(mutex.lock().unwrap());
    order.signal().unwrap();
    order.await_signal_deadline(later).unwrap();
}

#[test]
fn p_and_v_are_one_system_call_each() {
    let test = test!();
    test.role("rounds", |peer| {
        let set = Set::from_id(Id::new(peer.arg(0).parse().unwrap()).unwrap());
        let count: u64 = peer.arg(1).parse().unwrap();
        let (mutex, order) = (Mutex::of(set.clone(), 1), Order::of(set.clone(), 2));
        let later = Deadline::after(Duration::from_secs(60));
        let memory = Segment::create(Key::PRIVATE, 4096, Mode::OWNER).unwrap().remove_on_drop();
        let memory = memory.attach(Access::ReadWrite).unwrap();
        for _ in 0..count {
            round(&set, &mutex, &order, later);
            // Memory costs none.
            memory.write(7, b"written").unwrap();
            memory.read(7, &mut [0; 7]).unwrap();
        }
    });
    let sets = RefCell::new(Vec::new());
    let cost = strace::cost(|rounds| {
        let set = set_of(&[0, 1, 0]);
        let child = test.child("rounds").arg(set.id()).arg(rounds);
        sets.borrow_mut().push(set);
        child
    });
    match cost {
        Ok(cost) => assert_eq!(cost, strace::expected(&[("semtimedop", 10 * strace::ROUNDS)])),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn nothing_is_allocated() {
    let _test = test!();
    let key = Key::new(twixt_testkit::unique_key()).unwrap();
    let set = Set::create_with(key, &[0, 1, 0], Mode::OWNER).unwrap().remove_on_drop();
    let (mutex, order) = (Mutex::of(set.clone(), 1), Order::of(set.clone(), 2));
    let later = Deadline::after(Duration::from_secs(60));
    let segment = Segment::create(Key::PRIVATE, 4096, Mode::OWNER).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadWrite).unwrap();
    drop(mutex.lock().unwrap());
    let allocations = measure(|| {
        for _ in 0..10 {
            round(&set, &mutex, &order, later);
            let _ = set.acquire_deadline(0, Deadline::now()).unwrap_err();
            set.set_value(0, 0).unwrap();
            let _ = set.value(0).unwrap();
            memory.write(7, b"written").unwrap();
            memory.read(7, &mut [0; 7]).unwrap();
        }
    });
    assert_eq!(allocations.count_total, 0);
}
