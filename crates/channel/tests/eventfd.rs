//! Channels over event counters.

#[path = "support/channels.rs"]
mod support;

use allocation_counter::measure;
use support::*;
use twixt_channel::{Capabilities, Content, Message, Opening, Receiver, Sender};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::test;

fn pair(text: &str) -> (Sender, Receiver) {
    Opening::new(&address(text)).pair().unwrap()
}

#[test]
fn numbers_add_up() {
    let _test = test!();
    let (mut sender, mut receiver) = pair("eventfd:");
    finds_nothing(&mut receiver);
    sender.send(b"2").unwrap();
    sender.send(b"40").unwrap();
    assert_eq!((sender.len().unwrap(), receiver.len().unwrap()), (Some(42), Some(42)));
    assert_eq!(next(&mut receiver), b"42");
    finds_nothing(&mut receiver);
    sender.send(b"18446744073709551614").unwrap();
    finds_no_room(&mut sender, b"1");
    assert_eq!(next(&mut receiver), b"18446744073709551614");
    assert_eq!(next(&mut pair("eventfd:?value=7").1), b"7");
}

#[test]
fn what_is_no_number_is_refused() {
    let _test = test!();
    let (mut sender, mut receiver) = pair("eventfd:");
    for wrong in
        ["", "0", "-1", "one", "1 ", "1\n", "18446744073709551615", "99999999999999999999", "\u{664}"]
    {
        refusal(sender.send(wrong.as_bytes()), ErrorKind::InvalidInput, &["1 to 18446744073709551614"]);
    }
    refusal(sender.send(b"\xff"), ErrorKind::InvalidInput, &["cannot send to eventfd: a message is"]);
    finds_nothing(&mut receiver);
    let can = Capabilities::of(address("eventfd:").endpoint()).unwrap();
    assert_eq!(can.content, Content::Number { least: 1, most: u64::MAX - 1, adds_up: true });
    assert_eq!(sender.capabilities(), can);
}

#[test]
fn it_has_no_name() {
    let _test = test!();
    no_sender("eventfd:", ErrorKind::Unsupported, &["cannot open eventfd: it has no name", "fd:N"]);
    no_receiver("eventfd:", ErrorKind::Unsupported, &["it has no name"]);
}

#[test]
fn readiness_can_be_polled() {
    let _test = test!();
    let (mut sender, receiver) = pair("eventfd:");
    assert!(Wait::never().until_readable(receiver.readiness().unwrap()).is_err());
    sender.send(b"1").unwrap();
    Wait::never().until_readable(receiver.readiness().unwrap()).unwrap();
    Wait::never().until_writable(sender.readiness().unwrap()).unwrap();
}

#[test]
fn a_thread_wakes_another_through_a_storm() {
    let test = test!();
    test.role("both", |peer| {
        let (mut sender, mut receiver) = pair("eventfd:");
        let interrupted = twixt_testkit::under_storm(peer, || receiver.receive_interruptible());
        assert_eq!(kind(interrupted), ErrorKind::Interrupted);
        std::thread::scope(|scope| {
            let sending = scope.spawn(move || {
                peer.wait_for("send");
                sender.send(b"3").unwrap();
            });
            let received = twixt_testkit::under_storm(peer, || receiver.receive());
            assert_eq!(received.unwrap().bytes(), b"3");
            sending.join().unwrap();
        });
    });
    let mut child = test.child("both").spawn();
    child.expect("stormed");
    child.expect("stormed");
    child.tell("send");
    child.succeed();
}

#[test]
fn a_message_costs_one_call_and_no_allocation() {
    let test = test!();
    test.role("both", |peer| {
        let (mut sender, mut receiver) = pair("eventfd:");
        let mut message = Message::new();
        for _ in 0..peer.arg(0).parse().unwrap() {
            sender.send(b"1").unwrap();
            receiver.receive_into(&mut message).unwrap();
            sender.send_wait(b"2", Wait::never()).unwrap();
            receiver.receive_wait(&mut message, Wait::until(later())).unwrap();
        }
    });
    let (mut sender, mut receiver) = pair("eventfd:");
    let mut message = Message::new();
    let mut round = || {
        sender.send(b"18446744073709551614").unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(kind(receiver.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
    match strace::cost(|rounds| test.child("both").arg(rounds)) {
        Ok(cost) => {
            let reads = cost.iter().filter(|(call, _)| call.contains("read")).map(|(_, count)| count).sum();
            assert_eq!((cost["write"], reads), (2 * ROUNDS, 2 * ROUNDS), "{cost:?}");
        }
        Err(missing) => test.skip(&missing),
    }
}
