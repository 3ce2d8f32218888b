//! Channels over signals with values.

use std::process::{Command, Stdio};

#[path = "support/channels.rs"]
mod support;

use allocation_counter::measure;
use support::*;
use twixt_channel::{Capabilities, Content, Message, Opening, Receiver};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Missing, Peer, Spawn, command, output, root, test};

/// Starts the child with the signal blocked in all its threads: a signal goes to any that does not block it, and those of
/// the test harness would not.
fn blocked(spawn: Spawn) -> Spawn {
    spawn.under(&["env", "--block-signal=RTMIN", "--block-signal=USR1"])
}

fn listen(peer: &Peer, signal: &str) -> Receiver {
    let receiver = receiver(&format!("signal:{}/{signal}", std::process::id()));
    peer.say("listening");
    receiver
}

fn say(peer: &Peer, message: &Message) {
    peer.say(core::str::from_utf8(message.bytes()).unwrap());
}

#[test]
fn values_go_from_process_to_process() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = listen(peer, "RTMIN");
        finds_nothing(&mut receiver);
        peer.say("nothing");
        for _ in 0..4 {
            let message = receiver.receive().unwrap();
            assert_eq!(message.source(), Some(peer.arg(0).as_str()));
            say(peer, &message);
        }
        peer.wait_for("end");
    });
    let mut child = blocked(test.child("receiver").arg(std::process::id())).spawn();
    child.expect("listening");
    child.expect("nothing");
    let mut sender = sender(&format!("signal:{}/RTMIN", child.pid()));
    // They queue, in order.
    let values = ["7", "-2147483648", "0", "2147483647"];
    values.iter().for_each(|value| sender.send(value.as_bytes()).unwrap());
    values.iter().for_each(|value| child.expect(value));
    for wrong in ["", "one", "2147483648", "-2147483649", "1\n", "1.5"] {
        refusal(sender.send(wrong.as_bytes()), ErrorKind::InvalidInput, &["-2147483648 to 2147483647"]);
    }
    child.tell("end");
    child.succeed();
    refusal(sender.send(b"1"), ErrorKind::PeerGone, &["the process has ended"]);
}

#[test]
fn of_the_ordinary_signals_one_of_a_kind_waits() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = listen(peer, "USR1");
        peer.wait_for("look");
        say(peer, &receiver.try_receive().unwrap());
        assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
        // One without a value is 0.
        peer.say("kill me");
        say(peer, &receiver.receive().unwrap());
    });
    let mut child = blocked(test.child("receiver")).spawn();
    child.expect("listening");
    let mut sender = sender(&format!("signal:{}/USR1", child.pid()));
    assert!(!sender.capabilities().reliable && !sender.capabilities().pollable);
    sender.send(b"1").unwrap();
    sender.send(b"2").unwrap();
    child.tell("look");
    child.expect("1");
    child.expect("kill me");
    output("kill", &["-USR1", &child.pid().to_string()]);
    child.expect("0");
    child.succeed();
}

#[test]
fn what_has_no_use_is_refused() {
    let _test = test!();
    let own = std::process::id();
    no_sender(&format!("signal:{own}"), ErrorKind::InvalidInput, &["does not say which signal"]);
    no_receiver(&format!("signal:{own}"), ErrorKind::InvalidInput, &["does not say which signal"]);
    no_sender(&format!("signal:{own}/RTMIN?value=3"), ErrorKind::Unsupported, &["the message is the value"]);
    no_receiver(&format!("signal:{own}/RTMIN?value=3"), ErrorKind::Unsupported, &["option value"]);
    for group in ["0", "-4711"] {
        no_sender(&format!("signal:{group}/RTMIN"), ErrorKind::Unsupported, &["not to a group"]);
    }
    no_receiver("signal:1/RTMIN", ErrorKind::Unsupported, &["only the process that signals are sent to"]);
    no_receiver("signal:-4711/RTMIN", ErrorKind::Unsupported, &["only the process"]);
    no_receiver("signal:0/KILL", ErrorKind::Unsupported, &["no process can receive that signal"]);
    no_sender("signal:2147483647/RTMIN", ErrorKind::NotFound, &["to process 2147483647"]);
    let can = Capabilities::of(address(&format!("signal:{own}/RTMIN+3")).endpoint()).unwrap();
    assert!(can.reliable && !can.empty_messages && !can.sees_end);
    let whole = Content::Number { least: i32::MIN.into(), most: i32::MAX as u64, adds_up: false };
    assert_eq!(can.content, whole);
    let opening = Opening::new(&address(&format!("signal:{own}/RTMIN")));
    assert_eq!(kind(opening.duplex()), ErrorKind::Unsupported);
}

#[test]
fn another_users_process_is_closed() {
    let test = test!();
    test.role("nobody", |peer| {
        let text = format!("signal:{}/RTMIN", peer.arg(0));
        no_sender(&text, ErrorKind::PermissionDenied, &["another user's"]);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    test.child("nobody").arg(std::process::id()).as_nobody().spawn().succeed();
}

#[test]
fn a_full_queue_is_waited_for() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = listen(peer, "RTMIN");
        peer.wait_for("take");
        while receiver.try_receive().is_ok() {}
        peer.wait_for("end");
    });
    if let Err(missing) = command("prlimit") {
        return test.skip(&missing);
    }
    // The limit counts what all processes of a user have pending: one who has none is needed.
    let alone = ["unshare", "--user", "--map-root-user", "--", "prlimit", "--sigpending=3"];
    let works = Command::new(alone[0]).args(&alone[1..]).arg("true").stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return test.skip(&Missing("a private user namespace (unshare --user)".into()));
    }
    let mut child = blocked(test.child("receiver")).under(&alone).spawn();
    child.expect("listening");
    let mut sender = sender(&format!("signal:{}/RTMIN", child.pid()));
    assert_eq!(fill(&mut sender, b"1"), 3);
    let full = sender.send_deadline(b"1", soon());
    refusal(full, ErrorKind::TimedOut, &["RLIMIT_SIGPENDING is 3"]);
    child.tell("take");
    sender.send_deadline(b"1", later()).unwrap();
    child.tell("end");
    child.succeed();
}

#[test]
fn signals_do_not_disturb() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = listen(peer, "RTMIN");
        let interrupted = twixt_testkit::under_storm(peer, || receiver.receive_interruptible());
        assert_eq!(kind(interrupted), ErrorKind::Interrupted);
        let received = twixt_testkit::under_storm(peer, || receiver.receive());
        assert_eq!(received.unwrap().bytes(), b"3");
    });
    let mut child = blocked(test.child("receiver")).spawn();
    child.expect("listening");
    child.expect("stormed");
    child.expect("stormed");
    sender(&format!("signal:{}/RTMIN", child.pid())).send(b"3").unwrap();
    child.succeed();
}

#[test]
fn a_shell_hears_it() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let script = "import signal\n\
        s = {signal.SIGRTMIN}\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, s)\n\
        print('listening', flush=True)\n\
        i = signal.sigwaitinfo(s)\n\
        print(i.si_pid, i.si_code)\n";
    let mut child = twixt_testkit::Child::program("python3", &["-c", script]);
    assert_eq!(child.line().as_deref(), Some("listening"));
    sender(&format!("signal:{}/RTMIN", child.pid())).send(b"5").unwrap();
    // SI_QUEUE.
    assert_eq!(child.line(), Some(format!("{} -1", std::process::id())));
    child.succeed();
}

#[test]
fn a_message_costs_one_call_and_no_allocation() {
    let test = test!();
    test.role("both", |peer| {
        let text = format!("signal:{}/RTMIN", std::process::id());
        let (mut receiver, mut sender) = (receiver(&text), sender(&text));
        let mut message = Message::new();
        let mut round = || {
            sender.send(b"-1").unwrap();
            receiver.receive_into(&mut message).unwrap();
            sender.send_wait(b"2", Wait::never()).unwrap();
            receiver.receive_wait(&mut message, Wait::until(later())).unwrap();
        };
        round();
        assert_eq!(measure(&mut round).count_total, 0);
        (0..peer.arg(0).parse().unwrap()).for_each(|_| round());
    });
    blocked(test.child("both").arg(1)).spawn().succeed();
    match strace::cost(|rounds| blocked(test.child("both").arg(rounds))) {
        Ok(cost) => {
            let reads = cost.iter().filter(|(call, _)| call.contains("read")).map(|(_, count)| count).sum();
            assert_eq!((cost["pidfd_send_signal"], reads), (2 * ROUNDS, 2 * ROUNDS), "{cost:?}");
            // Who sends stands in what is sent: `sigqueue(3)` asks the kernel, too.
            let known = |call: &str| {
                ["getpid", "getuid", "pidfd_send_signal"].contains(&call) || call.contains("read")
            };
            assert!(cost.keys().all(|call| known(call)), "{cost:?}");
        }
        Err(missing) => test.skip(&missing),
    }
}
