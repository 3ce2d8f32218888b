//! `twixt bench` over every kind of address: what each can do it does, what it cannot it says, and nothing is left.

use std::process::Command;

use serde_json::Value;
use twixt_testkit::{Missing, Test, namespaces, scratch, test, unique_name};

#[path = "support/tool.rs"]
mod tool;
use tool::{Ended, end, twixt};

/// What is measured of each kind, briefly: the figures are not looked at.
const BRIEFLY: &str =
    "--pattern rtt,throughput,batch,fanout,work --subs 2 --pubs 2 --repeat 1 --time 1 --json";

/// Runs it where no other process has System V objects or message queues, and says afterwards what is left.
const ALONE: &str = r#"
mount -t mqueue none "$MOUNT" || exit 99
"$@" & conductor=$!
wait $conductor
code=$?
tail -q -n +2 /proc/sysvipc/msg /proc/sysvipc/sem /proc/sysvipc/shm >&2
ls "$MOUNT" >&2
ls /dev/shm /tmp | grep "^twixt-bench-$conductor-" >&2
exit $code
"#;

/// The same, where one party after the other is killed as soon as there is something that it could leave: a note of what is
/// about to be made, or of what was.
const KILLED: &str = r#"
NOTE=made; [ "$3" = sysv-shm ] && NOTE=link
mount -t mqueue none "$MOUNT" || exit 99
"$@" & conductor=$!
while [ "$(cut -d' ' -f3 /proc/$conductor/stat 2>/dev/null || echo Z)" != Z ]; do
    if ls /dev/shm/twixt-bench-$conductor-*/$NOTE-1 >/dev/null 2>&1; then
        # No newline ends that list, which `read` takes for a failure.
        read -r party others < /proc/$conductor/task/$conductor/children
        [ -n "$party" ] && kill -KILL "$party"
    fi 2>/dev/null
    sleep 0.01
done
wait $conductor
code=$?
tail -q -n +2 /proc/sysvipc/msg /proc/sysvipc/sem /proc/sysvipc/shm >&2
ls "$MOUNT" >&2
ls /dev/shm /tmp | grep "^twixt-bench-$conductor-" >&2
exit $code
"#;

/// `None` where that cannot be had, which the test has said then.
fn alone(test: &Test, script: &str, line: &str) -> Option<Ended> {
    let words = match namespaces() {
        Ok(words) => words,
        Err(missing) => {
            test.skip(&missing);
            return None;
        }
    };
    let directory = scratch();
    let bench = twixt(line.split_ascii_whitespace());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["sh", "-c", script, "sh"]).arg(bench.get_program());
    command.args(bench.get_args()).env("MOUNT", directory.path()).stdin(std::process::Stdio::null());
    Some(end(command))
}

/// Each record as `pattern: ok`, or why not. `None` if others have used up the room for queues.
fn outcomes(test: &Test, transport: &str, lines: &str) -> Option<Vec<String>> {
    let mut outcomes = Vec::new();
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        // The floor is measured beside it.
        if record["transport"] != transport {
            continue;
        }
        let pattern = record["pattern"].as_str().unwrap();
        let outcome = match &record["status"] {
            Value::String(ok) => ok.clone(),
            other => {
                let (kind, why) = other.as_object().unwrap().iter().next().unwrap();
                format!("{kind}: {}", why.as_str().unwrap())
            }
        };
        if outcome.contains("RLIMIT_MSGQUEUE") {
            test.skip(&Missing(format!("room for message queues: {outcome}")));
            return None;
        }
        outcomes.push(format!("{pattern}: {outcome}"));
    }
    Some(outcomes)
}

/// Measures a kind; `wanted` says of each pattern `ok` or a part of the reason.
fn measure(test: &Test, kind: &str, size: usize, wanted: [&str; 5]) {
    for wait in ["block", "adaptive"] {
        let ended = alone(test, ALONE, &format!("bench {kind} --size {size} --wait {wait} {BRIEFLY}"));
        let Some(outcomes) = ended.and_then(|ended| outcomes(test, kind, &ended.well())) else { return };
        assert_eq!(outcomes.len(), wanted.len(), "{outcomes:#?}");
        for (outcome, wanted) in outcomes.iter().zip(wanted) {
            assert!(outcome.contains(wanted), "{kind} {wait}: {outcome}, not {wanted}");
        }
    }
}

const ONE: &str = "one message at a time";
const ALL: [&str; 5] = [": ok"; 5];
const NO_BATCH: [&str; 5] = [": ok", ": ok", ONE, ": ok", ": ok"];

#[test]
fn pipe() {
    measure(&test!(), "pipe", 64, ALL);
}

#[test]
fn fifo() {
    measure(&test!(), "fifo", 64, ALL);
}

#[test]
fn file() {
    measure(&test!(), "file", 64, [": ok", ": ok", ONE, ": ok", "none can have a part"]);
}

#[test]
fn mmap() {
    measure(&test!(), "mmap", 64, NO_BATCH);
}

#[test]
fn unix() {
    measure(&test!(), "unix", 5, [": ok", ": ok", ": ok", ": ok", "fewer than 8 bytes"]);
}

#[test]
fn unix_dgram() {
    measure(&test!(), "unix-dgram", 64, ALL);
}

#[test]
fn unix_seqpacket() {
    measure(&test!(), "unix-seqpacket", 64, ALL);
}

#[test]
fn tcp() {
    measure(&test!(), "tcp", 5000, ALL);
}

#[test]
fn udp() {
    measure(&test!(), "udp", 64, ALL);
}

#[test]
fn sysv_msg() {
    measure(&test!(), "sysv-msg", 64, NO_BATCH);
}

#[test]
fn posix_mq() {
    measure(&test!(), "posix-mq", 64, NO_BATCH);
}

#[test]
fn sysv_shm() {
    measure(&test!(), "sysv-shm", 64, NO_BATCH);
}

#[test]
fn posix_shm() {
    measure(&test!(), "posix-shm", 64, NO_BATCH);
}

#[test]
fn eventfd() {
    let no = "adds up";
    measure(&test!(), "eventfd", 8, [": ok", no, no, no, no]);
}

#[test]
fn signal() {
    measure(&test!(), "signal", 4, [": ok", ": ok", ONE, ": ok", "too few"]);
}

#[test]
fn process_vm() {
    let no = "between two processes";
    measure(&test!(), "process-vm", 70_000, [": ok", ": ok", ONE, no, no]);
}

#[test]
fn splice() {
    let no = "between two processes";
    measure(&test!(), "splice", 70_001, [": ok", ": ok", ONE, no, no]);
}

#[test]
fn bus_topic() {
    measure(&test!(), "bus-topic", 64, [": ok", ": ok", ": ok", ": ok", "every subscriber"]);
}

#[test]
fn bus_queue() {
    measure(&test!(), "bus-queue", 64, [": ok", ": ok", ": ok", "one consumer", ": ok"]);
}

#[test]
fn bus_latest() {
    let no = "takes the place";
    for size in [5, 5000] {
        measure(&test!(), "bus-latest", size, [": ok", no, no, no, no]);
    }
}

#[test]
fn bus_rpc() {
    let no = "between two processes";
    for size in [5, 70_001] {
        measure(&test!(), "bus-rpc", size, [": ok", ": ok", ONE, no, no]);
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let test = test!();
    for (said, why) in [
        ("signal --size 8", "give --size 4"),
        ("eventfd --size 9", "give --size 8"),
        ("udp --size 70000", "65507"),
        ("exec:cat --size 8", "no party"),
        ("fd:0 --size 8", "inherit no such descriptor"),
        ("udp --size 7", "fewer than 8 bytes"),
        ("lock:/tmp/x --size 8", "carries no messages"),
        ("signal:1/RTMIN --size 4", "give `signal` alone"),
        ("sysv-msg:private --size 4", "give a key"),
        ("unix:/tmp/x?framing=lines --size 4", "framing"),
        ("file:/tmp/x --size 4", "?framing=len"),
        ("eventfd --size 8 --capacity 4k", "no capacity"),
        ("bus-latest --size 8 --capacity 4k", "no capacity"),
        ("pipe:?capacity=64k --size 8 --capacity 4k", "of its own"),
        ("sysv-msg:7 --size 8 --capacity 4k", "no `create`"),
        ("sysv-msg:id=7 --size 8", "only a key has a next one"),
        ("tcp:127.0.0.1:65535 --size 8 --pattern fanout", "no ports above"),
        ("pipe --size 5000 --pattern work --pubs 2", "4092 bytes"),
    ] {
        let line = format!("bench --repeat 1 --time 1 --json --pattern rtt {said}");
        let line =
            if line.matches("--pattern").count() > 1 { line.replacen("--pattern rtt", "", 1) } else { line };
        let ended = end(twixt(line.split_ascii_whitespace()));
        let outcomes = outcomes(&test, said.split(' ').next().unwrap(), &ended.well()).unwrap();
        assert!(outcomes[0].contains("unsupported") && outcomes[0].contains(why), "{line}: {outcomes:?}");
    }
}

#[test]
fn addresses_are_used_as_they_are_given() {
    let test = test!();
    let directory = scratch();
    let path = directory.path().display();
    for address in [
        format!("unix:{path}/stream?capacity=64k&framing=frame"),
        format!("unix:@twixt-bench-test-{}", std::process::id()),
        format!("unix-seqpacket:{path}/packets"),
        format!("unix-dgram:{path}/datagrams"),
        format!("fifo:{path}/fifo?create&capacity=8k"),
        format!("mmap:{path}/ring?create&capacity=64k"),
        format!("file:{path}/file?create&framing=len"),
        "pipe:?capacity=8k&framing=frame".to_owned(),
        "tcp:127.0.0.1:0".to_owned(),
        "udp:127.0.0.1:0".to_owned(),
        "sysv-msg:0x74776978?create&capacity=4k&type=3".to_owned(),
        "sysv-shm:0x74776978?create&capacity=64k".to_owned(),
        format!("posix-shm:/{}?create&capacity=0", unique_name()),
    ] {
        let line = format!(
            "bench {address} --size 64 --repeat 1 --time 1 --json --pattern rtt,throughput,fanout --subs 2"
        );
        let Some(ended) = alone(&test, ALONE, &line) else { return };
        let outcomes = outcomes(&test, &address, &ended.well()).unwrap();
        assert_eq!(outcomes, ["rtt: ok", "throughput: ok", "fanout: ok"], "{address}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something is left");
}

#[test]
fn a_capacity_is_what_was_asked_for() {
    let test = test!();
    for kind in [
        "pipe",
        "fifo",
        "unix",
        "unix-dgram",
        "unix-seqpacket",
        "tcp",
        "udp",
        "mmap",
        "posix-shm",
        "sysv-shm",
    ] {
        let line =
            format!("bench {kind} --size 64 --repeat 1 --time 1 --json --pattern throughput --capacity 64k");
        let Some(ended) = alone(&test, ALONE, &line) else { return };
        let lines = ended.well();
        let mut records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let record = records.find(|record| record["transport"] == kind).unwrap();
        assert_eq!((&record["status"], &record["capacity"]), (&"ok".into(), &65_536.into()), "{record}");
    }
}

/// Of a ring in System V memory only once it is whole: until then nothing leads to the semaphores beside it.
#[test]
fn nothing_is_left_where_a_party_was_killed() {
    let test = test!();
    for kind in ["posix-mq", "sysv-msg", "sysv-shm", "posix-shm"] {
        let line = format!("bench {kind} --size 64 --repeat 1 --time 1000 --json --pattern rtt");
        let Some(ended) = alone(&test, KILLED, &line) else { return };
        assert_eq!(ended.stderr, "", "{kind}");
        let Some(outcomes) = outcomes(&test, kind, &ended.stdout) else { continue };
        assert!(outcomes[0].starts_with("rtt: failed"), "{kind}: {outcomes:?}");
    }
}
