//! What only a channel within a process has: any number of ends, opened from one place. The rest is in the conformance
//! suite.

use std::thread;

use twixt_channel::local::{self, Channel, OVERHEAD};
use twixt_channel::{Capacity, Message, Sender};
use twixt_os::{ErrorKind, Mechanism, Wait};

type Tested = Result<(), Box<dyn std::error::Error>>;

#[test]
fn each_receiver_is_told_each_end_once_while_others_can_come() -> Tested {
    let channel = Channel::new(Capacity::Messages(8));
    let (mut one, mut other) = (channel.receiver(), channel.receiver());
    let nothing =
        |receiver: &mut twixt_channel::Receiver| receiver.try_receive().expect_err("nothing").kind();
    // Before the first sender it is no end.
    assert_eq!(nothing(&mut one), ErrorKind::WouldBlock);
    let mut sender = channel.sender();
    sender.send(b"last")?;
    drop(sender);
    assert_eq!(one.try_receive()?.bytes(), b"last");
    assert_eq!(nothing(&mut one), ErrorKind::PeerGone);
    assert_eq!(nothing(&mut one), ErrorKind::WouldBlock);
    assert_eq!(nothing(&mut other), ErrorKind::PeerGone);
    assert_eq!(nothing(&mut other), ErrorKind::WouldBlock);
    // Others come, and go.
    channel.sender().send(b"again")?;
    assert_eq!(one.try_receive()?.bytes(), b"again");
    assert_eq!(nothing(&mut one), ErrorKind::PeerGone);
    // Nobody can come any more.
    let copy = channel.clone();
    drop(channel);
    assert_eq!(nothing(&mut one), ErrorKind::WouldBlock);
    drop(copy);
    assert_eq!(nothing(&mut one), ErrorKind::PeerGone);
    assert_eq!(nothing(&mut one), ErrorKind::PeerGone);
    Ok(())
}

#[test]
fn the_end_of_the_place_wakes_a_receiver_that_no_sender_came_to() {
    let channel = Channel::new(Capacity::Zero);
    let mut receiver = channel.receiver();
    let waiting = thread::spawn(move || receiver.receive().expect_err("nobody came").kind());
    drop(channel);
    assert_eq!(waiting.join().expect("no panic"), ErrorKind::PeerGone);
}

#[test]
fn what_is_sent_waits_for_the_first_receiver_but_not_for_the_next() -> Tested {
    let channel = Channel::new(Capacity::Messages(8));
    let mut sender = channel.sender();
    sender.send(b"early")?;
    let mut receiver = channel.receiver();
    assert_eq!(receiver.receive()?.bytes(), b"early");
    drop(receiver);
    assert_eq!(sender.send(b"late").expect_err("nobody").kind(), ErrorKind::PeerGone);
    let mut receiver = channel.receiver();
    sender.send(b"again")?;
    assert_eq!(receiver.receive()?.bytes(), b"again");
    Ok(())
}

#[test]
fn at_capacity_zero_many_meet_many() -> Tested {
    const EACH: u32 = 300;
    for capacity in [Capacity::Zero, Capacity::Bytes(0), Capacity::Messages(0)] {
        let channel = Channel::new(capacity);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let mut receiver = channel.receiver();
                thread::spawn(move || {
                    let numbers = receiver.messages().map(|message| {
                        let bytes = message.expect("a message").into_bytes();
                        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
                    });
                    numbers.collect::<Vec<_>>()
                })
            })
            .collect();
        let senders: Vec<_> = (0..4_u32).map(|lane| (lane, channel.sender())).collect();
        assert_eq!(senders[0].1.capacity()?, Some(Capacity::Zero));
        drop(channel);
        thread::scope(|scope| {
            for (lane, mut sender) in senders {
                scope.spawn(move || {
                    for number in lane * EACH..(lane + 1) * EACH {
                        // Some do not wait; they meet whoever waits for them.
                        let send = if number % 3 == 0 { Sender::send } else { Sender::try_send };
                        while let Err(error) = send(&mut sender, &number.to_le_bytes()) {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock);
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        let mut all = Vec::new();
        for receiver in receivers {
            all.extend(receiver.join().expect("no panic"));
        }
        all.sort_unstable();
        assert_eq!(all, (0..4 * EACH).collect::<Vec<_>>());
    }
    Ok(())
}

#[test]
fn a_budget_counts_what_the_doc_says() -> Tested {
    let (mut sender, mut receiver) = local::channel(Capacity::Unbounded { budget: 3 * (10 + OVERHEAD) });
    for _ in 0..3 {
        sender.send(b"ten bytes.")?;
    }
    let error = sender.send(b"").expect_err("spent");
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    let limit = error.limit().expect("the budget");
    assert_eq!(
        (limit.current, limit.needed),
        (Some(3 * (10 + OVERHEAD)), Some(3 * (10 + OVERHEAD) + OVERHEAD))
    );
    assert_eq!(
        error.to_string(),
        "cannot send to channel within the process: no room is left: its budget is 54, 62 is needed"
    );
    receiver.receive()?;
    sender.send(b"")?;
    Ok(())
}

#[test]
fn a_duplex_goes_both_ways_and_sees_the_end() -> Tested {
    let (mut here, mut there) = local::duplex();
    here.send(b"ping")?;
    assert_eq!(there.receive()?.bytes(), b"ping");
    there.send(b"pong")?;
    assert_eq!(here.receive()?.bytes(), b"pong");
    drop(there);
    assert_eq!(here.receive().expect_err("an end").kind(), ErrorKind::PeerGone);
    assert_eq!(here.send(b"ping").expect_err("an end").kind(), ErrorKind::PeerGone);
    Ok(())
}

#[test]
fn it_says_what_it_is() {
    let (sender, receiver) = local::channel(Capacity::Zero);
    assert_eq!((sender.endpoint(), sender.mechanism()), (None, Mechanism::Local));
    assert_eq!((receiver.endpoint(), receiver.mechanism()), (None, Mechanism::Local));
    let error = receiver.readiness().expect_err("no descriptor");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(format!("{:?}", Channel::new(Capacity::Messages(3))), "Channel(Messages(3))");
}

#[test]
fn a_message_costs_no_allocation() -> Tested {
    let (mut sender, mut receiver) = local::channel(Capacity::Messages(8));
    let mut message = Message::new();
    let mut round = || -> Tested {
        for _ in 0..5 {
            sender.send_wait(&[7; 300], Wait::never())?;
        }
        for _ in 0..5 {
            receiver.receive_wait(&mut message, Wait::never())?;
        }
        assert_eq!(receiver.try_receive().expect_err("nothing").kind(), ErrorKind::WouldBlock);
        Ok(())
    };
    round()?;
    let mut outcome = Ok(());
    let allocations = allocation_counter::measure(|| {
        for _ in 0..100 {
            outcome = round();
        }
    });
    outcome?;
    assert_eq!(allocations.count_total, 0);
    Ok(())
}
