//! Python's modules of the same mechanisms, `sysv_ipc` and `posix_ipc`, on the other side of our objects.

use std::process::Command;

use twixt_os::posix::{mq, sem, shm};
use twixt_os::sysv::Key;
use twixt_os::sysv::sem::Set;
use twixt_os::sysv::shm::Segment;
use twixt_os::{Mode, sysv};
use twixt_testkit::{Missing, Test, defer, test, unique_key, unique_name};

/// Whether Python can import the module.
fn module(test: &Test, name: &str) -> bool {
    let imported = Command::new("python3").args(["-c", &format!("import {name}")]).output();
    let there = imported.is_ok_and(|output| output.status.success());
    if !there {
        test.skip(&Missing(format!("the Python module {name}")));
    }
    there
}

fn python(program: &str, argument: &str) {
    let output = Command::new("python3").args(["-c", program, argument]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn sysv_ipc_shares_memory_and_semaphores() {
    let test = test!();
    if !module(&test, "sysv_ipc") {
        return;
    }
    let key = Key::new(unique_key()).unwrap();
    let segment = Segment::create(key, 64, Mode::OWNER).unwrap();
    let _segment_gone = defer({
        let segment = segment.clone();
        move || drop(segment.remove())
    });
    let set = Set::create_with(key, &[0, 5], Mode::OWNER).unwrap();
    let _set_gone = defer({
        let set = set.clone();
        move || drop(set.remove())
    });
    let memory = segment.attach(sysv::shm::Access::ReadWrite).unwrap();
    memory.write(0, b"from Rust").unwrap();
    python(
        r"
import sys, sysv_ipc
key = int(sys.argv[1])
memory = sysv_ipc.SharedMemory(key)
assert memory.size == 64 and memory.read(9) == b'from Rust', memory.read(9)
memory.write(b'from Python')
first = sysv_ipc.Semaphore(key)
assert first.value == 0
first.release()
",
        &key.as_raw().to_string(),
    );
    let mut text = [0; 11];
    memory.read(0, &mut text).unwrap();
    assert_eq!(&text, b"from Python");
    assert_eq!(set.values().unwrap(), [1, 5]);
    set.try_acquire(0).unwrap();
}

#[test]
fn posix_ipc_shares_queues_semaphores_and_memory() {
    let test = test!();
    if !module(&test, "posix_ipc") {
        return;
    }
    let name = format!("/{}", unique_name());
    let _gone = defer({
        let name = name.clone();
        move || {
            let _ = mq::unlink(&name);
            let _ = sem::unlink(&name);
            let _ = shm::unlink(&name);
        }
    });
    let limits = mq::Limits { max_messages: 4, message_size: 32 };
    let queue = mq::Queue::create(&name, mq::Access::ReadWrite, limits, Mode::OWNER).unwrap();
    let semaphore = sem::Semaphore::create(&name, 1, Mode::OWNER).unwrap();
    let memory = shm::SharedMemory::create(&name, 4096, Mode::OWNER).unwrap();
    let memory = memory.map(shm::Access::ReadWrite).unwrap();
    queue.send(b"low", mq::Priority::LOWEST).unwrap();
    queue.send(b"high", mq::Priority::new(9).unwrap()).unwrap();
    memory.write(100, b"from Rust").unwrap();
    python(
        r"
import mmap, sys, posix_ipc
name = sys.argv[1]
queue = posix_ipc.MessageQueue(name)
assert queue.max_message_size == 32 and queue.max_messages == 4
assert queue.receive() == (b'high', 9)
assert queue.receive() == (b'low', 0)
queue.send(b'answer', priority=3)
semaphore = posix_ipc.Semaphore(name)
semaphore.acquire(0)
assert semaphore.value == 0
semaphore.release()
semaphore.release()
memory = posix_ipc.SharedMemory(name)
view = mmap.mmap(memory.fd, memory.size)
assert memory.size == 4096 and view[100:109] == b'from Rust'
view[200:211] = b'from Python'
",
        &name,
    );
    let mut buffer = [0; 32];
    let received = queue.try_receive(&mut buffer).unwrap();
    assert_eq!((&buffer[..received.len], received.priority.get()), (&b"answer"[..], 3));
    assert_eq!(semaphore.value().unwrap(), 2);
    let mut text = [0; 11];
    memory.read(200, &mut text).unwrap();
    assert_eq!(&text, b"from Python");
}
