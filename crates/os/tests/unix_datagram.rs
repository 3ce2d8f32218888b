//! Unix datagram sockets: addresses, queues, boundaries, and every form of waiting.

#[path = "support/sockets.rs"]
mod support;

use std::net::Shutdown;

use rustix::fs::{OFlags, fcntl_getfl};
use support::{INHERITED, fill, hand, kind, later, name, soon};
use twixt_os::unix::{Attachments, Datagram, Received};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};
use twixt_testkit::{Peer, call, test, under_storm};

#[test]
fn many_senders_reach_one_receiver() {
    let test = test!();
    test.role("sender", |peer| {
        let socket = Datagram::unbound().unwrap();
        for round in 0..100_u8 {
            socket.send_to(&[peer.arg(1).parse().unwrap(), round], &peer.arg(0).parse().unwrap()).unwrap();
        }
    });
    let address = name();
    let receiver = Datagram::bind(&address).unwrap();
    let senders: Vec<_> = (0..4).map(|id| test.child("sender").arg(address).arg(id).spawn()).collect();
    let mut next = [0; 4];
    let mut buffer = [0; 16];
    for _ in 0..400 {
        let (len, from) = receiver.receive_from_deadline(&mut buffer, later()).unwrap();
        assert!(from.is_unnamed());
        assert_eq!(
            (len, buffer[1]),
            (2, next[usize::from(buffer[0])]),
            "each sender's messages keep their order"
        );
        next[usize::from(buffer[0])] += 1;
    }
    assert_eq!(next, [100; 4]);
    senders.into_iter().for_each(|sender| sender.succeed());
}

#[test]
fn a_bound_sender_is_answered() {
    let test = test!();
    test.role("server", |peer| {
        let socket = Datagram::bind(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("bound");
        let mut buffer = [0; 16];
        let (len, from) = socket.receive_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..len].to_ascii_uppercase(), &from).unwrap();
    });
    let (server, own) = (name(), name());
    let mut child = test.child("server").arg(server).spawn();
    child.expect("bound");
    let socket = Datagram::bind(&own).unwrap();
    socket.send_to(b"ping", &server).unwrap();
    let mut buffer = [0; 16];
    let (len, from) = socket.receive_from_deadline(&mut buffer, later()).unwrap();
    assert_eq!((&buffer[..len], from), (&b"PING"[..], server));
    child.succeed();
    let error = socket.send_to(b"gone", &server).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NoPeer, Some(Errno::CONNREFUSED)));
}

#[test]
fn a_connected_socket_has_one_peer() {
    let _test = test!();
    let (one, other) = (name(), name());
    let receiver = Datagram::bind(&one).unwrap();
    let sender = Datagram::bind(&other).unwrap();
    let error = sender.send(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPeer, "{error}");
    assert_eq!(kind(sender.peer_address()), ErrorKind::NoPeer);
    sender.connect(&one).unwrap();
    assert_eq!(sender.peer_address().unwrap(), one);
    sender.send(b"hello").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(receiver.receive_from(&mut buffer).unwrap(), (5, other));
    // Who is connected to somebody else takes nothing from a stranger.
    let error = Datagram::unbound().unwrap().send_to(b"x", &other).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::PERM)));
    assert!(error.advice().unwrap().contains("its peer only"), "{error}");
    sender.disconnect().unwrap();
    Datagram::unbound().unwrap().send_to(b"now", &other).unwrap();
    assert_eq!(sender.receive(&mut buffer).unwrap(), 3);
    sender.connect(&one).unwrap();
    sender.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(sender.send(b"x")), ErrorKind::PeerGone);
}

#[test]
fn an_empty_message_is_a_message() {
    let _test = test!();
    let (one, other) = Datagram::pair().unwrap();
    one.send(b"").unwrap();
    let mut buffer = [1; 4];
    assert_eq!(other.peek(&mut buffer).unwrap(), 0);
    assert_eq!(other.receive(&mut buffer).unwrap(), 0);
    assert_eq!(kind(other.try_receive(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(other.receive_deadline(&mut buffer, Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(other.receive_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(other.receive_from_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
}

#[test]
fn a_message_longer_than_the_buffer_is_told() {
    let _test = test!();
    let (one, other) = Datagram::pair().unwrap();
    let mut buffer = [0; 4];
    for keep in [false, true] {
        other.keep_long_messages(keep);
        one.send(b"too long").unwrap();
        let expected = if keep { ErrorKind::TooLong } else { ErrorKind::Malformed };
        let error = other.receive(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), expected);
        assert!(error.to_string().contains("8 bytes"), "{error}");
        if !keep {
            assert_eq!(&buffer, b"too ");
            one.send(b"too long").unwrap();
        }
        assert_eq!(kind(other.receive_from(&mut buffer)), expected);
        if keep {
            assert_eq!(kind(other.receive_with(&mut buffer)), expected);
            assert_eq!(other.peek(&mut []).unwrap(), 8);
            let mut larger = [0; 8];
            assert_eq!(other.receive(&mut larger).unwrap(), 8);
            assert_eq!(&larger, b"too long");
        }
        assert_eq!(kind(other.try_receive(&mut buffer)), ErrorKind::WouldBlock);
    }
    let (named, to) = (Datagram::bind(&name()).unwrap(), Datagram::bind(&name()).unwrap());
    let mut received = Received::new();
    named.send_to(b"too long", &to.local_address().unwrap()).unwrap();
    let error = to.receive_into_wait(&mut buffer, &mut received, Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(received.from.is_unnamed(), "nothing is there of a message that was cut");
    one.options().set_send_buffer(8192).unwrap();
    let error = one.send(&[0; 1 << 20]).unwrap_err();
    assert_eq!((error.kind(), error.limit().unwrap().name), (ErrorKind::TooLong, "SO_SNDBUF"));
}

#[test]
fn after_shutting_down_nothing_more_is_waited_for() {
    let _test = test!();
    let mut buffer = [0; 8];
    for keep in [false, true] {
        let (one, other) = Datagram::pair().unwrap();
        other.keep_long_messages(keep);
        one.send(b"before").unwrap();
        other.shutdown(Shutdown::Read).unwrap();
        assert_eq!(kind(one.send(b"after")), ErrorKind::PeerGone);
        assert_eq!(other.receive_deadline(&mut buffer, later()).unwrap(), 6);
        assert_eq!(other.receive(&mut buffer).unwrap(), 0);
        assert_eq!(other.receive_deadline(&mut buffer, later()).unwrap(), 0);
        assert_eq!(other.peek_deadline(&mut buffer, later()).unwrap(), 0);
        assert_eq!(other.receive_from_deadline(&mut buffer, later()).unwrap().0, 0);
        assert_eq!(other.receive_with_deadline(&mut buffer, later()).unwrap().len, 0);
    }
}

#[test]
fn a_full_queue_is_waited_for() {
    let test = test!();
    test.role("send", |peer| {
        let socket = Datagram::unbound().unwrap();
        let address = peer.arg(0).parse().unwrap();
        match peer.arg(1).as_str() {
            "to, block" => socket.send_to(b"late", &address),
            "to, deadline" => socket.send_to_deadline(b"late", &address, later()),
            form => {
                socket.connect(&address).unwrap();
                match form {
                    "block" => socket.send(b"late"),
                    _ => socket.send_deadline(b"late", later()),
                }
            }
        }
        .unwrap();
        peer.say("sent");
    });
    for (form, blocked) in [
        ("block", call::SENDING),
        ("deadline", call::POLLING),
        ("to, block", call::SENDING),
        ("to, deadline", call::POLLING),
    ] {
        let address = name();
        let receiver = Datagram::bind(&address).unwrap();
        let sender = Datagram::unbound().unwrap();
        let queued = fill(|| sender.try_send_to(b"x", &address));
        let error = sender.try_send_to(b"x", &address).unwrap_err();
        assert!(error.advice().unwrap().contains("net.unix.max_dgram_qlen"), "{error}");
        assert_eq!(kind(sender.send_to_deadline(b"x", &address, Deadline::now())), ErrorKind::TimedOut);
        assert_eq!(kind(sender.send_to_deadline(b"x", &address, soon())), ErrorKind::TimedOut);
        sender.connect(&address).unwrap();
        assert_eq!(kind(sender.try_send(b"x")), ErrorKind::WouldBlock);
        assert_eq!(kind(sender.send_deadline(b"x", soon())), ErrorKind::TimedOut);
        assert!(!fcntl_getfl(&sender).unwrap().contains(OFlags::NONBLOCK));
        let mut child = test.child("send").arg(address).arg(form).spawn();
        child.wait_until_blocked_in(blocked);
        let mut buffer = [0; 8];
        for _ in 0..queued {
            assert_eq!(receiver.receive(&mut buffer).unwrap(), 1);
        }
        assert_eq!(receiver.receive_deadline(&mut buffer, later()).unwrap(), 4);
        child.expect("sent");
        child.succeed();
    }
}

fn blocking_role(peer: &Peer, operation: &str) {
    let form = peer.arg(0);
    let socket = Datagram::inherited(INHERITED).unwrap();
    let to = peer.arg(1).parse().unwrap();
    let mut buffer = [0; 8];
    let outcome = under_storm(peer, || match (operation, form.as_str()) {
        ("receive", "block") => socket.receive(&mut buffer),
        ("receive", "deadline") => socket.receive_deadline(&mut buffer, later()),
        ("receive", "interruptible") => socket.receive_interruptible(&mut buffer),
        ("from", "block") => socket.receive_from(&mut buffer).map(|(len, _)| len),
        ("from", "deadline") => socket.receive_from_deadline(&mut buffer, later()).map(|(len, _)| len),
        ("from", "interruptible") => socket.receive_from_interruptible(&mut buffer).map(|(len, _)| len),
        ("with", "block") => socket.receive_with(&mut buffer).map(|received| received.len),
        ("with", "deadline") => {
            socket.receive_with_deadline(&mut buffer, later()).map(|received| received.len)
        }
        ("with", "interruptible") => {
            socket.receive_with_interruptible(&mut buffer).map(|received| received.len)
        }
        ("peek", "block") => socket.peek(&mut buffer),
        ("peek", "deadline") => socket.peek_deadline(&mut buffer, later()),
        ("peek", "interruptible") => socket.peek_interruptible(&mut buffer),
        ("to", "block") => socket.send_to(b"last", &to).map(|()| 4),
        ("to", "deadline") => socket.send_to_deadline(b"last", &to, later()).map(|()| 4),
        ("to", "interruptible") => socket.send_to_interruptible(b"last", &to).map(|()| 4),
        ("send", "block") => socket.send(b"last").map(|()| 4),
        ("send", "deadline") => socket.send_deadline(b"last", later()).map(|()| 4),
        ("send", "interruptible") => socket.send_interruptible(b"last").map(|()| 4),
        ("send with", form) | ("send with, to", form) => {
            let to = (operation == "send with, to").then_some(&to);
            let attachments = Attachments::none();
            match form {
                "block" => socket.send_with(b"last", to, &attachments),
                "deadline" => socket.send_with_deadline(b"last", to, &attachments, later()),
                _ => socket.send_with_interruptible(b"last", to, &attachments),
            }
            .map(|()| 4)
        }
        other => unreachable!("{other:?}"),
    });
    match outcome {
        Ok(len) => peer.say(&len.to_string()),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn signals_do_not_end_a_call_unless_they_shall() {
    let test = test!();
    let operations = ["receive", "from", "with", "peek", "to", "send", "send with", "send with, to"];
    for operation in operations {
        test.role(operation, |peer| blocking_role(peer, operation));
    }
    for operation in operations {
        for form in ["block", "deadline", "interruptible"] {
            let (here, there) = (name(), name());
            let socket = Datagram::bind(&here).unwrap();
            let other = Datagram::bind(&there).unwrap();
            let sends = operation == "to" || operation.starts_with("send");
            let queued = if sends { fill(|| other.try_send_to(b"x", &here)) } else { 0 };
            if ["send", "send with"].contains(&operation) {
                other.connect(&here).unwrap();
            }
            let mut child = hand(other, test.child(operation).arg(form).arg(here));
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else {
                assert_eq!(said[0], "stormed", "{operation} {form}");
                if sends {
                    let mut buffer = [0; 8];
                    for _ in 0..queued {
                        assert_eq!(socket.receive(&mut buffer).unwrap(), 1);
                    }
                    assert_eq!(socket.receive_deadline(&mut buffer, later()).unwrap(), 4);
                } else {
                    socket.send_to(b"four", &there).unwrap();
                }
                child.expect("4");
            }
            child.succeed();
        }
    }
}
