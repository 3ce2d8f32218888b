//! The libraries from crates.io through the program: what one can do it does, what it cannot it says, and nothing stays
//! behind.

#![cfg(any(feature = "iceoryx2", feature = "shaq", feature = "ipc-channel", feature = "interprocess"))]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use twixt_testkit::scratch;

/// What came of each pattern and way to wait.
type Statuses = BTreeMap<(String, String), String>;

/// Runs the program on one transport, and looks for what it leaves.
fn run(transport: &str, patterns: &str) -> Statuses {
    let temporary = scratch();
    let child = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args([transport, "--pattern", patterns, "--wait", "spin,block", "--subs", "2"])
        .args(["--size", "64", "--time", "5", "--repeat", "1", "--json"])
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
    records
        .filter(|record| record["transport"] == transport)
        .map(|record| {
            let status = &record["status"];
            let status = if status.is_string() { word(status) } else { word(&status["unsupported"]) };
            ((word(&record["pattern"]), word(&record["wait"])), status)
        })
        .collect()
}

/// What is expected, a line for each pattern: what spinning comes to, and what sleeping.
fn expect(transport: &str, expected: &[(&str, [&str; 2])]) {
    let patterns: Vec<&str> = expected.iter().map(|(pattern, _)| *pattern).collect();
    let found = run(transport, &patterns.join(","));
    let expected: Statuses = expected
        .iter()
        .flat_map(|(pattern, statuses)| {
            ["spin", "block"]
                .into_iter()
                .zip(statuses)
                .map(|(wait, status)| ((String::from(*pattern), wait.to_owned()), String::from(*status)))
        })
        .collect();
    assert_eq!(found, expected);
}

const BOTH: [&str; 2] = ["ok", "ok"];

#[cfg(feature = "iceoryx2")]
#[test]
fn iceoryx2_publishes_and_subscribes() {
    let _test = twixt_testkit::test!();
    let single = "it sends one message at a time";
    let all = "whatever is sent goes to all, none of its patterns shares";
    expect(
        "iceoryx2",
        &[("rtt", BOTH), ("throughput", BOTH), ("batch", [single; 2]), ("fanout", BOTH), ("work", [all; 2])],
    );
}

#[cfg(feature = "iceoryx2")]
#[test]
fn iceoryx2_answers_requests() {
    let _test = twixt_testkit::test!();
    let calls = "requests and responses are round trips";
    expect("iceoryx2-rpc", &[("rtt", BOTH), ("throughput", [calls; 2])]);
}

#[cfg(feature = "shaq")]
#[test]
fn shaq_does_all_of_it_where_a_producer_may_spin() {
    let _test = twixt_testkit::test!();
    let spinning = ["ok", "its producers cannot sleep until there is room"];
    expect(
        "shaq",
        &[
            ("rtt", BOTH),
            ("throughput", spinning),
            ("batch", spinning),
            ("fanout", spinning),
            ("work", spinning),
        ],
    );
}

#[cfg(feature = "ipc-channel")]
#[test]
fn ipc_channel_sends_where_a_sender_may_sleep() {
    let _test = twixt_testkit::test!();
    let sleeping = ["its senders sleep while there is no room", "ok"];
    let one = "its channels have one receiver each";
    expect(
        "ipc-channel",
        &[("rtt", BOTH), ("throughput", sleeping), ("fanout", sleeping), ("work", [one; 2])],
    );
}

#[cfg(feature = "interprocess")]
#[test]
fn interprocess_has_streams() {
    let _test = twixt_testkit::test!();
    let one = "its sockets have one receiver each";
    expect("interprocess", &[("rtt", BOTH), ("throughput", BOTH), ("fanout", BOTH), ("work", [one; 2])]);
}
