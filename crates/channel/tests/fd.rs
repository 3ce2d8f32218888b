//! Channels over inherited descriptors: what such a one is decides.

#[path = "support/channels.rs"]
mod support;

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use support::*;
use twixt_channel::{Boundaries, Content, Duplex, Listener, Message, Opening, Receiver, Sender};
use twixt_os::eventfd::EventFd;
use twixt_os::posix::mq::{self, Access, Priority, Queue};
use twixt_os::unix::{Seqpacket, SeqpacketListener};
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::{Child, Peer, Test, defer, scratch, test, unique_name};

/// The number under which the children get their descriptor.
const NUMBER: i32 = 100;

/// A child that plays the role with this descriptor.
fn child(test: &Test, role: &str, descriptor: impl Into<OwnedFd>) -> Child {
    test.child(role).descriptor(descriptor.into(), NUMBER).spawn()
}

fn say(peer: &Peer, message: &Message) {
    peer.say(core::str::from_utf8(message.bytes()).unwrap());
}

/// Sends one message, and another when it is told to.
fn send(peer: &Peer) {
    let mut sender = sender("fd:100");
    sender.send(b"one").unwrap();
    peer.say("sent");
    peer.wait_for("go on");
    sender.send(b"two").unwrap();
}

/// Receives two messages, and then the end if there is one.
fn receive(peer: &Peer) {
    let mut receiver = receiver("fd:100");
    say(peer, &receiver.receive().unwrap());
    say(peer, &receiver.receive().unwrap());
    if receiver.capabilities().sees_end {
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
        peer.say("the end");
    }
}

/// Sends back what it receives, in capitals, until it is told to stop or the other side has gone.
fn answer(peer: &Peer) {
    let mut duplex = Duplex::open(&address("fd:100")).unwrap();
    loop {
        match duplex.receive() {
            Ok(message) if message.bytes() == b"stop" => break,
            Ok(message) => duplex.send(&message.bytes().to_ascii_uppercase()).unwrap(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PeerGone);
                break;
            }
        }
    }
    peer.say("the end");
}

#[test]
fn a_pipe() {
    let test = test!();
    test.role("send", send);
    test.role("receive", receive);
    let (read, write) = std::io::pipe().unwrap();
    let mut sending = child(&test, "send", write);
    let mut receiving = child(&test, "receive", read);
    sending.expect("sent");
    receiving.expect("one");
    sending.tell("go on");
    sending.succeed();
    receiving.expect("two");
    receiving.expect("the end");
    receiving.succeed();
}

#[test]
fn the_wrong_end() {
    let test = test!();
    test.role("wrong sender", |_| no_sender("fd:100", ErrorKind::InvalidInput, &["for reading only"]));
    test.role("wrong receiver", |_| no_receiver("fd:100", ErrorKind::InvalidInput, &["for writing only"]));
    test.role("duplex", |_| {
        refusal(Duplex::open(&address("fd:100")), ErrorKind::Unsupported, &["one direction"]);
    });
    let (read, write) = std::io::pipe().unwrap();
    child(&test, "wrong sender", read).succeed();
    child(&test, "wrong receiver", write.try_clone().unwrap()).succeed();
    child(&test, "duplex", write).succeed();
}

#[test]
fn stream_sockets() {
    let test = test!();
    test.role("answer", answer);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (unix, other) = UnixStream::pair().unwrap();
    let pairs: [(OwnedFd, OwnedFd); 2] =
        [(tcp.into(), listener.accept().unwrap().0.into()), (unix.into(), other.into())];
    test.role("ask", |peer| {
        let mut duplex = Duplex::open(&address("fd:100")).unwrap();
        duplex.send(b"ping").unwrap();
        say(peer, &duplex.receive().unwrap());
        // The other side has this socket's description too: the end comes when all have closed it.
        let (sender, mut receiver) = duplex.split();
        sender.close(Wait::forever()).unwrap();
        assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
    });
    for (ours, theirs) in pairs {
        let mut answering = child(&test, "answer", theirs);
        let mut asking = child(&test, "ask", ours);
        asking.expect("PING");
        asking.succeed();
        answering.expect("the end");
        answering.succeed();
    }
}

#[test]
fn a_seqpacket_socket() {
    let test = test!();
    test.role("answer", answer);
    let (ours, theirs) = Seqpacket::pair().unwrap();
    let mut answering = child(&test, "answer", theirs);
    let mut buffer = [0; 16];
    for message in [b"ping".as_slice(), b""] {
        ours.send(message).unwrap();
        let len = ours.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(buffer[..len], message.to_ascii_uppercase());
    }
    drop(ours);
    answering.expect("the end");
    answering.succeed();
}

/// One process after the other uses the same connection: none of them ends it.
#[test]
fn a_shared_connection_stays() {
    let test = test!();
    test.role("send one", |_| sender("fd:100").send(b"one").unwrap());
    let (ours, theirs) = Seqpacket::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let mut buffer = [0; 16];
    for _ in 0..2 {
        child(&test, "send one", theirs.try_clone().unwrap()).succeed();
        assert_eq!(ours.receive(&mut buffer).unwrap(), Some(3));
    }
    drop(theirs);
    assert_eq!(ours.receive(&mut buffer).unwrap(), None);
}

#[test]
fn datagram_sockets() {
    let test = test!();
    test.role("answer", answer);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut answering = child(&test, "answer", theirs);
    let mut buffer = [0; 16];
    ours.send(b"ping").unwrap();
    assert_eq!(ours.recv(&mut buffer).unwrap(), 4);
    ours.send(b"stop").unwrap();
    answering.expect("the end");
    answering.succeed();

    let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    let mut answering = child(&test, "answer", theirs);
    ours.send(b"ping").unwrap();
    assert_eq!(ours.recv(&mut buffer).unwrap(), 4);
    ours.send(b"stop").unwrap();
    answering.expect("the end");
    answering.succeed();
}

#[test]
fn datagram_sockets_without_a_peer() {
    let test = test!();
    test.role("wrong sender", |_| no_sender("fd:100", ErrorKind::NoPeer, &["not connected"]));
    test.role("duplex", |_| {
        refusal(Duplex::open(&address("fd:100")), ErrorKind::NoPeer, &["not connected"]);
    });
    test.role("receive", |peer| {
        let message = receiver("fd:100").receive().unwrap();
        assert!(message.source().is_some());
        say(peer, &message);
    });
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unix = UnixDatagram::unbound().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"to whoever has it", udp.local_addr().unwrap()).unwrap();
    for socket in [OwnedFd::from(udp.try_clone().unwrap()), unix.into()] {
        child(&test, "wrong sender", socket.try_clone().unwrap()).succeed();
        child(&test, "duplex", socket).succeed();
    }
    let mut receiving = child(&test, "receive", udp);
    receiving.expect("to whoever has it");
    receiving.succeed();
}

#[test]
fn listening_sockets() {
    let test = test!();
    test.role("accept", |peer| {
        let listener = Listener::open(&address("fd:100")).unwrap();
        for _ in 0..2 {
            say(peer, &listener.accept().unwrap().receive().unwrap());
        }
    });
    test.role("gather", |peer| {
        let mut receiver = receiver("fd:100");
        for _ in 0..2 {
            say(peer, &receiver.receive().unwrap());
        }
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    });
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_address = format!("tcp:{}", tcp.local_addr().unwrap());
    let unix = UnixListener::bind(path("unix")).unwrap();
    let seqpacket =
        SeqpacketListener::bind(&twixt_os::unix::Address::path(path("seqpacket")).unwrap()).unwrap();
    let listeners: [(OwnedFd, String); 3] = [
        (tcp.into(), tcp_address),
        (unix.into(), format!("unix:{}", path("unix").display())),
        (seqpacket.into(), format!("unix-seqpacket:{}", path("seqpacket").display())),
    ];
    for (listener, text) in listeners {
        for role in ["accept", "gather"] {
            let mut accepting = child(&test, role, listener.try_clone().unwrap());
            let (mut one, mut two) = (sender(&text), sender(&text));
            one.send(b"from the first").unwrap();
            accepting.expect("from the first");
            two.send(b"from the second").unwrap();
            accepting.expect("from the second");
            drop((one, two));
            accepting.succeed();
        }
    }
    assert!(path("unix").exists(), "who was passed a socket removes no path");
}

#[test]
fn an_eventfd() {
    let test = test!();
    test.role("take", |peer| {
        let mut receiver = receiver("fd:100");
        assert!(matches!(receiver.capabilities().content, Content::Number { adds_up: true, .. }));
        say(peer, &receiver.receive().unwrap());
    });
    test.role("add", |_| sender("fd:100").send(b"5").unwrap());
    test.role("both", |_| {
        refusal(Duplex::open(&address("fd:100")), ErrorKind::Unsupported, &["to send or to receive"]);
    });
    let counter = EventFd::create(3).unwrap();
    let copy = || counter.as_fd().try_clone_to_owned().unwrap();
    let mut taking = child(&test, "take", copy());
    taking.expect("3");
    taking.succeed();
    child(&test, "add", copy()).succeed();
    assert_eq!(counter.try_read().unwrap(), 5);
    child(&test, "both", copy()).succeed();
}

#[test]
fn a_posix_queue() {
    let test = test!();
    test.role("send", send);
    test.role("receive", receive);
    test.role("wrong sender", |_| no_sender("fd:100", ErrorKind::InvalidInput, &["for reading only"]));
    let name = format!("/{}", unique_name());
    let _cleanup = defer(|| drop(mq::unlink(&name)));
    let read = Queue::create(&name, Access::Read, None, Mode::OWNER).unwrap();
    let write = Queue::open(&name, Access::Write).unwrap();
    write.send(b"one", Priority::LOWEST).unwrap();
    let mut receiving = child(&test, "receive", read.as_fd().try_clone_to_owned().unwrap());
    receiving.expect("one");
    let mut sending = child(&test, "send", write);
    sending.expect("sent");
    receiving.expect("one");
    receiving.succeed();
    sending.tell("go on");
    sending.succeed();
    child(&test, "wrong sender", read).succeed();
}

#[test]
fn a_regular_file() {
    let test = test!();
    test.role("send", send);
    test.role("receive", receive);
    let directory = scratch();
    let path = directory.path().join("log");
    std::fs::write(&path, "zero\n").unwrap();
    let mut sending = child(&test, "send", File::options().append(true).open(&path).unwrap());
    sending.expect("sent");
    let mut receiving = child(&test, "receive", File::open(&path).unwrap());
    receiving.expect("zero");
    receiving.expect("one");
    receiving.succeed();
    sending.tell("go on");
    sending.succeed();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "zero\none\ntwo\n");
}

#[test]
fn what_carries_no_messages_is_refused() {
    let test = test!();
    test.role("refused", |peer| {
        no_sender("fd:100", ErrorKind::Unsupported, &[&peer.arg(0)]);
    });
    let refused = |descriptor: OwnedFd, what: &str| {
        test.child("refused").arg(what).descriptor(descriptor, NUMBER).spawn().succeed();
    };
    refused(File::open("/").unwrap().into(), "a directory");
    let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
    refused(epoll, "a pipe, socket, file, queue, terminal or eventfd");
}

#[test]
fn what_is_not_there_or_not_inherited_is_refused() {
    let _test = test!();
    no_sender("fd:2147483647", ErrorKind::InvalidInput, &["cannot take over descriptor", "inherited"]);
    // This process opened it itself, and somebody else here owns it.
    let own = File::open("/dev/null").unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&own);
    no_receiver(&format!("fd:{number}"), ErrorKind::InvalidInput, &["inherited"]);
    assert_eq!(kind(Listener::open(&address("fd:2"))), ErrorKind::InvalidInput);
    assert_eq!(kind(Opening::new(&address("fd:0")).pair()), ErrorKind::Unsupported);
}

#[test]
fn the_standard_streams_are_copied() {
    let test = test!();
    test.role("twice", |peer| {
        for _ in 0..2 {
            let mut receiver: Receiver = receiver("fd:0?framing=len");
            assert_eq!(receiver.capabilities().boundaries, Boundaries::Framed);
            drop(receiver.try_receive());
            let _sender: Sender = sender("fd:1");
        }
        peer.say("still here");
    });
    let mut child = test.child("twice").spawn();
    child.expect("still here");
    child.succeed();
}
