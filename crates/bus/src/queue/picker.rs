//! One ring and its ledger, as a consumer sees them: taking what is free, and looking after what others have taken.

use core::cell::RefCell;

use crate::ring::consumer::{Arrived, Consumer, Frame, Look};
use crate::ring::{Checkpoint, distance};
use crate::words::Foreign;

use super::claim::{Claim, State};
use super::ledger::{Ledger, Next};

/// A message that this consumer has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) frame: Frame,
    /// Its claim's word, as it was left.
    pub(crate) claim: Claim,
}

/// See above.
pub(crate) struct Picker {
    pub(crate) ledger: Ledger,
    /// For reading what is held, whatever the walk does.
    pub(crate) reader: Consumer,
    control: Foreign,
    /// Up to where the producer has reclaimed.
    tail: Foreign,
    walk: RefCell<Walk>,
}

/// How far this consumer has walked.
struct Walk {
    consumer: Consumer,
    /// What `next` was, and up to where nothing has been free since then.
    seen: Next,
    reached: u64,
    /// Everything before is done.
    settled: u64,
    /// Where the last look after the claims ended.
    looked: u64,
}

/// What came of picking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) messages: usize,
    /// Whether others were picking at the same place.
    pub(crate) is_contended: bool,
    /// Whether the producer has overwritten the place where it began, all before being done.
    is_overrun: bool,
}

/// What stands in the ring was not written by a producer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

/// How many lines `next` may be behind what one has walked while there is something to take: each move of it takes its line from
/// everybody.
const LAZY: i64 = 16;

impl Picker {
    /// `consumer` follows the ring, `control` and `tail` are its producer's words.
    pub(crate) fn new(consumer: Consumer, control: Foreign, tail: Foreign, ledger: Ledger) -> Self {
        let mut picker = Self {
            reader: consumer.clone(),
            walk: RefCell::new(Walk {
                consumer,
                seen: ledger.next(),
                reached: 0,
                settled: tail.load(0),
                looked: tail.load(0),
            }),
            ledger,
            control,
            tail,
        };
        let reached = picker.start(picker.ledger.next());
        picker.walk.get_mut().reached = reached;
        picker
    }

    /// Where the ring begins: nothing before it is there.
    fn tail(&self) -> u64 {
        // Acquire: pairs with the Release in `Room::reclaim`.
        self.tail.acquire(0)
    }

    /// Where `next` says to begin, if it can be true.
    fn start(&self, next: Next) -> u64 {
        let tail = self.tail();
        let position = next.position(Checkpoint::read(|index| self.control.load(index)).head);
        let far = distance(tail, position);
        if far < 0 || far > self.reader.geometry().lines().cast_signed() { tail } else { position }
    }

    /// Takes up to `most` messages, in their order.
    ///
    /// Each is taken by changing its own claim; a consumer that dies after any step has those that name it, and no others.
    #[inline]
    pub(crate) fn pick(
        &self,
        owner: usize,
        time: u64,
        most: usize,
        mut found: impl FnMut(Held),
    ) -> Result<Picked, Nonsense> {
        let picked = self.walk(owner, time, most, &mut found)?;
        if picked.is_overrun {
            // There may be something in the place of what was overwritten.
            return self.walk(owner, time, most, &mut found);
        }
        Ok(picked)
    }

    #[inline]
    fn walk(
        &self,
        owner: usize,
        time: u64,
        most: usize,
        found: &mut impl FnMut(Held),
    ) -> Result<Picked, Nonsense> {
        let walk = &mut *self.walk.borrow_mut();
        let next = self.ledger.next();
        if next != walk.seen {
            walk.seen = next;
            walk.reached = self.start(next);
        }
        let begin = walk.reached;
        walk.consumer.seek(begin);
        let mut picked = Picked::default();
        if walk.consumer.is_sparse && !walk.consumer.is_intact(begin) {
            // It is not touched: on a full file system there is no memory to be had for it.
            walk.reached = self.start(next);
            picked.is_overrun = true;
            return Ok(picked);
        }
        let mut is_empty = false;
        // No more than a ring has: a producer may write as fast as one looks.
        for _ in 0..self.reader.geometry().lines() {
            let frame = match walk.consumer.look() {
                Look::Message(frame) => frame,
                Look::Empty | Look::Pending => {
                    is_empty = true;
                    break;
                }
                Look::Overrun => {
                    walk.reached = self.start(next);
                    picked.is_overrun = true;
                    return Ok(picked);
                }
                Look::Nonsense if begin == self.tail() => return Err(Nonsense),
                Look::Nonsense => {
                    walk.reached = self.tail();
                    return Ok(picked);
                }
            };
            let position = frame.position;
            let claim = self.ledger.claim(position);
            if claim.is_free(self.ledger.lap(position)) {
                let taken = claim.taken(owner, time);
                if !self.ledger.change(position, claim, taken) {
                    picked.is_contended = true;
                } else if walk.consumer.look() == Look::Message(frame)
                    && self.reader.arrived(frame) == Arrived::Whole
                {
                    found(Held { frame, claim: taken });
                    picked.messages += 1;
                } else {
                    // The claim was about another lap, of the same number modulo 2^32; or a producer lets messages flow.
                    self.ledger.change(position, taken, claim);
                    break;
                }
            }
            walk.consumer.advance(frame);
            if picked.messages == most {
                break;
            }
        }
        let reached = walk.consumer.position();
        if reached != begin || is_empty && picked.messages == 0 {
            self.pass(walk, reached, is_empty && picked.messages == 0);
        }
        Ok(picked)
    }

    /// Remembers that nothing is free before a position, and tells others if they would walk far otherwise.
    #[inline(always)]
    fn pass(&self, walk: &mut Walk, reached: u64, tells: bool) {
        if !walk.consumer.is_intact(walk.reached) {
            // What was walked over was being overwritten.
            walk.reached = self.start(walk.seen);
            return;
        }
        walk.reached = reached;
        let untold = distance(walk.seen.position(reached), reached);
        if untold >= LAZY || tells && untold > 0 {
            // If it is not what it was, the next look begins where it says.
            if let Some(next) = self.ledger.advance(walk.seen, reached) {
                walk.seen = next;
            }
        }
    }

    /// Gives back all taken messages of whose claims `judge` says that they are over, among at most `most` lines; goes on there
    /// the next time. How many.
    pub(crate) fn relieve(&self, most: u64, mut judge: impl FnMut(Claim) -> bool) -> u64 {
        let walk = &mut *self.walk.borrow_mut();
        let lines = self.reader.geometry().lines().cast_signed();
        let tail = self.tail();
        let begin = if distance(tail, walk.settled) > 0 { walk.settled } else { tail };
        let next = self.start(self.ledger.next());
        let head = self.reader.newest().head;
        let end = if distance(head, next) > 0 { next } else { head };
        let length = distance(begin, end);
        if length < 0 || length > lines {
            return 0;
        }
        let length = length.min(lines).cast_unsigned();
        let mut offset = distance(begin, walk.looked).cast_unsigned();
        if offset >= length || length <= most {
            offset = 0;
        }
        let (mut given, mut is_shown) = (0, false);
        let until = length.min(offset + most);
        for far in offset..until {
            let position = begin.wrapping_add(far);
            let claim = self.ledger.claim(position);
            let lap = self.ledger.lap(position);
            if claim.is_taken(lap) && judge(claim) {
                given += u64::from(self.ledger.give_back(position, claim, claim.returned()));
            } else if claim.is_free(lap) && claim.count() > 0 && !is_shown {
                // Who gave it back may have died before it said so, and others may have walked on. This is the first of such.
                self.ledger.lower(position);
                is_shown = true;
            }
        }
        walk.looked = begin.wrapping_add(until);
        given
    }

    /// Looks whether `next` hides anything, and puts it right. For those who have nothing else to do.
    pub(crate) fn mend(&self) {
        let walk = &mut *self.walk.borrow_mut();
        let next = self.ledger.next();
        let at = self.start(next);
        let tail = self.tail();
        if distance(tail, walk.settled) < 0
            || distance(tail, walk.settled) > self.reader.geometry().lines().cast_signed()
        {
            walk.settled = tail;
        }
        let begin = walk.settled;
        walk.consumer.seek(begin);
        let (mut is_settled, mut is_known, mut right) = (true, false, None);
        for _ in 0..self.reader.geometry().lines() {
            is_known |= walk.consumer.position() == at;
            let Look::Message(frame) = walk.consumer.look() else { break };
            // There may have been padding before it.
            is_known |= frame.position == at;
            let (claim, lap) = (self.ledger.claim(frame.position), self.ledger.lap(frame.position));
            if is_settled && claim.is_over(lap) {
                walk.settled = frame.position;
            } else {
                is_settled = false;
            }
            if claim.is_free(lap) {
                right = Some(frame.position);
                break;
            }
            walk.consumer.advance(frame);
        }
        let right = right.unwrap_or(walk.consumer.position());
        is_known |= at == right;
        if distance(right, walk.reached) > 0 {
            walk.reached = right;
        }
        if walk.consumer.is_intact(begin) && (distance(right, at) > 0 || !is_known) {
            self.ledger.correct(next, right);
        }
    }

    /// How many messages its producers have published, and their bytes.
    pub(crate) fn published(&self) -> (u64, u64) {
        self.reader.published()
    }

    /// Whether the memory is all there.
    pub(crate) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.reader.check()?;
        self.ledger.check()
    }

    /// How many messages are free, and how many are taken.
    pub(crate) fn count(&self) -> (u64, u64) {
        let walk = &mut *self.walk.borrow_mut();
        walk.consumer.seek(self.tail());
        let (mut free, mut taken) = (0, 0);
        for _ in 0..self.reader.geometry().lines() {
            let Look::Message(frame) = walk.consumer.look() else { break };
            let claim = self.ledger.claim(frame.position);
            if claim.lap() == self.ledger.lap(frame.position) {
                free += u64::from(claim.state() == State::Free);
                taken += u64::from(claim.state() == State::Taken);
            }
            walk.consumer.advance(frame);
        }
        (free, taken)
    }
}
