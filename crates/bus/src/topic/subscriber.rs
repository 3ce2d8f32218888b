//! The side that receives.

use core::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use twixt_address::BusName;
use twixt_os::{Deadline, Error, ErrorKind, Limit, Maker, Result, Wait};

use crate::barrier::{self, Light};
use crate::doorbell::{self, Doorbell};
use crate::error::{check_maker, fault, is_want, refused};
use crate::place::Kind;
use crate::ring::consumer::{Arrived, Consumer, Frame, Look};
use crate::ring::distance;
use crate::segment::{Own, What, bell_of, header, sweep};
use crate::site::{Capacity, Options, Site};
use crate::sync::Ordering;
use crate::wait::{Ended, Patience, Stopped, Waiting};
use crate::words::Words;

mod batch;
mod following;
mod promptness;
mod waiting;

use following::{Standing, Track};
use promptness::Promptness;

use super::sample::Fate;
use super::spill;
use super::{MOST_PUBLISHERS, MOST_SUBSCRIBERS, Sample, Slow, cursor, page};

/// How a subscriber takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SubscriberOptions {
    slow: Slow,
    history: u64,
    waiting: Waiting,
    from_origin: bool,
}

impl SubscriberOptions {
    /// Publishers wait for it, it begins with what comes next, and it waits adaptively.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of it if it is too slow.
    pub fn slow(mut self, slow: Slow) -> Self {
        self.slow = slow;
        self
    }

    /// With how many messages of each publisher from before it came it begins, as far as they are there.
    pub fn history(mut self, messages: u64) -> Self {
        self.history = messages;
        self
    }

    /// It begins with the first message of each publisher, all of which was kept for it ([`Publisher::keep`]).
    ///
    /// [`Publisher::keep`]: super::Publisher::keep
    pub(crate) fn with_all(mut self) -> Self {
        self.from_origin = true;
        self
    }

    /// How it waits for messages.
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }
}

/// How a publisher has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// It has said good-bye.
    Closed,
    /// Its process has gone without a word.
    Died,
}

/// What happens at a topic.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'s> {
    /// A message.
    Message(Sample<'s>),
    /// So many messages of a publisher were missed, since this subscriber was too slow. What follows is what came behind them.
    Missed {
        /// Whose.
        publisher: usize,
        /// How many.
        messages: u64,
    },
    /// A publisher has gone, and everything that it published was received. If another has taken its place meanwhile, some
    /// messages of that one may have been received before.
    Left {
        /// Which one.
        publisher: usize,
        /// How.
        how: Left,
    },
}

/// Receives from a topic: a message of any publisher at a time, each publisher's in order.
///
/// It belongs to one thread at a time. [`Publisher`](super::Publisher) has an example.
pub struct Subscriber {
    pub(super) site: Arc<Site>,
    own: Own,
    counters: Words,
    cursors: Words,
    index: usize,
    tracks: Vec<Track>,
    /// The track that is looked at first.
    turn: usize,
    /// Whether a publisher can only run if this one does not, when that was looked at last.
    shares_cpu: bool,
    roster: u32,
    options: SubscriberOptions,
    patience: Patience,
    light: Light,
    maker: Maker,
    /// How many lines are received before a cursor says so.
    stride: u64,
    received: u64,
    missed: u64,
    bytes: u64,
    /// How many messages more are taken from the publisher whose turn it is before the others have theirs; 0 where there is
    /// more to be told of it than messages.
    burst: u32,
    /// Files that were there and made no sense, which was told.
    ignored: Vec<(usize, OwnedFd)>,
    /// Whether it was too slow and did not want to be waited for.
    is_disconnected: bool,
    doorbell: Option<Doorbell>,
    /// With a capacity of zero, whether it tells publishers that it waits.
    invites: bool,
    promptness: Promptness,
    /// Whether memory may have gone where it goes on: to touch it, more would be needed, which there may not be.
    looks_first: bool,
}

/// The most messages that are taken from one publisher while others may have some.
const BURST: u32 = 64;
/// How often one tries to catch up with a publisher at a time.
const CHASES: u32 = 4;

/// What there is.
enum Next {
    /// A message, at hand at the track whose turn it is.
    Found,
    Missed {
        publisher: usize,
        messages: u64,
    },
    Left {
        publisher: usize,
        how: Left,
    },
    Error(Error),
}

impl Subscriber {
    /// Opens a topic for receiving: everything that is published from now on.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there and not to be made;
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another capacity
    /// or type; [`LimitReached`](ErrorKind::LimitReached) with [`MOST_SUBSCRIBERS`] of them.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_with(name, options, SubscriberOptions::new())
    }

    /// As [`open`](Self::open), taking part as the options say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(name: &BusName, options: &Options, how: SubscriberOptions) -> Result<Self> {
        let site = Arc::new(Site::open(Kind::Topic, name, options)?);
        Self::at(site, how)
    }

    pub(crate) fn at(site: Arc<Site>, mut options: SubscriberOptions) -> Result<Self> {
        if site.charter.capacity == Capacity::Zero {
            // A rendezvous is with all who are there.
            options.slow = Slow::Block;
        }
        let is_sparse = matches!(site.charter.capacity, Capacity::Unbounded(_));
        let looks_first = is_sparse && options.slow != Slow::Block;
        let (own, index) = take_page(&site, options.slow)?;
        let stride = if site.charter.capacity == Capacity::Zero { 1 } else { site.charter.geometry.stride() };
        let mut subscriber = Self {
            counters: own.words(page::COUNTERS, page::COUNTED)?,
            cursors: own.words(page::CURSORS, page::STEP * MOST_PUBLISHERS)?,
            own,
            index,
            tracks: Vec::new(),
            turn: 0,
            shares_cpu: false,
            roster: site.hints.roster(),
            options,
            patience: Patience::new(options.waiting),
            light: Light::register(),
            maker: Maker::this(),
            stride,
            received: 0,
            bytes: 0,
            missed: 0,
            burst: 0,
            ignored: Vec::new(),
            is_disconnected: false,
            invites: false,
            promptness: Promptness::default(),
            looks_first,
            doorbell: None,
            site,
        };
        // Publishers know of it before it decides where it begins.
        subscriber.site.hints.change_roster();
        subscriber.roster = subscriber.site.hints.roster();
        barrier::heavy();
        // What makes no sense there keeps nobody from the others.
        match subscriber.look_around(true) {
            Err(error) if is_want(&error) || error.kind() == ErrorKind::Removed => return Err(error),
            _ => {}
        }
        // Release: whoever sees it publishes what is received.
        subscriber.counters[page::JOINED].store(1, Ordering::Release);
        Ok(subscriber)
    }

    /// Receives a message, and waits for one if there is none.
    ///
    /// Messages that were missed ([`Slow::DropOldest`], [`Slow::DropNewest`]) are counted ([`missed`](Self::missed)) and not
    /// told; [`next`](Self::next) tells.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) once if a publisher has died, and once when the last one has left;
    /// [`Overrun`](ErrorKind::Overrun) if it was too slow and was to be disconnected then;
    /// [`Malformed`](ErrorKind::Malformed) once for a publisher that wrote what makes no sense;
    /// [`Removed`](ErrorKind::Removed) if somebody has removed the topic.
    #[inline]
    pub fn receive(&mut self) -> Result<Sample<'_>> {
        self.receive_wait(Wait::forever())
    }

    /// As [`receive`](Self::receive) without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`WouldBlock`](ErrorKind::WouldBlock).
    #[inline]
    pub fn try_receive(&mut self) -> Result<Sample<'_>> {
        self.receive_wait(Wait::never())
    }

    /// As [`receive`](Self::receive), until `deadline`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<Sample<'_>> {
        self.receive_wait(Wait::until(deadline))
    }

    /// As [`receive`](Self::receive), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and what `wait` ends with.
    #[inline(always)]
    pub fn receive_wait(&mut self, wait: Wait) -> Result<Sample<'_>> {
        // The usual case, without a detour.
        if !self.finds_at_turn() {
            self.find(&wait)?;
        }
        Ok(Sample::new(self, &wait))
    }

    #[cold]
    #[inline(never)]
    fn find(&mut self, wait: &Wait) -> Result<()> {
        let wait = *wait;
        if !wait.is_never() && self.finds_soon() {
            return Ok(());
        }
        let mut others = 0;
        loop {
            match self.next_wait(wait)? {
                Next::Found => return Ok(()),
                Next::Missed { .. } => {
                    // A publisher that writes nonsense could go on with that.
                    others += 1;
                    if others > BURST && (wait.is_never() || wait.has_passed()) {
                        return Err(self.nothing(wait));
                    }
                }
                Next::Left { publisher, how: Left::Died } => {
                    let why = format!("its publisher {publisher} has died");
                    return Err(refused("receive from", &self.site.object, ErrorKind::PeerGone, why));
                }
                Next::Left { how: Left::Closed, .. } => {
                    if !self.has_publishers() {
                        let why = "its publishers have left";
                        return Err(refused("receive from", &self.site.object, ErrorKind::PeerGone, why));
                    }
                }
                Next::Error(error) => return Err(error),
            }
        }
    }

    /// What happens next: a message, or that some were missed, or that a publisher has left.
    ///
    /// # Errors
    /// As [`receive_wait`](Self::receive_wait), but for what is an event here.
    #[inline]
    pub fn next(&mut self, wait: Wait) -> Result<Event<'_>> {
        // The usual case, without a detour.
        if self.finds_at_turn() {
            return Ok(Event::Message(Sample::new(self, &wait)));
        }
        if !wait.is_never() && self.finds_soon() {
            return Ok(Event::Message(Sample::new(self, &wait)));
        }
        Ok(match self.next_wait(wait)? {
            Next::Found => Event::Message(Sample::new(self, &wait)),
            Next::Missed { publisher, messages } => Event::Missed { publisher, messages },
            Next::Left { publisher, how } => Event::Left { publisher, how },
            Next::Error(error) => return Err(error),
        })
    }

    /// Whether there is a publisher, or was one, after a look at who has come.
    pub(crate) fn knows_publishers(&mut self) -> Result<bool> {
        self.see_who_has_come()?;
        Ok(!self.tracks.is_empty())
    }

    fn see_who_has_come(&mut self) -> Result<()> {
        let roster = self.site.hints.roster();
        if self.roster != roster {
            self.look_around(false)?;
            self.roster = roster;
        }
        Ok(())
    }

    /// Looks now which publishers have died, as waiting does each [`LONGEST`](crate::bell::LONGEST).
    pub(crate) fn look_who_died(&mut self) -> Result<()> {
        match self.look_for_the_dead() {
            Err(Ended::Error(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether there is a publisher that has not left.
    pub fn has_publishers(&self) -> bool {
        self.tracks.iter().any(|track| matches!(track.standing, Standing::Here | Standing::Going(_)))
    }

    /// How many messages it has received, and how many bytes.
    pub fn received(&self) -> (u64, u64) {
        (self.received, self.bytes)
    }

    /// How many messages it has missed.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many bytes of rings wait for it, headers included.
    ///
    /// # Errors
    /// Those of a look at who publishes, as [`receive`](Self::receive) tells them, once.
    pub fn waiting_bytes(&mut self) -> Result<u64> {
        self.see_who_has_come()?;
        Ok(self.tracks.iter().map(|track| 64 * track.consumer.lag()).sum())
    }

    /// How much may wait for it.
    pub fn capacity(&self) -> Capacity {
        self.site.charter.capacity
    }

    /// The most bytes of a message.
    pub fn longest(&self) -> usize {
        self.site.charter.geometry.longest()
    }

    /// How often it slept.
    pub fn parks(&self) -> u64 {
        self.patience.parks
    }

    /// What errors are about.
    pub(crate) fn object(&self) -> &twixt_os::Object {
        &self.site.object
    }

    /// Whether a message is at hand at the track that had one last.
    #[inline(always)]
    fn finds_at_turn(&mut self) -> bool {
        if self.burst == 0 || !self.maker.is_this() {
            return false;
        }
        let finds = self.tracks.get_mut(self.turn).is_some_and(|track| track.consumer.finds());
        if finds {
            self.burst -= 1;
        }
        finds
    }

    #[cold]
    #[inline(never)]
    fn next_wait(&mut self, wait: Wait) -> Result<Next> {
        check_maker(self.maker, "receive from", &self.site.object)?;
        if self.is_disconnected {
            return Err(self.too_slow());
        }
        self.burst = 0;
        self.judge_promptness();
        let next = self.next_of_all(wait);
        let is_plain = self.tracks.get(self.turn).is_some_and(Track::is_plain);
        if is_plain && !self.is_disconnected && !self.looks_first {
            self.burst = BURST - u32::from(matches!(next, Ok(Next::Found)));
        }
        next
    }

    fn next_of_all(&mut self, wait: Wait) -> Result<Next> {
        // Whoever never waits for long, or never waits, learns it here.
        let dead = if self.patience.is_due() { self.look_for_the_dead() } else { Ok(()) };
        if let Some(next) = self.look_in_passing() {
            return Ok(next);
        }
        match dead {
            Err(Ended::Error(error)) => Err(error),
            _ if wait.is_never() => Err(self.nothing(wait)),
            _ => match self.try_for_a_moment() {
                Some(next) => Ok(next),
                None => self.wait(wait),
            },
        }
    }

    /// The error of a wait that ends without a message.
    fn nothing(&self, wait: Wait) -> Error {
        if wait.is_never() {
            let why = "there is no message";
            return refused("receive from", &self.site.object, ErrorKind::WouldBlock, why);
        }
        Stopped::TimedOut.error("receive from", &self.site.object)
    }

    fn too_slow(&self) -> Error {
        let why = "it was too slow, and is disconnected as it wished";
        refused("receive from", &self.site.object, ErrorKind::Overrun, why).with_advice("open it anew")
    }

    /// What there is, if there is something.
    fn look(&mut self) -> Option<Next> {
        let found = self.look_at_all();
        if found.is_some() || self.roster == self.site.hints.roster() {
            return found;
        }
        // Once: it could be changed all the time.
        let roster = self.site.hints.roster();
        match self.look_around(false) {
            Ok(()) => self.roster = roster,
            Err(error) => {
                // What could not be seen for want of something has to be looked at again.
                if !is_want(&error) {
                    self.roster = roster;
                }
                return Some(Next::Error(error));
            }
        }
        self.look_at_all()
    }

    fn look_at_all(&mut self) -> Option<Next> {
        let count = self.tracks.len();
        for step in 0..count {
            let at = (self.turn + 1 + step) % count;
            if let Some(next) = self.look_at(at) {
                self.turn = at;
                return Some(next);
            }
        }
        None
    }

    fn look_at(&mut self, at: usize) -> Option<Next> {
        let mut chases = 0;
        loop {
            let track = &mut self.tracks[at];
            if matches!(track.standing, Standing::Gone | Standing::Banned) {
                return None;
            }
            if track.left.is_some() && distance(track.consumer.start(), track.consumer.position()) >= 0 {
                let how = track.left.take()?;
                return Some(Next::Left { publisher: track.index, how });
            }
            let found = if self.looks_first {
                if let Err(why) = track.consumer.check() {
                    track.standing = Standing::Banned;
                    return Some(Next::Error(fault("receive from", &self.site.object, why)));
                }
                track.consumer.look_at_what_is_there()
            } else {
                track.consumer.look()
            };
            match found {
                Look::Message(frame) => {
                    // A large one of a dead publisher may never be whole.
                    if matches!(track.standing, Standing::Going(_))
                        && track.consumer.arrived(frame) != Arrived::Whole
                        && track.consumer.skip_pending(track.epoch)
                    {
                        continue;
                    }
                    if !track.is_behind {
                        return Some(Next::Found);
                    }
                    // Its number counts if it is its number.
                    if !track.consumer.is_intact(frame.position) {
                        chases += 1;
                        if chases > CHASES {
                            return None;
                        }
                        track.consumer.catch_up();
                        continue;
                    }
                    track.is_behind = false;
                    let messages = track.consumer.count_missed(frame);
                    if messages == 0 {
                        continue;
                    }
                    let publisher = track.index;
                    self.missed = self.missed.wrapping_add(messages);
                    self.counters[page::MISSED].store(self.missed, Ordering::Relaxed);
                    return Some(Next::Missed { publisher, messages });
                }
                Look::Overrun => {
                    if let Some(next) = self.overrun(at) {
                        return Some(next);
                    }
                    chases += 1;
                    if chases > CHASES {
                        return None;
                    }
                    continue;
                }
                Look::Nonsense => {
                    let why = format!("its publisher {} wrote what makes no sense", track.index);
                    self.ban(at);
                    let error = refused("receive from", &self.site.object, ErrorKind::Malformed, why)
                        .with_advice("it is not listened to any more");
                    return Some(Next::Error(error));
                }
                Look::Empty | Look::Pending => {}
            }
            if self.has_read_copy(at) {
                continue;
            }
            // All that is known of was received: publishers that look for room find it.
            let track = &self.tracks[at];
            let position = track.consumer.position();
            if track.said != position {
                self.say(at, position);
            }
            let track = &mut self.tracks[at];
            if track.standing == Standing::Here && track.consumer.is_closed() {
                // What was published before it said so is seen now, if it was not; and if it is this one that has said so.
                track.go(Left::Closed);
                chases += 1;
                if chases > CHASES {
                    return None;
                }
                continue;
            }
            let Standing::Going(how) = track.standing else { return None };
            if track.notice_successor() {
                chases += 1;
                if chases > CHASES {
                    return None;
                }
                continue;
            }
            if track.consumer.skip_pending(track.epoch) {
                continue;
            }
            // Of memory that is not there any more, nothing that it seems to say is true.
            if let Err(why) = track.consumer.check() {
                track.standing = Standing::Banned;
                return Some(Next::Error(fault("receive from", &self.site.object, why)));
            }
            track.standing = Standing::Gone;
            return Some(Next::Left { publisher: track.index, how });
        }
    }

    /// Says how far it is.
    #[cold]
    #[inline(never)]
    fn say(&mut self, at: usize, position: u64) {
        if !self.maker.is_this() {
            return;
        }
        let track = &mut self.tracks[at];
        track.said = position;
        self.counters[page::RECEIVED].store(self.received, Ordering::Relaxed);
        self.counters[page::BYTES].store(self.bytes, Ordering::Relaxed);
        cursor::say(&self.cursors, track.index, position, self.invites);
        self.light.fence(|| self.site.hints.asks_for_fences());
        if self.site.hints.room.is_awaited() {
            self.ring_room();
        }
    }

    #[cold]
    fn ring_room(&self) {
        self.site.hints.set_rung();
        if self.site.hints.room.ring().doorbells {
            // A publisher that was not seen yet looks by itself before long.
            for track in &self.tracks {
                doorbell::ring(&bell_of(track.peer.path()));
            }
        }
    }

    /// The ring in which the message at hand stands: there is one while there is a [`Sample`].
    #[inline(always)]
    pub(super) fn consumer(&self) -> Option<&Consumer> {
        self.tracks.get(self.turn).map(|track| &track.consumer)
    }

    /// The message at hand.
    #[inline(always)]
    pub(super) fn hand(&self) -> Frame {
        self.consumer().map_or(Frame::NONE, Consumer::hand)
    }

    /// Whose the message at hand is.
    pub(super) fn publisher_at_hand(&self) -> usize {
        self.tracks[self.turn].index
    }

    /// Goes on behind the message at hand.
    #[inline(always)]
    pub(super) fn finish(&mut self, fate: Fate) {
        if fate != Fate::Intact && !self.settle(fate) {
            return;
        }
        // Not by index: what might panic costs each message more than what cannot.
        let Some(track) = self.tracks.get_mut(self.turn) else { return };
        let frame = track.consumer.hand();
        track.consumer.advance(frame);
        self.received += 1;
        self.bytes += frame.len as u64;
        if distance(track.said, frame.next()) >= self.stride.cast_signed()
            || self.site.hints.room.is_awaited()
        {
            self.finish_stride(frame.next());
        }
    }

    #[cold]
    #[inline(never)]
    fn finish_stride(&mut self, next: u64) {
        self.revoke();
        self.say(self.turn, next);
    }

    /// Whether the publisher of the message at hand, which is not whole yet, has died.
    pub(super) fn has_died(&mut self) -> bool {
        !self.tracks[self.turn].peer.is_alive()
    }

    /// Whether a message that was not read to its end has been received all the same.
    #[inline(never)]
    fn settle(&mut self, fate: Fate) -> bool {
        let track = &mut self.tracks[self.turn];
        if fate == Fate::Kept {
            return false;
        }
        let frame = track.consumer.hand();
        if !track.consumer.is_intact(frame.position) {
            // Neither its bytes nor its length can be believed. What became of it, the next look tells.
            let _ = self.overrun(self.turn);
            return false;
        }
        if fate == Fate::Broken {
            track.consumer.advance(frame);
            return false;
        }
        true
    }
}

/// Takes a place in a topic.
fn take_page(site: &Site, slow: Slow) -> Result<(Own, usize)> {
    let making = site.making(What::Subscriber, 8 * page::WORDS);
    for index in 0..MOST_SUBSCRIBERS {
        let path = site.path('s', index);
        for _ in 0..4 {
            let made = Own::create(&path, making, |words| {
                words[header::POLICY].store(slow.word(), Ordering::Relaxed);
            })?;
            if let Some(own) = made {
                return Ok((own, index));
            }
            // Somebody's who has died: it goes.
            if !sweep(&path) {
                break;
            }
            spill::remove_all(site, index);
        }
        if !site.has_name() {
            return Err(site.removed("receive from"));
        }
    }
    let why = "all its places for subscribers are taken";
    Err(refused("receive from", &site.object, ErrorKind::LimitReached, why).with_limit(Limit {
        name: "subscribers of a topic",
        current: Some(MOST_SUBSCRIBERS as u64),
        needed: None,
    }))
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        // What was received by those calls of `each` of which one panicked.
        for at in 0..self.tracks.len() {
            let track = &self.tracks[at];
            let position = track.consumer.position();
            if matches!(track.standing, Standing::Here | Standing::Going(_)) && track.said != position {
                self.say(at, position);
            }
        }
        // Release: pairs with the Acquire in `stat`, which sees what it has received; publishers need no more than the word.
        self.counters[page::LEAVING].store(1, Ordering::Release);
        if let Some(bell) = &self.doorbell {
            bell.remove();
        }
        self.own.remove();
        if self.options.slow == Slow::DropNewest {
            spill::remove_all(&self.site, self.index);
        }
        self.site.hints.change_roster();
        self.ring_room();
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("site", &self.site.object)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
