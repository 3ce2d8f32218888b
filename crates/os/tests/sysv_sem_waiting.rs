//! System V semaphore sets between processes: waiting and waking, undoing, all or nothing, taking turns.

use std::time::Duration;

use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{Id, Mutex, Operation, Order, RemoveOnDrop, Set};
use twixt_os::sysv::shm::{self, Access, Segment};
use twixt_os::{Deadline, Errno, ErrorKind, Mode, Wait};
use twixt_testkit::{Child, Peer, Storm, call, test, unique_key};

fn set_of(values: &[u16]) -> RemoveOnDrop {
    Set::create_with(Key::PRIVATE, values, Mode::OWNER).unwrap().remove_on_drop()
}

/// The set that the child was told of.
fn told(peer: &Peer) -> Set {
    Set::open_id(Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(30))
}

fn later() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn blocked(child: &Child) {
    child.wait_until_blocked_in(call::SEMAPHORE);
}

#[test]
fn p_waits_for_the_v_of_another_process() {
    let test = test!();
    test.role("acquire", |peer| {
        let set = told(peer);
        set.acquire(0).unwrap();
        peer.say("forever");
        set.acquire_deadline(0, later()).unwrap();
        peer.say("deadline");
        set.acquire_interruptible(0).unwrap();
        peer.say("interruptible");
        set.acquire_wait(0, Wait::until(later()).interruptible()).unwrap();
        peer.say("both");
        set.operate(&[Operation::acquire(0), Operation::new(1, 2)]).unwrap();
        peer.say("operate");
        set.operate_deadline(&[Operation::acquire(0)], later()).unwrap();
        peer.say("operate deadline");
        set.operate_interruptible(&[Operation::acquire(0)]).unwrap();
        peer.say("operate interruptible");
    });
    let set = set_of(&[0, 0]);
    let mut child = test.child("acquire").arg(set.id()).spawn();
    for form in [
        "forever",
        "deadline",
        "interruptible",
        "both",
        "operate",
        "operate deadline",
        "operate interruptible",
    ] {
        blocked(&child);
        assert_eq!(set.waiting_to_acquire(0).unwrap(), 1);
        set.release(0).unwrap();
        child.expect(form);
    }
    assert_eq!(set.last_pid(0).unwrap(), Some(child.pid()));
    child.succeed();
    assert_eq!(set.values().unwrap(), [0, 2]);
}

#[test]
fn waiting_for_zero() {
    let test = test!();
    test.role("wait", |peer| {
        let set = told(peer);
        let wait = |form: &dyn Fn() -> twixt_os::Result<()>| {
            peer.wait_for("again");
            form().unwrap();
            peer.say("zero");
        };
        wait(&|| set.wait_for_zero(0));
        wait(&|| set.wait_for_zero_deadline(0, later()));
        wait(&|| set.wait_for_zero_interruptible(0));
        wait(&|| set.operate(&[Operation::wait_for_zero(0), Operation::release(1)]));
    });
    let set = set_of(&[0, 0]);
    set.try_wait_for_zero(0).unwrap();
    set.wait_for_zero(0).unwrap();
    let mut child = test.child("wait").arg(set.id()).spawn();
    for _ in 0..4 {
        set.release(0).unwrap();
        child.tell("again");
        blocked(&child);
        assert_eq!((set.waiting_for_zero(0).unwrap(), set.waiting_to_acquire(0).unwrap()), (1, 0));
        set.acquire(0).unwrap();
        child.expect("zero");
        assert_eq!(set.waiting_for_zero(0).unwrap(), 0);
    }
    child.succeed();
    assert_eq!(set.values().unwrap(), [0, 1]);
}

#[test]
fn what_cannot_be_done_now() {
    let _test = test!();
    let set = set_of(&[0, 1]);
    let both = [Operation::acquire(1), Operation::acquire(0)];
    let impatient = [Operation::acquire(0).no_wait()];
    for error in [
        set.try_acquire(0).unwrap_err(),
        set.try_wait_for_zero(1).unwrap_err(),
        set.try_operate(&both).unwrap_err(),
        set.operate(&impatient).unwrap_err(),
        set.operate_interruptible(&impatient).unwrap_err(),
        // Not for want of time.
        set.operate_deadline(&impatient, later()).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::WouldBlock, Some(Errno::AGAIN)), "{error}");
    }
    for deadline in [soon(), Deadline::now()] {
        for error in [
            set.acquire_deadline(0, deadline).unwrap_err(),
            set.wait_for_zero_deadline(1, deadline).unwrap_err(),
            set.operate_deadline(&both, deadline).unwrap_err(),
            set.acquire_wait(0, Wait::until(deadline).interruptible()).unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.errno()),
                (ErrorKind::TimedOut, Some(Errno::TIMEDOUT)),
                "{error}"
            );
            assert!(deadline.has_passed());
        }
    }
    assert_eq!(set.values().unwrap(), [0, 1], "nothing was taken");
    assert_eq!((set.waiting_to_acquire(0).unwrap(), set.waiting_for_zero(1).unwrap()), (0, 0));
}

#[test]
fn a_deadline_that_has_passed_still_tries() {
    let _test = test!();
    let set = set_of(&[2, 0]);
    let past = Deadline::now();
    assert!(past.has_passed());
    set.acquire_deadline(0, past).unwrap();
    set.operate_deadline(&[Operation::acquire(0)], past).unwrap();
    set.wait_for_zero_deadline(0, past).unwrap();
    assert_eq!(set.values().unwrap(), [0, 0]);
}

#[test]
fn signals_do_not_end_a_wait_unless_they_are_meant_to() {
    let test = test!();
    test.role("stormed", |_| {
        let set = set_of(&[0, 1]);
        let zero = [Operation::wait_for_zero(1)];
        let storm = Storm::on_this_thread();
        let (mutex, order) = (Mutex::of(set.clone(), 0), Order::of(set.clone(), 0));
        type Step<'a> = &'a dyn Fn() -> twixt_os::Result<()>;
        // What waits, and what lets it go on.
        let waits: [(Step<'_>, Operation); 10] = [
            (&|| set.acquire(0), Operation::release(0)),
            (&|| set.acquire_deadline(0, later()), Operation::release(0)),
            (&|| order.await_signal(), Operation::release(0)),
            (&|| mutex.lock().map(std::mem::forget), Operation::release(0)),
            (&|| set.wait_for_zero(1), Operation::acquire(1)),
            (&|| set.operate(&zero), Operation::acquire(1)),
            (&|| order.await_signal_deadline(later()), Operation::release(0)),
            (&|| mutex.lock_deadline(later()).map(std::mem::forget), Operation::release(0)),
            (&|| set.wait_for_zero_deadline(1, later()), Operation::acquire(1)),
            (&|| set.operate_deadline(&zero, later()), Operation::acquire(1)),
        ];
        for (wait, enabling) in waits {
            let set = &set;
            let storm = &storm;
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    storm.wait_for(30);
                    set.operate(&[enabling]).unwrap();
                });
                wait().unwrap();
            });
            set.set_values(&[0, 1]).unwrap();
        }
        // The deadline is kept, too: it does not begin anew with each signal.
        let end = soon();
        assert_eq!(set.acquire_deadline(0, end).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(end.has_passed());
        let until = Wait::until(later()).interruptible();
        for error in [
            set.acquire_interruptible(0).unwrap_err(),
            set.acquire_wait(0, until).unwrap_err(),
            set.wait_for_zero_interruptible(1).unwrap_err(),
            set.operate_interruptible(&[Operation::acquire(0)]).unwrap_err(),
            mutex.lock_interruptible().unwrap_err(),
            order.await_signal_interruptible().unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Interrupted, Some(Errno::INTR)), "{error}");
        }
        assert_eq!(set.values().unwrap(), [0, 1]);
    });
    test.child("stormed").spawn().succeed();
}

#[test]
fn removal_ends_every_wait() {
    let test = test!();
    test.role("wait", |peer| {
        let set = told(peer);
        let error = match peer.arg(1).as_str() {
            "acquire" => set.acquire(0).unwrap_err(),
            "deadline" => set.acquire_deadline(0, later()).unwrap_err(),
            "zero" => set.wait_for_zero(1).unwrap_err(),
            _ => set.operate(&[Operation::wait_for_zero(1), Operation::acquire(0)]).unwrap_err(),
        };
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Removed, Some(Errno::IDRM)), "{error}");
        assert_eq!(set.try_acquire(0).unwrap_err().kind(), ErrorKind::Removed);
    });
    let set = set_of(&[0, 1]);
    let children = ["acquire", "deadline", "zero", "operate"]
        .map(|form| test.child("wait").arg(set.id()).arg(form).spawn());
    children.iter().for_each(blocked);
    assert_eq!(set.waiting_to_acquire(0).unwrap() + set.waiting_for_zero(1).unwrap(), 4);
    set.remove().unwrap();
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn what_a_killed_process_did_is_undone() {
    let test = test!();
    test.role("take", |peer| {
        let set = told(peer);
        set.operate(&[Operation::new(0, -3).undo(), Operation::new(1, 4).undo(), Operation::release(2)])
            .unwrap();
        peer.say("taken");
        peer.hear();
    });
    let set = set_of(&[3, 1, 1]);
    let mut child = test.child("take").arg(set.id()).spawn();
    child.expect("taken");
    assert_eq!(set.values().unwrap(), [0, 5, 2]);
    child.kill();
    assert_eq!(set.values().unwrap(), [3, 1, 2], "undone, but for what was not to be");
    // And when it ends of its own accord.
    let mut child = test.child("take").arg(set.id()).spawn();
    child.expect("taken");
    child.succeed();
    assert_eq!(set.values().unwrap(), [3, 1, 3]);
    // What was to be undone is forgotten once the value is set.
    let mut child = test.child("take").arg(set.id()).spawn();
    child.expect("taken");
    set.set_value(0, 7).unwrap();
    child.kill();
    assert_eq!(set.values().unwrap(), [7, 1, 4]);
}

#[test]
fn several_operations_are_done_wholly_or_not_at_all() {
    let test = test!();
    test.role("move", |peer| {
        let set = told(peer);
        let there = [Operation::acquire(0), Operation::release(1)];
        let back = [Operation::acquire(1), Operation::release(0)];
        peer.say("moving");
        loop {
            set.operate(&there).unwrap();
            set.operate(&back).unwrap();
        }
    });
    test.role("blocked", |peer| {
        let set = told(peer);
        // The first could be done at once; it must not be before the second can.
        set.operate(&[Operation::new(0, -1), Operation::new(2, -2)]).unwrap();
        peer.say("done");
    });
    let set = set_of(&[5, 0, 0]);
    let mut mover = test.child("move").arg(set.id()).spawn();
    mover.expect("moving");
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let values = set.values().unwrap();
        assert_eq!(values[0] + values[1], 5, "{values:?}");
        seen[usize::from(values[1])] = true;
    }
    mover.kill();

    set.set_values(&[5, 0, 0]).unwrap();
    let mut child = test.child("blocked").arg(set.id()).spawn();
    blocked(&child);
    assert_eq!(set.values().unwrap(), [5, 0, 0]);
    set.release(2).unwrap();
    blocked(&child);
    assert_eq!(set.values().unwrap(), [5, 0, 1]);
    set.release(2).unwrap();
    child.expect("done");
    assert_eq!(set.values().unwrap(), [4, 0, 0]);
    child.succeed();
    // Nor is anything left of a failed attempt.
    set.try_operate(&[Operation::new(0, -4), Operation::acquire(1)]).unwrap_err();
    assert_eq!(set.values().unwrap(), [4, 0, 0]);
}

#[test]
fn mutual_exclusion_gives_an_exact_total() {
    let test = test!();
    const PROCESSES: u64 = 4;
    const ROUNDS: u64 = 500;
    test.role("count", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let mutex = Mutex::open_or_create(key, Mode::OWNER, Wait::forever()).unwrap();
        let id = shm::Id::new(peer.arg(1).parse().unwrap()).unwrap();
        let memory = Segment::open_id(id).unwrap().attach(Access::ReadWrite).unwrap();
        for _ in 0..ROUNDS {
            let held = mutex.lock().unwrap();
            // Two steps that anybody could come between.
            let mut count = [0; 8];
            memory.read(0, &mut count).unwrap();
            std::thread::yield_now();
            let next = u64::from_ne_bytes(count) + 1;
            memory.write(0, &next.to_ne_bytes()).unwrap();
            held.unlock().unwrap();
        }
    });
    let key = Key::new(unique_key()).unwrap();
    let mutex = Mutex::open_or_create(key, Mode::OWNER, Wait::forever()).unwrap();
    let _removed = mutex.set().clone().remove_on_drop();
    let segment = Segment::create(Key::PRIVATE, 8, Mode::OWNER).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadOnly).unwrap();
    let start = mutex.lock().unwrap();
    let children: Vec<_> =
        (0..PROCESSES).map(|_| test.child("count").arg(key).arg(segment.id()).spawn()).collect();
    children.iter().for_each(blocked);
    start.unlock().unwrap();
    children.into_iter().for_each(Child::succeed);
    let total = memory.load_u64(0, std::sync::atomic::Ordering::Relaxed).unwrap();
    assert_eq!(total, PROCESSES * ROUNDS);
    assert_eq!(mutex.set().values().unwrap(), [1]);
}

#[test]
fn a_killed_holder_loses_the_mutex() {
    let test = test!();
    test.role("hold", |peer| {
        let mutex = Mutex::of(told(peer), 0);
        let _held = mutex.lock().unwrap();
        peer.say("held");
        peer.hear();
    });
    let set = set_of(&[1]);
    let mutex = Mutex::of(set.clone(), 0);
    let mut child = test.child("hold").arg(set.id()).spawn();
    child.expect("held");
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(mutex.lock_deadline(soon()).unwrap_err().kind(), ErrorKind::TimedOut);
    child.kill();
    let held = mutex.lock().unwrap();
    assert_eq!(set.values().unwrap(), [0]);
    drop(held);
    assert_eq!(set.values().unwrap(), [1]);
    // What was held when the set went is not held any more, which unlocking tells and dropping does not.
    let held = mutex.lock().unwrap();
    set.remove().unwrap();
    assert_eq!(held.unlock().unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn order_is_kept_whichever_comes_first() {
    let test = test!();
    test.role("second", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let order = Order::open_or_create(key, Mode::OWNER, Wait::forever()).unwrap();
        order.await_signal().unwrap();
        peer.say("B");
        order.await_signal_deadline(later()).unwrap();
        peer.say("B");
    });
    let key = Key::new(unique_key()).unwrap();
    let order = Order::open_or_create(key, Mode::OWNER, Wait::forever()).unwrap();
    let _removed = order.set().clone().remove_on_drop();
    assert_eq!(order.try_await_signal().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(order.await_signal_deadline(soon()).unwrap_err().kind(), ErrorKind::TimedOut);
    // B waits for A.
    let mut waiting = test.child("second").arg(key).spawn();
    blocked(&waiting);
    order.signal().unwrap();
    waiting.expect("B");
    blocked(&waiting);
    order.signal().unwrap();
    waiting.expect("B");
    waiting.succeed();
    // A was first.
    order.signal().unwrap();
    order.signal().unwrap();
    let mut late = test.child("second").arg(key).spawn();
    late.expect("B");
    late.expect("B");
    late.succeed();
}

#[test]
fn waiters_are_counted_from_outside() {
    let test = test!();
    test.role("wait", |peer| {
        let set = told(peer);
        match peer.arg(1).as_str() {
            "more" => set.operate(&[Operation::new(0, -3)]).unwrap(),
            _ => set.wait_for_zero(0).unwrap(),
        }
    });
    let set = set_of(&[1]);
    let more = ["more", "more"].map(|form| test.child("wait").arg(set.id()).arg(form).spawn());
    let zero = test.child("wait").arg(set.id()).arg("zero").spawn();
    more.iter().chain([&zero]).for_each(blocked);
    assert_eq!((set.waiting_to_acquire(0).unwrap(), set.waiting_for_zero(0).unwrap()), (2, 1));
    let [one, other] = more;
    one.kill();
    assert_eq!((set.waiting_to_acquire(0).unwrap(), set.waiting_for_zero(0).unwrap()), (1, 1));
    set.set_value(0, 3).unwrap();
    other.succeed();
    zero.succeed();
    assert_eq!((set.waiting_to_acquire(0).unwrap(), set.waiting_for_zero(0).unwrap()), (0, 0));
}
