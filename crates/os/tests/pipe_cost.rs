//! What a message through a pipe costs: system calls, on this kernel and on older ones, and allocations.

#[path = "support/pipes.rs"]
mod support;
#[path = "support/waiting.rs"]
mod waiting;

use std::collections::BTreeMap;
use std::fs::{self, File};

use support::{fill, later};
use twixt_os::pipe::{self, PIPE_BUF, Reader, Writer};
use twixt_os::{Deadline, ErrorKind};
use twixt_testkit::strace::{ROUNDS, cost, difference, expected};
use twixt_testkit::{Missing, Peer, Spawn, Test, call, command, scratch, test};
use waiting::Turns;

fn play_talk(test: &Test) {
    test.role("talk", |peer| {
        if peer.arg(2) == "default" {
            twixt_sys::pipe::default_sigpipe().unwrap();
        }
        let (reader, writer) = pipe::create().unwrap();
        let mut buffer = [0; PIPE_BUF];
        for _ in 0..rounds(peer) {
            let read = match peer.arg(1).as_str() {
                "block" => {
                    writer.write(b"ping").unwrap();
                    reader.read(&mut buffer)
                }
                "try" => {
                    writer.try_write(b"ping").unwrap();
                    reader.try_read(&mut buffer)
                }
                _ => {
                    writer.write_all_deadline(b"ping", later()).unwrap();
                    reader.read_deadline(&mut buffer, later())
                }
            };
            assert_eq!(read.unwrap(), 4);
        }
    });
}

fn rounds(peer: &Peer) -> u64 {
    peer.arg(0).parse().unwrap()
}

fn older(kernel: &str) -> Missing {
    Missing(format!("a kernel not older than Linux {kernel}"))
}

#[test]
fn a_message_costs_one_system_call_per_end() {
    let test = test!();
    play_talk(&test);
    for (form, reading) in [("block", "read"), ("try", "preadv2"), ("deadline", "preadv2")] {
        let calls = match cost(|rounds| test.child("talk").arg(rounds).arg(form).arg("default")) {
            Ok(calls) => calls,
            Err(missing) => return test.skip(&missing),
        };
        if calls.contains_key("rt_sigaction") {
            return test.skip(&older("6.18 (RWF_NOSIGNAL)"));
        }
        assert_eq!(calls, expected(&[("pwritev2", ROUNDS), (reading, ROUNDS)]), "{form}");
    }
}

/// Kernels before 6.18 have no `RWF_NOSIGNAL`, those before 6.4 no `RWF_NOWAIT` for pipes. `strace` says so for them.
#[test]
fn on_older_kernels_silence_costs_one_call_more_or_four() {
    let test = test!();
    play_talk(&test);
    // Where SIGPIPE is ignored, as Rust programs start, it is asked whether it is; otherwise it is kept out and taken.
    let two = &[("rt_sigaction", 1), ("writev", 1), ("read", 1)][..];
    let five =
        &[("rt_sigaction", 1), ("rt_sigprocmask", 2), ("writev", 1), ("rt_sigtimedwait", 1), ("read", 1)][..];
    for form in ["block", "try", "deadline"] {
        for (sigpipe, calls) in [("ignored", two), ("default", five)] {
            let run = |rounds| refusing(test.child("talk").arg(rounds).arg(form).arg(sigpipe));
            let (once, twice) = match run(ROUNDS).and_then(|once| Ok((once, run(2 * ROUNDS)?))) {
                Ok(counts) => counts,
                Err(missing) => return test.skip(&missing),
            };
            let calls: Vec<_> = calls.iter().map(|(name, count)| (*name, count * ROUNDS)).collect();
            assert_eq!(difference(&once, twice), expected(&calls), "{form}, {sigpipe}");
        }
    }
}

/// How often the child makes each call that the kernel does not refuse it.
fn refusing(child: Spawn) -> Result<BTreeMap<String, u64>, Missing> {
    command("strace")?;
    let directory = scratch();
    let log = directory.path().join("log");
    let words = ["strace", "-f", "-qq", "-o", log.to_str().unwrap()];
    let inject = ["-e", "inject=pwritev2,preadv2:error=EOPNOTSUPP"];
    let mut child = child.under(&words).under(&inject).spawn();
    child.close_stdin();
    let status = child.wait();
    let text = fs::read_to_string(&log).unwrap_or_default();
    if text.is_empty() {
        return Err(Missing("permission to trace a process (ptrace)".into()));
    }
    assert!(status.success() && text.contains("EOPNOTSUPP"), "{status}: {text}");
    let mut calls = BTreeMap::new();
    for line in text.lines().filter(|line| !line.contains("EOPNOTSUPP")) {
        let call = line.split_whitespace().nth(1).and_then(|call| call.split_once('('));
        if let Some((name, _)) = call {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    Ok(calls)
}

#[test]
fn waiting_for_data_costs_no_call_more() {
    let test = test!();
    test.role("read", |peer| {
        let (reader, mut turns) = (Reader::inherited(90).unwrap(), Turns::begin());
        let mut buffer = [0; 8];
        for _ in 0..rounds(peer) {
            let read = match peer.arg(1).as_str() {
                "block" => reader.read(&mut buffer),
                _ => reader.read_deadline(&mut buffer, later()),
            };
            assert_eq!(read.unwrap(), 4);
            turns.done();
        }
    });
    const READING: &[i64] = &[call::READ, call::POLL, call::PPOLL];
    let told = ("write", ROUNDS);
    for (form, calls) in [
        ("block", &[("read", ROUNDS), told][..]),
        ("deadline", &[("preadv2", 2 * ROUNDS), ("poll", ROUNDS), told]),
    ] {
        let (reader, writer) = pipe::create().unwrap();
        let role = |rounds| {
            let reader = reader.try_clone().unwrap();
            test.child("read").arg(rounds).arg(form).descriptor(reader.into(), 90)
        };
        let writer = std::sync::Arc::new(writer);
        match waiting::cost(role, READING, move |_| writer.write_all(b"ping").unwrap()) {
            Ok(cost) if cost.contains_key("pread64") => return test.skip(&older("6.4 (RWF_NOWAIT)")),
            Ok(cost) => assert_eq!(cost, expected(calls), "{form}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn waiting_for_room_costs_no_call_more() {
    let test = test!();
    test.role("write", |peer| {
        let (writer, mut turns) = (Writer::inherited(90).unwrap(), Turns::begin());
        // A page for a page: the room that one read makes is filled by one write.
        let page = [b'p'; PIPE_BUF];
        for _ in 0..rounds(peer) {
            match peer.arg(1).as_str() {
                "block" => writer.write_atomic(&page).unwrap(),
                _ => writer.write_atomic_deadline(&page, later()).unwrap(),
            }
            turns.done();
        }
    });
    const ROOM: &[i64] = &[call::PWRITEV2, call::WRITEV, call::POLL, call::PPOLL];
    let told = ("write", ROUNDS);
    for (form, calls) in [
        ("block", &[("pwritev2", ROUNDS), told][..]),
        ("deadline", &[("pwritev2", 2 * ROUNDS), ("poll", ROUNDS), told]),
    ] {
        let (reader, writer) = pipe::create().unwrap();
        fill(&writer);
        let role = |rounds| {
            let writer = writer.try_clone().unwrap();
            test.child("write").arg(rounds).arg(form).descriptor(writer.into(), 90)
        };
        let reader = std::sync::Arc::new(reader);
        let wake = move |_| assert_eq!(reader.read(&mut [0; PIPE_BUF]).unwrap(), PIPE_BUF);
        match waiting::cost(role, ROOM, wake) {
            Ok(cost) if cost.contains_key("rt_sigaction") => {
                return test.skip(&older("6.18 (RWF_NOSIGNAL)"));
            }
            Ok(cost) => assert_eq!(cost, expected(calls), "{form}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

/// There is no flag that keeps SIGPIPE away from these, so each asks once whether it is ignored.
#[test]
fn moving_costs_one_call_more_to_keep_sigpipe_away() {
    let test = test!();
    test.role("move", |peer| {
        let (reader, writer) = pipe::create().unwrap();
        let (copies, copy) = pipe::create().unwrap();
        let zeros = File::open("/dev/zero").unwrap();
        let nowhere = File::options().write(true).open("/dev/null").unwrap();
        for _ in 0..rounds(peer) {
            assert_eq!(writer.vmsplice(b"lent").unwrap(), 4);
            assert_eq!(reader.tee_to(&copy, 64).unwrap(), 4);
            assert_eq!(reader.splice_to(&nowhere, None, 64).unwrap(), 4);
            assert_eq!(copies.splice_to_deadline(&nowhere, None, 64, later()).unwrap(), 4);
            assert_eq!(writer.try_splice_from(&zeros, None, 64).unwrap(), 64);
            assert_eq!(reader.try_splice_to(&nowhere, None, 64).unwrap(), 64);
        }
    });
    match cost(|rounds| test.child("move").arg(rounds)) {
        Ok(cost) => assert_eq!(
            cost,
            expected(&[
                ("splice", 4 * ROUNDS),
                ("tee", ROUNDS),
                ("vmsplice", ROUNDS),
                // To lend memory asks for the access mode, which decides about its direction.
                ("fcntl", ROUNDS),
                ("rt_sigaction", 6 * ROUNDS)
            ])
        ),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let mut buffer = [0; PIPE_BUF];
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            writer.write(b"ping").unwrap();
            reader.read(&mut buffer).unwrap();
            writer.write_atomic_deadline(b"ping", Deadline::now()).unwrap();
            reader.try_read(&mut buffer).unwrap();
            reader.try_read(&mut buffer).unwrap_err();
            reader.read_deadline(&mut buffer, Deadline::now()).unwrap_err();
        }
    });
    assert_eq!(measured.count_total, 0);
}

#[test]
fn moving_allocates_nothing() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let (copies, copy) = pipe::create().unwrap();
    let nowhere = File::options().write(true).open("/dev/null").unwrap();
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            writer.vmsplice(b"lent").unwrap();
            reader.tee_to(&copy, 64).unwrap();
            reader.splice_to(&copy, None, 64).unwrap();
            copies.splice_to_deadline(&nowhere, None, 64, Deadline::now()).unwrap();
            copies.try_splice_to(&nowhere, None, 64).unwrap_err();
            writer.splice_from_deadline(&copies, None, 64, Deadline::now()).unwrap_err();
        }
    });
    assert_eq!(measured.count_total, 0);
}

/// Where pages were moved, the kernel no longer takes `RWF_NOWAIT`: not waiting goes through a second description then.
#[test]
fn moving_takes_no_wait_with_it() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let (_copies, copy) = pipe::create().unwrap();
    writer.vmsplice(b"lent").unwrap();
    reader.tee_to(&copy, 64).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(reader.try_read(&mut buffer).unwrap(), 4);
    assert_eq!(reader.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    fill(&writer);
    assert_eq!(writer.write_deadline(b"x", Deadline::now()).unwrap_err().kind(), ErrorKind::TimedOut);
}
