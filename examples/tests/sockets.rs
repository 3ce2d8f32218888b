//! The examples of sockets, run as a user runs them.

use std::process::Command;

use twixt_testkit::{Child, Missing, test, unique_name};

/// Starts the receiving side, waits until it says that it is ready, runs the other side, and compares what both say.
fn converse(receiver: &str, ready: &str, sender: &str, address: &str, received: &[&str], sent: &[&str]) {
    let mut receiver = Child::program(receiver, &[address]);
    let line = receiver.line().expect("the receiver says that it is ready");
    let address = line.strip_prefix(ready).unwrap_or_else(|| panic!("{line:?}")).to_owned();
    let mut sender = Child::program(sender, &[&address]);
    assert_eq!(lines(&mut sender), sent);
    sender.succeed();
    assert_eq!(lines(&mut receiver), received);
    receiver.succeed();
}

fn lines(child: &mut Child) -> Vec<String> {
    std::iter::from_fn(|| child.line()).collect()
}

fn name() -> String {
    format!("@{}", unique_name())
}

#[test]
fn unix_stream() {
    let _test = test!();
    let (server, client) =
        (env!("CARGO_BIN_EXE_unix-stream-server"), env!("CARGO_BIN_EXE_unix-stream-client"));
    let user = own_uid();
    let received = [format!("user {user} connected"), "received: ping".into(), "received: end".into()];
    let received: Vec<&str> = received.iter().map(String::as_str).collect();
    converse(server, "listening at ", client, &name(), &received, &["answer: PING", "answer: END"]);
    // And at a path.
    let scratch = twixt_testkit::scratch();
    let path = scratch.path().join("s").display().to_string();
    converse(server, "listening at ", client, &path, &received, &["answer: PING", "answer: END"]);
}

fn own_uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("/proc is mounted"))
}

#[test]
fn unix_dgram() {
    let _test = test!();
    converse(
        env!("CARGO_BIN_EXE_unix-dgram-receiver"),
        "receiving at ",
        env!("CARGO_BIN_EXE_unix-dgram-sender"),
        &name(),
        &["received: ping", "received: ping again", "received: end"],
        &["sent: ping", "sent: ping again", "sent: end"],
    );
}

#[test]
fn unix_seqpacket() {
    let _test = test!();
    converse(
        env!("CARGO_BIN_EXE_unix-seqpacket-server"),
        "listening at ",
        env!("CARGO_BIN_EXE_unix-seqpacket-client"),
        &name(),
        &[
            "received 4 bytes: \"ping\"",
            "received 0 bytes: \"\"",
            "received 3 bytes: \"end\"",
            "the client has gone",
        ],
        &["sent: \"ping\"", "sent: \"\"", "sent: \"end\""],
    );
}

#[test]
fn unix_pass_fd() {
    let _test = test!();
    converse(
        env!("CARGO_BIN_EXE_unix-pass-fd-receiver"),
        "listening at ",
        env!("CARGO_BIN_EXE_unix-pass-fd-sender"),
        &name(),
        &["written through the descriptor"],
        &["from the pipe: written by the receiver"],
    );
}

#[test]
fn tcp() {
    let _test = test!();
    converse(
        env!("CARGO_BIN_EXE_tcp-server"),
        "listening at ",
        env!("CARGO_BIN_EXE_tcp-client"),
        "127.0.0.1:0",
        &["received: ping", "received: end"],
        &["answer: PING", "answer: END"],
    );
}

#[test]
fn udp() {
    let _test = test!();
    converse(
        env!("CARGO_BIN_EXE_udp-receiver"),
        "receiving at ",
        env!("CARGO_BIN_EXE_udp-sender"),
        "127.0.0.1:0",
        &["received: ping", "received: end"],
        &["answer: PING", "answer: END"],
    );
}

#[test]
fn raw_ping() {
    let test = test!();
    let mut ping = Child::program(env!("CARGO_BIN_EXE_raw-ping"), &["127.0.0.1"]);
    let said = lines(&mut ping);
    if said.is_empty() {
        return test.skip(&Missing("CAP_NET_RAW or a group in net.ipv4.ping_group_range".into()));
    }
    assert_eq!(said.len(), 4);
    for (line, sequence) in said.iter().zip(1..) {
        assert!(line.starts_with(&format!("14 bytes from 127.0.0.1: sequence {sequence}, ")), "{line}");
    }
    ping.succeed();
}

#[test]
fn a_client_without_a_server_says_so() {
    let _test = test!();
    for client in [
        env!("CARGO_BIN_EXE_unix-stream-client"),
        env!("CARGO_BIN_EXE_unix-seqpacket-client"),
        env!("CARGO_BIN_EXE_unix-dgram-sender"),
    ] {
        let output = Command::new(client).arg(name()).output().expect("it runs");
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("ConnectionRefused") || said.contains("CONNREFUSED"), "{said}");
    }
}
