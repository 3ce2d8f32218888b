//! Room for a message where there is none at first: what everybody has received, what the dead kept, memory, and waiting.

use twixt_os::making::reserve_error;
use twixt_os::{ErrorKind, Limit, Mechanism, Result, Wait};

use crate::error::{fault, refused};
use crate::ring::backing::Backing;
use crate::ring::distance;
use crate::ring::frame::Flags;
use crate::site::Capacity;
use crate::wait::{Ended, Place};

use super::super::followed::{Followers, Least};
use super::Publisher;

impl Publisher {
    /// Finds out that there is room, or waits until there is.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&self, len: usize, flags: Flags, wait: &Wait) -> Result<()> {
        let wait = *wait;
        if self.producer.is_filling() {
            let why = "it is just writing another message";
            return Err(refused("publish to", &self.site.object, ErrorKind::Busy, why)
                .with_advice("publish when that is written, or lend room for both"));
        }
        if let Err(why) = self.producer.check() {
            return Err(fault("publish to", &self.site.object, why));
        }
        let attempt = |followers: &Followers| {
            let head = self.producer.head();
            self.producer.allow(match followers.least(head) {
                _ if self.keeps.get() => self.producer.origin(),
                Least::Position(position) => position,
                Least::Nobody => head,
            });
            self.producer.has_room(len, flags).then_some(())
        };
        if self.site.charter.capacity == Capacity::Zero {
            return self.be_invited(len, flags, wait);
        }
        if let Some(backing) = &mut *self.backing.borrow_mut() {
            return self.make_memory(backing, len, flags);
        }
        if attempt(&self.followers.borrow()).is_some() {
            return Ok(());
        }
        if self.followers.borrow().copy_out(&self.site, self.index, &self.producer)
            && attempt(&self.followers.borrow()).is_some()
        {
            return Ok(());
        }
        // Those that have died keep nobody from publishing, not even those that do not wait.
        if self.patience.borrow_mut().is_due() {
            self.followers.borrow_mut().bury(&self.site);
            if let Some(error) = self.miss(&self.followers.borrow()) {
                return Err(error);
            }
            if attempt(&self.followers.borrow()).is_some() {
                return Ok(());
            }
        }
        // Nobody but the one who would wait can make room.
        let is_lent_out = |followers: &Followers| {
            let head = self.producer.head();
            let lacks_nobody = match followers.least(head) {
                Least::Position(position) => distance(head, position) >= 0,
                Least::Nobody => true,
            };
            (self.lent.get() > 0 && lacks_nobody).then(|| {
                let why = "loans take up all of its ring";
                refused("publish to", &self.site.object, ErrorKind::WouldBlock, why)
            })
        };
        if let Some(error) = is_lent_out(&self.followers.borrow()) {
            return Err(error);
        }
        if wait.is_never() {
            self.refused.set(len);
            let why = "its ring is full";
            return Err(refused("publish to", &self.site.object, ErrorKind::WouldBlock, why));
        }
        // Subscribers may sleep on what was published and not yet rung for.
        self.ring();
        self.wait_until(wait, |followers| {
            let gone = self.miss(followers).map(Err);
            gone.or_else(|| attempt(followers).map(Ok)).or_else(|| is_lent_out(followers).map(Err))
        })?
    }

    /// Reserves memory for a message of an unbounded topic, within its budget, and gives back what everybody has received.
    fn make_memory(&self, backing: &mut Backing, len: usize, flags: Flags) -> Result<()> {
        let mut followers = self.followers.borrow_mut();
        if self.patience.borrow_mut().is_due() {
            followers.bury(&self.site);
        }
        let head = self.producer.head();
        let least = || match followers.least(head) {
            Least::Position(position) => position,
            Least::Nobody => head,
        };
        self.producer.allow(least());
        if !self.producer.has_room(len, flags) && followers.copy_out(&self.site, self.index, &self.producer) {
            self.producer.allow(least());
        }
        let has_room = self.producer.has_room(len, flags);
        let (least, end) = (least(), self.producer.end_of(len, flags));
        // One that is not waited for may still read there.
        self.producer.abandon(backing.goes_until(least));
        backing.release(self.own.file(), least);
        let covered = if has_room { backing.cover(self.own.file(), end) } else { Ok(()) };
        // Whatever came of that, nothing is written where there is no memory.
        self.producer.limit_to(backing.covered());
        covered.map_err(|errno| {
            let needed = backing.bytes();
            reserve_error(Mechanism::Bus, "publish to", self.site.object.clone(), errno, needed)
        })?;
        if has_room {
            return Ok(());
        }
        let budget = self.producer.geometry().bytes() as u64;
        let why = format!("{budget} bytes wait for a subscriber already");
        Err(refused("publish to", &self.site.object, ErrorKind::LimitReached, why).with_limit(Limit {
            name: "?budget",
            current: Some(budget),
            needed: None,
        }))
    }

    /// Waits for what subscribers do.
    pub(super) fn wait_until<T>(&self, wait: Wait, look: impl Fn(&Followers) -> Option<T>) -> Result<T> {
        let shares_cpu = self.followers.borrow().share_cpu();
        let place = Place { bell: &self.site.hints.room, hints: &self.site.hints, shares_cpu };
        let found = self.patience.borrow_mut().wait(
            &place,
            wait,
            || {
                let mut followers = self.followers.borrow_mut();
                if self.roster.get() != self.site.hints.roster()
                    && let Err(error) = self.see(&mut followers)
                {
                    return Some(Err(error));
                }
                match self.miss(&followers) {
                    Some(error) => Some(Err(error)),
                    None => look(&followers).map(Ok),
                }
            },
            || {
                self.site.check("publish to").map_err(Ended::Error)?;
                if let Err(why) = self.producer.check() {
                    return Err(Ended::Error(fault("publish to", &self.site.object, why)));
                }
                let mut followers = self.followers.borrow_mut();
                followers.bury(&self.site);
                match self.miss(&followers) {
                    Some(error) => Err(Ended::Error(error)),
                    None => Ok(look(&followers).map(Ok)),
                }
            },
        );
        found.map_err(|ended: Ended| ended.into_error("publish to", &self.site.object))?
    }
}
