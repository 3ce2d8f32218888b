//! System V message queues between this library and other programs: util-linux, C, Python.

use std::process::Command;

use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{Id, Message, Queue, RemoveOnDrop, Select, Type};
use twixt_os::{ErrorKind, Mode};
use twixt_testkit::{Child, Missing, command, compile_c, output, scratch, test, unique_key};

const PING: Type = Type::new(10).unwrap();
const PONG: Type = Type::new(11).unwrap();

fn keyed() -> (Key, RemoveOnDrop) {
    let key = Key::new(unique_key()).unwrap();
    (key, Queue::create(key, Mode::new(0o640).unwrap()).unwrap().remove_on_drop())
}

#[test]
fn a_queue_of_ipcmk_is_opened() {
    let test = test!();
    if let Err(missing) = command("ipcmk") {
        return test.skip(&missing);
    }
    // Message queue id: 5
    let said = output("ipcmk", &["--queue", "--mode", "0620"]);
    let id = said.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let queue = Queue::open_id(Id::new(id).unwrap()).unwrap().remove_on_drop();
    let perm = queue.stat().unwrap().perm;
    assert_eq!(perm.mode, Mode::new(0o620).unwrap());
    assert_eq!(Queue::open(perm.key).unwrap().id(), queue.id());
    queue.send(PING, b"into theirs").unwrap();
    let mut message = Message::with_capacity(16);
    queue.receive(Select::Any, &mut message).unwrap();
    assert_eq!(message, Message::new(PING, b"into theirs"));
}

#[test]
fn ipcs_shows_a_queue() {
    let test = test!();
    if let Err(missing) = command("ipcs") {
        return test.skip(&missing);
    }
    let (key, queue) = keyed();
    queue.send(PING, b"twelve bytes").unwrap();
    queue.send(PONG, b"").unwrap();
    let id = queue.id().to_string();
    // key msqid owner perms used-bytes messages
    let listed = output("ipcs", &["-q"]);
    let mut rows = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&id.as_str())).unwrap();
    assert_eq!(row[0], key.to_string());
    assert_eq!(row[3..], ["640", "12", "2"]);
    let details = output("ipcs", &["-q", "-i", &id]);
    let qbytes = queue.stat().unwrap().qbytes;
    assert!(details.contains(&format!("cbytes=12\tqbytes={qbytes}\tqnum=2")), "{details}");
}

#[test]
fn ipcrm_removes_a_queue() {
    let test = test!();
    if let Err(missing) = command("ipcrm") {
        return test.skip(&missing);
    }
    let (key, queue) = keyed();
    output("ipcrm", &["-Q", &key.to_string()]);
    assert_eq!(queue.send(PING, b"late").unwrap_err().kind(), ErrorKind::Removed);
    let (_key, queue) = keyed();
    output("ipcrm", &["-q", &queue.id().to_string()]);
    assert_eq!(queue.stat().unwrap_err().kind(), ErrorKind::Removed);
}

const ANSWER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
struct message { long type; char text[100]; };
int main(int argc, char **argv) {
    int queue = msgget(strtol(argv[1], NULL, 0), 0600);
    if (queue == -1) return perror("msgget"), 1;
    struct message message;
    for (;;) {
        ssize_t len = msgrcv(queue, &message, sizeof message.text, 10, 0);
        if (len == -1) return perror("msgrcv"), 1;
        if (len == 3 && memcmp(message.text, "end", 3) == 0) return 0;
        if (message.type != 10 || len != 4 || memcmp(message.text, "ping", 4)) return 2;
        memcpy(message.text, "pong", 4);
        message.type = 11;
        if (msgsnd(queue, &message, 4, 0) == -1) return perror("msgsnd"), 1;
    }
}
"#;

#[test]
fn a_c_program_answers() {
    let _test = test!();
    let directory = scratch();
    let program = compile_c(directory.path(), "answer", ANSWER, &[]);
    let (key, queue) = keyed();
    let mut command = Command::new(program);
    command.arg(key.to_string());
    answered_by(command, &queue);
}

const ANSWER_IN_PYTHON: &str = "
import sys, sysv_ipc
queue = sysv_ipc.MessageQueue(int(sys.argv[1], 0))
while True:
    text, _ = queue.receive(type=10)
    if text == b'end':
        break
    assert text == b'ping', text
    queue.send(b'pong', type=11)
";

#[test]
fn a_python_program_answers() {
    let test = test!();
    let importable = Command::new("python3").args(["-c", "import sysv_ipc"]).output();
    if !importable.is_ok_and(|output| output.status.success()) {
        return test.skip(&Missing("the Python module sysv_ipc".into()));
    }
    let (key, queue) = keyed();
    let mut command = Command::new("python3");
    command.args(["-c", ANSWER_IN_PYTHON]).arg(key.to_string());
    answered_by(command, &queue);
}

/// 100 rounds with a program that answers each ping, over one queue.
fn answered_by(program: Command, queue: &Queue) {
    let other = Child::start(program);
    let mut message = Message::with_capacity(4);
    for _ in 0..100 {
        queue.send(PING, b"ping").unwrap();
        queue.receive(Select::Exactly(PONG), &mut message).unwrap();
        assert_eq!((message.mtype(), message.bytes()), (PONG, b"pong".as_slice()));
    }
    queue.send(PING, b"end").unwrap();
    other.succeed();
    assert_eq!(queue.stat().unwrap().qnum, 0);
}

const ASK: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
struct message { long type; char text[100]; };
int main(int argc, char **argv) {
    int queue = msgget(strtol(argv[1], NULL, 0), IPC_CREAT | 0600);
    if (queue == -1) return perror("msgget"), 1;
    struct message message;
    for (int round = 0; round < 100; round++) {
        message.type = 10;
        memcpy(message.text, "ping", 4);
        if (msgsnd(queue, &message, 4, 0) == -1) return perror("msgsnd"), 1;
        ssize_t len = msgrcv(queue, &message, sizeof message.text, 11, 0);
        if (len != 4 || message.type != 11 || memcmp(message.text, "pong", 4)) return 2;
    }
    message.type = 10;
    memcpy(message.text, "end", 3);
    return msgsnd(queue, &message, 3, 0) == -1;
}
"#;

#[test]
fn a_c_program_is_answered() {
    let _test = test!();
    let directory = scratch();
    let program = compile_c(directory.path(), "ask", ASK, &[]);
    let key = Key::new(unique_key()).unwrap();
    let queue = Queue::open_or_create(key, Mode::OWNER).unwrap().remove_on_drop();
    let mut command = Command::new(program);
    command.arg(key.to_string());
    let other = Child::start(command);
    let mut message = Message::with_capacity(4);
    let mut rounds = 0;
    loop {
        queue.receive(Select::from(PING), &mut message).unwrap();
        if message.bytes() == b"end" {
            break;
        }
        assert_eq!(message.bytes(), b"ping");
        queue.send(PONG, b"pong").unwrap();
        rounds += 1;
    }
    assert_eq!(rounds, 100);
    other.succeed();
}

const BYTES: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/msg.h>
struct message { long type; unsigned char text[8192]; };
/* Says the type, the length and the bytes of each message, and sends it back as the type above. */
int main(int argc, char **argv) {
    int queue = atoi(argv[1]);
    static struct message message;
    for (int count = atoi(argv[2]); count > 0; count--) {
        ssize_t len = msgrcv(queue, &message, sizeof message.text, -1000, 0);
        if (len == -1) return perror("msgrcv"), 1;
        printf("%ld %zd ", message.type, len);
        for (ssize_t i = 0; i < len; i++) printf("%02x", message.text[i]);
        printf("\n");
        message.type += 1000;
        if (msgsnd(queue, &message, len, 0) == -1) return perror("msgsnd"), 1;
    }
    return 0;
}
"#;

#[test]
fn a_message_is_type_and_bytes_and_nothing_else() {
    let _test = test!();
    let directory = scratch();
    let program = compile_c(directory.path(), "bytes", BYTES, &[]);
    let (_key, queue) = keyed();
    let all: Vec<u8> = (0..=255).collect();
    let large = all.repeat(8);
    let sent: [(i64, &[u8]); 5] = [(3, b""), (1, b"\0"), (1000, &all), (2, b"no end\0"), (5, &large)];
    for (index, (mtype, bytes)) in sent.into_iter().enumerate() {
        let mtype = Type::new(mtype).unwrap();
        if index % 2 == 0 {
            queue.send(mtype, bytes).unwrap();
        } else {
            queue.send_message(&Message::new(mtype, bytes)).unwrap();
        }
    }
    let mut command = Command::new(program);
    command.args([queue.id().to_string(), sent.len().to_string()]);
    let mut other = Child::start(command);
    let mut by_type = sent;
    by_type.sort_unstable();
    let mut message = Message::with_capacity(8192);
    for (mtype, bytes) in by_type {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(other.line().unwrap(), format!("{mtype} {} {hex}", bytes.len()));
        queue.receive(Select::Exactly(Type::new(mtype + 1000).unwrap()), &mut message).unwrap();
        assert_eq!(message.bytes(), bytes);
    }
    other.succeed();
}
