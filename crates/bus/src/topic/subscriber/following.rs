//! The publishers that a subscriber follows: who has come, gone, been too fast or written nonsense.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};
use twixt_os::{Errno, Result};

use crate::barrier;
use crate::error::{fault, is_want, kernel, malformed};
use crate::ring::consumer::Consumer;
use crate::ring::{CONTROL, distance};
use crate::segment::{Peer, What, header, is_still, pinned};
use crate::site::Capacity;
use crate::wait::Ended;

use super::super::spill::{self, Spilled};
use super::super::{MOST_PUBLISHERS, Slow, cursor, segment};
use super::{Left, Next, Subscriber};

/// A publisher as a subscriber sees it.
pub(super) struct Track {
    pub(super) index: usize,
    pub(super) peer: Peer,
    pub(super) consumer: Consumer,
    pub(super) epoch: u64,
    /// The cursor as it was said last.
    pub(super) said: u64,
    pub(super) standing: Standing,
    /// Whether messages were missed that are not counted yet.
    pub(super) is_behind: bool,
    /// The ring itself, while a copy of what was not received is read.
    pub(super) aside: Option<(Consumer, Spilled)>,
    /// How an earlier incarnation of it has left, which is told when everything of it was received.
    pub(super) left: Option<Left>,
}

impl Track {
    /// Whether there is nothing to be told but messages.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.standing == Standing::Here && !self.is_behind && self.left.is_none()
    }

    /// Takes note how it has gone, as was seen of whoever has its place; but that may be another meanwhile.
    pub(super) fn go(&mut self, how: Left) {
        if !self.notice_successor() {
            self.standing = Standing::Going(how);
        }
    }

    /// Follows what has become of the publisher's place: whether another has it now.
    pub(super) fn notice_successor(&mut self) -> bool {
        let epoch = self.consumer.epoch();
        if epoch == self.epoch {
            return false;
        }
        self.epoch = epoch;
        let before = if self.consumer.was_closed_before() { Left::Closed } else { Left::Died };
        match self.standing {
            Standing::Here => self.left = Some(before),
            Standing::Going(how) => self.left = Some(how),
            Standing::Gone => {}
            // What it had written before is none of the successor's.
            Standing::Banned => self.consumer.at_start(),
        }
        self.standing = Standing::Here;
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It publishes, as far as is known.
    Here,
    /// It is known to have gone; what it published is received first.
    Going(Left),
    /// It has gone, and that was told.
    Gone,
    /// It wrote what makes no sense, and is not listened to any more.
    Banned,
}

impl Subscriber {
    /// Does not listen to a publisher any more, and keeps whoever has its place after it from waiting in vain.
    pub(super) fn ban(&mut self, at: usize) {
        self.burst = 0;
        let track = &mut self.tracks[at];
        track.standing = Standing::Banned;
        track.said = u64::MAX;
        cursor::ignore(&self.cursors, track.index);
        self.ring_room();
    }

    /// It was too slow. An error if that is the end.
    pub(super) fn overrun(&mut self, at: usize) -> Option<Next> {
        self.burst = 0;
        if self.options.slow == Slow::Disconnect {
            self.is_disconnected = true;
            for track in &mut self.tracks {
                track.standing = Standing::Banned;
            }
            return Some(Next::Error(self.too_slow()));
        }
        let track = &mut self.tracks[at];
        if self.options.slow == Slow::DropNewest
            && track.aside.is_none()
            && let Ok(Some((copy, spilled))) =
                spill::open(&self.site, self.index, track.index, track.consumer.position())
        {
            let copy = copy.expecting_as(&track.consumer);
            let ring = core::mem::replace(&mut track.consumer, copy);
            track.aside = Some((ring, spilled));
            return None;
        }
        // Those that are waited for are overrun only while they join. How many were missed, the next message tells.
        track.consumer.catch_up();
        track.is_behind = true;
        None
    }

    /// Goes on with what comes next, if a copy of what was not received was read to its end: what came in between was missed.
    pub(super) fn has_read_copy(&mut self, at: usize) -> bool {
        let track = &mut self.tracks[at];
        match track.aside.take() {
            Some((mut ring, spilled)) if distance(spilled.end, track.consumer.position()) >= 0 => {
                ring.at_head();
                track.consumer = ring.expecting_as(&track.consumer);
                track.is_behind = true;
                let position = track.consumer.position();
                // First, so that the publisher does not make another copy that is then removed.
                spilled.done();
                self.say(at, position);
                true
            }
            aside => {
                track.aside = aside;
                false
            }
        }
    }

    /// Looks which publishers are there. `is_first`: those begin where the options say, others with their first message.
    pub(super) fn look_around(&mut self, is_first: bool) -> Result<()> {
        self.burst = 0;
        let present = self.site.list('p', MOST_PUBLISHERS)?;
        let mut failed = Ok(());
        for index in present {
            let known = self.tracks.iter().position(|track| track.index == index && track.peer.has_name());
            if let Some(at) = known {
                let was_banned = self.tracks[at].standing == Standing::Banned;
                if self.tracks[at].notice_successor() && was_banned {
                    self.listen_anew(at);
                }
                continue;
            }
            let path = self.site.path('p', index);
            if self.ignored.iter().any(|(other, file)| *other == index && is_still(&path, file.as_fd())) {
                continue;
            }
            // Before it is looked at, and kept open if it is passed over: until then no other file has its inode number.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match rustix::fs::open(&path, flags, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                file => file.map_err(|errno| kernel("look into", &path, errno))?,
            };
            // One that makes no sense is told once, and keeps nobody from the others.
            if let Err(error) = self.follow(index, is_first) {
                if is_want(&error) {
                    return Err(error);
                }
                self.ignored.retain(|(other, _)| *other != index);
                self.ignored.push((index, file));
                failed = Err(error);
            }
        }
        failed
    }

    /// With no capacity, comes to a publisher as whoever joins does: what that has published is for others.
    fn listen_anew(&mut self, at: usize) {
        if self.site.charter.capacity == Capacity::Zero {
            let track = &mut self.tracks[at];
            cursor::listen(&self.cursors, track.index);
            self.site.hints.change_roster();
            barrier::heavy();
            track.consumer.at_met();
        }
    }

    fn follow(&mut self, index: usize, is_first: bool) -> Result<()> {
        let site = &self.site;
        let geometry = site.charter.geometry;
        let path = site.path('p', index);
        let Some(peer) = Peer::open_of(&path, What::Publisher, site.number, segment::bytes(geometry))? else {
            return Ok(());
        };
        let wrong =
            || malformed("receive from", &site.object, "a publisher's file is too short for its ring");
        let (ring, words) =
            (peer.foreign(segment::RING, geometry.words())?, peer.foreign(segment::CONTROL_AT, CONTROL)?);
        let mut consumer = Consumer::new(geometry, ring, words, 0).ok_or_else(wrong)?;
        consumer.is_sparse = matches!(site.charter.capacity, Capacity::Unbounded(_));
        if is_first {
            if site.charter.capacity == Capacity::Zero {
                consumer.at_met();
            } else if self.options.from_origin {
                consumer.at_origin();
            } else if self.options.history == 0 {
                consumer.at_head();
            } else {
                consumer.at_history(self.options.history, u64::MAX);
            }
        } else {
            consumer.at_origin();
        }
        let epoch = consumer.epoch();
        let is_alive = peer.is_alive();
        // Also of one that has come and gone since the last look there is something to tell. One that is just being made, and has
        // no epoch yet, says so in a moment.
        let is_news = consumer.lag() > 0 || !is_first && epoch > 0;
        let standing = match (is_alive, consumer.is_closed()) {
            _ if epoch == 0 => Standing::Gone,
            (true, false) => Standing::Here,
            (_, true) if is_news => Standing::Going(Left::Closed),
            (false, false) if is_news => Standing::Going(Left::Died),
            _ => Standing::Gone,
        };
        let mut track = Track {
            index,
            epoch: if is_first { epoch } else { epoch.min(1) },
            peer,
            said: u64::MAX,
            consumer,
            standing,
            is_behind: false,
            aside: None,
            left: None,
        };
        if track.standing == Standing::Here {
            // Of those that have come and gone before it was looked, one is told.
            track.notice_successor();
        }
        self.tracks.retain(|other| other.index != index);
        self.tracks.push(track);
        self.see_who_shares_cpu();
        let at = self.tracks.len() - 1;
        self.say(at, self.tracks[at].consumer.position());
        Ok(())
    }

    /// Looks which publishers have died.
    pub(super) fn look_for_the_dead(&mut self) -> Result<(), Ended> {
        self.burst = 0;
        self.see_who_shares_cpu();
        let missing = |why| Ended::Error(fault("receive from", &self.site.object, why));
        self.site.check("receive from").map_err(Ended::Error)?;
        self.own.mapping().check().map_err(missing)?;
        for track in &mut self.tracks {
            if !matches!(track.standing, Standing::Here | Standing::Going(_)) {
                continue;
            }
            if let Err(why) = track.consumer.check() {
                track.standing = Standing::Banned;
                return Err(missing(why));
            }
            if track.standing == Standing::Here && !track.peer.is_alive() {
                // It lets go of its lock after it has said good-bye.
                let how = if track.consumer.is_closed() { Left::Closed } else { Left::Died };
                track.go(how);
            }
        }
        Ok(())
    }

    /// Whether a publisher can only run if this one does not.
    fn see_who_shares_cpu(&mut self) {
        let own = pinned();
        self.shares_cpu =
            own != 0 && self.tracks.iter().any(|track| track.peer.header(header::PINNED) == own);
    }
}
