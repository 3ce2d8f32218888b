//! There and back.

use std::hint::black_box;

use hdrhistogram::Histogram;

use crate::message::{Order, digest};
use crate::outcome::Stamp;
use crate::usage::now_ns;
use crate::{Failure, Incoming, Outcome, Outgoing, Patience, Receive, Result, Send, Setup, Usage};

/// Sends `count` messages, after `warm_up` others, and waits for each to come back.
pub(crate) fn ping(
    setup: &Setup,
    sender: &mut impl Send,
    receiver: &mut impl Receive,
    warm_up: u64,
    count: u64,
) -> Result<Outcome> {
    let (patience, workload) = (Patience::of(setup), &setup.workload);
    let mut incoming = Incoming::new(workload, Order::Every);
    let mut round = |number| -> Result<()> {
        patience.send(sender, &mut Outgoing::new(workload, 0, number))?;
        sender.flush()?;
        patience.receive(receiver, &mut incoming)?;
        if incoming.received == number + 1 { Ok(()) } else { Err(not_one(&incoming)) }
    };
    for number in 0..warm_up {
        round(number)?;
    }
    // Three digits: a bucket is never wider than a thousandth of what it holds.
    let mut histogram = Histogram::<u64>::new(3).map_err(Failure::failed)?;
    let clock = clock_cost();
    let (before, mut last) = (Usage::now(), now_ns());
    let first = Stamp { at_ns: last, messages: warm_up };
    for number in warm_up..warm_up + count {
        round(number)?;
        let now = now_ns();
        histogram.record((now - last).saturating_sub(clock)).map_err(Failure::failed)?;
        last = now;
    }
    let (usage, all) = (Usage::now() - before, warm_up + count);
    Ok(Outcome {
        sent: all,
        received: incoming.received,
        digest: incoming.digest,
        first,
        last: Stamp { at_ns: last, messages: all },
        usage,
        round_trips: histogram
            .iter_recorded()
            .map(|it| (it.value_iterated_to(), it.count_at_value()))
            .collect(),
        wrong: incoming.wrong,
        ..Outcome::default()
    })
}

/// Sends back as many messages: each a message of its own, not the bytes that came.
pub(crate) fn pong(
    setup: &Setup,
    sender: &mut impl Send,
    receiver: &mut impl Receive,
    warm_up: u64,
    count: u64,
) -> Result<Outcome> {
    let (patience, workload) = (Patience::of(setup), &setup.workload);
    let mut incoming = Incoming::new(workload, Order::Every);
    let (mut first, mut before, mut sum) = (Stamp::default(), Usage::default(), 0u64);
    for number in 0..warm_up + count {
        if number == warm_up {
            (first, before) = (Stamp { at_ns: now_ns(), messages: number }, Usage::now());
        }
        patience.receive(receiver, &mut incoming)?;
        if incoming.received != number + 1 {
            return Err(not_one(&incoming));
        }
        sum = sum.wrapping_add(digest(0, number));
        patience.send(sender, &mut Outgoing::new(workload, 0, number))?;
        sender.flush()?;
    }
    let usage = Usage::now() - before;
    Ok(Outcome {
        sent: warm_up + count,
        received: incoming.received,
        digest: sum,
        first,
        last: Stamp { at_ns: now_ns(), messages: warm_up + count },
        usage,
        wrong: incoming.wrong,
        ..Outcome::default()
    })
}

#[cold]
fn not_one(incoming: &Incoming) -> Failure {
    match &incoming.wrong {
        Some(what) => Failure::Wrong(what.clone()),
        None => Failure::Wrong("a round trip has brought another number of messages than one".into()),
    }
}

/// The nanoseconds that one look at the clock takes, of which each round trip has one.
fn clock_cost() -> u64 {
    const LOOKS: u64 = 256;
    (0..16)
        .map(|_| {
            let start = now_ns();
            for _ in 1..LOOKS {
                black_box(now_ns());
            }
            (now_ns() - start) / LOOKS
        })
        .min()
        .unwrap_or_default()
}
