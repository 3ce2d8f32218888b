//! The examples of mapped files, memfds, eventfds and locks, as their users run them.

use std::process::Command;

use twixt_testkit::{Child, output, scratch, test};

#[test]
fn a_mapped_file_is_shared_in_either_order() {
    let _test = test!();
    const PAIR: [&str; 2] = [env!("CARGO_BIN_EXE_mmap-sender"), env!("CARGO_BIN_EXE_mmap-receiver")];
    for order in [[0, 1], [1, 0]] {
        let directory = scratch();
        let path = directory.path().join("board");
        let mut children = order.map(|index| (index, Child::program(PAIR[index], &[path.to_str().unwrap()])));
        for (index, child) in &mut children {
            let said = String::from_utf8(child.rest()).unwrap();
            let expected = match index {
                0 => "Sender: sent ping\n".repeat(100) + "Sender: sent end\n",
                _ => "Receiver: received ping\n".repeat(100),
            };
            assert_eq!(said, expected);
        }
        children.into_iter().for_each(|(_, child)| child.succeed());
        assert!(!path.exists(), "the receiver removes the file");
    }
}

#[test]
fn a_memfd_is_sealed_and_handed_over() {
    let _test = test!();
    let said = output(env!("CARGO_BIN_EXE_memfd-sender"), &[""; 0]);
    let text = "Nobody can change this any more, not even the sender.";
    assert_eq!(said, format!("Sender: sent {} bytes\nReceiver: received {text}\n", text.len()));
    // With something else in the place of the memfd it says what it got.
    let something_else = ["-c", "exec \"$0\" 3</dev/null", env!("CARGO_BIN_EXE_memfd-receiver")];
    let output = Command::new("sh").args(something_else).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a memfd"));
}

#[test]
fn eventfds_go_back_and_forth() {
    let _test = test!();
    let said = output(env!("CARGO_BIN_EXE_eventfd-sender"), &[""; 0]);
    for round in 1..=100 {
        for line in ["Sender: added", "Receiver: read", "Sender: read"] {
            let line = format!("{line} {round}");
            assert_eq!(said.lines().filter(|said| *said == line).count(), 1, "{line}");
        }
    }
    assert_eq!(said.lines().count(), 300);
    assert!(!Command::new(env!("CARGO_BIN_EXE_eventfd-receiver")).output().unwrap().status.success());
}

#[test]
fn several_processes_count_exactly() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("counter");
    let program = env!("CARGO_BIN_EXE_lock-counter");
    let children: Vec<_> = (0..4).map(|_| Child::program(program, &[path.to_str().unwrap()])).collect();
    children.into_iter().for_each(Child::succeed);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "4000\n");
}
