//! Who uses an object: real processes that open, map, lock, serve and wait.

use std::fs;
use std::sync::Arc;

use twixt_address::Address;
use twixt_object::{Use, User, Users, find, make};
use twixt_os::lock::{Kind, LockFile};
use twixt_os::posix::{mq, sem as posix_sem, shm as posix_shm};
use twixt_os::sysv::msg::{Message, Queue, Select, Type};
use twixt_os::sysv::{msg, sem, shm};
use twixt_os::{fifo::Fifo, mmap, unix};
use twixt_testkit::{Child, Peer, Test, defer, root, scratch, test, unique_name};

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn users(text: &str) -> Users {
    find(&address(text)).unwrap().users().unwrap()
}

fn user(users: &Users, pid: i32) -> Option<&User> {
    users.users.iter().find(|user| user.pid == Some(pid))
}

/// What a process does with the object, in any order.
fn assert_uses(text: &str, child: &Child, expected: &[Use]) {
    let users = users(text);
    let user = user(&users, child.pid()).unwrap_or_else(|| panic!("{text} is not used: {users:?}"));
    assert!(user.command.is_some(), "it lives");
    let missing: Vec<_> = expected.iter().filter(|one| !user.uses.contains(one)).collect();
    assert!(missing.is_empty() && user.uses.len() == expected.len(), "{user:?}, expected {expected:?}");
}

/// A child in a role that says "ready" and then waits for its end.
fn ready(test: &Test, role: &str, argument: &str) -> Child {
    let mut child = test.child(role).arg(argument).spawn();
    child.expect("ready");
    child
}

fn stay(peer: &Peer) {
    peer.say("ready");
    peer.hear();
}

#[test]
fn the_ends_of_a_fifo() {
    let test = test!();
    test.role("read", |peer| {
        let _end = Fifo::open(peer.arg(0)).unwrap().open_read().unwrap();
        stay(peer);
    });
    test.role("write", |peer| {
        let _end = Fifo::open(peer.arg(0)).unwrap().open_write().unwrap();
        stay(peer);
    });
    test.role("refer", |peer| {
        let _name = Fifo::open(peer.arg(0)).unwrap();
        stay(peer);
    });
    let scratch = scratch();
    let path = scratch.path().join("fifo");
    let path = path.to_str().unwrap();
    let text = format!("fifo:{path}");
    make(&address(&text)).unwrap();
    assert!(users(&text).users.is_empty());

    let mut reader = test.child("read").arg(path).spawn();
    let writer = ready(&test, "write", path);
    reader.expect("ready");
    let refers = ready(&test, "refer", path);
    assert_uses(&text, &reader, &[Use::Reads]);
    assert_uses(&text, &writer, &[Use::Writes]);
    assert!(user(&users(&text), refers.pid()).is_none(), "a name that is held is no use");
    writer.kill();
    let after = users(&text);
    assert_eq!(after.users.len(), 1, "{after:?}");
}

#[test]
fn a_reader_that_waits() {
    let test = test!();
    test.role("read", |peer| {
        let end = Fifo::open(peer.arg(0)).unwrap().open_read_write().unwrap();
        peer.say("ready");
        let _ = end.0.read(&mut [0]);
    });
    let scratch = scratch();
    let path = scratch.path().join("fifo");
    let text = format!("fifo:{}", path.display());
    make(&address(&text)).unwrap();
    let child = ready(&test, "read", path.to_str().unwrap());
    child.wait_until_blocked_in(&[libc::SYS_read]);
    let found = users(&text);
    let user = user(&found, child.pid()).unwrap();
    assert!(user.uses.contains(&Use::WaitsToReceive), "{user:?}");
    child.kill();
}

#[test]
fn those_who_wait_for_the_other_end() {
    let test = test!();
    test.role("read", |peer| {
        std::env::set_current_dir(peer.arg(0)).unwrap();
        let _ = fs::File::open("fifo");
    });
    test.role("write", |peer| {
        let _ = fs::OpenOptions::new().append(true).open(format!("{}/fifo", peer.arg(0)));
    });
    let scratch = scratch();
    for name in ["fifo", "other"] {
        make(&address(&format!("fifo:{}/{name}", scratch.path().display()))).unwrap();
    }
    // Never both at the same time: each would be the other's end.
    for role in ["read", "write"] {
        let child = test.child(role).arg(scratch.path().display()).spawn();
        let text = format!("fifo:{}", scratch.path().join("fifo").display());
        while user(&users(&text), child.pid()).is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_uses(&text, &child, &[Use::WaitsToOpen]);
        let other = users(&format!("fifo:{}", scratch.path().join("other").display()));
        assert!(user(&other, child.pid()).is_none());
        child.kill();
    }
}

#[test]
fn a_mapped_file() {
    let test = test!();
    test.role("map", |peer| {
        let mapped = mmap::MappedFile::open(peer.arg(0)).unwrap();
        let read_only = mmap::Options::new().access(mmap::Access::ReadOnly).map(mapped.into()).unwrap();
        stay(peer);
        drop(read_only);
    });
    let scratch = scratch();
    let path = scratch.path().join("ring with space");
    let text = format!("mmap:{}", path.display());
    make(&address(&format!("{text}?size=8k"))).unwrap();
    let child = ready(&test, "map", path.to_str().unwrap());
    assert_uses(&text, &child, &[Use::ReadsAndWrites, Use::MapsReadOnly]);
    child.succeed();
    assert!(users(&text).users.is_empty());
}

#[test]
fn locks() {
    let test = test!();
    test.role("lock", |peer| {
        let _lock = LockFile::acquire(peer.arg(0), Kind::Exclusive).unwrap();
        stay(peer);
    });
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let path = path.to_str().unwrap();
    make(&address(&format!("lock:{path}"))).unwrap();
    let holder = ready(&test, "lock", path);
    let waiter = test.child("lock").arg(path).spawn();
    waiter.wait_until_blocked_in(&[libc::SYS_flock]);
    let text = format!("lock:{path}");
    assert_uses(&text, &holder, &[Use::ReadsAndWrites, Use::HoldsLock(Kind::Exclusive)]);
    assert_uses(&text, &waiter, &[Use::ReadsAndWrites, Use::WaitsForLock(Kind::Exclusive)]);
    waiter.kill();
    holder.kill();
}

#[test]
fn a_system_v_queue() {
    let test = test!();
    fn queue(peer: &Peer) -> Queue {
        Queue::open_id(msg::Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap()
    }
    test.role("send", |peer| {
        queue(peer).send(Type::MIN, b"x").unwrap();
        stay(peer);
    });
    test.role("receive", |peer| {
        let mut message = Message::with_capacity(10);
        queue(peer).receive(Select::Any, &mut message).unwrap();
        peer.say("ready");
        let _ = queue(peer).receive(Select::Any, &mut message);
    });
    let made = make(&address("sysv-msg:private")).unwrap();
    let text = made.address().to_string();
    let id = made.id().unwrap().to_string();
    let _remove = defer(|| drop(made.undo()));
    assert!(users(&text).users.is_empty());

    let sender = ready(&test, "send", &id);
    let receiver = ready(&test, "receive", &id);
    receiver.wait_until_blocked_in(&[libc::SYS_msgrcv]);
    assert_uses(&text, &sender, &[Use::LastSent]);
    assert_uses(&text, &receiver, &[Use::WaitsToReceive, Use::LastReceived]);

    let pid = sender.pid();
    sender.succeed();
    let found = users(&text);
    let sender = user(&found, pid).unwrap();
    assert_eq!(sender.command, None, "it has ended");
    assert_eq!(sender.to_string(), format!("{pid} (has ended): was the last to send"));
}

#[test]
fn a_semaphore_set() {
    let test = test!();
    test.role("wait", |peer| {
        let set = sem::Set::open_id(sem::Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap();
        let _ = set.acquire(1);
    });
    let made = make(&address("sysv-sem:private?count=2")).unwrap();
    let text = made.address().to_string();
    let id = made.id().unwrap();
    let _remove = defer(|| drop(made.undo()));
    assert_eq!(users(&text).counted, Some(0));
    let waiter = test.child("wait").arg(id).spawn();
    waiter.wait_until_blocked_in(&[libc::SYS_semop, libc::SYS_semtimedop]);
    assert_uses(&text, &waiter, &[Use::WaitsForSemaphore]);
    assert_eq!(users(&text).counted, Some(1));
    waiter.kill();
}

#[test]
fn an_attached_segment() {
    let test = test!();
    test.role("attach", |peer| {
        let segment = shm::Segment::open_id(shm::Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap();
        let access = if peer.arg(1) == "rw" { shm::Access::ReadWrite } else { shm::Access::ReadOnly };
        let _attached = segment.attach(access).unwrap();
        stay(peer);
    });
    let made = make(&address("sysv-shm:private?size=10k")).unwrap();
    let text = made.address().to_string();
    let id = made.id().unwrap();
    let removed = defer(|| drop(made.clone().undo()));
    let attach = |access: &str| {
        let mut child = test.child("attach").arg(id).arg(access).spawn();
        child.expect("ready");
        child
    };
    let (writer, reader) = (attach("rw"), attach("ro"));
    assert_uses(&text, &writer, &[Use::Maps]);
    assert_uses(&text, &reader, &[Use::MapsReadOnly]);
    assert_eq!(users(&text).counted, Some(2));
    drop(removed);
    // Removed, and still there for those who have it.
    assert_uses(&text, &writer, &[Use::Maps]);
    writer.succeed();
    reader.succeed();
    assert_eq!(find(&address(&text)).unwrap_err().kind(), twixt_os::ErrorKind::NotFound);
}

#[test]
fn a_posix_queue() {
    let test = test!();
    test.role("receive", |peer| {
        let queue = mq::Queue::open(&peer.arg(0), mq::Access::Read).unwrap();
        let _ = queue.receive(&mut vec![0; queue.message_size()]);
    });
    let name = format!("/{}", unique_name());
    let text = format!("posix-mq:{name}");
    let made = make(&address(&text)).unwrap();
    let _remove = defer(|| drop(made.undo()));
    let me = std::process::id().cast_signed();
    assert!(user(&users(&text), me).is_none(), "looking at it is not using it");
    let receiver = test.child("receive").arg(&name).spawn();
    receiver.wait_until_blocked_in(&[libc::SYS_mq_timedreceive]);
    assert_uses(&text, &receiver, &[Use::Reads, Use::WaitsToReceive]);
    receiver.kill();
}

#[test]
fn posix_memory_and_semaphores() {
    let test = test!();
    test.role("use", |peer| {
        let memory = posix_shm::SharedMemory::open(&peer.arg(0), posix_shm::Access::ReadWrite).unwrap();
        let mapping = Arc::new(memory.map(posix_shm::Access::ReadWrite).unwrap());
        drop(memory);
        let semaphore = posix_sem::Semaphore::open(&peer.arg(0)).unwrap();
        let _ = semaphore.acquire();
        drop(mapping);
    });
    let name = format!("/{}", unique_name());
    let (memory, semaphore) = (format!("posix-shm:{name}"), format!("posix-sem:{name}"));
    let first = make(&address(&format!("{memory}?size=4k"))).unwrap();
    let _remove = defer(|| drop(first.undo()));
    let second = make(&address(&semaphore)).unwrap();
    let _remove = defer(|| drop(second.undo()));
    let child = test.child("use").arg(&name).spawn();
    // Threads of the test harness sleep on futexes, too.
    let waits = |user: &User| user.uses.contains(&Use::WaitsForSemaphore);
    while !user(&users(&semaphore), child.pid()).is_some_and(waits) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_uses(&memory, &child, &[Use::Maps]);
    assert_uses(&semaphore, &child, &[Use::Maps, Use::WaitsForSemaphore]);
    child.kill();
}

#[test]
fn a_socket() {
    let test = test!();
    test.role("serve", |peer| {
        let _listener = unix::StreamListener::bind(&unix::Address::path(peer.arg(0)).unwrap()).unwrap();
        stay(peer);
    });
    test.role("serve from its directory", |peer| {
        std::env::set_current_dir(peer.arg(0)).unwrap();
        let _listener = unix::StreamListener::bind(&unix::Address::path("socket").unwrap()).unwrap();
        stay(peer);
    });
    let scratch = scratch();
    let path = scratch.path().join("socket");
    let text = format!("unix:{}", path.display());
    let server = ready(&test, "serve", path.to_str().unwrap());
    // One of the same name elsewhere.
    let other = twixt_testkit::scratch();
    let _other =
        unix::StreamListener::bind(&unix::Address::path(other.path().join("socket")).unwrap()).unwrap();
    assert_uses(&text, &server, &[Use::Serves]);
    assert_eq!(users(&text).users.len(), 1);
    server.kill();
    assert!(users(&text).users.is_empty());

    fs::remove_file(&path).unwrap();
    let server = ready(&test, "serve from its directory", scratch.path().to_str().unwrap());
    assert_uses(&text, &server, &[Use::Serves]);
    server.kill();
}

#[test]
fn a_command_name_cannot_play_with_the_terminal() {
    let test = test!();
    test.role("hold", |peer| {
        let _file = fs::File::open(peer.arg(0)).unwrap();
        fs::write("/proc/self/comm", "a\x1b[31m\u{202e}b\nc").unwrap();
        stay(peer);
    });
    let scratch = scratch();
    let path = scratch.path().join("file");
    let text = format!("file:{}", path.display());
    make(&address(&text)).unwrap();
    let child = ready(&test, "hold", path.to_str().unwrap());
    let found = users(&text);
    let user = user(&found, child.pid()).unwrap();
    assert_eq!(user.command.as_deref(), Some("a\\u{1b}[31m\\u{202e}b\\nc"));
    assert_eq!(user.to_string(), format!("{} (a\\u{{1b}}[31m\\u{{202e}}b\\nc): reads", child.pid()));
    child.kill();
}

#[test]
fn processes_that_may_not_be_looked_at_are_counted() {
    let test = test!();
    test.role("look", |peer| {
        let users = users(&peer.arg(0));
        // Process 1 is root's, at least.
        assert!(users.unreadable >= 1);
        assert!(users.users.is_empty());
    });
    test.role("hold", |peer| {
        let _file = fs::File::open(peer.arg(0)).unwrap();
        stay(peer);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = scratch.path().join("file");
    let text = format!("file:{}", path.display());
    make(&address(&text)).unwrap();
    let holder = ready(&test, "hold", path.to_str().unwrap());
    test.child("look").arg(&text).as_nobody().spawn().succeed();
    holder.kill();
}
