//! What can be polled.

use std::time::Duration;

use twixt_os::ErrorKind;

use crate::ledger::Ledger;
use crate::protocol::{Done, How, Order};
use crate::stage::{Pair, Party, Played, Stage};

const PATIENCE: Duration = Duration::from_secs(20);

/// What would block is not ready; what is ready can go on. What cannot be polled says so.
pub fn readiness(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    if receiver.can().pollable {
        receiver.expect_none();
        assert_eq!(
            receiver.poll(Duration::from_millis(20)).ok(),
            Some(false),
            "ready with nothing to receive"
        );
        receiver.begin(Order::Poll { patience: PATIENCE });
        receiver.must_wait();
        sender.send_number(1, How::PATIENT).expect("room");
        receiver.outcome().expect("a message makes it ready");
        assert_eq!(receiver.poll(PATIENCE).ok(), Some(true), "not ready with a message");
        receiver.expect_number(1);
        receiver.expect_none();
        assert_eq!(receiver.poll(Duration::ZERO).ok(), Some(false), "ready with nothing to receive any more");
    } else {
        must_refuse(&receiver);
    }
    if sender.can().pollable {
        assert_eq!(sender.poll(PATIENCE).ok(), Some(true), "not ready with room");
        if sender.can().fills_up() {
            let mut ledger = Ledger::default();
            ledger.fill(&sender);
            ledger.be_refused(&sender, How::NEVER, ErrorKind::WouldBlock);
            assert_eq!(sender.poll(Duration::from_millis(20)).ok(), Some(false), "ready without room");
            sender.begin(Order::Poll { patience: PATIENCE });
            sender.must_wait();
            // Polling passes nothing on that is kept back: that comes afterwards.
            let kept = u64::from(!sender.can().adds_up());
            let collected = receiver.receive_many(ledger.accepted.len() as u64 - kept, How::PATIENT);
            assert_eq!(collected.failure.map(|it| it.text), None);
            assert!(matches!(sender.outcome(), Ok(Done::Is(true))), "not ready once there was room");
            ledger.accepted.drain(..collected.numbers.len());
            if kept > 0 {
                ledger.settle(&sender, &receiver);
            }
        }
    } else {
        must_refuse(&sender);
    }
    Ok(())
}

#[track_caller]
fn must_refuse(party: &Party) {
    let failure = party.poll(Duration::ZERO).expect_err("nothing to poll");
    assert!(failure.is(ErrorKind::Unsupported), "{failure:?}");
}
