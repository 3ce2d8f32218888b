//! POSIX message queues: opening, order, sizes, names, removal.

use std::os::fd::OwnedFd;

use twixt_os::posix::mq::{self, Access, Limits, Priority, Queue};
use twixt_os::{Errno, ErrorKind, Mechanism, Mode};
use twixt_testkit::{defer, root, test, unique_name};

const SMALL: Limits = Limits { max_messages: 3, message_size: 16 };

fn name() -> String {
    format!("/{}", unique_name())
}

fn priority(number: u32) -> Priority {
    Priority::new(number).unwrap()
}

fn receive(queue: &Queue) -> (String, u32) {
    let mut buffer = [0; 64];
    let received = queue.try_receive(&mut buffer).unwrap();
    (String::from_utf8(buffer[..received.len].to_vec()).unwrap(), received.priority.get())
}

#[test]
fn create_open_and_open_or_create_differ() {
    let _test = test!();
    let name = name();
    let missing = Queue::open(&name, Access::Read).unwrap_err();
    assert_eq!((missing.kind(), missing.errno()), (ErrorKind::NotFound, Some(Errno::NOENT)));
    assert_eq!(missing.mechanism(), Mechanism::PosixMq);
    assert!(missing.to_string().starts_with(&format!("cannot open POSIX message queue {name}: ")));

    let created = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap();
    let _guard = created.unlink_on_drop().unwrap();
    let twice = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap_err();
    assert_eq!((twice.kind(), twice.operation()), (ErrorKind::AlreadyExists, "create"));

    let others = Limits { max_messages: 1, message_size: 1 };
    let opened = Queue::open_or_create(&name, Access::Read, others, Mode::OWNER).unwrap();
    assert_eq!(opened.status().unwrap().limits, SMALL, "an existing queue keeps its limits");
    assert_eq!(opened.message_size(), 16);
    created.send(b"through", priority(5)).unwrap();
    assert_eq!(receive(&opened), ("through".into(), 5));

    let fresh = format!("{name}-fresh");
    let made = Queue::open_or_create(&fresh, Access::Read, others, Mode::OWNER).unwrap();
    let _guard = made.unlink_on_drop().unwrap();
    assert_eq!(made.status().unwrap().limits, others);
}

#[test]
fn without_limits_a_queue_has_the_systems() {
    let _test = test!();
    let queue = Queue::create(&name(), Access::ReadWrite, None, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let sysctl = |name: &str| -> usize {
        std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}")).unwrap().trim().parse().unwrap()
    };
    let limits = queue.status().unwrap().limits;
    assert_eq!(limits.max_messages, sysctl("msg_default"));
    assert_eq!(limits.message_size, sysctl("msgsize_default"));
}

#[test]
fn the_highest_priority_comes_first_and_equals_in_order() {
    let _test = test!();
    let limits = Limits { max_messages: 8, message_size: 16 };
    let queue = Queue::create(&name(), Access::ReadWrite, limits, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let sent = [("c", 7), ("e", 0), ("a", 32_767), ("d", 7), ("f", 0), ("b", 8)];
    for (text, number) in sent {
        queue.send(text.as_bytes(), priority(number)).unwrap();
    }
    assert_eq!(queue.status().unwrap().messages, 6);
    let order: Vec<_> = (0..6).map(|_| receive(&queue)).collect();
    let expected = [("a", 32_767), ("b", 8), ("c", 7), ("d", 7), ("e", 0), ("f", 0)];
    assert_eq!(order, expected.map(|(text, number)| (text.to_owned(), number)));
    assert_eq!(queue.status().unwrap().messages, 0);
}

#[test]
fn a_priority_is_below_32768() {
    assert_eq!(Priority::new(32_767), Some(Priority::HIGHEST));
    assert_eq!(Priority::new(32_768), None);
    let error = Priority::try_from(40_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("40000"));
}

#[test]
fn what_is_full_or_empty_would_block() {
    let _test = test!();
    let queue = Queue::create(&name(), Access::ReadWrite, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut buffer = [0; 16];
    let empty = queue.try_receive(&mut buffer).unwrap_err();
    assert_eq!((empty.kind(), empty.errno()), (ErrorKind::WouldBlock, Some(Errno::AGAIN)));
    for _ in 0..3 {
        queue.try_send(b"x", Priority::LOWEST).unwrap();
    }
    assert_eq!(queue.try_send(b"x", Priority::HIGHEST).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!queue.status().unwrap().nonblocking, "O_NONBLOCK is left alone");
}

#[test]
fn sizes_are_kept_to_and_the_message_with_them() {
    let _test = test!();
    let queue = Queue::create(&name(), Access::ReadWrite, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let long = queue.send(&[b'x'; 17], Priority::LOWEST).unwrap_err();
    assert_eq!((long.kind(), long.errno()), (ErrorKind::TooLong, Some(Errno::MSGSIZE)));
    assert_eq!(long.limit().map(|limit| (limit.current, limit.needed)), Some((Some(16), Some(17))));

    queue.send(&[b'x'; 16], Priority::LOWEST).unwrap();
    let short = queue.receive(&mut [0; 15]).unwrap_err();
    assert_eq!((short.kind(), short.operation()), (ErrorKind::TooLong, "receive from"));
    assert_eq!(short.limit().map(|limit| (limit.current, limit.needed)), Some((Some(15), Some(16))));
    assert_eq!(receive(&queue).0.len(), 16, "the message is still there");

    queue.send(b"", priority(1)).unwrap();
    assert_eq!(receive(&queue), (String::new(), 1));
    queue.send(b"vector", priority(2)).unwrap();
    let (message, number) = queue.receive_vec(twixt_os::Wait::never()).unwrap();
    assert_eq!((&message[..], number.get()), (&b"vector"[..], 2));
}

#[test]
fn access_is_what_was_asked_for() {
    let _test = test!();
    let name = name();
    let writer = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap();
    let _guard = writer.unlink_on_drop().unwrap();
    let reader = Queue::open(&name, Access::Read).unwrap();
    assert_eq!((writer.access(), reader.access()), (Access::Write, Access::Read));
    let error = writer.try_receive(&mut [0; 16]).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, Some(Errno::BADF)));
    assert!(error.to_string().ends_with("; it was opened for writing only"));
    let error = reader.try_send(b"x", Priority::LOWEST).unwrap_err();
    assert!(error.to_string().ends_with("; it was opened for reading only"));
}

#[test]
fn bad_names_are_refused_before_the_kernel_sees_them() {
    let _test = test!();
    let long = format!("/{}", "x".repeat(256));
    let cases = [
        ("jobs", ErrorKind::InvalidInput),
        ("", ErrorKind::InvalidInput),
        ("/", ErrorKind::InvalidInput),
        ("/a/b", ErrorKind::InvalidInput),
        ("//a", ErrorKind::InvalidInput),
        ("/a\0b", ErrorKind::InvalidInput),
        ("/..", ErrorKind::InvalidInput),
        (&long, ErrorKind::TooLong),
    ];
    for (name, kind) in cases {
        let error = Queue::create(name, Access::Read, None, Mode::OWNER).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (kind, None), "{name:?}");
        assert_eq!(Queue::open(name, Access::Read).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(mq::unlink(name).unwrap_err().kind(), kind, "{name:?}");
    }
    let unique = unique_name();
    let longest = format!("/{unique}{}", "x".repeat(255 - unique.len()));
    let queue = Queue::create(&longest, Access::Read, SMALL, Mode::OWNER).unwrap();
    queue.unlink_on_drop().unwrap().unlink().unwrap();
    assert_eq!(mq::unlink(&longest).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_unlinked_queue_serves_those_who_have_it() {
    let _test = test!();
    let name = name();
    let queue = Queue::create(&name, Access::ReadWrite, SMALL, Mode::OWNER).unwrap();
    let other = Queue::open(&name, Access::ReadWrite).unwrap();
    mq::unlink(&name).unwrap();
    assert_eq!(mq::unlink(&name).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Queue::open(&name, Access::Read).unwrap_err().kind(), ErrorKind::NotFound);
    queue.send(b"still", Priority::LOWEST).unwrap();
    assert_eq!(receive(&other).0, "still");
}

#[test]
fn a_guard_removes_its_queue_and_no_other() {
    let _test = test!();
    let name = name();
    let first = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap();
    let guard = first.unlink_on_drop().unwrap();
    mq::unlink(&name).unwrap();
    let second = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap();
    let _clean = defer(|| drop(mq::unlink(&name)));
    drop(guard);
    Queue::open(&name, Access::Write).expect("the guard was for the first queue");
    second.unlink_on_drop().unwrap().keep();
    Queue::open(&name, Access::Write).expect("the guard was told to keep it");
    drop(second.unlink_on_drop().unwrap());
    assert_eq!(Queue::open(&name, Access::Write).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_descriptor_becomes_a_queue_again() {
    let _test = test!();
    let queue = Queue::create(&name(), Access::ReadWrite, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    queue.send(b"kept", Priority::LOWEST).unwrap();
    let fd = OwnedFd::from(queue);
    assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let again = Queue::try_from(fd).unwrap();
    assert_eq!((again.access(), again.message_size()), (Access::ReadWrite, 16));
    assert_eq!(receive(&again).0, "kept");
    assert!(again.name().is_none());
    assert_eq!(again.unlink_on_drop().unwrap_err().kind(), ErrorKind::InvalidInput);

    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(Queue::from_fd(file.into()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_umask_and_the_mode_keep_others_out() {
    let test = test!();
    test.role("stranger", |peer| {
        for access in [Access::Read, Access::Write, Access::ReadWrite] {
            match Queue::open(&peer.arg(0), access) {
                Ok(_) => peer.say(&format!("{access:?} opened")),
                Err(error) => peer.say(&format!("{access:?} {:?}", error.kind())),
            }
        }
        let unlinked = mq::unlink(&peer.arg(0));
        peer.say(&format!("{:?}", unlinked.map_err(|error| error.kind())));
    });
    test.role("with umask", |peer| {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o062));
        Queue::create(&peer.arg(0), Access::Read, SMALL, Mode::new(0o666).unwrap()).unwrap();
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let name = name();
    let queue = Queue::create(&name, Access::Read, SMALL, Mode::OWNER).unwrap();
    let guard = queue.unlink_on_drop().unwrap();
    let mut stranger = test.child("stranger").arg(&name).as_nobody().spawn();
    stranger.expect("Read PermissionDenied");
    stranger.expect("Write PermissionDenied");
    stranger.expect("ReadWrite PermissionDenied");
    stranger.expect("Err(PermissionDenied)");
    stranger.succeed();
    drop(guard);

    let _clean = defer(|| drop(mq::unlink(&name)));
    test.child("with umask").arg(&name).spawn().succeed();
    let mut stranger = test.child("stranger").arg(&name).as_nobody().spawn();
    stranger.expect("Read opened");
    stranger.expect("Write PermissionDenied");
    stranger.expect("ReadWrite PermissionDenied");
    stranger.expect("Err(PermissionDenied)");
    stranger.succeed();
}
