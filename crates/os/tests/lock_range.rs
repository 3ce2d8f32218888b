//! Locks on ranges of bytes, and who holds what.

#[path = "support/outcome.rs"]
mod support;

use std::fs;
use std::ops::Bound;
use std::os::fd::AsFd;

use support::{error, kind, later, past, soon};
use twixt_os::ErrorKind;
use twixt_os::inherit::{PassDescriptors, inherited};
use twixt_os::lock::{self, ByteRange, Class, Conflict, File, Holder, Kind, LockFile};
use twixt_testkit::{Child, Storm, Test, call, compile_c, scratch, test};

/// Locks a range from `from` to `to` (`-` is open) and keeps it until its input ends.
fn play_holder(test: &Test) {
    test.role("holder", |peer| {
        let bound = |index: usize| peer.arg(index).parse::<u64>().ok();
        let start = bound(1).map_or(Bound::Unbounded, Bound::Included);
        let end = bound(2).map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = if peer.arg(3) == "shared" { Kind::Shared } else { Kind::Exclusive };
        let file = File::open(peer.arg(0)).unwrap();
        let _lock = file.lock_range(wanted, (start, end)).unwrap();
        peer.say("locked");
        peer.hear();
    });
}

fn holder(test: &Test, path: &std::path::Path, range: [&str; 2], kind: &str) -> Child {
    let [from, to] = range;
    let mut child = test.child("holder").arg(path.display()).arg(from).arg(to).arg(kind).spawn();
    child.expect("locked");
    child
}

#[test]
fn ranges_exclude_where_they_overlap() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    let other = holder(&test, &path, ["10", "20"], "exclusive");
    for free in [0..10, 20..30] {
        drop(file.try_lock_range(Kind::Exclusive, free).unwrap());
    }
    drop(file.try_lock_range(Kind::Exclusive, 20..).unwrap());
    for taken in [9..11, 19..20, 0..100, 12..13] {
        assert_eq!(kind(file.try_lock_range(Kind::Shared, taken)), ErrorKind::WouldBlock);
    }
    assert_eq!(kind(file.try_lock_range(Kind::Shared, ..)), ErrorKind::WouldBlock);
    assert_eq!(kind(file.lock_range_deadline(Kind::Shared, 0.., past())), ErrorKind::TimedOut);
    assert_eq!(kind(file.lock_range_deadline(Kind::Shared, ..=10, soon())), ErrorKind::TimedOut);
    other.kill();
    drop(file.try_lock_range(Kind::Exclusive, ..).unwrap());
    let other = holder(&test, &path, ["10", "20"], "shared");
    drop(file.try_lock_range(Kind::Shared, ..).unwrap());
    assert_eq!(kind(file.try_lock_range(Kind::Exclusive, 19..)), ErrorKind::WouldBlock);
    other.succeed();
    // Whole-file locks are another family.
    let mut whole = File::open(&path).unwrap();
    let _whole = whole.lock(Kind::Exclusive).unwrap();
    drop(file.try_lock_range(Kind::Exclusive, ..).unwrap());
}

#[test]
fn a_range_to_the_end_grows_with_the_file() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    let other = holder(&test, &path, ["100", "-"], "exclusive");
    fs::write(&path, vec![0; 1000]).unwrap();
    assert_eq!(kind(file.try_lock_range(Kind::Shared, 999..1000)), ErrorKind::WouldBlock);
    assert_eq!(kind(file.try_lock_range(Kind::Shared, 1 << 62..=1 << 62)), ErrorKind::WouldBlock);
    drop(file.try_lock_range(Kind::Exclusive, ..100).unwrap());
    other.succeed();
}

#[test]
fn the_edges_of_ranges() {
    let directory = scratch();
    let file = File::create(directory.path().join("file")).unwrap();
    let last = i64::MAX as u64;
    let range = |start, end| ByteRange { start, end };
    let locked =
        |bounds: (Bound<u64>, Bound<u64>)| file.try_lock_range(Kind::Shared, bounds).map(|lock| lock.range());
    use Bound::{Excluded, Included, Unbounded};
    assert_eq!(locked((Unbounded, Unbounded)).unwrap(), ByteRange::ALL);
    assert_eq!(locked((Excluded(4), Included(4 + 1))).unwrap(), range(5, Some(6)));
    assert_eq!(locked((Included(7), Unbounded)).unwrap(), range(7, None));
    assert_eq!(locked((Included(0), Excluded(last))).unwrap(), range(0, Some(last)));
    // The largest offset is the end of all files.
    assert_eq!(locked((Included(last), Included(last))).unwrap(), range(last, None));
    assert_eq!(locked((Included(3), Excluded(last + 1))).unwrap(), range(3, None));
    for bounds in [
        (Included(5), Excluded(5)),
        (Included(5), Excluded(2)),
        (Unbounded, Excluded(0)),
        (Excluded(5), Excluded(6)),
    ] {
        assert_eq!(kind(locked(bounds)), ErrorKind::InvalidInput, "{bounds:?}");
    }
    for bounds in [
        (Included(last + 1), Unbounded),
        (Included(0), Included(last + 1)),
        (Excluded(u64::MAX), Unbounded),
        (Included(u64::MAX), Included(u64::MAX)),
    ] {
        assert_eq!(kind(locked(bounds)), ErrorKind::OutOfRange, "{bounds:?}");
    }
    assert_eq!(range(3, None).to_string(), "3..");
    assert_eq!(range(3, Some(9)).to_string(), "3..9");
}

#[test]
fn one_open_file_does_not_lock_bytes_twice() {
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    let first = file.lock_range(Kind::Exclusive, 0..10).unwrap();
    let second = file.lock_range(Kind::Exclusive, 10..20).unwrap();
    let refused = error(file.lock_range(Kind::Shared, 5..15));
    assert_eq!(refused.kind(), ErrorKind::Busy);
    // The other thread's way: an open file of its own, which waits like anybody.
    let own = File::open(&path).unwrap();
    assert_eq!(kind(own.try_lock_range(Kind::Shared, 5..15)), ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(kind(own.try_lock_range(Kind::Shared, 5..15)), ErrorKind::WouldBlock, "the second is held");
    drop(own.try_lock_range(Kind::Shared, 5..10).unwrap());
    drop(second);
    drop(own.try_lock_range(Kind::Shared, 5..15).unwrap());
    // A refused attempt leaves no trace.
    let _theirs = own.lock_range(Kind::Exclusive, 0..10).unwrap();
    assert_eq!(kind(file.try_lock_range(Kind::Shared, 5..15)), ErrorKind::WouldBlock);
    drop(file.try_lock_range(Kind::Shared, 10..15).unwrap());
}

#[test]
fn upgrading_keeps_the_range_meanwhile() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    let other = holder(&test, &path, ["0", "10"], "shared");
    let mut lock = file.lock_range(Kind::Shared, 5..15).unwrap();
    assert_eq!(kind(lock.try_upgrade()), ErrorKind::WouldBlock);
    assert_eq!(kind(lock.upgrade_deadline(soon())), ErrorKind::TimedOut);
    {
        let _storm = Storm::on_this_thread();
        assert_eq!(kind(lock.upgrade_interruptible()), ErrorKind::Interrupted);
    }
    assert_eq!(lock.kind(), Kind::Shared);
    let third = File::open(&path).unwrap();
    assert_eq!(kind(third.try_lock_range(Kind::Exclusive, 12..13)), ErrorKind::WouldBlock);
    other.succeed();
    lock.upgrade().unwrap();
    assert_eq!(kind(third.try_lock_range(Kind::Shared, 12..13)), ErrorKind::WouldBlock);
    lock.downgrade().unwrap();
    drop(third.try_lock_range(Kind::Shared, 12..13).unwrap());
}

#[test]
fn the_access_mode_decides_what_can_be_locked() {
    let directory = scratch();
    let path = directory.path().join("file");
    drop(File::create(&path).unwrap());
    let read_only = File::open_read_only(&path).unwrap();
    drop(read_only.lock_range(Kind::Shared, ..).unwrap());
    assert_eq!(kind(read_only.lock_range(Kind::Exclusive, ..)), ErrorKind::PermissionDenied);
    let write_only = File::from_fd(fs::File::options().write(true).open(&path).unwrap().into());
    assert_eq!(kind(write_only.lock_range(Kind::Shared, ..)), ErrorKind::PermissionDenied);
    drop(write_only.lock_range(Kind::Exclusive, ..).unwrap());
}

#[test]
fn a_conflict_is_described() {
    let test = test!();
    play_holder(&test);
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    assert_eq!(file.range_conflict(Kind::Exclusive, ..).unwrap(), None);
    let other = holder(&test, &path, ["10", "20"], "shared");
    assert_eq!(file.range_conflict(Kind::Shared, ..).unwrap(), None);
    assert_eq!(file.range_conflict(Kind::Exclusive, 0..10).unwrap(), None);
    let range = ByteRange { start: 10, end: Some(20) };
    let conflict = Conflict { kind: Kind::Shared, range, pid: None };
    assert_eq!(file.range_conflict(Kind::Exclusive, 15..).unwrap(), Some(conflict));
    assert_eq!(kind(file.range_conflict(Kind::Shared, 3..3)), ErrorKind::InvalidInput);
    other.succeed();
}

#[test]
fn c_programs_take_part_with_both_kinds_of_range_locks() {
    let directory = scratch();
    let path = directory.path().join("file");
    let source = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        int main(int argc, char **argv) {
            int fd = open(argv[1], O_RDWR);
            struct flock lock = { .l_type = F_WRLCK, .l_start = 10, .l_len = 10 };
            if (fcntl(fd, atoi(argv[2]) ? F_OFD_SETLK : F_SETLK, &lock)) { puts("refused"); return 0; }
            puts("locked");
            fflush(stdout);
            getchar();
            return 0;
        }"#;
    let program = compile_c(directory.path(), "locker", source, &[]);
    let start = |ofd: &str| {
        let mut command = std::process::Command::new(&program);
        command.arg(&path).arg(ofd);
        Child::start(command)
    };
    let file = File::create(&path).unwrap();
    for ofd in ["1", "0"] {
        let ours = file.lock_range(Kind::Shared, 19..).unwrap();
        assert_eq!(start(ofd).line().unwrap(), "refused");
        drop(ours);
        let mut child = start(ofd);
        assert_eq!(child.line().unwrap(), "locked");
        assert_eq!(kind(file.try_lock_range(Kind::Shared, 19..)), ErrorKind::WouldBlock);
        let class = if ofd == "1" { Class::Ofd } else { Class::Posix };
        let range = ByteRange { start: 10, end: Some(20) };
        let pid = (ofd == "0").then_some(child.pid());
        let conflict = file.range_conflict(Kind::Shared, ..).unwrap().unwrap();
        assert_eq!(conflict, Conflict { kind: Kind::Exclusive, range, pid });
        let found = file.holders().unwrap();
        let holder = Holder { pid: Some(child.pid()), class, kind: Kind::Exclusive, range };
        assert_eq!(found.holders, [holder]);
        child.close_stdin();
        drop(file.lock_range(Kind::Shared, ..).unwrap());
        child.succeed();
    }
}

#[test]
fn holders_and_waiters_are_found() {
    let test = test!();
    play_holder(&test);
    test.role("flocker", |peer| {
        let mut file = File::open(peer.arg(0)).unwrap();
        let _lock = file.lock(Kind::Exclusive).unwrap();
        peer.say("locked");
        peer.hear();
    });
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    assert_eq!(lock::holders(&path).unwrap().holders, []);
    let range = holder(&test, &path, ["10", "20"], "shared");
    let mut whole = test.child("flocker").arg(path.display()).spawn();
    whole.expect("locked");
    let waiting_whole = test.child("flocker").arg(path.display()).spawn();
    waiting_whole.wait_until_blocked_in(&[call::FLOCK]);
    let waiting_range = test.child("holder").arg(path.display()).arg(15).arg("-").arg("exclusive").spawn();
    waiting_range.wait_until_blocked_in(&[call::FCNTL]);
    let found = file.holders().unwrap();
    let of = |pid: Option<i32>, class, kind, range| Holder { pid, class, kind, range };
    let middle = ByteRange { start: 10, end: Some(20) };
    let mut holders = found.holders.clone();
    holders.sort_by_key(|holder| holder.class != Class::Ofd);
    assert_eq!(
        holders,
        [
            of(Some(range.pid()), Class::Ofd, Kind::Shared, middle),
            of(Some(whole.pid()), Class::Flock, Kind::Exclusive, ByteRange::ALL),
        ]
    );
    let mut waiters = found.waiters;
    waiters.sort_by_key(|waiter| waiter.class != Class::Ofd);
    let rest = ByteRange { start: 15, end: None };
    assert_eq!(
        waiters,
        [
            // The kernel says nowhere which process waits for an open file description's lock.
            of(None, Class::Ofd, Kind::Exclusive, rest),
            of(Some(waiting_whole.pid()), Class::Flock, Kind::Exclusive, ByteRange::ALL),
        ]
    );
    assert_eq!(lock::holders(&path).unwrap().holders.len(), 2);
    assert_eq!(kind(lock::holders(directory.path().join("nothing"))), ErrorKind::NotFound);
}

#[test]
fn an_heir_of_a_dead_holder_is_found() {
    let test = test!();
    test.role("holder", |peer| {
        // The child keeps the open file description, and with it the lock, when this process is gone.
        let file = LockFile::acquire(peer.arg(0), Kind::Exclusive).unwrap();
        let copy = file.as_fd().try_clone_to_owned().unwrap();
        let mut command = std::process::Command::new("sleep");
        command.arg("80");
        command.pass_descriptors([(copy, 90)]).unwrap();
        peer.say(&command.spawn().unwrap().id().to_string());
        peer.hear();
    });
    let directory = scratch();
    let path = directory.path().join("lock");
    let mut child = test.child("holder").arg(path.display()).spawn();
    let heir: i32 = child.hear().parse().unwrap();
    let end = rustix::process::Pid::from_raw(heir).unwrap();
    let _end = twixt_testkit::defer(|| _ = rustix::process::kill_process(end, rustix::process::Signal::KILL));
    let found = lock::holders(&path).unwrap();
    let mut pids: Vec<_> = found.holders.iter().map(|holder| holder.pid.unwrap()).collect();
    pids.sort_unstable();
    let mut both = [child.pid(), heir];
    both.sort_unstable();
    assert_eq!(pids, both);
    child.kill();
    let found = lock::holders(&path).unwrap();
    let left = Holder { pid: Some(heir), class: Class::Flock, kind: Kind::Exclusive, range: ByteRange::ALL };
    assert_eq!(found.holders, [left]);
}

#[test]
fn a_range_is_inherited_with_its_open_file_description() {
    let test = test!();
    test.role("heir", |peer| {
        let file = File::from_fd(inherited(90).unwrap());
        peer.say("here");
        // The same description: its own lock is not in its way.
        assert_eq!(file.range_conflict(Kind::Exclusive, ..).unwrap(), None);
        peer.hear();
    });
    let directory = scratch();
    let path = directory.path().join("file");
    let file = File::create(&path).unwrap();
    let lock = file.lock_range_deadline(Kind::Exclusive, 3..4, later()).unwrap();
    let copy = file.as_fd().try_clone_to_owned().unwrap();
    let mut heir = test.child("heir").descriptor(copy, 90).spawn();
    heir.expect("here");
    drop(lock);
    drop(File::open(&path).unwrap().try_lock_range(Kind::Exclusive, ..).unwrap());
    heir.succeed();
}
