//! What shows only after a while.

use crate::ledger::stop;
use crate::protocol::{How, Usage};
use crate::stage::{Pair, Party, Played, Stage};

/// A million messages: none is lost, and neither side grows.
pub fn million(stage: &Stage) -> Played {
    const WARM: u64 = 20_000;
    const MANY: u64 = 1_000_000;
    let Pair { sender, receiver } = stage.pair();
    run(&sender, &receiver, 1, WARM);
    let before = [sender.usage(), receiver.usage()];
    run(&sender, &receiver, WARM + 1, MANY);
    let after = [sender.usage(), receiver.usage()];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.descriptors, before.descriptors);
        assert!(!has_grown(before, after), "{before:?} became {after:?}");
    }
    Ok(())
}

fn run(sender: &Party, receiver: &Party, first: u64, count: u64) {
    let can = sender.can();
    let by_count = can.reliable && !can.adds_up();
    receiver.begin_receive_many(if by_count { count } else { u64::MAX }, false, How::PATIENT);
    let tally = sender.send_many(first, count, How::PATIENT);
    assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (count, None));
    if !by_count {
        stop(sender, receiver);
    }
    let collected = receiver.collected();
    assert_eq!(collected.failure.map(|it| it.text), None, "{} of {count} arrived", collected.count);
    if can.reliable {
        // In order they are, or the receiver would have said so; so their sum says that they are all there.
        let sum = (first + first + count - 1) * count / 2;
        assert_eq!(collected.sum, sum);
    } else {
        assert!(collected.count > 0);
    }
}

/// By more than the odd page that a process touches for the first time.
fn has_grown(before: &Usage, after: &Usage) -> bool {
    const SLACK: u64 = 2 << 20;
    after.resident > before.resident + SLACK
}
