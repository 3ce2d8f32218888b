//! `twixt recv`: what is printed, when it ends, and how.

use std::io::Read;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use twixt_testkit::{Child, scratch, test, unique_name};

#[path = "support/plane.rs"]
mod plane;
#[path = "support/tool.rs"]
mod tool;
use plane::{address, drain, fill, piped, posix_queue, sysv_queue};
use tool::{end, remove_at_end, run, twixt};

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_mailbox_gives_one_message_or_as_many_as_are_wanted() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    fill(&queue, ["one", "two", "", "four", "five"]);
    assert_eq!(run(&format!("recv {queue}")).well(), "one\n");
    assert_eq!(run(&format!("recv {queue} -n 3")).well(), "two\n\nfour\n");
    assert_eq!(drain(&queue), ["five"]);
}

#[test]
fn output_is_framed_as_was_said() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    for (flags, expected) in [
        ("", "a\nb\n\0\n"),
        ("-0", "a\nb\0\0\0"),
        ("--framing nul", "a\nb\0\0\0"),
        ("--framing lines -0", "a\nb\0\0\0"),
        ("--framing len", "\u{3}\0\0\0a\nb\u{1}\0\0\0\0"),
        ("--framing raw", "a\nb\0"),
    ] {
        fill(&queue, ["a\nb", "\0"]);
        assert_eq!(run(&format!("recv {queue} -n 2 {flags}")).well(), expected, "{flags}");
    }
}

#[test]
fn json_has_all_there_is_to_know() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    run(&format!("send {queue} --prio 7 \"hello")).well();
    fill(&queue, [&b"\xff\x00"[..]]);
    let lines = json_lines(&run(&format!("recv {queue} -n 2 --json")).well());
    let unknown = json!({
        "schema": 1, "type": null, "pid": null, "uid": null, "gid": null, "source": null,
        "publisher": null, "sequence": null, "missed": null, "deliveries": null, "descriptors": [],
    });
    let with = |more: Value| {
        let mut line = unknown.clone();
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    assert_eq!(lines[0], with(json!({ "number": 1, "text": "\"hello", "priority": 7 })));
    assert_eq!(lines[1], with(json!({ "number": 2, "base64": "/wA=", "priority": 0 })));
    let (queue, _remove) = sysv_queue();
    run(&format!("send {queue} --type 5 x")).well();
    assert_eq!(json_lines(&run(&format!("recv {queue} --json")).well())[0]["type"], 5);
}

#[test]
fn types_are_chosen() {
    let _test = test!();
    let (queue, _remove) = sysv_queue();
    let fill = || {
        for number in [4, 2, 3, 2] {
            run(&format!("send {queue} --type {number} t{number}")).well();
        }
    };
    for (select, count, expected, left) in [
        ("any", 4, "t4\nt2\nt3\nt2\n", &[][..]),
        ("2", 2, "t2\nt2\n", &["t4", "t3"]),
        ("..3", 3, "t2\nt2\nt3\n", &["t4"]),
        ("except:2", 2, "t4\nt3\n", &["t2", "t2"]),
    ] {
        fill();
        assert_eq!(run(&format!("recv {queue} -n {count} --type {select}")).well(), expected);
        assert_eq!(drain(&queue), left, "{select}");
    }
    for wrong in ["0", "-1", "..", "..0", "except:x", "2..", ""] {
        end(twixt(["recv", &queue, &format!("--type={wrong}")])).fails(2, "--type");
    }
}

#[test]
fn the_time_runs_for_each_message() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    run(&format!("recv {queue} --timeout 20ms")).fails(4, "no message came within 20ms");
    run(&format!("recv {queue}?timeout=20ms")).fails(4, "no message came within 20ms");
    fill(&queue, ["one", "two"]);
    let ended = run(&format!("recv {queue} --timeout 0s -n 3"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), "one\ntwo\n"));
    fill(&queue, ["one"]);
    let ended = run(&format!("recv {queue} --timeout 30ms --follow"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), "one\n"));
}

#[test]
fn what_is_not_there_is_not_found() {
    let _test = test!();
    run(&format!("recv posix-mq:/{}", unique_name())).fails(1, "?create");
    run("recv sysv-sem:5").fails(2, "it carries no messages");
    run("recv posix-mq:/x --type 5")
        .fails(2, "--type does not apply to posix-mq: its messages have no types");
    run("recv posix-mq:/x --listen").fails(2, "--listen does not apply to posix-mq");
    run("recv tcp:localhost:1 --create").fails(2, "--create does not apply to tcp");
    run("recv posix-mq:/x --json -0").fails(2, "cannot be used with");
    run("recv posix-mq:/x --json --exec cat").fails(2, "cannot be used with");
    run("recv posix-mq:/x -n 0").fails(2, "--count");
}

#[test]
fn create_makes_what_is_missing() {
    let _test = test!();
    let queue = format!("posix-mq:/{}", unique_name());
    let _remove = remove_at_end(&queue);
    let mut receiver = Child::start(twixt(["recv", &queue, "--create"]));
    receiver.wait_until_blocked_in(&[libc::SYS_mq_timedreceive]);
    fill(&queue, ["hello"]);
    assert_eq!(receiver.line().as_deref(), Some("hello"));
    assert!(receiver.wait().success());
}

#[test]
fn each_message_is_printed_before_the_next_is_waited_for() {
    let _test = test!();
    let (posix, _remove_posix) = posix_queue(8, 100);
    let (sysv, _remove_sysv) = sysv_queue();
    for queue in [&posix, &sysv] {
        let mut receiver = Child::start(twixt(["recv", queue, "--follow"]));
        for round in 0..20 {
            fill(queue, [format!("a{round}"), format!("b{round}")]);
            assert_eq!(receiver.line(), Some(format!("a{round}")));
            assert_eq!(receiver.line(), Some(format!("b{round}")));
        }
        receiver.signal(Signal::TERM);
        assert_eq!(receiver.wait().code(), Some(143));
    }
}

#[test]
fn whoever_waits_can_be_stopped() {
    let _test = test!();
    let (posix, _remove_posix) = posix_queue(1, 10);
    let (sysv, _remove_sysv) = sysv_queue();
    for (queue, calls) in [(&posix, [libc::SYS_mq_timedreceive]), (&sysv, [libc::SYS_msgrcv])] {
        for (signal, code) in
            [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)]
        {
            let mut command = twixt(["recv", queue, "--follow"]);
            command.stderr(Stdio::piped());
            let mut receiver = Child::start(command);
            receiver.wait_until_blocked_in(&calls);
            receiver.signal(signal);
            assert_eq!(receiver.wait().code(), Some(code), "{queue}");
        }
    }
}

#[test]
fn a_signal_that_is_ignored_stays_so() {
    let _test = test!();
    let (queue, _remove) = posix_queue(1, 10);
    let mut command = std::process::Command::new("sh");
    let line = "trap '' HUP; exec \"$0\" recv \"$1\" -n 2";
    command.args(["-c", line, env!("CARGO_BIN_EXE_twixt"), &queue]);
    let mut receiver = Child::start(command);
    fill(&queue, ["one"]);
    assert_eq!(receiver.line().as_deref(), Some("one"));
    receiver.signal(Signal::HUP);
    fill(&queue, ["two"]);
    assert_eq!(receiver.line().as_deref(), Some("two"));
    assert!(receiver.wait().success());
}

#[test]
fn when_its_reader_goes_nothing_more_is_taken() {
    let _test = test!();
    let (posix, _remove_posix) = posix_queue(8, 10);
    let (sysv, _remove_sysv) = sysv_queue();
    for queue in [&posix, &sysv] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = twixt(["recv", queue, "--follow"]);
        command.stdout(writer).stderr(Stdio::piped());
        let receiver = command.spawn().unwrap();
        drop(command);
        fill(queue, ["one"]);
        let mut line = [0; 4];
        reader.read_exact(&mut line).unwrap();
        drop(reader);
        // It ends although no message comes, and is no failure.
        let output = receiver.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
        fill(queue, ["two"]);
        assert_eq!(drain(queue), ["two"]);
        // And one that has gone already is noticed before anything is taken.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        fill(queue, ["three"]);
        let mut command = twixt(["recv", queue, "--follow"]);
        command.stdout(writer);
        end(command).well();
        assert_eq!(drain(queue), ["three"]);
    }
}

#[test]
fn many_messages_arrive_in_order_through_a_small_queue() {
    let _test = test!();
    let (queue, _remove) = posix_queue(10, 16);
    let lines: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    let scratch = scratch();
    let path = scratch.path().join("received");
    let mut command = twixt(["recv", &queue, "-n", "50000"]);
    command.stdout(std::fs::File::create(&path).unwrap());
    let mut receiver = command.spawn().unwrap();
    piped(["send", &queue], lines.as_bytes()).well();
    assert!(receiver.wait().unwrap().success());
    assert!(std::fs::read_to_string(&path).unwrap() == lines);
}

#[test]
fn the_help_tells_when_it_ends() {
    let _test = test!();
    let help = run("recv --help").well();
    let row = |name: &str| help.lines().find(|line| line.starts_with(&format!("  {name} "))).unwrap();
    assert!(row("posix-mq").ends_with("one message"), "{help}");
    assert!(row("fifo").ends_with("until the end"), "{help}");
    assert!(help.contains("TWIXT_TYPE") && help.contains("$TMPDIR"), "{help}");
    assert_eq!(address("posix-mq:/x").endpoint().scheme(), "posix-mq");
}

#[test]
fn a_commands_failure_is_told() {
    let _test = test!();
    for arguments in [
        &["recv", "exec:echo a; exit 3"][..],
        &["relay", "exec:echo a; exit 3", "-"],
        &["relay", "exec:echo a; exit 3", "-", "--framing", "raw"],
        &["call", "exec:cat; exit 3", "a\n"],
    ] {
        let output = twixt(arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(output.stdout, b"a\n", "{arguments:?}");
        assert!(said.contains("exit status: 3"), "{arguments:?}: {said}");
    }
}
