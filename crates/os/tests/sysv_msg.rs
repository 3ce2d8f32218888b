//! System V message queues: making them, messages by type, peeking, state and removal.

use std::io::Write;
use std::time::SystemTime;

use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{
    self, Access, Extent, Id, Message, NotAType, Queue, RemoveOnDrop, Select, Settings, Type,
};
use twixt_os::{Errno, ErrorKind, Mode, Object};
use twixt_testkit::{Peer, defer, root, test, unique_key};

const ONE: Type = Type::MIN;

fn private() -> RemoveOnDrop {
    Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop()
}

fn key() -> Key {
    Key::new(unique_key()).unwrap()
}

fn mtype(number: i64) -> Type {
    Type::new(number).unwrap()
}

/// The queue whose identifier the test passed along.
fn given(peer: &Peer) -> Queue {
    Queue::open_id(Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap()
}

/// Takes a message that must be there.
fn take(queue: &Queue, select: Select) -> (i64, Vec<u8>) {
    let mut message = Message::with_capacity(8192);
    queue.try_receive(select, &mut message).unwrap();
    (message.mtype().get(), message.bytes().to_vec())
}

#[test]
fn create_is_create_only() {
    let _test = test!();
    let key = key();
    let queue = Queue::create(key, Mode::OWNER).unwrap().remove_on_drop();
    let error = Queue::create(key, Mode::OWNER).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::AlreadyExists, Some(Errno::EXIST)));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot create System V message queue {key}: file exists (EEXIST); open it, or remove it first"
        )
    );
    assert_eq!(queue.stat().unwrap().perm.mode, Mode::OWNER);
}

#[test]
fn open_is_open_only() {
    let _test = test!();
    let key = key();
    for error in [Queue::open(key).unwrap_err(), Queue::open_for(key, Access::all()).unwrap_err()] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(Errno::NOENT)));
        assert!(
            error.to_string().starts_with(&format!("cannot open System V message queue {key}: ")),
            "{error}"
        );
    }
    let queue = Queue::create(key, Mode::OWNER).unwrap().remove_on_drop();
    assert_eq!(Queue::open(key).unwrap().id(), queue.id());
    assert_eq!(Queue::open_for(key, Access::SEND | Access::RECEIVE).unwrap().id(), queue.id());
}

#[test]
fn open_or_create_makes_one_queue() {
    let test = test!();
    test.role("opener", |peer| {
        let key = peer.arg(0).parse().unwrap();
        peer.wait_for("now");
        peer.say(&Queue::open_or_create(key, Mode::OWNER).unwrap().id().to_string());
    });
    let key = key();
    let mut openers: Vec<_> = (0..4).map(|_| test.child("opener").arg(key).spawn()).collect();
    openers.iter_mut().for_each(|opener| opener.tell("now"));
    let ids: Vec<_> = openers.iter_mut().map(|opener| opener.hear()).collect();
    let queue = Queue::open(key).unwrap().remove_on_drop();
    assert_eq!(ids, vec![queue.id().to_string(); 4]);
}

#[test]
fn a_private_queue_has_no_key_to_open() {
    let _test = test!();
    let (one, two) = (private(), private());
    assert_ne!(one.id(), two.id());
    assert!(one.stat().unwrap().perm.key.is_private());
    let error = Queue::open(Key::PRIVATE).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, None));
    let third = Queue::open_or_create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    assert!(third.id() != one.id() && third.id() != two.id());
}

#[test]
fn a_queue_is_opened_by_its_identifier() {
    let _test = test!();
    let queue = private();
    let opened = Queue::open_id(queue.id()).unwrap();
    opened.send(ONE, b"by id").unwrap();
    assert_eq!(take(&queue, Select::Any), (1, b"by id".to_vec()));
    let id = queue.id();
    queue.remove().unwrap();
    let error = Queue::open_id(id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.object(), &Object::Id(id.as_raw()));
    assert_eq!(Id::new(-1), None);
}

#[test]
fn types_start_at_1() {
    for number in [0, -1, i64::MIN] {
        assert_eq!(Type::new(number), None);
        assert_eq!(Type::try_from(number), Err(NotAType));
    }
    assert_eq!(Type::new(1), Some(Type::MIN));
    assert_eq!(Type::try_from(i64::MAX), Ok(Type::MAX));
}

#[test]
fn messages_are_taken_by_type() {
    let test = test!();
    test.role("sender", |peer| {
        let queue = given(peer);
        for (number, bytes) in [
            (30, "a"),
            (10, "b"),
            (i64::MAX, "c"),
            (20, "d"),
            (10, "e"),
            (30, "f"),
            (1, "g"),
            (20, "h"),
            (30, "i"),
        ] {
            queue.send(mtype(number), bytes.as_bytes()).unwrap();
        }
    });
    let queue = private();
    test.child("sender").arg(queue.id()).spawn().succeed();

    let took = |select| {
        let (number, bytes) = take(&queue, select);
        (number, String::from_utf8(bytes).unwrap())
    };
    let message = |number, text: &str| (number, text.to_owned());
    // Left: 30a 10b MAXc 20d 10e 30f 1g 20h 30i
    assert_eq!(took(Select::LowestUpTo(mtype(25))), message(1, "g"));
    assert_eq!(took(Select::LowestUpTo(mtype(25))), message(10, "b"), "the lowest type, and its oldest");
    assert_eq!(took(Select::LowestUpTo(mtype(10))), message(10, "e"), "up to includes");
    assert_eq!(took(Select::Exactly(mtype(20))), message(20, "d"));
    assert_eq!(took(Select::Except(mtype(30))), message(i64::MAX, "c"));
    assert_eq!(took(Select::Any), message(30, "a"));
    // Left: 30f 20h 30i
    let mut buffer = Message::with_capacity(8);
    for missing in [Select::Exactly(mtype(10)), Select::LowestUpTo(mtype(19)), Select::from(Type::MAX)] {
        assert_eq!(queue.try_receive(missing, &mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(took(Select::LowestUpTo(Type::MAX)), message(20, "h"));
    let error = queue.try_receive(Select::Except(mtype(30)), &mut buffer).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::WouldBlock, Some(Errno::NOMSG)));
    assert_eq!(took(Select::Exactly(mtype(30))), message(30, "f"));
    assert_eq!(took(Select::Any), message(30, "i"));
    assert_eq!(queue.stat().unwrap().qnum, 0);
}

#[test]
fn select_admits_what_the_kernel_gives() {
    let _test = test!();
    let queue = private();
    let selections =
        [1, 2, 3].map(mtype).map(|t| [Select::Exactly(t), Select::LowestUpTo(t), Select::Except(t)]);
    let mut buffer = Message::default();
    for select in selections.into_iter().flatten().chain([Select::Any]) {
        for number in 1..=3 {
            queue.send(mtype(number), b"").unwrap();
            let taken = queue.try_receive(select, &mut buffer).is_ok();
            assert_eq!(taken, select.admits(mtype(number)), "{select:?} of {number}");
            if !taken {
                take(&queue, Select::Any);
            }
        }
    }
}

#[test]
fn a_message_is_bytes_of_any_value_and_number() {
    let _test = test!();
    let queue = private();
    let all: Vec<u8> = (0..=255).collect();
    // Both sides of the sizes at which the copy changes its place.
    for len in [0, 1, 7, 8, 9, 255, 256, 511, 512, 513, 4096, 8191, 8192] {
        let bytes: Vec<u8> = all.iter().copied().cycle().skip(len).take(len).collect();
        queue.send(Type::MAX, &bytes).unwrap();
        assert_eq!(take(&queue, Select::Any), (i64::MAX, bytes));
    }
}

#[test]
fn an_empty_message_is_a_message() {
    let _test = test!();
    let queue = private();
    queue.send(mtype(7), b"").unwrap();
    queue.send_message(&Message::default()).unwrap();
    assert_eq!(queue.stat().unwrap().qnum, 2);
    assert_eq!(queue.stat().unwrap().cbytes, 0);
    let mut message = Message::default();
    queue.receive(Select::Any, &mut message).unwrap();
    assert_eq!((message.mtype().get(), message.is_empty()), (7, true));
    queue.receive(Select::Any, &mut message).unwrap();
    assert_eq!(message.mtype(), Type::MIN);
}

#[test]
fn a_small_buffer_keeps_the_message_and_says_its_length() {
    let _test = test!();
    let queue = private();
    queue.send(mtype(5), b"short").unwrap();
    queue.send(mtype(3), &[7; 100]).unwrap();
    queue.send(mtype(3), &[8; 200]).unwrap();
    queue.send(mtype(9), &[9; 300]).unwrap();
    let mut message = Message::new(mtype(77), b"old");
    message.reserve(50);
    for (select, len) in [
        (Select::Exactly(mtype(3)), 100),
        (Select::LowestUpTo(mtype(4)), 100),
        (Select::LowestUpTo(Type::MAX), 100),
        (Select::Exactly(mtype(9)), 300),
        (Select::Except(mtype(5)), 100),
    ] {
        let error = queue.try_receive(select, &mut message).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, Some(Errno::TOOBIG)), "{select:?}");
        let limit = error.limit().unwrap();
        assert_eq!((limit.current, limit.needed), (Some(50), Some(len)), "{select:?}");
        assert_eq!(
            (message.mtype().get(), message.bytes()),
            (77, b"old".as_slice()),
            "the buffer is as it was"
        );
    }
    let error = queue.receive(Select::from(mtype(9)), &mut message).unwrap_err();
    let expected = format!(
        "cannot receive from System V message queue id {}: argument list too long (E2BIG): the buffer's capacity is 50, \
         300 is needed; the message is still in the queue; reserve more, or have it cut",
        queue.id()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(queue.stat().unwrap().qnum, 4);
    message.reserve(300);
    queue.receive(Select::from(mtype(9)), &mut message).unwrap();
    assert_eq!(message.bytes(), [9; 300]);
}

#[test]
fn a_truncating_receive_says_that_it_cut() {
    let _test = test!();
    let queue = private();
    for len in [9, 10, 11, 500, 10, 0] {
        queue.send(ONE, &vec![b'x'; len]).unwrap();
    }
    let mut message = Message::with_capacity(10);
    for (extent, len) in [
        (Extent::Whole, 9),
        (Extent::Whole, 10),
        (Extent::Cut, 10),
        (Extent::Cut, 10),
        (Extent::Whole, 10),
        (Extent::Whole, 0),
    ] {
        assert_eq!(queue.receive_truncating(Select::Any, &mut message).unwrap(), extent);
        assert_eq!(message.bytes(), vec![b'x'; len]);
        assert_eq!(message.capacity(), 10);
    }
    assert_eq!(queue.stat().unwrap().qnum, 0, "the rest of a cut message is gone");
    let mut nothing = Message::default();
    queue.send(mtype(4), b"x").unwrap();
    assert_eq!(queue.receive_truncating(Select::Any, &mut nothing).unwrap(), Extent::Cut);
    assert_eq!((nothing.mtype().get(), nothing.len()), (4, 0));
}

#[test]
fn peeking_changes_nothing() {
    let test = test!();
    test.role("peeker", |peer| {
        let queue = given(peer);
        let mut message = Message::with_capacity(16);
        for (index, expected) in [(2, "third"), (0, "first"), (1, "")] {
            queue.peek(index, &mut message).unwrap();
            assert_eq!(message.bytes(), expected.as_bytes());
            assert_eq!(message.mtype().get(), 30 - 10 * index as i64);
        }
        for past in [3, 4, usize::MAX] {
            let error = queue.peek(past, &mut message).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::NoMessage, Some(Errno::NOMSG)));
        }
        let error = queue.peek(0, &mut Message::with_capacity(4)).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, Some(Errno::TOOBIG)));
        let all: Vec<_> = queue.messages().map(|message| message.unwrap()).collect();
        let expected = [(30, "first"), (20, ""), (10, "third")];
        assert_eq!(all, expected.map(|(number, text)| Message::new(mtype(number), text.as_bytes())));
    });
    let queue = private();
    for (number, text) in [(30, "first"), (20, ""), (10, "third")] {
        queue.send(mtype(number), text.as_bytes()).unwrap();
    }
    let before = queue.stat().unwrap();
    test.child("peeker").arg(queue.id()).spawn().succeed();
    assert_eq!(queue.stat().unwrap(), before);
    assert_eq!((before.lrpid, before.rtime), (None, None));
}

#[test]
fn messages_of_all_sizes_are_listed() {
    let _test = test!();
    let queue = private();
    let lengths = [0, 1, 5000, 20, 8192];
    for len in lengths {
        queue.send(ONE, &vec![1; len]).unwrap();
    }
    let listed: Vec<_> = queue.messages().map(|message| message.unwrap().len()).collect();
    assert_eq!(listed, lengths);
    queue.remove().unwrap();
    let mut messages = queue.messages();
    assert_eq!(messages.next().unwrap().unwrap_err().kind(), ErrorKind::Removed);
    assert!(messages.next().is_none(), "an error ends it");
}

#[test]
fn the_state_tells_all() {
    let test = test!();
    test.role("receiver", |peer| {
        let queue = given(peer);
        take(&queue, Select::Any);
        peer.say("taken");
        peer.hear();
    });
    let key = key();
    let second = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let before = second(SystemTime::now());
    let mode = Mode::new(0o640).unwrap();
    let queue = Queue::create(key, mode).unwrap().remove_on_drop();
    let stat = queue.stat().unwrap();
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!((stat.perm.key, stat.perm.mode), (key, mode));
    assert_eq!(
        (stat.perm.uid, stat.perm.gid, stat.perm.creator_uid, stat.perm.creator_gid),
        (uid, gid, uid, gid)
    );
    assert_eq!((stat.qnum, stat.cbytes), (0, 0));
    assert_eq!(stat.qbytes, u64::from(msg::limits().unwrap().msgmnb));
    assert_eq!((stat.stime, stat.rtime, stat.lspid, stat.lrpid), (None, None, None, None));

    queue.send(ONE, b"four").unwrap();
    queue.send(ONE, b"seventeen").unwrap();
    let mut receiver = test.child("receiver").arg(queue.id()).spawn();
    receiver.expect("taken");
    let stat = queue.stat().unwrap();
    assert_eq!((stat.qnum, stat.cbytes), (1, 9));
    assert_eq!(stat.lspid, Some(std::process::id().cast_signed()));
    assert_eq!(stat.lrpid, Some(receiver.pid()));
    let after = second(SystemTime::now());
    // The kernel's seconds may be those of its last clock tick.
    for time in [stat.stime.unwrap(), stat.rtime.unwrap(), stat.ctime] {
        assert!((before.saturating_sub(1)..=after).contains(&second(time)), "{time:?}");
    }
}

#[test]
fn settings_are_changed_together() {
    let _test = test!();
    let queue = private();
    let settings = Settings::from(queue.stat().unwrap());
    let mode = Mode::new(0o660).unwrap();
    queue.set(Settings { mode, qbytes: 100, ..settings }).unwrap();
    let stat = queue.stat().unwrap();
    assert_eq!((stat.perm.mode, stat.qbytes), (mode, 100));
    assert_eq!(Settings::from(stat), Settings { mode, qbytes: 100, ..settings });
    let error = queue.set(Settings { uid: u32::MAX, ..settings }).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, Some(Errno::INVAL)));
    assert_eq!(queue.stat().unwrap().qbytes, 100, "nothing of it was changed");
    queue.remove().unwrap();
    assert_eq!(queue.set(settings).unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn a_removed_queue_is_removed_for_every_operation() {
    let _test = test!();
    let queue = private();
    queue.send(ONE, b"lost").unwrap();
    queue.remove().unwrap();
    let mut message = Message::with_capacity(8);
    let errors = [
        queue.send(ONE, b"late").unwrap_err(),
        queue.send(ONE, &[0; 9000]).unwrap_err(),
        queue.receive(Select::Any, &mut message).unwrap_err(),
        queue.receive_truncating(Select::Any, &mut message).map(drop).unwrap_err(),
        queue.peek(0, &mut message).unwrap_err(),
        queue.stat().map(drop).unwrap_err(),
        queue.remove().unwrap_err(),
    ];
    for error in errors {
        let too_long_anyway =
            error.kind() == ErrorKind::LimitReached && error.limit().unwrap().name == "kernel.msgmax";
        assert!(error.kind() == ErrorKind::Removed || too_long_anyway, "{error}");
    }
    let error = queue.stat().unwrap_err();
    let expected = format!(
        "cannot read the state of System V message queue id {}: invalid argument (EINVAL); \
         no queue has this identifier any more",
        queue.id()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_guard_removes_its_own_queue_and_no_other() {
    let _test = test!();
    let key = key();
    let first = Queue::create(key, Mode::OWNER).unwrap().remove_on_drop();
    first.remove().unwrap();
    let second = Queue::create(key, Mode::OWNER).unwrap().remove_on_drop();
    drop(first);
    assert_eq!(Queue::open(key).unwrap().id(), second.id(), "the key is another queue's now");
    let kept = second.keep();
    assert_eq!(Queue::open(key).unwrap().id(), kept.id());
    drop(kept.clone());
    drop(kept.remove_on_drop());
    assert_eq!(Queue::open(key).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn all_queues_are_listed() {
    let test = test!();
    test.role("lister", |peer| {
        let id: i32 = peer.arg(0).parse().unwrap();
        let listed = msg::list().unwrap();
        let found = listed.iter().find(|listed| listed.id.as_raw() == id).unwrap();
        assert_eq!((found.stat.qnum, found.stat.cbytes), (1, 6));
        assert_eq!(found.stat.perm.key.to_string(), peer.arg(1));
    });
    let key = key();
    let queue = Queue::create(key, Mode::OWNER).unwrap().remove_on_drop();
    queue.send(ONE, b"listed").unwrap();
    test.child("lister").arg(queue.id()).arg(key).spawn().succeed();
    if root().is_ok() {
        // It needs no permission.
        test.child("lister").arg(queue.id()).arg(key).as_nobody().spawn().succeed();
    }
    let usage = msg::usage().unwrap();
    assert!(usage.queues >= 1 && usage.messages >= 1 && usage.bytes >= 6, "{usage:?}");
}

#[test]
fn another_user_is_refused() {
    let test = test!();
    test.role("stranger", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let refused = |error: twixt_os::Error, errno| {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(errno)), "{error}");
        };
        refused(Queue::open_for(key, Access::RECEIVE).unwrap_err(), Errno::ACCESS);
        refused(Queue::open_for(key, Access::SEND).unwrap_err(), Errno::ACCESS);
        refused(Queue::open_or_create(key, Mode::OWNER).unwrap_err(), Errno::ACCESS);
        let queue = Queue::open(key).unwrap();
        assert_eq!(Queue::open_id(queue.id()).unwrap().id(), queue.id());
        let mut message = Message::with_capacity(8);
        refused(queue.send(ONE, b"x").unwrap_err(), Errno::ACCESS);
        refused(queue.receive(Select::Any, &mut message).unwrap_err(), Errno::ACCESS);
        refused(queue.peek(0, &mut message).unwrap_err(), Errno::ACCESS);
        refused(queue.messages().next().unwrap().unwrap_err(), Errno::ACCESS);
        refused(queue.stat().unwrap_err(), Errno::ACCESS);
        refused(queue.remove().unwrap_err(), Errno::PERM);
        let settings = Settings { uid: 65534, gid: 65534, mode: Mode::OWNER, qbytes: 10 };
        refused(queue.set(settings).unwrap_err(), Errno::PERM);
        refused(queue.set(Settings { qbytes: u64::MAX, ..settings }).unwrap_err(), Errno::PERM);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let key = key();
    let queue = Queue::create(key, Mode::OWNER).unwrap().remove_on_drop();
    test.child("stranger").arg(key).as_nobody().spawn().succeed();
    assert_eq!(queue.stat().unwrap().qnum, 0);
}

#[test]
fn permissions_are_for_receiving_and_for_sending() {
    let test = test!();
    test.role("writer", |peer| {
        let queue = Queue::open_for(peer.arg(0).parse().unwrap(), Access::SEND).unwrap();
        queue.send(ONE, b"allowed").unwrap();
        let error = queue.receive(Select::Any, &mut Message::with_capacity(8)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        // Also one who may not read the state is told of what can never fit.
        let error = queue.send(ONE, &[0; 101]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLong, "{error}");
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let key = key();
    let queue = Queue::create(key, Mode::new(0o622).unwrap()).unwrap().remove_on_drop();
    queue.set(Settings { qbytes: 100, ..Settings::from(queue.stat().unwrap()) }).unwrap();
    test.child("writer").arg(key).as_nobody().spawn().succeed();
    assert_eq!(take(&queue, Select::Any), (1, b"allowed".to_vec()));
}

#[test]
fn a_queue_is_given_to_another_user() {
    let test = test!();
    test.role("heir", |peer| {
        let queue = given(peer);
        queue.send(ONE, b"mine").unwrap();
        queue.remove().unwrap();
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let queue = private();
    queue.set(Settings { uid: 65534, gid: 65534, ..Settings::from(queue.stat().unwrap()) }).unwrap();
    let perm = queue.stat().unwrap().perm;
    assert_eq!((perm.uid, perm.gid, perm.creator_uid), (65534, 65534, rustix::process::geteuid().as_raw()));
    test.child("heir").arg(queue.id()).as_nobody().spawn().succeed();
    assert_eq!(queue.stat().unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn the_queue_outlives_its_processes() {
    let test = test!();
    test.role("sender", |peer| {
        let queue = Queue::create(peer.arg(0).parse().unwrap(), Mode::OWNER).unwrap();
        queue.send(mtype(2), b"still here").unwrap();
        peer.say(&queue.id().to_string());
        peer.hear();
    });
    let key = key();
    let mut sender = test.child("sender").arg(key).spawn();
    let id = sender.hear();
    let _cleaned = defer(move || drop(Queue::open(key).map(|queue| queue.remove())));
    sender.kill();
    let queue = Queue::open(key).unwrap();
    assert_eq!(queue.id().to_string(), id);
    assert_eq!(take(&queue, Select::Any), (2, b"still here".to_vec()));
}

#[test]
fn a_message_buffer_holds_what_it_was_given() {
    let mut message = Message::with_capacity(4);
    assert_eq!((message.mtype(), message.len(), message.capacity()), (Type::MIN, 0, 4));
    message.set(mtype(3), b"four");
    assert_eq!(message.capacity(), 4, "no more room than needed");
    write!(message, " and {}", 5).unwrap();
    message.bytes_mut()[0] = b'F';
    assert_eq!((message.mtype().get(), message.as_ref()), (3, b"Four and 5".as_slice()));
    message.truncate(4);
    message.truncate(100);
    assert_eq!(format!("{message:?}"), r#"Message(type 3, "Four")"#);
    assert_eq!(message, Message::new(mtype(3), b"Four"));
    assert_ne!(message, Message::new(mtype(4), b"Four"));
    message.set_mtype(Type::MAX);
    message.clear();
    assert_eq!((message.mtype(), message.is_empty()), (Type::MAX, true));
    assert!(message.capacity() >= 10);
    assert_eq!(Message::with_largest_capacity().unwrap().capacity() as u32, msg::limits().unwrap().msgmax);
}
