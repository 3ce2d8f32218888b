//! The System V semaphore pair, as its users run it.

use std::process::Command;

use twixt::os::ErrorKind;
use twixt::os::sysv::Key;
use twixt::os::sysv::sem::Set;
use twixt_testkit::{Child, defer, test, unique_key};

const SENDER: &str = env!("CARGO_BIN_EXE_sysv-sem-sender");
const RECEIVER: &str = env!("CARGO_BIN_EXE_sysv-sem-receiver");

fn talk(order: [&str; 2]) {
    let key = Key::new(unique_key()).unwrap();
    let _cleaned = defer(move || drop(Set::open(key).map(|set| set.remove())));
    let mut children = order.map(|program| {
        let mut command = Command::new(program);
        command.arg(key.to_string());
        Child::start(command)
    });
    for (program, child) in order.into_iter().zip(&mut children) {
        let said = String::from_utf8(child.rest()).unwrap();
        let what = if program == SENDER { "Sender: produced" } else { "Receiver: consumed" };
        let expected: String = (1..=100).map(|round| format!("{what} {round}\n")).collect();
        assert_eq!(said, expected);
    }
    children.into_iter().for_each(Child::succeed);
    assert_eq!(Set::open(key).unwrap_err().kind(), ErrorKind::NotFound, "the receiver removes the set");
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
