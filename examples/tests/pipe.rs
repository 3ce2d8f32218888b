//! The examples of anonymous pipes run as their first lines say.

use std::fs;
use std::process::Command;

use twixt_testkit::{scratch, test};

#[test]
fn the_sender_starts_the_receiver() {
    let _test = test!();
    // The sender looks for its receiver beside itself.
    assert!(fs::exists(env!("CARGO_BIN_EXE_pipe-receiver")).unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_pipe-sender")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    // Both write to the same output, in any order.
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["Receiver: every writer has gone", "Receiver: read 4 bytes: 1233", "Sender: wrote 4 bytes"]
    );
}

#[test]
fn the_receiver_needs_its_descriptor() {
    let _test = test!();
    let output = Command::new(env!("CARGO_BIN_EXE_pipe-receiver")).arg("99").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("(descriptor 99)"));
}

#[test]
fn two_programs_are_joined() {
    let _test = test!();
    let directory = scratch();
    for name in ["one", "two"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pipeline")).arg(directory.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "ONE\nTWO\nls: exit status: 0, tr: exit status: 0\n");
}
