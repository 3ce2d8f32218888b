//! What a call costs: system calls and allocations.

#[path = "support/rpc.rs"]
mod support;

use std::thread;

use allocation_counter::measure;
use support::*;
use twixt_channel::{Duplex, Listener};
use twixt_testkit::strace::{cost, expected};
use twixt_testkit::test;

#[test]
fn a_call_is_two_sends_and_two_receives() {
    let test = test!();
    // Both ends in one process, so that all of it is counted.
    test.role("plain", |peer| {
        let count: i32 = peer.arg(0).parse().unwrap();
        let Pair { client, mut server, .. } = socket("unix");
        thread::scope(|scope| {
            scope.spawn(move || Notes::default().into_server().serve(&mut server));
            let lab = LabClient::open(client).unwrap();
            for i in 0..count {
                assert_eq!(lab.add(i, 1).call(), Ok(i + 1));
            }
        });
    });
    test.role("stream", |peer| {
        let count: u64 = peer.arg(0).parse().unwrap();
        let Pair { client, mut server, .. } = socket("unix");
        thread::scope(|scope| {
            scope.spawn(move || Notes::default().into_server().serve(&mut server));
            let lab = LabClient::open(client).unwrap();
            // A window of one: a grant for each item.
            assert_eq!(lab.count(count).window(1).start().unwrap().count() as u64, count);
        });
    });
    for (role, calls) in [("plain", 200), ("stream", 200)] {
        match cost(|count| test.child(role).arg(count)) {
            Ok(counted) => {
                assert_eq!(counted, expected(&[("recvmsg", calls), ("sendto", calls)]), "{role}");
            }
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_call_allocates_nothing_in_the_long_run() {
    let test = test!();
    test.role("server", |peer| {
        let listener = Listener::open(&address(&peer.arg(0))).unwrap();
        peer.say("ready");
        let mut duplex = listener.accept().unwrap();
        let server = Notes::default().into_server();
        // The first calls make the room.
        let allocations = measure(|| {
            server.serve(&mut duplex).unwrap();
        });
        peer.say(&allocations.count_total.to_string());
    });
    let at = format!("unix:@{}", twixt_testkit::unique_name());
    let count_for = |calls: i32| {
        let mut server = test.child("server").arg(&at).spawn();
        server.expect("ready");
        let lab = LabClient::open(Duplex::open(&address(&at)).unwrap()).unwrap();
        for i in 0..10 {
            assert_eq!(lab.add(i, 1).call(), Ok(i + 1));
        }
        let allocations = measure(|| {
            for i in 0..calls {
                assert_eq!(lab.add(i, 1).call(), Ok(i + 1));
            }
        });
        assert_eq!(allocations.count_total, 0, "on the client's side");
        drop(lab);
        let counted: u64 = server.hear().parse().unwrap();
        server.succeed();
        counted
    };
    assert_eq!(count_for(100), count_for(1000), "on the server's side");
}
