//! Calls over a connection: results, errors, streams, deadlines, cancellation, bounds.

#[path = "support/rpc.rs"]
mod support;

use std::thread;
use std::time::Duration;

use support::*;
use twixt_channel::rpc::{Ended, Error, Options, Part, Side};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::test;

#[test]
fn every_connection_carries_calls() {
    let _test = test!();
    type Make = fn() -> Pair;
    let connections: [(&str, Make); 10] = [
        ("unix", || socket("unix")),
        ("unix-seqpacket", || socket("unix-seqpacket")),
        ("tcp", || socket("tcp")),
        ("pipes", pipes),
        ("posix-shm", || rings(Place::posix_shm())),
        ("sysv-shm", || rings(Place::sysv_shm())),
        ("mmap", || rings(Place::mmap())),
        ("mailboxes in memory", posix_shm),
        ("posix-mq", posix_mq),
        ("sysv-msg", sysv_msg),
    ];
    for (name, pair) in connections {
        for workers in [0, 2] {
            let server = Notes::default().into_server().workers(workers).queue(1000);
            let ended = converse_over(pair(), server, |lab| {
                assert_eq!(lab.add(1, 2).call_deadline(later()), Ok(3), "{name}");
                assert_eq!(lab.divide(1, 0).call(), Ok(Err(DivisionByZero)));
                assert_eq!(lab.divide(6, 3).call(), Ok(Ok(2)));
                assert_eq!(lab.nothing().call(), Ok(()));
                for len in [0, 1, 1000, 8000] {
                    let bytes = vec![7; len];
                    assert!(lab.echo(bytes.clone()).call().unwrap() == bytes, "{name} {len}");
                }
                let numbers: Result<Vec<u64>, Error> = lab.count(100).start().unwrap().collect();
                assert_eq!(numbers, Ok((0..100).collect()), "{name}");
                // More than the channel holds, both ways: neither side may wait with full hands.
                // As text, which serde handles as a whole; of bytes each would be a call, five million in all.
                let text = |number: usize| format!("{number:04000}");
                let pending: Vec<_> =
                    (0..300).map(|number| lab.echo_text(text(number)).start().unwrap()).collect();
                for (number, pending) in pending.into_iter().enumerate() {
                    assert!(pending.wait().unwrap() == text(number), "{name} {number}");
                }
            });
            assert_eq!(ended, Ok(Ended::Closed), "{name} with {workers} workers");
        }
    }
}

#[test]
fn results_can_be_had_in_any_order() {
    let _test = test!();
    converse(|lab| {
        let mut pending: Vec<_> = (0..50).map(|i| (i, lab.add(i, i).start().unwrap())).collect();
        while let Some((i, call)) = pending.pop() {
            assert_eq!(call.wait(), Ok(2 * i));
        }
        let mut call = lab.add(1, 1).start().unwrap();
        let result = loop {
            if let Some(result) = call.try_wait().unwrap() {
                break result;
            }
        };
        assert_eq!(result, 2);
        // It has been taken.
        assert_eq!(call.try_wait(), Err(Error::Closed));
    });
}

#[test]
fn threads_share_a_client() {
    let _test = test!();
    for workers in [0, 3] {
        let server = Notes::default().into_server().workers(workers).queue(1000);
        let ended = converse_over(socket("unix"), server, |lab| {
            thread::scope(|scope| {
                for thread in 0..8 {
                    scope.spawn(move || {
                        for i in 0..200 {
                            assert_eq!(lab.add(thread, i).call(), Ok(thread + i));
                            if i % 50 == 0 {
                                let sum: u64 = lab.count(40).start().unwrap().map(Result::unwrap).sum();
                                assert_eq!(sum, 780);
                            }
                            if i % 20 == thread {
                                drop(lab.echo(vec![0; 3000]).start().unwrap());
                                let short = Deadline::after(Duration::from_micros(i as u64));
                                match lab.add(1, 2).call_deadline(short) {
                                    Ok(3) | Err(Error::TimedOut { method: "add" }) => {}
                                    other => panic!("{other:?}"),
                                }
                            }
                        }
                    });
                }
            });
        });
        assert_eq!(ended, Ok(Ended::Closed));
    }
}

#[test]
fn ten_thousand_calls_are_in_flight() {
    let _test = test!();
    for workers in [0, 2] {
        let server = Notes::default().into_server().workers(workers).queue(20_000);
        let ended = converse_over(socket("unix"), server, |lab| {
            let calls: Vec<_> = (0..10_000).map(|i| lab.add(i, 1).start().unwrap()).collect();
            for (i, call) in calls.into_iter().enumerate().rev() {
                assert_eq!(call.wait(), Ok(i as i32 + 1));
            }
        });
        assert_eq!(ended, Ok(Ended::Closed));
    }
}

#[test]
fn a_client_has_no_more_calls_in_flight_than_it_may() {
    let _test = test!();
    let Pair { client, mut server, .. } = socket("unix");
    let thread = thread::spawn(move || Notes::default().into_server().workers(1).serve(&mut server));
    let lab = LabClient::open_wait(client, Options::new().calls(2), Wait::forever()).unwrap();
    let calls = (lab.gate().start().unwrap(), lab.add(1, 1).start().unwrap());
    assert_eq!(lab.add(1, 1).call(), Err(Error::TooManyCalls { limit: 2 }));
    drop(calls);
    assert_eq!(lab.add(1, 1).call(), Ok(2));
    drop(lab);
    assert_eq!(thread.join().unwrap(), Ok(Ended::Closed));
}

#[test]
fn what_exceeds_the_queue_is_refused() {
    let _test = test!();
    let (server, errors) = observed(Notes::default().into_server().workers(1).queue(3));
    converse_over(socket("unix"), server, |lab| {
        let first = lab.gate().start().unwrap();
        let waiting: Vec<_> = (0..3).map(|_| lab.gate().start().unwrap()).collect();
        let error = lab.add(1, 2).call().unwrap_err();
        assert_eq!(error, Error::Overloaded { method: "add" });
        assert_eq!(error.kind(), ErrorKind::LimitReached);
        assert_eq!(error.to_string(), "cannot call add: the server has as many calls as it takes");
        // A place is free again.
        drop(waiting);
        let open = lab.unlock().start().unwrap();
        drop(first);
        assert_eq!(open.wait(), Ok(()));
    })
    .unwrap();
    assert_eq!(*errors.lock().unwrap(), [Error::Overloaded { method: "add" }]);
}

#[test]
fn workers_run_calls_at_the_same_time() {
    let _test = test!();
    converse_over(socket("unix"), Notes::default().into_server().workers(2), |lab| {
        let gate = lab.gate().start().unwrap();
        // Only another worker can open it.
        lab.unlock().call().unwrap();
        assert_eq!(gate.wait(), Ok(1));
    })
    .unwrap();
}

#[test]
fn a_stream_stops_without_credit() {
    let _test = test!();
    for workers in [0, 1] {
        let notes = Notes::default();
        let sent = std::sync::Arc::clone(&notes.sent);
        converse_over(socket("unix"), notes.into_server().workers(workers), |lab| {
            let mut stream = lab.count(1000).window(8).start().unwrap();
            until(|| *sent.lock().unwrap() == 8);
            thread::sleep(Duration::from_millis(30));
            assert_eq!(*sent.lock().unwrap(), 8, "no more than the window");
            for number in 0..4 {
                assert_eq!(stream.receive(), Ok(Some(number)));
            }
            // Half the window has been taken, and was granted anew.
            until(|| *sent.lock().unwrap() == 12);
            thread::sleep(Duration::from_millis(30));
            assert_eq!(*sent.lock().unwrap(), 12);
            assert_eq!(stream.by_ref().map(Result::unwrap).sum::<u64>(), (4..1000).sum());
            assert_eq!(stream.receive(), Ok(None));
            assert_eq!(*sent.lock().unwrap(), 1000);
        })
        .unwrap();
    }
}

#[test]
fn a_dropped_stream_is_cancelled() {
    let _test = test!();
    for workers in [0, 1] {
        let notes = Notes::default();
        let sent = std::sync::Arc::clone(&notes.sent);
        converse_over(socket("unix"), notes.into_server().workers(workers), |lab| {
            let mut stream = lab.count(u64::MAX).start().unwrap();
            assert_eq!(stream.receive(), Ok(Some(0)));
            drop(stream);
            // The server is free for other things, and has sent no more than it was granted.
            assert_eq!(lab.add(1, 2).call(), Ok(3));
            assert!(*sent.lock().unwrap() <= 16);
        })
        .unwrap();
    }
}

#[test]
fn streams_and_calls_go_side_by_side() {
    let _test = test!();
    converse_over(socket("unix"), Notes::default().into_server().workers(4), |lab| {
        let (mut one, mut other) =
            (lab.count(500).start().unwrap(), lab.count(500).window(1).start().unwrap());
        for number in 0..500 {
            assert_eq!(one.receive(), Ok(Some(number)));
            assert_eq!(lab.add(1, 2).call(), Ok(3));
            assert_eq!(other.receive(), Ok(Some(number)));
        }
        assert_eq!((one.receive(), other.receive()), (Ok(None), Ok(None)));
    })
    .unwrap();
}

#[test]
fn a_handler_sees_the_deadline() {
    let _test = test!();
    converse(|lab| {
        assert_eq!(lab.deadline().call(), Ok(None));
        let deadline = Deadline::after(Duration::from_secs(1000));
        let left = lab.deadline().call_deadline(deadline).unwrap().unwrap();
        assert!((900_000..=1_000_000).contains(&left), "{left}");
        assert!(Duration::from_millis(left) >= deadline.remaining() - Duration::from_millis(1));
    });
}

#[test]
fn a_deadline_ends_the_call_on_both_sides() {
    let _test = test!();
    for workers in [0, 1] {
        let notes = Notes::default();
        converse_over(socket("unix"), notes.clone().into_server().workers(workers), |lab| {
            let error = lab.linger(1).call_deadline(soon()).unwrap_err();
            assert_eq!(error, Error::TimedOut { method: "linger" });
            assert_eq!(error.to_string(), "cannot call linger: the deadline has passed");
            // It is not even begun if it was late by then.
            while notes.noted() == 0 {
                assert!(lab.linger(1).call_deadline(soon()).is_err());
            }
            // One that has passed already: the call is not made.
            let past = Deadline::now();
            assert_eq!(lab.linger(1).call_deadline(past), Err(Error::TimedOut { method: "linger" }));
            let mut stream = lab.count(u64::MAX).start_deadline(soon()).unwrap();
            let error = stream.by_ref().find_map(Result::err).unwrap();
            assert_eq!(error, Error::TimedOut { method: "count" });
            assert_eq!(stream.receive(), Ok(None));
            assert_eq!(lab.add(1, 2).call(), Ok(3));
        })
        .unwrap();
    }
}

#[test]
fn a_client_may_have_a_timeout_for_all_calls() {
    let _test = test!();
    let Pair { client, mut server, .. } = socket("unix");
    let thread = thread::spawn(move || Notes::default().into_server().serve(&mut server));
    let options = Options::new().timeout(Duration::from_millis(20));
    let lab = LabClient::open_wait(client, options, Wait::forever()).unwrap();
    assert_eq!(lab.linger(1).call(), Err(Error::TimedOut { method: "linger" }));
    drop(lab);
    assert_eq!(thread.join().unwrap(), Ok(Ended::Closed));
}

#[test]
fn waiting_can_be_interrupted_and_taken_up_again() {
    let _test = test!();
    converse_over(socket("unix"), Notes::default().into_server().workers(2), |lab| {
        let mut gate = lab.gate().start().unwrap();
        assert_eq!(gate.try_wait(), Ok(None));
        assert_eq!(gate.wait_deadline(soon()), Err(Error::TimedOut { method: "gate" }));
        assert_eq!(gate.wait_deadline(Deadline::now()), Err(Error::TimedOut { method: "gate" }));
        let mut stream = lab.faulty(0).start().unwrap();
        assert_eq!(stream.receive_deadline(later()), Err(Error::Panicked { method: "faulty" }));
        lab.unlock().call().unwrap();
        assert_eq!(gate.wait_deadline(later()), Ok(1));
    })
    .unwrap();
}

#[test]
fn a_dropped_call_is_cancelled() {
    let _test = test!();
    for workers in [0, 1] {
        let notes = Notes::default();
        converse_over(socket("unix"), notes.clone().into_server().workers(workers), |lab| {
            let first = lab.linger(1).start().unwrap();
            until(|| notes.begun() == 1);
            drop(first);
            assert_eq!(lab.noted().call(), Ok(1));
            // What was cancelled before it was begun never is.
            let first = lab.linger(10).start().unwrap();
            until(|| notes.begun() == 2);
            let second = lab.linger(100).start().unwrap();
            drop(second);
            drop(first);
            assert_eq!(lab.noted().call(), Ok(11));
            assert_eq!(notes.begun(), 2);
        })
        .unwrap();
    }
}

#[test]
fn a_handler_sees_its_client_go() {
    let _test = test!();
    for workers in [0, 1] {
        let notes = Notes::default();
        converse_over(socket("unix"), notes.clone().into_server().workers(workers), |lab| {
            std::mem::forget(lab.linger(1).start().unwrap());
            until(|| notes.begun() == 1);
        })
        .unwrap();
        assert_eq!(notes.noted(), 1);
    }
}

#[test]
fn what_cannot_be_read_or_written_is_said() {
    let _test = test!();
    let (server, errors) = observed(Notes::default().into_server());
    converse_over(socket("unix"), server, |lab| {
        let undecodable = |part, side| Error::Undecodable {
            part,
            method: "even",
            side,
            why: "Serde Deserialization Error (1 bytes)".to_owned(),
        };
        let error = lab.even(Even(3)).call().unwrap_err();
        assert_eq!(error, undecodable(Part::Request, Side::Server));
        assert_eq!(
            error.to_string(),
            "cannot call even: the server cannot decode the request: Serde Deserialization Error (1 bytes)"
        );
        assert_eq!(lab.even(Even(4)).call(), Err(undecodable(Part::Reply, Side::Client)));
        let unencodable =
            |part| Error::Unencodable { part, method: "even", why: "Serde Serialization Error".to_owned() };
        assert_eq!(lab.even(Even(255)).call(), Err(unencodable(Part::Request)));
        assert_eq!(lab.even(Even(254)).call(), Err(unencodable(Part::Reply)));
        // Nothing of this hurts the conversation.
        assert_eq!(lab.add(1, 2).call(), Ok(3));
    })
    .unwrap();
    let errors: Vec<String> = errors.lock().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "cannot call even: the server cannot decode the request: Serde Deserialization Error (1 bytes)",
            "cannot call even: the reply cannot be encoded: Serde Serialization Error",
        ]
    );
}

#[test]
fn types_that_contain_themselves_are_read_as_deep_as_the_stack_bears() {
    let _test = test!();
    converse(|lab| {
        let nest = |depth| (0..depth).fold(Nest::Empty, |nest, _| Nest::In(Box::new(nest)));
        assert_eq!(lab.depth(nest(100)).call(), Ok(100));
        let error = lab.depth(nest(200)).call().unwrap_err();
        assert!(matches!(&error, Error::Undecodable { side: Side::Server, .. }), "{error}");
        assert!(error.to_string().contains("nested"), "{error}");
    });
}

#[test]
fn a_panic_is_the_calls_own() {
    let _test = test!();
    for workers in [0, 2] {
        let (server, errors) = observed(Notes::default().into_server().workers(workers));
        converse_over(socket("unix"), server, |lab| {
            assert_eq!(lab.panic("why".to_owned()).call(), Err(Error::Panicked { method: "panic" }));
            let items: Vec<_> = lab.faulty(2).start().unwrap().collect();
            assert_eq!(items, [Ok(0), Ok(1), Err(Error::Panicked { method: "faulty" })]);
            assert_eq!(lab.add(1, 2).call(), Ok(3));
        })
        .unwrap();
        assert_eq!(errors.lock().unwrap().len(), 2);
    }
}

#[test]
fn oversize_is_named_on_both_sides() {
    let _test = test!();
    let Pair { client, mut server, .. } = socket("unix");
    let (answering, errors) = observed(Notes::default().into_server().max_message(1000));
    let thread = thread::spawn(move || answering.serve(&mut server));
    let lab = LabClient::open_wait(client, Options::new().max_message(500), Wait::forever()).unwrap();
    let too_long = |part, method, len, limit| Error::TooLong { part, method, len, limit };
    // A request: 24 bytes of header, 2 of length.
    assert_eq!(lab.echo(vec![0; 975]).call(), Err(too_long(Part::Request, "echo", 1001, 1000)));
    // A reply: 8 bytes of header, 2 of length.
    assert_eq!(lab.zeros(490).call().unwrap().len(), 490);
    let error = lab.zeros(491).call().unwrap_err();
    assert_eq!(error, too_long(Part::Reply, "zeros", 501, 500));
    assert_eq!(error.to_string(), "cannot call zeros: the reply has 501 bytes, and 500 is the most");
    let items: Vec<_> = lab.chunks(vec![490, 491, 1]).start().unwrap().collect();
    assert_eq!(items, [Ok(vec![0; 490]), Err(too_long(Part::Item, "chunks", 501, 500))]);
    drop(lab);
    assert_eq!(thread.join().unwrap(), Ok(Ended::Closed));
    let errors = errors.lock().unwrap();
    assert_eq!(*errors, [too_long(Part::Reply, "zeros", 501, 500), too_long(Part::Item, "chunks", 501, 500)]);
}

#[test]
fn the_limit_of_the_channel_counts() {
    let _test = test!();
    converse_over(posix_mq(), Notes::default().into_server(), |lab| {
        let error = lab.echo(vec![0; 9000]).call().unwrap_err();
        let Error::TooLong { part: Part::Request, len: 9026, limit, .. } = error else { panic!("{error}") };
        let error = lab.zeros(limit as u32).call().unwrap_err();
        assert!(matches!(error, Error::TooLong { part: Part::Reply, .. }), "{error}");
        assert_eq!(lab.add(1, 2).call(), Ok(3));
    })
    .unwrap();
}

mod other {
    use twixt_channel::service;

    service! {
        /// The same name, and other methods.
        pub trait Lab {
            fn add(a: i64, b: i64) -> i64;
            fn unknown(a: i32);
        }
        pub struct LabClient;
    }

    service! {
        pub trait Ledger {
            fn add(a: i64, b: i64) -> i64;
        }
        pub struct LedgerClient;
    }
}

#[test]
fn another_service_is_refused_by_name() {
    let _test = test!();
    let refused = |open: fn(twixt_channel::Duplex) -> Result<(), Error>| {
        let Pair { client, mut server, .. } = socket("unix");
        let thread = thread::spawn(move || Notes::default().into_server().serve(&mut server));
        let error = open(client).unwrap_err();
        let on_the_server = thread.join().unwrap().unwrap_err();
        assert!(matches!(on_the_server, Error::Mismatch { .. }), "{on_the_server}");
        (error.to_string(), on_the_server.to_string())
    };
    let (client, server) = refused(|duplex| other::LedgerClient::open(duplex).map(drop));
    for error in [client, server] {
        assert!(error.starts_with("the client calls Ledger "), "{error}");
        assert!(error.contains(", but the server serves Lab "), "{error}");
    }
    let (client, _) = refused(|duplex| other::LabClient::open(duplex).map(drop));
    assert!(
        client.ends_with(": the client calls add(i64, i64) -> i64, the server has add(i32, i32) -> i32"),
        "{client}"
    );
}

#[test]
fn an_unknown_method_is_named() {
    let _test = test!();
    let Pair { client, mut server, .. } = socket("unix");
    let (answering, errors) = observed(Notes::default().into_server());
    let thread = thread::spawn(move || answering.serve(&mut server));
    let lab = other::LabClient::open_wait(client, Options::new().any_types(), Wait::forever()).unwrap();
    let error = lab.unknown(1).call().unwrap_err();
    assert_eq!(error, Error::UnknownMethod { service: "Lab", method: "unknown" });
    assert_eq!(error.to_string(), "cannot call unknown: the server's Lab has no such method");
    assert_eq!(lab.add(1, 2).call(), Ok(3), "small numbers are written alike");
    drop(lab);
    assert_eq!(thread.join().unwrap(), Ok(Ended::Closed));
    assert_eq!(errors.lock().unwrap().len(), 1);
}

#[test]
fn who_serves_for_a_time_says_when_it_is_over() {
    let _test = test!();
    let Pair { client, mut server, .. } = socket("unix");
    let thread =
        thread::spawn(move || Notes::default().into_server().serve_wait(&mut server, Wait::until(soon())));
    let lab = LabClient::open(client).unwrap();
    let error = thread.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(lab.add(1, 2).call(), Err(Error::Closed));
}

#[test]
fn opening_has_a_deadline() {
    let _test = test!();
    let Pair { client, server, .. } = socket("unix");
    for wait in [Wait::until(soon()), Wait::until(Deadline::now())] {
        let Pair { client, server: _server, .. } = socket("unix");
        let error = LabClient::open_wait(client, Options::new(), wait).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().ends_with("no server has answered"), "{error}");
    }
    drop(server);
    let error = LabClient::open(client).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
}

#[test]
fn lines_cannot_carry_calls_and_say_so() {
    let _test = test!();
    for framing in ["lines", "nul"] {
        let at = address(&format!("unix:@{}?framing={framing}", twixt_testkit::unique_name()));
        let _listener = twixt_channel::Listener::open(&at).unwrap();
        let error = LabClient::connect(&at).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_listener_serves_many_up_to_its_limit() {
    let _test = test!();
    let at = address(&format!("unix:@{}", twixt_testkit::unique_name()));
    let listener = twixt_channel::Listener::open(&at).unwrap();
    let stop = Deadline::after(Duration::from_secs(5));
    let thread = thread::spawn(move || {
        let server = Notes::default().into_server();
        server.serve_listener_wait(&listener, 3, Wait::until(stop)).unwrap_err()
    });
    let clients = [(); 3].map(|()| LabClient::connect(&at).unwrap());
    // The fourth is not accepted as long as there are three.
    let timed = address(&format!("{at}?timeout=50ms"));
    assert_eq!(LabClient::connect(&timed).unwrap_err().kind(), ErrorKind::TimedOut);
    for (i, client) in clients.iter().enumerate() {
        assert_eq!(client.add(i as i32, 1).call(), Ok(i as i32 + 1));
    }
    drop(clients);
    let client = LabClient::connect(&at).unwrap();
    assert_eq!(client.add(1, 2).call(), Ok(3));
    let error = thread.join().unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    // The conversation was ended with it.
    assert_eq!(client.add(1, 2).call(), Err(Error::Closed));
}
