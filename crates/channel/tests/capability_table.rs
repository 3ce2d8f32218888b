//! The table of docs/channels.md is what the code says.

use std::fmt::Write as _;

use twixt_address::Address;
use twixt_channel::{Boundaries, Capabilities, Capacities, Content, Direction, Parties, Persistence};

/// An address of each mechanism that carries messages, in the order of the table.
const ADDRESSES: &[&str] = &[
    "pipe:",
    "exec:cat",
    "fd:3",
    "-",
    "fifo:/x",
    "file:/x",
    "mmap:/x",
    "unix:/x",
    "unix-dgram:/x",
    "unix-seqpacket:/x",
    "tcp:h:1",
    "udp:h:1",
    "sysv-msg:1",
    "sysv-shm:1",
    "posix-mq:/x",
    "posix-shm:/x",
    "signal:1",
    "eventfd:",
    "topic:x",
    "queue:x",
    "latest:x",
    "rpc:x",
];

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "" }
}

fn parties(parties: Parties) -> &'static str {
    match parties {
        Parties::One => "one",
        Parties::All => "all",
        _ => "many",
    }
}

fn row(address: &str) -> String {
    let address: Address = address.parse().unwrap();
    let endpoint = address.endpoint();
    let can = Capabilities::of(endpoint).unwrap();
    let scheme = endpoint.scheme();
    let scheme = if scheme == "-" { scheme.to_owned() } else { format!("{scheme}:") };
    let boundaries = if can.boundaries == Boundaries::Kept { "kept" } else { "framed" };
    let ways = if can.direction == Direction::BothWays { "both" } else { "one" };
    let longest = match (can.content, can.max_message) {
        (Content::Number { .. }, _) => "a number".to_owned(),
        // What an administrator may set is not the same everywhere.
        _ if ["unix-dgram", "unix-seqpacket", "sysv-msg", "posix-mq"].contains(&endpoint.scheme()) => {
            "by sysctl".to_owned()
        }
        (_, Some(67_108_864)) => "64 MiB".to_owned(),
        (_, Some(most)) => most.to_string(),
        (_, None) => "memory".to_owned(),
    };
    let mut capacities = Vec::new();
    for (capacity, name) in
        [(Capacities::ZERO, "0"), (Capacities::BOUNDED, "bounded"), (Capacities::UNBOUNDED, "unbounded")]
    {
        if can.capacities.contains(capacity) {
            capacities.push(name);
        }
    }
    let until = match can.persistence {
        Persistence::Process => "processes",
        Persistence::Kernel => "reboot",
        Persistence::File => "removal",
        _ => unreachable!(),
    };
    let mut extras = Vec::new();
    if can.types {
        extras.push("types".to_owned());
    }
    if let Some(highest) = can.priority {
        extras.push(format!("priorities to {highest}"));
    }
    if can.descriptors > 0 {
        extras.push(format!("{} descriptors", can.descriptors));
    }
    if can.credentials {
        extras.push("credentials".to_owned());
    }
    if can.newest_wins {
        extras.push("newest wins".to_owned());
    } else if !can.reliable {
        extras.push("may lose".to_owned());
    }
    if let Some(most) = can.unmixed {
        extras.push(format!("{most} bytes unmixed"));
    }
    if !can.empty_messages {
        extras.push("none empty".to_owned());
    }
    let mut row = String::new();
    write!(
        row,
        "| `{scheme}` | {boundaries} | {longest} | {ways} | {} / {} | {} | {} | {until} | {} | {} |",
        parties(can.senders),
        parties(can.receivers),
        yes(can.sees_end),
        capacities.join(", "),
        yes(can.pollable),
        extras.join(", "),
    )
    .unwrap();
    row
}

#[test]
fn the_page_has_the_table_that_the_code_makes() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/channels.md")).unwrap();
    let rows: Vec<String> = ADDRESSES.iter().map(|address| row(address)).collect();
    for row in &rows {
        assert!(page.contains(row.as_str()), "docs/channels.md should have\n{}\n", rows.join("\n"));
    }
}

#[test]
fn what_carries_no_messages_says_so() {
    for address in ["lock:/x", "sysv-sem:1", "posix-sem:/x", "memfd:", "raw:icmp@h"] {
        let address: Address = address.parse().unwrap();
        assert_eq!(Capabilities::of(address.endpoint()), None, "{address}");
        let error = twixt_channel::Sender::open(&address).unwrap_err();
        assert_eq!(error.kind(), twixt_os::ErrorKind::Unsupported);
        assert!(error.to_string().contains("it carries no messages"), "{error}");
    }
}
