//! Channels over Unix seqpacket sockets.

#[path = "support/channels.rs"]
mod support;

use std::io::{Read, Write};
use std::os::fd::AsFd;

use allocation_counter::measure;
use support::*;
use twixt_channel::{
    Attributes, Capabilities, Capacity, Duplex, Interest, Listener, Message, Opening, Receiver, Sender, Side,
};
use twixt_os::unix::Seqpacket;
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Child, call, command, compile_c, output, root, scratch, test, unique_name};

/// An abstract name that nobody has.
fn unused() -> String {
    format!("unix-seqpacket:@{}", unique_name())
}

/// A connection's sides: who connected, and who accepted.
fn connection() -> (Duplex, Duplex) {
    let address = address(&unused());
    let listener = Listener::open(&address).unwrap();
    let client = Duplex::open(&address).unwrap();
    let server = listener.accept().unwrap();
    (client, server)
}

#[test]
fn messages_go_from_process_to_process() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        sender.send(b"one").unwrap();
        sender.send(b"").unwrap();
        sender.send(b"three").unwrap();
        peer.say(&std::process::id().to_string());
    });
    let address = unused();
    let mut receiver = receiver(&address);
    let mut child = test.child("sender").arg(&address).spawn();
    let pid = child.hear();
    child.succeed();
    for expected in ["one", "", "three"] {
        let message = receiver.receive().unwrap();
        assert_eq!(message.bytes(), expected.as_bytes());
        let credentials = message.credentials().unwrap();
        assert_eq!(credentials.pid.unwrap().to_string(), pid);
        assert_eq!(credentials.uid, rustix::process::geteuid().as_raw());
    }
    refusal(receiver.receive(), ErrorKind::PeerGone, &["everyone who had connected has gone"]);
    // The end is told once; then others may come.
    finds_nothing(&mut receiver);
    sender(&address).send(b"a later one").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"a later one");
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
}

#[test]
fn one_receiver_hears_all() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        for number in 0..100 {
            sender.send(format!("{} {number}", peer.arg(1)).as_bytes()).unwrap();
        }
    });
    let address = unused();
    let mut receiver = receiver(&address);
    let children: Vec<_> = (0..4).map(|who| test.child("sender").arg(&address).arg(who).spawn()).collect();
    let mut heard = [0; 4];
    while heard != [100; 4] {
        let message = match receiver.receive() {
            // Those that were there have gone, before others came.
            Err(error) if error.kind() == ErrorKind::PeerGone => continue,
            received => received.unwrap(),
        };
        let text = String::from_utf8(message.into_bytes()).unwrap();
        let (who, number) = text.split_once(' ').unwrap();
        let who: usize = who.parse().unwrap();
        assert_eq!(number.parse(), Ok(heard[who]), "in order, from each");
        heard[who] += 1;
    }
    children.into_iter().for_each(Child::succeed);
}

#[test]
fn both_sides_talk() {
    let _test = test!();
    let (mut client, mut server) = connection();
    client.send(b"ping").unwrap();
    assert_eq!(server.receive().unwrap().bytes(), b"ping");
    server.send(b"pong").unwrap();
    assert_eq!(client.receive().unwrap().bytes(), b"pong");
    // One direction ends, the other goes on.
    let (sender, mut receiver) = client.split();
    sender.close(Wait::forever()).unwrap();
    refusal(server.receive(), ErrorKind::PeerGone, &["closed the connection"]);
    server.send(b"still here").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"still here");
    drop(server);
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
}

#[test]
fn a_dropped_sender_is_an_end() {
    let _test = test!();
    let (client, mut server) = connection();
    let (sender, _receiver) = client.split();
    drop(sender);
    assert_eq!(kind(server.receive()), ErrorKind::PeerGone);
}

#[test]
fn what_came_before_the_end_is_received() {
    let _test = test!();
    let (mut client, mut server) = connection();
    client.send(b"unread").unwrap();
    server.send(b"an answer").unwrap();
    // It closes with something unread: the kernel says so by a reset, before what is there.
    drop(server);
    assert_eq!(client.receive().unwrap().bytes(), b"an answer");
    assert_eq!(kind(client.receive()), ErrorKind::PeerGone);
    refusal(client.send(b"x"), ErrorKind::PeerGone, &["EPIPE"]);
}

#[test]
fn sides_can_be_turned_round() {
    let test = test!();
    test.role("receiver", |peer| {
        let address = address(&peer.arg(0));
        let mut receiver = Opening::new(&address).side(Side::Connect).receiver().unwrap();
        peer.say(&String::from_utf8(receiver.receive().unwrap().into_bytes()).unwrap());
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    });
    let text = unused();
    let listening = address(&text);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| Opening::new(&listening).side(Side::Listen).sender().unwrap());
        while Duplex::open(&listening).is_err() && !sender.is_finished() {
            std::thread::yield_now();
        }
        // That was one who connected and went again: the sender has it, and sends to nobody.
        assert_eq!(kind(sender.join().unwrap().send(b"x")), ErrorKind::PeerGone);
    });
    let text = unused();
    let listener = Listener::open(&address(&text)).unwrap();
    let mut child = test.child("receiver").arg(&text).spawn();
    listener.accept().unwrap().send(b"to whoever listens").unwrap();
    child.expect("to whoever listens");
    child.succeed();
}

#[test]
fn descriptors_come_along() {
    let _test = test!();
    let (mut client, mut server) = connection();
    let (mut read, write) = std::io::pipe().unwrap();
    let both = [write.as_fd(), read.as_fd()];
    let with = Attributes::new().descriptors(&both);
    client.sender().send_with(b"a pipe", &with, Wait::forever()).unwrap();
    drop(write);
    let mut message = server.receive().unwrap();
    assert_eq!((message.bytes(), message.descriptors().len()), (b"a pipe".as_slice(), 2));
    for descriptor in message.descriptors() {
        assert!(rustix::io::fcntl_getfd(descriptor).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    let mut write = std::fs::File::from(message.take_descriptors().remove(0));
    write.write_all(b"through it").unwrap();
    drop(write);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through it");
    let many = vec![read.as_fd(); 254];
    let sent = client.sender().send_with(b"", &Attributes::new().descriptors(&many), Wait::forever());
    refusal(sent, ErrorKind::Unsupported, &["too many descriptors"]);
    client.sender().send_with(b"", &Attributes::new().descriptors(&many[1..]), Wait::forever()).unwrap();
    assert_eq!(server.receive().unwrap().descriptors().len(), 253);
}

#[test]
fn it_tells_what_it_can_do() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    let mut sender = sender(&format!("{text}?capacity=20000"));
    let can = Capabilities::of(address(&text).endpoint()).unwrap();
    assert!(can.sees_end && can.listens && can.credentials && can.pollable);
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(20_000)));
    let most = sender.capabilities().max_message.unwrap();
    assert_eq!(most, 20_000 - 32);
    refusal(sender.send(&vec![7; most + 1]), ErrorKind::TooLong, &["SO_SNDBUF is 20000"]);
    sender.send(&vec![7; most]).unwrap();
    assert!(sender.len().unwrap() > Some(most as u64));
    finds_no_room(&mut sender, b"x");
    assert_eq!(receiver.receive().unwrap().len(), most);
    assert_eq!(sender.len().unwrap(), Some(0));
    assert_eq!(sender.readiness().unwrap().interest(), Interest::Write);
    let listener_can = Listener::open(&address(&unused())).unwrap().capabilities();
    assert_eq!(listener_can.max_message, can.max_message);
}

#[test]
fn messages_of_all_lengths_arrive() {
    let _test = test!();
    let most: u64 = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap().trim().parse().unwrap();
    let text = unused();
    let mut receiver = receiver(&text);
    // No more than the kernel has memory for in one piece.
    let mut sender = sender(&format!("{text}?capacity={}", (2 * most).min(1 << 20)));
    let longest = sender.capabilities().max_message.unwrap();
    let mut message = Message::new();
    for len in [longest, 1, 0, 4096, 16 << 10, (16 << 10) + 1, longest, longest - 1] {
        let bytes: Vec<u8> = (0..len).map(|index| (index % 251) as u8).collect();
        sender.send(&bytes).unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert!(message.bytes() == bytes, "{len} bytes");
        sender.send(&bytes).unwrap();
        assert!(receiver.receive().unwrap().into_bytes() == bytes, "{len} bytes");
    }
    let refused = Sender::open(&address(&format!("{text}?capacity={}", 2 * most + 2)));
    refusal(refused, ErrorKind::LimitReached, &["net.core.wmem_max", "capacity"]);
}

/// A sender with privileges may exceed what a receiver can expect. One message is lost, by name; then none.
#[test]
fn privileged_senders_are_learnt() {
    test!().in_namespaces(|_| {
        // The receiver is made to believe that the limit is lower than what this sender keeps to.
        let directory = scratch();
        let limit = directory.path().join("wmem_max");
        std::fs::write(&limit, "100000\n").unwrap();
        output("mount", &["--bind", limit.to_str().unwrap(), "/proc/sys/net/core/wmem_max"]);
        let text = unused();
        let listener = Listener::open(&address(&text)).unwrap();
        let name = format!("@{}", text.rsplit('@').next().unwrap());
        let socket = Seqpacket::connect(&name.parse().unwrap()).unwrap();
        let mut server = listener.accept().unwrap();
        socket.options().set_send_buffer(500_000).unwrap();
        if socket.options().send_buffer().unwrap() < 500_000 {
            // The limit is lower in truth, too, and nobody here has privileges.
            return;
        }
        let long = vec![7; 300_000];
        socket.send(&long).unwrap();
        refusal(server.receive(), ErrorKind::Malformed, &["300000 bytes"]);
        socket.send(&long).unwrap();
        socket.send(b"short").unwrap();
        assert!(server.receive().unwrap().into_bytes() == long);
        assert_eq!(server.receive().unwrap().bytes(), b"short");
    });
}

#[test]
fn the_socket_file_is_the_listeners() {
    let test = test!();
    test.role("dying", |peer| {
        let _receiver = receiver(&peer.arg(0));
        peer.say("here");
        peer.hear();
    });
    let directory = scratch();
    let path = directory.path().join("socket");
    let text = format!("unix-seqpacket:{}", path.display());
    no_sender(&text, ErrorKind::NotFound, &["start that one first"]);
    let receiver = receiver(&format!("{text}?mode=0640"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    no_receiver(&text, ErrorKind::AlreadyExists, &["alive"]);
    drop(receiver);
    assert!(!path.exists(), "it goes with its listener");
    // One that a dead server left is replaced.
    let mut child = test.child("dying").arg(&text).spawn();
    child.expect("here");
    child.kill();
    no_sender(&text, ErrorKind::NoPeer, &["nobody listens there"]);
    let _receiver = self::receiver(&text);
    sender(&text).send(b"x").unwrap();
}

#[test]
fn what_has_no_use_is_refused() {
    let _test = test!();
    let directory = scratch();
    let text = format!("unix-seqpacket:{}/socket", directory.path().display());
    let _listener = Listener::open(&address(&text)).unwrap();
    for option in ["create", "mode=0600"] {
        no_sender(&format!("{text}?{option}"), ErrorKind::Unsupported, &["the side that listens"]);
    }
    no_receiver(&format!("{}?capacity=4k", unused()), ErrorKind::Unsupported, &["option capacity"]);
    let (mut client, _server) = connection();
    for attributes in [Attributes::new().priority(1), Attributes::new().message_type(1)] {
        let sent = client.sender().send_with(b"x", &attributes, Wait::never());
        assert_eq!(kind(sent), ErrorKind::Unsupported);
    }
    assert_eq!(kind(Opening::new(&address(&text)).pair()), ErrorKind::Unsupported);
}

#[test]
fn another_users_socket_is_closed() {
    let test = test!();
    test.role("nobody", |peer| {
        no_sender(&peer.arg(0), ErrorKind::PermissionDenied, &["write permission on the socket file"]);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let directory = scratch();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), everybody).unwrap();
    let text = format!("unix-seqpacket:{}/socket", directory.path().display());
    let _receiver = receiver(&text);
    test.child("nobody").arg(&text).as_nobody().spawn().succeed();
}

#[test]
fn nothing_and_capacity_zero_mean_a_meeting() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&format!("{}?capacity=0", peer.arg(0)));
        sender.send(b"met").unwrap();
        peer.say("sent");
    });
    let text = unused();
    let mut receiver = receiver(&format!("{text}?capacity=0"));
    let mut child = test.child("sender").arg(&text).spawn();
    child.wait_until_blocked_in(call::RECEIVING);
    assert_eq!(receiver.receive().unwrap().bytes(), b"met");
    child.expect("sent");
    child.succeed();
}

#[test]
fn signals_do_not_disturb() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut duplex = Duplex::open(&address(&peer.arg(0))).unwrap();
        receives_through_storm(peer, duplex.receiver());
    });
    test.role("gatherer", |peer| receives_through_storm(peer, &mut receiver(&peer.arg(0))));
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        fill(&mut sender, &[0; 8000]);
        sends_through_storm(peer, &mut sender, &[0; 8000]);
    });
    let text = unused();
    let listener = Listener::open(&address(&text)).unwrap();
    let mut child = test.child("receiver").arg(&text).spawn();
    child.expect("stormed");
    child.expect("stormed");
    listener.accept().unwrap().send(b"after the storm").unwrap();
    child.succeed();
    let mut child = test.child("sender").arg(&text).spawn();
    child.expect("stormed");
    child.expect("stormed");
    let mut server = listener.accept().unwrap();
    while server.receive().is_ok() {}
    child.succeed();
    let text = unused();
    let mut child = test.child("gatherer").arg(&text).spawn();
    child.expect("stormed");
    child.expect("stormed");
    sender(&text).send(b"after the storm").unwrap();
    child.succeed();
}

#[test]
fn a_peer_that_is_killed_is_an_end() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        sender.send(b"last words").unwrap();
        peer.say("sent");
        peer.hear();
    });
    let text = unused();
    let mut receiver = receiver(&text);
    let mut child = test.child("sender").arg(&text).spawn();
    child.expect("sent");
    child.kill();
    assert_eq!(receiver.receive().unwrap().bytes(), b"last words");
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
}

#[test]
fn a_c_program_understands() {
    let _test = test!();
    let directory = scratch();
    let source = r#"
        #include <stdio.h>
        #include <string.h>
        #include <sys/socket.h>
        #include <sys/un.h>
        int main(int argc, char **argv) {
            struct sockaddr_un name = { AF_UNIX };
            strcpy(name.sun_path, argv[1]);
            int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
            if (connect(s, (void *)&name, sizeof name)) { perror("connect"); return 1; }
            char text[64];
            ssize_t len;
            while ((len = recv(s, text, sizeof text, 0)) > 0) {
                for (ssize_t i = 0; i < len / 2; i++) {
                    char first = text[i];
                    text[i] = text[len - 1 - i];
                    text[len - 1 - i] = first;
                }
                if (send(s, text, len, 0) != len) { perror("send"); return 1; }
            }
            return len != 0;
        }
    "#;
    let program = compile_c(directory.path(), "reverse", source, &[]);
    let path = directory.path().join("socket").to_str().unwrap().to_owned();
    let listener = Listener::open(&address(&format!("unix-seqpacket:{path}"))).unwrap();
    let child = Child::program(program, &[path]);
    let mut server = listener.accept().unwrap();
    for (sent, received) in [("stressed", "desserts"), ("diaper", "repaid")] {
        server.send(sent.as_bytes()).unwrap();
        assert_eq!(server.receive().unwrap().bytes(), received.as_bytes());
    }
    let (sender, mut receiver) = server.split();
    drop(sender);
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    child.succeed();
}

#[test]
fn socat_understands() {
    let test = test!();
    if let Err(missing) = command("socat") {
        return test.skip(&missing);
    }
    let directory = scratch();
    let path = directory.path().join("socket").to_str().unwrap().to_owned();
    let mut receiver = receiver(&format!("unix-seqpacket:{path}"));
    let mut child = Child::program("socat", &["-u", "-", &format!("UNIX-CONNECT:{path},type=5")]);
    child.tell("hello");
    assert_eq!(receiver.receive().unwrap().bytes(), b"hello\n");
    child.succeed();
}

#[test]
fn a_message_costs_one_call() {
    let test = test!();
    test.role("both", |peer| {
        let (mut client, mut server) = connection();
        let mut message = Message::new();
        for _ in 0..peer.arg(0).parse().unwrap() {
            client.send(b"ping").unwrap();
            server.receiver().receive_into(&mut message).unwrap();
            client.send_wait(b"ping", Wait::never()).unwrap();
            server.receive_wait(&mut message, Wait::until(later())).unwrap();
        }
    });
    test.role("gathered", |peer| {
        let text = unused();
        let (mut receiver, mut message) = (receiver(&text), Message::new());
        let mut sender = sender(&text);
        for _ in 0..peer.arg(0).parse().unwrap() {
            // More than one stand ready: nobody need be asked who is next.
            for _ in 0..8 {
                sender.send(b"ping").unwrap();
            }
            for _ in 0..8 {
                receiver.receive_into(&mut message).unwrap();
            }
        }
    });
    let cost = |role: &'static str| strace::cost(|rounds| test.child(role).arg(rounds));
    match (cost("both"), cost("gathered")) {
        (Ok(both), Ok(gathered)) => {
            assert_eq!(both, strace::expected(&[("sendto", 2 * ROUNDS), ("recvmsg", 2 * ROUNDS)]));
            assert_eq!((gathered["sendto"], gathered["recvmsg"]), (8 * ROUNDS, 8 * ROUNDS));
        }
        (Err(missing), _) | (_, Err(missing)) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let text = unused();
    let mut receiver = receiver(&text);
    let mut sender = sender(&text);
    let (mut client, mut server) = connection();
    let mut message = Message::new();
    let mut round = || {
        sender.send(&[1; 4000]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        client.send(&[1; 20_000]).unwrap();
        server.receive_wait(&mut message, Wait::forever()).unwrap();
        assert_eq!(kind(server.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    round();
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
    let _ = (Receiver::len(&receiver), Sender::len(&sender));
}
