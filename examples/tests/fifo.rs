//! The examples of FIFOs run as their first lines say.

use std::process::Command;
use std::thread;
use std::time::Duration;

use twixt_testkit::{Child, scratch, test};

#[test]
fn pings_arrive_and_then_the_end() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("ping");
    let mut receiver = Command::new(env!("CARGO_BIN_EXE_fifo-receiver"));
    receiver.arg(&path);
    let mut receiver = Child::start(receiver);
    while !path.exists() {
        thread::sleep(Duration::from_millis(1));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fifo-sender")).arg(&path).arg("7").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Sender: sent ping\n".repeat(7));
    for _ in 0..7 {
        assert_eq!(receiver.line().as_deref(), Some("Receiver: received ping"));
    }
    assert_eq!(receiver.line().as_deref(), Some("Receiver: received end"));
    receiver.succeed();
    assert!(!path.exists());
}
