//! Unix seqpacket sockets: boundaries, the end, and every form of waiting.

#[path = "support/sockets.rs"]
mod support;

use std::net::Shutdown;

use support::{INHERITED, fill, hand, kind, later, name, soon};
use twixt_os::unix::{Address, Attachments, BindOptions, Seqpacket, SeqpacketListener};
use twixt_os::{Deadline, Errno, ErrorKind};
use twixt_testkit::{Child, Peer, Test, call, test, under_storm};

fn child(test: &Test, role: &str, form: &str) -> (Seqpacket, Child) {
    let (here, there) = Seqpacket::pair().unwrap();
    (here, hand(there, test.child(role).arg(form)))
}

fn inherited() -> Seqpacket {
    Seqpacket::inherited(INHERITED).unwrap()
}

#[test]
fn messages_arrive_whole_between_processes() {
    let test = test!();
    test.role("client", |peer| {
        let socket = Seqpacket::connect(&peer.arg(0).parse().unwrap()).unwrap();
        for len in [0, 1, 100, 0, 60_000, 0] {
            socket.send(&vec![len as u8; len]).unwrap();
        }
    });
    let address = name();
    let listener = SeqpacketListener::bind(&address).unwrap();
    let client = test.child("client").arg(address).spawn();
    let server = listener.accept_deadline(later()).unwrap();
    // The client ends while empty messages are still in the queue: they must not be taken for its end.
    client.succeed();
    let mut buffer = vec![0; 65536];
    for len in [0, 1, 100, 0, 60_000, 0] {
        assert_eq!(server.receive(&mut buffer).unwrap(), Some(len));
        assert!(buffer[..len].iter().all(|byte| *byte == len as u8));
    }
    for _ in 0..3 {
        assert_eq!(server.receive(&mut buffer).unwrap(), None);
        assert_eq!(server.try_receive(&mut buffer).unwrap(), None);
        assert_eq!(server.receive_deadline(&mut buffer, Deadline::now()).unwrap(), None);
        assert_eq!(server.peek(&mut buffer).unwrap(), None);
        assert!(server.receive_with(&mut buffer).unwrap().is_none());
    }
}

#[test]
fn an_empty_message_is_not_the_end() {
    let _test = test!();
    for keep in [false, true] {
        let (one, other) = Seqpacket::pair().unwrap();
        other.keep_long_messages(keep);
        for _ in 0..4 {
            one.send(b"").unwrap();
        }
        one.shutdown(Shutdown::Write).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(other.peek(&mut buffer).unwrap(), Some(0));
        assert_eq!(other.receive(&mut buffer).unwrap(), Some(0));
        assert_eq!(other.receive(&mut []).unwrap(), Some(0));
        let received = other.receive_with(&mut buffer).unwrap().unwrap();
        assert_eq!((received.len, received.descriptors.len()), (0, 0));
        assert_eq!(other.try_receive(&mut buffer).unwrap(), Some(0));
        assert_eq!(other.receive(&mut buffer).unwrap(), None);
        assert!(other.receive_with(&mut buffer).unwrap().is_none());
        // The other direction is open.
        other.send(b"still").unwrap();
        assert_eq!(one.receive(&mut buffer).unwrap(), Some(5));
    }
}

#[test]
fn foreign_peers_are_understood_too() {
    // A C program's empty messages bear no mark of ours.
    let _test = test!();
    let scratch = twixt_testkit::scratch();
    let program = twixt_testkit::compile_c(
        scratch.path(),
        "peer",
        r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char b[16];
    int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    strcpy(a.sun_path, argv[1]);
    alarm(60);
    if (connect(s, (void *)&a, sizeof a)) return 1;
    if (send(s, "", 0, 0) || send(s, "ping", 4, 0) != 4 || send(s, "", 0, 0)) return 2;
    if (recv(s, b, sizeof b, 0) != 4 || memcmp(b, "pong", 4)) return 3;
    return recv(s, b, sizeof b, 0) == 0 ? 0 : 4;
}
"#,
        &[],
    );
    let path = scratch.path().join("s");
    let listener = SeqpacketListener::bind(&twixt_os::unix::Address::path(&path).unwrap()).unwrap();
    let mut peer = std::process::Command::new(program).arg(&path).spawn().unwrap();
    let server = listener.accept_deadline(later()).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(server.receive_deadline(&mut buffer, later()).unwrap(), Some(0));
    assert_eq!(server.receive_deadline(&mut buffer, later()).unwrap(), Some(4));
    assert_eq!(&buffer[..4], b"ping");
    assert_eq!(server.receive_deadline(&mut buffer, later()).unwrap(), Some(0));
    server.send(b"pong").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.receive_deadline(&mut buffer, later()).unwrap(), None);
    assert!(peer.wait().unwrap().success());
}

#[test]
fn a_message_longer_than_the_buffer_is_told() {
    let _test = test!();
    let (one, other) = Seqpacket::pair().unwrap();
    let mut buffer = [0; 4];
    one.send(b"too long").unwrap();
    one.send(b"next").unwrap();
    assert_eq!(other.peek(&mut buffer).unwrap(), Some(8));
    assert_eq!(&buffer, b"too ");
    let error = other.receive(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("8 bytes") && error.to_string().contains("discarded"), "{error}");
    assert_eq!(other.receive(&mut buffer).unwrap(), Some(4));

    other.keep_long_messages(true);
    one.send(b"too long").unwrap();
    for error in [
        other.receive(&mut buffer).unwrap_err(),
        other.try_receive(&mut buffer).unwrap_err(),
        other.receive_deadline(&mut buffer, Deadline::now()).unwrap_err(),
        other.receive_with(&mut buffer).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::TooLong);
        assert!(error.to_string().contains("8 bytes") && error.to_string().contains("still"), "{error}");
    }
    let mut larger = [0; 8];
    assert_eq!(other.receive(&mut larger).unwrap(), Some(8));
    assert_eq!(&larger, b"too long");
    assert_eq!(kind(other.try_receive(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(other.receive_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
}

#[test]
fn a_message_longer_than_the_send_buffer_names_the_limit() {
    let _test = test!();
    let (one, other) = Seqpacket::pair().unwrap();
    one.options().set_send_buffer(32768).unwrap();
    let room = one.options().send_buffer().unwrap();
    let mut message = vec![7; room - 32];
    one.send(&message).unwrap();
    let mut buffer = vec![0; room];
    assert_eq!(other.receive(&mut buffer).unwrap(), Some(room - 32));
    message.push(7);
    let error = one.send(&message).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, Some(Errno::MSGSIZE)));
    let limit = error.limit().unwrap();
    assert_eq!((limit.name, limit.current), ("SO_SNDBUF", Some(room as u64)));
    assert!(limit.is_exceeded());
    assert!(error.advice().unwrap().contains("net.core.wmem_max"), "{error}");
    one.options().set_send_buffer(room).unwrap();
    one.send(&message).unwrap();
}

#[test]
fn messages_of_a_megabyte_pass() {
    let test = test!();
    const LEN: usize = 1 << 20;
    test.role("send", |_| {
        let socket = inherited();
        socket.options().set_send_buffer(LEN).unwrap();
        for round in 1..=5 {
            socket.send(&vec![round; LEN]).unwrap();
        }
    });
    let (socket, child) = child(&test, "send", "");
    let mut buffer = vec![0; LEN];
    for round in 1..=5 {
        assert_eq!(socket.receive(&mut buffer).unwrap(), Some(LEN));
        assert!(buffer.iter().all(|byte| *byte == round));
    }
    assert_eq!(socket.receive(&mut buffer).unwrap(), None);
    child.succeed();
}

#[test]
fn a_killed_peer_is_seen() {
    let test = test!();
    test.role("idle", |peer| {
        let socket = inherited();
        socket.send(b"last words").unwrap();
        peer.say("ready");
        peer.hear();
    });
    let (socket, mut idle) = child(&test, "idle", "");
    idle.expect("ready");
    socket.send(b"never read").unwrap();
    idle.kill();
    let mut buffer = [0; 16];
    // Other than on a stream, the reset comes before what is still in the queue, which is not lost by it.
    let error = socket.receive(&mut buffer).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PeerGone, Some(Errno::CONNRESET)));
    assert_eq!(socket.receive(&mut buffer).unwrap(), Some(10));
    assert_eq!(socket.receive(&mut buffer).unwrap(), None);
    let error = socket.send(b"x").unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PeerGone, Some(Errno::PIPE)));
    // With nothing unread there is no reset.
    let (socket, mut idle) = child(&test, "idle", "");
    assert_eq!(socket.receive(&mut buffer).unwrap(), Some(10));
    idle.expect("ready");
    idle.kill();
    assert_eq!(socket.receive(&mut buffer).unwrap(), None);
}

#[test]
fn a_blocked_receiver_gets_what_comes() {
    let test = test!();
    test.role("receive", |peer| {
        let socket = inherited();
        let mut buffer = [0; 16];
        peer.say(&format!("{:?}", socket.receive(&mut buffer).unwrap()));
        socket.keep_long_messages(true);
        peer.say(&format!("{:?}", socket.receive(&mut buffer).unwrap()));
        peer.say(&format!("{:?}", socket.receive(&mut buffer).unwrap()));
    });
    let (socket, mut child) = child(&test, "receive", "");
    for message in [&b""[..], b"abc"] {
        child.wait_until_blocked_in(call::RECEIVING);
        socket.send(message).unwrap();
        child.expect(&format!("Some({})", message.len()));
    }
    child.wait_until_blocked_in(call::RECEIVING);
    drop(socket);
    child.expect("None");
    child.succeed();
}

fn blocking_role(peer: &Peer, operation: &str) {
    let form = peer.arg(0);
    let socket = inherited();
    socket.keep_long_messages(operation == "kept");
    let mut buffer = [0; 8];
    let outcome = under_storm(peer, || match (operation, form.as_str()) {
        ("receive" | "kept", "block") => socket.receive(&mut buffer),
        ("receive" | "kept", "deadline") => socket.receive_deadline(&mut buffer, later()),
        ("receive" | "kept", "interruptible") => socket.receive_interruptible(&mut buffer),
        ("with", "block") => socket.receive_with(&mut buffer).map(|received| received.map(|it| it.len)),
        ("with", "deadline") => {
            socket.receive_with_deadline(&mut buffer, later()).map(|received| received.map(|it| it.len))
        }
        ("with", "interruptible") => {
            socket.receive_with_interruptible(&mut buffer).map(|received| received.map(|it| it.len))
        }
        ("peek", "block") => socket.peek(&mut buffer),
        ("peek", "deadline") => socket.peek_deadline(&mut buffer, later()),
        ("peek", "interruptible") => socket.peek_interruptible(&mut buffer),
        ("send", "block") => socket.send(b"last").map(|()| Some(4)),
        ("send", "deadline") => socket.send_deadline(b"last", later()).map(|()| Some(4)),
        ("send", "interruptible") => socket.send_interruptible(b"last").map(|()| Some(4)),
        ("send with", form) => {
            let attachments = Attachments::none();
            match form {
                "block" => socket.send_with(b"last", &attachments),
                "deadline" => socket.send_with_deadline(b"last", &attachments, later()),
                _ => socket.send_with_interruptible(b"last", &attachments),
            }
            .map(|()| Some(4))
        }
        other => unreachable!("{other:?}"),
    });
    match outcome {
        Ok(len) => peer.say(&format!("{len:?}")),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn signals_do_not_end_a_call_unless_they_shall() {
    let test = test!();
    let operations = ["receive", "kept", "with", "peek", "send", "send with"];
    for operation in operations {
        test.role(operation, |peer| blocking_role(peer, operation));
    }
    for operation in operations {
        for form in ["block", "deadline", "interruptible"] {
            let (socket, there) = Seqpacket::pair().unwrap();
            let sends = operation.starts_with("send");
            let full = if sends { fill(|| there.try_send(&[b'f'; 4096])) } else { 0 };
            if sends {
                assert_eq!(kind(there.send_deadline(b"x", Deadline::now())), ErrorKind::TimedOut);
                assert_eq!(kind(there.send_deadline(b"x", soon())), ErrorKind::TimedOut);
            }
            let mut child = hand(there, test.child(operation).arg(form));
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else if sends {
                assert_eq!(said[0], "stormed");
                let mut buffer = [0; 4096];
                for _ in 0..full {
                    assert_eq!(socket.receive_deadline(&mut buffer, later()).unwrap(), Some(4096));
                }
                assert_eq!(socket.receive_deadline(&mut buffer, later()).unwrap(), Some(4));
                child.expect("Some(4)");
            } else {
                assert_eq!(said[0], "stormed", "{operation} {form}");
                socket.send(b"four").unwrap();
                child.expect("Some(4)");
            }
            child.succeed();
        }
    }
}

#[test]
fn signals_do_not_end_connecting_unless_they_shall() {
    let test = test!();
    test.role("connect", |peer| {
        let address: Address = peer.arg(1).parse().unwrap();
        let connected = under_storm(peer, || match peer.arg(0).as_str() {
            "block" => Seqpacket::connect(&address),
            "deadline" => Seqpacket::connect_deadline(&address, later()),
            _ => Seqpacket::connect_interruptible(&address),
        });
        match connected.and_then(|socket| socket.send(b"12")) {
            Ok(()) => peer.say("connected"),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
    for form in ["block", "deadline", "interruptible"] {
        let address = name();
        let listener: SeqpacketListener = BindOptions::new().backlog(0).listen(&address).unwrap();
        let _waits = Seqpacket::connect(&address).unwrap();
        assert_eq!(kind(Seqpacket::try_connect(&address)), ErrorKind::WouldBlock);
        assert_eq!(kind(Seqpacket::connect_deadline(&address, soon())), ErrorKind::TimedOut);
        let mut child = test.child("connect").arg(form).arg(address).spawn();
        let mut said = [child.hear(), String::new()];
        if form == "interruptible" {
            said[1] = child.hear();
            said.sort();
            assert_eq!(said, ["Interrupted", "stormed"]);
        } else {
            assert_eq!(said[0], "stormed");
            child.wait_until_blocked_in(&[call::CONNECT]);
            let _first = listener.accept().unwrap();
            let second = listener.accept_deadline(later()).unwrap();
            assert_eq!(second.receive_deadline(&mut [0; 8], later()).unwrap(), Some(2));
            child.expect("connected");
        }
        child.succeed();
    }
}
