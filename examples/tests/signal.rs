//! The signal examples talk to each other.

use std::os::unix::process::CommandExt;
use std::process::Command;

use twixt_testkit::{Child, test};

#[test]
fn ping_and_pong_in_a_process_group() {
    let _test = test!();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" USR1 USR2 QUIT; "$1" & "$2"; wait"#, "run.sh"]);
    shell.args([env!("CARGO_BIN_EXE_signal-pong"), env!("CARGO_BIN_EXE_signal-ping")]);
    let mut group = Child::start({
        shell.process_group(0);
        shell
    });
    let output = String::from_utf8(group.rest()).unwrap();
    group.succeed();
    let count = |text: &str| output.lines().filter(|line| *line == text).count();
    assert_eq!(count("Client: pong"), 100);
    assert!(count("Server: ping") >= 100);
    assert_eq!(count("End"), 1);
    assert_eq!(output.lines().count(), 101 + count("Server: ping"));
}

#[test]
fn sender_and_receiver() {
    let _test = test!();
    let mut receiver = Child::start(Command::new(env!("CARGO_BIN_EXE_signal-receiver")));
    let pid = receiver.pid().to_string();
    assert_eq!(receiver.line(), Some(format!("process {pid}")));
    let mut sender = Command::new(env!("CARGO_BIN_EXE_signal-sender"));
    let mut sender = Child::start({
        sender.args([&pid, "10", "-20", "30"]);
        sender
    });
    let from = sender.pid();
    assert!(sender.wait().success());
    let output = String::from_utf8(receiver.rest()).unwrap();
    receiver.succeed();
    let lines: Vec<_> = output.lines().collect();
    let uid = uid();
    let line = |what: &str| format!("{what} from process {from} of user {uid}");
    let expected = ["SIGRTMIN 10", "SIGRTMIN -20", "SIGRTMIN 30", "SIGRTMAX 3"].map(line);
    assert_eq!(lines, expected);
}

#[test]
fn a_sender_without_a_receiver_says_so() {
    let mut sender = Command::new(env!("CARGO_BIN_EXE_signal-sender"));
    let output = sender.args(["2147483647", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("process"), "{text}");
}

fn uid() -> String {
    let id = Command::new("id").arg("-ru").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}
