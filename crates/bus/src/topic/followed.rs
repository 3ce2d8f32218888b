//! The subscribers as a publisher sees them.

use core::cell::Cell;

use twixt_os::Result;

use crate::doorbell;
use crate::error::is_want;
use crate::ring::distance;
use crate::ring::producer::Producer;
use crate::segment::{Peer, What, bell_of, header, sweep};
use crate::site::Site;
use crate::words::Foreign;

use super::{MOST_SUBSCRIBERS, Slow, cursor, page, spill};

/// Who follows a publisher.
pub(super) struct Followers {
    all: Vec<Follower>,
    /// Where the first incarnation of the publisher began.
    origin: u64,
}

struct Follower {
    index: usize,
    peer: Peer,
    slow: Slow,
    cursor: Foreign,
    counters: Foreign,
    /// Where it is taken to begin as long as it has not said so.
    begin: u64,
    /// Of a ring.
    lines: i64,
    /// Up to where it has a copy of what it has not received, and is not waited for.
    copied: Cell<Option<u64>>,
    /// With no capacity, whether it has waited for the message that is published: that is for it, then, and for no other.
    is_guest: Cell<bool>,
}

impl Follower {
    /// How far it says to be, seen from a position.
    fn said(&self, next: u64) -> Option<u64> {
        // Acquire: pairs with the Release of the cursor; all reads of what is before it are over.
        page::position(self.cursor.acquire(0), next)
    }

    /// Whether it takes no more.
    fn is_leaving(&self) -> bool {
        // Acquire: pairs with the Release of who leaves; its cursor is the last one, then.
        self.counters.acquire(page::LEAVING) != 0
    }

    /// Whether it does not listen to this publisher.
    fn is_deaf(&self) -> bool {
        self.cursor.load(0) == page::IGNORED
    }

    /// How far it is, seen from a position; `None` if it is not waited for.
    fn position(&self, next: u64) -> Option<u64> {
        let is_kept = matches!(self.slow, Slow::Block | Slow::DropNewest);
        if !is_kept || self.counters.load(page::LEAVING) != 0 {
            return None;
        }
        // Acquire: pairs with the Release of the cursor; all reads of what is before it are over.
        let word = self.cursor.acquire(0);
        if word == page::IGNORED {
            return None;
        }
        let said = page::position(word, next);
        let position = said.unwrap_or(self.begin);
        if let Some(end) = self.copied.get() {
            if distance(end, position) < 0 {
                return None;
            }
            self.copied.set(None);
        }
        let behind = distance(position, next);
        // One that is further behind than the ring is long has been written over, by whoever had this place before: nothing is
        // kept for it any more.
        if said.is_some() && behind > self.lines {
            return None;
        }
        // One that claims to be ahead of us is not believed.
        Some(if behind < 0 { next } else { position })
    }
}

/// How far the slowest is that has to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Least {
    Nobody,
    Position(u64),
}

impl Followers {
    pub(super) fn new(origin: u64) -> Self {
        Self { all: Vec::new(), origin }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many have joined: one that is about to may begin behind what is published next.
    pub(super) fn joined(&self) -> usize {
        // Acquire: pairs with the Release of one that has joined; it begins before what is published from now on.
        self.all.iter().filter(|it| it.counters.acquire(page::JOINED) != 0).count()
    }

    /// Looks who is there. `publisher` is the index of the one who asks.
    pub(super) fn refresh(&mut self, site: &Site, publisher: usize, next: u64) -> Result<()> {
        let present = site.list('s', MOST_SUBSCRIBERS)?;
        self.all.retain(|it| present.contains(&it.index) && it.peer.has_name());
        for index in present {
            if self.all.iter().any(|it| it.index == index) {
                continue;
            }
            let peer =
                match Peer::open_of(&site.path('s', index), What::Subscriber, site.number, 8 * page::WORDS) {
                    Ok(Some(peer)) => peer,
                    // It may well have to be waited for.
                    Err(error) if is_want(&error) => return Err(error),
                    // One that makes no sense, or may not be read, is not waited for.
                    Ok(None) | Err(_) => continue,
                };
            if !peer.is_alive() {
                sweep(peer.path());
                continue;
            }
            let at = page::CURSORS + page::STEP * publisher;
            let (Ok(cursor), Ok(counters)) =
                (peer.foreign(at, 2), peer.foreign(page::COUNTERS, page::COUNTED))
            else {
                continue;
            };
            let slow = Slow::of(peer.header(header::POLICY)).unwrap_or(Slow::DropOldest);
            // Whoever has no cursor here yet was there before the publisher's place was, and has not looked since: all of it is
            // to come, and all of it is there. Or it joins just now, and has everything from some point on that it will say;
            // so it is where more than a ring has passed.
            let lines = site.charter.geometry.lines().cast_signed();
            let begin = if distance(self.origin, next) <= lines { self.origin } else { next };
            let (copied, is_guest) = (Cell::new(None), Cell::new(false));
            self.all.push(Follower { index, peer, slow, cursor, counters, begin, lines, copied, is_guest });
        }
        Ok(())
    }

    /// Whether there is somebody, and everybody waits for the message at a position: then it is for them.
    pub(super) fn invite(&self, position: u64) -> bool {
        let mut is_anybody = false;
        for follower in &self.all {
            let is_invited = cursor::is_invited(&follower.cursor, position);
            if is_invited || follower.is_leaving() || follower.is_deaf() {
                follower.is_guest.set(is_invited && !follower.is_leaving());
                is_anybody |= follower.is_guest.get();
            } else {
                return false;
            }
        }
        is_anybody
    }

    /// Those whom the message is for and who are there, as far as is known.
    fn guests(&self) -> impl Iterator<Item = &Follower> {
        self.all.iter().filter(|it| it.is_guest.get() && !it.is_leaving() && !it.is_deaf())
    }

    /// Whether somebody is there whom the message is for.
    pub(super) fn has_guests(&self) -> bool {
        self.guests().next().is_some()
    }

    /// Whether all whom the message is for and who are there have received what is before a position.
    pub(super) fn guests_have(&self, next: u64) -> bool {
        self.guests().all(|it| it.said(next).is_some_and(|position| distance(next, position) >= 0))
    }

    /// The cursors of those whom the message is for: they can be read when those have gone.
    pub(super) fn cursors(&self) -> impl Iterator<Item = Foreign> {
        self.all.iter().filter(|it| it.is_guest.get()).map(|it| it.cursor.clone())
    }

    /// How far the slowest is, seen from a position.
    pub(super) fn least(&self, next: u64) -> Least {
        let mut least = Least::Nobody;
        for position in self.all.iter().filter_map(|it| it.position(next)) {
            least = match least {
                Least::Position(other) if distance(other, position) > 0 => least,
                _ => Least::Position(position),
            };
        }
        least
    }

    /// Copies what those have not received that stand in the way and would rather miss what comes. Whether there are such.
    pub(super) fn copy_out(&self, site: &Site, publisher: usize, producer: &Producer) -> bool {
        let head = producer.head();
        let Least::Position(least) = self.least(head) else { return false };
        let mut any = false;
        for follower in self.all.iter().filter(|it| it.slow == Slow::DropNewest) {
            if follower.position(head) == Some(least) && least != head {
                // Without a copy it will miss what is overwritten, and is told how much that was.
                let _ = spill::copy(site, follower.index, publisher, producer.memory(), least, head);
                follower.copied.set(Some(head));
                any = true;
            }
        }
        any
    }

    /// Forgets those that have died, and removes what they left.
    pub(super) fn bury(&mut self, site: &Site) {
        let before = self.all.len();
        self.all.retain(|it| {
            let lives = it.peer.is_alive();
            if !lives && sweep(it.peer.path()) {
                spill::remove_all(site, it.index);
            }
            lives
        });
        if self.all.len() != before {
            site.hints.change_roster();
        }
    }

    /// Whether one that is waited for can only run if the publisher does not.
    pub(super) fn share_cpu(&self) -> bool {
        let own = crate::segment::pinned_lately();
        own != 0 && self.all.iter().any(|it| it.peer.header(header::PINNED) == own)
    }

    /// Makes the descriptors of those readable that wait for that.
    pub(super) fn ring_doorbells(&self) {
        for follower in &self.all {
            doorbell::ring(&bell_of(follower.peer.path()));
        }
    }
}
