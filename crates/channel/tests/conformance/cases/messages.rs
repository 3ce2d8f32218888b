//! What a message is: its order, its length, its bytes.

use twixt_os::ErrorKind;

use crate::body::Body;
use crate::ledger::{Ledger, stop};
use crate::protocol::How;
use crate::stage::{NotClaimed, Pair, Played, Stage};

/// What is sent arrives, all of it and in order, while both are at it.
pub fn order(stage: &Stage) -> Played {
    const COUNT: u64 = 2000;
    let Pair { sender, receiver } = stage.pair();
    let mut ledger = Ledger::default();
    if sender.can().reliable {
        sender.begin_send_many(1, COUNT, How::PATIENT);
        ledger.accepted.extend(1..=COUNT);
        ledger.collect(&receiver);
        let tally = sender.sent();
        assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (COUNT, None));
        Ledger::settle_nothing(&sender, &receiver);
    } else {
        // Something may be lost, but nothing may be doubled or invented.
        receiver.begin_receive_many(u64::MAX, true, How::PATIENT);
        ledger.send(&sender, COUNT, How::PATIENT);
        stop(&sender, &receiver);
        let collected = receiver.collected();
        assert!(collected.stopped, "{:?}", collected.failure);
        // Where a message replaces those before, a receiver that does not run meanwhile finds the last one alone.
        assert!(collected.count > 0 || receiver.can().newest_wins);
        let mut numbers = collected.numbers;
        if !receiver.can().keeps_order() {
            numbers.sort_unstable();
        }
        assert!(numbers.is_sorted_by(|one, next| one < next), "something came twice");
        assert!(numbers.iter().all(|number| ledger.accepted.contains(number)));
    }
    Ok(())
}

/// Messages that wait together arrive apart.
pub fn boundaries(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let can = sender.can();
    if can.number.is_some() {
        return Err(NotClaimed("numbers have no length"));
    }
    let most = can.max_message.unwrap_or(usize::MAX);
    let lengths = [1, 2, 255, 256, 257, 1, 4095, 4096, 4097, 7, 30_000, 1, 65_535, 65_536, 65_537, 3];
    let bodies: Vec<Body> = lengths.iter().map(|len| Body::filler((*len).min(most))).collect();
    // One after the other.
    for body in &bodies {
        sender.begin_send(body, How::PATIENT);
        receiver.expect(body);
        sender.outcome().expect("room");
    }
    if can.newest_wins {
        // Several at a time are the last of them.
        for body in &bodies {
            sender.send(body, How::NEVER).expect("nobody is waited for");
        }
        receiver.expect(bodies.last().expect("several"));
        receiver.expect_none();
        return Ok(());
    }
    // As many at a time as there is room for.
    let mut waiting = Vec::new();
    for body in bodies.iter().filter(|body| body.len() <= 300).cycle().take(40) {
        match sender.send(body, How::NEVER) {
            Ok(()) => waiting.push(body),
            Err(failure) => {
                assert!(failure.is(ErrorKind::WouldBlock), "{failure:?}");
                break;
            }
        }
    }
    assert!(waiting.len() > 1, "room for {} messages", waiting.len());
    for body in waiting {
        receiver.expect(body);
    }
    Ok(())
}

/// A message without bytes arrives as one, or is refused.
pub fn empty(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let empty = Body::text("");
    if sender.can().newest_wins {
        for number in 1..4 {
            sender.send(&empty, How::PATIENT).expect("an empty message is a message");
            receiver.expect(&empty);
            sender.send_number(number, How::PATIENT).expect("room");
            receiver.expect_number(number);
        }
    } else if sender.can().empty_messages {
        sender.send_number(1, How::PATIENT).expect("room");
        sender.send(&empty, How::PATIENT).expect("an empty message is a message");
        sender.send(&empty, How::PATIENT).expect("an empty message is a message");
        sender.send_number(2, How::PATIENT).expect("room");
        receiver.expect_number(1);
        receiver.expect(&empty);
        receiver.expect(&empty);
        receiver.expect_number(2);
    } else {
        let failure = sender.send(&empty, How::PATIENT).expect_err("no empty messages");
        assert!(failure.is(ErrorKind::InvalidInput), "{failure:?}");
        sender.send_number(2, How::PATIENT).expect("room");
        receiver.expect_number(2);
    }
    Ok(())
}

/// Every byte arrives as it is. Only where a byte ends a message is it refused, and then nothing of the message arrives.
pub fn any_bytes(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let can = sender.can();
    if can.number.is_some() {
        return Err(NotClaimed("numbers have no other bytes"));
    }
    let all: Vec<u8> = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
    let some = [&b"\n"[..], b"\0", b"a line\n", b"\r\n\r\n", b"\0\0\0\0", b"\xff\xfe\xfd", b"\x04\0\0\0abcd"];
    for (number, bytes) in (1..).zip(some.into_iter().chain([&all[..]])) {
        let body = Body::Bytes(bytes.to_vec());
        match sender.send(&body, How::PATIENT) {
            Ok(()) => receiver.expect(&body),
            Err(failure) => {
                assert!(!can.keeps_boundaries && failure.is(ErrorKind::InvalidInput), "{failure:?}");
                assert!(bytes.contains(&b'\n') || bytes.contains(&0), "{failure:?}");
            }
        }
        sender.send_number(number, How::PATIENT).expect("room");
        receiver.expect_number(number);
    }
    Ok(())
}

/// The largest message arrives; one with a byte more is refused, and nothing of it arrives.
pub fn largest(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let can = sender.can();
    if can.number.is_some() {
        return Err(NotClaimed("numbers have no length"));
    }
    let most = can.max_message.unwrap_or(4 << 20);
    let body = Body::filler(most);
    sender.begin_send(&body, How::PATIENT);
    receiver.expect(&body);
    sender.outcome().expect("the largest message is one");
    if can.max_message.is_some() {
        let longer = Body::filler(most + 1);
        for how in [How::PATIENT, How::NEVER, How::PAST] {
            let failure = sender.send(&longer, how).expect_err("one byte too many");
            assert!(failure.is(ErrorKind::TooLong), "{failure:?}");
        }
    }
    sender.send_number(1, How::PATIENT).expect("room");
    receiver.expect_number(1);
    sender.begin_send(&body, How::PATIENT);
    receiver.expect(&body);
    sender.outcome().expect("the largest message is one, again");
    Ok(())
}

/// The least and the greatest number arrive; what is beyond them, or is no number, is refused.
pub fn numbers(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    let Some(range) = sender.can().number else { return Err(NotClaimed("carries any bytes")) };
    for number in [range.least.to_string(), "1".into(), "42".into(), range.most.to_string()] {
        let body = Body::text(&number);
        sender.send(&body, How::PATIENT).expect("a number of the range");
        receiver.expect(&body);
    }
    let (below, above) = (i128::from(range.least) - 1, i128::from(range.most) + 1);
    let huge = "99999999999999999999999999999999999999999";
    for text in
        [&below.to_string(), &above.to_string(), huge, "", "one", "1 2", "0x10", "1.5", "1\n2", "\u{663}"]
    {
        let failure = sender.send(&Body::text(text), How::PATIENT).expect_err("no number of the range");
        let kinds = [ErrorKind::InvalidInput, ErrorKind::OutOfRange, ErrorKind::TooLong];
        assert!(failure.is_one_of(&kinds), "{text:?}: {failure:?}");
    }
    sender.send_number(7, How::PATIENT).expect("room");
    receiver.expect_number(7);
    Ok(())
}
