//! Sends that have to wait for the network, and echoes that have to wait for their reply, under a storm of signals.
//!
//! A send of UDP or of a raw socket waits only while an interface does not take its packets. Here a neighbour is asked
//! for its hardware address, does not answer, and so has packets pile up in the kernel, until the address is given.

#[path = "support/network.rs"]
mod network;
#[path = "support/sockets.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use network::{in_own_network, own_network, privileged};
use support::{fill, kind, later, soon};
use twixt_os::net::icmp::{self, Echo, Kind};
use twixt_os::net::ping::Ping;
use twixt_os::net::raw::{IpVersion, Protocol, Socket};
use twixt_os::net::{Options, udp};
use twixt_os::{ErrorKind, Result};
use twixt_testkit::{Peer, call, test, under_storm};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SILENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 2));
/// Once the interface has come up in all respects: whatever waits there until then is thrown away.
const WITH_A_SILENT_NEIGHBOUR: &str = "ip link add near type veth peer name far && ip addr add 10.9.9.1/24 dev near \
     && ip link set far up && ip link set near up && echo 1000000 >/proc/sys/net/ipv4/neigh/near/mcast_solicit \
     && until ip link show near | grep -q 'state UP'; do sleep 0.01; done";
const DEAF: &str = "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all";
const FORMS: [&str; 3] = ["block", "deadline", "interruptible"];

/// Fills the send buffer, sends once more under a storm, and lets the neighbour speak when the test says so.
fn wait_for_the_neighbour(
    peer: &Peer,
    options: Options<'_>,
    try_send: impl Fn() -> Result<()>,
    send: impl Fn(&str) -> Result<()>,
) {
    options.set_send_buffer(0).unwrap();
    fill(try_send);
    assert_eq!(kind(send("soon")), ErrorKind::TimedOut);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if peer.hear() == "speak" {
                let address = SILENT.to_string();
                let neighbour = ["neigh", "replace", &address, "lladdr", "02:00:00:00:00:02", "dev", "near"];
                assert!(Command::new("ip").args(neighbour).status().unwrap().success());
            }
        });
        match under_storm(peer, || send(&peer.arg(0))) {
            Ok(()) => peer.say("sent"),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
}

#[test]
fn signals_do_not_end_a_send_unless_they_shall() {
    let test = test!();
    let message = &[b'm'; 1000][..];
    let to = SocketAddr::new(SILENT, 9);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, 253, 0, 0, 10, 9, 9, 1, 10, 9, 9, 2];
    packet.extend(message);
    let packet = &packet[..];
    test.role("udp", |peer| {
        let socket = udp::Socket::bind("0.0.0.0:0").unwrap();
        wait_for_the_neighbour(
            peer,
            socket.options(),
            || socket.try_send_to(message, to),
            |form| match form {
                "block" => socket.send_to(message, to),
                "soon" => socket.send_to_deadline(message, to, soon()),
                "deadline" => socket.send_to_deadline(message, to, later()),
                _ => socket.send_to_interruptible(message, to),
            },
        );
    });
    test.role("connected", |peer| {
        let socket = udp::Connected::to(to).unwrap();
        wait_for_the_neighbour(
            peer,
            socket.options(),
            || socket.try_send(message),
            |form| match form {
                "block" => socket.send(message),
                "soon" => socket.send_deadline(message, soon()),
                "deadline" => socket.send_deadline(message, later()),
                _ => socket.send_interruptible(message),
            },
        );
    });
    test.role("raw", |peer| {
        let socket = Socket::open(IpVersion::V4, Protocol::new(253).unwrap()).unwrap();
        // Without a header of its own it does not wait, it fails.
        socket.options().set_send_buffer(0).unwrap();
        let full = std::iter::repeat_with(|| socket.send_to(message, SILENT)).find_map(Result::err).unwrap();
        assert_eq!((full.kind(), full.limit().unwrap().name), (ErrorKind::LimitReached, "SO_SNDBUF"));
        assert!(full.advice().is_some(), "{full}");
        socket.set_header_included(true).unwrap();
        wait_for_the_neighbour(
            peer,
            socket.options(),
            || socket.try_send_to(packet, SILENT),
            |form| match form {
                "block" => socket.send_to(packet, SILENT),
                "soon" => socket.send_to_deadline(packet, SILENT, soon()),
                "deadline" => socket.send_to_deadline(packet, SILENT, later()),
                _ => socket.send_to_interruptible(packet, SILENT),
            },
        );
    });
    if let Err(missing) = privileged().and_then(|()| own_network(WITH_A_SILENT_NEIGHBOUR)) {
        return test.skip(&missing);
    }
    for role in ["udp", "connected", "raw"] {
        for form in FORMS {
            let mut child = in_own_network(test.child(role).arg(form), WITH_A_SILENT_NEIGHBOUR).spawn();
            if form == "interruptible" {
                let mut said = [child.hear(), child.hear()];
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"], "{role}");
                child.tell("end");
            } else {
                assert_eq!(child.hear(), "stormed", "{role} {form}");
                child.wait_until_blocked_in(if form == "block" { call::SENDING } else { call::POLLING });
                child.tell("speak");
                child.expect("sent");
            }
            child.succeed();
        }
    }
}

/// Answers the next echo request in place of the kernel, once the test says so.
fn answer_in_time(peer: &Peer, socket: &Socket) {
    let mut request = [0; 256];
    let mut reply = [0; 256];
    let (echo, len) = loop {
        let (len, _) = socket.receive_from_deadline(&mut request, later()).unwrap();
        let packet = icmp::ipv4_payload(&request[..len]).unwrap();
        if let Ok((Kind::Request, echo)) = Echo::parse(IpVersion::V4, packet.payload) {
            break (echo, echo.write(IpVersion::V4, Kind::Reply, &mut reply).unwrap());
        }
    };
    assert_eq!(echo.payload, b"are you there?");
    if peer.hear() == "answer" {
        socket.send_to(&reply[..len], LOCALHOST).unwrap();
    }
}

#[test]
fn signals_do_not_end_an_echo_unless_they_shall() {
    let test = test!();
    test.role("ask", |peer| {
        let responder = Socket::open(IpVersion::V4, Protocol::ICMP).unwrap();
        let mut ping = Ping::raw(LOCALHOST).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| answer_in_time(peer, &responder));
            let payload = b"are you there?";
            let outcome = under_storm(peer, || match peer.arg(0).as_str() {
                "block" => ping.echo(payload),
                "deadline" => ping.echo_deadline(payload, later()),
                _ => ping.echo_interruptible(payload),
            });
            match outcome {
                Ok(reply) => peer.say(&format!("{} bytes", reply.len)),
                Err(error) => peer.say(&format!("{:?}", error.kind())),
            }
        });
    });
    if let Err(missing) = privileged().and_then(|()| own_network(DEAF)) {
        return test.skip(&missing);
    }
    for form in FORMS {
        let mut child = in_own_network(test.child("ask").arg(form), DEAF).spawn();
        if form == "interruptible" {
            let mut said = [child.hear(), child.hear()];
            said.sort();
            assert_eq!(said, ["Interrupted", "stormed"]);
            child.tell("end");
        } else {
            assert_eq!(child.hear(), "stormed", "{form}");
            child.wait_until_blocked_in(if form == "block" { call::RECEIVING } else { call::POLLING });
            child.tell("answer");
            child.expect("14 bytes");
        }
        child.succeed();
    }
}
