//! Connections of the bus under `send`, `recv`, `relay`, `mk`, `stat` and `rm`, between real processes.

use rustix::process::Signal;
use twixt_testkit::test;

#[path = "support/bus.rs"]
mod bus;
#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use bus::{Bus, lines};

#[test]
fn who_listens_hears_everyone_who_connects() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("send rpc:x hello").fails(1, "it does not exist");
    bus.run("mk rpc:x").well();
    let ended = bus.run("send rpc:x hello");
    assert!(ended.stderr.contains("nobody listens there"), "{ended:?}");
    let mut listener = bus.start("recv rpc:x --follow");
    bus.wait_for("rpc:x", "listener", 1);
    bus.run("send rpc:x one two").well();
    assert_eq!(listener.line().as_deref(), Some("one"));
    assert_eq!(listener.line().as_deref(), Some("two"));
    // It is accepted, and received, when the sender has gone.
    listener.signal(Signal::STOP);
    let sent = lines(1..=300);
    bus.feed("send rpc:x", &sent).well();
    listener.signal(Signal::CONT);
    for number in 1..=300 {
        assert_eq!(listener.line(), Some(number.to_string()));
    }
    let ended = bus.run("recv rpc:x");
    assert!(ended.stderr.contains(&format!("process {} listens there already", listener.pid())), "{ended:?}");
    listener.signal(Signal::INT);
    assert_eq!(listener.wait().code(), Some(130));
    // Without --follow until all who have connected are gone.
    let mut once = bus.start("recv rpc:x");
    bus.wait_for("rpc:x", "listener", 1);
    bus.feed("send rpc:x", &sent).well();
    assert_eq!(String::from_utf8(once.rest()).unwrap(), sent);
    assert!(once.wait().success());
}

#[test]
fn the_sides_can_be_turned_round_and_meet_without_room() {
    let _test = test!();
    let bus = Bus::new();
    let sender = bus.start("send --listen rpc:x one two");
    bus.wait_for("rpc:x", "listener", 1);
    assert_eq!(bus.run("recv --connect rpc:x").well(), "one\ntwo\n");
    sender.succeed();
    // Capacity zero: what nobody has taken is not sent.
    let listener = bus.start("recv rpc:x?capacity=0 --follow -n 1");
    bus.wait_for("rpc:x", "listener", 1);
    listener.signal(Signal::STOP);
    let ended = bus.run("send rpc:x?capacity=0 --timeout 50ms hello");
    assert_eq!(ended.code, Some(4), "{ended:?}");
    listener.signal(Signal::CONT);
    bus.run("send rpc:x?capacity=0 there").well();
    let mut listener = listener;
    assert_eq!(String::from_utf8(listener.rest()).unwrap(), "there\n");
}

#[test]
fn relays_both_ways() {
    let _test = test!();
    let bus = Bus::new();
    bus.run("mk rpc:a rpc:b").well();
    let mut server = bus.start("relay --both rpc:b exec:cat --framing lines");
    bus.wait_for("rpc:b", "listener", 1);
    let mut between = bus.start("relay --both rpc:a rpc:b");
    bus.wait_for("rpc:a", "listener", 1);
    let mut client = bus.start("relay --both - rpc:a --framing lines");
    for text in ["one", "two", "three"] {
        client.tell(text);
        assert_eq!(client.line().as_deref(), Some(text));
    }
    client.close_stdin();
    assert!(client.wait().success());
    assert!(between.wait().success());
    assert!(server.wait().success());
}

#[test]
fn who_uses_it_is_shown_before_it_is_removed() {
    let _test = test!();
    let bus = Bus::new();
    let mut listener = bus.start("recv rpc:x --follow");
    bus.wait_for("rpc:x", "listener", 1);
    let mut client = bus.start("send rpc:x");
    client.tell("hello");
    assert_eq!(listener.line().as_deref(), Some("hello"));
    let table = bus.run("stat rpc:x --noheadings -o role,pid,state,messages,bytes").well();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let (listens, asks) = (listener.pid().to_string(), client.pid().to_string());
    assert_eq!(
        rows,
        [
            vec!["listener", &listens, "here", "0", "-"],
            vec!["client", &asks, "here", "1", "5"],
            vec!["server", &listens, "here", "0", "0"],
        ]
    );
    let ended = bus.run("rm --yes rpc:x");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    let serves = format!("{listens} (twixt): serves it, sends to it, receives from it\n");
    assert!(ended.stderr.contains(&serves), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{asks} (twixt): sends to it, receives from it\n")), "{ended:?}");
    assert_eq!(listener.wait().code(), Some(2), "whoever waits is told");
    client.kill();
}
