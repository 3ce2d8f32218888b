//! Ends and deadlines: in the middle of a message, between messages, and what may come after.

use std::time::Duration;

use twixt_address::{Address, Options};
use twixt_channel::framing::encode;
use twixt_channel::{Duplex, Framing, Listener, Message, Opening, Receiver, Sender};
use twixt_os::fifo::Fifo;
use twixt_os::{Deadline, ErrorKind, Mode, Wait};
use twixt_testkit::{call, scratch, test, under_storm, unique_name};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

fn pipe() -> (Sender, Receiver) {
    Opening::new(&address("pipe:")).pair().unwrap()
}

fn connection(scheme: &str) -> (Duplex, Duplex) {
    let listener = match scheme {
        "unix" => Listener::open(&address(&format!("unix:@{}", unique_name()))),
        // Else the kernel changes the buffers as it sees fit.
        _ => Listener::open(&address("tcp:127.0.0.1:0?capacity=64k")),
    };
    let listener = listener.unwrap();
    let options =
        if scheme == "tcp" { Options::new().with_capacity(65_536).unwrap() } else { Options::new() };
    let at = Address::new(listener.address().unwrap(), options).unwrap();
    let client = Duplex::open(&at).unwrap();
    (client, listener.accept().unwrap())
}

fn kind<T: std::fmt::Debug>(outcome: twixt_os::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

/// A frame of so many bytes.
fn frame(len: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    encode(Framing::Frame, &vec![b'x'; len], &mut stream).unwrap();
    stream
}

#[test]
fn a_deadline_in_mid_message_keeps_the_rest() {
    let long = vec![7; 300_000];
    let (client, server) = connection("unix");
    let (tcp_client, tcp_server) = connection("tcp");
    let (pipe_sender, pipe_receiver) = pipe();
    let (unix_sender, unix_receiver) = (client.split().0, server.split().1);
    let (tcp_sender, tcp_receiver) = (tcp_client.split().0, tcp_server.split().1);
    for (mut sender, mut receiver) in
        [(pipe_sender, pipe_receiver), (unix_sender, unix_receiver), (tcp_sender, tcp_receiver)]
    {
        // Buffers differ: some messages go whole, then one goes in part, and then none.
        let mut accepted = 0;
        let refused = loop {
            match sender.send_deadline(&long, soon()) {
                Ok(()) => accepted += 1,
                refused => break kind(refused),
            }
        };
        assert_eq!(refused, ErrorKind::TimedOut, "the rest of the one before goes first");
        assert!(accepted > 0 && sender.holds_back());
        assert!(sender.stream().is_none());
        assert_eq!(kind(sender.try_send(b"next")), ErrorKind::WouldBlock);
        assert_eq!(kind(sender.flush(Wait::never())), ErrorKind::WouldBlock);
        assert!(sender.len().unwrap().unwrap() > 0);
        let receiving = std::thread::spawn(move || {
            for _ in 0..accepted {
                assert!(receiver.receive().unwrap().bytes() == vec![7; 300_000]);
            }
            assert_eq!(receiver.receive().unwrap().bytes(), b"next");
            assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
        });
        sender.send(b"next").unwrap();
        assert!(!sender.holds_back());
        sender.close(Wait::forever()).unwrap();
        receiving.join().unwrap();
    }
}

#[test]
fn a_deadline_in_mid_message_loses_nothing_of_what_arrived() {
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let mut receiver = Receiver::open(&address(&format!("fifo:{}", path.display()))).unwrap();
    let writer = fifo.open_write().unwrap();
    // One message in the buffer, and one that is longer than it.
    for len in [5, 200_000] {
        let stream = frame(len);
        for piece in stream.chunks(stream.len().div_ceil(7)) {
            assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
            assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
            assert!(!receiver.has_buffered());
            writer.write_all(piece).unwrap();
        }
        assert_eq!(receiver.receive().unwrap().len(), len);
    }
}

#[test]
fn an_end_in_mid_message_says_what_is_missing() {
    let directory = scratch();
    let path = directory.path().join("fifo");
    let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
    let mut receiver = Receiver::open(&address(&format!("fifo:{}", path.display()))).unwrap();
    let writer = fifo.open_write().unwrap();
    writer.write_all(&frame(3)).unwrap();
    writer.write_all(&frame(10)[..18]).unwrap();
    drop(writer);
    assert_eq!(receiver.receive().unwrap().len(), 3);
    let error = receiver.receive().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("4 of its 10 bytes were cut off"), "{error}");
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
}

#[test]
fn a_peer_killed_in_mid_message_is_told_from_one_that_ended() {
    let test = test!();
    test.role("dies", |peer| {
        let mut sender = Sender::open(&address(&peer.arg(0))).unwrap();
        sender.send(b"whole").unwrap();
        let long = vec![0; 1 << 20];
        peer.say("sending");
        sender.send(&long).unwrap();
    });
    let directory = scratch();
    for at in [
        format!("fifo:{}?create", directory.path().join("fifo").display()),
        format!("unix:{}", directory.path().join("socket").display()),
    ] {
        let mut receiver = Receiver::open(&address(&at)).unwrap();
        let mut child = test.child("dies").arg(&at).spawn();
        child.expect("sending");
        let blocked = [call::WRITING, call::SENDING].concat();
        child.wait_until_blocked_in(&blocked);
        child.kill();
        assert_eq!(receiver.receive().unwrap().bytes(), b"whole");
        let error = receiver.receive().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    }
}

#[test]
fn a_receiver_that_goes_is_noticed() {
    let (mut sender, receiver) = pipe();
    drop(receiver);
    assert_eq!(kind(sender.send(b"to nobody")), ErrorKind::PeerGone);

    for scheme in ["unix", "tcp"] {
        let (mut client, server) = connection(scheme);
        client.send(b"unread").unwrap();
        drop(server);
        // TCP hears of it after the first packet that nobody wants.
        let error = loop {
            if let Err(error) = client.send(b"to nobody") {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{scheme}");
        assert_eq!(kind(client.receive()), ErrorKind::PeerGone, "{scheme}");
    }
}

#[test]
fn one_direction_ends_without_the_other() {
    for scheme in ["unix", "tcp"] {
        let (client, mut server) = connection(scheme);
        let (mut sender, mut receiver) = client.split();
        sender.send(b"question").unwrap();
        drop(sender);
        assert_eq!(server.receive().unwrap().bytes(), b"question");
        assert_eq!(kind(server.receive()), ErrorKind::PeerGone);
        server.send(b"answer").unwrap();
        server.sender().flush(Wait::forever()).unwrap();
        drop(server);
        assert_eq!(receiver.receive().unwrap().bytes(), b"answer");
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    }
}

#[test]
fn a_fifo_is_read_again_when_another_writer_comes() {
    let directory = scratch();
    let at = address(&format!("fifo:{}?create", directory.path().join("fifo").display()));
    let mut receiver = Receiver::open(&at).unwrap();
    assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock, "nobody has come yet");
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
    for round in 0..3_u8 {
        let mut sender = Sender::open(&at).unwrap();
        assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
        sender.send(&[round]).unwrap();
        drop(sender);
        assert_eq!(receiver.receive().unwrap().bytes(), [round]);
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone, "the end is told");
        assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock, "once");
        assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
        let readiness = receiver.readiness().unwrap();
        assert!(Wait::never().until_readable(readiness).is_err(), "there is nothing to wake up for");
    }
}

#[test]
fn a_damaged_fifo_recovers_with_the_next_writers() {
    let directory = scratch();
    let path = directory.path().join("fifo");
    let at = address(&format!("fifo:{}?create", path.display()));
    let mut receiver = Receiver::open(&at).unwrap();
    let writer = Fifo::open(&path).unwrap().open_write().unwrap();
    writer.write_all(b"this is no frame at all\n").unwrap();
    assert_eq!(kind(receiver.receive()), ErrorKind::Malformed);
    writer.write_all(&frame(5)).unwrap();
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut, "it is not believed any more");
    drop(writer);
    let mut message = Message::new();
    assert_eq!(kind(receiver.receive_into(&mut message)), ErrorKind::PeerGone);
    assert!(message.is_empty());
    Sender::open(&at).unwrap().send(b"sound").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"sound");
}

#[test]
fn a_trickle_does_not_outlast_the_deadline() {
    let directory = scratch();
    let path = directory.path().join("fifo");
    let at = address(&format!("fifo:{}?create", path.display()));
    let mut receiver = Receiver::open(&at).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = Fifo::open(&path).unwrap().open_write().unwrap();
            writer.write_all(&frame(60_000_000)[..12]).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                writer.write_all(b"x").unwrap();
            }
        });
        assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn missing_objects_are_named_with_what_to_do() {
    let error = Receiver::open(&address("fifo:/nonexistent/twixt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("?create"), "{error}");
    let nobody = format!("unix:@{}", unique_name());
    assert_eq!(kind(Sender::open(&address(&nobody))), ErrorKind::NoPeer);
    assert_eq!(kind(Sender::open(&address("pipe:"))), ErrorKind::Unsupported);

    let directory = scratch();
    let path = directory.path().join("fifo");
    let error = Receiver::open(&address(&format!("fifo:{}?mode=0600", path.display()))).unwrap_err();
    assert!(error.to_string().contains("option mode"), "{error}");
    let error = Sender::open(&address(&format!("unix:{}?mode=0600", path.display()))).unwrap_err();
    assert!(error.to_string().contains("option mode"), "{error}");
    let fifo = address(&format!("fifo:{}?create&timeout=10ms", path.display()));
    assert_eq!(kind(Sender::open(&fifo)), ErrorKind::TimedOut, "nobody reads it");
    assert_eq!(kind(Opening::new(&fifo).wait(Wait::never()).sender()), ErrorKind::NoPeer);
}

/// The number that is asked for is the number that there is, or an error says which limit is in the way.
#[test]
fn a_connection_has_the_capacity_that_was_asked_for() {
    let bytes = |count| Some(twixt_channel::Capacity::Bytes(count));
    for at in [format!("unix:@{}", unique_name()), "tcp:127.0.0.1:0".to_owned()] {
        let listener = Listener::open(&address(&format!("{at}?capacity=20000"))).unwrap();
        let at = listener.address().unwrap();
        let sender = Sender::open(&address(&format!("{at}?capacity=30000"))).unwrap();
        assert_eq!(sender.capacity().unwrap(), bytes(30_000), "{at}");
        let (accepted, receiver) = listener.accept().unwrap().split();
        assert_eq!(accepted.capacity().unwrap(), bytes(20_000), "{at}");
        if matches!(at, twixt_address::Endpoint::Tcp(_)) {
            assert_eq!(receiver.capacity().unwrap(), bytes(20_000));
        }

        for (number, limit) in [(1_u64 << 31, "net.core.wmem_max"), (1 << 40, "net.core.wmem_max")] {
            let error = Sender::open(&address(&format!("{at}?capacity={number}"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            assert_eq!(error.limit().map(|limit| limit.name), Some(limit), "{error}");
        }
    }
    let error = Receiver::open(&address(&format!("unix:@{}?capacity=4k", unique_name()))).unwrap_err();
    assert!(error.to_string().contains("option capacity"), "{error}");
}

#[test]
fn capacity_and_length_are_the_kernels() {
    let (mut sender, receiver) = Opening::new(&address("pipe:?capacity=8192")).pair().unwrap();
    assert_eq!(sender.capacity().unwrap(), Some(twixt_channel::Capacity::Bytes(8192)));
    sender.send(b"hello").unwrap();
    assert_eq!((sender.len().unwrap(), receiver.len().unwrap()), (Some(17), Some(17)));

    for scheme in ["unix", "tcp"] {
        let (mut client, mut server) = connection(scheme);
        client.send(b"one").unwrap();
        client.send(b"two").unwrap();
        Wait::forever().until_readable(server.receiver().readiness().unwrap()).unwrap();
        assert_eq!(server.receive().unwrap().bytes(), b"one");
        assert!(server.receiver().len().unwrap() >= Some(0));
        assert_eq!(server.receive().unwrap().bytes(), b"two");
        assert_eq!(server.receiver().len().unwrap(), Some(0), "{scheme}");
        assert!(client.sender().capacity().unwrap().is_some());
    }
}

#[test]
fn signals_are_waited_out_or_end_the_wait() {
    let test = test!();
    test.role("receives", |peer| {
        let mut receiver = Receiver::open(&address(&peer.arg(0))).unwrap();
        let message = under_storm(peer, || receiver.receive().unwrap());
        assert_eq!(message.bytes(), b"at last");
        let outcome = under_storm(peer, || receiver.receive_interruptible());
        assert_eq!(kind(outcome), ErrorKind::Interrupted);
        peer.say("interrupted");
    });
    let directory = scratch();
    for at in [
        format!("fifo:{}?create", directory.path().join("fifo").display()),
        format!("unix:{}", directory.path().join("socket").display()),
    ] {
        let mut child = test.child("receives").arg(&at).spawn();
        child.expect("stormed");
        let mut sender = Sender::open(&address(&at)).unwrap();
        sender.send(b"at last").unwrap();
        let mut said = [child.hear(), child.hear()];
        said.sort();
        assert_eq!(said, ["interrupted", "stormed"]);
        child.succeed();
    }
}

#[test]
fn a_storm_in_mid_message_changes_nothing() {
    let test = test!();
    test.role("sends", |peer| {
        let mut sender = Sender::open(&address(&peer.arg(0))).unwrap();
        let long: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
        under_storm(peer, || sender.send(&long)).unwrap();
        sender.close(Wait::forever()).unwrap();
    });
    let directory = scratch();
    for at in [
        format!("fifo:{}?create", directory.path().join("fifo").display()),
        format!("unix:{}", directory.path().join("socket").display()),
    ] {
        let mut receiver = Receiver::open(&address(&at)).unwrap();
        let mut child = test.child("sends").arg(&at).spawn();
        child.expect("stormed");
        let message = receiver.receive().unwrap();
        assert!(message.bytes().iter().enumerate().all(|(at, &byte)| byte == at as u8));
        assert_eq!(message.len(), 3_000_000);
        child.succeed();
    }
}

#[test]
fn an_interrupted_long_send_is_accepted_or_not_begun() {
    let test = test!();
    test.role("sends", |peer| {
        let mut sender = Sender::open(&address(&peer.arg(0))).unwrap();
        let long = vec![7; 300_000];
        under_storm(peer, || sender.send_interruptible(&long)).unwrap();
        assert!(sender.holds_back(), "nobody reads it, so it cannot have gone");
        assert_eq!(kind(under_storm(peer, || sender.send_interruptible(b"more"))), ErrorKind::Interrupted);
        peer.say("interrupted");
        sender.close(Wait::forever()).unwrap();
    });
    let directory = scratch();
    let at = format!("fifo:{}?create", directory.path().join("fifo").display());
    let mut receiver = Receiver::open(&address(&at)).unwrap();
    let mut child = test.child("sends").arg(&at).spawn();
    while child.hear() != "interrupted" {}
    assert!(receiver.receive().unwrap().bytes() == vec![7; 300_000]);
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    child.succeed();
}
