//! The tool at one end of a message queue, and a program that knows nothing of it at the other: what util-linux has made,
//! C, and Python's modules.

use std::process::Command;

use rustix::process::Signal;
use twixt_testkit::{Child, Defer, compile_c, defer, output, scratch, test, unique_key, unique_name};

#[path = "support/peer.rs"]
mod peer;
#[path = "support/process.rs"]
mod process;
#[path = "support/service.rs"]
mod service;
#[path = "support/tool.rs"]
mod tool;
use peer::{Hearing, commands, python};
use process::until;
use service::Service;
use tool::{end, remove_at_end, run, twixt};

/// A System V queue that `ipcmk` has made: its identifier.
fn made_by_ipcmk() -> (String, Defer<impl FnOnce()>) {
    let said = output("ipcmk", &["-Q", "-p", "0600"]);
    let id = said.trim().rsplit(' ').next().unwrap().to_owned();
    let remove = id.clone();
    let remove = defer(move || drop(Command::new("ipcrm").args(["-q", &remove]).output()));
    (id, remove)
}

/// A line of `ipcs -q` about this queue: key, identifier, owner, permissions, bytes, messages.
fn listed(id: &str) -> Vec<String> {
    let table = output("ipcs", &["-q"]);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    table.lines().map(words).find(|words| words.get(1).is_some_and(|it| it == id)).expect("it is listed")
}

#[test]
fn a_queue_of_ipcmk_is_used_from_both_ends() {
    let test = test!();
    if let Err(missing) = commands(&["ipcmk", "ipcs", "ipcrm"]) {
        return test.skip(&missing);
    }
    let (id, _remove) = made_by_ipcmk();
    let address = format!("sysv-msg:id={id}");
    run(&format!("send {address} --type 7 seven bytes")).well();
    run(&format!("send {address} --type 3 three")).well();
    let line = listed(&id);
    assert_eq!(&line[3..], ["600", "15", "3"], "{line:?}");
    assert_eq!(run(&format!("recv {address} --type ..3")).well(), "three\n");
    assert_eq!(run(&format!("recv {address} -n 2")).well(), "seven\nbytes\n");
    assert_eq!(listed(&id)[5], "0");
    // By the key that ipcmk has chosen for it.
    let key = format!("sysv-msg:{}", listed(&id)[0]);
    run(&format!("send {key} hello")).well();
    assert_eq!(run(&format!("recv {address}")).well(), "hello\n");
    // Whoever waits is told that it was taken away.
    let waiting = twixt(["recv", &address]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    twixt_testkit::wait_until_blocked_in(waiting.id(), &[libc::SYS_msgrcv]);
    output("ipcrm", &["-q", &id]);
    let ended = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && said.contains("removed"), "{said}");
    run(&format!("send {address} hello")).fails(1, &id);
}

/// Answers messages of type 1 with the same bytes, backwards, as type 2; or asks.
const SYSV: &str = r#"
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/ipc.h>
    #include <sys/msg.h>
    struct message { long type; char text[64]; };
    int main(int argc, char **argv) {
        int queue = msgget(strtol(argv[1], 0, 0), 0);
        if (queue < 0) return 1;
        struct message m = { 5 };
        if (argc > 2) {
            strcpy(m.text, argv[2]);
            return msgsnd(queue, &m, strlen(argv[2]), 0) != 0;
        }
        ssize_t n = msgrcv(queue, &m, sizeof m.text, 0, 0);
        if (n < 0) return 2;
        printf("%ld %zd %.*s\n", m.type, n, (int)n, m.text);
        return 0;
    }
"#;

#[test]
fn a_c_program_has_the_other_end_of_a_system_v_queue() {
    let _test = test!();
    let scratch = scratch();
    let program = compile_c(scratch.path(), "sysv", SYSV, &[]);
    let program = program.to_str().unwrap();
    let key = format!("{:#x}", unique_key());
    let address = format!("sysv-msg:{key}");
    run(&format!("mk {address}")).well();
    let _remove = remove_at_end(&address);
    run(&format!("send {address} --type 9 hello")).well();
    assert_eq!(output(program, &[&key]), "9 5 hello\n", "nothing but the message");
    end(twixt(["send", &address, ""])).well();
    assert_eq!(output(program, &[&key]), "1 0 \n");
    let hearing = Hearing::start(scratch.path(), &[&address, "--json"]);
    output(program, &[&key, "from C"]);
    let line = hearing.text();
    assert!(line.contains(r#""text":"from C","type":5,"#), "{line}");
    // A service, which C gives something to do.
    let done = scratch.path().join("done");
    let script = format!("(cat; echo \" of type $TWIXT_TYPE\") >> {}", done.display());
    let service = Service::of(&[&address], &script);
    output(program, &[&key, "work"]);
    until("it is done", || std::fs::read_to_string(&done).is_ok_and(|text| text == "work of type 5\n"));
    service.ends(Signal::TERM);
}

#[test]
fn sysv_ipc_of_python_has_the_other_end() {
    let test = test!();
    if let Err(missing) = python(&["sysv_ipc"]) {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let key = unique_key().to_string();
    let address = format!("sysv-msg:{key}");
    let script = |script: &str| {
        let mut command = Command::new("python3");
        let script = format!("import sys, sysv_ipc\nkey = int(sys.argv[1])\n{script}");
        command.args(["-c", &script, &key]);
        command
    };
    // It makes the queue.
    let _remove = remove_at_end(&address);
    end(script("q = sysv_ipc.MessageQueue(key, sysv_ipc.IPC_CREX)\nq.send(b'from\\0Python', type=4)\n"))
        .well();
    assert_eq!(run(&format!("recv {address} --type 4 --framing nul")).well(), "from\0Python\0");
    let mut waiting = script("m, t = sysv_ipc.MessageQueue(key).receive(type=-6)\nprint(m.decode(), t)\n");
    let mut waiting = Child::start({
        waiting.stdin(std::process::Stdio::null());
        waiting
    });
    waiting.wait_until_blocked_in(&[libc::SYS_msgrcv]);
    run(&format!("send {address} --type 7 not-for-it")).well();
    run(&format!("send {address} --type 6 for-it")).well();
    assert_eq!(waiting.line().as_deref(), Some("for-it 6"));
    waiting.succeed();
    let hearing = Hearing::start(scratch.path(), &[&address, "-n", "2", "--type", "except:7"]);
    end(script("q = sysv_ipc.MessageQueue(key)\nq.send(b'one'); q.send(b'')\n")).well();
    assert_eq!(hearing.text(), "one\n\n");
}

/// Sends with a priority, or receives one.
const POSIX: &str = r#"
    #include <fcntl.h>
    #include <mqueue.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    int main(int argc, char **argv) {
        mqd_t queue = mq_open(argv[1], O_RDWR);
        if (queue < 0) return 1;
        if (argc > 3) return mq_send(queue, argv[2], strlen(argv[2]), atoi(argv[3])) != 0;
        char text[8192];
        unsigned priority;
        ssize_t n = mq_receive(queue, text, sizeof text, &priority);
        if (n < 0) return 2;
        printf("%u %zd %.*s\n", priority, n, (int)n, text);
        return 0;
    }
"#;

#[test]
fn a_c_program_has_the_other_end_of_a_posix_queue() {
    let _test = test!();
    let scratch = scratch();
    let program = compile_c(scratch.path(), "posix", POSIX, &["rt"]);
    let program = program.to_str().unwrap();
    let name = format!("/{}", unique_name());
    let address = format!("posix-mq:{name}");
    run(&format!("mk {address}")).well();
    let _remove = remove_at_end(&address);
    run(&format!("send {address} --prio 2 low")).well();
    run(&format!("send {address} --prio 31 high")).well();
    assert_eq!(output(program, &[&name]), "31 4 high\n");
    assert_eq!(output(program, &[&name]), "2 3 low\n");
    for (text, priority) in [("later", "1"), ("sooner", "9")] {
        output(program, &[name.as_str(), text, priority]);
    }
    assert_eq!(run(&format!("recv {address} -n 2")).well(), "sooner\nlater\n");
    let hearing = Hearing::start(scratch.path(), &[&address, "--json"]);
    output(program, &[name.as_str(), "from C", "32767"]);
    let line = hearing.text();
    assert!(line.contains(r#""text":"from C","type":null,"priority":32767,"#), "{line}");
    // From one family to the other.
    let queue = format!("sysv-msg:{:#x}", unique_key());
    run(&format!("mk {queue}")).well();
    let _remove_queue = remove_at_end(&queue);
    output(program, &[name.as_str(), "relayed", "1"]);
    let mut relay = twixt(["relay", &address, &queue, "-n", "1"]);
    assert!(relay.output().unwrap().status.success());
    assert_eq!(run(&format!("recv {queue}")).well(), "relayed\n");
}

#[test]
fn posix_ipc_of_python_has_the_other_end() {
    let test = test!();
    if let Err(missing) = python(&["posix_ipc"]) {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let name = format!("/{}", unique_name());
    let address = format!("posix-mq:{name}");
    let script = |script: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", &format!("import sys, posix_ipc\nname = sys.argv[1]\n{script}"), &name]);
        command
    };
    let _remove = remove_at_end(&address);
    let maker = "q = posix_ipc.MessageQueue(name, posix_ipc.O_CREX, max_messages=4, max_message_size=32)\n\
        q.send(b'from\\0Python', priority=5)\n";
    end(script(maker)).well();
    assert_eq!(run(&format!("recv {address} -0")).well(), "from\0Python\0");
    // The limits are those that it has set.
    run(&format!("send {address} {}", "x".repeat(33))).fails(2, "mq_msgsize is 32");
    let mut waiting =
        Child::start(script("m, p = posix_ipc.MessageQueue(name).receive()\nprint(m.decode(), p)\n"));
    waiting.wait_until_blocked_in(&[libc::SYS_mq_timedreceive]);
    run(&format!("send {address} --prio 6 for-it")).well();
    assert_eq!(waiting.line().as_deref(), Some("for-it 6"));
    waiting.succeed();
    let hearing = Hearing::start(scratch.path(), &[&address, "-n", "2"]);
    end(script("q = posix_ipc.MessageQueue(name)\nq.send(b'one'); q.send(b'')\n")).well();
    assert_eq!(hearing.text(), "one\n\n");
}

/// `with` holds what others wait for, and waits for what others hold.
#[test]
fn semaphores_and_locks_of_others() {
    let test = test!();
    if let Err(missing) = commands(&["flock", "ipcmk"]).and_then(|()| python(&["posix_ipc"])) {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let lock = scratch.path().join("lock");
    let lock = lock.to_str().unwrap();
    let address = format!("lock:{lock}");
    std::fs::write(lock, "").unwrap();
    // flock(1) keeps out, and is kept out.
    let mut flock = Command::new("flock");
    flock.args(["-n", lock, env!("CARGO_BIN_EXE_twixt"), "with", &address, "--timeout", "0s", "--", "true"]);
    assert_eq!(end(flock).code, Some(4));
    run(&format!("with {address} -- flock -n -E 33 {lock} true"))
        .code
        .map(|code| assert_eq!(code, 33))
        .unwrap();
    run(&format!("with {address} --shared -- flock -n -s {lock} true")).well();
    // A semaphore of Python's.
    let name = format!("/{}", unique_name());
    let semaphore = format!("posix-sem:{name}");
    let _remove = remove_at_end(&semaphore);
    let python = |script: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", &format!("import sys, posix_ipc\nname = sys.argv[1]\n{script}"), &name]);
        command
    };
    end(python("posix_ipc.Semaphore(name, posix_ipc.O_CREX, initial_value=1)\n")).well();
    let tries = "import posix_ipc, sys\ntry: posix_ipc.Semaphore(sys.argv[1]).acquire(0)\nexcept posix_ipc.BusyError: print('busy')\n";
    let held = end(twixt(["with", &semaphore, "--", "python3", "-c", tries, &name]));
    assert_eq!(held.well(), "busy\n");
    end(python("posix_ipc.Semaphore(name).acquire(0)\n")).well();
    run(&format!("with {semaphore} --timeout 0s -- true")).fails(4, &name);
    end(python("posix_ipc.Semaphore(name).release()\n")).well();
    run(&format!("with {semaphore} --timeout 0s -- true")).well();
    // A set of ipcmk's, whose values are 0 until somebody releases.
    let said = output("ipcmk", &["-S", "1"]);
    let id = said.trim().rsplit(' ').next().unwrap().to_owned();
    let _ipcrm = defer({
        let id = id.clone();
        move || drop(Command::new("ipcrm").args(["-s", &id]).output())
    });
    run(&format!("with sysv-sem:id={id} --timeout 10ms -- true")).fails(4, &id);
}
