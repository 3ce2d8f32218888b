//! `twixt send`: what goes out, and what is told when it does not.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use twixt_testkit::{Child, scratch, test, unique_key};

#[path = "support/plane.rs"]
mod plane;
#[path = "support/tool.rs"]
mod tool;
use plane::{drain, next, piped, posix_queue, sysv_queue};
use tool::{end, remove_at_end, run, twixt};

#[test]
fn each_argument_is_a_message() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    end(twixt(["send", &queue, "one", "", "two words\n", "--", "-3"])).well();
    assert_eq!(drain(&queue), ["one", "", "two words\n", "-3"]);
}

#[test]
fn standard_input_is_cut_as_the_framing_says() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 100);
    for (framing, stdin, messages) in [
        (None, "one\n\ntwo", vec!["one", "", "two"]),
        (Some("lines"), "one\ntwo\n", vec!["one", "two"]),
        (Some("nul"), "a\nb\0c\0", vec!["a\nb", "c"]),
        (Some("len"), "\u{3}\0\0\0one\0\0\0\0\u{1}\0\0\0\n", vec!["one", "", "\n"]),
        (Some("raw"), "all\nof it\0", vec!["all\nof it\0"]),
        (None, "", vec![]),
    ] {
        let framing = framing.map(|framing| ["--framing", framing]);
        let arguments = ["send", &queue].into_iter().chain(framing.into_iter().flatten());
        piped(arguments, stdin.as_bytes()).well();
        assert_eq!(drain(&queue), messages, "{framing:?}");
    }
}

#[test]
fn a_raw_message_is_no_longer_than_the_queue_takes() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 4);
    piped(["send", &queue, "--framing", "raw"], b"abcdefghij").well();
    assert_eq!(drain(&queue), ["abcd", "efgh", "ij"]);
}

#[test]
fn type_and_priority_go_along() {
    let _test = test!();
    let (queue, _remove) = sysv_queue();
    run(&format!("send {queue} --type 7 hello")).well();
    assert_eq!(next(&queue).message_type(), Some(7));
    run(&format!("send {queue}?type=8 hello")).well();
    assert_eq!(next(&queue).message_type(), Some(8));
    run(&format!("send {queue} hello")).well();
    assert_eq!(next(&queue).message_type(), Some(1));
    let (queue, _remove) = posix_queue(8, 10);
    run(&format!("send {queue} --prio 1 low")).well();
    run(&format!("send {queue} --prio 32767 high")).well();
    assert_eq!(next(&queue).priority(), Some(32_767));
    assert_eq!(next(&queue).bytes(), b"low");
}

#[test]
fn count_repeats_arguments_and_limits_input() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 10);
    run(&format!("send {queue} a b --count 3")).well();
    assert_eq!(drain(&queue), ["a", "b", "a", "b", "a", "b"]);
    piped(["send", &queue, "--count", "2"], b"1\n2\n3\n").well();
    assert_eq!(drain(&queue), ["1", "2"]);
    piped(["send", &queue, "--count", "5"], b"1\n2\n").well();
    assert_eq!(drain(&queue), ["1", "2"]);
}

#[test]
fn a_rate_is_kept() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 10);
    for rate in ["20", "20/s", "1200/m"] {
        let began = Instant::now();
        run(&format!("send {queue} x --count 5 --rate {rate}")).well();
        // Four pauses; that there may be more of a pause than was asked for is the machine's affair.
        assert!(began.elapsed() > Duration::from_millis(180), "{rate}: {:?}", began.elapsed());
        assert_eq!(drain(&queue).len(), 5);
    }
    run("send posix-mq:/x x --rate 0").fails(2, "is no rate");
    run("send posix-mq:/x x --rate 5/h").fails(2, "the unit \"h\" is unknown");
}

#[test]
fn create_makes_what_is_missing() {
    let _test = test!();
    let queue = format!("sysv-msg:{:#x}", unique_key());
    let _remove = remove_at_end(&queue);
    run(&format!("send {queue} hello")).fails(1, "?create");
    run(&format!("send {queue} --create hello")).well();
    run(&format!("send {queue} --create again")).well();
    assert_eq!(drain(&queue), ["hello", "again"]);
}

#[test]
fn a_failure_tells_what_was_sent() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 4);
    let error = end(twixt(["send", &queue, "one", "2", "three\x1b", "four"])).fails(2, "POSIX message queue");
    assert!(
        error.contains(r#"message 3 ("three\u{1b}") was not sent, the 2 before it were: cannot"#),
        "{error}"
    );
    assert_eq!(drain(&queue), ["one", "2"]);
    let error = piped(["send", &queue], b"one\nthree\nfour\n").fails(2, "POSIX message queue");
    let place = r#"message 2 ("three" at byte 4 of standard input) was not sent, the one before it was: "#;
    assert!(error.contains(place), "{error}");
    assert_eq!(drain(&queue), ["one"]);
    let error = run(&format!("send {queue} three")).fails(2, "POSIX message queue");
    assert!(!error.contains("message 1"), "{error}");
}

#[test]
fn long_messages_are_shown_by_their_beginning() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 4);
    let long = "ä".repeat(40);
    let error = end(twixt(["send", &queue, "ok", &long])).fails(2, "POSIX message queue");
    assert!(error.contains(&format!("\"{}…\"", "ä".repeat(16))), "{error}");
    let error = piped(["send", &queue], b"\xff\xfe\n\xff\xfe\xff\xfe\xff\n").fails(2, "POSIX message queue");
    assert!(error.contains(r#""\xff\xfe\xff\xfe\xff""#), "{error}");
}

#[test]
fn a_file_is_left_at_what_was_not_sent() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 4);
    let scratch = scratch();
    let path = scratch.path().join("input");
    std::fs::write(&path, "head\none\n2\nthree\nfour\n").unwrap();
    let rest = |arguments: &[&str]| {
        let mut file = File::open(&path).unwrap();
        file.seek(std::io::SeekFrom::Start(5)).unwrap();
        let mut command = twixt(["send", &queue].iter().chain(arguments));
        command.stdin(file.try_clone().unwrap());
        let ended = end(command);
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        (ended.code, rest)
    };
    assert_eq!(rest(&[]), (Some(2), "three\nfour\n".to_owned()));
    assert_eq!(rest(&["--count", "1"]), (Some(0), "2\nthree\nfour\n".to_owned()));
    assert_eq!(drain(&queue), ["one", "2", "one"]);
    std::fs::write(&path, "head\none\ntwo").unwrap();
    let mut file = File::open(&path).unwrap();
    let mut command = twixt(["send", &queue]);
    command.stdin(file.try_clone().unwrap());
    end(command).well();
    assert_eq!(file.stream_position().unwrap(), 12);
}

#[test]
fn input_that_ends_within_a_message() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 10);
    let error =
        piped(["send", &queue, "--framing", "len"], b"\x01\0\0\0a\x09\0\0\0b").fails(2, "standard input");
    assert!(error.contains("byte 5 of standard input") && error.contains("1 message was sent"), "{error}");
    assert_eq!(drain(&queue), ["a"]);
    piped(["send", &queue, "--framing", "len"], b"\xff\xff\xff\x7f").fails(2, "2147483647");
    let mut command = twixt(["send", &queue]);
    command.stdin(File::open("/").unwrap());
    end(command).fails(2, "cannot read message 1 at byte 0 of standard input: Is a directory");
}

#[test]
fn a_flag_that_does_not_apply_says_so() {
    let _test = test!();
    for (line, error) in [
        (
            "send posix-mq:/x --type 1 m",
            "cannot send to posix-mq:/x: --type does not apply to posix-mq: its messages have no types; it applies to \
             sysv-msg",
        ),
        ("send sysv-msg:5 --prio 1 m", "its messages have no priorities; it applies to fd and posix-mq"),
        ("send sysv-msg:5 --fd /dev/null m", "--fd does not apply to sysv-msg: it passes no descriptors"),
        ("send sysv-msg:5 --listen m", "--listen does not apply to sysv-msg: none of its two sides listens"),
        ("send sysv-msg:5 --connect m", "--connect does not apply to sysv-msg"),
        ("send signal:1/USR1 --create 1", "--create does not apply to signal"),
        ("send posix-sem:/x m", "cannot send to posix-sem:/x: it carries no messages; what does is exec"),
        ("send lock:/x m", "it carries no messages"),
        ("send sysv-msg:5 --type 0 m", "--type"),
        ("send posix-mq:/x --prio 32768 m", "--prio"),
        ("send posix-mq:/x --framing paragraphs m", "a framing is frame, lines, nul, len or raw"),
        ("send posix-mq:/x --timeout 5 m", "--timeout"),
        ("send posix-mq:/x --count 0 m", "--count"),
        ("send unix:@x --listen --connect m", "cannot be used with"),
        ("send nonsense m", "nonsense"),
    ] {
        run(line).fails(2, error);
    }
}

#[test]
fn the_help_tells_which_flag_applies() {
    let _test = test!();
    let help = run("send --help").well();
    let row = |name: &str| -> Vec<&str> {
        let line = help.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name} is not in {help}")).split_whitespace().skip(1).collect()
    };
    // --type --prio --fd --create --listen --connect
    assert_eq!(row("sysv-msg"), ["yes", "-", "-", "yes", "-", "-"]);
    assert_eq!(row("posix-mq"), ["-", "yes", "-", "yes", "-", "-"]);
    assert!(!run("send -h").well().contains("sysv-msg        yes"));
}

#[test]
fn a_full_queue_is_waited_for_as_long_as_was_said() {
    let _test = test!();
    let (queue, _remove) = posix_queue(1, 10);
    let error = run(&format!("send {queue} a b --timeout 50ms")).fails(4, "the one before it was");
    assert!(error.contains("message 2 (\"b\")"), "{error}");
    run(&format!("send {queue}?timeout=20ms b"))
        .fails(4, "posix-mq".to_uppercase().as_str().get(..0).unwrap());
    // Each wait anew, and what finds room needs none.
    drain(&queue);
    run(&format!("send {queue} a --timeout 0s")).well();
    let mut sender = Child::start(twixt(["send", &queue, "b", "c", "--timeout", "60s"]));
    sender.wait_until_blocked_in(&[libc::SYS_ppoll, libc::SYS_mq_timedsend]);
    let mut receiver = twixt::channel::Receiver::open(&plane::address(&queue)).unwrap();
    for expected in ["a", "b", "c"] {
        assert_eq!(receiver.receive().unwrap().bytes(), expected.as_bytes());
    }
    assert!(sender.wait().success());
}

#[test]
fn whoever_waits_for_room_can_be_stopped() {
    let _test = test!();
    let (posix, _remove_posix) = posix_queue(1, 10);
    let (sysv, _remove_sysv) = sysv_queue();
    let mut filler = twixt::channel::Sender::open(&plane::address(&sysv)).unwrap();
    while filler.try_send(&[b'x'; 4096]).is_ok() {}
    run(&format!("send {posix} a")).well();
    for (queue, calls) in [(&posix, [libc::SYS_mq_timedsend]), (&sysv, [libc::SYS_msgsnd])] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
            let mut command = twixt(["send", queue, &"y".repeat(10)]);
            command.stderr(Stdio::piped());
            let mut sender = Child::start(command);
            sender.wait_until_blocked_in(&calls);
            sender.signal(signal);
            assert_eq!(sender.wait().code(), Some(code), "{queue}");
        }
    }
    assert_eq!(drain(&posix), ["a"]);
}

#[test]
fn whoever_waits_for_input_can_be_stopped() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 10);
    let mut sender = Child::start(twixt(["send", &queue]));
    sender.tell("one");
    sender.wait_until_blocked_in(&[libc::SYS_read]);
    while drain(&queue).is_empty() {}
    sender.signal(Signal::TERM);
    assert_eq!(sender.wait().code(), Some(143));
}

#[test]
fn a_stop_between_messages_leaves_a_file_where_it_was() {
    let _test = test!();
    let (queue, _remove) = posix_queue(1, 10);
    let scratch = scratch();
    let path = scratch.path().join("input");
    std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let mut file = File::open(&path).unwrap();
    let mut command = twixt(["send", &queue]);
    command.stdin(file.try_clone().unwrap());
    let mut sender = command.spawn().unwrap();
    while drain_one(&queue).as_deref() != Some("one") {
        std::thread::sleep(Duration::from_millis(1));
    }
    // "two" has room now, "three" has none.
    while twixt::channel::Sender::open(&plane::address(&queue)).unwrap().len().unwrap() != Some(1) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&sender);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(sender.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    assert_eq!((drain(&queue), rest.as_str()), (vec!["two".to_owned()], "three\n"));
}

fn drain_one(queue: &str) -> Option<String> {
    let mut receiver = twixt::channel::Receiver::open(&plane::address(queue)).unwrap();
    receiver.try_receive().ok().map(|message| String::from_utf8(message.into_bytes()).unwrap())
}

#[test]
fn progress_is_for_terminals_and_for_what_lasts() {
    let _test = test!();
    let (queue, _remove) = posix_queue(8, 10);
    let on_terminal = |arguments: &[&str]| {
        let (mut user, program) = tool::terminal();
        let mut command = twixt(["send", &queue].iter().chain(arguments));
        command.env("TERM", "xterm").stderr(program);
        let mut sender = command.spawn().unwrap();
        drop(command);
        let mut shown = Vec::new();
        // At the end a terminal gives EIO rather than nothing.
        let _ = user.read_to_end(&mut shown);
        assert!(sender.wait().unwrap().success());
        drain(&queue);
        String::from_utf8(shown).unwrap()
    };
    let shown = on_terminal(&["four", "--count", "4", "--rate", "2/s"]);
    assert!(shown.contains("messages, ") && shown.contains(" bytes, "), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[K"), "{shown:?}");
    assert_eq!(on_terminal(&["four"]), "");
}

#[test]
fn a_port_that_the_kernel_chose_is_told() {
    let _test = test!();
    let mut command = twixt(["send", "tcp:127.0.0.1:0", "--listen", "--framing", "lines", "hello"]);
    let mut sender = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(sender.stderr.take().unwrap()), &mut told)
        .unwrap();
    let port = told.trim().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let mut heard = String::new();
    let mut peer = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Read::read_to_string(&mut peer, &mut heard).unwrap();
    assert_eq!(heard, "hello\n");
    assert!(sender.wait().unwrap().success());
}
