//! `twixt with`: commands that hold a semaphore or a lock.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use twixt::os::Mode;
use twixt::os::lock::{Kind, LockFile};
use twixt::os::posix::sem::Semaphore;
use twixt::os::sysv::Key;
use twixt::os::sysv::sem::Set;
use twixt_testkit::{Defer, defer, scratch, test, unique_key, unique_name};

#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use process::{children, signal, until};
use tool::{end, run, twixt};

/// A semaphore with so many permits, removed at the end.
fn posix(permits: u32) -> (String, Semaphore, impl Drop) {
    let name = format!("/{}", unique_name());
    let semaphore = Semaphore::create(&name, permits, Mode::OWNER).unwrap();
    let guard = semaphore.unlink_on_drop().unwrap();
    (format!("posix-sem:{name}"), semaphore, guard)
}

fn sysv(permits: u16) -> (String, Set, Defer<impl FnOnce()>) {
    let set = Set::create_with(Key::new(unique_key()).unwrap(), &[permits], Mode::OWNER).unwrap();
    let address = format!("sysv-sem:id={}", set.id().as_raw());
    let remove = set.clone();
    (address, set, defer(move || drop(remove.remove())))
}

/// `twixt with ADDRESS -- sh -c SCRIPT`
fn with(address: &str, script: &str) -> Command {
    twixt(["with", address, "--", "sh", "-c", script])
}

fn is_locked(path: &Path) -> bool {
    LockFile::try_acquire(path, Kind::Exclusive).is_err()
}

#[test]
fn the_command_holds_what_it_was_given() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(5);
    let mut child = with(&address, "read line; exit 7").stdin(Stdio::piped()).spawn().unwrap();
    until("taken", || semaphore.value().unwrap() == 4);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(semaphore.value().unwrap(), 5, "given back before it ends");

    let (address, set, _guard) = sysv(5);
    let mut command = twixt(["with", &address, "--permits", "3", "--", "sh", "-c", "read line; exit 8"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    until("taken", || set.value(0).unwrap() == 2);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(8));
    assert_eq!(set.value(0).unwrap(), 5);

    let scratch = scratch();
    let path = scratch.path().join("lock");
    let mut child = with(&format!("lock:{}?create", path.display()), "read line; exit 9")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    until("taken", || path.exists() && is_locked(&path));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert!(!is_locked(&path));
}

#[test]
fn a_command_that_is_killed_kills_us_the_same_way() {
    let _test = test!();
    let (posix, semaphore, _posix) = posix(1);
    let (sysv, set, _sysv) = sysv(1);
    let scratch = scratch();
    let lock = format!("lock:{}?create", scratch.path().join("lock").display());
    for address in [&posix, &sysv, &lock] {
        for number in [Signal::TERM, Signal::KILL, Signal::QUIT, Signal::INT] {
            let status = with(address, &format!("kill -{} $$", number.as_raw())).status().unwrap();
            assert_eq!(status.signal(), Some(number.as_raw()), "{address}");
            assert!(!status.core_dumped(), "a core file of ours");
        }
    }
    assert_eq!((semaphore.value().unwrap(), set.value(0).unwrap()), (1, 1));
}

#[test]
fn several_share_a_lock_and_one_has_it_alone() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let address = format!("lock:{}", path.display());
    let mut sharer =
        twixt(["with", &address, "--create", "--shared", "--", "sh", "-c", "echo in; read line; true"]);
    let mut sharer = sharer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 3];
    std::io::Read::read_exact(sharer.stdout.as_mut().unwrap(), &mut said).unwrap();
    run(&format!("with {address} --shared --timeout 0s -- true")).well();
    run(&format!("with {address} --timeout 0s -- true")).fails(4, "cannot take lock");
    drop(sharer.stdin.take());
    assert!(sharer.wait().unwrap().success());
    run(&format!("with {address} --timeout 0s -- true")).well();
}

#[test]
fn the_time_is_up() {
    let _test = test!();
    let (posix, semaphore, _posix) = posix(2);
    let (sysv, set, _sysv) = sysv(2);
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let lock = format!("lock:{}", path.display());
    let _held = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    let ran = scratch.path().join("ran");
    for (address, permits) in [(&posix, "--permits 3"), (&sysv, "--permits 3"), (&lock, "")] {
        for time in ["0s", "30ms"] {
            let line = format!("with {address} {permits} --timeout {time} -- touch {}", ran.display());
            run(&line).fails(4, "cannot");
        }
        let line = format!("with {address}?timeout=60s {permits} --timeout 1ms -- touch {}", ran.display());
        run(&line).fails(4, "cannot");
    }
    assert!(!ran.exists());
    assert_eq!((semaphore.value().unwrap(), set.value(0).unwrap()), (2, 2));
}

#[test]
fn what_cannot_be_run_is_told_as_shells_tell_it() {
    let _test = test!();
    let (posix, semaphore, _posix) = posix(1);
    let (sysv, set, _sysv) = sysv(1);
    let scratch = scratch();
    let lock = format!("lock:{}?create", scratch.path().join("lock").display());
    for address in [&posix, &sysv, &lock] {
        run(&format!("with {address} -- /nowhere/at/all")).fails(127, "cannot run /nowhere/at/all");
        run(&format!("with {address} -- /etc/passwd")).fails(126, "cannot run /etc/passwd");
        assert_eq!((semaphore.value().unwrap(), set.value(0).unwrap()), (1, 1));
    }
}

#[test]
fn what_is_not_there_is_made_only_if_asked() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let name = format!("/{}", unique_name());
    let key = unique_key();
    let _remove =
        (tool::remove_at_end(&format!("posix-sem:{name}")), tool::remove_at_end(&format!("sysv-sem:{key}")));
    for address in
        [format!("lock:{}", path.display()), format!("posix-sem:{name}"), format!("sysv-sem:{key}")]
    {
        run(&format!("with {address} -- true")).fails(1, "--create");
    }
    run(&format!("with lock:{}?mode=0640 --create -- true", path.display())).well();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    // The command has the umask that we had.
    let umask = with(&format!("posix-sem:{name}?create&mode=0666&value=3"), "umask");
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 027; exec \"$@\"", "sh"]).arg(umask.get_program()).args(umask.get_args());
    assert_eq!(end(shell).well().trim(), "0027");
    assert_eq!(Semaphore::open(&name).unwrap().value().unwrap(), 3);
    run(&format!("with sysv-sem:{key}/2?create&value=2 --permits 3 -- true")).fails(2, "?value=3");
    run(&format!("with sysv-sem:{key}/2?create&value=2 --permits 2 -- true")).well();
    let set = Set::open(Key::new(key).unwrap()).unwrap();
    assert_eq!(set.values().unwrap(), [2, 2, 2]);
    run(&format!("with sysv-sem:{key} -- true")).fails(2, "say which one: /0 to /2");
}

#[test]
fn wrong_use_is_refused() {
    let _test = test!();
    let (posix, ..) = posix(1);
    for (line, part) in [
        ("with lock:/tmp/x --permits 2 -- true", "a lock has no permits"),
        (&format!("with {posix} --shared -- true"), "--shared is for lock:"),
        ("with fifo:/tmp/x -- true", "can be held"),
        ("with sysv-sem:private -- true", "name one by its key or id"),
        ("with lock:/tmp/x", "<COMMAND>"),
        ("with lock:/tmp/x --permits 0 -- true", "'0' for '--permits <N>'"),
        ("with lock:/tmp/x --permits 32768 -- true", "32768"),
    ] {
        run(line).fails(2, part);
    }
}

#[test]
fn several_permits_never_deadlock() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(3);
    let (sysv, set, _sysv) = sysv(3);
    for address in [&address, &sysv] {
        // Each needs two of three: whoever held one and waited for the next would wait for ever.
        let script = format!(
            "for i in 1 2 3 4 5 6; do (for j in 1 2 3 4 5; do {} with {address} --permits 2 -- true || echo bad; \
             done) & done; wait",
            env!("CARGO_BIN_EXE_twixt")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::null());
        assert_eq!(end(shell).well(), "");
    }
    assert_eq!((semaphore.value().unwrap(), set.value(0).unwrap()), (3, 3));
}

/// Rounds in which each command counts who else is inside.
fn contend(address: &str, permits: usize, rounds: usize) {
    let scratch = scratch();
    let inside = scratch.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let script = format!(
        "cd {}; : > $$; set -- *; [ $# -le {permits} ] || echo \"$# inside\"; rm $$",
        inside.display()
    );
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let (address, script) = (address.to_owned(), script.clone());
            std::thread::spawn(move || {
                for _ in 0..rounds {
                    assert_eq!(end(with(&address, &script)).well(), "");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

const ROUNDS: usize = 60;

#[test]
fn no_more_than_the_permits_are_ever_inside_posix() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(2);
    contend(&address, 2, ROUNDS);
    assert_eq!(semaphore.value().unwrap(), 2);
}

#[test]
fn no_more_than_the_permits_are_ever_inside_sysv() {
    let _test = test!();
    let (address, set, _guard) = sysv(2);
    contend(&address, 2, ROUNDS);
    assert_eq!(set.value(0).unwrap(), 2);
}

#[test]
fn no_more_than_one_is_ever_inside_a_lock() {
    let _test = test!();
    let scratch = scratch();
    contend(&format!("lock:{}?create", scratch.path().join("lock").display()), 1, ROUNDS);
}

#[test]
#[ignore = "a long form of the above: cargo test -p twixt-cli --test with -- --ignored"]
fn thousands_of_rounds() {
    let _test = test!();
    let (address, semaphore, _guard) = posix(2);
    contend(&address, 2, 500);
    assert_eq!(semaphore.value().unwrap(), 2);
}

#[test]
fn signals_reach_the_command() {
    let _test = test!();
    let (posix, _, _posix) = posix(1);
    let (sysv, _, _sysv) = sysv(1);
    let scratch = scratch();
    let lock = format!("lock:{}?create", scratch.path().join("lock").display());
    for address in [&posix, &sysv, &lock] {
        for (name, number) in [
            ("INT", Signal::INT),
            ("TERM", Signal::TERM),
            ("HUP", Signal::HUP),
            ("QUIT", Signal::QUIT),
            ("USR1", Signal::USR1),
        ] {
            let script = format!("trap 'exit 33' {name}; echo in; while :; do sleep 0.01; done");
            let mut child = with(address, &script).stdout(Stdio::piped()).spawn().unwrap();
            let mut said = [0; 3];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
            assert!(signal(child.id() as i32, number));
            assert_eq!(child.wait().unwrap().code(), Some(33), "{name} {address}");
        }
    }
}

#[test]
fn what_was_ignored_stays_so() {
    let _test = test!();
    let scratch = scratch();
    let lock = format!("lock:{}?create", scratch.path().join("lock").display());
    let mut shell = Command::new("sh");
    let script = "trap '' HUP USR1; exec \"$0\" with \"$1\" -- grep -E '^Sig(Ign|Blk)' /proc/self/status";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_twixt"), &lock]).stdin(Stdio::null());
    let status = end(shell).well();
    let set = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(set("SigIgn") & 0x201, 0x201);
    assert_eq!(set("SigIgn") & 0x1000, 0, "SIGPIPE");
    assert_eq!(set("SigBlk"), 0);
}

#[test]
fn a_signal_ends_the_waiting() {
    let _test = test!();
    let (posix, semaphore, _posix) = posix(0);
    let (sysv, set, _sysv) = sysv(0);
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let held = LockFile::acquire(&path, Kind::Exclusive).unwrap();
    let lock = format!("lock:{}", path.display());
    for address in [&posix, &sysv, &lock] {
        let mut child = with(address, "echo never").stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id() as i32;
        until("waiting", || {
            let waits = |pid| {
                let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
                let number = call.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(-1);
                [libc::SYS_futex, libc::SYS_semop, libc::SYS_semtimedop, libc::SYS_flock].contains(&number)
            };
            waits(pid) || children(pid).into_iter().any(waits)
        });
        let guards = children(pid);
        assert!(signal(pid, Signal::INT));
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::INT.as_raw()), "{address}");
        until("the guard has gone", || guards.iter().all(|guard| !process::lives(*guard)));
        assert_eq!((semaphore.value().unwrap(), set.value(0).unwrap()), (0, 0));
    }
    drop(held);
}

#[test]
fn descriptors_do_not_leak() {
    let _test = test!();
    let scratch = scratch();
    let (posix, _, _posix) = posix(1);
    let (sysv, _, _sysv) = sysv(1);
    let lock = format!("lock:{}?create", scratch.path().join("lock").display());
    for (address, extra) in [(&posix, 1), (&sysv, 0), (&lock, 1)] {
        // What the shell that runs the tests left open is there with and without us.
        let count = |mut command: Command| {
            command.stdin(Stdio::null());
            end(command).well().trim().parse::<usize>().unwrap()
        };
        let mut plain = Command::new("sh");
        plain.args(["-c", "ls /proc/self/fd | wc -l"]);
        let held = count(with(address, "ls /proc/self/fd | wc -l"));
        assert_eq!(held, count(plain) + extra, "{address}");
    }
}

#[test]
fn what_the_command_leaves_behind_holds_nothing() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("lock");
    let (posix, semaphore, _posix) = posix(1);
    for address in [format!("lock:{}?create", path.display()), posix] {
        let mut command = with(&address, "sleep 1000 >/dev/null 2>&1 & echo $!");
        command.process_group(0);
        let pid: i32 = end(command).well().trim().parse().unwrap();
        let _end = defer(move || assert!(signal(pid, Signal::KILL)));
        assert!(process::lives(pid));
        assert!(!path.exists() || !is_locked(&path));
        assert_eq!(semaphore.value().unwrap(), 1);
    }
}
