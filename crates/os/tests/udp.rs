//! UDP: bound and connected, boundaries, one to many, and what goes wrong.

#[path = "support/sockets.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::io::{FdFlags, fcntl_getfd};
use support::{INHERITED, hand, kind, later, soon};
use twixt_os::net::udp::{Connected, LONGEST, LONGEST_V6, Socket};
use twixt_os::{Deadline, Errno, ErrorKind};
use twixt_testkit::{Missing, Peer, call, command, test, under_storm};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
/// The number of the loopback interface.
const LO: u32 = 1;

fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::bind(LOOPBACK).unwrap();
    let address = socket.local_address().unwrap();
    (socket, address)
}

#[test]
fn two_processes_hold_a_conversation() {
    let test = test!();
    test.role("client", |peer| {
        let socket = Connected::to(peer.arg(0)).unwrap();
        let mut buffer = [0; 16];
        for round in 0..100_u32 {
            socket.send(&round.to_ne_bytes()).unwrap();
            assert_eq!(socket.receive(&mut buffer).unwrap(), 4);
            assert_eq!(buffer[..4], (round + 1).to_ne_bytes());
        }
    });
    let mut hosts: Vec<SocketAddr> = vec![LOOPBACK.into()];
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        hosts.push((Ipv6Addr::LOCALHOST, 0).into());
    } else {
        test.skip(&Missing("the IPv6 loopback address ::1".into()));
    }
    for host in hosts {
        let server = Socket::bind(host).unwrap();
        assert!(fcntl_getfd(&server).unwrap().contains(FdFlags::CLOEXEC));
        let child = test.child("client").arg(server.local_address().unwrap()).spawn();
        let mut buffer = [0; 16];
        for _ in 0..100 {
            let (len, from) = server.receive_from_deadline(&mut buffer, later()).unwrap();
            let number = u32::from_ne_bytes(buffer[..len].try_into().unwrap());
            server.send_to(&(number + 1).to_ne_bytes(), from).unwrap();
        }
        child.succeed();
    }
}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    let _test = test!();
    let (peer, peer_address) = bound();
    let (socket, address) = bound();
    let (stranger, _) = bound();
    let socket = socket.connect(peer_address).unwrap();
    assert_eq!((socket.local_address().unwrap(), socket.peer_address().unwrap()), (address, peer_address));
    stranger.send_to(b"stranger", address).unwrap();
    peer.send_to(b"peer", address).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(socket.receive_deadline(&mut buffer, later()).unwrap(), 4);
    assert_eq!(kind(socket.try_receive(&mut buffer)), ErrorKind::WouldBlock);
    let (socket, _) = bound();
    assert!(socket.connect("[::1]:9").is_err(), "the other version of IP");
}

#[test]
fn a_closed_port_is_told_to_the_connected() {
    let test = test!();
    test.role("peer", |peer| {
        let (socket, address) = bound();
        peer.say(&address.to_string());
        socket.receive_from(&mut [0; 8]).unwrap();
    });
    let mut child = test.child("peer").spawn();
    let socket = Connected::to(child.hear()).unwrap();
    socket.send(b"end").unwrap();
    child.succeed();
    socket.send(b"nobody there").unwrap();
    // The answer of the closed port arrives at the next call.
    let error = socket.receive_deadline(&mut [0; 8], later()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NoPeer, Some(Errno::CONNREFUSED)));
    assert!(error.advice().is_some());
    socket.send(b"nobody there").unwrap();
    let error = std::iter::repeat_with(|| socket.send(b"x")).find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::NoPeer);
}

#[test]
fn a_datagram_longer_than_the_buffer_is_told() {
    let _test = test!();
    let (receiver, address) = bound();
    let sender = Connected::to(address).unwrap();
    let mut buffer = [0; 4];
    sender.send(b"too long").unwrap();
    let error = receiver.receive_from(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("8 bytes") && error.to_string().contains("discarded"), "{error}");
    assert_eq!(&buffer, b"too ");
    assert_eq!(kind(receiver.try_receive_from(&mut buffer)), ErrorKind::WouldBlock);

    receiver.keep_long_messages(true);
    sender.send(b"too long").unwrap();
    let error = receiver.receive_from(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert!(error.to_string().contains("still there"), "{error}");
    assert_eq!(receiver.peek(&mut []).unwrap(), 8);
    assert_eq!(receiver.options().queued_input().unwrap(), 8);
    let mut larger = [0; 8];
    assert_eq!(receiver.receive_from(&mut larger).unwrap(), (8, sender.local_address().unwrap()));

    let receiver = receiver.connect(sender.local_address().unwrap()).unwrap();
    sender.send(b"too long").unwrap();
    assert_eq!(kind(receiver.receive(&mut buffer)), ErrorKind::TooLong);
    receiver.keep_long_messages(false);
    assert_eq!(receiver.peek(&mut buffer).unwrap(), 8);
    assert_eq!(kind(receiver.receive(&mut buffer)), ErrorKind::Malformed);
    sender.send(b"").unwrap();
    assert_eq!(receiver.receive(&mut buffer).unwrap(), 0, "an empty datagram is one");
}

#[test]
fn the_longest_datagram_passes_and_no_longer_one() {
    let _test = test!();
    let (receiver, address) = bound();
    let sender = Connected::to(address).unwrap();
    let mut bytes: Vec<u8> = (0..LONGEST).map(|at| (at % 251) as u8).collect();
    sender.send(&bytes).unwrap();
    let mut buffer = vec![0; LONGEST];
    assert_eq!(receiver.receive_from_deadline(&mut buffer, later()).unwrap().0, LONGEST);
    assert!(buffer == bytes);
    bytes.push(0);
    for error in [sender.send(&bytes).unwrap_err(), receiver.send_to(&bytes, address).unwrap_err()] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, Some(Errno::MSGSIZE)));
        assert!(error.to_string().contains("65507") && error.to_string().contains("65508"), "{error}");
    }
    if let Ok(socket) = Socket::bind((Ipv6Addr::LOCALHOST, 0)) {
        let address = socket.local_address().unwrap();
        let mut bytes = vec![6; LONGEST_V6];
        socket.send_to(&bytes, address).unwrap();
        let mut buffer = vec![0; LONGEST_V6];
        assert_eq!(socket.receive_from_deadline(&mut buffer, later()).unwrap(), (LONGEST_V6, address));
        bytes.push(6);
        let error = socket.send_to(&bytes, address).unwrap_err();
        assert_eq!((error.kind(), error.limit().unwrap().current), (ErrorKind::TooLong, Some(65527)));
    }
}

#[test]
fn binding_says_what_is_wrong() {
    let _test = test!();
    let (_socket, address) = bound();
    let error = Socket::bind(address).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::AlreadyExists, Some(Errno::ADDRINUSE)));
    assert_eq!(kind(Socket::bind("192.0.2.1:0")), ErrorKind::NotFound);
    assert_eq!(kind(Socket::bind("host.invalid:1")), ErrorKind::NotFound);
    let one = Socket::bind_shared(LOOPBACK).unwrap();
    Socket::bind_shared(one.local_address().unwrap()).unwrap();
}

#[test]
fn broadcasting_takes_permission() {
    let _test = test!();
    let (socket, _) = bound();
    let everybody = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), 9));
    assert!(!socket.broadcast().unwrap());
    let error = socket.send_to(b"x", everybody).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::ACCESS)));
    assert!(error.advice().unwrap().contains("set_broadcast"), "{error}");
    socket.set_broadcast(true).unwrap();
    socket.send_to(b"x", everybody).unwrap();
    assert!(socket.broadcast().unwrap());
}

#[test]
fn a_group_is_joined_and_left() {
    let test = test!();
    let group: IpAddr = "239.255.77.78".parse().unwrap();
    let receivers: Vec<Socket> = {
        let one = Socket::bind_shared((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let other = Socket::bind_shared(one.local_address().unwrap()).unwrap();
        vec![one, other]
    };
    let (sender, _) = bound();
    sender.set_multicast_interface(LO).unwrap();
    sender.set_multicast_hops(0).unwrap();
    for receiver in &receivers {
        receiver.join(group, LO).unwrap();
        assert_eq!(kind(receiver.join(group, LO)), ErrorKind::AlreadyExists);
    }
    let to = SocketAddr::new(group, receivers[0].local_address().unwrap().port());
    if let Err(error) = sender.send_to(b"to all", to) {
        return test.skip(&Missing(format!("a route for multicast on the loopback interface ({error})")));
    }
    let mut buffer = [0; 16];
    for receiver in &receivers {
        assert_eq!(receiver.receive_from_deadline(&mut buffer, later()).unwrap().0, 6);
        receiver.leave(group, LO).unwrap();
        assert_eq!(kind(receiver.leave(group, LO)), ErrorKind::NotFound);
    }
    sender.set_multicast_loop(false).unwrap();
    let not_a_group: IpAddr = "127.0.0.1".parse().unwrap();
    assert_eq!(kind(receivers[0].join(not_a_group, LO)), ErrorKind::InvalidInput);
    assert_eq!(kind(receivers[0].join(group, 4_000_000)), ErrorKind::NotFound);
    if let Ok(receiver) = Socket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        let group: IpAddr = "ff01::7778".parse().unwrap();
        receiver.join(group, LO).unwrap();
        receiver.leave(group, LO).unwrap();
        receiver.set_multicast_interface(LO).unwrap();
        receiver.set_multicast_hops(1).unwrap();
        receiver.set_multicast_loop(true).unwrap();
    }
}

#[test]
fn waiting_ends_at_the_deadline() {
    let _test = test!();
    let (socket, address) = bound();
    let mut buffer = [0; 8];
    assert_eq!(kind(socket.try_receive_from(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(socket.receive_from_deadline(&mut buffer, Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(socket.receive_from_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(socket.peek_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    let connected = Connected::to(address).unwrap();
    assert_eq!(kind(connected.try_receive(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(connected.receive_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(connected.try_peek(&mut buffer)), ErrorKind::WouldBlock);
    connected.send_deadline(b"x", Deadline::now()).unwrap();
    connected.try_send(b"x").unwrap();
    socket.send_to_deadline(b"x", connected.local_address().unwrap(), Deadline::now()).unwrap();
    assert_eq!(connected.receive_deadline(&mut buffer, later()).unwrap(), 1);
}

fn blocking_role(peer: &Peer, operation: &str) {
    let mut buffer = [0; 8];
    let form = peer.arg(0);
    let outcome = if operation.ends_with("from") {
        let socket = Socket::inherited(INHERITED).unwrap();
        under_storm(peer, || match (operation, form.as_str()) {
            ("from", "block") => socket.receive_from(&mut buffer).map(|(len, _)| len),
            ("from", "deadline") => socket.receive_from_deadline(&mut buffer, later()).map(|(len, _)| len),
            ("from", _) => socket.receive_from_interruptible(&mut buffer).map(|(len, _)| len),
            (_, "block") => socket.peek(&mut buffer),
            (_, "deadline") => socket.peek_deadline(&mut buffer, later()),
            _ => socket.peek_interruptible(&mut buffer),
        })
    } else {
        let socket = Connected::inherited(INHERITED).unwrap();
        under_storm(peer, || match (operation, form.as_str()) {
            ("receive", "block") => socket.receive(&mut buffer),
            ("receive", "deadline") => socket.receive_deadline(&mut buffer, later()),
            ("receive", _) => socket.receive_interruptible(&mut buffer),
            (_, "block") => socket.peek(&mut buffer),
            (_, "deadline") => socket.peek_deadline(&mut buffer, later()),
            _ => socket.peek_interruptible(&mut buffer),
        })
    };
    match outcome {
        Ok(len) => peer.say(&len.to_string()),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn signals_do_not_end_a_call_unless_they_shall() {
    let test = test!();
    for operation in ["from", "peek from", "receive", "peek"] {
        test.role(operation, |peer| blocking_role(peer, operation));
    }
    for operation in ["from", "peek from", "receive", "peek"] {
        for form in ["block", "deadline", "interruptible"] {
            let (sender, sender_address) = bound();
            let (there, address) = bound();
            let there: OwnedFd = if operation.ends_with("from") {
                there.into()
            } else {
                there.connect(sender_address).unwrap().into()
            };
            let mut child = hand(there, test.child(operation).arg(form));
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else {
                assert_eq!(said[0], "stormed", "{operation} {form}");
                if form == "block" {
                    child.wait_until_blocked_in(call::RECEIVING);
                }
                sender.send_to(b"four", address).unwrap();
                child.expect("4");
            }
            child.succeed();
        }
    }
}

#[test]
fn a_socket_that_somebody_shut_down_is_told() {
    let _test = test!();
    let (peer, address) = bound();
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    socket.connect(address).unwrap();
    rustix::net::shutdown(&socket, rustix::net::Shutdown::Read).unwrap();
    let socket = Connected::try_from(OwnedFd::from(socket)).unwrap();
    assert_eq!(kind(socket.receive_deadline(&mut [0; 8], later())), ErrorKind::PeerGone);
    drop(peer);
}

#[test]
fn adopting_checks_what_it_is() {
    let _test = test!();
    let tcp = std::net::TcpListener::bind(LOOPBACK).unwrap();
    assert_eq!(kind(Socket::try_from(OwnedFd::from(tcp))), ErrorKind::InvalidInput);
    let (socket, address) = bound();
    assert_eq!(kind(Connected::try_from(OwnedFd::from(socket))), ErrorKind::NoPeer);
    let connected = Connected::to(address).unwrap();
    Connected::try_from(OwnedFd::from(connected)).unwrap();
}

#[test]
fn python_answers() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let mut python = std::process::Command::new("python3");
    python.args([
        "-c",
        "import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',0)); \
         print(s.getsockname()[1],flush=True); d,a=s.recvfrom(100); s.sendto(d.upper(),a)",
    ]);
    let mut python = twixt_testkit::Child::start(python);
    let port: u16 = python.line().unwrap().parse().unwrap();
    let socket = Connected::to((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.send(b"hello").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(socket.receive_deadline(&mut buffer, later()).unwrap(), 5);
    assert_eq!(&buffer[..5], b"HELLO");
    python.succeed();
}
