//! Who takes part.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use twixt_os::ErrorKind;

use crate::body::{self, Body, LANE};
use crate::ledger::Ledger;
use crate::protocol::{End, How};
use crate::stage::{HANG, NotClaimed, Party, Played, Stage};

/// Several senders at a time: each message arrives once, those of one sender in their order.
pub fn many_senders(stage: &Stage) -> Played {
    const SENDERS: usize = 4;
    const EACH: u64 = 500;
    let cast = stage.cast("", SENDERS, 1);
    let receiver = &cast.receivers[0];
    let senders: Vec<&Party> = cast.senders.iter().collect();
    stage.open(&senders[..1], &[receiver]).expect("both ends open");
    if !senders[0].can().many_senders {
        return Err(NotClaimed("one sender at a time"));
    }
    if !stage.backend.has_name() {
        return Err(NotClaimed("is opened once, and passed on as a descriptor"));
    }
    stage.open(&senders[1..], &[]).expect("more senders");
    let can = receiver.can();
    let firsts: Vec<u64> = (0..SENDERS as u64).map(|lane| lane * LANE + 1).collect();
    let sent: HashSet<u64> = firsts.iter().flat_map(|first| *first..first + EACH).collect();
    // What one sender has sent last is not what arrives last, but for numbers that add up there is no other sign.
    let by_count = can.reliable && !can.adds_up();
    receiver.begin_receive_many(if by_count { sent.len() as u64 } else { u64::MAX }, true, How::PATIENT);
    for (sender, first) in senders.iter().zip(&firsts) {
        sender.begin_send_many(*first, EACH, How::PATIENT);
    }
    for sender in &senders {
        let tally = sender.sent();
        assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (EACH, None));
    }
    if by_count {
        let collected = receiver.collected();
        assert_eq!(
            collected.failure.map(|it| it.text),
            None,
            "{} of {} arrived",
            collected.count,
            sent.len()
        );
        compare(false, &sent, &(collected.numbers, 0));
        large_from_many(&senders, receiver);
        for sender in &senders {
            Ledger::settle_nothing(sender, receiver);
        }
        return Ok(());
    }
    let received = stop_all(senders[0], &[receiver]);
    if can.reliable {
        compare(true, &sent, &received)
    } else {
        compare_lossy(&sent, &received.0)
    }
    Ok(())
}

/// Several receivers at a time: each message arrives at one of them, or at all where that is claimed.
pub fn many_receivers(stage: &Stage) -> Played {
    const RECEIVERS: usize = 3;
    const COUNT: u64 = 1500;
    let cast = stage.cast("", 1, RECEIVERS);
    let sender = &cast.senders[0];
    let receivers: Vec<&Party> = cast.receivers.iter().collect();
    stage.open(&[sender], &receivers[..1]).expect("both ends open");
    let can = receivers[0].can();
    if !can.many_receivers {
        return Err(NotClaimed("one receiver at a time"));
    }
    if !stage.backend.has_name() {
        return Err(NotClaimed("is opened once, and passed on as a descriptor"));
    }
    stage.open(&[], &receivers[1..]).expect("more receivers");
    if can.newest_wins {
        fan_out_newest(sender, &receivers);
        return Ok(());
    }
    if can.fans_out {
        fan_out(sender, &receivers);
        return Ok(());
    }
    for receiver in &receivers {
        receiver.begin_receive_many(u64::MAX, true, How::PATIENT);
        receiver.wait_until_asleep();
    }
    let tally = sender.send_many(1, COUNT, How::PATIENT);
    assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (COUNT, None));
    let is_told_by_length = can.reliable && can.number.is_none();
    let received = stop_all(sender, &receivers);
    let sent = (1..=COUNT).collect();
    if can.reliable {
        compare(can.adds_up(), &sent, &received)
    } else {
        compare_lossy(&sent, &received.0)
    }
    if is_told_by_length {
        large_to_many(sender, &receivers);
    }
    Ok(())
}

/// Each message arrives at each of them, once and in order, small or large.
fn fan_out(sender: &Party, receivers: &[&Party]) {
    const COUNT: u64 = 1500;
    for receiver in receivers {
        receiver.begin_receive_many(COUNT, true, How::PATIENT);
        receiver.wait_until_asleep();
    }
    let tally = sender.send_many(1, COUNT, How::PATIENT);
    assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (COUNT, None));
    for receiver in receivers {
        let collected = receiver.collected();
        assert_eq!(collected.failure.map(|it| it.text), None);
        assert!(collected.numbers.into_iter().eq(1..=COUNT), "not every message, or not in order");
    }
    for number in 0..12 {
        let body = large(sender, number);
        for receiver in receivers {
            receiver.begin_receive(How::PATIENT);
        }
        sender.begin_send(&body, How::PATIENT);
        for receiver in receivers {
            assert_eq!(receiver.received().expect("a large message").body, body);
        }
        sender.outcome().expect("room");
    }
    // One that goes holds up nobody, although it has received nothing of what the others have.
    const MORE: u64 = 20_000;
    for receiver in &receivers[1..] {
        receiver.begin_receive_many(MORE, true, How::PATIENT);
    }
    sender.begin_send_many(1, MORE, How::FOREVER);
    receivers[0].vanish();
    let tally = sender.sent();
    assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (MORE, None));
    for receiver in &receivers[1..] {
        let collected = receiver.collected();
        assert_eq!((collected.count, collected.failure.map(|it| it.text)), (MORE, None));
    }
}

/// The last arrives at each of them, what arrives before in order; and the next at those that are left when one has gone.
fn fan_out_newest(sender: &Party, receivers: &[&Party]) {
    const COUNT: u64 = 20_000;
    for receiver in receivers {
        receiver.begin_receive_many(u64::MAX, true, How::PATIENT);
        receiver.wait_until_asleep();
    }
    let tally = sender.send_many(1, COUNT, How::NEVER);
    assert_eq!((tally.sent, tally.failure.map(|it| it.text)), (COUNT, None));
    sender.send_number(body::stop(&sender.can()), How::NEVER).expect("nobody is waited for");
    for receiver in receivers {
        let collected = receiver.collected();
        assert!(collected.stopped, "{:?}", collected.failure);
        assert!(collected.numbers.iter().all(|number| (1..=COUNT).contains(number)));
    }
    receivers[0].vanish();
    sender.send_number(1, How::NEVER).expect("nobody is waited for");
    for receiver in &receivers[1..] {
        receiver.expect_number(1);
    }
}

/// More than the kernel moves at once, from several senders at a time: none gets into the middle of another's.
fn large_from_many(senders: &[&Party], receiver: &Party) {
    let can = receiver.can();
    if can.number.is_some() {
        return;
    }
    for round in 0..8 {
        let bodies: Vec<Body> =
            (0..senders.len()).map(|lane| large(senders[0], round * senders.len() + lane)).collect();
        for (sender, body) in senders.iter().zip(&bodies) {
            sender.begin_send(body, How::PATIENT);
        }
        let mut missing = bodies;
        while !missing.is_empty() {
            let got = receiver.receive(How::PATIENT).expect("a large message");
            let at = missing.iter().position(|body| *body == got.body);
            missing.swap_remove(at.expect("a message as it was sent"));
        }
        for sender in senders {
            sender.outcome().expect("room");
        }
    }
}

/// The same to several receivers: one of them gets it whole.
fn large_to_many(sender: &Party, receivers: &[&Party]) {
    for receiver in receivers {
        receiver.begin_receive(How::PATIENT);
    }
    for number in 0..12 {
        let body = large(sender, number);
        sender.begin_send(&body, How::PATIENT);
        let at = first_to_answer(receivers).expect("a receiver that has got it");
        assert_eq!(receivers[at].received().expect("a large message").body, body);
        sender.outcome().expect("room");
        receivers[at].begin_receive(How::PATIENT);
    }
    for _ in receivers {
        sender.send_number(1, How::PATIENT).expect("room");
    }
    for receiver in receivers {
        receiver.received().expect("one message for each");
    }
}

/// A large message that differs from the others in its length.
fn large(sender: &Party, number: usize) -> Body {
    const LEN: usize = 150_000;
    let can = sender.can();
    let most = can.max_message.unwrap_or(LEN).min(can.unmixed.unwrap_or(LEN));
    Body::filler(most.min(LEN) - number)
}

/// Messages go both ways, or it cannot be opened so.
pub fn direction(stage: &Stage) -> Played {
    if stage.backend.receiver.starts_with("local:") {
        return Err(NotClaimed("is opened by no address"));
    }
    let can = match stage.claims() {
        Some(can) if !stage.backend.is_any_descriptor() => can,
        _ => stage.pair().sender.can(),
    };
    let cast = stage.cast("", 1, 1);
    let (client, server) = (&cast.senders[0], &cast.receivers[0]);
    if !can.both_ways {
        // Without options, which might be refused for their own sake.
        let failure = client.open_as(End::Duplex, client.endpoint()).expect_err("one direction");
        assert!(failure.is(ErrorKind::Unsupported), "{failure:?}");
        return Ok(());
    }
    if let Some(echo) = stage.backend.echo {
        client.open_as(End::Duplex, &cast.site.other(echo, "")).expect("both directions");
        for number in 1..100 {
            client.send_number(number, How::PATIENT).expect("room");
            client.expect_number(number);
        }
        return Ok(());
    }
    if can.listens {
        server.open_as(End::Listener, &server.address).expect("a listening side");
        client.open_as(End::Duplex, client.endpoint()).expect("a connecting side");
        server.accept();
    } else if stage.backend.is_passed() {
        server.open_as(End::Duplex, &server.address).expect("both directions");
        client.open_as(End::Duplex, &client.address).expect("both directions");
    } else {
        // Without connections, the first message is what makes the listening side know the other.
        server.begin_open_listening();
        server.wait_until_asleep();
        // It may have slept on the way to listening, too.
        let end = Instant::now() + HANG;
        while let Err(failure) = client.open_as(End::Duplex, &client.address) {
            assert!(failure.is(ErrorKind::NoPeer) && Instant::now() < end, "both directions: {failure:?}");
            thread::sleep(Duration::from_millis(1));
        }
        client.send_number(1, How::PATIENT).expect("room");
        server.opened().expect("both directions");
        server.expect_number(1);
    }
    for number in (1..200).step_by(2) {
        client.send_number(number, How::PATIENT).expect("room");
        server.expect_number(number);
        server.send_number(number + 1, How::PATIENT).expect("room");
        client.expect_number(number + 1);
    }
    if can.sees_end {
        client.vanish();
        let failure = server.receive(How::PATIENT).expect_err("an end");
        assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
    }
    Ok(())
}

/// Has all receivers stop, one by one, and gives what they have received and its sum.
fn stop_all(sender: &Party, receivers: &[&Party]) -> (Vec<u64>, u128) {
    let (mut numbers, mut sum) = (Vec::new(), 0);
    let mut remaining = receivers.to_vec();
    while !remaining.is_empty() {
        sender.send_number(body::stop(&sender.can()), How::PATIENT).expect("room");
        let Some(at) = first_to_answer(&remaining) else {
            assert!(!sender.can().reliable, "nobody was stopped");
            continue;
        };
        let collected = remaining.remove(at).collected();
        assert!(collected.stopped, "{:?}", collected.failure);
        numbers.extend(collected.numbers);
        sum += u128::from(collected.sum);
    }
    (numbers, sum)
}

/// Which of them it is; none if that takes longer than it does when nothing is lost.
fn first_to_answer(receivers: &[&Party]) -> Option<usize> {
    let is_reliable = receivers[0].can().reliable;
    let end = Instant::now() + if is_reliable { Duration::from_secs(30) } else { Duration::from_millis(100) };
    while Instant::now() < end {
        let at = receivers.iter().position(|receiver| receiver.answers_within(Duration::from_millis(2)));
        if at.is_some() {
            return at;
        }
    }
    None
}

/// Something may be missing, nothing doubled or invented.
#[track_caller]
fn compare_lossy(sent: &HashSet<u64>, received: &[u64]) {
    assert!(!received.is_empty(), "nothing arrived");
    let distinct: HashSet<u64> = received.iter().copied().collect();
    assert_eq!(distinct.len(), received.len(), "something came twice");
    assert!(distinct.is_subset(sent), "something came that was not sent");
}

#[track_caller]
fn compare(adds_up: bool, sent: &HashSet<u64>, (numbers, sum): &(Vec<u64>, u128)) {
    if adds_up {
        assert_eq!(*sum, sent.iter().map(|number| u128::from(*number)).sum());
        return;
    }
    let received: HashSet<u64> = numbers.iter().copied().collect();
    assert_eq!(received.len(), numbers.len(), "something came twice");
    let missing: Vec<_> = sent.difference(&received).take(5).collect();
    assert!(
        missing.is_empty(),
        "{} of {} arrived; {missing:?} and perhaps more did not",
        received.len(),
        sent.len()
    );
    assert_eq!(received.len(), sent.len(), "something came that was not sent");
}
