//! Publishing without capacity: no message goes before all who receive wait for it.

use std::time::Duration;

use twixt_os::{Deadline, Error, ErrorKind, Result, Wait};

use crate::barrier;
use crate::bell::LONGEST;
use crate::error::refused;
use crate::ring::distance;
use crate::ring::frame::Flags;

use super::super::followed::{Followers, Least};
use super::super::page;
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
                let mut cursors = self.invited_by.borrow_mut();
                cursors.clear();
                cursors.extend(followers.cursors());
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

    /// With no capacity, waits until all subscribers have the message. They waited for it, so that it is theirs even if this one
    /// cannot wait for them: who has just given up finds it the next time.
    #[cold]
    pub(super) fn meet(&self, wait: &Wait) -> Result<()> {
        let wait = *wait;
        let head = self.producer.head();
        let met = |followers: &Followers| {
            let is_over = match followers.least(head) {
                Least::Position(position) => distance(head, position) >= 0,
                Least::Nobody => self.was_received(head),
            };
            is_over.then_some(())
        };
        let is_met = met(&self.followers.borrow()).is_some();
        let outcome = if is_met {
            Ok(())
        } else if wait.is_never() {
            Err(refused("publish to", &self.site.object, ErrorKind::WouldBlock, "nobody has received it"))
        } else {
            self.wait_until(wait, met)
        };
        let has_been_received =
            outcome.is_err() && (self.was_received(head) || self.followers.borrow().have_received(head));
        // Whoever comes from now on has nothing to do with it.
        self.producer.meet();
        match outcome {
            Err(_) if has_been_received => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                self.leave_it_to_those_who_are_there(head, error)
            }
            outcome => outcome,
        }
    }

    /// That it is received if anybody lives who can, and otherwise was not sent.
    #[cold]
    fn leave_it_to_those_who_are_there(&self, head: u64, error: Error) -> Result<()> {
        // Pairs with the fence of whoever joins: it is seen here, or sees where it begins.
        barrier::heavy();
        let mut followers = self.followers.borrow_mut();
        // Whoever is seen here and joins just now begins before the message or behind it, and says so in a moment, unless it
        // is stopped.
        let end = Deadline::after(LONGEST);
        let is_somebodys = loop {
            followers.bury(&self.site);
            self.see(&mut followers)?;
            match followers.will_receive(head) {
                None if !end.has_passed() => std::thread::sleep(Duration::from_micros(100)),
                known => break known == Some(true),
            }
        };
        // Who was to receive it may have done so meanwhile.
        if is_somebodys || self.was_received(head) { Ok(()) } else { Err(error) }
    }

    /// Whether one of those who waited for the message before a position has it, be it that it has left with it.
    fn was_received(&self, head: u64) -> bool {
        self.invited_by.borrow().iter().any(|cursor| {
            // Acquire: as in `Followers::least`.
            page::position(cursor.acquire(0), head).is_some_and(|position| distance(head, position) >= 0)
        })
    }
}
