//! Names on the bus: made, found, used, listed and removed.

use std::fs;

use twixt_address::Address;
use twixt_bus::{Options, Publisher, Subscriber};
use twixt_object::{Use, find, make, names_on_bus};
use twixt_os::ErrorKind;
use twixt_testkit::test;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn made_found_used_listed_and_removed() {
    let test = test!();
    // With a bus of its own, which only the environment of a process can say.
    test.role("alone", |_| alone());
    let bus = twixt_testkit::bus();
    let variable = format!("TWIXT_BUS={}", bus.path().display());
    test.child("alone").under(&["env", &variable]).spawn().succeed();
    assert_eq!(fs::read_dir(bus.path()).unwrap().count(), 0, "nothing is left");
}

fn alone() {
    assert_eq!(names_on_bus().unwrap(), []);
    for text in ["topic:a/b?mode=0640&capacity=8k", "queue:q?retries=3", "latest:v?message-size=4k", "rpc:s"]
    {
        make(&address(text)).unwrap_or_else(|error| panic!("{error}"));
        let error = make(&address(text)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    }
    let names: Vec<String> = names_on_bus().unwrap().iter().map(Address::to_string).collect();
    assert_eq!(names, ["topic:a/b", "queue:q", "latest:v", "rpc:s"]);

    let found = find(&address("topic:a/b")).unwrap();
    assert_eq!(found.users().unwrap().users, []);
    let name = twixt_address::BusName::new("a/b").unwrap();
    let subscriber = Subscriber::open(&name, &Options::new()).unwrap();
    let publisher = Publisher::open(&name, &Options::new()).unwrap();
    let users = found.users().unwrap();
    assert_eq!(users.unreadable, 0);
    let [user] = &users.users[..] else { panic!("{users:?}") };
    assert_eq!(user.pid, Some(std::process::id().cast_signed()));
    assert_eq!(user.uses, [Use::Sends, Use::Receives]);
    drop((publisher, subscriber));
    assert_eq!(found.users().unwrap().users, [], "who has left uses it no more");

    // Another of the same name is another.
    found.check_removable().unwrap();
    find(&address("topic:a/b")).unwrap().remove().unwrap();
    make(&address("topic:a/b")).unwrap();
    let error = found.remove().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
    for name in names_on_bus().unwrap() {
        find(&name).unwrap().remove().unwrap();
    }
    let error = find(&address("topic:a/b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
