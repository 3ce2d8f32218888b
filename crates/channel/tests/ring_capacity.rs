//! The three capacities of rings: zero, bounded (`ring_mailbox.rs`), unbounded within a budget.

use std::time::Duration;

use twixt_channel::{Capacities, Capacity, Receiver, Sender};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Storm, test};

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

#[test]
fn at_zero_a_send_returns_when_the_message_has_been_taken() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        for number in 0..3 {
            sender.send(format!("message {number}").as_bytes()).unwrap();
            peer.say("taken");
        }
    });
    for place in Place::all() {
        let mut receiver = Receiver::open(&place.address("?create&capacity=0")).unwrap();
        assert_eq!(receiver.capacity().unwrap(), Some(Capacity::Zero));
        assert_eq!(receiver.capabilities().capacities, Capacities::ZERO);
        assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut child = test.child("sender").arg(place.text("")).spawn();
        for number in 0..3 {
            place.wait_for_offer();
            assert_eq!(receiver.len().unwrap(), Some(0));
            assert_eq!(receiver.receive().unwrap().bytes(), format!("message {number}").as_bytes());
            child.expect("taken");
        }
        child.succeed();
    }
}

#[test]
fn at_zero_what_nobody_takes_in_time_is_withdrawn() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=0")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        assert_eq!(sender.try_send(b"now").unwrap_err().kind(), ErrorKind::WouldBlock);
        let past = Wait::until(Deadline::now());
        assert_eq!(sender.send_wait(b"then", past).unwrap_err().kind(), ErrorKind::TimedOut);
        let soon = Deadline::after(Duration::from_millis(30));
        assert_eq!(sender.send_deadline(b"soon", soon).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(soon.has_passed());
        {
            let _storm = Storm::on_this_thread();
            let error = sender.send_interruptible(b"until a signal").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted);
        }
        assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock, "{}", place.scheme);
    }
}

#[test]
fn at_zero_a_try_succeeds_when_somebody_waits() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say(std::str::from_utf8(receiver.receive().unwrap().bytes()).unwrap());
    });
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=0")).unwrap();
        let mut child = test.child("receiver").arg(place.text("")).spawn();
        place.wait_for_sleeping_receiver();
        sender.try_send(b"here").unwrap();
        child.expect("here");
        child.succeed();
        assert_eq!(sender.try_send(b"gone").unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn at_zero_the_offer_of_the_dead_is_withdrawn() {
    let test = test!();
    test.role("sender", |peer| {
        Sender::open(&peer.arg(0).parse().unwrap()).unwrap().send(b"from the grave").unwrap();
    });
    for place in Place::all() {
        let mut receiver = Receiver::open(&place.address("?create&capacity=0")).unwrap();
        for _ in 0..2 {
            let child = test.child("sender").arg(place.text("")).spawn();
            place.wait_for_offer();
            child.kill();
            assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        // Nor is another sender kept out by it.
        let child = test.child("sender").arg(place.text("")).spawn();
        place.wait_for_offer();
        child.kill();
        let mut child = test.child("sender").arg(place.text("")).spawn();
        assert_eq!(receiver.receive().unwrap().bytes(), b"from the grave");
        assert!(child.wait().success());
        assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn at_zero_many_meet_and_nothing_is_lost_or_doubled() {
    const EACH: u32 = 300;
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        let first: u32 = peer.arg(1).parse().unwrap();
        for number in first..first + EACH {
            // Some give up and try again: what was withdrawn does not arrive.
            let short = Wait::until(Deadline::after(Duration::from_micros(u64::from(number % 7) * 50)));
            if sender.send_wait(&number.to_le_bytes(), short).is_err() {
                sender.send(&number.to_le_bytes()).unwrap();
            }
        }
    });
    for place in Place::all() {
        let mut receiver = Receiver::open(&place.address("?create&capacity=0")).unwrap();
        let senders: Vec<_> = (0..3)
            .map(|number| test.child("sender").arg(place.text("")).arg(number * EACH).spawn())
            .collect();
        let mut heard: Vec<u32> = (0..3 * EACH)
            .map(|_| u32::from_le_bytes(receiver.receive().unwrap().bytes().try_into().unwrap()))
            .collect();
        senders.into_iter().for_each(twixt_testkit::Child::succeed);
        heard.sort_unstable();
        assert!(heard.into_iter().eq(0..3 * EACH), "{}", place.scheme);
        assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn within_a_budget_no_send_waits_and_what_exceeds_it_is_refused() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&budget=1M")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        assert_eq!(sender.capacity().unwrap(), Some(Capacity::Unbounded { budget: 1 << 20 }));
        assert_eq!(sender.capabilities().capacities, Capacities::UNBOUNDED);
        // Twice, with the counters at another place.
        for round in 0..2_u32 {
            let mut sent = 0_u32;
            let error = loop {
                let mut message = (sent + round).to_le_bytes().to_vec();
                message.resize(1000, round as u8);
                match sender.send(&message) {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            let limit = error.limit().unwrap();
            assert_eq!((limit.current, limit.needed), (Some(1 << 20), Some(1008 * u64::from(sent + 1))));
            assert_eq!(sent, (1 << 20) / 1008);
            assert_eq!(sender.len().unwrap(), Some(1008 * u64::from(sent)));
            for number in 0..sent {
                let message = receiver.receive().unwrap();
                assert_eq!(message.bytes()[..4], (number + round).to_le_bytes());
                assert!(message.bytes()[4..].iter().all(|byte| *byte == round as u8));
            }
            assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        let longest = sender.capabilities().max_message.unwrap();
        assert_eq!(longest, (1 << 20) - 8);
        sender.send(&vec![1; longest]).unwrap();
        assert_eq!(receiver.receive().unwrap().len(), longest);
        assert_eq!(sender.send(&vec![1; longest + 1]).unwrap_err().kind(), ErrorKind::TooLong);
    }
}

#[test]
fn a_ring_grows_while_it_wraps_around() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&budget=2M")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        let (mut put, mut taken) = (0_u64, 0_u64);
        let message = |number: u64| -> Vec<u8> {
            (0..997 + number % 5000).map(|at| (at * 31 + number) as u8).collect()
        };
        // More comes than goes, so that every growth finds it at another place.
        while put < 900 {
            for _ in 0..3 {
                match sender.send(&message(put)) {
                    Ok(()) => put += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::LimitReached);
                        break;
                    }
                }
            }
            for _ in 0..2 {
                assert_eq!(receiver.receive().unwrap().bytes(), message(taken), "{}", place.scheme);
                taken += 1;
            }
        }
        while taken < put {
            assert_eq!(receiver.receive().unwrap().bytes(), message(taken));
            taken += 1;
        }
    }
}

#[test]
fn memory_is_reserved_as_more_waits_and_not_before() {
    for place in [Place::posix_shm(), Place::mmap()] {
        let mut sender = Sender::open(&place.address("?create&budget=1G")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        let size = || std::fs::metadata(place.file().unwrap()).unwrap().len();
        let small = size();
        assert!(small <= 128 << 10, "{small}");
        for _ in 0..10_000 {
            sender.send(&[1; 1000]).unwrap();
            receiver.receive().unwrap();
        }
        assert_eq!(size(), small, "what was taken makes room");
        for _ in 0..300 {
            sender.send(&[2; 1000]).unwrap();
        }
        assert!((300_000..1 << 20).contains(&size()), "{}", size());
        // A receiver that mapped the small one follows.
        for _ in 0..300 {
            assert_eq!(receiver.receive().unwrap().bytes(), [2; 1000]);
        }
    }
}
