//! One way, as much as goes.

use crate::message::{Order, digest};
use crate::outcome::Stamp;
use crate::usage::now_ns;
use crate::{
    Incoming, Outcome, Outgoing, Patience, Pattern, Receive, Result, Role, Send, Setup, Usage, Workload,
};

/// Sends `count` messages after `warm_up` others. The only publisher also says that these were all.
pub(crate) fn produce(setup: &Setup, sender: &mut impl Send, warm_up: u64, count: u64) -> Result<Outcome> {
    let Role::Publisher(publisher) = setup.role else { unreachable!("publishers produce") };
    let (patience, workload) = (Patience::of(setup), &setup.workload);
    let batch = if workload.pattern == Pattern::Batch { sender.batch().max(1) } else { 1 };
    let (mut first, mut before, mut sum) = (Stamp::default(), Usage::default(), 0u64);
    let (mut messages, mut number) = (Vec::with_capacity(batch), 0);
    let all = warm_up + count;
    while number < all {
        if number >= warm_up && first.at_ns == 0 {
            (first, before) = (Stamp { at_ns: now_ns(), messages: number }, Usage::now());
        }
        if batch > 1 {
            let end = all.min(number + batch as u64);
            messages.clear();
            messages.extend((number..end).map(|number| Outgoing::new(workload, publisher, number)));
            patience.send_batch(sender, &mut messages)?;
            sum = (number..end).fold(sum, |sum, number| sum.wrapping_add(digest(publisher, number)));
            number = end;
        } else {
            patience.send(sender, &mut Outgoing::new(workload, publisher, number))?;
            sum = sum.wrapping_add(digest(publisher, number));
            number += 1;
        }
    }
    sender.flush()?;
    let (usage, last) = (Usage::now() - before, Stamp { at_ns: now_ns(), messages: all });
    if workload.publishers == 1 {
        stop(workload, sender)?;
    }
    Ok(Outcome { sent: all, digest: sum, first, last, usage, ..Outcome::default() })
}

/// Says that there are no more messages.
pub(crate) fn stop(workload: &Workload, sender: &mut impl Send) -> Result<()> {
    // A transport that sends to all of several says it to all of them at once.
    let subscribers = if workload.pattern == Pattern::Fanout { 1 } else { workload.subscribers };
    sender.stop(Outgoing::stop(workload), subscribers)
}

/// Receives all there is, of which each publisher sends `count` messages after `warm_up` others. What comes before the
/// warm-up's messages have come is not measured.
pub(crate) fn consume(
    setup: &Setup,
    receiver: &mut impl Receive,
    warm_up: u64,
    count: u64,
    is_lossy: bool,
) -> Result<Outcome> {
    let (patience, workload) = (Patience::of(setup), &setup.workload);
    let order = if is_lossy || workload.pattern == Pattern::Work { Order::Ascending } else { Order::Every };
    let mut incoming = Incoming::new(workload, order);
    let mut stamps = Stamps::new(workload, warm_up, count, is_lossy);
    while !incoming.has_stopped() && incoming.wrong.is_none() {
        if workload.pattern == Pattern::Batch {
            patience.receive_batch(receiver, &mut incoming)?;
        } else {
            patience.receive(receiver, &mut incoming)?;
        }
        stamps.look(incoming.received);
    }
    Ok(Outcome {
        received: incoming.received,
        // Those that are not this receiver's are not missed.
        skipped: if workload.pattern == Pattern::Work { 0 } else { incoming.skipped },
        digest: incoming.digest,
        first: stamps.first,
        last: stamps.last,
        usage: stamps.usage,
        wrong: incoming.wrong,
        ..Outcome::default()
    })
}

/// How often at the most a receiver looks at the clock that cannot know which message is its last.
const LOOKS: u64 = 32;

/// When a receiver's measured part began and ended, and what it used in between, each of the same moment.
///
/// One that receives every message looks twice: after the warm-up, and after the last message. One that shares the messages
/// with others, or may lose some, cannot know which is its last, and the message that says so may come much later: it
/// looks about [`LOOKS`] times, and its measured part ends with the last look. The cost of all of these is less than that of a
/// thousandth of a run.
struct Stamps {
    first: Stamp,
    last: Stamp,
    before: Usage,
    usage: Usage,
    /// After how many messages the next look is.
    next: u64,
    /// How many messages are between two of them.
    stride: u64,
    /// The messages of the whole run, if all come here.
    end: Option<u64>,
}

impl Stamps {
    fn new(workload: &Workload, warm_up: u64, count: u64, is_lossy: bool) -> Self {
        // Of those that share the messages, each has about its part.
        let (publishers, subscribers) = (workload.publishers as u64, workload.subscribers as u64);
        let part =
            |of: u64| if workload.pattern == Pattern::Work { of * publishers / subscribers } else { of };
        let knows = workload.pattern != Pattern::Work && !is_lossy;
        let (stride, end) = ((part(count) / LOOKS).max(1), knows.then_some(warm_up + count));
        let (stamp, usage) = (Stamp::default(), Usage::default());
        Self { first: stamp, last: stamp, before: usage, usage, next: part(warm_up).max(1), stride, end }
    }

    #[inline]
    fn look(&mut self, messages: u64) {
        if messages >= self.next {
            self.take(messages);
        }
    }

    #[cold]
    fn take(&mut self, messages: u64) {
        let usage = Usage::now();
        self.last = Stamp { at_ns: now_ns(), messages };
        if self.first.at_ns == 0 {
            (self.first, self.before) = (self.last, usage);
            // Messages that came with the last ones of the warm-up leave fewer for the measured part.
            self.next = self.end.unwrap_or(messages + self.stride);
        } else {
            self.usage = usage - self.before;
            self.next = messages + self.stride;
        }
    }
}
