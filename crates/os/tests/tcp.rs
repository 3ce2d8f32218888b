//! TCP: both ends in different processes, every form of waiting, options, and what goes wrong.

#[path = "support/sockets.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::{AddressFamily, SocketType};
use support::{INHERITED, fill, hand, kind, later, soon};
use twixt_os::net::tcp::{Keepalive, ListenOptions, Listener, Stream};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};
use twixt_testkit::{Missing, Peer, call, command, root, test, under_storm};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// A connection within this process.
fn connected() -> (Stream, Stream) {
    let listener = Listener::bind(LOOPBACK).unwrap();
    let client = Stream::connect(listener.local_address().unwrap()).unwrap();
    (client, listener.accept().unwrap())
}

/// An address at which nobody listens, but which nobody else gets, as long as the socket lives.
fn deaf() -> (OwnedFd, SocketAddr) {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(LOOPBACK)).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap();
    (socket, address.try_into().unwrap())
}

/// Sends until no more fits, now or later.
fn fill_up(one: &Stream, other: &Stream) -> usize {
    let mut sent = 0;
    loop {
        let before = sent;
        fill(|| one.try_send(&[b'f'; 4096]).map(|count| sent += count));
        if sent == before {
            return sent;
        }
        // What has arrived and is not acknowledged yet counts on both sides: it will still make room.
        let under_way = || one.options().queued_output().unwrap() + other.options().queued_input().unwrap();
        while under_way() != sent {
            std::thread::yield_now();
        }
    }
}

#[test]
fn two_processes_hold_a_conversation() {
    let test = test!();
    test.role("client", |peer| {
        let stream = Stream::connect(peer.arg(0)).unwrap();
        let mut buffer = [0; 4];
        for round in 0..100_u32 {
            stream.send_all(&round.to_ne_bytes()).unwrap();
            stream.receive_exact(&mut buffer).unwrap();
            assert_eq!(u32::from_ne_bytes(buffer), round + 1);
        }
    });
    let mut hosts: Vec<SocketAddr> = vec![LOOPBACK.into()];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        hosts.push((Ipv6Addr::LOCALHOST, 0).into());
    } else {
        test.skip(&Missing("the IPv6 loopback address ::1".into()));
    }
    for host in hosts {
        let listener = Listener::bind(host).unwrap();
        let address = listener.local_address().unwrap();
        let client = test.child("client").arg(address).spawn();
        let server = listener.accept_deadline(later()).unwrap();
        assert_eq!(server.local_address().unwrap(), address);
        assert_eq!(server.peer_address().unwrap().ip(), address.ip());
        let mut buffer = [0; 4];
        for _ in 0..100 {
            server.receive_exact(&mut buffer).unwrap();
            server.send_all(&(u32::from_ne_bytes(buffer) + 1).to_ne_bytes()).unwrap();
        }
        assert_eq!(server.receive(&mut buffer).unwrap(), 0);
        client.succeed();
    }
}

#[test]
fn half_closing_ends_one_direction() {
    let test = test!();
    test.role("answer", |peer| {
        let mut stream = Stream::connect(peer.arg(0)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    let listener = Listener::bind(LOOPBACK).unwrap();
    let child = test.child("answer").arg(listener.local_address().unwrap()).spawn();
    let mut stream = listener.accept_deadline(later()).unwrap();
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "QUESTION");
    assert_eq!(kind(stream.send(b"x")), ErrorKind::PeerGone);
    child.succeed();
}

#[test]
fn large_amounts_pass_through_whole() {
    let test = test!();
    const LEN: usize = 8 << 20;
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    test.role("send", |peer| {
        let bytes: Vec<u8> = (0..LEN).map(byte).collect();
        Stream::connect(peer.arg(0)).unwrap().send_all_deadline(&bytes, later()).unwrap();
    });
    let listener = Listener::bind(LOOPBACK).unwrap();
    let child = test.child("send").arg(listener.local_address().unwrap()).spawn();
    let stream = listener.accept().unwrap();
    let mut bytes = vec![0; LEN];
    stream.receive_exact(&mut bytes).unwrap();
    assert!(bytes.iter().enumerate().all(|(at, received)| *received == byte(at)));
    child.succeed();
}

#[test]
fn a_killed_peer_is_seen_in_both_directions() {
    let test = test!();
    test.role("idle", |peer| {
        let stream = Stream::connect(peer.arg(0)).unwrap();
        stream.receive_exact(&mut [0; 1]).unwrap();
        peer.say("ready");
        peer.hear();
    });
    let listener = Listener::bind(LOOPBACK).unwrap();
    for unread in [false, true] {
        let mut child = test.child("idle").arg(listener.local_address().unwrap()).spawn();
        let stream = listener.accept_deadline(later()).unwrap();
        stream.send_all(b"x").unwrap();
        child.expect("ready");
        if unread {
            stream.send_all(b"never read").unwrap();
            // It must have arrived, or the peer would not know that it throws it away.
            while stream.options().queued_output().unwrap() > 0 {
                std::thread::yield_now();
            }
        }
        child.kill();
        let received = stream.receive(&mut [0; 8]);
        if unread {
            let error = received.unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::PeerGone, Some(Errno::CONNRESET)));
        } else {
            assert_eq!(received.unwrap(), 0);
            // The first is answered by a reset, which a later one finds.
            let error = loop {
                if let Err(error) = stream.send(b"x") {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
        }
        assert_eq!(kind(stream.send_all(b"x")), ErrorKind::PeerGone);
    }
}

#[test]
fn connecting_says_what_is_wrong() {
    let _test = test!();
    let (_deaf, address) = deaf();
    for error in [
        Stream::connect(address).unwrap_err(),
        Stream::connect_deadline(address, later()).unwrap_err(),
        Stream::connect_interruptible(address).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NoPeer, Some(Errno::CONNREFUSED)));
        assert_eq!(
            error.to_string(),
            format!(
                "cannot connect to TCP socket {address}: connection refused (ECONNREFUSED); nobody listens at \
                 that address"
            )
        );
    }
    assert_eq!(kind(Stream::connect("no port")), ErrorKind::InvalidInput);
    assert_eq!(kind(Stream::connect("host.invalid:1")), ErrorKind::NotFound);
    // Several addresses are tried in turn.
    let listener = Listener::bind(LOOPBACK).unwrap();
    let addresses = [address, listener.local_address().unwrap()];
    Stream::connect(&addresses[..]).unwrap();
    assert_eq!(kind(Stream::connect(&[][..])), ErrorKind::NotFound);
}

#[test]
fn connecting_keeps_its_deadline_when_nobody_answers() {
    let test = test!();
    // A full backlog has the kernel ignore further attempts: as if the network swallowed them.
    let listener = ListenOptions::new().backlog(0).listen(LOOPBACK).unwrap();
    let address = listener.local_address().unwrap();
    test.role("connect", |peer| {
        let connect = || match peer.arg(1).as_str() {
            "interruptible" => Stream::connect_interruptible(peer.arg(0)),
            _ => Stream::connect(peer.arg(0)),
        };
        match under_storm(peer, connect) {
            Ok(_) => peer.say("connected"),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
    let mut waiting = Vec::new();
    let error = loop {
        match Stream::connect_deadline(address, soon()) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(kind(Stream::connect_deadline(address, Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(Stream::try_connect(address)), ErrorKind::WouldBlock);
    let mut child = test.child("connect").arg(address).arg("interruptible").spawn();
    let mut said = [child.hear(), child.hear()];
    said.sort();
    assert_eq!(said, ["Interrupted", "stormed"]);
    child.succeed();
    // Interrupted by signals or not, the attempt goes on, and the kernel's next one finds room.
    let mut child = test.child("connect").arg(address).arg("block").spawn();
    child.expect("stormed");
    let _accepted: Vec<_> = std::iter::repeat_with(|| listener.accept_deadline(later()).unwrap())
        .take(waiting.len() + 1)
        .collect();
    child.expect("connected");
    child.succeed();
}

#[test]
fn connections_are_blocking_and_close_on_exec() {
    let _test = test!();
    let listener = Listener::bind(LOOPBACK).unwrap();
    let address = listener.local_address().unwrap();
    for stream in [
        Stream::connect(address).unwrap(),
        Stream::connect_deadline(address, later()).unwrap(),
        Stream::connect_interruptible(address).unwrap(),
        listener.accept().unwrap(),
    ] {
        assert!(fcntl_getfd(&stream).unwrap().contains(FdFlags::CLOEXEC));
        assert!(!fcntl_getfl(&stream).unwrap().contains(OFlags::NONBLOCK));
    }
}

#[test]
fn binding_says_what_is_wrong() {
    let test = test!();
    test.role("plain", |peer| {
        let error = Listener::bind("127.0.0.1:80").unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::ACCESS)));
        assert!(error.advice().unwrap().contains("CAP_NET_BIND_SERVICE"), "{error}");
        peer.say("told");
    });
    let listener = Listener::bind(LOOPBACK).unwrap();
    let error = Listener::bind(listener.local_address().unwrap()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::AlreadyExists, Some(Errno::ADDRINUSE)));
    // A test network (RFC 5737): no interface has it.
    let error = Listener::bind("192.0.2.1:0").unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(Errno::ADDRNOTAVAIL)));
    let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if start.trim().parse::<u32>().is_ok_and(|start| start > 80) {
        if let Err(missing) = root() {
            return test.skip(&missing);
        }
        let mut child = test.child("plain").as_nobody().spawn();
        child.expect("told");
        child.succeed();
    } else {
        test.skip(&Missing("port 80 to be privileged (net.ipv4.ip_unprivileged_port_start)".into()));
    }
}

#[test]
fn a_server_can_be_restarted_and_a_port_shared() {
    let _test = test!();
    let listener = Listener::bind(LOOPBACK).unwrap();
    let address = listener.local_address().unwrap();
    let client = Stream::connect(address).unwrap();
    // The side that closes first keeps the address in TIME_WAIT.
    drop(listener.accept().unwrap());
    assert_eq!(client.receive(&mut [0; 1]).unwrap(), 0);
    drop(client);
    drop(listener);
    // Somebody who is just being started may hold a copy a little longer.
    let again = std::iter::repeat_with(|| Listener::bind(address)).find(Result::is_ok).unwrap().unwrap();
    assert_eq!(again.local_address().unwrap(), address);

    let share = ListenOptions::new().reuse_port(true);
    let one = share.listen(LOOPBACK).unwrap();
    let other = share.listen(one.local_address().unwrap()).unwrap();
    assert_eq!(kind(Listener::bind(other.local_address().unwrap())), ErrorKind::AlreadyExists);
}

#[test]
fn dual_stack_listeners_take_both() {
    let test = test!();
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return test.skip(&Missing("the IPv6 loopback address ::1".into()));
    }
    for dual in [true, false] {
        let listener = ListenOptions::new().dual_stack(dual).listen((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_address().unwrap().port();
        Stream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        assert!(listener.accept().unwrap().peer_address().unwrap().is_ipv6());
        if dual {
            Stream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let mapped = listener.accept().unwrap().peer_address().unwrap();
            assert_eq!(mapped.ip().to_canonical(), Ipv4Addr::LOCALHOST);
        } else {
            // So the port is free there.
            Listener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}

#[test]
fn options_are_kept() {
    let _test = test!();
    let (stream, other) = connected();
    for on in [true, false] {
        stream.set_no_delay(on).unwrap();
        assert_eq!(stream.no_delay().unwrap(), on);
    }
    assert_eq!(stream.keepalive().unwrap(), None);
    let keepalive = Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(3), count: 4 };
    stream.set_keepalive(Some(keepalive)).unwrap();
    assert_eq!(stream.keepalive().unwrap(), Some(keepalive));
    let error = stream.set_keepalive(Some(Keepalive { count: 1000, ..keepalive })).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    stream.set_keepalive(None).unwrap();
    assert_eq!(stream.keepalive().unwrap(), None);
    stream.set_user_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert_eq!(stream.user_timeout().unwrap(), Some(Duration::from_millis(1500)));
    assert_eq!(kind(stream.set_user_timeout(Some(Duration::MAX))), ErrorKind::InvalidInput);
    stream.set_user_timeout(None).unwrap();
    assert_eq!(stream.user_timeout().unwrap(), None);
    stream.options().set_send_buffer(50_000).unwrap();
    assert_eq!(stream.options().send_buffer().unwrap(), 100_000);
    assert_eq!(stream.linger().unwrap(), None);
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
    drop(stream);
    // Closed so, the connection is not ended but reset.
    assert_eq!(kind(other.receive(&mut [0; 1])), ErrorKind::PeerGone);
}

#[test]
fn without_waiting_a_full_or_empty_connection_is_told() {
    let _test = test!();
    let (one, other) = connected();
    let mut buffer = vec![0; 1 << 20];
    assert_eq!(kind(other.try_receive(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(other.receive_deadline(&mut buffer, Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(other.receive_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(other.peek_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    let mut full = fill_up(&one, &other);
    assert_eq!(kind(one.try_send(b"x")), ErrorKind::WouldBlock);
    assert_eq!(kind(one.send_all_deadline(b"x", soon())), ErrorKind::TimedOut);
    let mut sent = 0;
    assert_eq!(kind(one.send_all_counted(&buffer, &mut sent, Wait::never())), ErrorKind::WouldBlock);
    full += sent;
    assert!(!fcntl_getfl(&one).unwrap().contains(OFlags::NONBLOCK));
    while full > 0 {
        full -= other.receive_deadline(&mut buffer, later()).unwrap();
    }
    one.send_all(b"look").unwrap();
    assert_eq!(other.peek(&mut buffer).unwrap(), 4);
    let mut received = 0;
    let error =
        other.receive_exact_counted(&mut buffer[..9], &mut received, Wait::until(soon())).unwrap_err();
    assert_eq!((error.kind(), received), (ErrorKind::TimedOut, 4));
    drop(one);
    let error = other.receive_exact_counted(&mut buffer[..9], &mut received, Wait::forever()).unwrap_err();
    assert_eq!((error.kind(), received), (ErrorKind::PeerGone, 4));
}

fn blocking_role(peer: &Peer, operation: &str) {
    let stream = Stream::inherited(INHERITED).unwrap();
    let mut buffer = [0; 8];
    let outcome = under_storm(peer, || match (operation, peer.arg(0).as_str()) {
        ("receive", "block") => stream.receive(&mut buffer),
        ("receive", "deadline") => stream.receive_deadline(&mut buffer, later()),
        ("receive", "interruptible") => stream.receive_interruptible(&mut buffer),
        ("exact", "block") => stream.receive_exact(&mut buffer).map(|()| 8),
        ("exact", "deadline") => stream.receive_exact_deadline(&mut buffer, later()).map(|()| 8),
        ("exact", "interruptible") => stream.receive_exact_interruptible(&mut buffer).map(|()| 8),
        ("peek", "block") => stream.peek(&mut buffer),
        ("peek", "deadline") => stream.peek_deadline(&mut buffer, later()),
        ("peek", "interruptible") => stream.peek_interruptible(&mut buffer),
        ("send", "block") => stream.send(b"12345678"),
        ("send", "deadline") => stream.send_deadline(b"12345678", later()),
        ("send", "interruptible") => stream.send_interruptible(b"12345678"),
        ("all", "block") => stream.send_all(b"12345678").map(|()| 8),
        ("all", "deadline") => stream.send_all_deadline(b"12345678", later()).map(|()| 8),
        ("all", "interruptible") => stream.send_all_interruptible(b"12345678").map(|()| 8),
        other => unreachable!("{other:?}"),
    });
    match outcome {
        Ok(count) => peer.say(&count.to_string()),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn signals_do_not_end_a_call_unless_they_shall() {
    let test = test!();
    let operations = ["receive", "exact", "peek", "send", "all"];
    for operation in operations {
        test.role(operation, |peer| blocking_role(peer, operation));
    }
    let mut buffer = vec![0; 1 << 20];
    for operation in operations {
        for form in ["block", "deadline", "interruptible"] {
            let (stream, there) = connected();
            let sends = ["send", "all"].contains(&operation);
            let mut full = if sends { fill_up(&there, &stream) + 8 } else { 0 };
            let mut child = hand(there, test.child(operation).arg(form));
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else {
                assert_eq!(said[0], "stormed", "{operation} {form}");
                if sends {
                    while full > 0 {
                        full -= stream.receive_deadline(&mut buffer, later()).unwrap();
                    }
                } else {
                    stream.send_all(b"12345678").unwrap();
                }
                child.expect("8");
            }
            child.succeed();
        }
    }
}

#[test]
fn accepting_waits_in_every_form() {
    let test = test!();
    test.role("accept", |peer| {
        let listener = Listener::inherited(INHERITED).unwrap();
        let outcome = under_storm(peer, || match peer.arg(0).as_str() {
            "block" => listener.accept(),
            "deadline" => listener.accept_deadline(later()),
            _ => listener.accept_interruptible(),
        });
        match outcome {
            Ok(stream) => peer.say(&stream.receive(&mut [0; 8]).unwrap().to_string()),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
    for form in ["block", "deadline", "interruptible"] {
        let listener = Listener::bind(LOOPBACK).unwrap();
        let address = listener.local_address().unwrap();
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
            child.wait_until_blocked_in(call::POLLING);
            Stream::connect(address).unwrap().send_all(b"12").unwrap();
            child.expect("2");
        }
        child.succeed();
    }
}

#[test]
fn who_waits_for_clients_is_told_that_it_is_over() {
    let _test = test!();
    let listener = Listener::bind(LOOPBACK).unwrap();
    let address = listener.local_address().unwrap();
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept().map(drop));
        // Whether it waits already or comes to wait: it is told.
        listener.shutdown().unwrap();
        assert_eq!(kind(accepting.join().unwrap()), ErrorKind::Removed);
    });
    assert_eq!(kind(Stream::connect(address)), ErrorKind::NoPeer);
}

#[test]
fn a_blocked_receiver_gets_what_comes() {
    let test = test!();
    test.role("receive", |peer| {
        let stream = Stream::inherited(INHERITED).unwrap();
        peer.say(&stream.receive(&mut [0; 8]).unwrap().to_string());
        peer.say(&stream.receive_deadline(&mut [0; 8], later()).unwrap().to_string());
    });
    let (stream, there) = connected();
    let mut child = hand(there, test.child("receive"));
    for blocked in [call::RECEIVING, call::POLLING] {
        child.wait_until_blocked_in(blocked);
        stream.send_all(b"four").unwrap();
        child.expect("4");
    }
    child.succeed();
}

#[test]
fn adopting_checks_what_it_is() {
    let _test = test!();
    let (one, other) = connected();
    let listener = Listener::bind(LOOPBACK).unwrap();
    assert_eq!(kind(Stream::try_from(OwnedFd::from(listener))), ErrorKind::InvalidInput);
    assert_eq!(kind(Listener::try_from(OwnedFd::from(one))), ErrorKind::InvalidInput);
    let udp = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    assert_eq!(kind(Stream::try_from(OwnedFd::from(udp))), ErrorKind::InvalidInput);
    let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(kind(Stream::try_from(OwnedFd::from(unix))), ErrorKind::InvalidInput);
    let other = Stream::try_from(OwnedFd::from(other)).unwrap();
    assert!(other.peer_address().is_ok());
    let listener = Listener::try_from(OwnedFd::from(TcpListener::bind(LOOPBACK).unwrap())).unwrap();
    assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock);
}

#[test]
fn socat_talks_to_both_sides() {
    let test = test!();
    if let Err(missing) = command("socat") {
        return test.skip(&missing);
    }
    let listener = Listener::bind(LOOPBACK).unwrap();
    let address = listener.local_address().unwrap();
    let mut command = std::process::Command::new("socat");
    command.arg("-").arg(format!("TCP:{address}"));
    let mut socat = twixt_testkit::Child::start(command);
    let mut server = listener.accept_deadline(later()).unwrap();
    server.write_all(b"from us\n").unwrap();
    assert_eq!(socat.line().as_deref(), Some("from us"));
    socat.tell("from socat");
    let mut buffer = [0; 11];
    server.receive_exact_deadline(&mut buffer, later()).unwrap();
    assert_eq!(&buffer, b"from socat\n");
    drop(server);
    socat.succeed();
}
