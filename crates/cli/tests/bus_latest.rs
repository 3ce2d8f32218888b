//! Latest values under `send`, `recv`, `relay`, `mk`, `stat` and `rm`, between real processes.

use rustix::process::Signal;
use serde_json::Value;
use twixt_testkit::test;

#[path = "support/bus.rs"]
mod bus;
#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use bus::{Bus, lines};

#[test]
fn the_last_of_what_was_sent_is_there() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("send latest:x one").fails(1, "add ?create to make it");
    bus.run("recv --create latest:x --timeout 10ms").fails(4, "no message came within 10ms");
    assert_eq!(bus.run("send latest:x one two three").well(), "");
    // As often as it is looked at, also when its writer has gone.
    for _ in 0..2 {
        assert_eq!(bus.run("recv latest:x").well(), "three\n");
    }
    bus.feed("send latest:x", &lines(1..=2000)).well();
    assert_eq!(bus.run("recv latest:x").well(), "2000\n");
    let first = bus.run("recv latest:x --json").well();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(
        (&first["text"], &first["sequence"], &first["missed"]),
        (&"2000".into(), &2003.into(), &0.into())
    );
}

#[test]
fn who_follows_gets_newer_and_newer_ones_of_any_writer() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("send --create latest:x before").well();
    let mut follower = bus.start("recv latest:x --follow --json");
    let hear = |follower: &mut twixt_testkit::Child| -> Value {
        serde_json::from_str(&follower.line().expect("a value")).unwrap()
    };
    assert_eq!(hear(&mut follower)["text"], "before");
    for text in ["one", "two"] {
        bus.run(&format!("send latest:x {text}")).well();
        let value = hear(&mut follower);
        assert_eq!((&value["text"], &value["missed"]), (&text.into(), &0.into()));
    }
    // What it does not look at in time it skips, and is told.
    follower.signal(Signal::STOP);
    bus.feed("send latest:x", &lines(1..=50)).well();
    follower.signal(Signal::CONT);
    let (mut before, mut last) = (3, String::new());
    while last != "50" {
        let value = hear(&mut follower);
        let (sequence, missed) = (value["sequence"].as_u64().unwrap(), value["missed"].as_u64().unwrap());
        assert_eq!(sequence, before + missed + 1, "what is missing is what was missed");
        assert_eq!(value["text"], (sequence - 3).to_string());
        (before, last) = (sequence, value["text"].as_str().unwrap().to_owned());
    }
    follower.signal(Signal::INT);
    assert_eq!(follower.wait().code(), Some(130));
}

#[test]
fn there_is_one_writer_at_a_time() {
    let _test = test!();
    let bus = Bus::new();
    let mut writer = bus.start("send --create latest:x");
    bus.wait_for("latest:x", "writer", 1);
    let ended = bus.run("send latest:x mine");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("process {} writes it", writer.pid())), "{ended:?}");
    // One that dies makes room for another, and what it wrote last stays.
    let mut reader = bus.start("recv latest:x -n 2");
    writer.tell("his");
    assert_eq!(reader.line().as_deref(), Some("his"));
    writer.kill();
    assert_eq!(reader.wait().code(), Some(5), "there were to be two");
    assert_eq!(bus.run("recv latest:x").well(), "his\n");
    bus.run("send latest:x mine").well();
    assert_eq!(bus.run("recv latest:x").well(), "mine\n");
}

#[test]
fn relays_values_as_they_become_newer() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk latest:a latest:b?message-size=1k queue:q").well();
    let mut writer = bus.start("send latest:a");
    bus.wait_for("latest:a", "writer", 1);
    let between = bus.start("relay latest:a latest:b");
    bus.wait_for("latest:a", "reader", 1);
    let into_queue = bus.start("relay latest:a queue:q");
    bus.wait_for("latest:a", "reader", 2);
    for text in ["1", "2", "3"] {
        writer.tell(text);
        let mut taken = bus.start("recv queue:q");
        assert_eq!(taken.line().as_deref(), Some(text));
        assert!(taken.wait().success());
    }
    // The writer leaves, which is the end of both.
    writer.succeed();
    between.succeed();
    into_queue.succeed();
    assert_eq!(bus.run("recv latest:b").well(), "3\n");
}

#[test]
fn what_it_has_no_place_for_is_refused_by_name() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk latest:x?message-size=10").well();
    for (line, part) in [
        ("send latest:x --type 3 x", "--type does not apply to latest: its messages have no types"),
        ("send latest:x --prio 3 x", "--prio does not apply to latest: its messages have no priorities"),
        ("send latest:x --fd /dev/null x", "--fd does not apply to latest: it passes no descriptors"),
        ("send latest:x --listen x", "--listen does not apply to latest: none of its two sides listens"),
        ("recv latest:x --type any", "--type does not apply to latest: its messages have no types"),
        ("relay --both latest:x latest:x", "--both does not apply to latest: it has one direction"),
        ("send latest:x?capacity=1k x", "capacity"),
        ("recv latest:x?history=3", "history"),
        ("mk latest:y?budget=1k", "budget"),
        ("send latest:x 12345678901", "10 is the most"),
    ] {
        bus.run(line).fails(2, part);
    }
    bus.run("send latest:x 1234567890").well();
    assert_eq!(bus.run("recv latest:x").well(), "1234567890\n");
}

#[test]
fn who_uses_it_is_shown_before_it_is_removed() {
    let _test = test!();
    let bus = Bus::new();
    let mut writer = bus.start("send --create latest:x");
    writer.tell("abc");
    bus.wait_for("latest:x", "writer", 1);
    let mut reader = bus.start("recv latest:x --follow");
    assert_eq!(reader.line().as_deref(), Some("abc"));
    let table = bus.run("stat latest:x --noheadings -o role,pid,state,messages,bytes,lag").well();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let (writes, reads) = (writer.pid().to_string(), reader.pid().to_string());
    assert_eq!(
        rows,
        [vec!["writer", &writes, "here", "1", "3", "-"], vec!["reader", &reads, "here", "1", "-", "-"],]
    );
    let ended = bus.run("rm --yes latest:x");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{writes} (twixt): sends to it\n")), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{reads} (twixt): receives from it\n")), "{ended:?}");
    assert_eq!(reader.wait().code(), Some(2), "whoever waits is told");
}
