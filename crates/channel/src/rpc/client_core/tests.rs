use proptest::prelude::*;

use super::*;
use crate::rpc::service::{Type, Types};
use crate::rpc::wire::Request;

static SUMS: Service = Service::new("Sums", const { &[ADD, COUNT] });
const ADD: Method = Method::new("add", false, || {
    Types::new::<(i32, i32)>(vec![Type::of::<i32>(), Type::of::<i32>()], Type::of::<i32>())
});
const COUNT: Method =
    Method::new("count", true, || Types::new::<(u64,)>(vec![Type::of::<u64>()], Type::of::<u64>()));

fn add() -> &'static Method {
    &SUMS.methods()[0]
}

fn count() -> &'static Method {
    &SUMS.methods()[1]
}

fn bytes(packet: Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn greeting(nonce: u64) -> Greeting<'static> {
    Greeting { nonce, hash: SUMS.hash(), max_message: 1000, name: "Sums", who: None, signature: "" }
}

fn opened() -> ClientCore {
    let mut core = ClientCore::new(&SUMS, true, 7, 3, 10_000, 1 << 20);
    assert_eq!(core.receive(&bytes(Packet::Welcome(greeting(7)))), Ok(Event::Opened));
    core
}

#[test]
fn a_conversation_begins_with_the_right_welcome() {
    let mut core = ClientCore::new(&SUMS, true, 7, 3, 10_000, 1 << 20);
    let mut out = Vec::new();
    core.open(&mut out);
    let Ok(Packet::Open(open)) = Packet::decode(&out) else { panic!("{out:?}") };
    assert_eq!((open.nonce, open.hash, open.max_message, open.name), (7, SUMS.hash(), 1 << 20, "Sums"));
    // Leftovers of an earlier conversation.
    for stale in [
        Packet::Welcome(greeting(6)),
        Packet::Reply { call: 1, payload: b"" },
        Packet::Goodbye,
        Packet::Refuse(Refusal::Service, greeting(6)),
    ] {
        assert_eq!(core.receive(&bytes(stale)), Ok(Event::Nothing));
        assert_eq!(core.is_open(), Ok(false));
    }
    assert_eq!(core.receive(&bytes(Packet::Welcome(greeting(7)))), Ok(Event::Opened));
    assert_eq!(core.is_open(), Ok(true));
    // The server takes less than the channel carries.
    assert_eq!(core.longest_sent(), 1000);
}

#[test]
fn a_refusal_names_both() {
    let refused = |refusal, greeting| {
        let mut core = ClientCore::new(&SUMS, true, 7, 3, 10_000, 1 << 20);
        core.receive(&bytes(Packet::Refuse(refusal, greeting))).unwrap_err().to_string()
    };
    let hash = format!("{:016x}", SUMS.hash());
    let other = Greeting { hash: 0xabc, name: "Ledger", ..greeting(7) };
    assert_eq!(
        refused(Refusal::Service, other),
        format!(
            "the client calls Sums {hash}, but the server serves Ledger 0000000000000abc: they are different services"
        ),
    );
    let wide = Greeting { hash: 0xabc, signature: "add(i64, i64) -> i64", ..greeting(7) };
    assert_eq!(
        refused(Refusal::Types, wide),
        format!(
            "the client calls Sums {hash}, but the server serves Sums 0000000000000abc: the client calls \
             add(i32, i32) -> i32, the server has add(i64, i64) -> i64"
        ),
    );
    assert!(refused(Refusal::Version, greeting(7)).ends_with("another version of the format"));
    assert!(refused(Refusal::Unknown(9), greeting(7)).ends_with("number 9"));
    let evil = Greeting { name: "\x1b[31m", ..greeting(7) };
    assert!(!refused(Refusal::Service, evil).contains('\x1b'));
}

#[test]
fn replies_find_their_calls_in_any_order() {
    let mut core = opened();
    let [one, two, three] = [0; 3].map(|_| core.begin(add(), 0).unwrap());
    assert_eq!(core.begin(add(), 0), Err(Error::TooManyCalls { limit: 3 }));
    assert_eq!(core.take(one), Taken::Nothing);
    for (call, payload) in [(three, b"3"), (one, b"1")] {
        assert_eq!(core.receive(&bytes(Packet::Reply { call, payload })), Ok(Event::Arrived(call)));
    }
    assert_eq!(core.take(one), Taken::Payload { payload: b"1".to_vec(), grant: 0 });
    assert_eq!(core.take(two), Taken::Nothing);
    assert_eq!(core.take(three), Taken::Payload { payload: b"3".to_vec(), grant: 0 });
    let failure = Failure { reason: Reason::RequestUndecodable, len: 0, limit: 0, text: "bad \x07 byte" };
    assert_eq!(core.receive(&bytes(Packet::Failure { call: two, failure })), Ok(Event::Arrived(two)));
    let Taken::Failed(error) = core.take(two) else { panic!() };
    assert_eq!(error.to_string(), "cannot call add: the server cannot decode the request: bad \\u{7} byte");
}

#[test]
fn an_answer_nobody_waits_for_is_nothing() {
    let mut core = opened();
    let call = core.begin(add(), 0).unwrap();
    assert!(core.forget(call), "the server must be told");
    assert_eq!(core.receive(&bytes(Packet::Reply { call, payload: b"late" })), Ok(Event::Nothing));
    assert_eq!(
        core.receive(&bytes(Packet::Reply { call: 4_000_000, payload: b"whose?" })),
        Ok(Event::Nothing)
    );
    let call = core.begin(add(), 0).unwrap();
    assert_eq!(core.receive(&bytes(Packet::Reply { call, payload: b"" })), Ok(Event::Arrived(call)));
    assert!(!core.forget(call), "the server is done with it");
    for _ in 0..10 {
        let call = core.begin(add(), 0).unwrap();
        core.forget(call);
    }
}

#[test]
fn a_stream_is_granted_half_a_window_at_a_time() {
    let mut core = opened();
    let call = core.begin(count(), 4).unwrap();
    let item = bytes(Packet::Item { call, payload: b"i" });
    for _ in 0..4 {
        assert_eq!(core.receive(&item), Ok(Event::Arrived(call)));
    }
    let granted = |core: &mut ClientCore| match core.take(call) {
        Taken::Payload { grant, .. } => grant,
        other => panic!("{other:?}"),
    };
    assert_eq!([0; 4].map(|_| granted(&mut core)), [0, 2, 0, 2]);
    for _ in 0..4 {
        core.receive(&item).unwrap();
    }
    assert_eq!(core.receive(&item), Err(Error::Malformed { why: "an item was sent without credit" }));
    // Items come before the end, and after it nothing is granted.
    core.receive(&bytes(Packet::End { call })).unwrap();
    assert_eq!([0; 4].map(|_| granted(&mut core)), [0; 4]);
    assert_eq!(core.take(call), Taken::End);
    assert_eq!(core.take(call), Taken::Failed(Error::Closed));
}

#[test]
fn a_window_of_one_works() {
    let mut core = opened();
    let call = core.begin(count(), 1).unwrap();
    for _ in 0..3 {
        core.receive(&bytes(Packet::Item { call, payload: b"i" })).unwrap();
        assert_eq!(core.take(call), Taken::Payload { payload: b"i".to_vec(), grant: 1 });
    }
}

#[test]
fn the_end_of_the_conversation_fails_what_is_pending_and_nothing_else() {
    let mut core = opened();
    let [done, pending, stream] = [add(), add(), count()].map(|method| core.begin(method, 2).unwrap());
    core.receive(&bytes(Packet::Reply { call: done, payload: b"1" })).unwrap();
    core.receive(&bytes(Packet::Item { call: stream, payload: b"2" })).unwrap();
    assert_eq!(core.receive(&bytes(Packet::Goodbye)), Err(Error::Closed));
    core.fail(Error::Closed);
    assert_eq!(core.take(done), Taken::Payload { payload: b"1".to_vec(), grant: 0 });
    assert_eq!(core.take(pending), Taken::Failed(Error::Closed));
    assert!(matches!(core.take(stream), Taken::Payload { .. }));
    assert_eq!(core.take(stream), Taken::Failed(Error::Closed));
    assert_eq!(core.begin(add(), 0), Err(Error::Closed));
    assert_eq!(core.is_open(), Err(Error::Closed));
}

#[test]
fn a_server_that_breaks_the_rules_is_caught() {
    let request = Request { call: 1, method: 1, credit: 0, timeout: None, payload: b"" };
    for packet in [
        Packet::Item { call: 1, payload: b"" },
        Packet::End { call: 1 },
        Packet::Reply { call: 2, payload: b"" },
        Packet::Welcome(greeting(7)),
        Packet::Open(greeting(7)),
        Packet::Request(request),
        Packet::Credit { call: 1, items: 1 },
        Packet::Cancel { call: 1 },
    ] {
        let mut core = opened();
        core.begin(add(), 0).unwrap();
        core.begin(count(), 1).unwrap();
        let error = core.receive(&bytes(packet)).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{packet:?}: {error}");
    }
    let mut core = opened();
    let call = core.begin(add(), 0).unwrap();
    core.receive(&bytes(Packet::Reply { call, payload: b"" })).unwrap();
    core.receive(&bytes(Packet::Reply { call, payload: b"" })).unwrap_err();
}

proptest! {
    /// Whatever a server sends, the client holds no more than it granted, and counts right.
    #[test]
    fn no_message_makes_it_hold_more_than_it_granted(
        messages in proptest::collection::vec((0_u8..7, 0_u32..6), 0..60),
    ) {
        let mut core = opened();
        let calls = [core.begin(add(), 0), core.begin(count(), 2), core.begin(count(), 3)].map(Result::unwrap);
        for (kind, call) in messages {
            let packet = match kind {
                0 => Packet::Reply { call, payload: b"payload" },
                1 | 2 => Packet::Item { call, payload: b"payload" },
                3 => Packet::End { call },
                4 => Packet::Failure {
                    call,
                    failure: Failure { reason: Reason::Overloaded, len: 0, limit: 0, text: "" },
                },
                5 => { let _ = core.take(call); continue }
                _ => { core.forget(call); continue }
            };
            if let Err(error) = core.receive(&bytes(packet)) {
                core.fail(error);
                prop_assert_eq!(core.in_flight, 0);
                break;
            }
            let held: usize = core.calls.values().map(|call| call.items.len() + usize::from(call.reply.is_some())).sum();
            prop_assert!(held <= 1 + 2 + 3);
            prop_assert_eq!(core.in_flight, core.calls.values().filter(|call| call.end.is_none()).count());
        }
        for call in calls {
            core.forget(call);
        }
        prop_assert!(core.calls.is_empty());
        prop_assert_eq!(core.in_flight, 0);
    }
}
