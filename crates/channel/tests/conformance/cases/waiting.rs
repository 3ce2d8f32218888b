//! How a call waits, and for how long.

use std::time::{Duration, Instant};

use twixt_os::ErrorKind;

use crate::body::Body;
use crate::ledger::Ledger;
use crate::protocol::How;
use crate::stage::{NotClaimed, Pair, Party, Played, Stage};

const SHORT: Duration = Duration::from_millis(60);
/// Longer than it takes a storm to hit.
const STORMY: Duration = Duration::from_millis(150);

/// On an empty channel a receive waits, as long as it may and no less.
pub fn empty(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    receiver.expect_none();
    must_time_out(&receiver, || receiver.begin_receive(How::within(SHORT)), SHORT);
    must_time_out(&receiver, || receiver.begin_receive(How::within(SHORT).interruptible()), SHORT);
    receiver.expect_none();
    // One that waits gets what comes.
    receiver.begin_receive(How::FOREVER);
    receiver.must_wait();
    sender.send_number(1, How::FOREVER).expect("room");
    assert_eq!(receiver.received().expect("a message").body, sender.body(1));
    receiver.begin_receive(How::PATIENT);
    receiver.must_wait();
    sender.send_number(2, How::PATIENT).expect("room");
    assert_eq!(receiver.received().expect("a message").body, sender.body(2));
    receiver.expect_none();
    Ok(())
}

/// On a full channel a send waits, as long as it may and no less.
pub fn full(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    if !sender.can().fills_up() {
        return Err(NotClaimed("is never full"));
    }
    let mut ledger = Ledger::default();
    ledger.fill(&sender);
    ledger.be_refused(&sender, How::NEVER, ErrorKind::WouldBlock);
    ledger.be_refused(&sender, How::within(SHORT), ErrorKind::TimedOut);
    // One that waits is done once there is room.
    let body = ledger.begin_waiting(&sender, How::FOREVER);
    ledger.collect(&receiver);
    sender.outcome().expect("room");
    receiver.expect(&body);
    Ledger::settle_nothing(&sender, &receiver);
    Ok(())
}

/// A deadline that has passed still leaves one try.
pub fn past_deadline(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let failure = receiver.receive(How::PAST).expect_err("nothing to receive");
    assert!(failure.is(ErrorKind::TimedOut), "{failure:?}");
    sender.send_number(1, How::PAST).expect("room");
    // Not everything that was sent is there at once.
    let end = Instant::now() + Duration::from_secs(20);
    let got = loop {
        match receiver.receive(How::PAST) {
            Ok(got) => break got,
            Err(failure) => assert!(failure.is(ErrorKind::TimedOut), "{failure:?}"),
        }
        assert!(Instant::now() < end, "a receive with a past deadline finds nothing");
    };
    assert_eq!(got.body, sender.body(1));
    if sender.can().fills_up() {
        let mut ledger = Ledger::default();
        ledger.fill(&sender);
        ledger.be_refused(&sender, How::PAST, ErrorKind::TimedOut);
        ledger.settle(&sender, &receiver);
    }
    Ok(())
}

/// Signals neither shorten nor lengthen a deadline.
pub fn deadline_in_storm(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    must_time_out(&receiver, || receiver.begin_receive(How::within(STORMY).in_storm()), STORMY);
    if sender.can().fills_up() {
        let mut ledger = Ledger::default();
        ledger.fill(&sender);
        ledger.be_refused(&sender, How::within(STORMY).in_storm(), ErrorKind::TimedOut);
        ledger.settle(&sender, &receiver);
    } else {
        Ledger::settle_nothing(&sender, &receiver);
    }
    Ok(())
}

/// Signals end no call that was not told to end then.
pub fn storm(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    receiver.begin_receive(How::FOREVER.in_storm());
    receiver.wait_for_storm();
    sender.send_number(1, How::FOREVER.in_storm()).expect("room");
    assert_eq!(receiver.received().expect("a message").body, sender.body(1));
    if sender.can().fills_up() {
        let mut ledger = Ledger::default();
        ledger.fill(&sender);
        let refused = ledger.be_refused(&sender, How::NEVER, ErrorKind::WouldBlock);
        let body = sender.body(refused);
        sender.begin_send(&body, How::FOREVER.in_storm());
        sender.wait_for_storm();
        ledger.collect(&receiver);
        sender.outcome().expect("room");
        receiver.expect(&body);
        Ledger::settle_nothing(&sender, &receiver);
    }
    Ok(())
}

/// Signals do end a call that was told to end then; nothing was lost, and nothing sent.
pub fn interruptible(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let until_signal = How::FOREVER.interruptible().in_storm();
    for how in [until_signal, How::PATIENT.interruptible().in_storm()] {
        let failure = receiver.receive(how).expect_err("nothing to receive");
        assert!(failure.is(ErrorKind::Interrupted), "{failure:?}");
    }
    Ledger::settle_nothing(&sender, &receiver);
    if sender.can().fills_up() {
        let mut ledger = Ledger::default();
        ledger.fill(&sender);
        ledger.be_refused(&sender, until_signal, ErrorKind::Interrupted);
        ledger.be_refused(&sender, How::PATIENT.interruptible().in_storm(), ErrorKind::Interrupted);
        ledger.settle(&sender, &receiver);
    }
    Ok(())
}

/// Whatever a send fails with, nothing of its message arrives, and it can be sent again: then it arrives once.
pub fn given_back(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let can = sender.can();
    let mut ledger = Ledger::default();
    let mut refused = ledger.next();
    if can.fills_up() {
        ledger.fill(&sender);
        for (how, kind) in [
            (How::NEVER, ErrorKind::WouldBlock),
            (How::PAST, ErrorKind::TimedOut),
            (How::within(SHORT), ErrorKind::TimedOut),
            (How::FOREVER.interruptible().in_storm(), ErrorKind::Interrupted),
            (How::NEVER, ErrorKind::WouldBlock),
        ] {
            refused = ledger.be_refused(&sender, how, kind);
        }
    }
    if let (Some(most), None) = (can.max_message, can.number) {
        let failure = sender.send(&Body::filler(most + 1), How::PATIENT).expect_err("one byte too many");
        assert!(failure.is(ErrorKind::TooLong), "{failure:?}");
    }
    ledger.settle(&sender, &receiver);
    let body = sender.body(refused);
    sender.send(&body, How::NEVER).expect("room again");
    receiver.expect(&body);
    Ledger::settle_nothing(&sender, &receiver);
    receiver.expect_none();
    Ok(())
}

/// What was begun must fail when this time is up, and not before.
#[track_caller]
fn must_time_out(party: &Party, begin: impl FnOnce(), time: Duration) {
    begin();
    let settled = party.settled();
    match settled.outcome {
        Err(failure) => assert!(failure.is(ErrorKind::TimedOut), "{failure:?}"),
        Ok(done) => panic!("it was to time out: {done:?}"),
    }
    assert!(settled.took >= time, "it gave up after {:?} of {time:?}", settled.took);
}
