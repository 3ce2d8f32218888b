//! Waiting for a message: trying, sleeping, and having a descriptor become readable.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use twixt_os::{Errno, Result, Wait};

use crate::barrier;
use crate::error::{check_maker, kernel};
use crate::ring::consumer::{Consumer, Look};
use crate::segment::bell_of;
use crate::site::Capacity;
use crate::sync::{Ordering, relax};
use crate::wait::{Ended, FIRST, Place};

use super::super::{cursor, page};
use super::following::Standing;
use super::{Next, Subscriber};

impl Subscriber {
    /// A descriptor that is readable when something may have happened, for `poll(2)` and its like: after it was, receive
    /// without waiting until there is nothing, and [`arm`](Self::arm) before polling again.
    ///
    /// It costs publishers a few system calls for the first message after each time it was armed, and nothing otherwise. A
    /// publisher that dies rings no more: whoever is to learn of that polls with a time-out, and receives without waiting when
    /// that is over.
    ///
    /// # Errors
    /// Those of making a FIFO beside the subscriber's segment; [`InvalidInput`](twixt_os::ErrorKind::InvalidInput) in a process that
    /// was forked since it was opened.
    pub fn doorbell(&mut self) -> Result<BorrowedFd<'_>> {
        self.arm()?;
        let bell = self.doorbell.as_ref().map(AsFd::as_fd);
        bell.ok_or_else(|| kernel("make the doorbell", &bell_of(self.own.path()), Errno::IO))
    }

    /// Has the [`doorbell`](Self::doorbell) ring for what comes next. Whether something is there already: then it is readable
    /// at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&mut self) -> Result<bool> {
        // It would empty the doorbell that its parent polls.
        check_maker(self.maker, "receive from", &self.site.object)?;
        let bell = match self.doorbell.take() {
            Some(bell) => bell,
            None => self.site.doorbell(bell_of(self.own.path()))?,
        };
        bell.drain();
        self.invite();
        self.site.hints.filled.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        let is_ready = self.peek();
        if is_ready {
            bell.ring();
        }
        self.doorbell = Some(bell);
        Ok(is_ready)
    }

    /// With a capacity of zero, tells publishers that it waits for a message. Until it has one, or waits no more.
    fn invite(&mut self) {
        if self.site.charter.capacity == Capacity::Zero {
            self.invites = true;
            for at in 0..self.tracks.len() {
                // Not one that it does not listen to, which would wait for it then.
                if self.tracks[at].standing != Standing::Banned {
                    self.say(at, self.tracks[at].consumer.position());
                }
            }
        }
    }

    /// Tells them that it does not any more.
    pub(super) fn revoke(&mut self) {
        // In a forked child, it is its parent that waits.
        if !core::mem::take(&mut self.invites) || !self.maker.is_this() {
            return;
        }
        for track in &self.tracks {
            cursor::revoke(&self.cursors, track.index);
        }
    }

    /// Whether there is something to receive, or to be told, without taking it.
    fn peek(&mut self) -> bool {
        if self.roster != self.site.hints.roster() || self.is_disconnected {
            return true;
        }
        let looks_first = self.looks_first;
        self.tracks.iter_mut().any(|track| match track.standing {
            Standing::Here => {
                let look = if looks_first { Consumer::look_at_what_is_there } else { Consumer::look };
                track.left.is_some()
                    || !matches!(look(&mut track.consumer), Look::Empty | Look::Pending)
                    || track.consumer.is_closed()
            }
            Standing::Going(_) => true,
            Standing::Gone | Standing::Banned => false,
        })
    }

    /// Tries the only publisher there is for as long as it does not matter. Whether a message is at hand.
    pub(super) fn finds_soon(&mut self) -> bool {
        if self.burst == 0 || self.shares_cpu || !self.patience.tries() || !self.maker.is_this() {
            return false;
        }
        let [track] = &mut self.tracks[..] else { return false };
        while track.consumer.lags() {
            relax();
        }
        // It takes note that nothing is there, if so.
        let mut finds = matches!(track.consumer.look(), Look::Message(_));
        for _ in 0..FIRST {
            if finds {
                self.burst -= 1;
                self.patience.found_at_once();
                return true;
            }
            relax();
            finds = track.consumer.finds();
        }
        false
    }

    /// For as long as it does not matter.
    pub(super) fn try_for_a_moment(&mut self) -> Option<Next> {
        if self.shares_cpu || !self.patience.tries() {
            return None;
        }
        for _ in 0..FIRST {
            relax();
            if let Some(next) = self.look() {
                self.patience.found_at_once();
                return Some(next);
            }
        }
        None
    }

    #[inline(never)]
    pub(super) fn wait(&mut self, wait: Wait) -> Result<Next> {
        self.invite();
        let site = Arc::clone(&self.site);
        let place = Place { bell: &site.hints.filled, hints: &site.hints, shares_cpu: self.shares_cpu };
        let mut patience = self.patience.clone();
        let this = core::cell::RefCell::new(&mut *self);
        let next = patience.wait(
            &place,
            wait,
            || this.borrow_mut().look(),
            || {
                let mut this = this.borrow_mut();
                this.look_for_the_dead()?;
                Ok(this.look())
            },
        );
        self.revoke();
        self.patience = patience;
        self.counters[page::PARKS].store(self.patience.parks, Ordering::Relaxed);
        next.map_err(|ended: Ended| ended.into_error("receive from", &self.site.object))
    }

    /// What there is. The publisher of a stream gets ahead before it is looked: but what is there is found.
    pub(super) fn look_in_passing(&mut self) -> Option<Next> {
        if let Some(track) = self.tracks.get_mut(self.turn) {
            while track.consumer.lags() {
                relax();
            }
        }
        self.look()
    }
}
