//! Publishing without capacity: no message goes before all who receive wait for it.
//!
//! A message is for those who wait for it when it is published, its guests, and nobody else ever receives it. So a publisher
//! that gives up knows what became of it: it has the guests' cursors, also of those who have gone. Whoever joins begins behind a
//! message ([`Producer::offer`](crate::ring::producer::Producer::offer)); or may have begun before, and is then seen in the roster
//! before the message is published, which it is not then. If all guests go without it, those who have come are asked to a
//! copy.

use twixt_os::{Error, ErrorKind, Result, Wait};

use crate::error::refused;
use crate::ring::distance;
use crate::ring::frame::Flags;
use crate::ring::producer::Slot;
use crate::sync::Ordering;
use crate::wait::Stopped;
use crate::words::Foreign;

use super::super::followed::Followers;
use super::super::{Flow, page};
use super::Publisher;

impl Publisher {
    /// With no capacity, waits until all subscribers wait for the message, of which there must be one at least: there is room
    /// for one message then, and before that nobody sees anything of it.
    #[cold]
    pub(super) fn be_invited(&self, len: usize, flags: Flags, wait: Wait) -> Result<()> {
        if self.lent.get() > 0 {
            let why = "a loan has the room for the one message that is waited for";
            return Err(refused("publish to", &self.site.object, ErrorKind::WouldBlock, why));
        }
        let head = self.producer.head();
        let is_invited = |followers: &Followers| {
            followers.invite(head).then(|| {
                let mut guests = self.guests.borrow_mut();
                guests.roster = self.roster.get();
                guests.cursors.clear();
                guests.cursors.extend(followers.cursors());
            })
        };
        if self.patience.borrow_mut().is_due() {
            self.followers.borrow_mut().bury(&self.site);
        }
        // Not in a statement of its own: what invites is not borrowed while it is waited.
        let is_met = is_invited(&self.followers.borrow()).is_some();
        if !is_met {
            if wait.is_never() {
                self.refused.set(len);
                let why = "not all who receive from it wait for a message, or nobody receives from it";
                return Err(refused("publish to", &self.site.object, ErrorKind::WouldBlock, why));
            }
            // Subscribers may sleep on what was published and not yet rung for.
            self.ring();
            self.wait_until(wait, is_invited)?;
        }
        self.producer.allow(head);
        // For this message alone.
        self.producer.limit_to(self.producer.end_of(len, flags));
        Ok(())
    }

    /// Publishes a slot that nobody sees yet, given in [parts](Slot::parts), and waits until all whom it is for have it.
    #[cold]
    #[inline(never)]
    pub(super) fn hand_over(
        &self,
        position: u64,
        back: u64,
        sequence: u64,
        len: usize,
        wait: &Wait,
    ) -> Result<()> {
        let slot = Slot::of(position, back, sequence, len);
        self.producer.lend(slot);
        self.hand_over_lent(slot, wait)
    }

    /// As [`hand_over`](Self::hand_over), of a slot that was lent.
    #[cold]
    pub(in crate::topic) fn hand_over_lent(&self, slot: Slot, wait: &Wait) -> Result<()> {
        if self.offer(slot) {
            self.producer.publish_lent(slot, Flags::empty());
            self.ring();
            return self.meet_all(slot, wait);
        }
        self.hand_over_again(slot, wait)
    }

    /// Room for a message that those receive whom it is for while it is being written.
    #[cold]
    pub(super) fn flow_offered(&self, len: usize, wait: &Wait) -> Result<Flow<'_>> {
        loop {
            let slot = self.reserve(len, Flags::BELOW, wait)?;
            self.producer.lend(slot);
            if self.offer(slot) {
                self.producer.open_lent(slot);
                return Ok(Flow::new(self, slot));
            }
            self.go_on(wait)?;
        }
    }

    /// Waits until all whom a message is for that was published have it. If all of them have gone without it, whoever has come
    /// meanwhile is asked to it.
    #[cold]
    pub(in crate::topic) fn meet_all(&self, slot: Slot, wait: &Wait) -> Result<()> {
        match self.meet(slot, wait)? {
            Meeting::Over => Ok(()),
            Meeting::Deserted => self.hand_over_again(slot, wait),
        }
    }

    /// Has whoever joins begin behind a lent slot, and says whether nobody has come since its guests were seen. Somebody who has
    /// may begin before it, and does not know that it is for others: it is taken back, then.
    fn offer(&self, slot: Slot) -> bool {
        self.producer.offer();
        if self.guests.borrow().roster == self.site.hints.roster() {
            return true;
        }
        self.producer.publish_lent(slot, Flags::SKIP);
        self.ring();
        false
    }

    /// Ends a wait whose time is over, where it would not come to waiting: somebody comes and goes all the time. Who does not wait
    /// has tried once.
    fn go_on(&self, wait: &Wait) -> Result<()> {
        if wait.is_never() {
            let why = "somebody has come or gone meanwhile";
            return Err(refused("publish to", &self.site.object, ErrorKind::WouldBlock, why));
        }
        if wait.has_passed() { Err(Stopped::TimedOut.error("publish to", &self.site.object)) } else { Ok(()) }
    }

    /// Publishes the message of a slot anew, which nobody has received or will, for those who are there now.
    #[cold]
    fn hand_over_again(&self, slot: Slot, wait: &Wait) -> Result<()> {
        // A copy of it: the room for the next may overlap with it.
        let message: Vec<_> =
            self.producer.payload(slot).iter().map(|word| word.load(Ordering::Relaxed)).collect();
        loop {
            self.go_on(wait)?;
            let slot = self.reserve(slot.len, slot.flags & Flags::BELOW, wait)?;
            for (to, word) in self.producer.payload(slot).iter().zip(&message) {
                to.store(*word, Ordering::Relaxed);
            }
            self.producer.lend(slot);
            if self.offer(slot) {
                self.producer.publish_lent(slot, Flags::empty());
                self.ring();
                if self.meet(slot, wait)? == Meeting::Over {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until all whom the message is for have it. They waited for it, so that it is theirs even if this one cannot wait
    /// for them: who has just given up finds it the next time.
    ///
    /// What nobody has is not counted as published.
    fn meet(&self, slot: Slot, wait: &Wait) -> Result<Meeting> {
        let met = self.meet_or_give_up(*wait);
        match &met {
            Ok(Meeting::Deserted) => self.producer.withdraw(slot),
            Err(error) if is_about_waiting(error) => self.producer.withdraw(slot),
            _ => {}
        }
        met
    }

    fn meet_or_give_up(&self, wait: Wait) -> Result<Meeting> {
        let head = self.producer.head();
        let met = |followers: &Followers| {
            if !followers.guests_have(head) {
                return None;
            }
            let is_over = followers.has_guests() || self.was_received(head);
            Some(if is_over { Meeting::Over } else { Meeting::Deserted })
        };
        let known = met(&self.followers.borrow());
        let outcome = match known {
            Some(meeting) => return Ok(meeting),
            None if wait.is_never() => {
                Err(refused("publish to", &self.site.object, ErrorKind::WouldBlock, "nobody has received it"))
            }
            None => self.wait_until(wait, met),
        };
        match outcome {
            Err(error) if is_about_waiting(&error) => {
                // It is received if anybody lives who can, and otherwise was not sent.
                let mut followers = self.followers.borrow_mut();
                followers.bury(&self.site);
                let is_somebodys = followers.has_guests() || self.was_received(head);
                if is_somebodys { Ok(Meeting::Over) } else { Err(error) }
            }
            Err(_) if self.was_received(head) => Ok(Meeting::Over),
            outcome => outcome,
        }
    }

    /// Whether one of those whom the message before a position is for has it, be it that it has left with it.
    fn was_received(&self, head: u64) -> bool {
        self.guests.borrow().cursors.iter().any(|cursor| {
            // Acquire: pairs with the Release of the cursor.
            page::position(cursor.acquire(0), head).is_some_and(|position| distance(head, position) >= 0)
        })
    }
}

/// Whom a message is for.
#[derive(Default)]
pub(super) struct Guests {
    /// Their cursors: they can be read when those have gone.
    cursors: Vec<Foreign>,
    /// As of when they are all that there are.
    roster: u32,
}

/// What has become of a message that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// All whom it was for, and who are there, have it, or one who has gone.
    Over,
    /// All whom it was for have gone without it.
    Deserted,
}

/// Whether only a wait has ended.
fn is_about_waiting(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
