//! Sockets: what a message costs, in system calls and in allocations.

#[path = "support/network.rs"]
mod network;
#[path = "support/sockets.rs"]
mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use allocation_counter::measure;
use network::{in_own_network, own_network, privileged};
use support::{fill, kind, later, name};
use twixt_os::net::ping::Ping;
use twixt_os::net::{raw, tcp, udp};
use twixt_os::unix::{Attachments, Datagram, Seqpacket, Stream};
use twixt_os::{Deadline, ErrorKind};
use twixt_testkit::strace::{cost, expected};
use twixt_testkit::{Peer, test};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Plays `round`, in the form and as often as the test says.
fn rounds(peer: &Peer, mut round: impl FnMut(&str)) {
    let form = peer.arg(0);
    for _ in 0..peer.arg(1).parse::<usize>().unwrap() {
        round(&form);
    }
}

#[test]
fn a_message_is_one_call_to_send_and_one_to_receive() {
    let test = test!();
    let mut buffer = [0; 64];
    test.role("stream", |peer| {
        let (one, other) = Stream::pair().unwrap();
        rounds(peer, |form| match form {
            "block" => {
                one.send(b"message").unwrap();
                other.receive(&mut buffer).unwrap();
            }
            "try" => {
                one.try_send_all(b"message").unwrap();
                other.try_receive(&mut buffer).unwrap();
            }
            _ => {
                one.send_deadline(b"message", later()).unwrap();
                other.receive_exact_deadline(&mut buffer[..7], later()).unwrap();
            }
        });
    });
    test.role("datagram", |peer| {
        let (one, other) = Datagram::pair().unwrap();
        rounds(peer, |form| match form {
            "block" => {
                one.send(b"message").unwrap();
                other.receive(&mut buffer).unwrap();
            }
            "try" => {
                one.try_send(b"message").unwrap();
                other.try_receive(&mut buffer).unwrap();
            }
            _ => {
                one.send_deadline(b"message", later()).unwrap();
                other.receive_deadline(&mut buffer, later()).unwrap();
            }
        });
    });
    test.role("udp", |peer| {
        let other = udp::Socket::bind("127.0.0.1:0").unwrap();
        let one = udp::Connected::to(other.local_address().unwrap()).unwrap();
        rounds(peer, |form| match form {
            "block" => {
                one.send(b"message").unwrap();
                other.receive_from(&mut buffer).unwrap();
            }
            "try" => {
                one.try_send(b"message").unwrap();
                other.try_receive_from(&mut buffer).unwrap();
            }
            _ => {
                one.send_deadline(b"message", later()).unwrap();
                other.receive_from_deadline(&mut buffer, later()).unwrap();
            }
        });
    });
    test.role("udp connected", |peer| {
        let other = udp::Socket::bind("127.0.0.1:0").unwrap();
        let one = udp::Connected::to(other.local_address().unwrap()).unwrap();
        let to = one.local_address().unwrap();
        rounds(peer, |form| match form {
            "block" => {
                other.send_to(b"message", to).unwrap();
                one.receive(&mut buffer).unwrap();
            }
            "try" => {
                other.try_send_to(b"message", to).unwrap();
                one.try_receive(&mut buffer).unwrap();
            }
            _ => {
                other.send_to_deadline(b"message", to, later()).unwrap();
                one.receive_deadline(&mut buffer, later()).unwrap();
            }
        });
    });
    test.role("tcp", |peer| {
        let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
        let one = tcp::Stream::connect(listener.local_address().unwrap()).unwrap();
        let other = listener.accept().unwrap();
        rounds(peer, |form| match form {
            "block" => {
                one.send_all(b"message").unwrap();
                other.receive(&mut buffer).unwrap();
            }
            "try" => {
                one.try_send(b"message").unwrap();
                other.try_receive(&mut buffer).unwrap();
            }
            _ => {
                one.send_deadline(b"message", later()).unwrap();
                other.receive_deadline(&mut buffer, later()).unwrap();
            }
        });
    });
    for role in ["stream", "datagram", "udp", "udp connected", "tcp"] {
        for form in ["block", "try", "deadline"] {
            match cost(|count| test.child(role).arg(form).arg(count)) {
                Ok(calls) => {
                    assert_eq!(calls, expected(&[("recvfrom", 100), ("sendto", 100)]), "{role} {form}")
                }
                Err(missing) => return test.skip(&missing),
            }
        }
    }
}

#[test]
fn names_ends_and_attachments_are_one_call_too() {
    let test = test!();
    let mut buffer = [0; 64];
    // Telling an empty message from the end takes recvmsg, and so do descriptors; no call more.
    test.role("seqpacket", |peer| {
        let (one, other) = Seqpacket::pair().unwrap();
        rounds(peer, |form| match form {
            "block" => {
                one.send(b"message").unwrap();
                other.receive(&mut buffer).unwrap();
            }
            "try" => {
                one.try_send(b"message").unwrap();
                other.try_receive(&mut buffer).unwrap();
            }
            _ => {
                one.send_deadline(b"message", later()).unwrap();
                other.receive_deadline(&mut buffer, later()).unwrap();
            }
        });
    });
    test.role("datagram", |peer| {
        let address = name();
        let (one, other) = (Datagram::unbound().unwrap(), Datagram::bind(&address).unwrap());
        rounds(peer, |_| {
            one.send_to_deadline(b"message", &address, later()).unwrap();
            other.receive_from(&mut buffer).unwrap();
        });
    });
    test.role("attachments", |peer| {
        let (one, other) = Stream::pair().unwrap();
        rounds(peer, |_| {
            one.send_with(b"message", &Attachments::none()).unwrap();
            other.receive_with(&mut buffer).unwrap();
        });
    });
    test.role("descriptors", |peer| {
        let (one, other) = Stream::pair().unwrap();
        let attached = [other.as_fd(), one.as_fd()];
        rounds(peer, |_| {
            one.send_with(b"message", &Attachments::descriptors(&attached)).unwrap();
            assert_eq!(other.receive_with(&mut buffer).unwrap().descriptors.len(), 2);
        });
    });
    test.role("kept", |peer| {
        let (one, other) = Datagram::pair().unwrap();
        other.keep_long_messages(true);
        rounds(peer, |_| {
            one.send(b"message").unwrap();
            other.receive(&mut buffer).unwrap();
        });
    });
    let (seqpacket, attachments) =
        ([("recvmsg", 100), ("sendto", 100)], [("recvmsg", 100), ("sendmsg", 100)]);
    for (role, form, calls) in [
        ("seqpacket", "block", &seqpacket[..]),
        ("seqpacket", "try", &seqpacket),
        ("seqpacket", "deadline", &seqpacket),
        ("datagram", "", &seqpacket),
        ("attachments", "", &attachments),
        ("descriptors", "", &[("recvmsg", 100), ("sendmsg", 100), ("close", 200)]),
        ("kept", "", &[("recvfrom", 200), ("sendto", 100)]),
    ] {
        match cost(|count| test.child(role).arg(form).arg(count)) {
            Ok(mut more) => {
                // The standard library, built for debugging, looks at each descriptor that it closes.
                more.remove("fcntl");
                assert_eq!(more, expected(calls), "{role} {form}");
            }
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_packet_is_one_call_and_an_echo_two() {
    let test = test!();
    let mut buffer = [0; 256];
    test.role("raw", |peer| {
        let socket = raw::Socket::open(raw::IpVersion::V4, raw::Protocol::new(253).unwrap()).unwrap();
        rounds(peer, |form| match form {
            "block" => {
                socket.send_to(b"packet", LOCALHOST).unwrap();
                socket.receive_from(&mut buffer).unwrap();
            }
            "try" => {
                socket.try_send_to(b"packet", LOCALHOST).unwrap();
                socket.try_receive_from(&mut buffer).unwrap();
            }
            _ => {
                socket.send_to_deadline(b"packet", LOCALHOST, later()).unwrap();
                socket.receive_from_deadline(&mut buffer, later()).unwrap();
            }
        });
    });
    test.role("ping", |peer| {
        let mut ping = Ping::raw(LOCALHOST).unwrap();
        rounds(peer, |form| {
            let echo = match form {
                "block" => ping.echo(b"payload"),
                "try" => ping.try_echo(b"payload"),
                _ => ping.echo_deadline(b"payload", later()),
            };
            assert_eq!(echo.unwrap().ignored, 0);
        });
    });
    test.role("allocations", |_| {
        let socket = raw::Socket::open(raw::IpVersion::V4, raw::Protocol::new(253).unwrap()).unwrap();
        let mut ping = Ping::raw(LOCALHOST).unwrap();
        let allocations = measure(|| {
            for _ in 0..100 {
                socket.send_to(b"packet", LOCALHOST).unwrap();
                socket.receive_from(&mut buffer).unwrap();
                assert_eq!(kind(socket.try_receive_from(&mut buffer)), ErrorKind::WouldBlock);
                ping.echo(b"payload").unwrap();
                ping.echo_deadline(b"payload", later()).unwrap();
            }
        });
        assert_eq!(allocations.count_total, 0);
    });
    // Where nobody else's packets are.
    if let Err(missing) = privileged().and_then(|()| own_network("true")) {
        return test.skip(&missing);
    }
    in_own_network(test.child("allocations"), "true").spawn().succeed();
    for role in ["raw", "ping"] {
        for form in ["block", "try", "deadline"] {
            match cost(|count| in_own_network(test.child(role).arg(form).arg(count), "true")) {
                Ok(calls) => {
                    assert_eq!(calls, expected(&[("recvfrom", 100), ("sendto", 100)]), "{role} {form}")
                }
                Err(missing) => return test.skip(&missing),
            }
        }
    }
}

#[test]
fn a_connection_costs_what_it_does_in_c() {
    let test = test!();
    test.role("connect", |peer| {
        let address = name();
        let listener = twixt_os::unix::StreamListener::bind(&address).unwrap();
        rounds(peer, |_| {
            let _client = Stream::connect(&address).unwrap();
            let _server = listener.accept().unwrap();
        });
    });
    match cost(|count| test.child("connect").arg("").arg(count)) {
        Ok(mut calls) => {
            // The standard library, built for debugging, looks at each descriptor that it closes.
            calls.remove("fcntl");
            let in_c = [("accept4", 100), ("close", 200), ("connect", 100), ("socket", 100)];
            assert_eq!(calls, expected(&in_c));
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn no_message_allocates() {
    let _test = test!();
    let mut buffer = [0; 64];
    let address = name();
    let streams = Stream::pair().unwrap();
    let seqpackets = Seqpacket::pair().unwrap();
    let datagrams = (Datagram::unbound().unwrap(), Datagram::bind(&address).unwrap());
    let receiver = udp::Socket::bind("127.0.0.1:0").unwrap();
    let sender = udp::Connected::to(receiver.local_address().unwrap()).unwrap();
    let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
    let client = tcp::Stream::connect(listener.local_address().unwrap()).unwrap();
    let server = listener.accept().unwrap();
    let deadline = Deadline::after(Duration::from_secs(60));
    let allocations = measure(|| {
        for _ in 0..100 {
            streams.0.send_all(b"message").unwrap();
            streams.1.receive(&mut buffer).unwrap();
            streams.0.send_with(b"message", &Attachments::none()).unwrap();
            streams.1.receive_with(&mut buffer).unwrap();
            seqpackets.0.send(b"message").unwrap();
            seqpackets.1.receive(&mut buffer).unwrap().unwrap();
            seqpackets.0.send_deadline(b"message", deadline).unwrap();
            seqpackets.1.receive_with(&mut buffer).unwrap().unwrap();
            datagrams.0.send_to(b"message", &address).unwrap();
            datagrams.1.receive_from(&mut buffer).unwrap();
            sender.send(b"message").unwrap();
            receiver.receive_from_deadline(&mut buffer, deadline).unwrap();
            client.send_all(b"message").unwrap();
            server.receive_exact(&mut buffer[..7]).unwrap();
        }
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn finding_nothing_or_no_room_allocates_nothing() {
    let _test = test!();
    let mut buffer = [0; 64];
    let address = name();
    let streams = Stream::pair().unwrap();
    let (sender, receiver) = (Datagram::unbound().unwrap(), Datagram::bind(&address).unwrap());
    sender.connect(&address).unwrap();
    fill(|| sender.try_send(b"x"));
    let udp = udp::Socket::bind("127.0.0.1:0").unwrap();
    let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
    let past = Deadline::now();
    let allocations = measure(|| {
        for _ in 0..100 {
            assert_eq!(streams.0.try_receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(
                streams.0.receive_deadline(&mut buffer, past).unwrap_err().kind(),
                ErrorKind::TimedOut
            );
            assert_eq!(sender.try_send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(udp.try_receive_from(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    });
    assert_eq!(allocations.count_total, 0);
    receiver.receive(&mut buffer).unwrap();
}
