//! Locks between processes: who gets them, who waits, and what becomes of them.

#[path = "support/outcome.rs"]
mod support;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use support::{error, kind, later, past, soon};
use twixt_os::inherit::inherited;
use twixt_os::lock::{File, Kind, LockFile};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::strace::ROUNDS;
use twixt_testkit::{Child, Storm, Test, call, command, root, scratch, strace, test, under_storm};

/// Holds a lock until it is told to go.
fn play_holder(test: &Test) {
    test.role("holder", |peer| {
        let wanted = if peer.arg(1) == "shared" { Kind::Shared } else { Kind::Exclusive };
        let mut file = File::open_or_create(peer.arg(0)).unwrap();
        let lock = file.lock(wanted).unwrap();
        peer.say("locked");
        peer.hear();
        drop(lock);
        peer.say("released");
        peer.hear();
    });
}

fn holder(test: &Test, path: &Path, kind: &str) -> Child {
    let mut child = test.child("holder").arg(path.display()).arg(kind).spawn();
    child.expect("locked");
    child
}

#[test]
fn what_excludes_what() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut file = File::create(&path).unwrap();
    for (theirs, ours, compatible) in [
        ("shared", Kind::Shared, true),
        ("shared", Kind::Exclusive, false),
        ("exclusive", Kind::Shared, false),
        ("exclusive", Kind::Exclusive, false),
    ] {
        let mut child = holder(&test, &path, theirs);
        let outcome = file.try_lock(ours);
        if compatible {
            assert_eq!(outcome.unwrap().kind(), ours);
        } else {
            assert_eq!(kind(outcome), ErrorKind::WouldBlock, "{theirs} {ours:?}");
            assert_eq!(kind(file.lock_deadline(ours, past())), ErrorKind::TimedOut);
            assert_eq!(kind(file.lock_deadline(ours, soon())), ErrorKind::TimedOut);
        }
        child.tell("go");
        child.expect("released");
        file.try_lock(ours).unwrap().unlock().unwrap();
        child.succeed();
    }
}

#[test]
fn a_killed_holder_holds_nothing() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("lock");
    let child = holder(&test, &path, "exclusive");
    let mut file = File::open(&path).unwrap();
    assert_eq!(kind(file.try_lock(Kind::Exclusive)), ErrorKind::WouldBlock);
    child.kill();
    let _lock = file.try_lock(Kind::Exclusive).unwrap();
}

/// Waits for a lock in one of its forms, and says what came of it.
fn play_waiter(test: &Test) {
    test.role("waiter", |peer| {
        let (path, form) = (peer.arg(0), peer.arg(1));
        let (mut file, ranges) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        // What is to be upgraded it has already, as the test does.
        let mut range = ranges.lock_range(Kind::Shared, 5..9).unwrap();
        let mut wait = || match form.as_str() {
            "lock" => file.lock(Kind::Exclusive).map(drop),
            "lock_deadline" => file.lock_deadline(Kind::Exclusive, later()).map(drop),
            "lock_interruptible" => file.lock_interruptible(Kind::Exclusive).map(drop),
            "upgrade" => file.lock(Kind::Shared).unwrap().upgrade().map(drop),
            "upgrade_deadline" => file.lock(Kind::Shared).unwrap().upgrade_deadline(later()).map(drop),
            "upgrade_interruptible" => file.lock(Kind::Shared).unwrap().upgrade_interruptible().map(drop),
            "range" => file.lock_range(Kind::Exclusive, 3..5).map(drop),
            "range_deadline" => file.lock_range_deadline(Kind::Exclusive, 3..5, later()).map(drop),
            "range_interruptible" => file.lock_range_interruptible(Kind::Exclusive, 3..5).map(drop),
            "range_upgrade" => range.upgrade(),
            "range_upgrade_deadline" => range.upgrade_deadline(later()),
            "range_upgrade_interruptible" => range.upgrade_interruptible(),
            "path" => LockFile::acquire(&path, Kind::Exclusive).map(drop),
            "path_deadline" => LockFile::acquire_deadline(&path, Kind::Exclusive, later()).map(drop),
            "path_interruptible" => LockFile::acquire_interruptible(&path, Kind::Exclusive).map(drop),
            other => panic!("{other}"),
        };
        let outcome = match peer.arg(2).as_str() {
            "storm" => under_storm(peer, wait),
            _ => wait(),
        };
        peer.say(&outcome.map_or_else(|error| format!("{:?}", error.kind()), |()| "got it".to_owned()));
    });
}

const WAITING: &[i64] = &[call::FLOCK, call::FCNTL, call::POLL, call::PPOLL];

#[test]
fn a_waiter_gets_it_also_through_a_storm() {
    let test = test!();
    play_waiter(&test);
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut file = File::create(&path).unwrap();
    for operation in ["lock", "upgrade", "range", "range_upgrade", "path"] {
        for form in [operation.to_owned(), format!("{operation}_deadline")] {
            for weather in ["calm", "storm"] {
                let lock = file.lock(Kind::Shared).unwrap();
                let range = lock.file().lock_range(Kind::Shared, 3..6).unwrap();
                let mut child = test.child("waiter").arg(path.display()).arg(&form).arg(weather).spawn();
                match weather {
                    "storm" => child.expect("stormed"),
                    _ => child.wait_until_blocked_in(WAITING),
                }
                drop(range);
                drop(lock);
                child.expect("got it");
                child.succeed();
            }
        }
    }
    let lock = file.lock(Kind::Shared).unwrap();
    let _range = lock.file().lock_range(Kind::Shared, 3..6).unwrap();
    for operation in ["lock", "upgrade", "range", "range_upgrade", "path"] {
        let form = format!("{operation}_interruptible");
        let mut child = test.child("waiter").arg(path.display()).arg(&form).arg("storm").spawn();
        let mut heard = [child.hear(), child.hear()];
        heard.sort();
        assert_eq!(heard, ["Interrupted", "stormed"], "{form}");
        child.succeed();
    }
}

#[test]
fn upgrading_a_shared_lock_may_lose_it() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut file = File::create(&path).unwrap();
    // Alone, in both directions.
    let lock = file.lock(Kind::Shared).unwrap().upgrade().unwrap();
    let mut child = test.child("holder").arg(path.display()).arg("shared").spawn();
    child.wait_until_blocked_in(&[call::FLOCK]);
    let lock = lock.downgrade().unwrap();
    child.expect("locked");
    // With another who shares it.
    assert_eq!(kind(lock.try_upgrade()), ErrorKind::WouldBlock);
    let shared = file.lock(Kind::Shared).unwrap();
    assert_eq!(kind(shared.upgrade_deadline(soon())), ErrorKind::TimedOut);
    let shared = file.lock(Kind::Shared).unwrap();
    let _storm = Storm::on_this_thread();
    assert_eq!(kind(shared.upgrade_interruptible()), ErrorKind::Interrupted);
    child.tell("go");
    child.expect("released");
    // All three attempts gave up what they had.
    assert_eq!(File::open(&path).unwrap().try_lock(Kind::Exclusive).unwrap().kind(), Kind::Exclusive);
    child.succeed();
}

#[test]
fn two_files_of_one_process_exclude_each_other_and_copies_do_not() {
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut first = File::create(&path).unwrap();
    let mut copy = File::from_fd(first.as_fd().try_clone_to_owned().unwrap());
    let mut second = File::open_read_only(&path).unwrap();
    let lock = first.lock(Kind::Exclusive).unwrap();
    assert_eq!(kind(second.try_lock(Kind::Shared)), ErrorKind::WouldBlock);
    drop(copy.try_lock(Kind::Exclusive).unwrap());
    // The copy's guard released the one lock that there was.
    drop(second.try_lock(Kind::Exclusive).unwrap());
    drop(lock);
}

#[test]
fn a_child_that_inherits_the_description_has_the_lock_too() {
    let test = test!();
    test.role("heir", |peer| {
        let _file = File::from_fd(inherited(90).unwrap());
        peer.say("here");
        peer.hear();
    });
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut file = File::create(&path).unwrap();
    let copy = file.as_fd().try_clone_to_owned().unwrap();
    let lock = file.lock(Kind::Exclusive).unwrap();
    let mut heir = test.child("heir").descriptor(copy, 90).spawn();
    heir.expect("here");
    std::mem::forget(lock);
    drop(file);
    assert_eq!(kind(File::open(&path).unwrap().try_lock(Kind::Shared)), ErrorKind::WouldBlock);
    heir.kill();
    // Waiting: a process that another test is just starting has a copy too, until it executes its program.
    File::open(&path).unwrap().lock(Kind::Exclusive).unwrap().unlock().unwrap();
    // A guard releases it for all who share the description.
    let mut file = File::open(&path).unwrap();
    let copy = file.as_fd().try_clone_to_owned().unwrap();
    let lock = file.lock(Kind::Exclusive).unwrap();
    let mut heir = test.child("heir").descriptor(copy, 90).spawn();
    heir.expect("here");
    drop(lock);
    drop(File::open(&path).unwrap().try_lock(Kind::Exclusive).unwrap());
    heir.succeed();
}

#[test]
fn lock_files_are_made_with_care() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    let lock = LockFile::acquire(at("lock"), Kind::Exclusive).unwrap();
    assert_eq!(fs::metadata(at("lock")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(rustix::io::fcntl_getfd(&lock).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!((lock.path(), lock.kind()), (at("lock").as_path(), Kind::Exclusive));
    drop(lock);
    assert!(at("lock").exists());
    std::os::unix::fs::symlink(at("lock"), at("link")).unwrap();
    assert_eq!(kind(LockFile::acquire(at("link"), Kind::Shared)), ErrorKind::PermissionDenied);
    assert_eq!(kind(File::open_or_create(at("link"))), ErrorKind::PermissionDenied);
    assert_eq!(kind(File::create(at("lock"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(File::open(at("nothing"))), ErrorKind::NotFound);
    assert_eq!(kind(LockFile::try_acquire(at("no/where"), Kind::Shared)), ErrorKind::NotFound);
    assert_eq!(kind(LockFile::try_acquire(directory.path(), Kind::Shared)), ErrorKind::InvalidInput);
    std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert_eq!(kind(LockFile::try_acquire(at("fifo"), Kind::Shared)), ErrorKind::InvalidInput);
}

#[test]
fn a_lock_file_knows_all_forms() {
    let directory = scratch();
    let path = directory.path().join("lock");
    let held = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    let refused = error(LockFile::try_acquire(&path, Kind::Shared));
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    let text = refused.to_string();
    assert!(text.starts_with(&format!("cannot take lock {}: ", path.display())), "{text}");
    assert_eq!(kind(LockFile::acquire_deadline(&path, Kind::Shared, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(LockFile::acquire_deadline(&path, Kind::Shared, past())), ErrorKind::TimedOut);
    assert_eq!(kind(LockFile::acquire_wait(&path, Kind::Shared, Wait::never())), ErrorKind::WouldBlock);
    drop(held);
    let first = LockFile::acquire_deadline(&path, Kind::Shared, past()).unwrap();
    let second = LockFile::acquire_interruptible(&path, Kind::Shared).unwrap();
    assert_eq!(kind(first.remove()), ErrorKind::InvalidInput);
    drop(second);
    let alone = LockFile::try_acquire(&path, Kind::Exclusive).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"another").unwrap();
    assert_eq!(kind(alone.remove()), ErrorKind::NotFound);
    assert!(path.exists(), "another file of that name is left alone");
}

#[test]
fn removing_lets_no_two_believe_that_they_hold_it() {
    let test = test!();
    test.role("worker", |peer| {
        let directory = peer.arg(0);
        let (path, inside) = (format!("{directory}/lock"), format!("{directory}/inside"));
        for _ in 0..200 {
            let lock = LockFile::acquire(&path, Kind::Exclusive).unwrap();
            // Made by the one who is inside: if it exists, there are two.
            fs::File::create_new(&inside).expect("alone");
            fs::remove_file(&inside).unwrap();
            lock.remove().unwrap();
        }
    });
    let directory = scratch();
    let workers: Vec<_> =
        (0..4).map(|_| test.child("worker").arg(directory.path().display()).spawn()).collect();
    workers.into_iter().for_each(|worker| worker.succeed());
}

#[test]
fn a_waiter_notices_that_the_file_was_replaced() {
    let test = test!();
    play_waiter(&test);
    let directory = scratch();
    let path = directory.path().join("lock");
    let old = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    let mut child = test.child("waiter").arg(path.display()).arg("path").arg("calm").spawn();
    child.wait_until_blocked_in(&[call::FLOCK]);
    let inode = fs::metadata(&path).unwrap().ino();
    fs::remove_file(&path).unwrap();
    let new = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), inode);
    drop(old);
    // It has the old file's lock now, and must go on to wait for the new one's.
    let found = || twixt_os::lock::holders(&path).unwrap().waiters;
    let end = Deadline::after(std::time::Duration::from_secs(80));
    while found().iter().all(|waiter| waiter.pid != Some(child.pid())) {
        assert!(!end.has_passed(), "the waiter never came to wait for the new file");
        std::thread::yield_now();
    }
    drop(new);
    child.expect("got it");
    child.succeed();
}

#[test]
fn a_counter_is_exact_under_the_lock() {
    let test = test!();
    test.role("worker", |peer| {
        let mut file = File::open(peer.arg(0)).unwrap();
        for round in 0..500 {
            let lock = match round % 3 {
                0 => file.lock(Kind::Exclusive),
                1 => file.lock_deadline(Kind::Exclusive, later()),
                _ => file.lock_interruptible(Kind::Exclusive),
            };
            let lock = lock.unwrap();
            let mut number = [0; 8];
            rustix::io::pread(lock.file(), &mut number, 0).unwrap();
            let next = u64::from_ne_bytes(number) + 1;
            rustix::io::pwrite(lock.file(), &next.to_ne_bytes(), 0).unwrap();
        }
    });
    let directory = scratch();
    let path = directory.path().join("counter");
    drop(File::create(&path).unwrap());
    let workers: Vec<_> = (0..4).map(|_| test.child("worker").arg(path.display()).spawn()).collect();
    workers.into_iter().for_each(|worker| worker.succeed());
    let number = fs::read(&path).unwrap().try_into().unwrap();
    assert_eq!(u64::from_ne_bytes(number), 2000);
}

#[test]
fn the_shell_command_flock_takes_part() {
    let test = test!();
    if let Err(missing) = command("flock") {
        return test.skip(&missing);
    }
    let directory = scratch();
    let path = directory.path().join("lock");
    let flock = |options: &[&str], work: &str| {
        let mut command = std::process::Command::new("flock");
        command.args(options).arg(&path).args(["sh", "-c", work]);
        command
    };
    let lock = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    assert_eq!(flock(&["-n", "-E", "75"], "true").status().unwrap().code(), Some(75));
    drop(lock);
    let shared = LockFile::acquire(&path, Kind::Shared).unwrap();
    assert_eq!(flock(&["-n", "-E", "75"], "true").status().unwrap().code(), Some(75));
    assert!(flock(&["-n", "-s"], "true").status().unwrap().success());
    drop(shared);
    let mut child = Child::start(flock(&["-x"], "echo locked; read line"));
    assert_eq!(child.line().unwrap(), "locked");
    assert_eq!(kind(LockFile::try_acquire(&path, Kind::Shared)), ErrorKind::WouldBlock);
    child.tell("go");
    let _lock = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    child.succeed();
}

#[test]
fn another_user_can_lock_what_it_can_read() {
    let test = test!();
    test.role("other", |peer| {
        let path = peer.arg(0);
        assert_eq!(kind(LockFile::try_acquire(&path, Kind::Exclusive)), ErrorKind::PermissionDenied);
        peer.say("refused");
        peer.wait_for("opened");
        let lock = LockFile::try_acquire(&path, Kind::Exclusive).unwrap();
        let lock_of = twixt_os::lock::holders(&path).unwrap();
        assert_eq!(lock_of.holders.len(), 1);
        assert!(lock_of.unreadable > 0, "root's processes");
        // Nothing can be written to it, nor removed.
        assert_eq!(kind(lock.remove()), ErrorKind::PermissionDenied);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("lock");
    drop(LockFile::acquire(&path, Kind::Exclusive).unwrap());
    let mut child = test.child("other").arg(path.display()).as_nobody().spawn();
    child.expect("refused");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    child.tell("opened");
    child.succeed();
}

#[test]
fn a_lock_costs_one_system_call_and_so_does_its_release() {
    let test = test!();
    test.role("worker", |peer| {
        let rounds: u64 = peer.arg(1).parse().unwrap();
        let mut file = File::open_or_create(peer.arg(0)).unwrap();
        for _ in 0..rounds {
            drop(file.lock(Kind::Exclusive).unwrap());
            drop(file.try_lock(Kind::Shared).unwrap());
            drop(file.lock_deadline(Kind::Shared, later()).unwrap());
            drop(file.lock_range(Kind::Exclusive, 0..10).unwrap());
            drop(file.lock_range_deadline(Kind::Shared, 10.., later()).unwrap());
        }
    });
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut file = File::create(&path).unwrap();
    let mut other = File::open(&path).unwrap();
    // What is remembered of ranges is allocated once.
    drop(file.lock_range(Kind::Exclusive, ..).unwrap());
    let measured = allocation_counter::measure(|| {
        let lock = file.lock(Kind::Exclusive).unwrap();
        assert!(other.try_lock(Kind::Exclusive).is_err());
        drop(lock);
        drop(file.try_lock_range(Kind::Shared, 3..).unwrap());
    });
    assert_eq!(measured.count_total, 0);
    match strace::cost(|rounds| test.child("worker").arg(path.display()).arg(rounds)) {
        Ok(cost) => assert_eq!(cost, strace::expected(&[("flock", 600), ("fcntl", 400)])),
        Err(missing) => test.skip(&missing),
    }
}

/// To open it and see what it is; the lock; whether path and file are still the same; to unlock and close.
#[test]
fn a_lock_file_costs_a_look_before_and_after() {
    let test = test!();
    test.role("worker", |peer| {
        let path = peer.arg(0);
        for _ in 0..peer.arg(1).parse::<u64>().unwrap() {
            drop(LockFile::acquire(&path, Kind::Exclusive).unwrap());
            drop(LockFile::acquire_deadline(&path, Kind::Shared, later()).unwrap());
        }
    });
    let directory = scratch();
    let path = directory.path().join("lock");
    drop(File::create(&path).unwrap());
    match strace::cost(|rounds| test.child("worker").arg(path.display()).arg(rounds)) {
        Ok(mut cost) => {
            // Which calls open and look differs between machines.
            let opened: u64 = ["open", "openat"].into_iter().filter_map(|name| cost.remove(name)).sum();
            let looks = ["fstat", "newfstatat", "fstatat64", "statx", "stat", "lstat"];
            let looked: u64 = looks.into_iter().filter_map(|name| cost.remove(name)).sum();
            assert_eq!((opened, looked), (2 * ROUNDS, 6 * ROUNDS));
            // In its debugging form the standard library looks whether what it closes is open.
            let closed = if cfg!(debug_assertions) { &["close", "fcntl"][..] } else { &["close"] };
            for call in closed {
                assert_eq!(cost.remove(*call), Some(2 * ROUNDS));
            }
            assert_eq!(cost, strace::expected(&[("flock", 4 * ROUNDS)]));
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn descriptors_come_and_go() {
    let directory = scratch();
    let path = directory.path().join("lock");
    let file = File::create(&path).unwrap();
    let fd = OwnedFd::from(file);
    let mut file = File::from(fd);
    let lock = file.lock(Kind::Shared).unwrap();
    assert_eq!(lock.file().as_fd().try_clone_to_owned().map(drop).ok(), Some(()));
}
