//! How much may wait between sender and receiver.

use std::thread;
use std::time::{Duration, Instant};

use twixt_os::ErrorKind;

use crate::ledger::Ledger;
use crate::protocol::{Abilities, Failure, How, Room};
use crate::stage::{NotClaimed, Pair, Party, Played, Stage};

const SHORT: Duration = Duration::from_millis(60);
const BUDGET: u64 = 64 * 1024;

/// Capacity zero: sender and receiver meet.
pub fn zero(stage: &Stage) -> Played {
    if !claimed(stage).zero {
        must_refuse(stage, "capacity=0");
        return Ok(());
    }
    let Pair { sender, receiver } = open(stage, "capacity=0");
    // Whoever comes first waits for the other.
    sender.begin_send(&sender.body(1), How::PATIENT);
    sender.must_wait();
    receiver.expect_number(1);
    sender.outcome().expect("a message that was taken");
    receiver.begin_receive(How::PATIENT);
    receiver.must_wait();
    sender.send_number(2, How::FOREVER).expect("somebody to take it");
    assert_eq!(receiver.received().expect("a message").body, receiver.body(2));
    assert_eq!(sender.capacity(), Some(Room::Zero));
    // One who hears many has no capacity in common with all of them.
    assert!(matches!(receiver.capacity(), None | Some(Room::Zero)));
    for party in [&sender, &receiver] {
        assert!(matches!(party.len(), None | Some(0)));
    }
    // What nobody takes is withdrawn, and does not arrive.
    for (how, kind) in [
        (How::NEVER, ErrorKind::WouldBlock),
        (How::PAST, ErrorKind::TimedOut),
        (How::within(SHORT), ErrorKind::TimedOut),
        (How::FOREVER.interruptible().in_storm(), ErrorKind::Interrupted),
    ] {
        let failure = sender.send_number(3, how).expect_err("nobody to take it");
        assert!(failure.is(kind), "{failure:?}");
        let failure = receiver.receive(How::within(SHORT)).expect_err("nothing to take");
        assert!(failure.is(ErrorKind::TimedOut), "{failure:?}");
        sender.begin_send(&sender.body(4), How::FOREVER);
        receiver.expect_number(4);
        sender.outcome().expect("a message that was taken");
    }
    // A sender that does not wait meets a receiver that does.
    receiver.begin_receive(How::PATIENT);
    receiver.must_wait();
    let end = Instant::now() + Duration::from_secs(20);
    while let Err(failure) = sender.send_number(5, How::NEVER) {
        assert!(failure.is(ErrorKind::WouldBlock), "{failure:?}");
        assert!(Instant::now() < end, "the two never meet");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(receiver.received().expect("a message").body, receiver.body(5));
    // Signals do not come between the two.
    sender.begin_send(&sender.body(6), How::FOREVER.in_storm());
    sender.wait_for_storm();
    receiver.expect_number(6);
    sender.outcome().expect("a message that was taken");
    // Many, one by one.
    receiver.begin_receive_many(500, true, How::PATIENT);
    assert_eq!(sender.send_many(1, 500, How::FOREVER).sent, 500);
    assert_eq!(receiver.collected().numbers, (1..=500).collect::<Vec<_>>());
    // Either goes while the other waits for it.
    if sender.can().sees_end {
        sender.begin_send(&sender.body(7), How::FOREVER);
        sender.must_wait();
        receiver.vanish();
        let failure = sender.outcome().expect_err("nobody to take it");
        assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
        drop((sender, receiver));
        let Pair { sender, receiver } = open(stage, "capacity=0");
        receiver.begin_receive(How::FOREVER);
        receiver.must_wait();
        sender.vanish();
        let failure = receiver.received().expect_err("nobody to send");
        assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
    }
    Ok(())
}

/// So much and no more, as was asked for.
pub fn bounded(stage: &Stage) -> Played {
    let asked = stage.backend.capacity;
    let options = format!("capacity={asked}");
    if !claimed(stage).bounded {
        must_refuse(stage, &options);
        return Ok(());
    }
    let Pair { sender, receiver } = open_either(stage, &options);
    let rooms: Vec<Room> = [&sender, &receiver].iter().filter_map(|party| party.capacity()).collect();
    for room in &rooms {
        assert!(matches!(room, Room::Bytes(_) | Room::Messages(_)), "{room:?}");
        assert!(room.amount() >= asked, "{room:?} of {asked}");
    }
    if !sender.can().reliable {
        return Ok(());
    }
    let mut ledger = Ledger::default();
    ledger.fill(&sender);
    let bytes: usize = ledger.accepted.iter().map(|number| sender.body(*number).len()).sum();
    match rooms.first() {
        Some(Room::Messages(most)) => assert_eq!(ledger.accepted.len() as u64, *most),
        // Over a connection each side has room of its own.
        Some(Room::Bytes(most)) if !sender.can().listens => {
            assert!(bytes as u64 <= *most, "{bytes} in {most}")
        }
        _ => {}
    }
    ledger.be_refused(&sender, How::NEVER, ErrorKind::WouldBlock);
    ledger.settle(&sender, &receiver);
    Ok(())
}

/// No send waits; what exceeds the budget is refused.
pub fn unbounded(stage: &Stage) -> Played {
    let options = format!("budget={BUDGET}");
    if !claimed(stage).unbounded {
        must_refuse(stage, &options);
        return Ok(());
    }
    let Pair { sender, receiver } = open_either(stage, &options);
    for room in [sender.capacity(), receiver.capacity()].into_iter().flatten() {
        assert_eq!(room, Room::Unbounded(BUDGET));
    }
    let mut ledger = Ledger::default();
    for how in [How::NEVER, How::FOREVER, How::PAST, How::within(SHORT)] {
        // By then nothing fits: it is refused each time, and nobody waits.
        ledger.send_until(&sender, how, ErrorKind::LimitReached);
    }
    let bytes: usize = ledger.accepted.iter().map(|number| sender.body(*number).len()).sum();
    assert!(bytes as u64 <= BUDGET, "{bytes} bytes wait");
    assert!(bytes as u64 >= BUDGET / 4, "only {bytes} bytes wait");
    if stage.backend.receiver.starts_with("file:") {
        // What was received stays in a file, and is counted.
        let collected = receiver.receive_many(ledger.accepted.len() as u64, How::PATIENT);
        assert_eq!(collected.numbers, ledger.accepted);
        return Ok(());
    }
    ledger.settle(&sender, &receiver);
    // What was received is no longer counted.
    for _ in 0..3 {
        let mut again = Ledger::default();
        again.send_until(&sender, How::FOREVER, ErrorKind::LimitReached);
        assert!(again.accepted.len() >= ledger.accepted.len() / 2);
        again.settle(&sender, &receiver);
    }
    Ok(())
}

/// What waits is counted, in the unit of the capacity.
pub fn length(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    if sender.len().is_none() && receiver.len().is_none() {
        return Err(NotClaimed("the kernel does not tell"));
    }
    for party in [&sender, &receiver] {
        assert!(matches!(party.len(), None | Some(0)), "{:?} wait in an empty channel", party.len());
    }
    let mut ledger = Ledger::default();
    ledger.send(&sender, 3, How::PATIENT);
    let exact = |party: &Party| match party.capacity() {
        Some(Room::Messages(_)) if !party.can().adds_up() => Some(3),
        _ => None,
    };
    if let Some(mut len) = receiver.len() {
        // Not everything that was sent is there at once.
        let end = Instant::now() + Duration::from_secs(20);
        while len == 0 || exact(&receiver).is_some_and(|exact| len < exact) {
            assert!(Instant::now() < end, "three messages count as {len}");
            len = receiver.len().expect("a length as before");
        }
        assert!(exact(&receiver).is_none_or(|exact| len == exact), "three messages count as {len}");
        if let Some(room) = receiver.capacity().filter(|room| *room != Room::Zero) {
            assert!(len <= room.amount(), "{len} in {room:?}");
        }
    }
    if let (Some(len), Some(room)) = (sender.len(), sender.capacity()) {
        assert!(len <= room.amount(), "{len} in {room:?}");
    }
    ledger.settle(&sender, &receiver);
    if sender.can().fills_up() {
        let mut ledger = Ledger::default();
        ledger.fill(&sender);
        for party in [&sender, &receiver] {
            match (party.len(), party.capacity()) {
                (Some(len), Some(Room::Messages(most))) => assert_eq!(len, most, "it is full"),
                // A socket takes a last message that goes beyond its room, with what the kernel adds to it.
                (Some(len), Some(room)) => assert!(len <= room.amount() * 2, "{len} in {room:?}"),
                _ => {}
            }
        }
        ledger.settle(&sender, &receiver);
    }
    for party in [&sender, &receiver] {
        let end = Instant::now() + Duration::from_secs(20);
        while party.len().is_some_and(|len| len > 0) {
            assert!(Instant::now() < end, "{:?} wait in an empty channel", party.len());
        }
    }
    Ok(())
}

/// What is open claims no more than its mechanism, and what one end promises the other keeps.
pub fn claims(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let (sends, receives) = (sender.can(), receiver.can());
    let common = |can: &Abilities| {
        (can.number, can.empty_messages, can.types, can.priority, can.descriptors, can.reliable)
    };
    assert_eq!(common(&sends), common(&receives));
    assert_eq!(sends.keeps_boundaries, receives.keeps_boundaries);
    let most = |can: &Abilities| can.max_message.unwrap_or(usize::MAX);
    assert!(most(&receives) >= most(&sends), "{} are too much for {}", most(&sends), most(&receives));
    let Some(best) = stage.claims() else { return Ok(()) };
    for can in [sends, receives] {
        for (what, here, there) in [
            ("types", can.types, best.types),
            ("priority", can.priority.is_some(), best.priority.is_some()),
            ("descriptors", can.descriptors > 0, best.descriptors > 0),
            ("credentials", can.credentials, best.credentials),
            ("both ways", can.both_ways, best.both_ways),
            ("many senders", can.many_senders, best.many_senders),
            ("many receivers", can.many_receivers, best.many_receivers),
            ("fan-out", can.fans_out, best.fans_out),
            ("an end", can.sees_end, best.sees_end),
            ("persistence", can.persists, best.persists),
            ("listening", can.listens, best.listens),
            ("zero", can.zero, best.zero),
            ("bounded", can.bounded, best.bounded),
            ("unbounded", can.unbounded, best.unbounded),
            ("readiness", can.pollable, best.pollable),
        ] {
            // What a descriptor can do is seen once it is open.
            assert!(!here || there || stage.backend.is_passed(), "{what}: claimed once open, and not before");
        }
    }
    Ok(())
}

/// What can be asked for when it is opened.
fn claimed(stage: &Stage) -> Abilities {
    stage.claims().unwrap_or_else(|| stage.pair().sender.can())
}

fn open(stage: &Stage, options: &str) -> Pair {
    stage.pair_with(options).unwrap_or_else(|failure| panic!("{options} is claimed: {}", failure.text))
}

/// Opens both with the options, or one of them, if the other has no part in what they say.
fn open_either(stage: &Stage, options: &str) -> Pair {
    let both = stage.pair_with(options);
    let failure = match both {
        Ok(pair) => return pair,
        Err(failure) => failure,
    };
    assert!(failure.is(ErrorKind::Unsupported), "{options} is claimed: {failure:?}");
    stage
        .pair_of(stage.cast_unlike(options, "", 1, 1))
        .or_else(|_| stage.pair_of(stage.cast_unlike("", options, 1, 1)))
        .unwrap_or_else(|_| panic!("{options} is claimed: {}", failure.text))
}

#[track_caller]
fn must_refuse(stage: &Stage, options: &str) {
    let failure: Failure = match stage.pair_with(options) {
        Ok(_) => panic!("{options} is not claimed, and not refused"),
        Err(failure) => failure,
    };
    assert!(failure.is(ErrorKind::Unsupported), "{failure:?}");
}
