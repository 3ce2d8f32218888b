//! What goes along with a message. What a mechanism has no place for is refused, and nothing of the message is sent.

use twixt_os::ErrorKind;

use crate::ledger::Ledger;
use crate::protocol::{Choice, How, With};
use crate::stage::{NotClaimed, Pair, Party, Played, Stage};

/// Higher priorities first, equal ones in order.
pub fn priority(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let with = |priority| With { priority: Some(priority), ..With::default() };
    let Some(highest) = sender.can().priority else {
        for priority in [0, 1, 5] {
            must_refuse(&sender, with(priority));
        }
        Ledger::settle_nothing(&sender, &receiver);
        return Ok(());
    };
    let sent = [(1, 0), (2, 3), (3, highest), (4, 3), (5, 0), (6, highest)];
    for (number, priority) in sent {
        sender.send_with(&sender.body(number), with(priority), How::PATIENT).expect("room");
    }
    for (number, priority) in [(3, highest), (6, highest), (2, 3), (4, 3), (1, 0), (5, 0)] {
        let got = receiver.receive(How::PATIENT).expect("a message");
        assert_eq!((got.body, got.priority), (receiver.body(number), Some(priority)));
    }
    let failure = sender.send_with(&sender.body(7), with(highest + 1), How::PATIENT).expect_err("too high");
    let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput, ErrorKind::OutOfRange];
    assert!(failure.is_one_of(&kinds), "{failure:?}");
    Ledger::settle_nothing(&sender, &receiver);
    Ok(())
}

/// A receiver chooses by type.
pub fn types(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let with = |message_type| With { message_type: Some(message_type), ..With::default() };
    if !sender.can().types {
        for message_type in [1, 7, i64::MAX] {
            must_refuse(&sender, with(message_type));
        }
        for choice in [Choice::Any, Choice::Type(1), Choice::AtMost(2), Choice::Except(3)] {
            let failure = receiver.select(choice).expect_err("no types");
            assert!(failure.is(ErrorKind::Unsupported), "{failure:?}");
        }
        Ledger::settle_nothing(&sender, &receiver);
        return Ok(());
    }
    for (number, message_type) in [(1, 5), (2, 2), (3, 5), (4, 9), (5, 1), (6, 2), (7, i64::MAX)] {
        sender.send_with(&sender.body(number), with(message_type), How::PATIENT).expect("room");
    }
    // What is left after each: 1:5 2:2 3:5 4:9 5:1 6:2 7:max.
    let choices = [
        (Choice::Type(5), 1, 5),
        (Choice::Except(2), 3, 5),
        (Choice::AtMost(2), 5, 1),
        (Choice::AtMost(9), 2, 2),
        (Choice::Any, 4, 9),
        (Choice::Type(i64::MAX), 7, i64::MAX),
    ];
    for (choice, number, message_type) in choices {
        receiver.select(choice).expect("types to choose by");
        let got = receiver.receive(How::PATIENT).expect("a message");
        assert_eq!((got.body, got.message_type), (receiver.body(number), Some(message_type)), "{choice:?}");
    }
    receiver.select(Choice::Type(8)).expect("types to choose by");
    receiver.expect_none();
    receiver.select(Choice::Any).expect("types to choose by");
    receiver.expect_number(6);
    for message_type in [0, -1] {
        let outcome = sender.send_with(&sender.body(8), with(message_type), How::PATIENT);
        let failure = outcome.expect_err("types start from 1");
        let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput, ErrorKind::OutOfRange];
        assert!(failure.is_one_of(&kinds), "{failure:?}");
    }
    Ledger::settle_nothing(&sender, &receiver);
    Ok(())
}

/// Descriptors arrive as the ones that were sent, with the message they were sent with, and close with it.
pub fn descriptors(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let with = |descriptors| With { descriptors, ..With::default() };
    let most = sender.can().descriptors;
    if most == 0 {
        must_refuse(&sender, with(1));
        Ledger::settle_nothing(&sender, &receiver);
        return Ok(());
    }
    let before = [&sender, &receiver].map(|party| party.usage().descriptors);
    for (number, count) in (1..).zip([1, 0, 2, most, 0, 1]) {
        sender.begin_send_with(&sender.body(number), with(count), How::PATIENT);
        let got = receiver.receive(How::PATIENT).expect("a message");
        sender.outcome().expect("room");
        let expected: Vec<String> = (0..count).map(|number| format!("descriptor {number}")).collect();
        assert_eq!((got.body, got.descriptors), (receiver.body(number), expected));
    }
    // Together they arrive apart.
    for (number, count) in [(1, 1), (2, 0), (3, 3.min(most))] {
        sender.send_with(&sender.body(number), with(count), How::PATIENT).expect("room");
    }
    for (number, count) in [(1, 1), (2, 0), (3, 3.min(most))] {
        let got = receiver.receive(How::PATIENT).expect("a message");
        assert_eq!((got.body, got.descriptors.len()), (receiver.body(number), count));
    }
    must_refuse(&sender, with(most + 1));
    Ledger::settle_nothing(&sender, &receiver);
    let after = [&sender, &receiver].map(|party| party.usage().descriptors);
    // A listening receiver has taken the connection meanwhile.
    let connections = u64::from(receiver.can().listens);
    assert!(after[0] <= before[0] && after[1] <= before[1] + connections, "{before:?} became {after:?}");
    Ok(())
}

/// The kernel says who sent it, where that is claimed, and otherwise nobody does.
pub fn credentials(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let claimed = receiver.can().credentials;
    for number in 1..4 {
        sender.send_number(number, How::PATIENT).expect("room");
        let got = receiver.receive(How::PATIENT).expect("a message");
        assert_eq!(got.body, receiver.body(number));
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        match got.credentials {
            Some(sent_by) => assert_eq!((sent_by, claimed), ((Some(sender.pid), ids.0, ids.1), true)),
            None => assert!(!claimed, "nobody says who sent it"),
        }
    }
    if claimed { Ok(()) } else { Err(NotClaimed("nobody says who sends")) }
}

#[track_caller]
fn must_refuse(sender: &Party, with: With) {
    let failure =
        sender.send_with(&sender.body(99), with.clone(), How::PATIENT).expect_err("no place for it");
    assert!(failure.is(ErrorKind::Unsupported), "{with:?}: {failure:?}");
}
