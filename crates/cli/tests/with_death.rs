//! `twixt with` when one of its processes is killed.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use twixt::os::Mode;
use twixt::os::lock::{Kind, LockFile};
use twixt::os::posix::sem::Semaphore;
use twixt::os::sysv::Key;
use twixt::os::sysv::sem::Set;
use twixt_testkit::{defer, scratch, test, unique_key, unique_name};

#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use process::{children, command_line, lives, signal, until};
use tool::twixt;

const MOMENTS: u64 = 60;

/// A `twixt with` that runs `sleep`.
fn sleeping(address: &str, seconds: &str) -> Child {
    twixt(["with", address, "--", "sleep", seconds]).stderr(Stdio::null()).spawn().unwrap()
}

fn posix(permits: u32) -> (String, Semaphore, impl Drop) {
    let name = format!("/{}", unique_name());
    let semaphore = Semaphore::create(&name, permits, Mode::OWNER).unwrap();
    let guard = semaphore.unlink_on_drop().unwrap();
    (format!("posix-sem:{name}"), semaphore, guard)
}

/// The guard and the command of one that has both.
fn parts(pid: i32) -> (i32, i32) {
    let mut parts = (0, 0);
    until("a guard and a command", || {
        for child in children(pid) {
            let line = command_line(child);
            if line.starts_with("twixt hold-permits") {
                parts.0 = child;
            } else if line.starts_with("sleep") {
                parts.1 = child;
            }
        }
        parts.0 != 0 && parts.1 != 0
    });
    parts
}

fn is_locked(path: &Path) -> bool {
    LockFile::try_acquire(path, Kind::Exclusive).is_err()
}

#[test]
fn one_that_is_killed_at_any_moment_loses_no_permit() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(3);
    for moment in 0..MOMENTS {
        let mut child = sleeping(&address, "0.002");
        std::thread::sleep(Duration::from_micros(moment * 250));
        let _ = child.kill();
        child.wait().unwrap();
        // The command may run on, and holds its permit meanwhile.
        until("given back", || {
            let value = semaphore.value().unwrap();
            assert!(value <= 3, "{value} of 3 permits");
            value == 3
        });
    }
    let (set, mut value) = (Set::create_with(Key::new(unique_key()).unwrap(), &[3], Mode::OWNER).unwrap(), 0);
    let set = set.remove_on_drop();
    let address = format!("sysv-sem:id={}", set.id().as_raw());
    for moment in 0..MOMENTS {
        let mut child = sleeping(&address, "1000");
        std::thread::sleep(Duration::from_micros(moment * 250));
        child.kill().unwrap();
        child.wait().unwrap();
        // There is no other process that could hold it.
        value = set.value(0).unwrap();
        assert_eq!(value, 3);
    }
    assert_eq!(value, 3);
}

#[test]
fn a_command_that_is_killed_at_any_moment_loses_no_permit() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(1);
    for moment in 0..MOMENTS / 2 {
        let mut child = sleeping(&address, "1000");
        let (_, command) = parts(child.id() as i32);
        std::thread::sleep(Duration::from_micros(moment * 50));
        assert!(signal(command, Signal::KILL));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
        assert_eq!(semaphore.value().unwrap(), 1);
    }
}

#[test]
fn a_guard_that_is_killed_is_replaced() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(1);
    for _ in 0..5 {
        let mut child = sleeping(&address, "1000");
        let pid = child.id() as i32;
        let (guard, command) = parts(pid);
        let _end = defer(move || {
            signal(command, Signal::KILL);
        });
        assert!(signal(guard, Signal::KILL));
        until("another guard", || parts(pid).0 != guard);
        let (second, _) = parts(pid);
        assert_eq!(semaphore.value().unwrap(), 0, "still held");
        // And the second is as good as the first.
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(semaphore.value().unwrap(), 0, "the command runs on, and holds it");
        assert!(lives(command) && lives(second));
        assert!(signal(command, Signal::KILL));
        until("given back", || semaphore.value().unwrap() == 1);
        until("the guard has gone", || !lives(second));
        assert_eq!(semaphore.value().unwrap(), 1);
    }
}

#[test]
fn guards_that_are_killed_again_and_again_lose_no_permit() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(2);
    for moment in 0..MOMENTS / 2 {
        let mut child = sleeping(&address, "0.03");
        let pid = child.id() as i32;
        let (guard, _) = parts(pid);
        std::thread::sleep(Duration::from_micros(moment * 700));
        // Not in the instant in which it gives back, which the command's life is long enough for.
        let running = children(pid).iter().any(|child| command_line(*child).starts_with("sleep"));
        if running {
            signal(guard, Signal::KILL);
        }
        assert!(child.wait().unwrap().success());
        let value = semaphore.value().unwrap();
        assert!(value <= 2, "{value} of 2 permits");
        assert_eq!(value, 2, "at moment {moment}");
    }
}

#[test]
fn the_lock_stays_with_the_command() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let address = format!("lock:{}?create", path.display());
    let mut child = sleeping(&address, "1000");
    let pid = child.id() as i32;
    until("a command", || children(pid).iter().any(|child| command_line(*child).starts_with("sleep")));
    let command = children(pid)[0];
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_locked(&path), "the command still runs");
    assert!(signal(command, Signal::KILL));
    until("released", || !is_locked(&path));
}

#[test]
fn a_lock_is_free_after_any_kill() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let address = format!("lock:{}?create", path.display());
    for moment in 0..MOMENTS {
        let mut child = sleeping(&address, "0.002");
        std::thread::sleep(Duration::from_micros(moment * 200));
        let _ = child.kill();
        child.wait().unwrap();
        until("released", || !is_locked(&path));
    }
}
