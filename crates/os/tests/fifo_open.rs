//! FIFOs: the open modes, their blocking rules, deadlines and interruption.

#[path = "support/pipes.rs"]
mod support;

use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use support::later;
use twixt_os::fifo::Fifo;
use twixt_os::{Deadline, ErrorKind, Mode, Wait};
use twixt_testkit::{Peer, Storm, TempDir, call, namespaces, scratch, test, under_storm};

fn make() -> (TempDir, Fifo) {
    let directory = scratch();
    let fifo = Fifo::create(directory.path().join("fifo"), Mode::OWNER).unwrap();
    (directory, fifo)
}

/// The role of a process that opens the FIFO of its first argument in the form of its second, and says how it went.
fn open_in_form(peer: &Peer) {
    let fifo = Fifo::open(peer.arg(0)).unwrap();
    let soon = Deadline::after(Duration::from_millis(20));
    let outcome = match peer.arg(1).as_str() {
        "read" => fifo.open_read().map(drop),
        "read-interruptible" => fifo.open_read_interruptible().map(drop),
        "read-later" => fifo.open_read_deadline(later()).map(drop),
        "read-soon" => fifo.open_read_deadline(soon).map(drop),
        "read-past" => fifo.open_read_deadline(Deadline::now()).map(drop),
        "read-either" => fifo.open_read_wait(Wait::until(later()).interruptible()).map(drop),
        "write" => fifo.open_write().map(drop),
        "write-interruptible" => fifo.open_write_interruptible().map(drop),
        "write-later" => fifo.open_write_deadline(later()).map(drop),
        "write-soon" => fifo.open_write_deadline(soon).map(drop),
        "write-past" => fifo.open_write_deadline(Deadline::now()).map(drop),
        "write-either" => fifo.open_write_wait(Wait::until(later()).interruptible()).map(drop),
        form => panic!("no form {form}"),
    };
    peer.say(&match outcome {
        Ok(()) => "opened".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    });
}

#[test]
fn opening_to_read_waits_for_a_writer() {
    let test = test!();
    test.role("open", open_in_form);
    for (form, blocked) in [("read", &[call::OPEN][..]), ("read-later", call::POLLING)] {
        let (_directory, fifo) = make();
        let mut child = test.child("open").arg(fifo.path().display()).arg(form).spawn();
        child.wait_until_blocked_in(blocked);
        // Returns at once: the other side is there already.
        let _writer = fifo.open_write().unwrap();
        child.expect("opened");
        child.succeed();
    }
}

#[test]
fn opening_to_write_waits_for_a_reader() {
    let test = test!();
    test.role("open", open_in_form);
    for (form, blocked) in [("write", &[call::OPEN][..]), ("write-later", call::POLLING)] {
        let (_directory, fifo) = make();
        let mut child = test.child("open").arg(fifo.path().display()).arg(form).spawn();
        child.wait_until_blocked_in(blocked);
        let _reader = fifo.open_read().unwrap();
        child.expect("opened");
        child.succeed();
    }
}

#[test]
fn both_may_wait_with_a_deadline() {
    let test = test!();
    test.role("open", open_in_form);
    let (_directory, fifo) = make();
    let start = |form| test.child("open").arg(fifo.path().display()).arg(form).spawn();
    let (mut reader, mut writer) = (start("read-later"), start("write-later"));
    reader.expect("opened");
    writer.expect("opened");
    reader.succeed();
    writer.succeed();
}

#[test]
fn a_deadline_without_a_partner_passes() {
    let test = test!();
    test.role("open", open_in_form);
    let (_directory, fifo) = make();
    for form in ["read-soon", "read-past", "write-soon", "write-past"] {
        let mut child = test.child("open").arg(fifo.path().display()).arg(form).spawn();
        child.expect("TimedOut");
        child.succeed();
    }
}

#[test]
fn a_partner_that_is_there_is_found_past_the_deadline_too() {
    let test = test!();
    test.role("open", open_in_form);
    let (_directory, fifo) = make();
    let _both = fifo.open_read_write().unwrap();
    for form in ["read-past", "write-past"] {
        let mut child = test.child("open").arg(fifo.path().display()).arg(form).spawn();
        child.expect("opened");
        child.succeed();
    }
}

#[test]
fn nobody_there_is_said_at_once() {
    let _test = test!();
    let (_directory, fifo) = make();
    let error = fifo.try_open_write().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPeer);
    let path = fifo.path().display();
    let text = format!(
        "cannot open for writing FIFO {path}: no such device or address (ENXIO); \
         no process has it open for reading"
    );
    assert_eq!(error.to_string(), text);
    let error = fifo.try_open_read().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPeer);
    assert_eq!(
        error.to_string(),
        format!("cannot open for reading FIFO {path}: no process has it open for writing")
    );
}

#[test]
fn a_writer_that_has_written_nothing_is_seen() {
    let _test = test!();
    let (_directory, fifo) = make();
    let first = fifo.open_read_now().unwrap();
    let writer = fifo.open_write().unwrap();
    let second = fifo.try_open_read().unwrap();
    // Looking consumed nothing, and left the descriptions blocking.
    writer.write_all(b"whole").unwrap();
    let third = fifo.try_open_read().unwrap();
    assert_eq!(third.read(&mut [0; 64]).unwrap(), 5);
    for reader in [first, second, third] {
        assert!(!fcntl_getfl(&reader).unwrap().contains(OFlags::NONBLOCK));
    }
    assert!(!fcntl_getfl(&writer).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn a_writer_that_came_and_went_ends_the_waiting() {
    let test = test!();
    test.role("open", open_in_form);
    let (_directory, fifo) = make();
    let mut child = test.child("open").arg(fifo.path().display()).arg("read-later").spawn();
    drop(fifo.open_write().unwrap());
    child.expect("opened");
    child.succeed();
}

#[test]
fn opening_to_read_at_once_needs_nobody() {
    let test = test!();
    test.role("read", |peer| {
        let fifo = Fifo::open(peer.arg(0)).unwrap();
        let reader = fifo.open_read_now().unwrap();
        let mut buffer = [0; 64];
        // Without a writer a read does not wait, though the descriptor is a blocking one: it is the end of the data.
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
        assert_eq!(reader.try_read(&mut buffer).unwrap(), 0);
        peer.say("end");
        peer.wait_for("written");
        let read = reader.read(&mut buffer).unwrap();
        peer.say(std::str::from_utf8(&buffer[..read]).unwrap());
        // With one that has written nothing more, it is EAGAIN and not 0.
        assert_eq!(reader.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        peer.say("empty");
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    });
    let (_directory, fifo) = make();
    let mut child = test.child("read").arg(fifo.path().display()).spawn();
    child.expect("end");
    let writer = fifo.open_write().unwrap();
    writer.write_all(b"late").unwrap();
    child.tell("written");
    child.expect("late");
    child.expect("empty");
    child.wait_until_blocked_in(&[call::READ]);
    drop(writer);
    child.succeed();
}

#[test]
fn opening_for_both_never_waits() {
    let test = test!();
    test.role("both", |peer| {
        let fifo = Fifo::open(peer.arg(0)).unwrap();
        let (reader, writer) = fifo.open_read_write().unwrap();
        // What it writes itself comes back, writers may come and go, and the data has no end.
        writer.write_all(b"own").unwrap();
        assert_eq!(reader.read(&mut [0; 64]).unwrap(), 3);
        drop(fifo.open_write().unwrap());
        assert_eq!(reader.try_read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(writer);
        let deadline = Deadline::after(Duration::from_millis(10));
        assert_eq!(reader.read_deadline(&mut [0; 64], deadline).unwrap_err().kind(), ErrorKind::TimedOut);
    });
    let (_directory, fifo) = make();
    test.child("both").arg(fifo.path().display()).spawn().succeed();
}

#[test]
fn opening_weathers_a_storm_of_signals() {
    let test = test!();
    test.role("storm", |peer| under_storm(peer, || open_in_form(peer)));
    for form in ["read", "read-later", "write", "write-later"] {
        let (_directory, fifo) = make();
        let mut child = test.child("storm").arg(fifo.path().display()).arg(form).spawn();
        child.expect("stormed");
        if form.starts_with("read") {
            drop(fifo.open_write().unwrap());
        } else {
            drop(fifo.open_read().unwrap());
        }
        child.expect("opened");
        child.succeed();
    }
}

#[test]
fn opening_can_be_interrupted() {
    let test = test!();
    test.role("storm", |peer| {
        let _storm = Storm::on_this_thread();
        open_in_form(peer);
    });
    let (_directory, fifo) = make();
    for form in ["read-interruptible", "read-either", "write-interruptible", "write-either"] {
        let mut child = test.child("storm").arg(fifo.path().display()).arg(form).spawn();
        child.expect("Interrupted");
        child.succeed();
    }
}

#[test]
fn a_partner_that_dies_while_opening_leaves_nothing() {
    let test = test!();
    test.role("open", open_in_form);
    let (_directory, fifo) = make();
    let child = test.child("open").arg(fifo.path().display()).arg("write").spawn();
    child.wait_until_blocked_in(&[call::OPEN]);
    child.kill();
    assert_eq!(fifo.try_open_write().unwrap_err().kind(), ErrorKind::NoPeer);
    assert_eq!(fifo.try_open_read().unwrap_err().kind(), ErrorKind::NoPeer);
}

#[test]
fn without_proc_the_error_says_so() {
    let test = test!();
    test.role("open", |peer| {
        let mount = ["-t", "tmpfs", "none", "/proc"];
        assert!(std::process::Command::new("mount").args(mount).status().unwrap().success());
        let fifo = Fifo::open(peer.arg(0)).unwrap();
        let error = fifo.open_read_now().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().ends_with("mount /proc, through which it is opened"), "{error}");
    });
    let wrapper = match namespaces() {
        Ok(wrapper) => wrapper,
        Err(missing) => return test.skip(&missing),
    };
    let (_directory, fifo) = make();
    test.child("open").arg(fifo.path().display()).under(&wrapper).spawn().succeed();
}
