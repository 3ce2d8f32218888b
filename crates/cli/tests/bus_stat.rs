//! `twixt stat`.

use rustix::process::Signal;
use serde_json::Value;
use twixt_testkit::{root, test};

#[path = "support/bus.rs"]
mod bus;
#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use bus::Bus;
use process::until;
use tool::{as_nobody, end};

#[test]
fn it_shows_who_takes_part() {
    let _test = test!();
    let bus = Bus::new();
    assert_eq!(bus.run("stat").well(), "");
    let mut subscriber = bus.start("recv --create topic:x?slow=drop-newest");
    bus.wait_for("topic:x", "subscriber", 1);
    let mut publisher = bus.start("send topic:x");
    publisher.tell("hello");
    assert_eq!(subscriber.line().as_deref(), Some("hello"));
    until("it has nothing left", || {
        bus.participants("topic:x").iter().any(|one| one["messages"] == 1 && one["lag"] == 0)
    });
    let (publishes, subscribes) = (publisher.pid(), subscriber.pid());
    let columns = "role,pid,state,messages,bytes,lag,missed,slow";
    let table = bus.run(&format!("stat topic:x -o {columns}")).well();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let (publishes, subscribes) = (publishes.to_string(), subscribes.to_string());
    assert_eq!(
        rows,
        [
            vec!["ROLE", "PID", "STATE", "MESSAGES", "BYTES", "LAG", "MISSED", "SLOW"],
            vec!["publisher", &publishes, "here", "1", "5", "-", "-", "-"],
            vec!["subscriber", &subscribes, "here", "1", "5", "0", "0", "drop-newest"],
        ]
    );
    assert_eq!(bus.run("stat topic:x -o role --noheadings").well(), "publisher\nsubscriber\n");
    // Without a name, all there are.
    assert_eq!(
        bus.run("stat -o address,role --noheadings").well(),
        "topic:x  publisher\ntopic:x  subscriber\n"
    );
    let line: Value = serde_json::from_str(&bus.run("stat --json").well()).unwrap();
    assert_eq!(
        (&line["schema"], &line["address"], &line["unreadable"]),
        (&1.into(), &"topic:x".into(), &0.into())
    );
    publisher.succeed();
    assert_eq!(
        bus.run("stat topic:x -o state,role --noheadings").stdout.lines().next(),
        Some("left  publisher")
    );
}

#[test]
fn columns_are_aligned_and_lag_is_what_waits() {
    let _test = test!();
    let bus = Bus::new();
    let subscriber = bus.start("recv --create topic:x");
    bus.wait_for("topic:x", "subscriber", 1);
    subscriber.stop();
    bus.run("send topic:x 1 2 3 4 5").well();
    let table = bus.run("stat -o lag,role,messages topic:x").well();
    assert_eq!(table, "LAG  ROLE        MESSAGES\n  -  publisher          5\n320  subscriber         0\n");
    subscriber.kill();
}

#[test]
fn nobody_is_no_fault_and_nothing_is() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk topic:x latest:y").well();
    let ended = bus.run("stat topic:x");
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.as_str()),
        (Some(0), "", "nobody takes part in topic:x\n")
    );
    assert_eq!(bus.run("stat --json").well().lines().count(), 2);
    bus.run("stat topic:none").fails(1, "cannot look at bus topic:none: it does not exist");
}

#[test]
fn wrong_input_names_the_wrong_part() {
    let _test = test!();
    let bus = Bus::new();
    for (line, part) in [
        ("stat fifo:/x", "cannot look at fifo:/x: it is no name on the bus"),
        ("stat topic:x?create", "option create says nothing"),
        ("stat topic:x -o nonsense", "[possible values: address, role"),
        ("stat topic:x -o pid --json", "cannot be used with"),
        ("stat x", "bad address"),
    ] {
        bus.run(line).fails(2, part);
    }
    let mut command = bus.twixt("stat");
    command.env("TWIXT_BUS", "/nowhere");
    end(command).fails(1, "$TWIXT_BUS names it");
}

#[test]
fn what_cannot_be_read_is_counted() {
    let test = test!();
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let bus = Bus::new();
    bus.run("mk topic:x --mode 0644").well();
    let mut mine = bus.start("recv topic:x");
    bus.wait_for("topic:x", "subscriber", 1);
    // Only reading is left to others, and of one file not even that.
    let directory = bus.path().join("topic.x");
    for (path, mode) in [(bus.path(), 0o755), (&directory, 0o755), (&directory.join("s0"), 0o600)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let ended = end(as_nobody(bus.twixt("stat topic:x")));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
    assert!(ended.stderr.contains("1 participant of topic:x cannot be read"), "{ended:?}");
    mine.signal(Signal::TERM);
    assert_eq!(mine.wait().code(), Some(143));
}
