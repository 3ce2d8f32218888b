//! The libraries that are not from crates.io through the program: what one can do it does, what it cannot it says, and
//! nothing stays behind.

#![cfg(any(feature = "aeron", feature = "zeromq", feature = "nng", feature = "boost", feature = "python"))]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use twixt_testkit::scratch;

/// Runs the program on one transport, and looks for what it leaves. What came of each pattern.
fn run(transport: &str, wait: &str, sizes: &str) -> BTreeMap<String, String> {
    let temporary = scratch();
    let child = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args([transport, "--pattern", "rtt,throughput,fanout,work", "--wait", wait, "--subs", "2"])
        .args(["--size", sizes, "--time", "5", "--repeat", "1", "--json"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let id = format!("-{}-", child.id());
    let output = child.wait_with_output().expect("the program ends");
    let text = String::from_utf8(output.stdout).expect("output in UTF-8");
    assert!(output.status.success(), "{}: {text}", output.status);

    let names = |path: &str| fs::read_dir(path).into_iter().flatten().flatten().map(|it| it.file_name());
    let left: Vec<_> = names("/dev/shm").filter(|name| name.to_string_lossy().contains(&id)).collect();
    assert!(left.is_empty(), "left in shared memory: {left:?}");
    let left: Vec<_> = names(&temporary.path().to_string_lossy()).collect();
    assert!(left.is_empty(), "left among temporary files: {left:?}");

    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record in JSON"));
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut found = BTreeMap::new();
    for record in records.filter(|record| record["transport"] == transport) {
        let status = &record["status"];
        let status = if status.is_string() { word(status) } else { word(&status["unsupported"]) };
        // All sizes come to the same.
        let before = found.insert(word(&record["pattern"]), status.clone());
        assert!(before.is_none_or(|before| before == status), "{text}");
    }
    found
}

/// Several publishers, of which one says that all have sent everything, lose nothing.
#[cfg(any(feature = "zeromq", feature = "nng", feature = "boost", feature = "python"))]
fn share(transport: &str) {
    let child = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args([transport, "--pattern", "work", "--wait", "spin,block", "--pubs", "2", "--subs", "2"])
        .args(["--size", "64", "--time", "5", "--repeat", "1", "--json"])
        .output()
        .expect("the program ends");
    let text = String::from_utf8(child.stdout).expect("output in UTF-8");
    assert!(child.status.success(), "{}: {text}", child.status);
}

/// What comes of rtt, throughput, fanout and work. The second size is one that no fragment and no small buffer holds.
fn expect(transport: &str, wait: &str, statuses: [&str; 4]) {
    let patterns = ["rtt", "throughput", "fanout", "work"];
    let expected =
        patterns.into_iter().zip(statuses).map(|(pattern, status)| (pattern.to_owned(), status.to_owned()));
    assert_eq!(run(transport, wait, "64,100001"), expected.collect());
}

#[cfg(feature = "aeron")]
#[test]
fn aeron_publishes_to_all() {
    let _test = twixt_testkit::test!();
    let all = "every subscriber has every message";
    expect("aeron", "spin", ["ok", "ok", "ok", all]);
    expect("aeron", "block", ["ok", "ok", "ok", all]);
}

#[cfg(feature = "zeromq")]
#[test]
fn zeromq_does_all_of_it() {
    let _test = twixt_testkit::test!();
    expect("zeromq", "spin", ["ok"; 4]);
    expect("zeromq", "block", ["ok"; 4]);
}

#[cfg(feature = "nng")]
#[test]
fn nng_does_all_of_it() {
    let _test = twixt_testkit::test!();
    expect("nng", "spin", ["ok"; 4]);
    expect("nng", "block", ["ok"; 4]);
}

#[cfg(feature = "nng")]
#[test]
fn nng_publishes_and_may_lose() {
    let _test = twixt_testkit::test!();
    let only = "it publishes to subscribers, and does nothing else";
    expect("nng-pubsub", "block", [only, only, "ok", only]);
}

#[cfg(feature = "boost")]
#[test]
fn boost_has_queues_that_many_share() {
    let _test = twixt_testkit::test!();
    expect("boost", "spin", ["ok"; 4]);
    expect("boost", "block", ["ok"; 4]);
}

#[cfg(feature = "boost")]
#[test]
fn boost_has_rings_of_one_producer_and_one_consumer() {
    let _test = twixt_testkit::test!();
    expect("boost-spsc", "spin", ["ok", "ok", "ok", "it has one producer and one consumer"]);
    expect("boost-spsc", "block", ["it has no way to sleep"; 4]);
}

#[cfg(feature = "python")]
#[test]
fn python_has_connections_to_sleep_on() {
    let test = twixt_testkit::test!();
    if let Err(missing) = twixt_testkit::command("python3") {
        return test.skip(&missing);
    }
    // One size: where it sleeps its system calls are counted, too, and an interpreter that is traced starts slowly.
    let found = run("python", "block", "64");
    assert!(found.len() == 4 && found.values().all(|status| status == "ok"), "{found:?}");
}

#[cfg(feature = "python")]
#[test]
fn python_has_connections_to_ask_again_and_again() {
    let test = twixt_testkit::test!();
    if let Err(missing) = twixt_testkit::command("python3") {
        return test.skip(&missing);
    }
    expect("python", "spin", ["ok"; 4]);
}

#[cfg(feature = "python")]
#[test]
fn python_has_shared_memory() {
    let test = twixt_testkit::test!();
    if let Err(missing) = twixt_testkit::command("python3") {
        return test.skip(&missing);
    }
    let shared = "it has nothing that several could take messages from in shared memory";
    expect("python-shm", "spin", ["ok", "ok", "ok", shared]);
}

#[cfg(feature = "zeromq")]
#[test]
fn zeromq_shares_among_several() {
    let _test = twixt_testkit::test!();
    share("zeromq");
}

#[cfg(feature = "nng")]
#[test]
fn nng_shares_among_several() {
    let _test = twixt_testkit::test!();
    share("nng");
}

#[cfg(feature = "boost")]
#[test]
fn boost_shares_among_several() {
    let _test = twixt_testkit::test!();
    share("boost");
}

#[cfg(feature = "python")]
#[test]
fn python_shares_among_several() {
    let test = twixt_testkit::test!();
    if let Err(missing) = twixt_testkit::command("python3") {
        return test.skip(&missing);
    }
    share("python");
}
