//! POSIX semaphores: blocking, order, exclusion, deadlines, signals, death.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twixt_os::posix::sem::Semaphore;
use twixt_os::posix::shm::{Access, SharedMemory};
use twixt_os::{Deadline, ErrorKind, Mode, Wait};
use twixt_testkit::{Peer, Storm, call, strace, test, under_storm, unique_name};

fn semaphore(value: u32) -> (Semaphore, String) {
    let name = format!("/{}", unique_name());
    (Semaphore::create(&name, value, Mode::OWNER).unwrap(), name)
}

fn open(peer: &Peer) -> Semaphore {
    Semaphore::open(&peer.arg(0)).unwrap()
}

#[test]
fn a_process_waits_its_turn() {
    let test = test!();
    test.role("second", |peer| {
        open(peer).acquire().unwrap();
        peer.say("mine");
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    let mut second = test.child("second").arg(&name).spawn();
    second.wait_until_blocked_in(&[call::FUTEX]);
    semaphore.release().unwrap();
    second.expect("mine");
    second.succeed();
}

/// The counter is read, added to and written in three steps: without the semaphore, additions get lost.
#[test]
fn one_at_a_time_makes_an_exact_total() {
    const EACH: u64 = 20_000;
    let test = test!();
    test.role("adder", |peer| {
        let memory = SharedMemory::open(&peer.arg(0), Access::ReadWrite).unwrap();
        let memory = Arc::new(memory.map(Access::ReadWrite).unwrap());
        let semaphore = Semaphore::attach(memory.clone(), 64).unwrap();
        peer.wait_for("go");
        for _ in 0..EACH {
            semaphore.acquire().unwrap();
            let total = memory.atomic_u64(0).unwrap().load(Ordering::Relaxed);
            std::hint::spin_loop();
            memory.atomic_u64(0).unwrap().store(total + 1, Ordering::Relaxed);
            semaphore.release().unwrap();
        }
    });
    let name = format!("/{}", unique_name());
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let memory = Arc::new(shared.map(Access::ReadWrite).unwrap());
    let semaphore = Semaphore::initialise(memory.clone(), 64, 1).unwrap();
    let mut adders: Vec<_> = (0..4).map(|_| test.child("adder").arg(&name).spawn()).collect();
    for adder in &mut adders {
        adder.tell("go");
    }
    for adder in adders {
        adder.succeed();
    }
    assert_eq!(memory.atomic_u64(0).unwrap().load(Ordering::Relaxed), 4 * EACH);
    assert_eq!(semaphore.value().unwrap(), 1);
    assert_eq!(memory.load_u64(64, Ordering::Relaxed), Ok(1), "no waiter is left over");
}

#[test]
fn acquire_waits_whatever_signals_come() {
    let test = test!();
    test.role("acquire", |peer| {
        let semaphore = open(peer);
        let outcome = under_storm(peer, || match peer.arg(1).as_str() {
            "acquire" => semaphore.acquire(),
            _ => semaphore.acquire_deadline(Deadline::after(Duration::from_secs(80))),
        });
        peer.say(&format!("{outcome:?}"));
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    for form in ["acquire", "acquire_deadline"] {
        let mut child = test.child("acquire").arg(&name).arg(form).spawn();
        child.expect("stormed");
        child.wait_until_blocked_in(&[call::FUTEX]);
        semaphore.release().unwrap();
        child.expect("Ok(())");
        child.succeed();
        assert_eq!(semaphore.value().unwrap(), 0);
    }
}

#[test]
fn a_signal_ends_the_interruptible_forms_alone() {
    let test = test!();
    test.role("interrupted", |peer| {
        let semaphore = open(peer);
        let _storm = Storm::on_this_thread();
        peer.say(&format!("{:?}", semaphore.acquire_interruptible().unwrap_err().kind()));
        let until = Wait::until(Deadline::after(Duration::from_secs(60))).interruptible();
        peer.say(&format!("{:?}", semaphore.acquire_wait(until).unwrap_err().kind()));
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    let mut child = test.child("interrupted").arg(&name).spawn();
    child.expect("Interrupted");
    child.expect("Interrupted");
    child.succeed();
    let bytes = std::fs::read(format!("/dev/shm/sem.{}", &name[1..])).unwrap();
    assert_eq!(bytes[..8], [0; 8], "who gave up is not counted as waiting");
}

#[test]
fn deadlines_are_kept_whatever_signals_come() {
    let test = test!();
    test.role("deadline", |peer| {
        let semaphore = open(peer);
        let _storm = Storm::on_this_thread();
        let wait = Duration::from_millis(80);
        let begin = Instant::now();
        let error = semaphore.acquire_deadline(Deadline::after(wait)).unwrap_err();
        assert!(begin.elapsed() >= wait);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        semaphore.release().unwrap();
        semaphore.acquire_deadline(Deadline::now()).expect("a deadline in the past tries once");
        assert_eq!(semaphore.acquire_deadline(Deadline::now()).unwrap_err().kind(), ErrorKind::TimedOut);
        semaphore.release().unwrap();
        semaphore.acquire_deadline(Deadline::after(Duration::from_secs(u64::MAX))).expect("far away");
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    test.child("deadline").arg(&name).spawn().succeed();
}

#[test]
fn a_release_before_the_deadline_is_taken() {
    let test = test!();
    test.role("acquire", |peer| {
        let outcome = open(peer).acquire_deadline(Deadline::after(Duration::from_secs(80)));
        peer.say(&format!("{outcome:?}"));
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    let mut child = test.child("acquire").arg(&name).spawn();
    child.wait_until_blocked_in(&[call::FUTEX]);
    semaphore.release().unwrap();
    child.expect("Ok(())");
    child.succeed();
}

/// The deadline is one of `CLOCK_MONOTONIC`: without `FUTEX_CLOCK_REALTIME`, that is what the kernel takes it for.
#[test]
fn deadlines_do_not_depend_on_the_systems_clock() {
    let test = test!();
    test.role("deadline", |peer| {
        let deadline = Deadline::after(Duration::from_millis(20));
        assert_eq!(open(peer).acquire_deadline(deadline).unwrap_err().kind(), ErrorKind::TimedOut);
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    if let Err(missing) = strace::calls(test.child("deadline").arg(&name)) {
        return test.skip(&missing);
    }
    let directory = twixt_testkit::scratch();
    let log = directory.path().join("log");
    let strace = ["strace", "-f", "-qq", "-e", "trace=futex", "-o", log.to_str().unwrap()];
    test.child("deadline").arg(&name).under(&strace).spawn().succeed();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("ETIMEDOUT"), "{log}");
    assert!(!log.contains("CLOCK_REALTIME"), "{log}");
}

#[test]
fn a_killed_holder_has_not_released() {
    let test = test!();
    test.role("holder", |peer| {
        open(peer).acquire().unwrap();
        peer.say("holds");
        peer.wait_for("never told");
    });
    let (semaphore, name) = semaphore(1);
    let _guard = semaphore.unlink_on_drop().unwrap();
    let mut holder = test.child("holder").arg(&name).spawn();
    holder.expect("holds");
    holder.kill();
    assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(semaphore.value().unwrap(), 0, "a semaphore has no owner");
}

#[test]
fn a_killed_waiter_takes_nothing_with_it() {
    let test = test!();
    test.role("waiter", |peer| {
        open(peer).acquire().unwrap();
        peer.say("mine");
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    let waiter = test.child("waiter").arg(&name).spawn();
    waiter.wait_until_blocked_in(&[call::FUTEX]);
    waiter.kill();
    semaphore.release().unwrap();
    assert_eq!(semaphore.value().unwrap(), 1);
    semaphore.try_acquire().unwrap();
    let mut waiter = test.child("waiter").arg(&name).spawn();
    waiter.wait_until_blocked_in(&[call::FUTEX]);
    semaphore.release().unwrap();
    waiter.expect("mine");
    waiter.succeed();
}

#[test]
fn each_release_lets_one_pass() {
    let test = test!();
    test.role("waiter", |peer| {
        open(peer).acquire().unwrap();
        peer.say("mine");
    });
    let (semaphore, name) = semaphore(0);
    let _guard = semaphore.unlink_on_drop().unwrap();
    let mut waiters: Vec<_> = (0..3).map(|_| test.child("waiter").arg(&name).spawn()).collect();
    for waiter in &waiters {
        waiter.wait_until_blocked_in(&[call::FUTEX]);
    }
    for _ in 0..3 {
        semaphore.release().unwrap();
    }
    for waiter in &mut waiters {
        waiter.expect("mine");
    }
    assert_eq!(semaphore.value().unwrap(), 0);
}
