//! Transports that lie, stop and die are told by what they did.

use std::time::Duration;

use twixt_bench::{Pattern, Plan, Record, Status};
use twixt_testkit::Missing;

use crate::{Case, of, plan, records, well};

pub const TESTS: &[Case] = &[
    ("lies::an_honest_wire_is_believed", an_honest_wire_is_believed),
    ("lies::what_comes_wrong_is_told", what_comes_wrong_is_told),
    ("lies::what_never_comes_is_told", what_never_comes_is_told),
    ("lies::a_party_that_gives_up_says_why", a_party_that_gives_up_says_why),
    ("lies::a_killed_party_is_told", a_killed_party_is_told),
    ("lies::a_party_that_hangs_is_told_and_ended", a_party_that_hangs_is_told_and_ended),
    ("lies::a_failure_ends_no_more_than_itself", a_failure_ends_no_more_than_itself),
];

const COUNT: u64 = 200;

fn why(record: &Record) -> &str {
    match &record.status {
        Status::Failed(why) => why,
        other => panic!("{}: {other:?}", record.transport),
    }
}

fn one(transport: &str, pattern: Pattern) -> Record {
    of(&records(&plan(&[transport], pattern, 64, COUNT)), transport).clone()
}

fn an_honest_wire_is_believed() -> Result<(), Missing> {
    for pattern in [Pattern::Rtt, Pattern::Throughput, Pattern::Batch] {
        let record = one("wire", pattern);
        assert_eq!(well(&record).n, COUNT, "{record:?}");
        assert_eq!(record.lost, 0);
        assert!(record.msgs_per_s.is_some_and(|rate| rate > 0.0), "{record:?}");
    }
    Ok(())
}

fn what_comes_wrong_is_told() -> Result<(), Missing> {
    for pattern in [Pattern::Rtt, Pattern::Throughput] {
        for (transport, words) in [
            ("drops", "41 is out of order; 40 was the next"),
            ("doubles", "40 is out of order; 41 was the next"),
            ("swaps", "41 is out of order; 40 was the next"),
            ("tears", "40 is torn"),
            ("shortens", "a message of 64 bytes is 63 long"),
        ] {
            // A ping that is held back comes to nobody: no round trip can pass another.
            let held = pattern == Pattern::Rtt && matches!(transport, "drops" | "swaps");
            if held {
                continue;
            }
            // More than there is room for: who sends must not wait for one that has heard enough.
            let plan = plan(&[transport], pattern, 64, 20_000);
            let record = of(&records(&plan), transport).clone();
            assert!(why(&record).contains("came wrong") && why(&record).contains(words), "{record:?}");
            assert_eq!((record.n, record.msgs_per_s, record.p50_ns), (0, None, None), "{record:?}");
        }
    }
    Ok(())
}

/// What is short-lived: the limit is what the test waits for.
fn impatient(transport: &str, pattern: Pattern) -> Plan {
    Plan { patience: Duration::from_secs(3), ..plan(&[transport], pattern, 64, COUNT) }
}

fn what_never_comes_is_told() -> Result<(), Missing> {
    // Nor does the message that ends the run.
    let record = of(&records(&impatient("stops", Pattern::Throughput)), "stops").clone();
    assert_eq!(why(&record), "subscriber 0 did not end in time");
    let record = of(&records(&impatient("drops", Pattern::Rtt)), "drops").clone();
    assert_eq!(why(&record), "publisher 0 and subscriber 0 did not end in time");
    // It reads, and does not count: what was sent is not what was received.
    let record = one("deaf", Pattern::Throughput);
    assert!(why(&record).contains("41 is out of order; 40 was the next"), "{record:?}");
    Ok(())
}

fn a_party_that_gives_up_says_why() -> Result<(), Missing> {
    for pattern in [Pattern::Rtt, Pattern::Throughput] {
        let record = one("withers", pattern);
        // Whichever of the two is heard first: the one who gave up, or the one who has lost it.
        assert!(
            ["the wire has withered", "failed to fill whole buffer"].contains(&why(&record)),
            "{record:?}"
        );
    }
    Ok(())
}

fn a_killed_party_is_told() -> Result<(), Missing> {
    let record = one("dies", Pattern::Throughput);
    assert_eq!(why(&record), "subscriber 0 has ended before its time: killed by signal 9");
    Ok(())
}

fn a_party_that_hangs_is_told_and_ended() -> Result<(), Missing> {
    let record = of(&records(&impatient("hangs", Pattern::Rtt)), "hangs").clone();
    assert_eq!(why(&record), "publisher 0 and subscriber 0 (it is stopped by a signal) did not end in time");
    Ok(())
}

fn a_failure_ends_no_more_than_itself() -> Result<(), Missing> {
    let plan = Plan { repeats: 2, ..plan(&["tears", "wire", "dies"], Pattern::Throughput, 64, COUNT) };
    let records = records(&plan);
    let by =
        |name: &str| records.iter().filter(|record| record.transport == name).cloned().collect::<Vec<_>>();
    assert!(by("wire").iter().all(Record::is_ok));
    assert_eq!(by("wire").len(), 2);
    for name in ["tears", "dies"] {
        assert!(by(name).iter().all(|record| matches!(record.status, Status::Failed(_))));
    }
    Ok(())
}
