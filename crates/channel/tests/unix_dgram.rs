//! Channels over Unix datagram sockets.

#[path = "support/channels.rs"]
mod support;

use std::io::Write;
use std::os::fd::AsFd;

use allocation_counter::measure;
use support::*;
use twixt_channel::{Attributes, Capabilities, Capacity, Duplex, Message, Opening, Side};
use twixt_os::unix::{self, Datagram};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Child, call, command, compile_c, scratch, test, unique_name};

/// An abstract name that nobody has.
fn unused() -> String {
    format!("unix-dgram:@{}", unique_name())
}

#[test]
fn messages_go_from_process_to_process() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        for message in ["one", "", "three"] {
            sender.send(message.as_bytes()).unwrap();
        }
        peer.say(&std::process::id().to_string());
    });
    let address = unused();
    let mut receiver = receiver(&address);
    finds_nothing(&mut receiver);
    let mut child = test.child("sender").arg(&address).spawn();
    let pid = child.hear();
    child.succeed();
    for expected in ["one", "", "three"] {
        let message = receiver.receive().unwrap();
        assert_eq!(message.bytes(), expected.as_bytes());
        assert_eq!(message.credentials().unwrap().pid.unwrap().to_string(), pid);
        assert_eq!(message.source(), None, "it has no address");
    }
    // There is no end: others may send.
    finds_nothing(&mut receiver);
}

#[test]
fn senders_with_an_address_can_be_answered() {
    let _test = test!();
    let directory = scratch();
    // Bytes that an address has to escape.
    let path = directory.path().join("it's 100%?");
    let named = Datagram::bind(&unix::Address::path(&path).unwrap()).unwrap();
    let text = unused();
    let mut receiver = receiver(&text);
    let name = format!("@{}", text.rsplit('@').next().unwrap());
    named.send_to(b"question", &name.parse().unwrap()).unwrap();
    let message = receiver.receive().unwrap();
    let mut answer = sender(&format!("unix-dgram:{}", message.source().unwrap()));
    answer.send(b"answer").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(named.receive(&mut buffer).unwrap(), 6);
}

#[test]
fn both_sides_talk() {
    let test = test!();
    test.role("server", |peer| {
        let mut server = Opening::new(&address(&peer.arg(0))).side(Side::Listen).duplex().unwrap();
        assert!(server.receiver().has_buffered());
        while let Ok(message) = server.receive() {
            assert!(message.source().is_some());
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
    // A stranger is not heard in their conversation.
    no_sender(&text, ErrorKind::PermissionDenied, &["another"]);
    client.send(b"stop").unwrap();
    child.succeed();
    refusal(client.send(b"x"), ErrorKind::PeerGone, &["ECONNREFUSED"]);
}

#[test]
fn who_cannot_be_answered_is_no_peer() {
    let test = test!();
    test.role("server", |peer| {
        let opened = Opening::new(&address(&peer.arg(0))).side(Side::Listen).duplex();
        refusal(opened, ErrorKind::NoPeer, &["without an address"]);
    });
    let text = unused();
    let child = test.child("server").arg(&text).spawn();
    child.wait_until_blocked_in(call::RECEIVING);
    sender(&text).send(b"anonymous").unwrap();
    child.succeed();
}

#[test]
fn descriptors_come_along() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    let (read, write) = std::io::pipe().unwrap();
    let one = [write.as_fd()];
    sender(&text).send_with(b"", &Attributes::new().descriptors(&one), Wait::forever()).unwrap();
    drop(write);
    let mut message = receiver.receive().unwrap();
    let mut write = std::fs::File::from(message.take_descriptors().remove(0));
    write.write_all(b"through it").unwrap();
    drop(write);
    assert_eq!(std::io::read_to_string(read).unwrap(), "through it");
}

#[test]
fn a_receiver_that_goes_is_noticed_and_one_that_comes_is_found() {
    let test = test!();
    // In a process of its own, whose socket no child that is just being started still has.
    test.role("receiver", |peer| {
        let mut receiver = receiver(&peer.arg(0));
        peer.say("here");
        peer.wait_for("receive");
        peer.say(&String::from_utf8(next(&mut receiver)).unwrap());
    });
    let directory = scratch();
    let path = directory.path().join("socket");
    let text = format!("unix-dgram:{}", path.display());
    no_sender(&text, ErrorKind::NotFound, &["start that one first"]);
    let start = || {
        let mut child = test.child("receiver").arg(&text).spawn();
        child.expect("here");
        child
    };
    let mut first = start();
    no_receiver(&text, ErrorKind::AlreadyExists, &["alive"]);
    let mut sender = sender(&text);
    sender.send(b"one").unwrap();
    first.tell("receive");
    first.expect("one");
    first.succeed();
    assert!(!path.exists(), "it goes with its receiver");
    for _ in 0..2 {
        refusal(
            sender.send(b"x"),
            ErrorKind::PeerGone,
            &["cannot connect to Unix datagram socket", "ENOENT"],
        );
    }
    let mut second = start();
    sender.send(b"two").unwrap();
    second.tell("receive");
    second.expect("two");
    second.succeed();
    // One that dies leaves its file, which the next one replaces.
    start().kill();
    assert!(path.exists());
    refusal(sender.send(b"x"), ErrorKind::PeerGone, &["ECONNREFUSED"]);
    let mut fourth = start();
    sender.send(b"four").unwrap();
    fourth.tell("receive");
    fourth.expect("four");
    fourth.succeed();
}

#[test]
fn it_tells_what_it_can_do() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    let can = Capabilities::of(address(&text).endpoint()).unwrap();
    assert!(can.reliable && can.credentials && can.pollable && !can.sees_end && !can.listens);
    let mut small = sender(&format!("{text}?capacity=20000"));
    assert_eq!(small.capacity().unwrap(), Some(Capacity::Bytes(20_000)));
    let most = small.capabilities().max_message.unwrap();
    refusal(small.send(&vec![7; most + 1]), ErrorKind::TooLong, &["SO_SNDBUF is 20000"]);
    small.send(&vec![7; most]).unwrap();
    finds_no_room(&mut small, b"x");
    assert_eq!(next(&mut receiver).len(), most);
    // The receiver's queue has a length of its own.
    let mut sender = sender(&text);
    let count = fill(&mut sender, b"x");
    assert!(count > 0);
    finds_no_room(&mut sender, b"x");
    assert!(Wait::never().until_writable(sender.readiness().unwrap()).is_err());
    (0..count).for_each(|_| drop(next(&mut receiver)));
    Wait::never().until_writable(sender.readiness().unwrap()).unwrap();
    assert_eq!(can.max_message, sender.capabilities().max_message);
}

#[test]
fn what_has_no_use_is_refused() {
    let _test = test!();
    let directory = scratch();
    let text = format!("unix-dgram:{}/socket", directory.path().display());
    let _receiver = receiver(&format!("{text}?create&mode=0600"));
    for option in ["create", "mode=0600"] {
        no_sender(&format!("{text}?{option}"), ErrorKind::Unsupported, &["the side that listens"]);
    }
    no_receiver(&format!("{}?capacity=4k", unused()), ErrorKind::Unsupported, &["option capacity"]);
    no_sender(&format!("{text}?capacity=0"), ErrorKind::Unsupported, &["capacity 0"]);
    let opening = Opening::new(&address(&text));
    refusal(opening.clone().side(Side::Connect).receiver(), ErrorKind::Unsupported, &["duplex"]);
    refusal(opening.clone().side(Side::Listen).sender(), ErrorKind::Unsupported, &["the receiver has it"]);
    assert_eq!(kind(opening.listener()), ErrorKind::Unsupported);
}

#[test]
fn signals_do_not_disturb() {
    let test = test!();
    test.role("receiver", |peer| receives_through_storm(peer, &mut receiver(&peer.arg(0))));
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        fill(&mut sender, b"x");
        sends_through_storm(peer, &mut sender, b"x");
    });
    let text = unused();
    let mut child = test.child("receiver").arg(&text).spawn();
    child.expect("stormed");
    child.expect("stormed");
    sender(&text).send(b"after the storm").unwrap();
    child.succeed();
    let text = unused();
    let mut receiver = receiver(&text);
    let mut child = test.child("sender").arg(&text).spawn();
    child.expect("stormed");
    child.expect("stormed");
    while receiver.receive_deadline(soon()).is_ok() {}
    child.succeed();
}

#[test]
fn a_c_program_and_python_understand() {
    let test = test!();
    let directory = scratch();
    let source = r#"
        #include <stdio.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/un.h>
        int main(int argc, char **argv) {
            struct sockaddr_un name = { AF_UNIX };
            strcpy(name.sun_path, argv[1]);
            int s = socket(AF_UNIX, SOCK_DGRAM, 0);
            if (sendto(s, "from C", 6, 0, (void *)&name, sizeof name) != 6) { perror("sendto"); return 1; }
            return 0;
        }
    "#;
    let program = compile_c(directory.path(), "send", source, &[]);
    let path = directory.path().join("socket").to_str().unwrap().to_owned();
    let mut receiver = receiver(&format!("unix-dgram:{path}"));
    Child::program(program, &[&path]).succeed();
    assert_eq!(receiver.receive().unwrap().bytes(), b"from C");
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let theirs = directory.path().join("python").to_str().unwrap().to_owned();
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s.bind(sys.argv[1])\n\
        print('bound', flush=True)\n\
        print(s.recv(100).decode())\n";
    let mut child = Child::program("python3", &["-c", script, &theirs]);
    assert_eq!(child.line().as_deref(), Some("bound"));
    sender(&format!("unix-dgram:{theirs}")).send(b"to Python").unwrap();
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
        Ok(cost) => assert_eq!(cost, strace::expected(&[("sendto", 2 * ROUNDS), ("recvmsg", 2 * ROUNDS)])),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    // Such a sender has an address, of which only those pay who ask for it.
    let mut sender = Duplex::open(&address(&text)).unwrap();
    let mut message = Message::new();
    let mut round = || {
        sender.send(&[1; 4000]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(kind(receiver.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
}
