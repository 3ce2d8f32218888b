//! Pipes: what both ends can rely on, and every form of waiting.

#[path = "support/pipes.rs"]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl};
use support::{fill, later, soon};
use twixt_os::pipe::{self, Flags, PIPE_BUF, Reader, Writer};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, Test, call, test, under_storm};

/// A child that has the read end as descriptor 7.
fn reading_child(test: &Test, role: &str) -> (Writer, Child) {
    let (reader, writer) = pipe::create().unwrap();
    (writer, test.child(role).descriptor(reader.into(), 7).spawn())
}

/// A child that has the write end as descriptor 7.
fn writing_child(test: &Test, role: &str) -> (Reader, Child) {
    let (reader, writer) = pipe::create().unwrap();
    (reader, test.child(role).descriptor(writer.into(), 7).spawn())
}

#[test]
fn what_was_written_is_read_and_then_the_end() {
    let test = test!();
    test.role("write", |_| Writer::inherited(7).unwrap().write_all(b"1233").unwrap());
    let (reader, child) = writing_child(&test, "write");
    child.succeed();
    // The writer has gone, its bytes have not.
    let mut buffer = [0; 64];
    assert_eq!(reader.read(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"1233");
    for _ in 0..3 {
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 0);
        assert_eq!(reader.read_deadline(&mut buffer, Deadline::now()).unwrap(), 0);
    }
}

#[test]
fn bytes_arrive_in_order_without_boundaries() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    for piece in [&b"1"[..], b"2", b"3"] {
        writer.write_all(piece).unwrap();
    }
    let mut two = [0; 2];
    assert_eq!(reader.read(&mut two).unwrap(), 2);
    assert_eq!(&two, b"12");
    // Fewer bytes than asked for are no reason to wait.
    let mut buffer = [0; 64];
    assert_eq!(reader.read(&mut buffer).unwrap(), 1);
    assert_eq!(buffer[0], b'3');
}

#[test]
fn a_read_waits_while_there_is_a_writer() {
    let test = test!();
    test.role("read", |peer| {
        let mut buffer = [0; 64];
        let read = Reader::inherited(7).unwrap().read(&mut buffer).unwrap();
        peer.say(std::str::from_utf8(&buffer[..read]).unwrap());
    });
    let (writer, mut child) = reading_child(&test, "read");
    child.wait_until_blocked_in(&[call::READ]);
    writer.write_all(b"now").unwrap();
    child.expect("now");
    child.succeed();
}

#[test]
fn a_write_to_a_full_pipe_waits_for_room() {
    let test = test!();
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        let written = fill(&writer);
        assert_eq!(written, writer.capacity().unwrap());
        assert_eq!(writer.queued().unwrap(), written);
        peer.say(&written.to_string());
        writer.write_all(b"more").unwrap();
    });
    let (mut reader, mut child) = writing_child(&test, "write");
    let full: usize = child.hear().parse().unwrap();
    child.wait_until_blocked_in(call::WRITING);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), full + 4);
    assert_eq!(&all[full..], b"more");
    child.succeed();
}

#[test]
fn the_death_of_the_writer_is_the_end_of_the_data() {
    let test = test!();
    test.role("wait", |peer| {
        let _writer = Writer::inherited(7).unwrap();
        peer.say("ready");
        peer.hear();
    });
    let (reader, mut child) = writing_child(&test, "wait");
    child.expect("ready");
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    child.kill();
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn the_death_of_the_reader_ends_a_waiting_write() {
    let test = test!();
    test.role("wait", |peer| {
        let _reader = Reader::inherited(7).unwrap();
        peer.say("ready");
        peer.hear();
    });
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        fill(&writer);
        let error = writer.write(b"nobody").unwrap_err();
        peer.say(&format!("{:?} {error}", error.kind()));
    });
    let (reader, writer) = pipe::create().unwrap();
    let mut holder = test.child("wait").descriptor(reader.into(), 7).spawn();
    let mut child = test.child("write").descriptor(writer.into(), 7).spawn();
    holder.expect("ready");
    child.wait_until_blocked_in(call::WRITING);
    holder.kill();
    assert_eq!(child.hear(), "PeerGone cannot write to pipe (descriptor 7): broken pipe (EPIPE)");
    child.succeed();
}

#[test]
fn nothing_is_waited_for_when_told_not_to() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let mut buffer = [0; 8];
    let error = reader.try_read(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let fd = rustix::fd::AsRawFd::as_raw_fd(&reader.as_fd());
    let text = format!("cannot read from pipe (descriptor {fd}): resource temporarily unavailable (EAGAIN)");
    assert_eq!(error.to_string(), text);

    fill(&writer);
    assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(writer.try_write_atomic(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    let error = writer.try_write_all(b"x").unwrap_err();
    assert_eq!((error.written, error.error.kind()), (0, ErrorKind::WouldBlock));
}

#[test]
fn a_deadline_is_kept() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let mut buffer = [0; 8];
    for deadline in [Deadline::now(), soon()] {
        assert_eq!(reader.read_deadline(&mut buffer, deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(deadline.has_passed());
    }
    fill(&writer);
    for deadline in [Deadline::now(), soon()] {
        assert_eq!(writer.write_deadline(b"x", deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(writer.write_atomic_deadline(b"x", deadline).unwrap_err().kind(), ErrorKind::TimedOut);
        let error = writer.write_all_deadline(b"x", deadline).unwrap_err();
        assert_eq!((error.written, error.error.kind()), (0, ErrorKind::TimedOut));
        assert!(deadline.has_passed());
    }
}

#[test]
fn what_can_be_done_at_once_is_done_past_the_deadline_too() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(writer.write_deadline(b"abc", Deadline::now()).unwrap(), 3);
    assert_eq!(reader.read_deadline(&mut buffer, Deadline::now()).unwrap(), 3);
    writer.write_all_deadline(b"abc", Deadline::now()).unwrap();
    writer.write_atomic_deadline(b"abc", Deadline::now()).unwrap();
    assert_eq!(reader.read_wait(&mut buffer, Wait::never()).unwrap(), 6);
}

#[test]
fn a_deadline_leaves_time_for_the_peer() {
    let test = test!();
    test.role("read", |peer| {
        let reader = Reader::inherited(7).unwrap();
        let mut buffer = [0; 64];
        let read = reader.read_deadline(&mut buffer, later()).unwrap();
        peer.say(&read.to_string());
    });
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        fill(&writer);
        peer.say("full");
        writer.write_all_deadline(&[b'x'; 100_000], later()).unwrap();
    });
    let (writer, mut child) = reading_child(&test, "read");
    child.wait_until_blocked_in(call::POLLING);
    writer.write_all(b"12345").unwrap();
    child.expect("5");
    child.succeed();

    let (mut reader, mut child) = writing_child(&test, "write");
    child.expect("full");
    child.wait_until_blocked_in(call::POLLING);
    let capacity = reader.capacity().unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), capacity + 100_000);
    child.succeed();
}

#[test]
fn a_partial_write_says_how_much_went() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let capacity = writer.capacity().unwrap();
    let bytes = vec![b'x'; capacity + 1000];
    let error = writer.write_all_deadline(&bytes, soon()).unwrap_err();
    assert_eq!((error.written, error.error.kind()), (capacity, ErrorKind::TimedOut));
    assert!(error.to_string().ends_with(&format!("(after {capacity} bytes)")), "{error}");
    assert_eq!(reader.queued().unwrap(), capacity);

    let mut buffer = vec![0; capacity];
    assert_eq!(reader.read(&mut buffer).unwrap(), capacity);
    // A single write does not wait again after the first part.
    assert_eq!(writer.write_deadline(&bytes, later()).unwrap(), capacity);
    let io: std::io::Error = writer.try_write_all(b"x").unwrap_err().into();
    assert_eq!(io.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn up_to_pipe_buf_bytes_go_wholly_or_not_at_all() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let capacity = writer.capacity().unwrap();
    fill(&writer);
    // One page has room again, less one byte.
    let mut page = [0; 4096];
    assert_eq!(reader.read(&mut page).unwrap(), 4096);
    writer.try_write(b"1").unwrap();
    assert_eq!(writer.try_write(&[0; PIPE_BUF]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(reader.queued().unwrap(), capacity - 4095);
    // More than that may go in part.
    assert_eq!(reader.read(&mut page).unwrap(), 4096);
    assert_eq!(writer.try_write(&[0; 2 * PIPE_BUF]).unwrap(), PIPE_BUF);

    let error = writer.write_atomic(&[0; PIPE_BUF + 1]).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, None));
}

#[test]
fn eight_writers_never_interleave() {
    const WRITERS: usize = 8;
    const LINES: usize = 200;
    let test = test!();
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        let mut line = vec![peer.arg(0).as_bytes()[0]; PIPE_BUF];
        line[PIPE_BUF - 1] = b'\n';
        peer.wait_for("go");
        for _ in 0..LINES {
            writer.write_atomic(&line).unwrap();
        }
    });
    let (mut reader, writer) = pipe::create().unwrap();
    let mut children: Vec<_> = (0..WRITERS)
        .map(|number| {
            let end = writer.try_clone().unwrap();
            test.child("write").arg(number).descriptor(end.into(), 7).spawn()
        })
        .collect();
    drop(writer);
    for child in &mut children {
        child.tell("go");
    }
    let mut counts = [0; WRITERS];
    let mut line = vec![0; PIPE_BUF];
    for _ in 0..WRITERS * LINES {
        reader.read_exact(&mut line).unwrap();
        let (letters, end) = line.split_at(PIPE_BUF - 1);
        assert_eq!(end, b"\n");
        assert!(letters.iter().all(|letter| *letter == letters[0]), "two writers in one line");
        counts[usize::from(letters[0] - b'0')] += 1;
    }
    assert_eq!(reader.read(&mut line).unwrap(), 0);
    assert_eq!(counts, [LINES; WRITERS]);
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn a_read_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("read", |peer| {
        let reader = Reader::inherited(7).unwrap();
        let mut buffer = [0; 8];
        let form = peer.arg(0);
        let read = under_storm(peer, || match form.as_str() {
            "block" => reader.read(&mut buffer),
            "deadline" => reader.read_deadline(&mut buffer, later()),
            _ => Read::read(&mut &reader, &mut buffer).map_err(|error| panic!("{error}")),
        });
        assert_eq!(read.unwrap(), 4);
        let interrupted = || {
            let _storm = twixt_testkit::Storm::on_this_thread();
            let first = reader.read_interruptible(&mut [0; 8]).unwrap_err();
            let second = reader.read_wait(&mut [0; 8], Wait::until(later()).interruptible()).unwrap_err();
            (first.kind(), second.kind())
        };
        assert_eq!(interrupted(), (ErrorKind::Interrupted, ErrorKind::Interrupted));
    });
    for form in ["block", "deadline", "io"] {
        let (reader, writer) = pipe::create().unwrap();
        let mut child = test.child("read").arg(form).descriptor(reader.into(), 7).spawn();
        child.expect("stormed");
        writer.write_all(b"calm").unwrap();
        child.succeed();
    }
}

#[test]
fn a_write_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        fill(&writer);
        let form = peer.arg(0);
        under_storm(peer, || match form.as_str() {
            "block" => assert_eq!(writer.write(b"calm").unwrap(), 4),
            "deadline" => assert_eq!(writer.write_deadline(b"calm", later()).unwrap(), 4),
            "all" => writer.write_all(b"calm").unwrap(),
            _ => writer.write_atomic(b"calm").unwrap(),
        });
        fill(&writer);
        let _storm = twixt_testkit::Storm::on_this_thread();
        let kinds = [
            writer.write_interruptible(b"x").unwrap_err().kind(),
            writer.write_all_interruptible(b"x").unwrap_err().error.kind(),
            writer.write_atomic_interruptible(b"x").unwrap_err().kind(),
            writer.write_wait(b"x", Wait::until(later()).interruptible()).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Interrupted; 4]);
        peer.say("interrupted");
    });
    for form in ["block", "deadline", "all", "atomic"] {
        let (reader, writer) = pipe::create().unwrap();
        let mut child = test.child("write").arg(form).descriptor(writer.into(), 7).spawn();
        child.expect("stormed");
        let capacity = reader.capacity().unwrap();
        assert_eq!(reader.read(&mut vec![0; capacity]).unwrap(), capacity);
        child.expect("interrupted");
        child.succeed();
    }
}

#[test]
fn a_long_write_goes_on_after_each_signal() {
    let test = test!();
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        under_storm(peer, || writer.write_all(&vec![b'x'; 3_000_000]).unwrap());
    });
    let (mut reader, mut child) = writing_child(&test, "write");
    child.expect("stormed");
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 3_000_000);
    child.succeed();
}

#[test]
fn packets_keep_their_boundaries() {
    let test = test!();
    test.role("write", |_| {
        let writer = Writer::inherited(7).unwrap();
        assert!(writer.makes_packets().unwrap());
        writer.write_atomic(b"one").unwrap();
        assert_eq!(writer.write_deadline(b"two", later()).unwrap(), 3);
        assert_eq!(writer.try_write(b"three").unwrap(), 5);
        // An empty write is no packet.
        assert_eq!(writer.write(b"").unwrap(), 0);
        writer.write_all(&[b'x'; PIPE_BUF + 10]).unwrap();
    });
    let (reader, writer) = pipe::create_with(Flags::PACKETS).unwrap();
    test.child("write").descriptor(writer.into(), 7).spawn().succeed();
    let mut buffer = [0; 2 * PIPE_BUF];
    assert_eq!(reader.read(&mut buffer).unwrap(), 3);
    assert_eq!(reader.try_read(&mut buffer).unwrap(), 3);
    // What does not fit is lost.
    assert_eq!(reader.read(&mut buffer[..2]).unwrap(), 2);
    assert_eq!(&buffer[..2], b"th");
    assert_eq!(reader.read_deadline(&mut buffer, later()).unwrap(), PIPE_BUF);
    assert_eq!(reader.read(&mut buffer).unwrap(), 10);
    assert_eq!(reader.read(&mut buffer).unwrap(), 0);
}

#[test]
fn packets_can_be_switched() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    assert!(!writer.makes_packets().unwrap());
    writer.make_packets(true).unwrap();
    writer.write(b"a").unwrap();
    writer.write(b"b").unwrap();
    writer.make_packets(false).unwrap();
    writer.write(b"c").unwrap();
    writer.write(b"d").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(reader.read(&mut buffer).unwrap(), 1);
    assert_eq!(reader.read(&mut buffer).unwrap(), 1);
    assert_eq!(reader.read(&mut buffer).unwrap(), 2);
}

#[test]
fn the_shared_description_is_left_alone() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let flags = |end: &dyn AsFd| fcntl_getfl(end.as_fd()).unwrap();
    let before = (flags(&reader), flags(&writer));
    let _ = reader.try_read(&mut [0; 8]);
    let _ = reader.read_deadline(&mut [0; 8], Deadline::now());
    writer.try_write(b"x").unwrap();
    writer.write_all_deadline(&[0; 100_000], Deadline::now()).unwrap_err();
    assert_eq!((flags(&reader), flags(&writer)), before);
    assert!(!before.0.contains(OFlags::NONBLOCK) && !before.1.contains(OFlags::NONBLOCK));
}

#[test]
fn a_description_that_is_nonblocking_is_waited_for_all_the_same() {
    let test = test!();
    test.role("read", |peer| {
        let reader = Reader::inherited(7).unwrap();
        assert!(fcntl_getfl(&reader).unwrap().contains(OFlags::NONBLOCK));
        peer.say("ready");
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 4);
    });
    test.role("write", |peer| {
        let writer = Writer::inherited(7).unwrap();
        fill(&writer);
        peer.say("full");
        writer.write_all(&[0; 100_000]).unwrap();
    });
    let (reader, writer) = pipe::create_with(Flags::NONBLOCK).unwrap();
    let mut child = test.child("read").descriptor(reader.into(), 7).spawn();
    child.expect("ready");
    child.wait_until_blocked_in(call::POLLING);
    writer.write_all(b"late").unwrap();
    child.succeed();

    let (mut reader, writer) = pipe::create_with(Flags::NONBLOCK).unwrap();
    let mut child = test.child("write").descriptor(writer.into(), 7).spawn();
    child.expect("full");
    child.wait_until_blocked_in(call::POLLING);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), reader.capacity().unwrap() + 100_000);
    child.succeed();
}

#[test]
fn the_standard_traits_work_on_shared_handles() {
    let test = test!();
    // In a process without other threads that fork, and so copy the ends for a moment.
    test.role("alone", |_| use_the_standard_traits());
    test.child("alone").spawn().succeed();
}

fn use_the_standard_traits() {
    let (reader, writer) = pipe::create().unwrap();
    let slices = [std::io::IoSlice::new(b"ab"), std::io::IoSlice::new(b"cd")];
    // By its full name: the writer has one of its own.
    assert_eq!(Write::write_vectored(&mut &writer, &slices).unwrap(), 4);
    (&writer).flush().unwrap();
    let (mut one, mut two) = ([0; 3], [0; 3]);
    let mut parts = [std::io::IoSliceMut::new(&mut one), std::io::IoSliceMut::new(&mut two)];
    assert_eq!((&reader).read_vectored(&mut parts).unwrap(), 4);
    assert_eq!((&one, two[0]), (b"abc", b'd'));
    drop(reader);
    let error = Write::write_vectored(&mut &writer, &slices).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    let source = error.get_ref().and_then(|source| source.downcast_ref::<twixt_os::Error>());
    assert_eq!(source.unwrap().kind(), ErrorKind::PeerGone);
}

#[test]
fn only_pipes_are_taken_over_and_only_in_their_direction() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let error = Writer::try_from(OwnedFd::from(reader)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("the descriptor was not opened in this direction"), "{error}");
    assert_eq!(Reader::try_from(OwnedFd::from(writer)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = Reader::try_from(OwnedFd::from(File::open("/dev/null").unwrap())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("the descriptor is not a pipe"), "{error}");

    let (reader, writer) = std::io::pipe().unwrap();
    let (reader, writer) = (Reader::try_from(OwnedFd::from(reader)), Writer::try_from(OwnedFd::from(writer)));
    writer.unwrap().write_all(b"std").unwrap();
    assert_eq!(reader.unwrap().read(&mut [0; 8]).unwrap(), 3);
}

#[test]
fn a_copy_of_the_write_end_holds_off_the_end_of_the_data() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    let copy = writer.try_clone().unwrap();
    drop(writer);
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(copy);
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn what_the_texts_say_of_the_descriptors() {
    let _test = test!();
    let (reader, writer) = pipe::create().unwrap();
    // Each end works in its own direction only, and neither has a position.
    assert_eq!(rustix::io::write(&reader, b"x"), Err(rustix::io::Errno::BADF));
    assert_eq!(rustix::io::read(&writer, &mut [0; 8]), Err(rustix::io::Errno::BADF));
    let start = rustix::fs::SeekFrom::Start(0);
    assert_eq!(rustix::fs::seek(&reader, start), Err(rustix::io::Errno::SPIPE));
    assert_eq!(PIPE_BUF, 4096);
    // It is nowhere in a file system.
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader.as_fd()));
    assert!(std::fs::read_link(link).unwrap().to_str().unwrap().starts_with("pipe:["));
}

/// One text has it that only relatives can share a pipe: they are not the only ones, where `/proc` lets them in.
#[test]
fn a_process_that_inherited_nothing_can_take_part() {
    let test = test!();
    test.role("stranger", |peer| {
        let file = File::options().write(true).open(peer.arg(0)).unwrap();
        Writer::try_from(OwnedFd::from(file)).unwrap().write_all(b"from a stranger").unwrap();
    });
    let (mut reader, writer) = pipe::create().unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&writer.as_fd());
    let path = format!("/proc/{}/fd/{number}", std::process::id());
    test.child("stranger").arg(path).spawn().succeed();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from a stranger");
}
