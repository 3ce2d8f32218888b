//! The System V message queue pair, as its users run it.

use std::process::Command;

use twixt::os::ErrorKind;
use twixt::os::sysv::Key;
use twixt::os::sysv::msg::Queue;
use twixt_testkit::{Child, defer, test, unique_key};

const SENDER: &str = env!("CARGO_BIN_EXE_sysv-msg-sender");
const RECEIVER: &str = env!("CARGO_BIN_EXE_sysv-msg-receiver");

fn talk(order: [&str; 2]) {
    let key = Key::new(unique_key()).unwrap();
    let _cleaned = defer(move || drop(Queue::open(key).map(|queue| queue.remove())));
    let mut children = order.map(|program| Child::program(program, &[key.to_string()]));
    for (program, child) in order.into_iter().zip(&mut children) {
        let said = String::from_utf8(child.rest()).unwrap();
        let round = if program == SENDER {
            "Sender: sent ping\nSender: received pong\n"
        } else {
            "Receiver: received ping\nReceiver: sent pong\n"
        };
        assert_eq!(said, round.repeat(100));
    }
    children.into_iter().for_each(Child::succeed);
    assert_eq!(Queue::open(key).unwrap_err().kind(), ErrorKind::NotFound, "the receiver removes the queue");
}

#[test]
fn the_receiver_may_start_first() {
    let _test = test!();
    talk([RECEIVER, SENDER]);
}

#[test]
fn the_sender_may_start_first() {
    let _test = test!();
    talk([SENDER, RECEIVER]);
}

#[test]
fn a_key_that_is_none_is_an_error() {
    let _test = test!();
    let output = Command::new(SENDER).arg("4294967296").output().unwrap();
    assert!(!output.status.success());
}
