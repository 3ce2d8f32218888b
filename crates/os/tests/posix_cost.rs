//! POSIX message queues, semaphores and shared memory: what an operation costs, in system calls and in allocations.

use std::sync::atomic::Ordering;
use std::time::Duration;

use allocation_counter::measure;
use twixt_os::posix::mq::{Access, Limits, Priority, Queue};
use twixt_os::posix::sem::Semaphore;
use twixt_os::posix::shm::{self, SharedMemory};
use twixt_os::{Deadline, ErrorKind, Mode};
use twixt_testkit::strace::{cost, expected};
use twixt_testkit::{test, unique_name};

const SMALL: Limits = Limits { max_messages: 1, message_size: 64 };

fn name() -> String {
    format!("/{}", unique_name())
}

#[test]
fn a_message_is_one_call_to_send_and_one_to_receive() {
    let test = test!();
    let play = |peer: &twixt_testkit::Peer, form: &str| {
        let queue = Queue::open(&peer.arg(0), Access::ReadWrite).unwrap();
        let mut buffer = [0; 64];
        let deadline = Deadline::after(Duration::from_secs(80));
        for _ in 0..peer.arg(1).parse::<usize>().unwrap() {
            match form {
                "block" => {
                    queue.send(b"message", Priority::LOWEST).unwrap();
                    queue.receive(&mut buffer).unwrap();
                }
                "try" => {
                    queue.try_send(b"message", Priority::LOWEST).unwrap();
                    queue.try_receive(&mut buffer).unwrap();
                }
                _ => {
                    queue.send_deadline(b"message", Priority::LOWEST, deadline).unwrap();
                    queue.receive_deadline(&mut buffer, deadline).unwrap();
                }
            }
        }
    };
    for form in ["block", "try", "deadline"] {
        test.role(form, |peer| play(peer, form));
    }
    let name = name();
    let queue = Queue::create(&name, Access::ReadWrite, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    for form in ["block", "try", "deadline"] {
        match cost(|rounds| test.child(form).arg(&name).arg(rounds)) {
            Ok(calls) => {
                assert_eq!(calls, expected(&[("mq_timedreceive", 100), ("mq_timedsend", 100)]), "{form}");
            }
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_semaphore_that_nobody_waits_for_makes_no_call() {
    let test = test!();
    test.role("turns", |peer| {
        let semaphore = Semaphore::open(&peer.arg(0)).unwrap();
        let deadline = Deadline::after(Duration::from_secs(80));
        for _ in 0..peer.arg(1).parse::<usize>().unwrap() {
            semaphore.acquire().unwrap();
            semaphore.release().unwrap();
            semaphore.try_acquire().unwrap();
            semaphore.release().unwrap();
            semaphore.acquire_deadline(deadline).unwrap();
            semaphore.release().unwrap();
            semaphore.value().unwrap();
        }
    });
    let name = name();
    let semaphore = Semaphore::create(&name, 1, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    match cost(|rounds| test.child("turns").arg(&name).arg(rounds)) {
        Ok(calls) => assert_eq!(calls, expected(&[])),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn messages_allocate_nothing_nor_do_refusals() {
    let _test = test!();
    let queue = Queue::create(&name(), Access::ReadWrite, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut buffer = [0; 64];
    let info = measure(|| {
        for _ in 0..10 {
            queue.send(b"message", Priority::HIGHEST).unwrap();
            let full = queue.try_send(b"message", Priority::LOWEST).unwrap_err();
            assert_eq!(full.kind(), ErrorKind::WouldBlock);
            queue.receive(&mut buffer).unwrap();
            let empty = queue.receive_deadline(&mut buffer, Deadline::now()).unwrap_err();
            assert_eq!(empty.kind(), ErrorKind::TimedOut);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn semaphores_allocate_nothing() {
    let _test = test!();
    let semaphore = Semaphore::create(&name(), 0, Mode::OWNER).unwrap();
    let _guard = semaphore.unlink_on_drop().unwrap();
    let info = measure(|| {
        for _ in 0..10 {
            semaphore.release().unwrap();
            semaphore.acquire().unwrap();
            assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(semaphore.acquire_deadline(Deadline::now()).unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(semaphore.value().unwrap(), 0);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn shared_memory_is_read_and_written_without_a_call() {
    let test = test!();
    test.role("access", |peer| {
        let memory = SharedMemory::open(&peer.arg(0), shm::Access::ReadWrite).unwrap();
        let memory = memory.map(shm::Access::ReadWrite).unwrap();
        let mut bytes = [0; 100];
        for _ in 0..peer.arg(1).parse::<usize>().unwrap() {
            memory.write(1, b"message").unwrap();
            memory.read(1, &mut bytes).unwrap();
            memory.atomic_u32(0).unwrap().fetch_add(1, Ordering::Relaxed);
            memory.load_u64(8, Ordering::Relaxed).unwrap();
        }
    });
    let name = name();
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    match cost(|rounds| test.child("access").arg(&name).arg(rounds)) {
        Ok(calls) => assert_eq!(calls, expected(&[])),
        Err(missing) => test.skip(&missing),
    }
}

/// Beside the size, a mapping has to know the size of its pages, whether the memory can be taken away, and whether the
/// handler for that is in its place.
#[test]
fn mapping_shared_memory_is_one_map_and_one_unmap() {
    let test = test!();
    test.role("map", |peer| {
        let shared = SharedMemory::open(&peer.arg(0), shm::Access::ReadWrite).unwrap();
        for _ in 0..peer.arg(1).parse::<usize>().unwrap() {
            shared.map(shm::Access::ReadWrite).unwrap();
        }
    });
    let name = name();
    let shared = SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    match cost(|rounds| test.child("map").arg(&name).arg(rounds)) {
        Ok(calls) => {
            let names: Vec<_> = calls.keys().map(String::as_str).collect();
            assert_eq!(names, ["fcntl", "fstat", "fstatfs", "mmap", "munmap", "rt_sigaction"]);
            // The process maps and unmaps a little of its own accord, not the same twice.
            assert!(calls.values().all(|count| count.abs_diff(100) < 10), "{calls:?}");
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn shared_memory_allocates_nothing() {
    let _test = test!();
    let shared = SharedMemory::create(&name(), 4096, Mode::OWNER).unwrap();
    let _guard = shared.unlink_on_drop().unwrap();
    let memory = shared.map(shm::Access::ReadWrite).unwrap();
    let mut bytes = [0; 100];
    let info = measure(|| {
        for _ in 0..10 {
            memory.write(1, b"message").unwrap();
            memory.read(1, &mut bytes).unwrap();
            memory.atomic_u32(0).unwrap().fetch_add(1, Ordering::Relaxed);
            assert_eq!(memory.read(4000, &mut bytes).unwrap_err().kind(), ErrorKind::OutOfRange);
            assert_eq!(shared.size().unwrap(), 4096);
        }
    });
    assert_eq!(info.count_total, 0);
}
