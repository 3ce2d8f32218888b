//! `twixt signal`: the table, and signals between two runs of the tool.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::Value;
use twixt_testkit::{Child, root, test};

#[path = "support/tool.rs"]
mod tool;
use tool::{as_nobody, end, run, twixt};

/// A `twixt signal wait` that has blocked its signals and waits for them.
fn waiting(arguments: &[&str]) -> Child {
    started(twixt(["signal", "wait"].iter().chain(arguments)))
}

fn started(mut command: Command) -> Child {
    command.stderr(Stdio::null());
    let child = Child::start(command);
    child.wait_until_blocked_in(&[libc::SYS_rt_sigtimedwait]);
    child
}

/// What a waiter says as it ends well.
fn heard(mut child: Child) -> String {
    let line = child.line().expect("a line");
    assert!(child.wait().success());
    line
}

#[test]
fn all_signals_are_listed_under_the_names_of_kill() {
    let _test = test!();
    let table = run("signal list --noheadings").well();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 62);
    let numbers: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let mut shell = Command::new("bash");
    shell.args(["-c", "for number; do kill -l $number; done", "bash"]).args(&numbers);
    let names = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    for (row, name) in rows.iter().zip(names.lines()) {
        assert_eq!(row[1], format!("SIG{name}"));
        assert!(["terminate", "core", "ignore", "stop", "continue"].contains(&row[2]), "{row:?}");
        assert!(row.len() > 3, "{row:?} has no meaning");
    }
}

#[test]
fn the_table_is_aligned_under_its_headings() {
    let _test = test!();
    let table = run("signal list").well();
    let mut lines = table.lines();
    let headings = lines.next().unwrap();
    let column = headings.find("ACTION").unwrap();
    for line in lines {
        assert!(
            line[column..].starts_with(char::is_alphabetic) && &line[column - 2..column] == "  ",
            "{line}"
        );
    }
}

#[test]
fn some_signals_are_listed() {
    let _test = test!();
    let table = run("signal list usr1 SIGRTMIN+1 15 --json").well();
    let rows: Vec<Value> = table.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["name"], &rows[0]["number"]), (&"SIGUSR1".into(), &10.into()));
    assert_eq!((&rows[1]["name"], &rows[1]["number"]), (&"SIGRTMIN+1".into(), &35.into()));
    assert_eq!((&rows[2]["name"], &rows[2]["action"]), (&"SIGTERM".into(), &"terminate".into()));
    assert!(rows.iter().all(|row| row["schema"] == 1 && row["meaning"].is_string()));
}

#[test]
fn a_value_goes_from_sender_to_waiter() {
    let _test = test!();
    let waiter = waiting(&["RTMIN+1", "--json"]);
    let sender = twixt(["signal", "send", &waiter.pid().to_string(), "RTMIN+1", "--value", "-42"]).spawn();
    let mut sender = sender.unwrap();
    assert!(sender.wait().unwrap().success());
    let came: Value = serde_json::from_str(&heard(waiter)).unwrap();
    let expected = serde_json::json!({
        "schema": 1,
        "signal": "SIGRTMIN+1",
        "number": 35,
        "pid": sender.id(),
        "uid": rustix::process::getuid().as_raw(),
        "value": -42,
    });
    assert_eq!(came, expected);
}

#[test]
fn a_signal_without_a_value_says_none() {
    let _test = test!();
    let waiter = waiting(&["USR1", "TERM"]);
    let mut sender = twixt(["signal", "send", &waiter.pid().to_string(), "15"]).spawn().unwrap();
    assert!(sender.wait().unwrap().success());
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(heard(waiter), format!("SIGTERM pid={} uid={uid}", sender.id()));
}

#[test]
fn several_get_it() {
    let _test = test!();
    let (first, second) = (waiting(&["USR1"]), waiting(&["USR1"]));
    run(&format!("signal send {},{} USR1 --value 7", first.pid(), second.pid())).well();
    assert!(heard(first).ends_with(" value=7"));
    assert!(heard(second).ends_with(" value=7"));
}

#[test]
fn a_group_gets_it() {
    let _test = test!();
    let mut leader = twixt(["signal", "wait", "USR2"]);
    leader.process_group(0);
    let leader = started(leader);
    let mut member = twixt(["signal", "wait", "USR2"]);
    member.process_group(leader.pid());
    let member = started(member);
    run(&format!("signal send -{} USR2", leader.pid())).well();
    assert!(heard(leader).starts_with("SIGUSR2 pid="));
    assert!(heard(member).starts_with("SIGUSR2 pid="));
}

#[test]
fn groups_take_no_value() {
    let _test = test!();
    let waiter = waiting(&["USR1"]);
    for target in [format!("{},-{}", waiter.pid(), waiter.pid()), format!("{},0", waiter.pid())] {
        run(&format!("signal send {target} USR1 --value 1")).fails(2, "only a process can be sent a value");
    }
    run(&format!("signal send {} USR1 --value 2", waiter.pid())).well();
    assert!(heard(waiter).ends_with(" value=2"), "and nothing came before");
}

#[test]
fn nothing_is_sent_if_one_cannot_be_reached() {
    let _test = test!();
    let waiter = waiting(&["USR1"]);
    let stderr = run(&format!("signal send {},2147483646,2147483647 USR1", waiter.pid()))
        .fails(1, "cannot send SIGUSR1 to process 2147483646: there is none");
    assert!(stderr.contains("process 2147483647") && stderr.ends_with("nothing was sent\n"), "{stderr}");
    run(&format!("signal send {} USR1 --value 3", waiter.pid())).well();
    assert!(heard(waiter).ends_with(" value=3"), "and nothing came before");
}

#[test]
fn the_time_is_up() {
    let _test = test!();
    run("signal wait USR1 RTMAX --timeout 10ms").fails(4, "no SIGUSR1 or SIGRTMAX came within 10ms");
}

#[test]
fn wrong_input_names_the_wrong_part() {
    let _test = test!();
    for (line, part) in [
        ("signal", "Usage: twixt signal"),
        ("signal list NONE", "NONE"),
        ("signal list 32", "C library"),
        ("signal list 0", "asks whether a process exists"),
        ("signal send 1", "<SIGNAL>"),
        ("signal send x USR1", "\"x\" is no process or group"),
        ("signal send 1,,2 USR1", "\"\" is no process or group"),
        ("signal send -1 CONT", "-1 means every process"),
        ("signal send 99999999999 USR1", "99999999999"),
        ("signal send 1 USR9", "USR9"),
        ("signal send 1 USR1 --value x", "'x' for '--value <N>'"),
        ("signal send 1 USR1 --value 4294967296", "4294967296"),
        ("signal wait", "<SIGNAL>"),
        ("signal wait KILL", "cannot wait for SIGKILL"),
        ("signal wait USR1 STOP", "cannot wait for SIGSTOP"),
        ("signal wait USR1 --timeout 5", "has no unit"),
        ("signal wait USR1 --timeout soon", "'soon' for '--timeout <TIME>'"),
    ] {
        run(line).fails(2, part);
    }
    run("signal send 2147483647 USR1").fails(1, "no such process (ESRCH)");
    run("signal send 2147483647 USR1 --value 1").fails(1, "no such process (ESRCH)");
}

#[test]
fn another_users_process_is_not_reached() {
    let test = test!();
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let waiter = waiting(&["USR1"]);
    let pid = waiter.pid().to_string();
    end(as_nobody(twixt(["signal", "send", &pid, "USR1"]))).fails(2, "have CAP_KILL");
    end(as_nobody(twixt(["signal", "send", &format!("{pid},{pid}"), "USR1"])))
        .fails(2, "it is another user's");
    waiter.kill();
}
