//! Channels over files.

#[path = "support/channels.rs"]
mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use allocation_counter::measure;
use support::*;
use twixt_channel::{Capabilities, Capacity, Message, Opening, Persistence, Receiver, Sender};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Child, TempDir, call, command, output, root, scratch, test};

/// A directory, the path of a file that is not in it yet, and its address.
fn unused() -> (TempDir, PathBuf, String) {
    let directory = scratch();
    let path = directory.path().join("log");
    let address = format!("file:{}", path.display());
    (directory, path, address)
}

/// What is there, up to the present end.
fn all(text: &str) -> Vec<String> {
    let mut receiver = Opening::new(&address(text)).to_present_end().receiver().unwrap();
    assert!(receiver.capabilities().sees_end);
    let messages: Vec<_> = receiver.messages().map(|message| message.unwrap().into_bytes()).collect();
    messages.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn lines_go_from_process_to_process() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = receiver(&peer.arg(0));
        for _ in 0..4 {
            peer.say(&String::from_utf8(receiver.receive().unwrap().into_bytes()).unwrap());
        }
    });
    let (_directory, path, address) = unused();
    let mut sender = sender(&format!("{address}?create&mode=0640"));
    sender.send(b"before").unwrap();
    let mut child = test.child("receiver").arg(&address).spawn();
    child.expect("before");
    child.wait_until_blocked_in(call::POLLING);
    sender.send(b"after").unwrap();
    child.expect("after");
    sender.send(b"").unwrap();
    child.expect("");
    // Whoever appends is a sender.
    writeln!(File::options().append(true).open(&path).unwrap(), "by others").unwrap();
    child.expect("by others");
    child.succeed();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\nafter\n\nby others\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn the_end_is_the_present_one_or_none() {
    let _test = test!();
    let (_directory, path, address) = unused();
    fs::write(&path, "one\ntwo\nno newline").unwrap();
    let mut followed = receiver(&address);
    assert_eq!((next(&mut followed), next(&mut followed)), (b"one".to_vec(), b"two".to_vec()));
    finds_nothing(&mut followed);
    assert_eq!(followed.len().unwrap(), Some(10));
    assert_eq!(all(&address), ["one", "two", "no newline"]);
    writeln!(File::options().append(true).open(&path).unwrap(), ", at first").unwrap();
    assert_eq!(next(&mut followed), b"no newline, at first");
    let mut present = Opening::new(&self::address(&address)).to_present_end().receiver().unwrap();
    assert_eq!(present.messages().count(), 3);
    // What is appended later is there for whoever asks again.
    refusal(present.receive(), ErrorKind::PeerGone, &["present end of the file"]);
    sender(&address).send(b"later").unwrap();
    assert_eq!(present.receive().unwrap().bytes(), b"later");
    assert_eq!(kind(present.readiness()), ErrorKind::Unsupported);
}

#[test]
fn readiness_can_be_polled() {
    let _test = test!();
    let (_directory, _path, address) = unused();
    let mut sender = sender(&format!("{address}?create"));
    let mut receiver = receiver(&address);
    Wait::never().until_writable(sender.readiness().unwrap()).unwrap();
    for _ in 0..3 {
        assert!(Wait::never().until_readable(receiver.readiness().unwrap()).is_err());
        sender.send(b"x").unwrap();
        Wait::never().until_readable(receiver.readiness().unwrap()).unwrap();
        assert_eq!(next(&mut receiver), b"x");
        // The news may be old; who tries finds out, and then there is none.
        finds_nothing(&mut receiver);
    }
}

#[test]
fn all_framings_are_kept() {
    let _test = test!();
    for framing in ["frame", "lines", "nul", "len"] {
        let (_directory, _path, address) = unused();
        let address = format!("{address}?framing={framing}");
        let mut sender = sender(&format!("{address}&create"));
        let mut receiver = receiver(&address);
        let long: Vec<u8> = (0..300_000_u32).map(|index| (index % 200 + 11) as u8).collect();
        for message in [b"short".as_slice(), b"", &long] {
            sender.send(message).unwrap();
            assert!(next(&mut receiver) == message, "{framing}");
        }
        finds_nothing(&mut receiver);
        assert_eq!(all_lengths(&address), [5, 0, 300_000], "{framing}");
    }
    let (_directory, path, address) = unused();
    let mut sender = sender(&format!("{address}?create&framing=raw"));
    sender.send(b"no").unwrap();
    sender.send(b"boundaries").unwrap();
    assert_eq!(kind(sender.send(b"")), ErrorKind::InvalidInput);
    assert_eq!(fs::read(path).unwrap(), b"noboundaries");
    assert_eq!(next(&mut receiver(&format!("{address}?framing=raw"))), b"noboundaries");
}

fn all_lengths(text: &str) -> Vec<usize> {
    let mut receiver = Opening::new(&address(text)).to_present_end().receiver().unwrap();
    receiver.messages().map(|message| message.unwrap().len()).collect()
}

#[test]
fn what_would_not_be_understood_is_refused() {
    let _test = test!();
    let (_directory, path, address) = unused();
    let mut sender = sender(&format!("{address}?create"));
    refusal(sender.send(b"two\nlines"), ErrorKind::InvalidInput, &["newline at byte 3"]);
    assert_eq!(fs::read(&path).unwrap(), b"");
    fs::write(&path, b"this is no frame at all").unwrap();
    let mut receiver = receiver(&format!("{address}?framing=frame"));
    refusal(receiver.receive(), ErrorKind::Malformed, &["not framed"]);
    // It goes on behind what was not understood.
    self::sender(&format!("{address}?framing=frame")).send(b"lost").unwrap();
    let mut framed = self::sender(&format!("{address}?framing=frame"));
    finds_nothing(&mut receiver);
    framed.send(b"understood").unwrap();
    assert_eq!(next(&mut receiver), b"understood");
    // A frame that was cut off.
    let whole = fs::metadata(&path).unwrap().len();
    framed.send(b"torn").unwrap();
    File::options().write(true).open(&path).unwrap().set_len(whole + 14).unwrap();
    let text = format!("{address}?framing=frame");
    fs::write(&path, &fs::read(&path).unwrap()[whole as usize..]).unwrap();
    let mut present = Opening::new(&self::address(&text)).to_present_end().receiver().unwrap();
    refusal(present.receive(), ErrorKind::Malformed, &["2 of its 4 bytes were cut off"]);
    assert_eq!(kind(present.receive()), ErrorKind::PeerGone);
}

#[test]
fn a_shortened_file_is_noticed() {
    let _test = test!();
    let (_directory, path, address) = unused();
    let mut sender = sender(&format!("{address}?create"));
    let mut receiver = receiver(&address);
    sender.send(b"one").unwrap();
    sender.send(b"two").unwrap();
    next(&mut receiver);
    next(&mut receiver);
    File::create(&path).unwrap();
    refusal(receiver.receive(), ErrorKind::Truncated, &["shortened to 0 bytes when 8 had been received"]);
    sender.send(b"from the beginning").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"from the beginning");
}

#[test]
fn a_rotated_file_is_noticed() {
    let _test = test!();
    let (directory, path, address) = unused();
    let mut sender = sender(&format!("{address}?create"));
    let mut receiver = receiver(&address);
    sender.send(b"one").unwrap();
    fs::rename(&path, directory.path().join("log.1")).unwrap();
    // Its last messages come first.
    sender.send(b"two").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"one");
    assert_eq!(receiver.receive().unwrap().bytes(), b"two");
    refusal(receiver.receive(), ErrorKind::Removed, &["renamed or removed", "everything in it was received"]);
    refusal(receiver.receive(), ErrorKind::NotFound, &["cannot open file"]);
    self::sender(&format!("{address}?create")).send(b"of the next file").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"of the next file");
    finds_nothing(&mut receiver);
    write!(File::options().append(true).open(&path).unwrap(), "unfini").unwrap();
    finds_nothing(&mut receiver);
    fs::remove_file(&path).unwrap();
    refusal(receiver.receive(), ErrorKind::Removed, &["6 bytes of an unfinished message"]);
}

#[test]
fn a_waiting_receiver_notices_too() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = receiver(&peer.arg(0));
        peer.say(&format!("{:?}", kind(receiver.receive())));
        peer.say(&format!("{:?}", kind(receiver.receive())));
    });
    let (_directory, path, address) = unused();
    fs::write(&path, "unfinished").unwrap();
    let mut child = test.child("receiver").arg(&address).spawn();
    child.wait_until_blocked_in(call::POLLING);
    File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
    child.expect("Truncated");
    child.wait_until_blocked_in(call::POLLING);
    fs::remove_file(&path).unwrap();
    child.expect("Removed");
    child.succeed();
}

#[test]
fn a_budget_bounds_the_file() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&format!("{}?budget=4k", peer.arg(0)));
        let mut sent = 0;
        let full = loop {
            match sender.send(b"nine byte") {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::LimitReached);
        assert!(full.to_string().contains("the budget is 4096"), "{full}");
        peer.say(&sent.to_string());
    });
    let (_directory, path, address) = unused();
    let sender = sender(&format!("{address}?create&budget=4k"));
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Unbounded { budget: 4096 }));
    // However many append at once.
    let mut children: Vec<_> = (0..4).map(|_| test.child("sender").arg(&address).spawn()).collect();
    let sent: u64 = children.iter_mut().map(|child| child.hear().parse::<u64>().unwrap()).sum();
    children.into_iter().for_each(Child::succeed);
    assert_eq!(sent, 409);
    assert_eq!(fs::metadata(&path).unwrap().len(), 4090);
    assert_eq!(receiver(&format!("{address}?budget=4k")).capacity().unwrap(), sender.capacity().unwrap());
}

#[test]
fn many_may_append() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        let line = peer.arg(1).repeat(5000);
        (0..50).for_each(|_| sender.send(line.as_bytes()).unwrap());
    });
    let (_directory, path, address) = unused();
    File::create(&path).unwrap();
    let mut receiver = receiver(&address);
    let children: Vec<_> =
        ["a", "b", "c", "d"].iter().map(|who| test.child("sender").arg(&address).arg(who).spawn()).collect();
    for _ in 0..200 {
        let message = receiver.receive().unwrap().into_bytes();
        assert!(message.len() == 5000 && message.iter().all(|byte| *byte == message[0]));
    }
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn a_full_file_system_takes_no_part_of_a_message() {
    test!().in_namespaces(|_| {
        let directory = scratch();
        output("mount", &["-t", "tmpfs", "-o", "size=64k", "none", directory.path().to_str().unwrap()]);
        let path = directory.path().join("log");
        let address = format!("file:{}", path.display());
        let mut sender = sender(&format!("{address}?create"));
        sender.send(&[b'a'; 50_000]).unwrap();
        refusal(sender.send(&[b'b'; 50_000]), ErrorKind::NoSpace, &["ENOSPC"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 50_001, "nothing of it is left");
        sender.send(b"short").unwrap();
        assert_eq!(all_lengths(&address), [50_000, 5]);
        drop(sender);
        output("umount", &[directory.path()]);
    });
}

#[test]
fn it_tells_what_it_can_do() {
    let _test = test!();
    let (_directory, _path, text) = unused();
    let can = Capabilities::of(address(&text).endpoint()).unwrap();
    assert_eq!(can.persistence, Persistence::File);
    assert!(!can.sees_end && can.pollable && can.reliable && can.empty_messages);
    let sender = sender(&format!("{text}?create"));
    assert_eq!(sender.capabilities(), can);
    assert_eq!(receiver(&text).capabilities(), can);
    assert_eq!(sender.capacity().unwrap(), None);
}

#[test]
fn what_is_no_such_file_is_refused() {
    let _test = test!();
    let (directory, path, address) = unused();
    no_sender(&address, ErrorKind::NotFound, &["?create", "twixt mk"]);
    no_receiver(&address, ErrorKind::NotFound, &["?create", "twixt mk"]);
    no_receiver(&format!("{address}?mode=0600"), ErrorKind::Unsupported, &["add create"]);
    no_receiver(&format!("file:{}", directory.path().display()), ErrorKind::InvalidInput, &["regular file"]);
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    no_receiver(&address, ErrorKind::PermissionDenied, &["symbolic links are not followed"]);
    fs::remove_file(&path).unwrap();
    output("mkfifo", &[&path]);
    no_sender(&address, ErrorKind::InvalidInput, &["regular file"]);
    no_receiver(&address, ErrorKind::InvalidInput, &["regular file"]);
    assert_eq!(kind(Opening::new(&self::address(&address)).duplex()), ErrorKind::Unsupported);
}

#[test]
fn another_users_file_is_closed() {
    let test = test!();
    test.role("nobody", |peer| {
        no_sender(&peer.arg(0), ErrorKind::PermissionDenied, &["EACCES"]);
        no_receiver(&peer.arg(0), ErrorKind::PermissionDenied, &["EACCES"]);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let (directory, _path, address) = unused();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), everybody).unwrap();
    let _sender = sender(&format!("{address}?create"));
    test.child("nobody").arg(address).as_nobody().spawn().succeed();
}

#[test]
fn signals_do_not_disturb() {
    let test = test!();
    test.role("receiver", |peer| receives_through_storm(peer, &mut receiver(&peer.arg(0))));
    let (_directory, _path, address) = unused();
    let mut sender = sender(&format!("{address}?create"));
    let mut child = test.child("receiver").arg(&address).spawn();
    child.expect("stormed");
    child.expect("stormed");
    sender.send(b"after the storm").unwrap();
    child.succeed();
}

#[test]
fn a_shell_understands() {
    let test = test!();
    let (_directory, path, address) = unused();
    if let Err(missing) = command("tail") {
        return test.skip(&missing);
    }
    let mut sender = sender(&format!("{address}?create"));
    let mut child = Child::program("tail", &["-n", "+1", "-f", path.to_str().unwrap()]);
    sender.send(b"to tail").unwrap();
    assert_eq!(child.line().as_deref(), Some("to tail"));
    let mut receiver = receiver(&address);
    next(&mut receiver);
    output("sh", &["-c", "echo from the shell >> \"$0\"", path.to_str().unwrap()]);
    assert_eq!(next(&mut receiver), b"from the shell");
}

#[test]
fn a_message_costs_one_call() {
    let test = test!();
    test.role("sender", |peer| {
        let (_directory, _path, address) = unused();
        let mut sender = sender(&format!("{address}?create"));
        (0..peer.arg(0).parse().unwrap()).for_each(|_| sender.send(b"ping").unwrap());
    });
    test.role("receiver", |peer| {
        let (_directory, path, address) = unused();
        let rounds = peer.arg(0).parse().unwrap();
        fs::write(path, "ping\n".repeat(rounds)).unwrap();
        let (mut receiver, mut message) = (receiver(&address), Message::new());
        (0..rounds).for_each(|_| receiver.receive_into(&mut message).unwrap());
    });
    let cost = |role: &'static str| strace::cost(|rounds| test.child(role).arg(rounds));
    match (cost("sender"), cost("receiver")) {
        (Ok(sender), Ok(receiver)) => {
            assert_eq!(sender, strace::expected(&[("writev", ROUNDS)]));
            assert_eq!(receiver, strace::expected(&[]), "one read brings many");
        }
        (Err(missing), _) | (_, Err(missing)) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let (_directory, _path, address) = unused();
    let mut sender: Sender = sender(&format!("{address}?create"));
    let mut receiver: Receiver = receiver(&address);
    let mut message = Message::new();
    let mut round = || {
        sender.send(&[1; 4000]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(kind(receiver.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    (0..20).for_each(|_| round());
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
}
