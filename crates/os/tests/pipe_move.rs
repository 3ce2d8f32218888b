//! Pipes: pages moved rather than copied, and ends that are standard streams.

#[path = "support/pipes.rs"]
mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{fill, later};
use twixt_os::pipe::{self, Reader, Writer};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, call, command, scratch, test, under_storm};

#[test]
fn splice_moves_between_files_and_pipes() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("file");
    fs::write(&path, "0123456789").unwrap();
    let file = File::open(&path).unwrap();
    let (reader, writer) = pipe::create().unwrap();

    assert_eq!(writer.splice_from(&file, None, 4).unwrap(), 4);
    let mut offset = 8;
    assert_eq!(writer.splice_from(&file, Some(&mut offset), 100).unwrap(), 2);
    assert_eq!(offset, 10);
    // The end of the source.
    assert_eq!(writer.splice_from(&file, Some(&mut offset), 100).unwrap(), 0);
    assert_eq!(reader.queued().unwrap(), 6);

    let copy_path = directory.path().join("copy");
    fs::write(&copy_path, "----------").unwrap();
    let copy = File::options().write(true).open(&copy_path).unwrap();
    let mut offset = 1;
    assert_eq!(reader.splice_to(&copy, Some(&mut offset), 5).unwrap(), 5);
    assert_eq!(offset, 6);
    assert_eq!(reader.splice_to(&copy, None, 100).unwrap(), 1);
    assert_eq!(fs::read_to_string(&copy_path).unwrap(), "901238----");
    // The end of the data.
    drop(writer);
    assert_eq!(reader.splice_to(&copy, None, 100).unwrap(), 0);
}

/// What was spliced from a file is the file's page, not a copy of it.
#[test]
fn a_file_that_changes_changes_in_the_pipe_too() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("file");
    fs::write(&path, "before").unwrap();
    let (reader, writer) = pipe::create().unwrap();
    assert_eq!(writer.splice_from(File::open(&path).unwrap(), None, 100).unwrap(), 6);
    File::options().write(true).open(&path).unwrap().write_all(b"after!").unwrap();
    let mut text = [0; 6];
    assert_eq!(reader.read(&mut text).unwrap(), 6);
    assert!(&text == b"after!" || &text == b"before", "the file system decides");
}

#[test]
fn splice_moves_between_pipes() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let (second_reader, second_writer) = pipe::create().unwrap();
    writer.write_all(b"through two pipes").unwrap();
    assert_eq!(reader.splice_to(&second_writer, None, 7).unwrap(), 7);
    assert_eq!(second_writer.splice_from(&reader, None, 100).unwrap(), 10);
    let mut text = [0; 64];
    let read = second_reader.read(&mut text).unwrap();
    assert_eq!(&text[..read], b"through two pipes");
}

#[test]
fn tee_copies_and_consumes_nothing() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let (copies, copy) = pipe::create().unwrap();
    writer.write_all(b"twice").unwrap();
    assert_eq!(reader.tee_to(&copy, 100).unwrap(), 5);
    assert_eq!(reader.try_tee_to(&copy, 2).unwrap(), 2);
    let mut text = [0; 64];
    assert_eq!(copies.read(&mut text).unwrap(), 7);
    assert_eq!(&text[..7], b"twicetw");
    assert_eq!(reader.read(&mut text).unwrap(), 5);
    drop(writer);
    assert_eq!(reader.tee_to(&copy, 100).unwrap(), 0);
}

#[test]
fn vmsplice_lends_memory() {
    static LENT: [u8; 10_000] = [b'm'; 10_000];
    let test = test!();
    test.role("write", |_| {
        let writer = Writer::inherited(7).unwrap();
        let mut sent = 0;
        while sent < LENT.len() {
            sent += writer.vmsplice_deadline(&LENT[sent..], later()).unwrap();
        }
    });
    let (mut reader, writer) = pipe::create().unwrap();
    test.child("write").descriptor(writer.into(), 7).spawn().succeed();
    // The process is gone, its pages are not.
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all, LENT);
}

#[test]
fn moving_does_not_wait_when_told() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let (_second_reader, second_writer) = pipe::create().unwrap();
    let would_block = |result: twixt_os::Result<usize>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
    };
    let times_out = |result: twixt_os::Result<usize>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    };
    let soon = || Deadline::after(Duration::from_millis(10));
    // An empty source.
    would_block(reader.try_splice_to(&second_writer, None, 10));
    would_block(reader.try_tee_to(&second_writer, 10));
    would_block(second_writer.try_splice_from(&reader, None, 10));
    for deadline in [Deadline::now(), soon()] {
        times_out(reader.splice_to_deadline(&second_writer, None, 10, deadline));
        times_out(reader.tee_to_deadline(&second_writer, 10, deadline));
        times_out(second_writer.splice_from_deadline(&reader, None, 10, deadline));
    }
    // A full target.
    writer.write_all(b"source").unwrap();
    fill(&second_writer);
    would_block(reader.try_splice_to(&second_writer, None, 10));
    would_block(reader.try_tee_to(&second_writer, 10));
    would_block(second_writer.try_splice_from(&reader, None, 10));
    would_block(second_writer.try_vmsplice(b"lent"));
    for deadline in [Deadline::now(), soon()] {
        times_out(reader.splice_to_deadline(&second_writer, None, 10, deadline));
        times_out(reader.tee_to_deadline(&second_writer, 10, deadline));
        times_out(second_writer.splice_from_deadline(&reader, None, 10, deadline));
        times_out(second_writer.vmsplice_deadline(b"lent", deadline));
    }
    assert_eq!(reader.queued().unwrap(), 6);
}

#[test]
fn moving_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("move", |peer| {
        let source = Reader::inherited(7).unwrap();
        let (reader, writer) = pipe::create().unwrap();
        let form = peer.arg(0);
        let interrupted = Wait::until(later()).interruptible();
        let kinds = |results: [twixt_os::Result<usize>; 2]| {
            for result in results {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
            }
        };
        let storm = twixt_testkit::Storm::on_this_thread();
        match form.as_str() {
            "splice" => kinds([
                source.splice_to_interruptible(&writer, None, 10),
                source.splice_to_wait(&writer, None, 10, interrupted),
            ]),
            "splice_from" => kinds([
                writer.splice_from_interruptible(&source, None, 10),
                writer.splice_from_wait(&source, None, 10, interrupted),
            ]),
            _ => kinds([
                source.tee_to_interruptible(&writer, 10),
                source.tee_to_wait(&writer, 10, interrupted),
            ]),
        }
        drop(storm);
        let moved = under_storm(peer, || match (form.as_str(), peer.arg(1).as_str()) {
            ("splice", "block") => source.splice_to(&writer, None, 10),
            ("splice", _) => source.splice_to_deadline(&writer, None, 10, later()),
            ("splice_from", "block") => writer.splice_from(&source, None, 10),
            ("splice_from", _) => writer.splice_from_deadline(&source, None, 10, later()),
            (_, "block") => source.tee_to(&writer, 10),
            _ => source.tee_to_deadline(&writer, 10, later()),
        });
        assert_eq!(moved.unwrap(), 4);
        assert_eq!(reader.queued().unwrap(), 4);
    });
    for form in ["splice", "splice_from", "tee"] {
        for wait in ["block", "deadline"] {
            let (reader, writer) = pipe::create().unwrap();
            let mut child = test.child("move").arg(form).arg(wait).descriptor(reader.into(), 7).spawn();
            child.expect("stormed");
            writer.write_all(b"calm").unwrap();
            child.succeed();
        }
    }
}

#[test]
fn lending_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("lend", |peer| {
        let writer = Writer::inherited(7).unwrap();
        fill(&writer);
        let storm = twixt_testkit::Storm::on_this_thread();
        assert_eq!(writer.vmsplice_interruptible(b"lent").unwrap_err().kind(), ErrorKind::Interrupted);
        drop(storm);
        let lent = under_storm(peer, || match peer.arg(0).as_str() {
            "block" => writer.vmsplice(b"lent"),
            _ => writer.vmsplice_deadline(b"lent", later()),
        });
        assert_eq!(lent.unwrap(), 4);
    });
    for form in ["block", "deadline"] {
        let (mut reader, writer) = pipe::create().unwrap();
        let mut child = test.child("lend").arg(form).descriptor(writer.into(), 7).spawn();
        child.expect("stormed");
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert!(all.ends_with(b"lent"));
        child.succeed();
    }
}

/// Both ends look ready, and yet nothing can be moved: others are always faster. `strace` plays them.
#[test]
fn moving_keeps_its_deadline_where_readiness_lies() {
    let test = test!();
    test.role("move", |_| {
        let (reader, writer) = pipe::create().unwrap();
        let (_copies, copy) = pipe::create().unwrap();
        writer.write_all(b"there").unwrap();
        for deadline in [Deadline::now(), Deadline::after(Duration::from_millis(20))] {
            let kinds = [
                reader.splice_to_deadline(&copy, None, 10, deadline).unwrap_err().kind(),
                copy.splice_from_deadline(&reader, None, 10, deadline).unwrap_err().kind(),
                reader.tee_to_deadline(&copy, 10, deadline).unwrap_err().kind(),
            ];
            assert_eq!(kinds, [ErrorKind::TimedOut; 3]);
        }
    });
    if let Err(missing) = command("strace") {
        return test.skip(&missing);
    }
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=splice,tee:error=EAGAIN"];
    test.child("move").under(&words).spawn().succeed();
}

#[test]
fn moving_waits_for_either_end() {
    let test = test!();
    test.role("move", |peer| {
        let (source, target) = (Reader::inherited(7).unwrap(), Writer::inherited(8).unwrap());
        match peer.arg(0).as_str() {
            "block" => assert_eq!(source.splice_to(&target, None, 100).unwrap(), 4),
            _ => assert_eq!(source.splice_to_deadline(&target, None, 100, later()).unwrap(), 4),
        }
    });
    for (form, blocked) in [("block", &[call::SPLICE][..]), ("deadline", call::POLLING)] {
        let (source, feed) = pipe::create().unwrap();
        let (reader, target) = pipe::create().unwrap();
        fill(&target);
        let child = test.child("move").arg(form);
        let child = child.descriptor(source.into(), 7).descriptor(target.into(), 8).spawn();
        child.wait_until_blocked_in(blocked);
        feed.write_all(b"fed.").unwrap();
        // Now it waits for the target, if it has not seen the room yet.
        let mut buffer = vec![0; reader.capacity().unwrap()];
        assert_eq!(reader.read(&mut buffer).unwrap(), buffer.len());
        assert_eq!(reader.read(&mut buffer).unwrap(), 4);
        child.succeed();
    }
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let _test = test!();
    let directory = scratch();
    let (reader, writer) = pipe::create().unwrap();
    writer.write_all(b"x").unwrap();
    assert_eq!(reader.splice_to(&writer, None, 1).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(reader.tee_to(&writer, 1).unwrap_err().kind(), ErrorKind::InvalidInput);
    let append = File::options().append(true).create(true).open(directory.path().join("log")).unwrap();
    assert_eq!(reader.splice_to(&append, None, 1).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(reader.queued().unwrap(), 1);
}

#[test]
fn ends_become_standard_streams() {
    let _test = test!();
    let (child_in, writer) = pipe::create().unwrap();
    let (mut reader, child_out) = pipe::create().unwrap();
    let mut child = Command::new("cat").stdin(child_in).stdout(child_out).spawn().unwrap();
    writer.write_all(b"meow").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "meow");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_unrelated_child_holds_no_copy() {
    let _test = test!();
    let (mut reader, writer) = pipe::create().unwrap();
    let copy = writer.try_clone().unwrap();
    // Opened again with O_NONBLOCK in one of them, perhaps: no copy of that either.
    fill(&copy);
    let mut unrelated = Child::start({
        let mut command = Command::new("cat");
        command.stderr(Stdio::null());
        command
    });
    writer.write_all(b"").unwrap();
    drop((writer, copy));
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 65536);
    unrelated.close_stdin();
    assert!(unrelated.wait().success());
}

#[test]
fn words_that_change_later_are_read_as_they_were() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let _test = test!();
    static WORDS: [AtomicU64; 3] = [AtomicU64::new(1), AtomicU64::new(2), AtomicU64::new(3)];
    let (reader, writer) = pipe::create().unwrap();
    let forever = twixt_os::Wait::forever();
    // From the second word on, and not to the end.
    assert_eq!(writer.vmsplice_words_wait(&WORDS, 8, 12, forever).unwrap(), 12);
    let mut buffer = [0; 16];
    assert_eq!(reader.read(&mut buffer).unwrap(), 12);
    assert_eq!(buffer[..8], 2u64.to_ne_bytes());
    // Once it was read, it may be written to again.
    WORDS[1].store(7, Ordering::Relaxed);
    assert_eq!(writer.vmsplice_words_wait(&WORDS, 8, 8, forever).unwrap(), 8);
    assert_eq!(reader.read(&mut buffer).unwrap(), 8);
    assert_eq!(buffer[..8], 7u64.to_ne_bytes());
    for (from, len) in [(20, 5), (25, 0), (usize::MAX, 2)] {
        let error = writer.vmsplice_words_wait(&WORDS, from, len, forever).unwrap_err();
        assert_eq!(error.kind(), twixt_os::ErrorKind::InvalidInput, "{from} {len}");
    }
}
