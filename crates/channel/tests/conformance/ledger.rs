//! A record of what was accepted, against which is held what arrives.

use std::time::Duration;

use twixt_os::ErrorKind;

use crate::body::{self, Body};
use crate::protocol::{Collected, Failure, How, Limit, Order, Tally};
use crate::stage::Party;

/// The numbers of the messages that were accepted, in their order. Each number is tried once, unless it was refused.
#[derive(Debug, Default)]
pub struct Ledger {
    pub accepted: Vec<u64>,
}

/// A message that no other one of a case is.
const SENTINEL: u64 = 1_999_999_998;

impl Ledger {
    /// Has so many more messages sent, all of which must be accepted.
    #[track_caller]
    pub fn send(&mut self, sender: &Party, count: u64, how: How) {
        let first = self.next();
        let tally = sender.send_many(first, count, how);
        self.enter(first, &tally);
        assert_eq!(tally.failure.map(|failure| failure.text), None);
    }

    /// Enters what a [`Party::send_many`] has sent.
    pub fn enter(&mut self, first: u64, tally: &Tally) {
        self.accepted.extend(first..first + tally.sent);
    }

    /// The first number that was not accepted yet.
    pub fn next(&self) -> u64 {
        self.accepted.last().map_or(1, |last| last + 1)
    }

    /// Fills the channel, so that nothing more is accepted.
    #[track_caller]
    pub fn fill(&mut self, sender: &Party) {
        if let Some(number) = sender.can().number.filter(|number| number.adds_up) {
            sender.send_number(number.most, How::NEVER).expect("room for the greatest number");
            self.accepted.push(number.most);
            return;
        }
        self.send_until(sender, How::NEVER, ErrorKind::WouldBlock);
        // What is on its way may make room once more.
        self.send_until(sender, How::within(Duration::from_millis(50)), ErrorKind::TimedOut);
    }

    /// Has messages sent until one is refused.
    #[track_caller]
    pub fn send_until(&mut self, sender: &Party, how: How, kind: ErrorKind) {
        /// So many messages fill every channel that can be filled.
        const ENDLESS: u64 = 3_000_000;
        let first = self.next();
        let tally = sender.send_many(first, ENDLESS, how);
        self.enter(first, &tally);
        let failure = tally.failure.expect("a channel that fills up");
        assert!(failure.is(kind), "{failure:?}");
    }

    /// Has the next message sent into a full channel, which must refuse it, and no sooner than it may. Gives the number
    /// that was refused.
    #[track_caller]
    pub fn be_refused(&mut self, sender: &Party, how: How, kind: ErrorKind) -> u64 {
        loop {
            let number = self.untried(sender);
            sender.begin_send(&sender.body(number), how);
            let settled = sender.settled();
            let Err(failure) = settled.outcome else {
                self.accepted.push(number);
                self.fill_again(sender);
                continue;
            };
            assert!(failure.is(kind), "{failure:?} instead of {kind:?}");
            if let Limit::Within(time) = how.limit
                && kind == ErrorKind::TimedOut
            {
                assert!(settled.took >= time, "it gave up after {:?} of {time:?}", settled.took);
            }
            return number;
        }
    }

    /// Has the next message sent into a full channel, where the sender waits. Gives that message.
    #[track_caller]
    pub fn begin_waiting(&mut self, sender: &Party, how: How) -> Body {
        loop {
            let number = self.untried(sender);
            let body = sender.body(number);
            sender.begin_send(&body, how);
            sender.wait_until_asleep();
            if !sender.has_answered() {
                return body;
            }
            sender.outcome().expect("it waits for room");
            self.accepted.push(number);
            self.fill_again(sender);
        }
    }

    /// The kernel may make room where there was none, as long as it has means left (TCP probes a closed window, and makes
    /// its buffers larger). That ends.
    #[track_caller]
    fn fill_again(&mut self, sender: &Party) {
        assert!(!sender.can().adds_up(), "nothing makes room in a full counter");
        self.send_until(sender, How::NEVER, ErrorKind::WouldBlock);
    }

    fn untried(&self, sender: &Party) -> u64 {
        if sender.can().adds_up() { 1 } else { self.next() }
    }

    /// What was accepted arrives: all of it, in order, once, and nothing that was refused. The channel is empty then.
    #[track_caller]
    pub fn settle(&self, sender: &Party, receiver: &Party) {
        sender.begin(Order::Flush { how: How::PATIENT });
        self.collect(receiver);
        sender.outcome().expect("what was held back is passed on");
        Self::settle_nothing(sender, receiver);
    }

    /// Nothing is on its way any more: what arrives is what is sent now.
    #[track_caller]
    pub fn settle_nothing(sender: &Party, receiver: &Party) {
        sender.send_number(SENTINEL, How::PATIENT).expect("room");
        receiver.expect_number(SENTINEL);
    }

    /// As before, while the sender is busy.
    #[track_caller]
    pub fn collect(&self, receiver: &Party) {
        if receiver.can().adds_up() {
            let mut sum = 0;
            while sum < self.sum() {
                let got = receiver.receive(How::PATIENT).expect("a number");
                let text = String::from_utf8(got.body.bytes()).expect("a number");
                sum += text.parse::<u128>().expect("a number");
            }
            assert_eq!(sum, self.sum(), "more was received than was accepted");
            return;
        }
        if receiver.can().newest_wins {
            return self.collect_newest(receiver);
        }
        let collected = receiver.receive_many(self.accepted.len() as u64, How::PATIENT);
        assert_eq!(
            collected.failure.as_ref().map(|failure| &failure.text),
            None,
            "{}",
            self.missing(&collected)
        );
        self.compare(&collected);
    }

    /// The last arrives, whatever is skipped before; what arrives was accepted, and in this order.
    #[track_caller]
    fn collect_newest(&self, receiver: &Party) {
        let mut missing = self.accepted.as_slice();
        while let [.., last] = *missing {
            let got = receiver.receive(How::PATIENT).unwrap_or_else(|failure| panic!("{last}: {failure:?}"));
            let at = missing.iter().position(|number| got.body == receiver.body(*number));
            let at = at.unwrap_or_else(|| panic!("{:?} is none of what was to come", got.body));
            missing = &missing[at + 1..];
        }
    }

    pub fn sum(&self) -> u128 {
        self.accepted.iter().map(|number| u128::from(*number)).sum()
    }

    /// What was accepted is what was collected, in the same order.
    #[track_caller]
    fn compare(&self, collected: &Collected) {
        assert!(collected.numbers == self.accepted, "{}", self.missing(collected));
    }

    fn missing(&self, collected: &Collected) -> String {
        let pairs = self.accepted.iter().zip(&collected.numbers);
        let same = pairs.take_while(|(accepted, received)| accepted == received).count();
        format!(
            "{} messages were accepted and {} received; number {same} of them should be {:?} and is {:?}",
            self.accepted.len(),
            collected.numbers.len(),
            self.accepted.get(same),
            collected.numbers.get(same),
        )
    }
}

/// Sends until the sender sees that nobody receives any more.
#[track_caller]
pub fn send_until_gone(sender: &Party) -> Failure {
    /// What the kernel holds for one who has just gone ends somewhere.
    const MOST: u64 = 3_000_000;
    let tally = sender.send_many(1, MOST, How::PATIENT);
    let failure = tally.failure.expect("an end");
    assert!(failure.is(ErrorKind::PeerGone), "{failure:?}");
    failure
}

/// Has the receiver stop, which is in [`Party::begin_receive_many`] without end. Nobody else may send.
pub fn stop(sender: &Party, receiver: &Party) {
    let arrives = sender.can().reliable || sender.can().newest_wins;
    sender.send_number(body::stop(&sender.can()), How::PATIENT).expect("room");
    // What may be lost is said again.
    while !arrives && !receiver.answers_within(Duration::from_millis(100)) {
        sender.send_number(body::stop(&sender.can()), How::PATIENT).expect("room");
    }
}
