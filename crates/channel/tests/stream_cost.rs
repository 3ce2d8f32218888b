//! What the layer costs: no system call beyond the mechanism's own, and no allocation.

use std::time::Duration;

use twixt_address::{Address, Options};
use twixt_channel::{Framing, Listener, Message, Opening, Receiver, Sender};
use twixt_os::{Deadline, Wait};
use twixt_testkit::strace::{ROUNDS, cost, expected};
use twixt_testkit::{Test, test, unique_name};

/// The two ends of one of each mechanism.
fn ends(mechanism: &str, framing: Framing) -> (Sender, Receiver) {
    let scratch = twixt_testkit::scratch();
    let address = match mechanism {
        "pipe" => return Opening::new(&"pipe:".parse().unwrap()).framing(framing).pair().unwrap(),
        "fifo" => {
            let address = format!("fifo:{}?create", scratch.path().join("fifo").display());
            let opening = Opening::new(&address.parse().unwrap()).framing(framing);
            let receiver = opening.receiver().unwrap();
            return (opening.sender().unwrap(), receiver);
        }
        "unix" => format!("unix:@{}", unique_name()),
        _ => "tcp:127.0.0.1:0".to_owned(),
    };
    let listener: Listener = Opening::new(&address.parse().unwrap()).framing(framing).listener().unwrap();
    let address = Address::new(listener.address().unwrap(), Options::new()).unwrap();
    let client = Opening::new(&address).framing(framing).duplex().unwrap();
    let server = listener.accept().unwrap();
    // The other halves live as long as the process.
    let (sender, unused) = client.split();
    std::mem::forget(unused);
    let (unused, receiver) = server.split();
    std::mem::forget(unused);
    (sender, receiver)
}

fn rounds(mechanism: &str, framing: Framing, form: &str, len: usize, count: u64) {
    let (mut sender, mut receiver) = ends(mechanism, framing);
    let (bytes, mut message) = (vec![b'x'; len], Message::new());
    let mut round = || {
        match form {
            "block" => sender.send(&bytes).unwrap(),
            "try" => sender.try_send(&bytes).unwrap(),
            _ => sender.send_deadline(&bytes, Deadline::after(Duration::from_secs(60))).unwrap(),
        }
        let wait = match form {
            "try" => Wait::never(),
            "block" => Wait::forever(),
            _ => Wait::until(Deadline::after(Duration::from_secs(60))),
        };
        receiver.receive_wait(&mut message, wait).unwrap();
        assert_eq!(message.len(), len);
    };
    round();
    (0..count).for_each(|_| round());
}

#[test]
fn a_message_is_one_call_to_send_and_one_to_receive() {
    let test = test!();
    test.role("rounds", |peer| {
        let framing = peer.arg(1).parse().unwrap();
        rounds(&peer.arg(0), framing, &peer.arg(2), 100, peer.arg(3).parse().unwrap());
    });
    for (mechanism, framing, form, calls) in [
        ("pipe", "frame", "block", ["pwritev2", "read"]),
        ("pipe", "raw", "block", ["pwritev2", "read"]),
        ("fifo", "lines", "block", ["pwritev2", "read"]),
        ("unix", "frame", "block", ["sendto", "recvmsg"]),
        ("unix", "frame", "try", ["sendto", "recvmsg"]),
        ("unix", "frame", "deadline", ["sendto", "recvmsg"]),
        ("unix", "lines", "block", ["sendto", "recvfrom"]),
        ("tcp", "frame", "block", ["sendto", "recvfrom"]),
        ("tcp", "raw", "deadline", ["sendto", "recvfrom"]),
    ] {
        let role = |count| test.child("rounds").arg(mechanism).arg(framing).arg(form).arg(count);
        let each = calls.map(|call| (call, ROUNDS));
        match cost(role) {
            Ok(calls) => assert_eq!(calls, expected(&each), "{mechanism} {framing} {form}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_long_message_is_one_call_to_send_too() {
    let test = test!();
    test.role("sends", |peer| {
        let (mut sender, mut receiver) = ends(&peer.arg(0), Framing::Frame);
        let receiving = std::thread::spawn(move || {
            let mut message = Message::new();
            while receiver.receive_into(&mut message).is_ok() {}
        });
        let bytes = vec![b'x'; 150_000];
        (0..peer.arg(1).parse().unwrap()).for_each(|_| sender.send(&bytes).unwrap());
        drop(sender);
        receiving.join().unwrap();
    });
    for (mechanism, call) in
        [("pipe", "pwritev2"), ("fifo", "pwritev2"), ("unix", "sendmsg"), ("tcp", "sendmsg")]
    {
        match cost(|count| test.child("sends").arg(mechanism).arg(count)) {
            Ok(calls) => assert_eq!(calls.get(call), Some(&ROUNDS), "{mechanism}: {calls:?}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn one_read_takes_all_that_has_arrived() {
    let test = test!();
    test.role("batches", |peer| {
        let (mut sender, mut receiver) = ends(&peer.arg(0), Framing::Frame);
        let mut message = Message::new();
        for _ in 0..peer.arg(1).parse().unwrap() {
            (0..10).for_each(|_| sender.send(b"one of ten").unwrap());
            (0..10).for_each(|_| receiver.receive_into(&mut message).unwrap());
            assert!(!receiver.has_buffered());
        }
    });
    for (mechanism, calls) in [
        ("pipe", [("pwritev2", 10 * ROUNDS), ("read", ROUNDS)]),
        ("unix", [("sendto", 10 * ROUNDS), ("recvmsg", ROUNDS)]),
    ] {
        match cost(|count| test.child("batches").arg(mechanism).arg(count)) {
            Ok(more) => assert_eq!(more, expected(&calls), "{mechanism}"),
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_mailbox_of_connections_costs_no_more_than_an_event_loop() {
    let test = test!();
    test.role("streams", |peer| {
        let address: Address = format!("unix:@{}", unique_name()).parse().unwrap();
        let mut receiver = Receiver::open(&address).unwrap();
        let mut sender = Sender::open(&address).unwrap();
        let mut message = Message::new();
        for _ in 0..peer.arg(0).parse().unwrap() {
            sender.send(b"there already").unwrap();
            receiver.receive_into(&mut message).unwrap();
        }
    });
    test.role("takes turns", |peer| {
        let address: Address = format!("unix:@{}", unique_name()).parse().unwrap();
        let mut receiver = Receiver::open(&address).unwrap();
        let mut sender = Sender::open(&address).unwrap();
        let (back, forth) = twixt_os::pipe::create().unwrap();
        let count = peer.arg(0).parse().unwrap();
        let receiving = std::thread::spawn(move || {
            let mut message = Message::new();
            for _ in 0..count {
                receiver.receive_into(&mut message).unwrap();
                forth.write(b"!").unwrap();
            }
        });
        for _ in 0..count {
            // It waits already.
            std::thread::sleep(Duration::from_millis(1));
            sender.send(b"turn").unwrap();
            back.read(&mut [0]).unwrap();
        }
        receiving.join().unwrap();
    });
    match cost(|count| test.child("streams").arg(count)) {
        Ok(calls) => assert_eq!(calls, expected(&[("sendto", ROUNDS), ("recvmsg", ROUNDS)])),
        Err(missing) => return test.skip(&missing),
    }
    match cost(|count| test.child("takes turns").arg(count)) {
        Ok(calls) => {
            // Now and then it looks whether there is more at once.
            let few = ROUNDS + ROUNDS / 5;
            let waits: u64 =
                calls.iter().filter(|(call, _)| call.contains("epoll")).map(|(_, count)| count).sum();
            assert!(calls["recvmsg"] <= few && waits <= few, "{calls:?}");
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn nothing_is_allocated_for_a_message() {
    let _test: Test = test!();
    for mechanism in ["pipe", "fifo", "unix", "tcp"] {
        for framing in Framing::ALL {
            for len in [100, 40_000] {
                let (mut sender, mut receiver) = ends(mechanism, framing);
                let (bytes, mut message) = (vec![b'x'; len], Message::new());
                let mut round = || {
                    sender.send(&bytes).unwrap();
                    let mut received = 0;
                    // TCP may bring a raw message in parts.
                    while received < len {
                        receiver.receive_into(&mut message).unwrap();
                        received += message.len();
                    }
                };
                (0..3).for_each(|_| round());
                let used = allocation_counter::measure(|| (0..50).for_each(|_| round()));
                assert_eq!(used.count_total, 0, "{mechanism} {framing} {len}");
            }
        }
    }
}

#[test]
fn nothing_is_allocated_for_a_long_message_either() {
    let _test: Test = test!();
    for framing in [Framing::Frame, Framing::Len] {
        let (mut sender, mut receiver) = ends("unix", framing);
        const COUNT: usize = 20;
        let sending = std::thread::spawn(move || {
            let bytes = vec![b'x'; 1 << 20];
            (0..COUNT).for_each(|_| sender.send(&bytes).unwrap());
        });
        let mut message = Message::new();
        // The room that grows is that of two messages, which are exchanged.
        (0..2).for_each(|_| receiver.receive_into(&mut message).unwrap());
        let used = allocation_counter::measure(|| {
            (2..COUNT).for_each(|_| receiver.receive_into(&mut message).unwrap());
        });
        assert_eq!(used.count_total, 0);
        assert_eq!(message.len(), 1 << 20);
        sending.join().unwrap();
    }
}
