//! Paths of Unix sockets whose servers have died: taking them over, and cleaning up.

#[path = "support/paths.rs"]
mod paths;
#[path = "support/sockets.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use paths::{at, mode, names, stale, taking_over};
use support::{kind, later, name, soon};
use twixt_os::unix::{Address, BindOptions, Datagram, SeqpacketListener, Stream, StreamListener};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};
use twixt_testkit::{call, command, root, scratch, test, under_storm};

#[test]
fn a_stale_path_is_taken_over() {
    let test = test!();
    test.role("server", |peer| {
        let _listener = StreamListener::bind(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("listening");
        peer.hear();
    });
    let scratch = scratch();
    let path = scratch.path().join("s");
    let mut server = test.child("server").arg(path.display()).spawn();
    server.expect("listening");
    let error = taking_over().listen::<Stream>(&at(&path)).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::AlreadyExists, Some(Errno::ADDRINUSE)));
    assert!(error.advice().unwrap().contains("alive"), "{error}");
    server.kill();
    let inode = fs::symlink_metadata(&path).unwrap().ino();
    let listener = taking_over().mode(mode(0o640)).listen::<Stream>(&at(&path)).unwrap();
    let file = fs::symlink_metadata(&path).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o640);
    Stream::connect(&at(&path)).unwrap();
    listener.accept().unwrap();
    assert_eq!(names(scratch.path()), ["s"], "neither the lock nor the moved file is left ({inode})");
    // And where there is nothing to take over, it just binds.
    let _fresh = taking_over().listen::<Stream>(&at(&scratch.path().join("t"))).unwrap();
    assert_eq!(names(scratch.path()), ["s", "t"]);
}

#[test]
fn a_stale_path_of_the_greatest_length_is_taken_over() {
    let test = test!();
    let stale = stale(&test);
    let scratch = scratch();
    // The name beside it, under which it is probed again, is longer than an address may be.
    let deep = scratch.path().join("d".repeat(107 - scratch.path().as_os_str().len() - 3));
    fs::create_dir(&deep).unwrap();
    let path = deep.join("s");
    assert_eq!(path.as_os_str().len(), 107);
    stale(&path);
    let _listener = taking_over().listen::<Stream>(&at(&path)).unwrap();
    assert_eq!(names(&deep), ["s"]);
}

#[test]
fn what_lives_is_never_taken_over() {
    let _test = test!();
    let scratch = scratch();
    let path = |name: &str| scratch.path().join(name);
    let refused = |path: &Path| {
        let inode = fs::symlink_metadata(path).unwrap().ino();
        let error = taking_over().listen::<Stream>(&at(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert_eq!(fs::symlink_metadata(path).unwrap().ino(), inode);
        assert_eq!(kind(taking_over().datagram(&at(path))), ErrorKind::AlreadyExists);
    };
    // A server whose backlog is full; one of another type; a datagram socket that talks to one peer only.
    let busy = BindOptions::new().backlog(0).listen::<Stream>(&at(&path("busy"))).unwrap();
    let _waiting = Stream::connect(&at(&path("busy"))).unwrap();
    refused(&path("busy"));
    let packets = SeqpacketListener::bind(&at(&path("packets"))).unwrap();
    refused(&path("packets"));
    let datagram = Datagram::bind(&at(&path("datagram"))).unwrap();
    refused(&path("datagram"));
    let _peer = Datagram::bind(&at(&path("peer"))).unwrap();
    datagram.connect(&at(&path("peer"))).unwrap();
    refused(&path("datagram"));
    // The probes have left no connection behind.
    busy.accept().unwrap();
    assert_eq!(kind(busy.try_accept()), ErrorKind::WouldBlock);
    assert_eq!(kind(packets.try_accept()), ErrorKind::WouldBlock);
    // A socket that is bound but does not listen yet: connecting to it is refused as to a stale one.
    let early = Command::new("python3")
        .args(["-c", "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\nprint('bound',flush=True)\nsys.stdin.read()"])
        .arg(path("early"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    if let Ok(mut early) = early {
        let mut line = [0; 6];
        std::io::Read::read_exact(early.stdout.as_mut().unwrap(), &mut line).unwrap();
        assert_eq!(kind(Stream::connect(&at(&path("early")))), ErrorKind::NoPeer);
        refused(&path("early"));
        drop(early.stdin.take());
        early.wait().unwrap();
        taking_over().listen::<Stream>(&at(&path("early"))).unwrap();
    }
}

#[test]
fn a_server_that_comes_between_probe_and_removal_is_put_back() {
    let test = test!();
    let stale = stale(&test);
    test.role("taker", |peer| {
        let outcome = taking_over().listen::<Stream>(&peer.arg(0).parse().unwrap());
        peer.say(&format!("{:?}", kind(outcome)));
    });
    test.role("server", |peer| {
        fs::remove_file(peer.arg(0)).unwrap();
        let listener = StreamListener::bind(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("listening");
        listener.accept_deadline(later()).unwrap();
        peer.say("accepted");
    });
    if let Err(missing) = command("strace") {
        return test.skip(&missing);
    }
    let (scratch, logs) = (scratch(), twixt_testkit::scratch());
    let path = scratch.path().join("s");
    stale(&path);
    let log = logs.path().join("log");
    // Holds the taker up where it has found the path stale and is about to move it aside.
    let words = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=connect,renameat2",
        "-e",
        "inject=renameat2:delay_enter=1000000:when=1",
        "-o",
        log.to_str().unwrap(),
    ];
    let mut taker = test.child("taker").under(&words).arg(path.display()).spawn();
    let found_stale = || fs::read_to_string(&log).unwrap_or_default().contains("ECONNREFUSED");
    let end = later();
    while !found_stale() {
        if end.has_passed() || fs::read_to_string(&log).is_ok_and(|log| log.contains("exited")) {
            return test.skip(&twixt_testkit::Missing("permission to trace a process (ptrace)".into()));
        }
        std::thread::yield_now();
    }
    let mut server = test.child("server").arg(path.display()).spawn();
    server.expect("listening");
    taker.expect("AlreadyExists");
    taker.succeed();
    assert_eq!(names(scratch.path()), ["s"]);
    Stream::connect(&at(&path)).unwrap();
    server.expect("accepted");
    server.succeed();
}

#[test]
fn files_of_other_types_are_never_touched() {
    let test = test!();
    let stale = stale(&test);
    let scratch = scratch();
    let target = scratch.path().join("target");
    stale(&target);
    fs::write(scratch.path().join("file"), "precious").unwrap();
    fs::create_dir(scratch.path().join("directory")).unwrap();
    std::os::unix::fs::symlink(&target, scratch.path().join("link")).unwrap();
    let before = names(scratch.path());
    for name in ["file", "directory", "link"] {
        let error = taking_over().listen::<Stream>(&at(&scratch.path().join(name))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("not a socket"), "{error}");
    }
    assert_eq!(names(scratch.path()), before);
    assert_eq!(fs::read_to_string(scratch.path().join("file")).unwrap(), "precious");
}

#[test]
fn of_many_that_take_over_one_wins() {
    let test = test!();
    let stale = stale(&test);
    test.role("contender", |peer| {
        let address: Address = peer.arg(0).parse().unwrap();
        peer.say("ready");
        peer.wait_for("go");
        match taking_over().listen::<Stream>(&address) {
            Ok(_listener) => {
                peer.say("won");
                peer.wait_for("end");
            }
            Err(error) => {
                peer.say(&format!("{:?}", error.kind()));
                peer.wait_for("end");
            }
        }
    });
    let scratch = scratch();
    for round in 0..5 {
        let path = scratch.path().join("s");
        if round == 0 {
            stale(&path);
        }
        // The winner of the round before left it stale.
        let mut contenders: Vec<_> =
            (0..6).map(|_| test.child("contender").arg(path.display()).spawn()).collect();
        contenders.iter_mut().for_each(|contender| contender.expect("ready"));
        contenders.iter_mut().for_each(|contender| contender.tell("go"));
        let mut said: Vec<_> = contenders.iter_mut().map(|contender| contender.hear()).collect();
        said.sort();
        assert_eq!(said[..5], ["AlreadyExists"; 5]);
        assert_eq!(said[5], "won");
        Stream::connect(&at(&path)).unwrap();
        assert_eq!(names(scratch.path()), ["s"]);
        for mut contender in contenders {
            contender.tell("end");
            contender.succeed();
        }
    }
}

#[test]
fn the_lock_is_waited_for() {
    let test = test!();
    let stale = stale(&test);
    test.role("bind", |peer| {
        let wait = Wait::until(later());
        let options = BindOptions::new().take_over_stale(wait);
        let _listener = options.listen::<Stream>(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("bound");
    });
    let scratch = scratch();
    let path = scratch.path().join("s");
    stale(&path);
    let lock = fs::File::create(scratch.path().join("s.lock")).unwrap();
    lock.lock().unwrap();
    let outcome = |wait| kind(BindOptions::new().take_over_stale(wait).listen::<Stream>(&at(&path)));
    assert_eq!(outcome(Wait::never()), ErrorKind::WouldBlock);
    assert_eq!(outcome(Wait::until(Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(outcome(Wait::until(soon())), ErrorKind::TimedOut);
    let mut child = test.child("bind").arg(path.display()).spawn();
    child.wait_until_blocked_in(call::POLLING);
    drop(lock);
    child.expect("bound");
    child.succeed();
    assert_eq!(names(scratch.path()), ["s", "s.lock"], "somebody else's lock file is left");
}

#[test]
fn signals_do_not_end_the_wait_for_the_lock_unless_they_shall() {
    let test = test!();
    test.role("bind", |peer| {
        let wait = match peer.arg(1).as_str() {
            "block" => Wait::forever(),
            "deadline" => Wait::until(later()),
            _ => Wait::forever().interruptible(),
        };
        let options = BindOptions::new().take_over_stale(wait);
        let bound = under_storm(peer, || options.listen::<Stream>(&peer.arg(0).parse().unwrap()));
        peer.say(&match bound {
            Ok(_) => "bound".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        });
    });
    for form in ["block", "deadline", "interruptible"] {
        let scratch = scratch();
        let path = scratch.path().join("s");
        let lock = fs::File::create(scratch.path().join("s.lock")).unwrap();
        lock.lock().unwrap();
        let mut child = test.child("bind").arg(path.display()).arg(form).spawn();
        let mut said = [child.hear(), String::new()];
        if form == "interruptible" {
            said[1] = child.hear();
            said.sort();
            assert_eq!(said, ["Interrupted", "stormed"]);
        } else {
            assert_eq!(said[0], "stormed", "{form}");
            assert!(!path.exists());
            drop(lock);
            child.expect("bound");
        }
        child.succeed();
    }
}

#[test]
fn a_lock_whose_holder_was_killed_is_free_and_its_file_stays() {
    let test = test!();
    test.role("hold", |peer| {
        // As a process is that was killed between making the file and removing it.
        let lock = fs::File::create(peer.arg(0)).unwrap();
        lock.lock().unwrap();
        peer.say("locked");
        peer.hear();
    });
    let scratch = scratch();
    let mut child = test.child("hold").arg(scratch.path().join("s.lock").display()).spawn();
    child.expect("locked");
    child.kill();
    for _ in 0..2 {
        taking_over().listen::<Stream>(&at(&scratch.path().join("s"))).unwrap();
        assert_eq!(names(scratch.path()), ["s", "s.lock"]);
    }
}

#[test]
fn a_lock_that_is_a_symbolic_link_is_not_followed() {
    let _test = test!();
    let scratch = scratch();
    std::os::unix::fs::symlink(scratch.path().join("elsewhere"), scratch.path().join("s.lock")).unwrap();
    let outcome = taking_over().listen::<Stream>(&at(&scratch.path().join("s")));
    assert_eq!(kind(outcome), ErrorKind::PermissionDenied);
    assert_eq!(names(scratch.path()), ["s.lock"]);
}

#[test]
fn the_path_stays_unless_a_guard_was_asked_for() {
    let test = test!();
    let stale = stale(&test);
    let scratch = scratch();
    let path = scratch.path().join("s");
    stale(&path);
    let listener = taking_over().listen::<Stream>(&at(&path)).unwrap();
    let guard = listener.unlink_on_drop().unwrap();
    assert_eq!(guard.path(), path);
    guard.keep();
    assert!(path.exists());
    drop(listener.unlink_on_drop().unwrap());
    assert!(!path.exists());
    let socket = Datagram::bind(&at(&path)).unwrap();
    socket.unlink_on_drop().unwrap().remove().unwrap();
    assert!(!path.exists());
    let abstract_one = StreamListener::bind(&name()).unwrap();
    assert_eq!(kind(abstract_one.unlink_on_drop()), ErrorKind::InvalidInput);
    assert_eq!(kind(Datagram::unbound().unwrap().unlink_on_drop()), ErrorKind::InvalidInput);
}

#[test]
fn a_guard_removes_only_its_own_file() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("s");
    let first = StreamListener::bind(&at(&path)).unwrap();
    let (guard, again) = (first.unlink_on_drop().unwrap(), first.unlink_on_drop().unwrap());
    fs::remove_file(&path).unwrap();
    drop(first);
    // The file system may well give this one the inode number of the first.
    let second = StreamListener::bind(&at(&path)).unwrap();
    drop(guard);
    assert!(path.exists());
    assert_eq!(kind(again.remove()), ErrorKind::Removed);
    Stream::connect(&at(&path)).unwrap();
    let gone = second.unlink_on_drop().unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(kind(gone.remove()), ErrorKind::NotFound);
}

#[test]
fn a_guard_follows_no_change_of_directory() {
    let test = test!();
    test.role("server", |peer| {
        std::env::set_current_dir(peer.arg(0)).unwrap();
        let listener = StreamListener::bind(&Address::path("s").unwrap()).unwrap();
        let _guard = listener.unlink_on_drop().unwrap();
        std::env::set_current_dir("/").unwrap();
    });
    let scratch = scratch();
    test.child("server").arg(scratch.path().display()).spawn().succeed();
    assert_eq!(names(scratch.path()), [""; 0]);
}

#[test]
fn a_path_that_cannot_be_made_is_an_error_of_binding() {
    let test = test!();
    test.role("stranger", |peer| {
        let error = taking_over().listen::<Stream>(&peer.arg(0).parse().unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::PermissionDenied, "bind"), "{error}");
        assert!(error.advice().unwrap().contains("directory"), "{error}");
        assert!(!error.to_string().contains(".lock"), "{error}");
    });
    let scratch = scratch();
    let error = taking_over().listen::<Stream>(&at(&scratch.path().join("nowhere/s"))).unwrap_err();
    assert_eq!((error.errno(), error.operation()), (Some(Errno::NOENT), "bind"), "{error}");
    assert_eq!(error.advice(), Some("make its directory first"));
    assert!(!error.to_string().contains(".lock"), "{error}");
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    test.child("stranger").as_nobody().arg(scratch.path().join("s").display()).spawn().succeed();
}

#[test]
fn the_descriptor_limit_is_named() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use std::os::fd::AsRawFd;
    let test = test!();
    test.role("limited", |peer| {
        let address = peer.arg(0).parse().unwrap();
        let listener = StreamListener::bind(&address).unwrap();
        let next = fs::File::open("/").unwrap().as_raw_fd() as u64;
        let limited = |room| {
            let limit = Rlimit { current: Some(next + room), maximum: Some(1024) };
            setrlimit(Resource::Nofile, limit).unwrap();
        };
        // Room for the socket, and none for the lock.
        limited(1);
        let locked = taking_over().listen::<Stream>(&address).unwrap_err();
        limited(0);
        let guarded = listener.unlink_on_drop().unwrap_err();
        for error in [locked, guarded] {
            assert_eq!(error.errno(), Some(Errno::MFILE), "{error}");
            assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE", "{error}");
        }
    });
    let scratch = scratch();
    test.child("limited").arg(scratch.path().join("s").display()).spawn().succeed();
}
