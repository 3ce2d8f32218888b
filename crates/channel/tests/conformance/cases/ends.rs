//! How channels begin and end.

use std::time::Duration;

use twixt_os::ErrorKind;

use crate::ledger::{Ledger, send_until_gone};
use crate::protocol::{End, How};
use crate::stage::{NotClaimed, Pair, Party, Played, Stage};

const SHORT: Duration = Duration::from_millis(60);

/// The other side goes before anything was sent.
pub fn gone_before(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    sender.drop_end();
    if receiver.can().sees_end {
        must_see_end(&receiver, How::PATIENT);
    } else {
        let failure = receiver.receive(How::within(SHORT)).expect_err("nothing to receive");
        assert!(failure.is(ErrorKind::TimedOut), "{failure:?}");
    }
    drop((sender, receiver));
    let Pair { sender, receiver } = stage.pair();
    if sender.can().sees_end {
        receiver.drop_end();
        send_until_gone(&sender);
        // And from then on at once.
        let failure = sender.send_number(1, How::NEVER).expect_err("nobody receives");
        assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
    }
    Ok(())
}

/// The other side goes while a call waits.
pub fn gone_during(stage: &Stage) -> Played {
    let Pair { sender, receiver } = stage.pair();
    if !receiver.can().sees_end && !sender.can().sees_end {
        return Err(NotClaimed("has no end"));
    }
    if receiver.can().sees_end {
        for how in [How::FOREVER, How::PATIENT] {
            let Pair { sender, receiver } = stage.pair();
            receiver.begin_receive(how);
            receiver.must_wait();
            sender.vanish();
            let failure = receiver.received().expect_err("nothing to receive");
            assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
        }
    }
    if sender.can().sees_end && sender.can().fills_up() {
        for how in [How::FOREVER, How::PATIENT] {
            let Pair { sender, receiver } = stage.pair();
            let mut ledger = Ledger::default();
            ledger.fill(&sender);
            ledger.begin_waiting(&sender, how);
            receiver.vanish();
            let failure = sender.outcome().expect_err("nobody receives");
            assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
        }
    }
    Ok(())
}

/// Once one side has gone, the other sees no more of it; and where others can come, they are welcome.
pub fn gone_after(stage: &Stage) -> Played {
    let mut cast = stage.cast("", 2, 1);
    let (receiver, second, first) =
        (cast.receivers.remove(0), cast.senders.remove(1), cast.senders.remove(0));
    stage.open(&[&first], &[&receiver]).expect("both ends open");
    first.send_number(1, How::PATIENT).expect("room");
    receiver.expect_number(1);
    first.vanish();
    let can = receiver.can();
    if can.listens || can.persists {
        if can.sees_end {
            must_see_end(&receiver, How::PATIENT);
        }
        receiver.expect_none();
        second.begin_open();
        second.opened().expect("one more sender");
        second.send_number(2, How::PATIENT).expect("room");
        receiver.expect_number(2);
        second.vanish();
        if can.sees_end {
            must_see_end(&receiver, How::PATIENT);
        }
        return Ok(());
    }
    // What the second was started with may be what it would have opened; its end counts as well.
    second.vanish();
    if !can.sees_end {
        receiver.expect_none();
        return Ok(());
    }
    must_see_end(&receiver, How::PATIENT);
    let failure = receiver.receive(How::NEVER).expect_err("nothing to receive");
    assert!(failure.is_one_of(&[ErrorKind::PeerGone, ErrorKind::WouldBlock]), "{failure:?}");
    Ok(())
}

/// What was accepted before the sender went arrives, and only then the end is seen.
pub fn close_with_data(stage: &Stage) -> Played {
    let ways: [fn(&Party); 3] = [|sender| sender.close().expect("an end"), Party::drop_end, Party::vanish];
    for way in ways {
        let Pair { sender, receiver } = stage.pair();
        let mut ledger = Ledger::default();
        let tally = sender.send_many(1, 20, How::NEVER);
        assert!(tally.sent > 0, "{:?}", tally.failure);
        ledger.enter(1, &tally);
        way(&sender);
        ledger.collect(&receiver);
        if receiver.can().sees_end {
            must_see_end(&receiver, How::PATIENT);
        } else {
            receiver.expect_none();
        }
    }
    Ok(())
}

/// Who would connect to nobody is told.
pub fn nobody_there(stage: &Stage) -> Played {
    if stage.backend.receiver.starts_with("local:") {
        return Err(NotClaimed("is opened by no address"));
    }
    let can = stage.claims().expect("an address");
    let cast = stage.cast("", 1, 1);
    let (sender, receiver) = (&cast.senders[0], &cast.receivers[0]);
    if !can.listens && can.both_ways && can.persists {
        return Err(NotClaimed("anybody makes it"));
    }
    if !can.listens {
        let failure = receiver.open_as(End::Listener, &receiver.address).expect_err("no listening side");
        let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput];
        assert!(failure.is_one_of(&kinds), "{failure:?}");
    } else if can.sees_end {
        let failure = sender.open_as(End::Sender, &sender.address).expect_err("nobody listens");
        assert!(failure.is_one_of(&[ErrorKind::NotFound, ErrorKind::NoPeer]), "{failure:?}");
        let failure = sender.open_as(End::Duplex, &sender.address).expect_err("nobody listens");
        assert!(failure.is_one_of(&[ErrorKind::NotFound, ErrorKind::NoPeer]), "{failure:?}");
        // And then somebody does.
        stage.open(&[sender], &[receiver]).expect("both ends open");
        sender.send_number(1, How::PATIENT).expect("room");
        receiver.expect_number(1);
    } else {
        return Err(NotClaimed("has no connections"));
    }
    Ok(())
}

/// What outlives processes does.
pub fn persistence(stage: &Stage) -> Played {
    if stage.backend.in_threads || !stage.claims().is_some_and(|can| can.persists) {
        return Err(NotClaimed("messages go with the processes"));
    }
    let mut cast = stage.cast("", 1, 1);
    let (sender, receiver) = (cast.senders.remove(0), cast.receivers.remove(0));
    sender.begin_open();
    sender.opened().expect("a sender alone");
    let mut ledger = Ledger::default();
    ledger.send(&sender, 4, How::NEVER);
    sender.vanish();
    receiver.begin_open();
    receiver.opened().expect("a receiver alone");
    ledger.collect(&receiver);
    if receiver.can().sees_end {
        must_see_end(&receiver, How::PATIENT);
    }
    receiver.expect_none();
    Ok(())
}

#[track_caller]
fn must_see_end(receiver: &Party, how: How) {
    match receiver.receive(how) {
        Err(failure) => assert!(failure.is(ErrorKind::PeerGone), "{failure:?}"),
        Ok(got) => panic!("instead of the end came {got:?}"),
    }
}
