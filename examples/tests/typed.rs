//! The examples of typed channels run as their first lines say.

use std::process::Command;

use twixt_testkit::{Child, test, unique_name};

#[test]
fn jobs_arrive_and_something_else_is_named() {
    let _test = test!();
    let address = format!("unix:@{}", unique_name());
    let mut receiver = Command::new(env!("CARGO_BIN_EXE_typed-receiver"));
    receiver.arg(&address);
    let mut receiver = Child::start(receiver);
    assert_eq!(
        receiver.line().as_deref(),
        Some("expecting Job { id: u64, command: [string], niceness: i8? }"),
    );
    // One that stays connected, so that the receiver does not see the end between the two.
    let holds = twixt::channel::Sender::open(&address.parse().unwrap()).unwrap();
    let send = |other: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_typed-sender")).arg(&address).args(other).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(send(&[]), "sent job 1\nsent job 2\nsent job 3\n");
    for id in 1..=3 {
        let line = format!("job {id}: [\"sleep\", \"{id}\"], niceness Some(-1)");
        assert_eq!(receiver.line().as_deref(), Some(line.as_str()));
    }
    send(&["other"]);
    let line = receiver.line().unwrap();
    assert!(line.contains("the message holds (u32, bool)") && line.contains("Job { id: u64"), "{line}");
    drop(holds);
    assert_eq!(receiver.line().as_deref(), Some("all senders have gone"));
    receiver.succeed();
}
