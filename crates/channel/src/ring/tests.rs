//! Participants that die or stop between any two steps.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use twixt_address::Address;
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, Test, test};

use super::step::{die_at, stop_at};
use crate::{Duplex, Listener, Message, Receiver, Sender};

#[path = "../../tests/support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

/// More steps than any operation has.
const MANY: u32 = 200;

/// Whether the child was killed at its step, or else ended well, having had none so high.
fn died(mut child: Child) -> bool {
    child.close_stdin();
    let status = child.wait();
    assert!(status.success() || status.signal() == Some(Signal::KILL.as_raw()), "{status}");
    !status.success()
}

fn drain(receiver: &mut Receiver) -> Vec<Vec<u8>> {
    let mut drained = Vec::new();
    loop {
        match receiver.try_receive() {
            Ok(message) => drained.push(message.into_bytes()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                return drained;
            }
        }
    }
}

fn texts(messages: &[&str]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| message.as_bytes().to_vec()).collect()
}

/// For each step that the role has, `check` after its death there; how many there were.
fn at_each_step(test: &Test, role: &str, place: &Place, mut before: impl FnMut(), mut check: impl FnMut()) {
    for step in 1..MANY {
        before();
        let went_on = !died(test.child(role).arg(place.text("")).arg(step).spawn());
        check();
        if went_on {
            assert!(step > 5, "{role} has {step} steps only");
            return;
        }
    }
    panic!("{role} has no end");
}

const LONG: &str = "a message that is longer than what is left before the end of the ring";

#[test]
fn a_sender_that_dies_at_any_step_has_sent_all_or_nothing() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        die_at(peer.arg(1).parse().unwrap());
        sender.send(LONG.as_bytes()).unwrap();
    });
    for place in Place::all() {
        let address = place.address("?create&capacity=200");
        let (mut sender, mut receiver) = (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap());
        let mut outcomes = [0, 0];
        let receiver = std::cell::RefCell::new(&mut receiver);
        let before = || sender.send(b"before").unwrap();
        at_each_step(&test, "sender", &place, before, || {
            let messages = drain(&mut receiver.borrow_mut());
            assert!([texts(&["before"]), texts(&["before", LONG])].contains(&messages), "{messages:?}");
            outcomes[messages.len() - 1] += 1;
        });
        assert!(outcomes[0] > 1 && outcomes[1] > 1, "{outcomes:?}");
    }
}

#[test]
fn a_receiver_that_dies_at_any_step_has_taken_one_or_none() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        die_at(peer.arg(1).parse().unwrap());
        assert_eq!(receiver.receive().unwrap().bytes(), LONG.as_bytes());
    });
    for place in Place::all() {
        let address = place.address("?create&capacity=200");
        let (mut sender, mut receiver) = (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap());
        let mut outcomes = [0, 0];
        for step in 1..MANY {
            for message in [LONG, "second", "third"] {
                sender.send(message.as_bytes()).unwrap();
            }
            let went_on = !died(test.child("receiver").arg(place.text("")).arg(step).spawn());
            let messages = drain(&mut receiver);
            let all = texts(&[LONG, "second", "third"]);
            assert!(messages == all || messages == all[1..], "{messages:?}");
            outcomes[messages.len() - 2] += 1;
            if went_on {
                break;
            }
        }
        assert!(outcomes[0] > 1 && outcomes[1] > 1, "{outcomes:?}");
    }
}

#[test]
fn a_sender_that_dies_while_the_ring_grows_loses_nothing() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        die_at(peer.arg(1).parse().unwrap());
        sender.send(&[9; 10_000]).unwrap();
    });
    for scheme in 0..3 {
        let mut grown = 0;
        for step in 1..MANY {
            let place = Place::all().swap_remove(scheme);
            let address = place.address("?create&budget=256k");
            let (mut sender, mut receiver) =
                (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap());
            // 64 KiB at first, full, and wrapped around.
            let put = |sender: &mut Sender, number: u8| sender.send(&vec![number; 6_000]).unwrap();
            (0..10).for_each(|number| put(&mut sender, number));
            for number in 0..5 {
                assert_eq!(receiver.receive().unwrap().bytes(), vec![number; 6_000]);
            }
            (10..15).for_each(|number| put(&mut sender, number));
            let went_on = !died(test.child("sender").arg(place.text("")).arg(step).spawn());
            grown += u32::from(place.word(256 + 24) > 64 << 10);
            let mut expected: Vec<Vec<u8>> = (5..15).map(|number| vec![number; 6_000]).collect();
            let messages = drain(&mut receiver);
            if messages.len() > expected.len() {
                expected.push(vec![9; 10_000]);
            }
            assert!(messages == expected, "step {step} of {}", place.scheme);
            put(&mut sender, 77);
            assert_eq!(receiver.receive().unwrap().bytes(), [77; 6_000]);
            if went_on {
                break;
            }
        }
        assert!(grown > 3);
    }
}

#[test]
fn at_zero_whoever_dies_at_any_step_keeps_nobody_from_meeting() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        die_at(peer.arg(1).parse().unwrap());
        sender.send(b"message").unwrap();
    });
    test.role("receiver", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        die_at(peer.arg(1).parse().unwrap());
        assert_eq!(receiver.receive().unwrap().bytes(), b"message");
    });
    for place in Place::all() {
        let address = place.address("?create&capacity=0");
        let mut receiver = Receiver::open(&address).unwrap();
        for role in ["sender", "receiver"] {
            for step in 1..MANY {
                let mut child = test.child(role).arg(place.text("")).arg(step).spawn();
                let end = Instant::now() + Duration::from_secs(30);
                // Until it has come to its end, one way or the other.
                let status = loop {
                    assert!(Instant::now() < end, "{role}, step {step}");
                    if let Some(status) = ended(&mut child) {
                        break status;
                    }
                    let soon = Wait::until(Deadline::after(Duration::from_millis(3)));
                    if role == "sender" {
                        let mut message = Message::new();
                        if receiver.receive_wait(&mut message, soon).is_ok() {
                            assert_eq!(message.bytes(), b"message");
                        }
                    } else {
                        let _ = Sender::open(&address).unwrap().send_wait(b"message", soon);
                    }
                };
                assert!(drain(&mut receiver).is_empty(), "what the dead offered is withdrawn");
                std::thread::scope(|scope| {
                    scope.spawn(|| Sender::open(&address).unwrap().send(b"next").unwrap());
                    assert_eq!(receiver.receive().unwrap().bytes(), b"next", "{role}, step {step}");
                });
                if status.success() {
                    assert!(step > 3, "{step}");
                    break;
                }
            }
        }
    }
}

fn ended(child: &mut Child) -> Option<std::process::ExitStatus> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
    state(&stat).starts_with('Z').then(|| child.wait())
}

/// The one-letter state of a process, and what follows it in its line of `/proc`.
fn state(stat: &str) -> &str {
    stat.rsplit_once(") ").expect("a line of /proc").1
}

#[test]
fn a_participant_that_is_stopped_at_any_step_is_not_taken_for_dead() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        stop_at(peer.arg(1).parse().unwrap());
        sender.send(b"from the stopped").unwrap();
    });
    for place in Place::all() {
        let address = place.address("?create&capacity=200");
        let (mut sender, mut receiver) = (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap());
        let mut kept_out = 0;
        for step in 1..MANY {
            let mut child = test.child("sender").arg(place.text("")).arg(step).spawn();
            let stopped = loop {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
                match state(&stat).chars().next() {
                    Some('T') => break true,
                    Some('Z') => break false,
                    _ => std::thread::sleep(Duration::from_micros(300)),
                }
            };
            let sent = sender.try_send(b"meanwhile");
            kept_out += u32::from(sent.is_err());
            child.signal(Signal::CONT);
            assert!(child.wait().success());
            let mut messages = drain(&mut receiver);
            messages.sort();
            let expected: &[&str] =
                if sent.is_ok() { &["from the stopped", "meanwhile"] } else { &["from the stopped"] };
            assert_eq!(messages, texts(expected), "step {step} of {}", place.scheme);
            if !stopped {
                break;
            }
        }
        assert!(kept_out > 2, "{kept_out}");
    }
}

#[test]
fn a_connection_whose_sides_die_at_any_step_can_be_had_again() {
    let test = test!();
    test.role("client", |peer| {
        let address: Address = peer.arg(0).parse().unwrap();
        die_at(peer.arg(1).parse().unwrap());
        let mut client = Duplex::open(&address).unwrap();
        client.send(b"ping").unwrap();
        assert_eq!(client.receive().unwrap().bytes(), b"pong");
    });
    test.role("server", |peer| {
        die_at(peer.arg(1).parse().unwrap());
        let listener = Listener::open(&peer.arg(0).parse().unwrap()).unwrap();
        let mut server = listener.accept().unwrap();
        assert_eq!(server.receive().unwrap().bytes(), b"ping");
        server.send(b"pong").unwrap();
        drop(server);
    });
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create")).unwrap();
        for step in 1..MANY {
            let mut child = test.child("client").arg(place.text("")).arg(step).spawn();
            let status = loop {
                let soon = Wait::until(Deadline::after(Duration::from_millis(5)));
                if let Ok(mut server) = listener.accept_wait(soon)
                    && let Ok(message) = server.receive()
                {
                    assert_eq!(message.bytes(), b"ping");
                    let _ = server.send(b"pong");
                }
                if let Some(status) = ended(&mut child) {
                    break status;
                }
            };
            if status.success() {
                assert!(step > 10, "{step}");
                break;
            }
            assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        }
        drop(listener);
        for step in 1..MANY {
            let mut child = test.child("server").arg(place.text("")).arg(step).spawn();
            let status = loop {
                if let Ok(mut client) = Duplex::open(&place.address("?timeout=50ms"))
                    && client.send(b"ping").is_ok()
                {
                    match client.receive_deadline(Deadline::after(Duration::from_secs(20))) {
                        Ok(message) => assert_eq!(message.bytes(), b"pong"),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::PeerGone, "step {step}"),
                    }
                }
                if let Some(status) = ended(&mut child) {
                    break status;
                }
            };
            if status.success() {
                assert!(step > 10, "{step}");
                break;
            }
        }
    }
}
