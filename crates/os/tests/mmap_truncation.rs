//! A peer that truncates the file under a mapping gets nobody killed.

#[path = "support/outcome.rs"]
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::Signal;
use support::kind;
use twixt_os::ErrorKind;
use twixt_os::memfd::{Memfd, Seals};
use twixt_os::mmap::{Access, Advice, MappedFile, Memory, Options, Sharing, is_guarding};
use twixt_testkit::{Child, Test, call, scratch, test};

const PAGE: usize = 4096;
const LEN: usize = 64 * PAGE;

/// Plays the peer that makes the file short and long again until it is told to stop.
fn play_truncator(test: &Test) {
    test.role("truncator", |peer| {
        let file = fs::File::options().write(true).open(peer.arg(0)).unwrap();
        let stop = std::thread::spawn(|| std::io::read_to_string(std::io::stdin()));
        peer.say("ready");
        while !stop.is_finished() {
            file.set_len(100).unwrap();
            file.set_len(LEN as u64).unwrap();
        }
    });
}

fn truncator(test: &Test, path: &Path) -> Child {
    let mut child = test.child("truncator").arg(path.display()).spawn();
    child.expect("ready");
    child
}

#[test]
fn a_reader_and_a_writer_survive_a_truncating_peer() {
    let test = test!();
    play_truncator(&test);
    test.role("victim", |peer| {
        let mut memory = MappedFile::open(peer.arg(0)).unwrap();
        let mut bytes = vec![0; LEN];
        let mut faults = 0;
        while faults < 200 {
            let outcome = if faults % 2 == 0 { memory.read(0, &mut bytes) } else { memory.write(0, &bytes) };
            if let Err(error) = outcome {
                // A file that was cut before it was mapped has less to map.
                assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::OutOfRange), "{error}");
                faults += 1;
                memory.remap().unwrap();
            }
        }
        peer.say("survived");
    });
    let directory = scratch();
    let path = directory.path().join("board");
    drop(MappedFile::create(&path, LEN).unwrap());
    let truncator = truncator(&test, &path);
    let mut victim = test.child("victim").arg(path.display()).spawn();
    victim.expect("survived");
    victim.succeed();
    truncator.succeed();
}

#[test]
fn threads_with_many_mappings_survive() {
    let test = test!();
    play_truncator(&test);
    test.role("victim", |peer| {
        let work = || {
            let mut faults = 0;
            while faults < 50 {
                let mappings: Vec<_> = (0..100)
                    .map(|index| match index % 3 {
                        0 => Options::new().access(Access::ReadOnly).open(peer.arg(0)),
                        1 => Options::new().sharing(Sharing::Private).open(peer.arg(0)),
                        _ => MappedFile::open(peer.arg(0)),
                    })
                    .collect();
                for memory in mappings.into_iter().flatten() {
                    let at = memory.len() - 1;
                    let outcome = memory.read(at, &mut [0]).and_then(|()| memory.load_u32(0, Relaxed));
                    faults += usize::from(outcome.is_err_and(|error| error.kind() == ErrorKind::Truncated));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(work);
            }
        });
        peer.say("survived");
    });
    let directory = scratch();
    let path = directory.path().join("board");
    drop(MappedFile::create(&path, LEN).unwrap());
    let truncator = truncator(&test, &path);
    let mut victim = test.child("victim").arg(path.display()).spawn();
    victim.expect("survived");
    victim.succeed();
    truncator.succeed();
}

#[test]
fn what_is_known_after_a_truncation() {
    let test = test!();
    test.role("peer", |peer| {
        fs::File::options().write(true).open(peer.arg(0)).unwrap().set_len(PAGE as u64 + 10).unwrap();
    });
    let directory = scratch();
    let path = directory.path().join("board");
    let mut memory = MappedFile::create(&path, LEN).unwrap();
    let mut private = Options::new().sharing(Sharing::Private).open(&path).unwrap();
    memory.write(0, &[7; LEN]).unwrap();
    private.write(3 * PAGE, b"mine").unwrap();
    let word = memory.atomic_u32(2 * PAGE).unwrap();
    assert_eq!(word.load(Relaxed), 0x0707_0707);
    test.child("peer").arg(path.display()).spawn().succeed();
    assert_eq!(word.load(Relaxed), 0, "a borrowed word reads as zero");
    assert_eq!(kind(memory.check()), ErrorKind::Truncated);
    let mut bytes = [1; 2 * PAGE];
    let error = support::error(memory.read(0, &mut bytes));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot read from mapped file {}: part of its memory is gone: another process made the file \
             shorter; map it again to use what is left",
            path.display()
        )
    );
    assert_eq!(bytes[..PAGE], [7; PAGE], "what is still there is read");
    assert_eq!(kind(memory.flush()), ErrorKind::Truncated);
    // What is left can be used again.
    assert_eq!(memory.remap().unwrap(), PAGE + 10);
    memory.read(0, &mut bytes[..PAGE + 10]).unwrap();
    assert_eq!(bytes[..PAGE + 10], [7; PAGE + 10]);
    memory.grow(LEN).unwrap();
    memory.read(2 * PAGE, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 2 * PAGE]);
    // A private mapping has lost what only it had.
    fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    assert_eq!(kind(private.read(3 * PAGE, &mut bytes)), ErrorKind::Truncated);
    assert_eq!(kind(private.remap()), ErrorKind::Truncated);
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(kind(memory.remap()), ErrorKind::Truncated);
}

#[test]
fn populating_finds_missing_pages_without_a_signal() {
    let directory = scratch();
    let path = directory.path().join("board");
    let memory = MappedFile::create(&path, LEN).unwrap();
    match memory.advise(0, LEN, Advice::PopulateWrite) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let missing = twixt_testkit::Missing("MADV_POPULATE_WRITE (Linux 5.14)".into());
            return test!().skip(&missing);
        }
        outcome => outcome.unwrap(),
    }
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(kind(memory.advise(0, LEN, Advice::PopulateRead)), ErrorKind::Truncated);
}

#[test]
fn only_memory_that_can_be_truncated_installs_the_handler() {
    let test = test!();
    test.role("program", |peer| {
        let _anonymous = Memory::anonymous(PAGE).unwrap();
        let memfd = Memfd::create("letter").unwrap();
        memfd.reserve(PAGE as u64).unwrap();
        let sealed = memfd.seal(Seals::empty()).unwrap();
        let _sealed = sealed.map_writable().unwrap();
        assert!(!is_guarding());
        let _file = MappedFile::create(peer.arg(0), PAGE).unwrap();
        assert!(is_guarding());
    });
    let directory = scratch();
    test.child("program").arg(directory.path().join("board").display()).spawn().succeed();
}

/// A program that maps a file and then waits in `poll(2)`.
fn play_waiter(test: &Test) {
    test.role("waiter", |peer| {
        if peer.arg(1) == "handler" {
            twixt_sys::signal::interrupt_calls(Signal::BUS.as_raw()).unwrap();
        }
        let _memory = MappedFile::create(peer.arg(0), PAGE).unwrap();
        // A signal for the process would go to any of its threads.
        let waiter = rustix::thread::gettid();
        std::thread::spawn(move || {
            for _line in std::io::stdin().lines() {
                twixt_sys::signal::send_to_thread(waiter, Signal::BUS.as_raw()).unwrap();
            }
        });
        peer.say("mapped");
        let timeout = rustix::event::Timespec { tv_sec: 80, tv_nsec: 0 };
        // Rust's own handler interrupts it too, and that one is not told from no handler here.
        while rustix::event::poll(&mut [], Some(&timeout)) == Err(rustix::io::Errno::INTR) {
            peer.say("interrupted");
        }
    });
}

#[test]
fn an_earlier_handler_still_gets_a_signal_that_is_sent() {
    let test = test!();
    play_waiter(&test);
    let directory = scratch();
    let path = directory.path().join("board");
    let mut child = test.child("waiter").arg(path.display()).arg("handler").spawn();
    child.expect("mapped");
    child.wait_until_blocked_in(&[call::POLL, call::PPOLL]);
    child.tell("send");
    child.expect("interrupted");
    // Each one, and not only the first as with Rust's own handler.
    child.wait_until_blocked_in(&[call::POLL, call::PPOLL]);
    child.tell("send");
    child.expect("interrupted");
    child.kill();
}

#[test]
fn a_signal_that_is_sent_still_kills() {
    let test = test!();
    play_waiter(&test);
    let directory = scratch();
    let path = directory.path().join("board");
    let mut child = test.child("waiter").arg(path.display()).arg("none").spawn();
    child.expect("mapped");
    // Rust's own handler, which stands behind ours, lets the first one pass and restores the default.
    child.signal(Signal::BUS);
    let caught = || fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    while signal_is_caught(&caught()) {
        std::thread::yield_now();
    }
    child.signal(Signal::BUS);
    assert_eq!(child.wait().signal(), Some(Signal::BUS.as_raw()));
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let test = test!();
    play_waiter(&test);
    let directory = scratch();
    let path = directory.path().join("board");
    let mut child = test
        .child("waiter")
        .arg(path.display())
        .arg("none")
        .under(&["sh", "-c", "trap '' BUS; exec \"$@\"", "sh"])
        .spawn();
    child.expect("mapped");
    child.wait_until_blocked_in(&[call::POLL, call::PPOLL]);
    for _ in 0..3 {
        child.signal(Signal::BUS);
    }
    child.signal(Signal::TERM);
    assert_eq!(child.wait().signal(), Some(Signal::TERM.as_raw()));
}

/// Whether a handler for SIGBUS is installed, by `/proc/PID/status`.
fn signal_is_caught(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
    u64::from_str_radix(mask, 16).unwrap() >> (Signal::BUS.as_raw() - 1) & 1 == 1
}
