//! Unix stream sockets: what both ends can rely on, every form of waiting, and what goes wrong.

#[path = "support/sockets.rs"]
mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use support::{INHERITED, fill, hand, kind, later, name, soon};
use twixt_os::unix::{Address, BindOptions, Datagram, Stream, StreamListener};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};
use twixt_testkit::{Child, Peer, Test, call, test, under_storm};

/// A child that has the other end as descriptor INHERITED.
fn child(test: &Test, role: &str, form: &str) -> (Stream, Child) {
    let (here, there) = Stream::pair().unwrap();
    (here, hand(there, test.child(role).arg(form)))
}

fn inherited() -> Stream {
    Stream::inherited(INHERITED).unwrap()
}

/// Sends bytes until no more fit, so that sending would wait.
fn fill_up(stream: &Stream) -> usize {
    let mut sent = 0;
    fill(|| stream.try_send(&[b'f'; 4096]).map(|count| sent += count));
    sent
}

/// Receives so many bytes.
fn drain(stream: &Stream, mut count: usize) {
    let mut buffer = [0; 65536];
    while count > 0 {
        let most = count.min(buffer.len());
        count -= stream.receive_deadline(&mut buffer[..most], later()).unwrap();
    }
}

#[test]
fn two_processes_hold_a_conversation() {
    let test = test!();
    test.role("client", |peer| {
        let stream = Stream::connect(&peer.arg(0).parse().unwrap()).unwrap();
        let mut buffer = [0; 16];
        for round in 0..100_u32 {
            stream.send_all(&round.to_ne_bytes()).unwrap();
            stream.receive_exact(&mut buffer[..4]).unwrap();
            assert_eq!(buffer[..4], (round + 1).to_ne_bytes());
        }
    });
    let address = name();
    let listener = StreamListener::bind(&address).unwrap();
    let client = test.child("client").arg(address).spawn();
    let server = listener.accept_deadline(later()).unwrap();
    assert_eq!(server.peer_credentials().unwrap().pid.unwrap().as_raw_nonzero().get(), client.pid());
    let mut buffer = [0; 4];
    for _ in 0..100 {
        server.receive_exact(&mut buffer).unwrap();
        server.send_all(&(u32::from_ne_bytes(buffer) + 1).to_ne_bytes()).unwrap();
    }
    assert_eq!(server.receive(&mut buffer).unwrap(), 0, "the client has closed");
    client.succeed();
}

#[test]
fn descriptors_are_close_on_exec_and_connections_blocking() {
    let _test = test!();
    let address = name();
    let listener = StreamListener::bind(&address).unwrap();
    let connected = [
        Stream::connect(&address).unwrap(),
        Stream::try_connect(&address).unwrap(),
        Stream::connect_deadline(&address, later()).unwrap(),
        listener.accept().unwrap(),
    ];
    let (one, other) = Stream::pair().unwrap();
    for stream in connected.iter().chain([&one, &other]) {
        assert!(fcntl_getfd(stream).unwrap().contains(FdFlags::CLOEXEC));
        assert!(!fcntl_getfl(stream).unwrap().contains(OFlags::NONBLOCK));
        let timeout = rustix::net::sockopt::socket_timeout(stream, rustix::net::sockopt::Timeout::Send);
        assert_eq!(timeout, Ok(None), "connecting with a deadline leaves no trace");
    }
    assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
}

#[test]
fn half_closing_ends_one_direction() {
    let test = test!();
    test.role("answer", |_| {
        let mut stream = inherited();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    let (mut stream, child) = child(&test, "answer", "");
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "QUESTION");
    let error = stream.send(b"more").unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PeerGone, Some(Errno::PIPE)));
    child.succeed();
}

#[test]
fn large_amounts_pass_through_whole() {
    let test = test!();
    const LEN: usize = 8 << 20;
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    test.role("send", |_| {
        let bytes: Vec<u8> = (0..LEN).map(byte).collect();
        inherited().send_all(&bytes).unwrap();
    });
    let (stream, child) = child(&test, "send", "");
    let mut bytes = vec![0; LEN];
    stream.receive_exact(&mut bytes).unwrap();
    assert!(bytes.iter().enumerate().all(|(at, received)| *received == byte(at)));
    assert_eq!(stream.receive(&mut [0; 1]).unwrap(), 0);
    child.succeed();
}

#[test]
fn a_peer_that_was_killed_is_seen_by_both_directions() {
    let test = test!();
    test.role("idle", |peer| {
        let stream = inherited();
        stream.send_all(b"last words").unwrap();
        peer.say("ready");
        peer.hear();
    });
    let (stream, mut child) = child(&test, "idle", "");
    child.expect("ready");
    stream.send_all(b"never read").unwrap();
    child.kill();
    let mut buffer = [0; 64];
    assert_eq!(stream.receive(&mut buffer).unwrap(), 10, "what it sent is still there");
    let error = stream.receive(&mut buffer).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PeerGone, Some(Errno::CONNRESET)));
    assert_eq!(stream.receive(&mut buffer).unwrap(), 0, "the reset is told once");
    // SIGPIPE would have ended this process.
    let error = stream.send(b"x").unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PeerGone, Some(Errno::PIPE)));
    assert_eq!(kind(stream.send_all(b"x")), ErrorKind::PeerGone);
}

#[test]
fn a_blocked_receiver_learns_of_the_death() {
    let test = test!();
    test.role("idle", |peer| {
        let _stream = inherited();
        peer.say("ready");
        peer.hear();
    });
    test.role("receive", |peer| {
        let received = Stream::inherited(INHERITED).unwrap().receive(&mut [0; 8]).unwrap();
        peer.say(&received.to_string());
    });
    let (stream, mut idle) = child(&test, "idle", "");
    idle.expect("ready");
    let mut receiver = hand(stream, test.child("receive"));
    receiver.wait_until_blocked_in(call::RECEIVING);
    idle.kill();
    receiver.expect("0");
    receiver.succeed();
}

#[test]
fn a_stream_that_ends_early_fills_no_buffer() {
    let _test = test!();
    let (one, other) = Stream::pair().unwrap();
    one.send_all(b"abc").unwrap();
    drop(one);
    let mut buffer = [0; 10];
    let mut received = 0;
    let error = other.receive_exact_counted(&mut buffer, &mut received, Wait::forever()).unwrap_err();
    assert_eq!((error.kind(), received), (ErrorKind::PeerGone, 3));
    assert_eq!(&buffer[..3], b"abc");
}

#[test]
fn peeking_takes_nothing() {
    let _test = test!();
    let (one, other) = Stream::pair().unwrap();
    let mut buffer = [0; 16];
    assert_eq!(kind(other.try_peek(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(other.peek_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    one.send_all(b"look").unwrap();
    assert_eq!(other.peek(&mut buffer[..2]).unwrap(), 2);
    assert_eq!(other.peek(&mut buffer).unwrap(), 4);
    assert_eq!(other.options().queued_input().unwrap(), 4);
    assert!(one.options().queued_output().unwrap() >= 4);
    assert_eq!(other.receive(&mut buffer).unwrap(), 4);
    assert_eq!(one.options().queued_output().unwrap(), 0);
}

#[test]
fn without_waiting_a_full_or_empty_stream_is_told() {
    let _test = test!();
    let (one, other) = Stream::pair().unwrap();
    let mut buffer = [0; 16];
    let error = other.try_receive(&mut buffer).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::WouldBlock, Some(Errno::AGAIN)));
    assert_eq!(kind(other.receive_deadline(&mut buffer, Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(other.receive_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(other.receive_exact_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    let sent = fill_up(&one);
    assert_eq!(kind(one.send_deadline(b"x", Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(one.send_deadline(b"x", soon())), ErrorKind::TimedOut);
    assert_eq!(kind(one.try_send_all(b"x")), ErrorKind::WouldBlock);
    assert_eq!(kind(one.send_all_deadline(b"x", soon())), ErrorKind::TimedOut);
    // The description was never made non-blocking, which other processes would notice.
    assert!(!fcntl_getfl(&one).unwrap().contains(OFlags::NONBLOCK));
    drain(&other, sent);
    assert_eq!(one.send_deadline(b"x", Deadline::now()).unwrap(), 1, "tried once, though it has passed");
    assert_eq!(other.receive_deadline(&mut buffer, Deadline::now()).unwrap(), 1);
}

#[test]
fn a_partial_send_can_be_continued() {
    let _test = test!();
    let (one, other) = Stream::pair().unwrap();
    let bytes: Vec<u8> = (0..4_000_000_usize).map(|at| (at % 251) as u8).collect();
    let mut sent = 0;
    assert_eq!(kind(one.send_all_counted(&bytes, &mut sent, Wait::until(soon()))), ErrorKind::TimedOut);
    assert!(sent > 0 && sent < bytes.len());
    let mut received = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| one.send_all_counted(&bytes, &mut sent, Wait::forever()).unwrap());
        other.receive_exact(&mut received).unwrap();
    });
    assert!(received == bytes);
}

/// The operation that blocks, in the form that the test names; says what came of it.
fn blocking_role(peer: &Peer, operation: &str) {
    let form = peer.arg(0);
    let stream = inherited();
    let mut buffer = [0; 8];
    let outcome = under_storm(peer, || match (operation, form.as_str()) {
        ("receive", "block") => stream.receive(&mut buffer),
        ("receive", "deadline") => stream.receive_deadline(&mut buffer, later()),
        ("receive", "interruptible") => stream.receive_interruptible(&mut buffer),
        ("exact", "block") => stream.receive_exact(&mut buffer).map(|()| 8),
        ("exact", "deadline") => stream.receive_exact_deadline(&mut buffer, later()).map(|()| 8),
        ("exact", "interruptible") => stream.receive_exact_interruptible(&mut buffer).map(|()| 8),
        ("peek", "block") => stream.peek(&mut buffer),
        ("peek", "deadline") => stream.peek_deadline(&mut buffer, later()),
        ("peek", "interruptible") => stream.peek_interruptible(&mut buffer),
        ("send", "block") => stream.send(b"x"),
        ("send", "deadline") => stream.send_deadline(b"x", later()),
        ("send", "interruptible") => stream.send_interruptible(b"x"),
        ("all", "block") => stream.send_all(&[0; 1 << 20]).map(|()| 1 << 20),
        ("all", "deadline") => stream.send_all_deadline(&[0; 1 << 20], later()).map(|()| 1 << 20),
        ("all", "interruptible") => stream.send_all_interruptible(&[0; 1 << 20]).map(|()| 1 << 20),
        other => unreachable!("{other:?}"),
    });
    match outcome {
        Ok(count) => peer.say(&count.to_string()),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn signals_do_not_end_a_receive_unless_they_shall() {
    let test = test!();
    for operation in ["receive", "exact", "peek"] {
        test.role(operation, |peer| blocking_role(peer, operation));
    }
    for operation in ["receive", "exact", "peek"] {
        for form in ["block", "deadline", "interruptible"] {
            let (stream, mut child) = child(&test, operation, form);
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else {
                assert_eq!(said[0], "stormed", "{operation} {form}");
                stream.send_all(b"12345678").unwrap();
                child.expect("8");
            }
            child.succeed();
        }
    }
}

#[test]
fn signals_do_not_end_a_send_unless_they_shall() {
    let test = test!();
    for operation in ["send", "all"] {
        test.role(operation, |peer| blocking_role(peer, operation));
    }
    for (operation, result) in [("send", "1"), ("all", "1048576")] {
        for form in ["block", "deadline", "interruptible"] {
            let (stream, there) = Stream::pair().unwrap();
            let full = fill_up(&there);
            let mut child = hand(there, test.child(operation).arg(form));
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else {
                assert_eq!(said[0], "stormed", "{operation} {form}");
                drain(&stream, full + result.parse::<usize>().unwrap());
                child.expect(result);
            }
            child.succeed();
        }
    }
}

#[test]
fn a_blocked_send_goes_on_when_there_is_room() {
    let test = test!();
    test.role("send", |peer| {
        let stream = inherited();
        let sent = match peer.arg(0).as_str() {
            "block" => stream.send(b"x"),
            _ => stream.send_deadline(b"x", later()),
        };
        peer.say(&sent.unwrap().to_string());
    });
    for (form, blocked) in [("block", call::SENDING), ("deadline", call::POLLING)] {
        let (stream, there) = Stream::pair().unwrap();
        let full = fill_up(&there);
        let mut child = hand(there, test.child("send").arg(form));
        child.wait_until_blocked_in(blocked);
        drain(&stream, full + 1);
        child.expect("1");
        child.succeed();
    }
}

#[test]
fn accepting_waits_in_every_form() {
    let test = test!();
    test.role("accept", |peer| {
        let listener = StreamListener::inherited(INHERITED).unwrap();
        let outcome = under_storm(peer, || match peer.arg(0).as_str() {
            "block" => listener.accept(),
            "deadline" => listener.accept_deadline(later()),
            _ => listener.accept_interruptible(),
        });
        match outcome {
            Ok(stream) => peer.say(&stream.send(b"12").unwrap().to_string()),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
    for form in ["block", "deadline", "interruptible"] {
        let address = name();
        let listener = StreamListener::bind(&address).unwrap();
        assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock);
        assert_eq!(kind(listener.accept_deadline(Deadline::now())), ErrorKind::TimedOut);
        assert_eq!(kind(listener.accept_deadline(soon())), ErrorKind::TimedOut);
        let mut child = hand(listener, test.child("accept").arg(form));
        let mut said = [child.hear(), String::new()];
        if form == "interruptible" {
            said[1] = child.hear();
            said.sort();
            assert_eq!(said, ["Interrupted", "stormed"]);
        } else {
            assert_eq!(said[0], "stormed");
            let client = Stream::connect(&address).unwrap();
            child.expect("2");
            client.receive_exact(&mut [0; 2]).unwrap();
        }
        child.succeed();
    }
}

#[test]
fn connecting_waits_for_a_full_backlog() {
    let test = test!();
    test.role("connect", |peer| {
        let address: Address = peer.arg(1).parse().unwrap();
        let connect = || match peer.arg(0).as_str() {
            "block" => Stream::connect(&address),
            "deadline" => Stream::connect_deadline(&address, later()),
            _ => Stream::connect_interruptible(&address),
        };
        match under_storm(peer, connect) {
            Ok(stream) => peer.say(&stream.send(b"12").unwrap().to_string()),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
    for form in ["block", "deadline", "interruptible"] {
        let address = name();
        let listener = BindOptions::new().backlog(0).listen::<Stream>(&address).unwrap();
        let _waits = Stream::connect(&address).unwrap();
        let error = Stream::try_connect(&address).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::WouldBlock, Some(Errno::AGAIN)));
        assert!(error.advice().unwrap().contains("net.core.somaxconn"), "{error}");
        assert_eq!(kind(Stream::connect_deadline(&address, Deadline::now())), ErrorKind::TimedOut);
        assert_eq!(kind(Stream::connect_deadline(&address, soon())), ErrorKind::TimedOut);
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
            second.receive_exact(&mut [0; 2]).unwrap();
            child.expect("2");
        }
        child.succeed();
    }
}

#[test]
fn clients_are_refused_after_the_listener_has_shut_down() {
    let _test = test!();
    let address = name();
    let listener = StreamListener::bind(&address).unwrap();
    let _waits = Stream::connect(&address).unwrap();
    listener.shutdown().unwrap();
    assert_eq!(kind(Stream::connect(&address)), ErrorKind::NoPeer);
    listener.accept().unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::Removed);
}

#[test]
fn adopting_checks_what_it_is() {
    let _test = test!();
    let wrong = |fd: OwnedFd| {
        let error = Stream::try_from(fd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        error.to_string()
    };
    assert!(wrong(Datagram::unbound().unwrap().into()).contains("another type"));
    assert!(wrong(StreamListener::bind(&name()).unwrap().into()).contains("listening"));
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(wrong(tcp.into()).contains("not a Unix socket"));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(Stream::try_from(OwnedFd::from(file)).is_err());
    let (one, other) = Stream::pair().unwrap();
    assert!(StreamListener::try_from(OwnedFd::from(one)).is_err());
    let other = OwnedFd::from(Stream::try_from(OwnedFd::from(other)).unwrap());
    assert_eq!(kind(Stream::inherited(2)), ErrorKind::InvalidInput, "a standard stream");
    assert_eq!(kind(Stream::inherited(other.as_raw_fd())), ErrorKind::InvalidInput, "it has an owner");
}

#[test]
fn buffers_can_be_set_and_forced() {
    let test = test!();
    test.role("plain", |peer| {
        let (one, _other) = Stream::pair().unwrap();
        let error = one.options().force_send_buffer(1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.limit().unwrap().name, "net.core.wmem_max");
        assert!(error.advice().unwrap().contains("CAP_NET_ADMIN"));
        assert!(one.options().force_receive_buffer(1 << 20).is_err());
        peer.say("told");
    });
    let (one, _other) = Stream::pair().unwrap();
    let options = one.options();
    options.set_send_buffer(10_000).unwrap();
    assert_eq!(options.send_buffer().unwrap(), 20_000);
    options.set_receive_buffer(10_000).unwrap();
    assert_eq!(options.receive_buffer().unwrap(), 20_000);
    assert_eq!(options.take_error().unwrap(), None);
    if let Err(missing) = twixt_testkit::root() {
        return test.skip(&missing);
    }
    let mut child = test.child("plain").as_nobody().spawn();
    child.expect("told");
    child.succeed();
    if options.force_send_buffer(16 << 20).is_ok() {
        assert_eq!(options.send_buffer().unwrap(), 32 << 20);
    }
}
