//! What the tests of all mechanisms need: opening by text, times, and what went wrong.

#![allow(dead_code, reason = "each test uses its part")]

use std::fmt;
use std::time::Duration;

use twixt_address::Address;
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::{Deadline, Error, ErrorKind, Result, Wait};
use twixt_testkit::Peer;

pub fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn sender(text: &str) -> Sender {
    Sender::open(&address(text)).unwrap()
}

pub fn receiver(text: &str) -> Receiver {
    Receiver::open(&address(text)).unwrap()
}

pub fn past() -> Deadline {
    Deadline::now()
}

/// Long enough for the other process, and short enough for a test that expects it to pass.
pub fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(50))
}

/// Longer than anything takes.
pub fn later() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub fn kind<T: fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// The error, which must be of this kind and say all of this.
#[track_caller]
pub fn refusal<T: fmt::Debug>(result: Result<T>, kind: ErrorKind, words: &[&str]) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    error
}

/// Opening to receive by this text must fail so.
#[track_caller]
pub fn no_receiver(text: &str, kind: ErrorKind, words: &[&str]) {
    refusal(Receiver::open(&address(text)), kind, words);
}

/// Opening to send by this text must fail so.
#[track_caller]
pub fn no_sender(text: &str, kind: ErrorKind, words: &[&str]) {
    refusal(Sender::open(&address(text)), kind, words);
}

/// The next message, which must be there.
#[track_caller]
pub fn next(receiver: &mut Receiver) -> Vec<u8> {
    receiver.try_receive().unwrap().into_bytes()
}

/// Fills it without waiting, with messages of one length, and says how many went in.
pub fn fill(sender: &mut Sender, message: &[u8]) -> usize {
    let mut count = 0;
    loop {
        match sender.try_send(message) {
            Ok(()) => count += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

/// All ways not to wait for ever for a message that does not come.
pub fn finds_nothing(receiver: &mut Receiver) {
    assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
    assert_eq!(kind(receiver.receive_deadline(past())), ErrorKind::TimedOut);
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
}

/// All ways not to wait for ever for room that does not come.
pub fn finds_no_room(sender: &mut Sender, message: &[u8]) {
    assert_eq!(kind(sender.try_send(message)), ErrorKind::WouldBlock);
    assert_eq!(kind(sender.send_deadline(message, past())), ErrorKind::TimedOut);
    assert_eq!(kind(sender.send_deadline(message, soon())), ErrorKind::TimedOut);
}

/// Receives through a storm of signals: first interruptibly, then not.
pub fn receives_through_storm(peer: &Peer, receiver: &mut Receiver) {
    let interrupted = twixt_testkit::under_storm(peer, || receiver.receive_interruptible());
    assert_eq!(kind(interrupted), ErrorKind::Interrupted);
    let mut message = Message::new();
    twixt_testkit::under_storm(peer, || receiver.receive_wait(&mut message, Wait::forever())).unwrap();
    assert_eq!(message.bytes(), b"after the storm");
}

/// Sends through a storm of signals to what is full: first interruptibly, then not.
pub fn sends_through_storm(peer: &Peer, sender: &mut Sender, message: &[u8]) {
    let interrupted = twixt_testkit::under_storm(peer, || sender.send_interruptible(message));
    assert_eq!(kind(interrupted), ErrorKind::Interrupted);
    twixt_testkit::under_storm(peer, || sender.send(message)).unwrap();
}
