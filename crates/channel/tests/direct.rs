//! Processes that name each other: what arrives, who it was, what ends, and what is left.

#[path = "support/channels.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::*;
use twixt_channel::{Capacity, direct};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{Peer, Storm, TempDir, call, root, scratch, test};

fn own() -> i32 {
    process::id().cast_signed()
}

fn pid(text: &str) -> i32 {
    text.parse().unwrap()
}

/// A directory of the test's own for links, and the command that has a child use it.
fn private() -> (TempDir, Vec<String>) {
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let under = vec!["env".to_owned(), format!("XDG_RUNTIME_DIR={}", directory.path().display())];
    (directory, under)
}

/// Where links stand in such a directory.
fn links_in(directory: &TempDir) -> PathBuf {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap();
    let digits: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    directory.path().join("twixt/direct").join(digits)
}

fn names(directory: &TempDir) -> Vec<String> {
    let Ok(entries) = fs::read_dir(links_in(directory)) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn say_error(peer: &Peer, outcome: twixt_os::Result<()>) {
    match outcome {
        Ok(()) => peer.say("ok"),
        Err(error) => peer.say(&format!("{:?}: {error}", error.kind())),
    }
}

#[test]
fn messages_go_both_ways_between_two_processes_whoever_comes_first() {
    let test = test!();
    test.role("echo", |peer| {
        let parent = pid(&peer.arg(0));
        peer.wait_for("receive");
        let mut receiver = direct::receive_from(parent).unwrap();
        let mut sender = direct::send_to(parent).unwrap();
        for message in receiver.messages() {
            let message = message.unwrap();
            assert_eq!(message.credentials().unwrap().pid.unwrap().as_raw_nonzero().get(), parent);
            sender.send(message.bytes()).unwrap();
        }
        peer.say("ended");
        peer.hear();
    });
    let mut child = test.child("echo").arg(own()).spawn();
    // Before the other has opened anything.
    let mut sender = direct::send_to(child.pid()).unwrap();
    let mut receiver = direct::receive_from(child.pid()).unwrap();
    for number in 0..100_u32 {
        sender.send(&number.to_le_bytes()).unwrap();
    }
    sender.send(b"").unwrap();
    child.tell("receive");
    for number in 0..100_u32 {
        assert_eq!(receiver.receive().unwrap().bytes(), number.to_le_bytes());
    }
    assert!(receiver.receive().unwrap().is_empty());
    // More than the link holds, in one message.
    let long = vec![7; 1 << 20];
    sender.send(&long).unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), long);
    assert!(sender.capabilities().sees_end && receiver.capabilities().credentials);
    drop(sender);
    child.expect("ended");
    child.succeed();
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
}

#[test]
fn what_is_sent_before_the_receiver_comes_is_bounded() {
    let test = test!();
    test.role("late", |peer| {
        peer.wait_for("come");
        let mut receiver = direct::receive_from(pid(&peer.arg(0))).unwrap();
        let mut count = 0;
        while receiver.receive().is_ok() {
            count += 1;
        }
        peer.say(&count.to_string());
    });
    let mut child = test.child("late").arg(own()).spawn();
    let mut sender = direct::send_to(child.pid()).unwrap();
    assert!(matches!(sender.capacity().unwrap(), Some(Capacity::Bytes(bytes)) if bytes >= 4096));
    let mut count = 0;
    while !sender.holds_back() {
        match sender.try_send(&[1; 1000]) {
            Ok(()) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert!((30..200).contains(&count), "{count}");
    assert_eq!(kind(sender.try_send(&[1; 1000])), ErrorKind::WouldBlock);
    assert_eq!(kind(sender.send_deadline(&[1; 1000], past())), ErrorKind::TimedOut);
    assert_eq!(kind(sender.send_deadline(&[1; 1000], soon())), ErrorKind::TimedOut);
    child.tell("come");
    sender.close(Wait::until(later())).unwrap();
    child.expect(&count.to_string());
    child.succeed();
}

#[test]
fn a_sender_that_leaves_first_leaves_its_messages() {
    let test = test!();
    let (directory, under) = private();
    test.role("sender", |peer| {
        let receiver = pid(&peer.arg(0));
        for round in 0..3 {
            // Each time a new sender, which finds what the one before has left.
            let mut sender = direct::send_to(receiver).unwrap();
            sender.send(format!("{round} a").as_bytes()).unwrap();
            sender.send(format!("{round} b").as_bytes()).unwrap();
        }
    });
    test.role("receiver", |peer| {
        let sender = pid(&peer.hear());
        let mut receiver = direct::receive_from(sender).unwrap();
        for message in receiver.messages() {
            let message = message.unwrap();
            assert_eq!(message.credentials().unwrap().pid.unwrap().as_raw_nonzero().get(), sender);
            peer.say(&String::from_utf8_lossy(message.bytes()));
        }
        peer.say("ended");
        drop(receiver);
        peer.say(&format!("{:?}", direct::receive_from(sender).unwrap_err().kind()));
    });
    let mut receiver = test.child("receiver").under(&under).spawn();
    let sender = test.child("sender").under(&under).arg(receiver.pid()).spawn();
    let sender_pid = sender.pid();
    sender.succeed();
    receiver.tell(&sender_pid.to_string());
    for round in 0..3 {
        receiver.expect(&format!("{round} a"));
        receiver.expect(&format!("{round} b"));
    }
    receiver.expect("ended");
    receiver.expect("NotFound");
    receiver.succeed();
    assert_eq!(names(&directory), Vec::<String>::new());
}

#[test]
fn an_inbox_hears_everyone_and_says_who_it_was() {
    let test = test!();
    let (directory, under) = private();
    test.role("sender", |peer| {
        let mut sender = direct::send_to(pid(&peer.arg(0))).unwrap();
        peer.say("open");
        peer.wait_for("send");
        for number in 0..50_u32 {
            sender.send(&number.to_le_bytes()).unwrap();
        }
    });
    test.role("receiver", |peer| {
        let mut inbox = direct::inbox().unwrap();
        assert_eq!(kind(inbox.try_receive()), ErrorKind::WouldBlock);
        assert_eq!(kind(inbox.receive_deadline(past())), ErrorKind::TimedOut);
        assert_eq!(kind(inbox.receive_deadline(soon())), ErrorKind::TimedOut);
        assert!(!inbox.capabilities().sees_end);
        peer.say("ready");
        let count: usize = peer.hear().parse().unwrap();
        let mut next = std::collections::BTreeMap::new();
        for _ in 0..count {
            let message = inbox.receive().unwrap();
            let who = message.credentials().unwrap().pid.unwrap().as_raw_nonzero().get();
            let next: &mut u32 = next.entry(who).or_default();
            assert_eq!(message.bytes(), next.to_le_bytes(), "in order from {who}");
            *next += 1;
        }
        assert!(next.values().all(|count| *count == 50));
        let who: Vec<i32> = next.into_keys().collect();
        peer.say(&format!("{who:?}"));
        peer.hear();
        // By now all have ended, and the inbox takes note when it is asked.
        assert_eq!(kind(inbox.receive_deadline(soon())), ErrorKind::TimedOut);
        peer.say("noted");
        peer.hear();
    });
    let mut receiver = test.child("receiver").under(&under).spawn();
    receiver.expect("ready");
    let receiver_pid = receiver.pid();
    let spawn = || test.child("sender").under(&under).arg(receiver_pid).spawn();
    // Some go before the inbox has looked, some are there while it waits.
    let mut senders: Vec<_> = (0..2).map(|_| spawn()).collect();
    let mut who: Vec<i32> = senders.iter().map(|sender| sender.pid()).collect();
    for mut sender in senders.drain(..) {
        sender.expect("open");
        sender.tell("send");
        sender.succeed();
    }
    receiver.tell("250");
    let mut senders: Vec<_> = (0..3).map(|_| spawn()).collect();
    who.extend(senders.iter().map(|sender| sender.pid()));
    for sender in &mut senders {
        sender.expect("open");
        sender.tell("send");
    }
    for sender in senders {
        sender.succeed();
    }
    who.sort_unstable();
    receiver.expect(&format!("{who:?}"));
    receiver.tell("look");
    receiver.expect("noted");
    assert_eq!(names(&directory), Vec::<String>::new(), "all that ended have gone");
    receiver.tell("end");
    receiver.succeed();
}

#[test]
fn the_death_of_the_other_ends_a_wait_and_what_it_sent_is_received() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = direct::send_to(pid(&peer.arg(0))).unwrap();
        sender.send(b"first").unwrap();
        peer.say("sent");
        peer.hear();
        sender.send(b"last").unwrap();
        peer.say("sent");
        peer.hear();
    });
    test.role("silent", |peer| {
        peer.say("here");
        peer.hear();
    });
    let mut child = test.child("sender").arg(own()).spawn();
    let mut receiver = direct::receive_from(child.pid()).unwrap();
    child.expect("sent");
    assert_eq!(receiver.receive().unwrap().bytes(), b"first");
    child.tell("again");
    child.expect("sent");
    child.kill();
    assert_eq!(receiver.receive().unwrap().bytes(), b"last");
    for _ in 0..3 {
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    }

    // One that has opened nothing: a receiver and a sender that wait for it, each in its thread.
    let mut child = test.child("silent").spawn();
    child.expect("here");
    let mut receiver = direct::receive_from(child.pid()).unwrap();
    let mut sender = direct::send_to(child.pid()).unwrap();
    let receiving = std::thread::spawn(move || kind(receiver.receive()));
    let sending = std::thread::spawn(move || {
        loop {
            if let Err(error) = sender.send(&[0; 1000]) {
                return (error.kind(), error.to_string());
            }
        }
    });
    let pid = child.pid();
    child.kill();
    assert_eq!(receiving.join().unwrap(), ErrorKind::PeerGone);
    let (kind, text) = sending.join().unwrap();
    assert_eq!(kind, ErrorKind::PeerGone);
    assert_eq!(text, format!("cannot send to direct link to process {pid}: the process has ended"));
}

#[test]
fn an_end_is_told_once_and_the_same_process_may_send_again() {
    let _test = test!();
    let mut receiver = direct::receive_from(own()).unwrap();
    for round in 0..5_u8 {
        direct::send_to(own()).unwrap().send(&[round]).unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), [round]);
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
        assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
    }
    // Both ends are this process's, and each has one handle.
    refusal(direct::receive_from(own()).map(drop), ErrorKind::Busy, &["receiver"]);
    let sender = direct::send_to(own()).unwrap();
    refusal(direct::send_to(own()).map(drop), ErrorKind::Busy, &["sender"]);
    drop(sender);
    drop(direct::send_to(own()).unwrap());
}

#[test]
fn what_is_no_process_is_refused() {
    let test = test!();
    test.role("gone", |_| {});
    let child = test.child("gone").spawn();
    let gone = child.pid();
    child.succeed();
    for pid in [gone, i32::MAX] {
        refusal(direct::send_to(pid).map(drop), ErrorKind::NotFound, &["no such process", &pid.to_string()]);
        refusal(direct::receive_from(pid).map(drop), ErrorKind::NotFound, &["no such process"]);
    }
    for pid in [0, -1, i32::MIN] {
        refusal(direct::send_to(pid).map(drop), ErrorKind::InvalidInput, &["number from 1"]);
    }
}

#[test]
fn links_stand_in_a_directory_of_the_users_own_and_nothing_is_left_in_it() {
    let test = test!();
    test.role("party", |peer| {
        let other = pid(&peer.hear());
        let sender = direct::send_to(other).unwrap();
        let receiver = direct::receive_from(other).unwrap();
        peer.say("open");
        peer.hear();
        drop((sender, receiver));
        peer.say("closed");
        peer.hear();
    });
    let (directory, under) = private();
    let spawn = || test.child("party").under(&under).spawn();
    let (mut one, mut other) = (spawn(), spawn());
    one.tell(&other.pid().to_string());
    other.tell(&one.pid().to_string());
    one.expect("open");
    other.expect("open");
    assert_eq!(names(&directory).len(), 2, "one for each direction: {:?}", names(&directory));
    for path in ["twixt", "twixt/direct"] {
        assert_eq!(fs::metadata(directory.path().join(path)).unwrap().mode() & 0o7777, 0o700);
    }
    for name in names(&directory) {
        assert_eq!(fs::metadata(links_in(&directory).join(name)).unwrap().mode() & 0o7777, 0o600);
    }
    one.tell("close");
    one.expect("closed");
    assert_eq!(names(&directory).len(), 2, "the other still has them");
    other.tell("close");
    other.expect("closed");
    assert_eq!(names(&directory), Vec::<String>::new());

    // Both killed: the next user of the directory cleans up, and what others have stays.
    let (mut two, mut three) = (spawn(), spawn());
    let mut dead: Vec<_> = (0..2).map(|_| spawn()).collect();
    let pids: Vec<i32> = dead.iter().map(|child| child.pid()).collect();
    dead[0].tell(&pids[1].to_string());
    dead[1].tell(&pids[0].to_string());
    two.tell(&three.pid().to_string());
    for child in &mut dead {
        child.expect("open");
    }
    two.expect("open");
    for child in dead {
        child.kill();
    }
    fs::write(links_in(&directory).join("something else"), "").unwrap();
    // Of a process that had this number before.
    let past = format!("{}.1-{}.2", own(), own());
    mknodat(CWD, links_in(&directory).join(&past), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(names(&directory).len(), 6);
    three.tell(&two.pid().to_string());
    three.expect("open");
    let left = names(&directory);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(
        !left.contains(&past) && !left.iter().any(|name| name.contains(&pids[0].to_string())),
        "{left:?}"
    );
    two.succeed();
    three.succeed();
    assert_eq!(names(&directory), ["something else"]);
}

#[test]
fn a_directory_that_is_not_the_users_alone_is_refused() {
    let test = test!();
    test.role("party", |peer| {
        say_error(peer, direct::inbox().map(drop));
        say_error(peer, direct::send_to(own()).map(drop));
    });
    let refused = |prepare: &dyn Fn(&TempDir), words: &[&str]| {
        let (directory, under) = private();
        prepare(&directory);
        let mut child = test.child("party").under(&under).spawn();
        for _ in 0..2 {
            let said = child.hear();
            for word in words {
                assert!(said.contains(word), "{word:?} is not in: {said}");
            }
        }
        child.succeed();
    };
    refused(&|_| {}, &["ok"]);
    let make = |directory: &TempDir, mode| {
        let path = directory.path().join("twixt");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    refused(&|directory| make(directory, 0o755), &["PermissionDenied", "others may use it (mode 0755)"]);
    refused(&|directory| make(directory, 0o770), &["PermissionDenied", "mode 0770"]);
    refused(
        &|directory| {
            let elsewhere = directory.path().join("elsewhere");
            fs::create_dir(&elsewhere).unwrap();
            fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
            symlink(&elsewhere, directory.path().join("twixt")).unwrap();
        },
        &["twixt: "],
    );
    refused(&|directory| fs::write(directory.path().join("twixt"), "").unwrap(), &["twixt: "]);
    if root().is_ok() {
        refused(
            &|directory| {
                make(directory, 0o700);
                std::os::unix::fs::chown(directory.path().join("twixt"), Some(65534), Some(65534)).unwrap();
            },
            &["PermissionDenied", "belongs to user 65534"],
        );
    }
}

#[test]
fn root_and_a_user_can_talk_and_nothing_else_stands_in_place_of_a_link() {
    let test = test!();
    test.role("nobody", |peer| {
        let parent = pid(&peer.arg(0));
        let mut receiver = direct::receive_from(parent).unwrap();
        let mut sender = direct::send_to(parent).unwrap();
        let message = receiver.receive().unwrap();
        assert_eq!(message.credentials().unwrap().uid, 0);
        sender.send(message.bytes()).unwrap();
        peer.hear();
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let child = test.child("nobody").as_nobody().arg(own()).spawn();
    let mut sender = direct::send_to(child.pid()).unwrap();
    let mut receiver = direct::receive_from(child.pid()).unwrap();
    sender.send(b"from above").unwrap();
    let message = receiver.receive().unwrap();
    assert_eq!(message.bytes(), b"from above");
    assert_eq!(message.credentials().unwrap().uid, 65534);
    child.succeed();
}

#[test]
fn signals_end_only_the_waits_that_ask_for_it() {
    let test = test!();
    test.role("receiver", |peer| {
        let storm = Storm::on_this_thread();
        let mut receiver = direct::receive_from(pid(&peer.arg(0))).unwrap();
        assert_eq!(kind(receiver.receive_interruptible()), ErrorKind::Interrupted);
        assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
        peer.say("waiting");
        assert_eq!(receiver.receive().unwrap().bytes(), b"now");
        let mut sender = direct::send_to(pid(&peer.arg(0))).unwrap();
        loop {
            match sender.send_wait(&[0; 3000], Wait::forever().interruptible()) {
                Ok(()) if sender.holds_back() => break,
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Interrupted);
                    break;
                }
            }
        }
        drop(storm);
        peer.say("interrupted");
    });
    let mut child = test.child("receiver").arg(own()).spawn();
    let mut sender = direct::send_to(child.pid()).unwrap();
    child.expect("waiting");
    child.wait_until_blocked_in(&[call::PPOLL]);
    sender.send(b"now").unwrap();
    child.expect("interrupted");
    let pid = child.pid();
    child.succeed();
    // What it has left is here, and goes with its receiver.
    let mut left = direct::receive_from(pid).unwrap();
    assert_eq!(left.receive().unwrap().bytes(), [0; 3000]);
}
