//! The POSIX pairs, as their users run them.

use twixt::os::posix::{mq, sem, shm};
use twixt::os::{ErrorKind, Mode};
use twixt_testkit::{Child, defer, test, unique_name};

fn rest(child: &mut Child) -> String {
    String::from_utf8(child.rest()).unwrap()
}

const MQ_SENDER: &str = env!("CARGO_BIN_EXE_posix-mq-sender");

#[test]
fn a_message_queue_by_priority() {
    let _test = test!();
    let name = format!("/{}", unique_name());
    let _clean = defer(|| drop(mq::unlink(&name)));
    Child::program(MQ_SENDER, &[&name]).succeed();
    let mut receiver = Child::program(env!("CARGO_BIN_EXE_posix-mq-receiver"), &[&name]);
    assert_eq!(
        rest(&mut receiver),
        "Receiver: received urgent with priority 9\n\
         Receiver: received routine with priority 1\n\
         Receiver: received routine too with priority 1\n\
         Receiver: received end with priority 0\n"
    );
    receiver.succeed();
    assert_eq!(mq::unlink(&name).unwrap_err().kind(), ErrorKind::NotFound, "the receiver removed it");
}

#[test]
fn a_message_queue_that_notifies() {
    let _test = test!();
    let name = format!("/{}", unique_name());
    let _clean = defer(|| drop(mq::unlink(&name)));
    let mut receiver = Child::program(env!("CARGO_BIN_EXE_posix-mq-notify"), &[&name]);
    assert_eq!(receiver.line().unwrap(), "Receiver: free to do other things");
    Child::program(MQ_SENDER, &[&name]).succeed();
    // How often it is told depends on how fast it reads.
    let lines = rest(&mut receiver);
    assert!(lines.starts_with("Thread: there is a message\n"), "{lines}");
    let mut received: Vec<_> = lines.lines().filter(|line| line.starts_with("Receiver: received")).collect();
    received.sort_unstable();
    let all = ["Receiver: received routine", "Receiver: received routine too", "Receiver: received urgent"];
    assert_eq!(received, all);
    receiver.succeed();
}

#[test]
fn semaphores_that_make_turns() {
    let _test = test!();
    for sender_first in [true, false] {
        let name = format!("/{}", unique_name());
        let _clean = defer(|| {
            for end in ["ping", "pong"] {
                drop(sem::unlink(&format!("{name}-{end}")));
            }
        });
        let mut programs = [env!("CARGO_BIN_EXE_posix-sem-sender"), env!("CARGO_BIN_EXE_posix-sem-receiver")];
        if !sender_first {
            programs.reverse();
        }
        let mut children = programs.map(|program| Child::program(program, &[&name]));
        for child in &mut children {
            let lines = rest(child);
            assert_eq!(lines.lines().count(), 3, "{lines}");
            assert!(lines.ends_with(": turn 3\n"), "{lines}");
        }
        children.into_iter().for_each(Child::succeed);
        let left = sem::Semaphore::create(&format!("{name}-ping"), 0, Mode::OWNER);
        left.expect("the receiver removed it");
    }
}

#[test]
fn shared_memory_line_by_line() {
    let _test = test!();
    let name = format!("/{}", unique_name());
    let _clean = defer(|| drop(shm::unlink(&name)));
    let mut sender = Child::program(env!("CARGO_BIN_EXE_posix-shm-sender"), &[&name]);
    assert_eq!(sender.line().unwrap(), "Sender: wrote ping");
    let mut receiver = Child::program(env!("CARGO_BIN_EXE_posix-shm-receiver"), &[&name]);
    assert_eq!(rest(&mut receiver), "Receiver: read ping\nReceiver: read pong\nReceiver: read end\n");
    assert_eq!(rest(&mut sender), "Sender: wrote pong\nSender: wrote end\n");
    receiver.succeed();
    sender.succeed();
    assert_eq!(shm::unlink(&name).unwrap_err().kind(), ErrorKind::NotFound, "the sender removed it");
}
