//! The System V shared memory pair, as its users run it.

use std::process::Command;

use twixt::os::ErrorKind;
use twixt::os::sysv::Key;
use twixt::os::sysv::sem::Set;
use twixt::os::sysv::shm::Segment;
use twixt_testkit::{Child, defer, test, unique_key};

const SENDER: &str = env!("CARGO_BIN_EXE_sysv-shm-sender");
const RECEIVER: &str = env!("CARGO_BIN_EXE_sysv-shm-receiver");

fn talk(order: [&str; 2]) {
    let key = Key::new(unique_key()).unwrap();
    let _cleaned = defer(move || {
        drop(Set::open(key).map(|set| set.remove()));
        drop(Segment::open(key).map(|segment| segment.remove()));
    });
    let mut children = order.map(|program| {
        let mut command = Command::new(program);
        command.arg(key.to_string());
        Child::start(command)
    });
    for (program, child) in order.into_iter().zip(&mut children) {
        let said = String::from_utf8(child.rest()).unwrap();
        let what = if program == SENDER { "Sender: wrote" } else { "Receiver: read" };
        assert_eq!(said, format!("{what} ping\n").repeat(100) + what + " end \n");
    }
    children.into_iter().for_each(Child::succeed);
    assert_eq!(Set::open(key).unwrap_err().kind(), ErrorKind::NotFound, "the receiver removes the set");
    assert_eq!(Segment::open(key).unwrap_err().kind(), ErrorKind::NotFound, "and the segment");
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
    let output = Command::new(SENDER).arg("0").output().unwrap();
    assert!(!output.status.success());
}
