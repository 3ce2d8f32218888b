//! The examples of the bus, run as a user runs them.

use std::process::Command;

use twixt_testkit::{Child, TempDir, test};

/// A program on a bus of the test's own.
fn program(bus: &TempDir, path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).env("TWIXT_BUS", bus.path());
    command
}

fn output(bus: &TempDir, path: &str, arguments: &[&str]) -> String {
    let output = program(bus, path, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn topic() {
    let _test = test!();
    let bus = twixt_testkit::bus();
    let mut receivers: Vec<Child> =
        (0..2).map(|_| Child::start(program(&bus, env!("CARGO_BIN_EXE_topic-receiver"), &["x"]))).collect();
    for receiver in &mut receivers {
        assert_eq!(receiver.line().as_deref(), Some("subscribed to x"));
    }
    let said = output(&bus, env!("CARGO_BIN_EXE_topic-sender"), &["x", "hello"]);
    assert_eq!(said, "published to 2 subscribers: hello\n");
    for mut receiver in receivers {
        assert_eq!(receiver.line().as_deref(), Some("received: hello"));
        receiver.succeed();
    }
}

#[test]
fn queue() {
    let _test = test!();
    let bus = twixt_testkit::bus();
    assert_eq!(output(&bus, env!("CARGO_BIN_EXE_queue-sender"), &["x"]), "three jobs wait in x\n");
    let done = output(&bus, env!("CARGO_BIN_EXE_queue-receiver"), &["x"]);
    assert_eq!(done, "done: job 1\ndone: job 2\ndone: job 3\n");
    assert_eq!(output(&bus, env!("CARGO_BIN_EXE_queue-receiver"), &["x"]), "");
}

#[test]
fn latest() {
    let _test = test!();
    let bus = twixt_testkit::bus();
    output(&bus, env!("CARGO_BIN_EXE_latest-sender"), &["x"]);
    assert_eq!(output(&bus, env!("CARGO_BIN_EXE_latest-receiver"), &["x"]), "nobody has written it yet\n");
    let said = output(&bus, env!("CARGO_BIN_EXE_latest-sender"), &["x", "one", "two"]);
    assert_eq!(said, "version 1: one\nversion 2: two\n");
    assert_eq!(output(&bus, env!("CARGO_BIN_EXE_latest-receiver"), &["x"]), "version 2: two\n");
}

#[test]
fn rpc() {
    let _test = test!();
    let bus = twixt_testkit::bus();
    let mut server = Child::start(program(&bus, env!("CARGO_BIN_EXE_rpc-server"), &["rpc:x"]));
    assert_eq!(server.line().as_deref(), Some("listening at rpc:x"));
    let said = output(&bus, env!("CARGO_BIN_EXE_rpc-client"), &["rpc:x"]);
    assert!(said.starts_with("84 / 2 = Ok(42)\n") && said.ends_with("prime: 1019\n"), "{said}");
    assert_eq!(server.line().as_deref(), Some("the client has gone: Closed"));
    server.succeed();
}
