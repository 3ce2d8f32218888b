//! Objects are made as the address says, whole or not at all.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use twixt_address::Address;
use twixt_object::{Error, Made, Plan, find, make};
use twixt_os::posix::{mq, sem as posix_sem, shm as posix_shm};
use twixt_os::sysv::{Key, msg, sem, shm};
use twixt_os::{ErrorKind, Mode};
use twixt_testkit::{Defer, defer, root, scratch, test, unique_key, unique_name};

fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Makes an object that goes at the end of the test.
fn made(text: &str) -> (Made, Defer<impl FnOnce() + use<>>) {
    let made = make(&address(text)).unwrap_or_else(|error| panic!("{error}"));
    let again = made.clone();
    (made, defer(move || drop(again.undo())))
}

fn refused(text: &str) -> Error {
    match make(&address(text)) {
        Err(error) => error,
        Ok(made) => {
            made.undo().unwrap();
            panic!("{text} was made");
        }
    }
}

fn permissions(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_fifo_is_made() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("jobs");
    let (made, _remove) = made(&format!("fifo:{}?mode=0400", path.display()));
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
    assert_eq!(permissions(&path), 0o400);
    assert_eq!(made.address().to_string(), format!("fifo:{}", path.display()));
    assert_eq!((made.id(), made.key()), (None, None));
}

#[test]
fn files_are_made_empty_or_with_their_space() {
    let _test = test!();
    let scratch = scratch();
    for scheme in ["file", "lock"] {
        let path = scratch.path().join(scheme);
        let (_made, _remove) = made(&format!("{scheme}:{}", path.display()));
        assert_eq!((fs::metadata(&path).unwrap().len(), permissions(&path)), (0, 0o600));
    }
    let path = scratch.path().join("ring");
    let (_made, _remove) = made(&format!("mmap:{}?size=100k&mode=0400", path.display()));
    let stat = fs::metadata(&path).unwrap();
    assert_eq!((stat.len(), permissions(&path)), (102_400, 0o400));
    use std::os::unix::fs::MetadataExt;
    assert!(stat.blocks() * 512 >= 102_400, "the space is reserved");
}

#[test]
fn a_system_v_queue_is_made_with_its_capacity() {
    let _test = test!();
    let key = unique_key();
    let (made, _remove) = made(&format!("sysv-msg:{key}?capacity=4k&mode=0622"));
    let queue = msg::Queue::open(Key::new(key).unwrap()).unwrap();
    assert_eq!(Some(queue.id().as_raw()), made.id().map(|id| id.get()));
    assert_eq!(made.key(), Key::new(key));
    let stat = queue.stat().unwrap();
    assert_eq!((stat.qbytes, stat.perm.mode), (4096, Mode::new(0o622).unwrap()));
}

#[test]
fn a_queue_whose_maker_may_not_read_it_gets_its_capacity_too() {
    let _test = test!();
    let (made, _remove) = made("sysv-msg:private?capacity=100&mode=0200");
    let id = made.id().unwrap().get();
    let listed = msg::list().unwrap().into_iter().find(|one| one.id.as_raw() == id).unwrap();
    assert_eq!(listed.stat.qbytes, 100);
}

#[test]
fn a_semaphore_set_is_made_initialised() {
    let _test = test!();
    let key = unique_key();
    let (_made, _remove) = made(&format!("sysv-sem:{key}?count=3&value=2"));
    let set = sem::Set::open(Key::new(key).unwrap()).unwrap();
    assert_eq!(set.values().unwrap(), [2, 2, 2]);
    assert!(set.is_initialised().unwrap(), "those who wait for that may go on");
}

#[test]
fn a_semaphore_set_has_one_semaphore_of_value_0_by_default() {
    let _test = test!();
    let (made, _remove) = made("sysv-sem:private");
    let id = sem::Id::new(made.id().unwrap().get()).unwrap();
    assert_eq!(sem::Set::open_id(id).unwrap().values().unwrap(), [0]);
}

#[test]
fn a_segment_is_made() {
    let _test = test!();
    let (made, _remove) = made("sysv-shm:private?size=5000");
    let id = shm::Id::new(made.id().unwrap().get()).unwrap();
    assert_eq!(shm::Segment::open_id(id).unwrap().stat().unwrap().segsz, 5000);
    assert_eq!(made.address().to_string(), format!("sysv-shm:id={}", made.id().unwrap()));
    assert_eq!(made.key(), None);
}

#[test]
fn a_key_may_come_from_a_file() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().display();
    let (made, _remove) = made(&format!("sysv-msg:ftok={path},7"));
    assert_eq!(made.key(), Some(Key::from_path(scratch.path(), 7).unwrap()));
    assert_eq!(made.address().to_string(), format!("sysv-msg:ftok={path},7"));
    assert_eq!(find(made.address()).unwrap().id(), made.id());
}

#[test]
fn posix_objects_are_made() {
    let _test = test!();
    let name = unique_name();
    let (_queue, _remove) = made(&format!("posix-mq:/{name}?capacity=3&message-size=100"));
    let queue = mq::Queue::open(&format!("/{name}"), mq::Access::Read).unwrap();
    assert_eq!(queue.status().unwrap().limits, mq::Limits { max_messages: 3, message_size: 100 });

    let (_semaphore, _remove) = made(&format!("posix-sem:/{name}?value=5"));
    assert_eq!(posix_sem::Semaphore::open(&format!("/{name}")).unwrap().value().unwrap(), 5);
    assert_eq!(permissions(format!("/dev/shm/sem.{name}")), 0o600);

    let (_memory, _remove) = made(&format!("posix-shm:/{name}?size=10k"));
    let memory = posix_shm::SharedMemory::open(&format!("/{name}"), posix_shm::Access::ReadOnly).unwrap();
    assert_eq!(memory.size().unwrap(), 10_240);
}

#[test]
fn half_of_a_queues_limits_may_be_given() {
    let _test = test!();
    let name = unique_name();
    let (_queue, _remove) = made(&format!("posix-mq:/{name}?capacity=2"));
    let queue = mq::Queue::open(&format!("/{name}"), mq::Access::Read).unwrap();
    let limits = queue.status().unwrap().limits;
    assert_eq!(limits.max_messages, 2);
    let default = fs::read_to_string("/proc/sys/fs/mqueue/msgsize_default").unwrap();
    assert_eq!(limits.message_size, default.trim().parse::<usize>().unwrap());
}

#[test]
fn what_exists_is_left_alone() {
    let _test = test!();
    let (scratch, name, key) = (scratch(), unique_name(), unique_key());
    let path = scratch.path().join("object");
    for text in [
        format!("fifo:{}", path.display()),
        format!("file:{}", path.display()),
        format!("lock:{}", path.display()),
        format!("mmap:{}?size=1", path.display()),
        format!("sysv-msg:{key}?capacity=100"),
        format!("sysv-sem:{key}"),
        format!("sysv-shm:{key}?size=1"),
        format!("posix-mq:/{name}"),
        format!("posix-sem:/{name}"),
        format!("posix-shm:/{name}?size=1"),
    ] {
        let (made, remove) = made(&text);
        let error = refused(&text);
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{text}: {error}");
        assert!(error.to_string().contains("; "), "says what to do: {error}");
        assert!(find(made.address()).unwrap() == *made.found(), "{text} is still the same");
        drop(remove);
    }
}

#[test]
fn a_dangling_symbolic_link_is_something_too() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("link");
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    for text in ["fifo:PATH", "file:PATH", "lock:PATH", "mmap:PATH?size=1"] {
        let error = refused(&text.replace("PATH", path.to_str().unwrap()));
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{text}: {error}");
        assert!(error.to_string().contains("; "), "says what to do: {error}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn a_queue_that_cannot_have_its_capacity_is_not_left_behind() {
    let test = test!();
    test.role("make", |peer| {
        let error = make(&address(&peer.arg(0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
        assert_eq!(error.limit().unwrap().name, "kernel.msgmnb");
        assert_eq!(error.limit().unwrap().needed, Some(1 << 30));
    });
    let key = unique_key();
    let child = test.child("make").arg(format!("sysv-msg:{key}?capacity=1G"));
    // Root may exceed the limit where it has all capabilities.
    let child = if root().is_ok() { child.as_nobody() } else { child };
    child.spawn().succeed();
    assert_eq!(find(&address(&format!("sysv-msg:{key}"))).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_full_file_system_leaves_no_name() {
    let test = test!();
    test.role("make", |_| {
        let mount = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"];
        assert!(std::process::Command::new("mount").args(mount).status().unwrap().success());
        for text in ["posix-shm:/large?size=1M", "mmap:/dev/shm/large?size=1M"] {
            let error = make(&address(text)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        }
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
    });
    match twixt_testkit::namespaces() {
        Ok(words) => test.child("make").under(&words).spawn().succeed(),
        Err(missing) => test.skip(&missing),
    }
}

/// The kind, and a part of the message.
#[test]
fn what_cannot_be_made_is_said() {
    let _test = test!();
    use ErrorKind::{InvalidInput, LimitReached, NotFound, OutOfRange};
    for (text, kind, part) in [
        ("pipe:", InvalidInput, "cannot make pipe: an anonymous pipe has no name"),
        ("exec:cat", InvalidInput, "cannot make exec:cat: a command is run"),
        ("fd:3", InvalidInput, "a descriptor comes from"),
        ("-", InvalidInput, "cannot make -: standard input and output"),
        ("tcp:localhost:80", InvalidInput, "exists only while a process has it open"),
        ("udp:localhost:80", InvalidInput, "exists only while a process has it open"),
        ("raw:icmp@localhost", InvalidInput, "exists only while a process has it open"),
        ("unix:/tmp/none.sock", InvalidInput, "made by the process that serves it"),
        ("unix-dgram:@none", InvalidInput, "exists only while a process has the socket open"),
        ("signal:1", InvalidInput, "signals go to a process"),
        ("eventfd:", InvalidInput, "posix-sem:/name is a counter with a name"),
        ("memfd:", InvalidInput, "posix-shm:/name is memory with a name"),
        ("topic:x?history=3", InvalidInput, "option history says nothing about an object that is made"),
        ("topic:x?capacity=1k&budget=1k", InvalidInput, "capacity and budget exclude each other"),
        (
            "queue:x?timeout=1s",
            InvalidInput,
            "what can be said is mode, capacity, budget, retries, visibility",
        ),
        ("rpc:x?timeout=1s", InvalidInput, "what can be said is mode, capacity"),
        ("mmap:/tmp/none", InvalidInput, "its size is missing; give size"),
        ("sysv-shm:private", InvalidInput, "its size is missing"),
        ("posix-shm:/none", InvalidInput, "its size is missing"),
        ("fifo:/tmp/none?capacity=4k", InvalidInput, "only while a process has it open"),
        ("fifo:/tmp/none?timeout=2s", InvalidInput, "option timeout says nothing"),
        ("sysv-msg:private?type=3", InvalidInput, "option type says nothing"),
        ("posix-mq:/none?prio=3", InvalidInput, "what can be said is mode, capacity, message-size"),
        ("sysv-msg:private?capacity=0", OutOfRange, "would let no message through"),
        ("posix-mq:/none?capacity=0", OutOfRange, "fs.mqueue.msg_max the most"),
        ("posix-mq:/none?capacity=1G", LimitReached, "fs.mqueue.msg_max"),
        ("posix-mq:/none?message-size=1G", LimitReached, "fs.mqueue.msgsize_max"),
        ("sysv-sem:private?count=65536", LimitReached, "kernel.sem"),
        ("sysv-msg:id=0", InvalidInput, "the kernel chooses the number"),
        ("sysv-sem:77/1", InvalidInput, "/1 is one semaphore of a set"),
        ("sysv-msg:ftok=/nowhere,1", NotFound, "/nowhere"),
        ("posix-shm:/sem.turn?size=32", InvalidInput, "the semaphore is posix-sem:/turn"),
        (
            "fifo:/nowhere/none",
            NotFound,
            "cannot create FIFO /nowhere/none: no such file or directory (ENOENT)",
        ),
        ("file:/nowhere/none", NotFound, "cannot create file /nowhere/none"),
    ] {
        let error = refused(text);
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.to_string().contains("; "), "says what to do: {error}");
    }
}

#[test]
fn a_plan_makes_nothing() {
    let _test = test!();
    let name = unique_name();
    let plan = Plan::new(&address(&format!("posix-sem:/{name}?value=1"))).unwrap();
    assert_eq!(find(plan.address()).unwrap_err().kind(), ErrorKind::NotFound);
    let made = plan.make().unwrap();
    assert_eq!(plan.make().unwrap_err().kind(), ErrorKind::AlreadyExists);
    made.undo().unwrap();
    assert_eq!(find(plan.address()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn options_that_no_address_could_have_are_refused_with_the_rest() {
    let _test = test!();
    let options = twixt_address::Options::new().with_size(10).unwrap();
    let error = Plan::with_options(address("posix-sem:/x").endpoint().clone(), options.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("cannot make posix-sem:/x: option size does not apply"), "{error}");
    // What the address is about comes first.
    let error = Plan::with_options(address("tcp:localhost:80").endpoint().clone(), options).unwrap_err();
    assert!(error.to_string().contains("Internet socket"), "{error}");
}

#[test]
fn without_leave_nothing_is_made() {
    let test = test!();
    test.role("make", |peer| {
        for scheme in ["fifo", "file", "lock", "mmap"] {
            let size = if scheme == "mmap" { "?size=1" } else { "" };
            let error = make(&address(&format!("{scheme}:{}/x{size}", peer.arg(0)))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert!(error.to_string().contains("; "), "says what to do: {error}");
        }
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    test.child("make").arg(scratch.path().display()).as_nobody().spawn().succeed();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}
