//! Topics under `send`, `recv`, `relay`, `mk` and `rm`, between real processes.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use serde_json::Value;
use twixt_testkit::{scratch, test};

#[path = "support/bus.rs"]
mod bus;
#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use bus::{Bus, lines};
use process::until;

#[test]
fn every_subscriber_gets_every_message() {
    let _test = test!();
    let bus = Bus::new();
    let mut subscribers: Vec<_> = (0..3).map(|_| bus.start("recv --create topic:x")).collect();
    bus.wait_for("topic:x", "subscriber", 3);
    let sent = lines(1..=5000);
    assert_eq!(bus.feed("send topic:x", &sent).well(), "");
    // The one publisher has left, which is the end.
    for subscriber in &mut subscribers {
        assert_eq!(String::from_utf8(subscriber.rest()).unwrap(), sent);
        assert!(subscriber.wait().success());
    }
    assert_eq!(bus.count("topic:x", "subscriber"), 0);
}

#[test]
fn what_nobody_hears_is_told_and_kept_for_who_asks_for_a_history() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk topic:x").well();
    let ended = bus.run("send topic:x one two three");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert_eq!(
        ended.stderr,
        "twixt: nobody subscribes to topic:x: what was sent reaches only who asks for a ?history=\n"
    );
    assert_eq!(bus.run("recv topic:x?history=2").well(), "two\nthree\n");
    assert_eq!(bus.run("recv topic:x?history=100").well(), "one\ntwo\nthree\n");
    bus.run("recv topic:x --timeout 10ms").fails(4, "no message came within 10ms");
}

#[test]
fn messages_tell_their_publisher_and_their_number() {
    let _test = test!();
    let bus = Bus::new();
    let mut subscriber = bus.start("recv --create topic:x --json --follow -n 3");
    bus.wait_for("topic:x", "subscriber", 1);
    bus.run("send topic:x one two").well();
    bus.run("send topic:x three").well();
    for (number, text) in (0..).zip(["one", "two", "three"]) {
        let line: Value = serde_json::from_str(&subscriber.line().expect("a message")).unwrap();
        assert_eq!(line["text"], text);
        assert_eq!((&line["publisher"], &line["sequence"]), (&Value::from(0), &Value::from(number)));
        assert_eq!((&line["missed"], &line["priority"]), (&Value::from(0), &Value::Null));
    }
    assert!(subscriber.wait().success());
}

#[test]
fn the_end_comes_when_the_last_publisher_has_gone() {
    let _test = test!();
    let bus = Bus::new();
    let mut until_end = bus.start("recv --create topic:x");
    let mut counting = bus.start("recv --create topic:x -n 9");
    let mut following = bus.start("recv --create topic:x --follow");
    bus.wait_for("topic:x", "subscriber", 3);
    let mut first = bus.start("send topic:x");
    first.tell("from the first");
    let mut second = bus.start("send topic:x");
    second.tell("from the second");
    for _ in 0..2 {
        assert!(following.line().expect("a message").starts_with("from the "));
    }
    // One that dies is no end as long as there is another.
    first.kill();
    second.tell("and more");
    assert_eq!(following.line().as_deref(), Some("and more"));
    second.succeed();
    assert!(until_end.wait().success());
    let heard = String::from_utf8(until_end.rest()).unwrap();
    assert_eq!(heard.lines().count(), 3, "{heard:?}");
    assert_eq!(counting.wait().code(), Some(5), "there were to be more");
    // And whoever follows hears those that come later.
    bus.run("send topic:x later").well();
    assert_eq!(following.line().as_deref(), Some("later"));
    following.signal(Signal::INT);
    assert_eq!(following.wait().code(), Some(130));
    assert_eq!(bus.count("topic:x", "subscriber"), 0);
}

#[test]
fn a_publisher_that_is_killed_is_an_end() {
    let _test = test!();
    let bus = Bus::new();
    let mut subscriber = bus.start("recv --create topic:x");
    bus.wait_for("topic:x", "subscriber", 1);
    let mut publisher = bus.start("send topic:x");
    publisher.tell("last words");
    assert_eq!(subscriber.line().as_deref(), Some("last words"));
    publisher.kill();
    assert!(subscriber.wait().success());
}

#[test]
fn a_publisher_waits_for_the_slow_and_not_for_the_dead() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk topic:x --capacity 4k").well();
    let slow = bus.start("recv topic:x");
    bus.wait_for("topic:x", "subscriber", 1);
    slow.stop();
    let ended = bus.feed("send topic:x --timeout 50ms", &lines(1..=1000));
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.stderr.contains("was not sent, the "), "{ended:?}");
    let publisher = bus.start("send topic:x --count 500 again");
    until("a full ring", || {
        let lag = |one: &Value| one["lag"].as_u64().unwrap_or(0);
        bus.participants("topic:x").iter().any(|one| lag(one) > 2048)
    });
    slow.kill();
    publisher.succeed();
}

#[test]
fn who_does_not_want_to_be_waited_for_misses_the_oldest_and_is_told() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk topic:x --capacity 4k").well();
    let mut subscriber = bus.start("recv topic:x?slow=drop-oldest --json");
    bus.wait_for("topic:x", "subscriber", 1);
    let mut publisher = bus.start("send topic:x");
    publisher.tell("1");
    let first: Value = serde_json::from_str(&subscriber.line().expect("a message")).unwrap();
    assert_eq!(first["sequence"], 0);
    subscriber.stop();
    for number in 2..=1000 {
        publisher.tell(&number.to_string());
    }
    publisher.succeed();
    subscriber.signal(Signal::CONT);
    let (mut messages, mut missed, mut next) = (1, 0, 1);
    while let Some(line) = subscriber.line() {
        let line: Value = serde_json::from_str(&line).unwrap();
        let (sequence, before) = (line["sequence"].as_u64().unwrap(), line["missed"].as_u64().unwrap());
        assert_eq!(sequence, next + before, "what is missing is what was missed");
        assert_eq!(line["text"], (sequence + 1).to_string());
        (messages, missed, next) = (messages + 1, missed + before, sequence + 1);
    }
    assert_eq!((messages + missed, next), (1000, 1000));
    assert!(missed > 0);
}

#[test]
fn a_command_for_each_message() {
    let _test = test!();
    let bus = Bus::new();
    let mut command = tool::twixt(["recv", "--create", "topic:x", "-n", "2", "--exec"]);
    command.arg("echo $(cat) $TWIXT_PUBLISHER $TWIXT_SEQUENCE $TWIXT_MISSED");
    let mut subscriber = twixt_testkit::Child::start(bus.on_it(command));
    bus.wait_for("topic:x", "subscriber", 1);
    bus.run("send topic:x a b").well();
    assert_eq!(String::from_utf8(subscriber.rest()).unwrap(), "a 0 0 0\nb 0 1 0\n");
    assert!(subscriber.wait().success());
}

#[test]
fn relays_from_topic_to_topic_and_into_a_file() {
    let _test = test!();
    let bus = Bus::new();
    let scratch = scratch();
    let file = format!("file:{}/copy", scratch.path().display());
    bus.run("mk topic:a topic:b").well();
    let mut last = bus.start("recv topic:b");
    let between = bus.start("relay topic:a topic:b");
    let aside = bus.start(&format!("relay --create --framing lines topic:a {file}"));
    bus.wait_for("topic:a", "subscriber", 2);
    bus.wait_for("topic:b", "subscriber", 1);
    let sent = lines(1..=300);
    bus.feed("send topic:a", &sent).well();
    assert_eq!(String::from_utf8(last.rest()).unwrap(), sent);
    between.succeed();
    aside.succeed();
    assert_eq!(fs::read_to_string(scratch.path().join("copy")).unwrap(), sent);
}

#[test]
fn without_capacity_a_message_is_sent_when_all_have_it() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk topic:x?capacity=0").well();
    bus.run("send topic:x --timeout 20ms nobody").fails(4, "cannot publish to bus topic:x");
    let mut first = bus.start("recv topic:x --follow -n 2");
    let mut second = bus.start("recv topic:x --follow -n 2");
    bus.wait_for("topic:x", "subscriber", 2);
    bus.run("send topic:x one").well();
    assert_eq!((first.line().as_deref(), second.line().as_deref()), (Some("one"), Some("one")));
    // All of them, or nobody.
    second.signal(Signal::STOP);
    until("it stands still", || {
        let path = format!("/proc/{}/stat", second.pid());
        fs::read_to_string(path).unwrap().contains(") T ")
    });
    let sender = bus.start("send topic:x two");
    second.signal(Signal::CONT);
    sender.succeed();
    assert_eq!((first.line().as_deref(), second.line().as_deref()), (Some("two"), Some("two")));
    assert!(first.wait().success() && second.wait().success());
    bus.run("send topic:x --timeout 20ms late").fails(4, "cannot publish to bus topic:x");
    bus.run("recv topic:x?history=9 --timeout 20ms").fails(4, "no message came");
}

#[test]
fn a_reader_that_goes_ends_it() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("send --create topic:x 1 2 3");
    let mut shell = std::process::Command::new("bash");
    let line = "set -o pipefail; \"$0\" recv --follow topic:x?history=9 | head -1";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_twixt")]);
    assert_eq!(tool::end(bus.on_it(shell)).well(), "1\n");
}

#[test]
fn whoever_waits_is_told_that_it_is_removed() {
    let _test = test!();
    let bus = Bus::new();
    let mut subscriber = bus.start("recv --create topic:x");
    bus.wait_for("topic:x", "subscriber", 1);
    let pid = subscriber.pid();
    let ended = bus.run("rm --yes topic:x");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert_eq!(ended.stderr, format!("topic:x is used by\n  {pid} (twixt): receives from it\n"));
    assert_eq!(subscriber.wait().code(), Some(2));
    bus.run("rm --yes topic:x").fails(1, "cannot find bus topic:x");
    bus.run("send topic:x hello").fails(1, "add ?create to make it");
}

#[test]
fn it_is_made_as_it_was_asked_for() {
    let _test = test!();
    let bus = Bus::new();
    assert_eq!(bus.run("mk topic:a?budget=64k topic:b --mode 0660").well(), "topic:a\ntopic:b\n");
    bus.run("mk topic:c topic:a").fails(2, "cannot create bus topic:a: it is there already");
    bus.run("recv topic:c --timeout 1ms").fails(1, "it does not exist");
    let line = |address: &str| {
        let line = bus.run(&format!("stat --json {address}")).well();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    assert_eq!((&line("topic:a")["budget"], &line("topic:a")["mode"]), (&65536.into(), &"0660".into()));
    assert_eq!((&line("topic:b")["capacity"], &line("topic:b")["mode"]), (&1048576.into(), &"0660".into()));
    // No send waits with a budget.
    let slow = bus.start("recv topic:a");
    bus.wait_for("topic:a", "subscriber", 1);
    slow.stop();
    let ended = bus.feed("send topic:a", &lines(1..=5000));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("?budget"), "{ended:?}");
    slow.kill();
}

#[test]
fn wrong_input_names_the_wrong_part() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk topic:x").well();
    for (code, line, part) in [
        (1, "recv topic:none", "it does not exist; add ?create"),
        (2, "send topic:x?history=3 hello", "option history: it is the subscriber's to choose"),
        (2, "send topic:x?slow=block hello", "option slow: it is the subscriber's to choose"),
        (2, "recv topic:x?slow=drop", "slow drop is unknown"),
        (2, "recv topic:x?mode=0600", "option mode: it says how a new object is made; add create"),
        (2, "recv topic:x?create&capacity=64k", "it is there with a capacity of 1048576 bytes"),
        (2, "recv topic:x?create&capacity=1k&budget=1k", "capacity and budget exclude each other"),
        (2, "send topic:x --type 3 hello", "--type does not apply to topic"),
        (2, "send topic:x --fd /etc/hosts hello", "--fd does not apply to topic"),
        (2, "recv topic:x --listen", "--listen does not apply to topic"),
        (2, "recv topic:../x", "the part \"..\""),
    ] {
        bus.run(line).fails(code, part);
    }
    let long = "x".repeat(600_000);
    let ended = bus.feed("send topic:x", &long);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("the message has 600000 bytes"), "{}", ended.stderr);
}

#[test]
fn a_subscriber_that_is_killed_leaves_nothing_behind() {
    let _test = test!();
    let bus = Bus::new();
    let mut subscriber = bus.start("recv --create topic:x");
    bus.wait_for("topic:x", "subscriber", 1);
    subscriber.signal(Signal::KILL);
    assert_eq!(subscriber.wait().signal(), Some(9));
    let [died] = &bus.participants("topic:x")[..] else { panic!("what it left is still there") };
    assert_eq!((&died["state"], &died["role"]), (&"died".into(), &"subscriber".into()));
    // Whoever publishes clears it away.
    bus.run("send topic:x hello");
    let left = bus.participants("topic:x");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["role"], "publisher");
}
