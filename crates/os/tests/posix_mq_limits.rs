//! POSIX message queues: each limit that stands in the way is named.

use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twixt_os::posix::mq::{self, Access, Limits, Queue};
use twixt_os::{Errno, Error, ErrorKind, Mode};
use twixt_testkit::{Missing, defer, namespaces, test, unique_name};

fn name() -> String {
    format!("/{}", unique_name())
}

fn refused(limits: Limits) -> Error {
    let name = name();
    let _clean = defer(|| drop(mq::unlink(&name)));
    Queue::create(&name, Access::Read, limits, Mode::OWNER).unwrap_err()
}

fn lower(resource: Resource, to: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(to), maximum }).unwrap();
}

#[test]
fn the_bytes_of_a_users_queues() {
    let test = test!();
    test.role("poor", |peer| {
        let limits = Limits { max_messages: 4, message_size: 100 };
        // Exactly what the kernel counts is enough...
        lower(Resource::Msgqueue, peer.arg(1).parse().unwrap());
        let name = peer.arg(0);
        let _clean = defer(|| drop(mq::unlink(&name)));
        match Queue::create(&name, Access::Read, limits, Mode::OWNER) {
            Ok(_) => peer.say("created"),
            Err(error) => {
                assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::MFILE)));
                let limit = error.limit().unwrap();
                peer.say(&format!("{} {:?} {:?}", limit.name, limit.current, limit.needed));
            }
        }
    });
    let limits = Limits { max_messages: 4, message_size: 100 };
    let needed = limits.kernel_bytes();
    assert_eq!(needed, 784);
    // Other queues of the user count too: one who has none is needed.
    let alone = ["unshare", "--ipc", "--user", "--map-root-user", "--"];
    let works = Command::new(alone[0]).args(&alone[1..]).arg("true").stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return test.skip(&Missing("private user and IPC namespaces (unshare --user --ipc)".into()));
    }
    for (allowed, said) in [
        (needed - 1, format!("RLIMIT_MSGQUEUE Some({}) Some({needed})", needed - 1)),
        (needed, "created".to_owned()),
    ] {
        let mut child = test.child("poor").arg(name()).arg(allowed).under(&alone).spawn();
        child.expect(&said);
        child.succeed();
    }
}

#[test]
fn the_descriptors_of_the_process_are_told_from_the_bytes() {
    let test = test!();
    test.role("full", |_| {
        lower(Resource::Nofile, 3);
        let error = refused(Limits { max_messages: 1, message_size: 1 });
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current), ("RLIMIT_NOFILE", Some(3)));
    });
    test.child("full").spawn().succeed();
}

#[test]
fn the_number_and_size_of_messages() {
    let _test = test!();
    let error = refused(Limits { max_messages: 1_000_000, message_size: 8 });
    assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
    let limit = error.limit().unwrap();
    assert_eq!((limit.name, limit.needed), ("fs.mqueue.msg_max", Some(1_000_000)));
    assert!(limit.current.is_some());
    assert!(error.to_string().contains("fs.mqueue.msg_max is "), "{error}");

    let error = refused(Limits { max_messages: 1, message_size: 1 << 26 });
    assert_eq!(error.limit().unwrap().name, "fs.mqueue.msgsize_max");
    let error = refused(Limits { max_messages: usize::MAX, message_size: usize::MAX });
    assert_eq!(error.kind(), ErrorKind::LimitReached);

    for limits in [Limits { max_messages: 0, message_size: 8 }, Limits { max_messages: 1, message_size: 0 }] {
        let error = refused(limits);
        assert_eq!((error.kind(), error.limit()), (ErrorKind::InvalidInput, None));
        assert!(error.to_string().contains("at least one"), "{error}");
    }
}

#[test]
fn the_number_of_queues() {
    let test = test!();
    test.role("second", |peer| {
        if std::fs::write("/proc/sys/fs/mqueue/queues_max", "1").is_err() {
            return peer.say("fixed");
        }
        // Those who may pass the limit would.
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective.remove(rustix::thread::CapabilitySet::SYS_RESOURCE);
        rustix::thread::set_capabilities(None, sets).unwrap();
        let limits = Limits { max_messages: 1, message_size: 1 };
        Queue::create("/first", Access::Read, limits, Mode::OWNER).unwrap();
        let error = refused(limits);
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOSPC)));
        let limit = error.limit().unwrap();
        peer.say(&format!("{} {:?}", limit.name, limit.current));
    });
    let namespaces = match namespaces() {
        Ok(words) => words,
        Err(missing) => return test.skip(&missing),
    };
    let mut child = test.child("second").under(&namespaces).spawn();
    match child.hear().as_str() {
        "fixed" => test.skip(&Missing("a writable fs.mqueue.queues_max".into())),
        said => assert_eq!(said, "fs.mqueue.queues_max Some(1)"),
    }
    child.succeed();
}
