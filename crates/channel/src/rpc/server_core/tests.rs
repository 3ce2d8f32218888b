use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::rpc::service::{Type, Types};

static SUMS: Service = Service::new("Sums", const { &[ADD, COUNT] });
const ADD: Method = Method::new("add", false, || {
    Types::new::<(i32, i32)>(vec![Type::of::<i32>(), Type::of::<i32>()], Type::of::<i32>())
});
const COUNT: Method =
    Method::new("count", true, || Types::new::<(u64,)>(vec![Type::of::<u64>()], Type::of::<u64>()));

fn bytes(packet: Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn greeting() -> Greeting<'static> {
    Greeting { nonce: 7, hash: SUMS.hash(), max_message: 500, name: "Sums", who: None, signature: "" }
}

fn request(call: u32) -> Packet<'static> {
    let method = SUMS.methods()[0].id();
    Packet::Request(Request { call, method, credit: 0, timeout: None, payload: b"args" })
}

fn stream(call: u32, credit: u32) -> Packet<'static> {
    let method = SUMS.methods()[1].id();
    Packet::Request(Request { call, method, credit, timeout: None, payload: b"args" })
}

/// A server of one worker and two places to wait, in a conversation.
fn opened() -> ServerCore {
    let mut core = ServerCore::new(&SUMS, 1, 2, 10_000, 1000);
    assert_eq!(tell(&mut core, Packet::Open(greeting())).0, Event::Opened);
    core
}

/// What a message changes, and what is answered at once.
fn tell(core: &mut ServerCore, packet: Packet<'_>) -> (Event, Vec<u8>) {
    let mut out = Vec::new();
    let event = core.receive(&bytes(packet), &mut out).unwrap();
    (event, out)
}

#[test]
fn a_client_of_the_same_service_is_welcome() {
    let mut core = ServerCore::new(&SUMS, 1, 2, 10_000, 1000);
    for hash in [SUMS.hash(), 0] {
        let (event, out) = tell(&mut core, Packet::Open(Greeting { hash, ..greeting() }));
        assert_eq!(event, Event::Opened);
        let Ok(Packet::Welcome(welcome)) = Packet::decode(&out) else { panic!("{out:?}") };
        assert_eq!((welcome.nonce, welcome.hash, welcome.max_message), (7, SUMS.hash(), 1000));
        assert_eq!(core.longest_sent(), 500);
    }
}

#[test]
fn others_are_told_why_not() {
    let refused = |client: Greeting<'_>, longest: u64| {
        let mut core = ServerCore::new(&SUMS, 1, 2, longest, 1000);
        let (event, out) = tell(&mut core, Packet::Open(client));
        let Event::Refused(error) = event else { panic!("{event:?}") };
        assert!(!core.is_open());
        let Ok(Packet::Refuse(refusal, server)) = Packet::decode(&out) else { panic!("{out:?}") };
        assert_eq!((server.nonce, server.name, server.hash), (7, "Sums", SUMS.hash()));
        assert!(out.len() as u64 <= longest);
        (error.to_string(), refusal, server.signature.to_owned())
    };
    let (error, refusal, signature) = refused(Greeting { hash: 1, ..greeting() }, 10_000);
    assert_eq!(refusal, Refusal::Types);
    assert_eq!(signature, "add(i32, i32) -> i32\ncount(u64) -> stream u64");
    assert!(
        error.starts_with("the client calls Sums 0000000000000001, but the server serves Sums "),
        "{error}"
    );
    let (_, _, signature) = refused(Greeting { hash: 1, ..greeting() }, 60);
    assert_eq!(signature, "", "the channel is too narrow for it");
    let (error, refusal, _) = refused(Greeting { name: "Ledger", ..greeting() }, 10_000);
    assert_eq!(refusal, Refusal::Service);
    assert!(error.contains("calls Ledger"), "{error}");
    let (_, refusal, _) = refused(Greeting { max_message: 0, ..greeting() }, 10_000);
    assert_eq!(refusal, Refusal::Version);
}

#[test]
fn calls_are_queued_in_order_and_then_refused() {
    let mut core = opened();
    // One to be worked on and two to wait.
    for call in 1..=3 {
        assert_eq!(tell(&mut core, request(call)).0, Event::Queued);
    }
    let (event, out) = tell(&mut core, request(4));
    assert_eq!(event, Event::Rejected(Error::Overloaded { method: "add" }));
    let Ok(Packet::Failure { call: 4, failure }) = Packet::decode(&out) else { panic!("{out:?}") };
    assert_eq!(failure.reason, Reason::Overloaded);
    let job = core.next().unwrap();
    assert_eq!((job.ticket.call, job.payload.as_slice()), (1, b"args".as_slice()));
    assert!(core.next().is_none(), "there is one worker");
    assert!(matches!(tell(&mut core, request(4)).0, Event::Rejected(_)));
    assert!(core.finish(job.ticket));
    let job = core.next().unwrap();
    assert_eq!(job.ticket.call, 2);
    assert_eq!(tell(&mut core, request(4)).0, Event::Queued);
}

#[test]
fn what_cannot_be_called_is_refused_by_name() {
    let mut core = opened();
    let Packet::Request(known) = request(1) else { unreachable!() };
    let (event, out) = tell(&mut core, Packet::Request(Request { method: 12345, ..known }));
    assert!(matches!(event, Event::Rejected(Error::UnknownMethod { .. })), "{event:?}");
    let Ok(Packet::Failure { call: 1, failure }) = Packet::decode(&out) else { panic!("{out:?}") };
    assert_eq!(failure.reason, Reason::UnknownMethod);
    let long = vec![0; 977];
    let (_, out) = tell(&mut core, Packet::Request(Request { payload: &long, ..known }));
    let Ok(Packet::Failure { failure, .. }) = Packet::decode(&out) else { panic!("{out:?}") };
    assert_eq!((failure.reason, failure.len, failure.limit), (Reason::RequestTooLong, 1001, 1000));
    assert_eq!(tell(&mut core, Packet::Request(Request { payload: &long[1..], ..known })).0, Event::Queued);
}

#[test]
fn what_is_cancelled_is_unwanted() {
    let mut core = opened();
    for call in 1..=3 {
        tell(&mut core, request(call));
    }
    let job = core.next().unwrap();
    assert!(core.wants(job.ticket));
    tell(&mut core, Packet::Cancel { call: 1 });
    assert!(!core.wants(job.ticket));
    // Its number is taken until it is done.
    let mut out = Vec::new();
    assert!(core.receive(&bytes(request(1)), &mut out).is_err());
    tell(&mut core, Packet::Cancel { call: 2 });
    tell(&mut core, Packet::Cancel { call: 99 });
    assert!(!core.finish(job.ticket));
    assert_eq!(core.next().unwrap().ticket.call, 3, "what waited and was cancelled is never begun");
    assert_eq!(tell(&mut core, request(1)).0, Event::Queued);
}

#[test]
fn a_stream_has_the_credit_it_was_given() {
    let mut core = opened();
    tell(&mut core, stream(1, 2));
    let ticket = core.next().unwrap().ticket;
    assert_eq!([0; 3].map(|_| core.spend(ticket)), [Spent::Granted, Spent::Granted, Spent::NoCredit]);
    tell(&mut core, Packet::Credit { call: 1, items: 1 });
    tell(&mut core, Packet::Credit { call: 77, items: 1 });
    assert_eq!([0; 2].map(|_| core.spend(ticket)), [Spent::Granted, Spent::NoCredit]);
    for _ in 0..3 {
        tell(&mut core, Packet::Credit { call: 1, items: u32::MAX });
    }
    assert_eq!(core.spend(ticket), Spent::Granted);
    tell(&mut core, Packet::Cancel { call: 1 });
    assert_eq!(core.spend(ticket), Spent::Unwanted);
}

#[test]
fn a_new_conversation_makes_nothing_of_the_old_one() {
    let mut core = opened();
    tell(&mut core, request(1));
    tell(&mut core, request(2));
    let old = core.next().unwrap().ticket;
    assert_eq!(tell(&mut core, Packet::Open(greeting())).0, Event::Opened);
    assert!(!core.wants(old));
    assert_eq!(tell(&mut core, request(1)).0, Event::Queued);
    assert!(core.next().is_none(), "the old job still occupies the worker");
    assert!(!core.finish(old));
    let new = core.next().unwrap().ticket;
    assert_eq!(new.call, 1);
    assert!(core.wants(new));
    assert_eq!(tell(&mut core, Packet::Goodbye).0, Event::Closed);
    assert!(!core.wants(new));
    assert!(!core.finish(new));
}

#[test]
fn who_calls_without_a_conversation_is_told_once() {
    let mut core = ServerCore::new(&SUMS, 1, 2, 10_000, 1000);
    assert_eq!(tell(&mut core, Packet::Cancel { call: 1 }), (Event::Nothing, Vec::new()));
    assert_eq!(tell(&mut core, request(1)), (Event::Nothing, bytes(Packet::Goodbye)));
    assert_eq!(tell(&mut core, request(2)), (Event::Nothing, Vec::new()));
    assert!(core.next().is_none());
}

#[test]
fn a_deadline_is_counted_from_the_arrival() {
    let mut core = opened();
    let Packet::Request(known) = request(1) else { unreachable!() };
    for (call, timeout) in [(1, Duration::ZERO), (2, Duration::from_secs(1000)), (3, Duration::MAX)] {
        tell(&mut core, Packet::Request(Request { call, timeout: Some(timeout), ..known }));
    }
    let job = core.next().unwrap();
    assert!(job.deadline.unwrap().has_passed());
    core.finish(job.ticket);
    let job = core.next().unwrap();
    let left = job.deadline.unwrap().remaining();
    assert!(left > Duration::from_secs(900) && left <= Duration::from_secs(1000), "{left:?}");
    core.finish(job.ticket);
    assert_eq!(core.next().unwrap().deadline, None);
}

#[test]
fn a_failure_says_what_an_error_says() {
    let mut out = Vec::new();
    failure(5, &Error::Cancelled { method: "add" }, 1000, &mut out);
    let Ok(Packet::Failure { call: 5, failure }) = Packet::decode(&out) else { panic!("{out:?}") };
    assert_eq!(failure.reason, Reason::Stopped);
    assert_eq!(failure.text, "cannot answer add: the client has cancelled the call");
    // Where so much does not fit, it says less.
    for longest in [24, 30] {
        out.clear();
        super::failure(5, &Error::Cancelled { method: "add" }, longest, &mut out);
        assert_eq!(out.len() as u64, longest);
        assert!(matches!(Packet::decode(&out), Ok(Packet::Failure { call: 5, .. })), "{out:?}");
    }
}

proptest! {
    /// Whatever a client sends, the server holds no more than it has places for.
    #[test]
    fn no_message_makes_it_hold_more_than_its_bounds(
        messages in proptest::collection::vec((0_u8..10, 0_u32..8), 0..80),
    ) {
        let mut core = opened();
        let mut running = Vec::new();
        for (kind, call) in messages {
            let packet = match kind {
                0..=3 => request(call),
                4 => stream(call, 1),
                5 => Packet::Cancel { call },
                6 => Packet::Credit { call, items: 1 },
                7 => { running.extend(core.next().map(|job| job.ticket)); continue }
                8 => {
                    if let Some(ticket) = running.pop() {
                        core.finish(ticket);
                    }
                    continue
                }
                _ => if call == 0 { Packet::Open(greeting()) } else { Packet::Goodbye },
            };
            let mut out = Vec::new();
            if core.receive(&bytes(packet), &mut out).is_err() {
                core.close();
            }
            prop_assert!(core.running <= 1);
            prop_assert!(core.queue.len() <= 3);
            prop_assert!(core.calls.len() <= 4);
            prop_assert_eq!(core.queued_bytes, core.queue.len() * 4);
            prop_assert!(out.is_empty() || Packet::decode(&out).is_ok());
        }
        core.close();
        for ticket in running {
            core.finish(ticket);
        }
        prop_assert_eq!(core.running, 0);
        prop_assert!(core.calls.is_empty());
    }
}
