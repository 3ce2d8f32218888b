//! The examples of direct naming run as their first lines say.

use std::process::Command;

use twixt_testkit::{Child, test};

#[test]
fn processes_talk_by_their_numbers() {
    let _test = test!();
    let mut receiver = Child::start(Command::new(env!("CARGO_BIN_EXE_direct-receiver")));
    let pid = receiver.pid();
    assert_eq!(receiver.line(), Some(format!("I am process {pid}")));
    let send = |message: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_direct-sender"))
            .arg(pid.to_string())
            .args(message)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(send(&[]), format!("sent: ping\n{pid} says: thank you\n"));
    assert!(receiver.line().unwrap().ends_with(" says: ping"));
    assert_eq!(send(&["end"]), "sent: end\n");
    assert!(receiver.line().unwrap().ends_with(" says: end"));
    receiver.succeed();
    let output =
        Command::new(env!("CARGO_BIN_EXE_direct-sender")).arg(i32::MAX.to_string()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no such process"));
}
