//! What a message through a ring costs: system calls and allocations.

use twixt_address::Address;
use twixt_channel::{Message, Receiver, Sender};
use twixt_testkit::strace::{ROUNDS, cost, expected};
use twixt_testkit::test;

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

#[test]
fn posix_rings_make_no_system_call_and_system_v_rings_two_for_each_operation() {
    let test = test!();
    test.role("conversation", |peer| {
        let address: Address = peer.arg(0).parse().unwrap();
        let (mut sender, mut receiver) = (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap());
        let mut message = Message::new();
        for _ in 0..peer.arg(1).parse().unwrap() {
            sender.send(b"hello").unwrap();
            receiver.receive_into(&mut message).unwrap();
        }
    });
    for place in Place::all() {
        let _made = Sender::open(&place.address("?create")).unwrap();
        let role = |rounds: u64| test.child("conversation").arg(place.text("")).arg(rounds);
        let calls = match place.scheme {
            "sysv-shm" => expected(&[("semtimedop", 4 * ROUNDS)]),
            _ => expected(&[]),
        };
        match cost(role) {
            Ok(cost) => assert_eq!(cost, calls, "{}", place.scheme),
            Err(missing) => return test.skip(&missing),
        }
    }
}

#[test]
fn a_message_allocates_nothing() {
    for place in Place::all() {
        let address = place.address("?create");
        let (mut sender, mut receiver) = (Sender::open(&address).unwrap(), Receiver::open(&address).unwrap());
        let mut message = Message::new();
        sender.send(&[1; 4000]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                sender.send(&[2; 4000]).unwrap();
                receiver.receive_into(&mut message).unwrap();
                assert!(receiver.receive_wait(&mut message, twixt_os::Wait::never()).is_err());
            }
        });
        assert_eq!(counted.count_total, 0, "{}", place.scheme);
    }
}
