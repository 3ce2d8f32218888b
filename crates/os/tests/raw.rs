//! Raw sockets and ICMP echo: packets as bytes, foreign ones ignored, privileges named.

#[path = "support/network.rs"]
mod network;
#[path = "support/sockets.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use network::{in_own_network, own_network, privileged};
use proptest::prelude::*;
use rustix::io::{FdFlags, fcntl_getfd};
use support::{kind, later, soon};
use twixt_os::net::icmp::{self, Echo, Kind, Malformed};
use twixt_os::net::ping::Ping;
use twixt_os::net::raw::{IpVersion, Protocol, Socket};
use twixt_os::{Deadline, Errno, ErrorKind};
use twixt_testkit::{Missing, Peer, root, test, under_storm};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Protocols for experiments (RFC 3692): nobody else's packets.
fn experiment(number: u8) -> Protocol {
    Protocol::new(number).unwrap()
}

#[test]
fn known_packets_come_out_byte_by_byte() {
    // An echo as ping(8) sends it, checksum included.
    let packet = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    assert_eq!(icmp::checksum(&packet), 0);
    let echo = Echo { identifier: 1, sequence: 1, payload: &[] };
    let mut buffer = [0xff; 16];
    assert_eq!(echo.write(IpVersion::V4, Kind::Request, &mut buffer), Some(8));
    assert_eq!(buffer[..8], packet);
    assert_eq!(echo.write(IpVersion::V4, Kind::Request, &mut buffer[..7]), None);
    assert_eq!(Echo::parse(IpVersion::V4, &packet), Ok((Kind::Request, echo)));
    assert_eq!(Echo::parse(IpVersion::V4, &packet[..7]), Err(Malformed::TooShort));
    assert_eq!(Echo::parse(IpVersion::V4, &[3; 8]), Err(Malformed::NotAnEcho));
    assert_eq!(Echo::parse(IpVersion::V4, &[8, 0, 0, 0, 0, 1, 0, 1]), Err(Malformed::Checksum));
    // From RFC 1071: the sum of these words is 0xddf2.
    assert_eq!(icmp::checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    assert_eq!(icmp::checksum(&[0x12]), !0x1200, "an odd byte counts as the higher one");
    assert_eq!(icmp::checksum(&[]), 0xffff);
}

#[test]
fn ip_headers_are_taken_apart() {
    let mut packet = vec![0x46, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2, 1, 1, 1, 1];
    packet.extend(b"data");
    let ip = icmp::ipv4_payload(&packet).unwrap();
    assert_eq!((ip.source, ip.destination), (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)));
    assert_eq!((ip.protocol, ip.hops_left, ip.payload), (1, 64, &b"data"[..]), "past the options");
    packet.extend(b"padding");
    assert_eq!(icmp::ipv4_payload(&packet).unwrap().payload, b"data");
    assert_eq!(icmp::ipv4_payload(&packet[..27]), Err(Malformed::TooShort));
    packet[0] = 0x65;
    assert!(icmp::ipv4_payload(&packet).is_err());
    packet[0] = 0x42;
    assert!(icmp::ipv4_payload(&packet).is_err());
}

proptest! {
    #[test]
    fn whatever_arrives_is_answered_by_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = icmp::ipv4_payload(&bytes);
        for version in [IpVersion::V4, IpVersion::V6] {
            let _ = Echo::parse(version, &bytes);
        }
    }

    #[test]
    fn what_was_written_is_read(
        identifier: u16, sequence: u16, payload in prop::collection::vec(any::<u8>(), 0..64), flip in 0..8_usize,
    ) {
        let echo = Echo { identifier, sequence, payload: &payload };
        let mut packet = [0; 128];
        for version in [IpVersion::V4, IpVersion::V6] {
            for kind in [Kind::Request, Kind::Reply] {
                let len = echo.write(version, kind, &mut packet).unwrap();
                prop_assert_eq!(Echo::parse(version, &packet[..len]), Ok((kind, echo)));
            }
        }
        let len = echo.write(IpVersion::V4, Kind::Reply, &mut packet).unwrap();
        packet[flip] ^= 0x10;
        prop_assert!(Echo::parse(IpVersion::V4, &packet[..len]).is_err());
    }
}

#[test]
fn a_machine_answers_and_foreign_packets_are_ignored() {
    let test = test!();
    if let Err(missing) = privileged() {
        return test.skip(&missing);
    }
    for peer in [V4, V6] {
        if peer == V6 && std::net::UdpSocket::bind((V6, 0)).is_err() {
            return test.skip(&Missing("the IPv6 loopback address ::1".into()));
        }
        let mut ping = Ping::raw(peer).unwrap();
        let mut other = Ping::raw(peer).unwrap();
        assert!(fcntl_getfd(&ping).unwrap().contains(FdFlags::CLOEXEC));
        for sequence in 1..=20 {
            // The reply to somebody else's request comes to every raw socket.
            other.echo_deadline(b"not for you", later()).unwrap();
            let payload = vec![sequence as u8; usize::from(sequence) * 100];
            let reply = ping.echo_deadline(&payload, later()).unwrap();
            assert_eq!((reply.sequence, reply.len), (sequence, payload.len()));
            assert!(reply.ignored >= 1);
        }
        assert_eq!(ping.echo_deadline(b"", later()).unwrap().len, 0);
        assert_eq!(kind(ping.echo_deadline(&[0; 70_000], later())), ErrorKind::TooLong);
        assert_eq!(ping.peer(), peer);
    }
}

#[test]
fn raw_sockets_take_a_capability() {
    let test = test!();
    test.role("plain", |peer| {
        let error = Socket::open(IpVersion::V4, Protocol::ICMP).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::PERM)));
        assert!(error.advice().unwrap().contains("CAP_NET_RAW"), "{error}");
        assert_eq!(kind(Ping::raw(V6)), ErrorKind::PermissionDenied);
        peer.say("told");
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut child = test.child("plain").as_nobody().spawn();
    child.expect("told");
    child.succeed();
}

#[test]
fn ping_sockets_take_a_group() {
    let test = test!();
    test.role("outside", |peer| {
        let error = Socket::ping(IpVersion::V4).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::ACCESS)));
        assert!(error.advice().unwrap().contains("net.ipv4.ping_group_range"), "{error}");
        peer.say("told");
    });
    test.role("inside", |peer| {
        let mut ping = Ping::unprivileged(V4).unwrap();
        for sequence in 1..=10 {
            let reply = ping.echo_deadline(b"without a capability", later()).unwrap();
            assert_eq!((reply.sequence, reply.len, reply.ignored), (sequence, 20, 0));
        }
        assert_ne!(ping.socket().identifier().unwrap(), 0, "the kernel chose one");
        let socket = Socket::ping(IpVersion::V4).unwrap();
        socket.bind(V4, 4711).unwrap();
        assert_eq!(socket.identifier().unwrap(), 4711);
        assert_eq!(kind(socket.send_to(b"not an echo", V4)), ErrorKind::InvalidInput);
        assert_eq!(kind(socket.set_header_included(true)), ErrorKind::Unsupported);
        peer.say("answered");
    });
    if let Err(missing) = own_network("true") {
        return test.skip(&missing);
    }
    let range = |range| format!("echo '{range}' > /proc/sys/net/ipv4/ping_group_range");
    let mut child = in_own_network(test.child("outside"), &range("1 0")).spawn();
    child.expect("told");
    child.succeed();
    let mut child = in_own_network(test.child("inside"), &range("0 0")).spawn();
    child.expect("answered");
    child.succeed();
}

#[test]
fn a_silent_machine_is_waited_for_in_every_form() {
    let test = test!();
    test.role("ask", |peer| {
        let mut ping = Ping::raw(V4).unwrap();
        assert_eq!(kind(ping.try_echo(b"?")), ErrorKind::WouldBlock);
        assert_eq!(kind(ping.echo_deadline(b"?", Deadline::now())), ErrorKind::TimedOut);
        assert_eq!(kind(ping.echo_deadline(b"?", soon())), ErrorKind::TimedOut);
        let interrupted = under_storm(peer, || ping.echo_interruptible(b"?"));
        assert_eq!(kind(interrupted), ErrorKind::Interrupted);
        peer.say("silent");
    });
    if let Err(missing) = privileged().and_then(|()| own_network("true")) {
        return test.skip(&missing);
    }
    let deaf = "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all";
    let mut child = in_own_network(test.child("ask"), deaf).spawn();
    let mut said = [child.hear(), child.hear()];
    said.sort();
    assert_eq!(said, ["silent", "stormed"]);
    child.succeed();
}

#[test]
fn packets_of_any_protocol_pass_between_processes() {
    let test = test!();
    test.role("send", |_| {
        let socket = Socket::open(IpVersion::V4, experiment(253)).unwrap();
        socket.send_to(b"no header of ours", V4).unwrap();
        socket.set_header_included(true).unwrap();
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, 253, 0, 0, 127, 0, 0, 5, 127, 0, 0, 1];
        packet.extend(b"with a header");
        socket.send_to_deadline(&packet, V4, later()).unwrap();
    });
    if let Err(missing) = privileged() {
        return test.skip(&missing);
    }
    let socket = Socket::open(IpVersion::V4, experiment(253)).unwrap();
    socket.bind(V4, 0).unwrap();
    let child = test.child("send").spawn();
    let mut buffer = [0; 1500];
    let (len, from) = socket.receive_from_deadline(&mut buffer, later()).unwrap();
    let packet = icmp::ipv4_payload(&buffer[..len]).unwrap();
    assert_eq!((packet.payload, packet.protocol, from), (&b"no header of ours"[..], 253, V4));
    let (len, from) = socket.receive_from_deadline(&mut buffer, later()).unwrap();
    let packet = icmp::ipv4_payload(&buffer[..len]).unwrap();
    assert_eq!((packet.payload, packet.hops_left), (&b"with a header"[..], 9));
    assert_eq!(from, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5)));
    child.succeed();
    assert_eq!(kind(socket.pass_only(&[0])), ErrorKind::Unsupported);
    assert_eq!(kind(socket.send_to(b"x", V6)), ErrorKind::InvalidInput);
}

#[test]
fn a_packet_longer_than_the_buffer_is_told() {
    let test = test!();
    if let Err(missing) = privileged() {
        return test.skip(&missing);
    }
    let Ok(socket) = Socket::open(IpVersion::V6, experiment(254)) else {
        return test.skip(&Missing("IPv6".into()));
    };
    let mut buffer = [0; 4];
    for (keep, expected) in [(false, ErrorKind::Malformed), (true, ErrorKind::TooLong)] {
        socket.keep_long_messages(keep);
        if socket.send_to(b"too long", V6).is_err() {
            return test.skip(&Missing("the IPv6 loopback address ::1".into()));
        }
        let error = socket.receive_from_deadline(&mut buffer, later()).unwrap_err();
        assert_eq!(error.kind(), expected);
        assert!(error.to_string().contains("8 bytes"), "{error}");
    }
    let mut larger = [0; 8];
    assert_eq!(socket.receive_from(&mut larger).unwrap(), (8, V6), "IPv6 comes without its header");
    assert_eq!(kind(socket.set_header_included(true)), ErrorKind::Unsupported);
}

fn receiving_role(peer: &Peer) {
    let socket = Socket::open(IpVersion::V4, experiment(peer.arg(1).parse().unwrap())).unwrap();
    let mut buffer = [0; 64];
    let outcome = under_storm(peer, || match peer.arg(0).as_str() {
        "block" => socket.receive_from(&mut buffer),
        "deadline" => socket.receive_from_deadline(&mut buffer, later()),
        _ => socket.receive_from_interruptible(&mut buffer),
    });
    match outcome {
        Ok((len, _)) => peer.say(&len.to_string()),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn signals_do_not_end_a_receive_unless_they_shall() {
    let test = test!();
    test.role("receive", receiving_role);
    if let Err(missing) = privileged() {
        return test.skip(&missing);
    }
    // Unassigned numbers, which nobody else on this machine is likely to try at the same time.
    let number = 160 + std::process::id() % 80;
    let socket = Socket::open(IpVersion::V4, experiment(number as u8)).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(kind(socket.try_receive_from(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(kind(socket.receive_from_deadline(&mut buffer, Deadline::now())), ErrorKind::TimedOut);
    assert_eq!(kind(socket.receive_from_deadline(&mut buffer, soon())), ErrorKind::TimedOut);
    for form in ["block", "deadline", "interruptible"] {
        let mut child = test.child("receive").arg(form).arg(number).spawn();
        let mut said = [child.hear(), String::new()];
        if form == "interruptible" {
            said[1] = child.hear();
            said.sort();
            assert_eq!(said, ["Interrupted", "stormed"]);
        } else {
            assert_eq!(said[0], "stormed");
            socket.try_send_to(b"four", V4).unwrap();
            child.expect("24");
        }
        child.succeed();
    }
}
