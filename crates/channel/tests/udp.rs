//! Channels over UDP.

#[path = "support/channels.rs"]
mod support;

use std::sync::atomic::{AtomicU8, Ordering};

use allocation_counter::measure;
use support::*;
use twixt_channel::{Attributes, Capabilities, Capacity, Duplex, Message, Opening, Side};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Child, call, command, test};

/// An address at which nobody is: no other process and no other call gets the same, nor is it among the ports that the
/// kernel chooses from.
fn unused() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let (pid, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("udp:127.{}.{next}.1:{}", 1 + (pid >> 14) % 254, 10_000 + (pid & 0x3fff))
}

#[test]
fn messages_go_from_process_to_process() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        for message in ["one", "", "three"] {
            sender.send(message.as_bytes()).unwrap();
        }
    });
    let address = unused();
    let mut receiver = receiver(&address);
    finds_nothing(&mut receiver);
    test.child("sender").arg(&address).spawn().succeed();
    for expected in ["one", "", "three"] {
        let message = receiver.receive().unwrap();
        assert_eq!(message.bytes(), expected.as_bytes());
        assert!(message.source().unwrap().contains(':'));
        assert_eq!(message.credentials(), None);
    }
    finds_nothing(&mut receiver);
}

#[test]
fn a_source_can_be_answered() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    let mut client = Duplex::open(&address(&text)).unwrap();
    client.send(b"question").unwrap();
    let message = receiver.receive().unwrap();
    // The client hears whom it sends to and nobody else.
    sender(&format!("udp:{}", message.source().unwrap())).send(b"from elsewhere").unwrap();
    assert_eq!(kind(client.receiver().try_receive()), ErrorKind::WouldBlock);
}

#[test]
fn a_message_that_is_used_again_has_its_own_source() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    let senders = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let mut message = Message::new();
    for sender in senders.iter().chain(&senders) {
        sender.send_to(b"it's me", text.strip_prefix("udp:").unwrap()).unwrap();
        receiver.receive_into(&mut message).unwrap();
        // Asked twice, since the text is kept.
        for _ in 0..2 {
            assert_eq!(message.source(), Some(sender.local_addr().unwrap().to_string().as_str()));
        }
    }
    let nothing = receiver.receive_wait(&mut message, Wait::never());
    assert_eq!(kind(nothing), ErrorKind::WouldBlock);
    assert_eq!(message.source(), None);
}

#[test]
fn both_sides_talk() {
    let test = test!();
    test.role("server", |peer| {
        let mut server = Opening::new(&address(&peer.arg(0))).side(Side::Listen).duplex().unwrap();
        assert!(server.receiver().has_buffered());
        while let Ok(message) = server.receive() {
            match message.bytes() {
                b"stop" => break,
                bytes => server.send(&bytes.to_ascii_uppercase()).unwrap(),
            }
        }
    });
    let text = unused();
    let child = test.child("server").arg(&text).spawn();
    child.wait_until_blocked_in(call::RECEIVING);
    let mut client = Duplex::open(&address(&text)).unwrap();
    for word in ["ping", "again"] {
        client.send(word.as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap().bytes(), word.to_uppercase().as_bytes());
    }
    client.send(b"stop").unwrap();
    child.succeed();
}

#[test]
fn nobody_there_is_said_by_the_next_send() {
    let _test = test!();
    let mut sender = sender(&unused());
    sender.send(b"into the void").unwrap();
    refusal(sender.send(b"x"), ErrorKind::NoPeer, &["ECONNREFUSED", "nobody listens"]);
}

#[test]
fn it_tells_what_it_can_do() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&format!("{text}?capacity=200k"));
    let can = Capabilities::of(address(&text).endpoint()).unwrap();
    assert!(!can.reliable && !can.sees_end && can.pollable);
    let mut sender = sender(&format!("{text}?capacity=100k"));
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(102_400)));
    assert_eq!(receiver.capacity().unwrap(), Some(Capacity::Bytes(204_800)));
    assert_eq!(can.max_message, Some(65_507));
    assert_eq!(sender.capabilities(), can);
    assert_eq!(receiver.capabilities(), can);
    let longest: Vec<u8> = (0..65_507_u32).map(|index| (index % 251) as u8).collect();
    sender.send(&longest).unwrap();
    assert!(receiver.receive().unwrap().into_bytes() == longest);
    refusal(sender.send(&[0; 65_508]), ErrorKind::TooLong, &["65508", "65507"]);
    let sent = sender.send_with(b"x", &Attributes::new().message_type(1), Wait::never());
    assert_eq!(kind(sent), ErrorKind::Unsupported);
    let six = address("udp:[::1]:7");
    assert_eq!(Capabilities::of(six.endpoint()).unwrap().max_message, Some(65_527));
    if let Ok(sender) = twixt_channel::Sender::open(&six) {
        assert_eq!(sender.capabilities().max_message, Some(65_527));
    }
}

#[test]
fn what_has_no_use_is_refused() {
    let _test = test!();
    no_receiver("udp:127.0.0.1:0", ErrorKind::InvalidInput, &["port 0"]);
    no_sender("udp:127.0.0.1:0", ErrorKind::InvalidInput, &["port 0"]);
    no_receiver("udp:192.0.2.1:7", ErrorKind::NotFound, &["no interface"]);
    no_sender("udp:nowhere.invalid:7", ErrorKind::NotFound, &[]);
    let text = unused();
    let _receiver = receiver(&text);
    no_receiver(&text, ErrorKind::AlreadyExists, &["another socket has that port"]);
    let opening = Opening::new(&address(&text));
    refusal(opening.clone().side(Side::Connect).receiver(), ErrorKind::Unsupported, &["duplex"]);
    refusal(opening.clone().side(Side::Listen).sender(), ErrorKind::Unsupported, &["the receiver has it"]);
    assert_eq!(kind(opening.listener()), ErrorKind::Unsupported);
    no_sender(&format!("{text}?capacity=0"), ErrorKind::Unsupported, &["capacity 0"]);
}

#[test]
fn signals_do_not_disturb() {
    let test = test!();
    test.role("receiver", |peer| receives_through_storm(peer, &mut receiver(&peer.arg(0))));
    let text = unused();
    let mut child = test.child("receiver").arg(&text).spawn();
    child.expect("stormed");
    child.expect("stormed");
    sender(&text).send(b"after the storm").unwrap();
    child.succeed();
}

#[test]
fn python_understands() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let text = unused();
    let mut receiver = receiver(&text);
    let (host, port) = text.trim_start_matches("udp:").split_once(':').unwrap();
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind((sys.argv[1], 0))\n\
        s.sendto(b'from Python', (sys.argv[1], int(sys.argv[2])))\n\
        print(s.recv(100).decode())\n";
    let mut child = Child::program("python3", &["-c", script, host, port]);
    let message = receiver.receive().unwrap();
    assert_eq!(message.bytes(), b"from Python");
    sender(&format!("udp:{}", message.source().unwrap())).send(b"to Python").unwrap();
    assert_eq!(child.line().as_deref(), Some("to Python"));
    child.succeed();
}

#[test]
fn a_message_costs_one_call() {
    let test = test!();
    test.role("both", |peer| {
        let text = unused();
        let (mut receiver, mut message) = (receiver(&text), Message::new());
        let mut sender = sender(&text);
        for _ in 0..peer.arg(0).parse().unwrap() {
            sender.send(b"ping").unwrap();
            receiver.receive_into(&mut message).unwrap();
            sender.send_wait(b"ping", Wait::never()).unwrap();
            receiver.receive_wait(&mut message, Wait::until(later())).unwrap();
        }
    });
    match strace::cost(|rounds| test.child("both").arg(rounds)) {
        Ok(cost) => assert_eq!(cost, strace::expected(&[("sendto", 2 * ROUNDS), ("recvfrom", 2 * ROUNDS)])),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let text = unused();
    let (mut receiver, mut sender) = (receiver(&text), sender(&text));
    let mut message = Message::new();
    let mut round = || {
        sender.send(&[1; 4000]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(kind(receiver.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
}
