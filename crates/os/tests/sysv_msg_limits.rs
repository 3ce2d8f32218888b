//! System V message queues at their limits, set in an IPC namespace of the test's own.

use std::fs;

use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{self, Message, Queue, Select, Settings, Type};
use twixt_os::{Deadline, Errno, ErrorKind, Mode};
use twixt_testkit::{root, test};

const ONE: Type = Type::MIN;

/// Sets a limit of the namespace that this process runs in.
fn set(name: &str, value: u32) {
    fs::write(format!("/proc/sys/kernel/{name}"), value.to_string()).unwrap();
}

fn queue() -> Queue {
    // It goes with the namespace.
    Queue::create(Key::PRIVATE, Mode::OWNER).unwrap()
}

#[test]
fn the_number_of_queues() {
    test!().in_namespaces(|_| {
        set("msgmni", 1);
        let _only = queue();
        let key = Key::new(0x1234).unwrap();
        for error in [
            Queue::create(key, Mode::OWNER).unwrap_err(),
            Queue::open_or_create(key, Mode::OWNER).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOSPC)));
            let limit = error.limit().unwrap();
            assert_eq!((limit.name, limit.current, limit.needed), ("kernel.msgmni", Some(1), Some(2)));
        }
        assert_eq!(
            Queue::create(key, Mode::OWNER).unwrap_err().to_string(),
            "cannot create System V message queue 0x00001234: no space left on device (ENOSPC): kernel.msgmni is 1, \
             2 is needed; remove queues that nobody needs (`ipcs -q`, `ipcrm -q`), or raise it with sysctl"
        );
        assert_eq!(msg::limits().unwrap().msgmni, 1);
        assert_eq!(msg::usage().unwrap().queues, 1);
        assert_eq!(msg::list().unwrap().len(), 1);
    });
}

#[test]
fn the_length_of_a_message() {
    test!().in_namespaces(|_| {
        set("msgmax", 32);
        let queue = queue();
        queue.send(ONE, &[1; 32]).unwrap();
        let (message, deadline) = (Message::new(ONE, &[1; 33]), Deadline::now());
        for error in [
            queue.send(ONE, &[1; 33]).unwrap_err(),
            queue.try_send(ONE, &[1; 33]).unwrap_err(),
            queue.send_deadline(ONE, &[1; 33], deadline).unwrap_err(),
            queue.send_message(&message).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
            let limit = error.limit().unwrap();
            assert_eq!((limit.name, limit.current, limit.needed), ("kernel.msgmax", Some(32), Some(33)));
            let expected = format!(
                "cannot send to System V message queue id {}: invalid argument (EINVAL): kernel.msgmax is 32, \
                 33 is needed; raise it with sysctl, or send the message in parts",
                queue.id()
            );
            assert_eq!(error.to_string(), expected);
        }
        let error = queue.send(ONE, &[1; 20_000]).unwrap_err();
        assert_eq!(error.limit().unwrap().needed, Some(20_000));
        assert_eq!(queue.stat().unwrap().qnum, 1);
    });
}

#[test]
fn the_largest_message_and_one_byte_more() {
    test!().in_namespaces(|_| {
        // A new namespace has the kernel's defaults.
        assert_eq!(msg::limits().unwrap(), msg::Limits { msgmni: 32000, msgmax: 8192, msgmnb: 16384 });
        let one = queue();
        one.send(ONE, &[7; 8192]).unwrap();
        let error = one.send(ONE, &[7; 8193]).unwrap_err();
        assert_eq!((error.kind(), error.limit().unwrap().name), (ErrorKind::LimitReached, "kernel.msgmax"));
        let mut message = Message::with_largest_capacity().unwrap();
        one.receive(Select::Any, &mut message).unwrap();
        assert_eq!(message.bytes(), [7; 8192]);

        set("msgmax", 100_000);
        set("msgmnb", 100_000);
        let large = queue();
        for len in [8193, 99_999, 100_000] {
            large.send(ONE, &vec![8; len]).unwrap();
            assert_eq!(large.messages().next().unwrap().unwrap().len(), len);
            let error = large.receive(Select::Any, &mut message).unwrap_err();
            assert_eq!(error.limit().unwrap().needed, Some(len as u64));
            let mut message = Message::with_largest_capacity().unwrap();
            large.receive(Select::Any, &mut message).unwrap();
            assert_eq!(message.bytes(), vec![8; len]);
        }
        assert_eq!(large.send(ONE, &vec![8; 100_001]).unwrap_err().kind(), ErrorKind::LimitReached);
    });
}

#[test]
fn the_capacity_of_a_queue() {
    test!().in_namespaces(|_| {
        set("msgmnb", 64);
        let queue = queue();
        assert_eq!(queue.stat().unwrap().qbytes, 64);
        queue.send(ONE, &[1; 40]).unwrap();
        let error = queue.try_send(ONE, &[1; 25]).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::WouldBlock, Some(Errno::AGAIN)));
        queue.send(ONE, &[1; 24]).unwrap();
        assert_eq!(queue.try_send(ONE, b"").map_err(|error| error.kind()), Ok(()), "no byte, but a message");
        // The kernel would let it wait for ever.
        let error = queue.send(ONE, &[1; 65]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLong);
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current, limit.needed), ("the queue's qbytes", Some(64), Some(65)));
        assert!(error.advice().unwrap().contains("kernel.msgmnb"));
    });
}

#[test]
fn a_message_longer_than_a_lowered_limit() {
    test!().in_namespaces(|_| {
        let queue = queue();
        queue.send(ONE, &[1; 100]).unwrap();
        set("msgmax", 50);
        let mut message = Message::with_capacity(200);
        let error = queue.peek(0, &mut message).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
        assert_eq!(error.limit().unwrap().name, "kernel.msgmax");
        assert_eq!(queue.messages().next().unwrap().unwrap_err().kind(), ErrorKind::LimitReached);
        // Its length cannot be found out now, and is not made up.
        let error = queue.receive(Select::Any, &mut Message::with_capacity(10)).unwrap_err();
        assert_eq!((error.kind(), error.limit().unwrap().needed), (ErrorKind::TooLong, None));
        queue.receive(Select::Any, &mut message).unwrap();
        assert_eq!(message.bytes(), [1; 100]);
    });
}

#[test]
fn the_capacity_that_a_plain_user_may_set() {
    let test = test!();
    test.role("nobody", |_| {
        let queue = Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
        let settings = Settings::from(queue.stat().unwrap());
        let most = u64::from(msg::limits().unwrap().msgmnb);
        queue.set(Settings { qbytes: most, ..settings }).unwrap();
        let error = queue.set(Settings { qbytes: most + 1, ..settings }).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::PERM)));
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current, limit.needed), ("kernel.msgmnb", Some(most), Some(most + 1)));
    });
    match root() {
        Ok(()) => test.child("nobody").as_nobody().spawn().succeed(),
        Err(missing) => test.skip(&missing),
    }
}
