//! The side that receives.

use core::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;
use twixt_address::BusName;
use twixt_os::{Deadline, Error, ErrorKind, Limit, Maker, Result, Wait};

use crate::barrier::{self, Light};
use crate::error::{fault, is_want, kernel, malformed, refused};
use crate::place::Kind;
use crate::ring::consumer::{Arrived, Consumer, Frame, Look};
use crate::ring::{CONTROL, distance};
use crate::segment::{Own, Peer, What, bell_of, header, pinned, sweep};
use crate::site::{Capacity, Options, Site, ring_doorbell};
use crate::sync::{Ordering, relax};
use crate::wait::{FIRST, Patience, Place, Stopped, Waiting};
use crate::words::Words;

use super::sample::Fate;
use super::spill::{self, Spilled};
use super::{MOST_PUBLISHERS, MOST_SUBSCRIBERS, Sample, Slow, page, segment};

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
    bytes: u64,
    missed: u64,
    /// How many messages more are taken from one publisher before the others have their turn.
    burst: u32,
    /// Files that were there and made no sense, which was told: index and inode.
    ignored: Vec<(usize, u64)>,
    /// Whether it was too slow and did not want to be waited for.
    is_disconnected: bool,
    doorbell: Option<OwnedFd>,
    /// With a capacity of zero, whether it tells publishers that it waits.
    invites: bool,
}

/// A publisher as a subscriber sees it.
struct Track {
    index: usize,
    peer: Peer,
    consumer: Consumer,
    epoch: u64,
    /// The cursor as it was said last.
    said: u64,
    standing: Standing,
    /// Whether messages were missed that are not counted yet.
    is_behind: bool,
    /// The ring itself, while a copy of what was not received is read.
    aside: Option<(Consumer, Spilled)>,
    /// How an earlier incarnation of it has left, which is told when everything of it was received.
    left: Option<Left>,
}

impl Track {
    /// Whether there is nothing to be told but messages.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.standing == Standing::Here && !self.is_behind && self.left.is_none()
    }

    /// Follows what has become of the publisher's place: whether another has it now.
    fn notice_successor(&mut self) -> bool {
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

/// The most messages that are taken from one publisher while others may have some.
const BURST: u32 = 64;
/// How often one tries to catch up with a publisher at a time.
const CHASES: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It publishes, as far as is known.
    Here,
    /// It is known to have gone; what it published is received first.
    Going(Left),
    /// It has gone, and that was told.
    Gone,
    /// It wrote what makes no sense, and is not listened to any more.
    Banned,
}

/// What was found.
pub(super) struct Found {
    pub(super) track: usize,
    pub(super) frame: Frame,
}

/// What there is.
enum Next {
    Found(Found),
    Missed { publisher: usize, messages: u64 },
    Left { publisher: usize, how: Left },
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
            burst: BURST,
            ignored: Vec::new(),
            is_disconnected: false,
            doorbell: None,
            invites: false,
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
    #[inline]
    pub fn receive_wait(&mut self, wait: Wait) -> Result<Sample<'_>> {
        // The usual case, without a detour.
        if let Some(found) = self.look_at_turn() {
            return Ok(Sample::new(self, found, wait));
        }
        let mut others = 0;
        loop {
            match self.next_wait(wait)? {
                Next::Found(found) => return Ok(Sample::new(self, found, wait)),
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
        if let Some(found) = self.look_at_turn() {
            return Ok(Event::Message(Sample::new(self, found, wait)));
        }
        Ok(match self.next_wait(wait)? {
            Next::Found(found) => Event::Message(Sample::new(self, found, wait)),
            Next::Missed { publisher, messages } => Event::Missed { publisher, messages },
            Next::Left { publisher, how } => Event::Left { publisher, how },
            Next::Error(error) => return Err(error),
        })
    }

    /// Whether there is a publisher, or was one, after a look at who has come.
    pub(crate) fn knows_publishers(&mut self) -> Result<bool> {
        if self.roster != self.site.hints.roster() {
            self.roster = self.site.hints.roster();
            self.look_around(false)?;
        }
        Ok(!self.tracks.is_empty())
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
    pub fn waiting_bytes(&self) -> u64 {
        self.tracks.iter().map(|track| 64 * track.consumer.lag()).sum()
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

    /// A descriptor that is readable when something may have happened, for `poll(2)` and its like: after it was, receive
    /// without waiting until there is nothing, and [`arm`](Self::arm) before polling again.
    ///
    /// It costs publishers a few system calls for the first message after each time it was armed, and nothing otherwise. A
    /// publisher that dies rings no more: whoever is to learn of that polls with a time-out, and receives without waiting when
    /// that is over.
    ///
    /// # Errors
    /// Those of making a FIFO beside the subscriber's segment.
    pub fn doorbell(&mut self) -> Result<BorrowedFd<'_>> {
        if self.doorbell.is_none() {
            let path = self.bell_path();
            let failed = |errno| kernel("make the doorbell", &path, errno);
            match rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            // For both directions, so that it never is at an end.
            let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let bell = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).map_err(failed)?;
            // Whoever may publish may ring it, whatever the umask is.
            let mode = 0o600 | self.site.charter.mode.bits() & 0o022;
            rustix::fs::fchmod(&bell, rustix::fs::Mode::from_raw_mode(mode)).map_err(failed)?;
            self.doorbell = Some(bell);
        }
        self.arm()?;
        match &self.doorbell {
            Some(bell) => Ok(bell.as_fd()),
            None => Err(kernel("make the doorbell", &self.bell_path(), rustix::io::Errno::IO)),
        }
    }

    /// Has the [`doorbell`](Self::doorbell) ring for what comes next. Whether something is there already: then it is readable
    /// at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&mut self) -> Result<bool> {
        let Some(bell) = &self.doorbell else { return self.doorbell().map(|_| false) };
        let mut drained = [0; 64];
        while rustix::io::read(bell, &mut drained).is_ok_and(|len| len > 0) {}
        self.invite();
        self.site.hints.filled.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        let is_ready = self.peek();
        if is_ready && let Some(bell) = &self.doorbell {
            let _ = rustix::io::write(bell, &[1]);
        }
        Ok(is_ready)
    }

    /// With a capacity of zero, tells publishers that it waits for a message. Until it has one, or waits no more.
    fn invite(&mut self) {
        if self.site.charter.capacity == Capacity::Zero {
            self.invites = true;
            for at in 0..self.tracks.len() {
                self.say(at, self.tracks[at].consumer.position());
            }
        }
    }

    /// Tells them that it does not any more.
    fn revoke(&mut self) {
        if !core::mem::take(&mut self.invites) {
            return;
        }
        for track in &self.tracks {
            if let Some(word) = self.cursors.get(page::STEP * track.index + page::INVITATION) {
                // Whoever has seen the invitation meanwhile has sent: the next receive takes that.
                word.store(0, Ordering::Release);
            }
        }
    }

    /// Whether there is something to receive, or to be told, without taking it.
    fn peek(&mut self) -> bool {
        if self.roster != self.site.hints.roster() || self.is_disconnected {
            return true;
        }
        self.tracks.iter_mut().any(|track| match track.standing {
            Standing::Here => {
                track.left.is_some()
                    || !matches!(track.consumer.look(), Look::Empty | Look::Pending)
                    || track.consumer.is_closed()
            }
            Standing::Going(_) => true,
            Standing::Gone | Standing::Banned => false,
        })
    }

    /// What errors are about.
    pub(crate) fn object(&self) -> &twixt_os::Object {
        &self.site.object
    }

    fn bell_path(&self) -> std::path::PathBuf {
        bell_of(self.own.path())
    }

    /// A message at the track that had one last.
    #[inline(always)]
    fn look_at_turn(&mut self) -> Option<Found> {
        let turn = self.turn;
        let track = self.tracks.get_mut(turn)?;
        match track.consumer.look_in_passing() {
            Look::Message(frame) if track.is_plain() && self.burst > 0 && self.maker.is_this() => {
                self.burst -= 1;
                Some(Found { track: turn, frame })
            }
            _ => None,
        }
    }

    #[inline(never)]
    fn next_wait(&mut self, wait: Wait) -> Result<Next> {
        if !self.maker.is_this() {
            let why = "it was opened by the process that this one was forked from";
            return Err(refused("receive from", &self.site.object, ErrorKind::InvalidInput, why)
                .with_advice("open it anew after the fork"));
        }
        if self.is_disconnected {
            return Err(self.too_slow());
        }
        self.burst = BURST;
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

    /// For as long as it does not matter.
    fn try_for_a_moment(&mut self) -> Option<Next> {
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
    fn wait(&mut self, wait: Wait) -> Result<Next> {
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
        next.map_err(|ended: Ended| match ended {
            Ended::Error(error) => error,
            Ended::Stopped(stopped) => stopped.error("receive from", &self.site.object),
        })
    }

    /// What there is. The publisher of a stream gets ahead before it is looked: but what is there is found.
    fn look_in_passing(&mut self) -> Option<Next> {
        if let Some(track) = self.tracks.get_mut(self.turn) {
            while track.consumer.is_lagging() && track.consumer.look_in_passing() == Look::Empty {
                relax();
            }
        }
        self.look()
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
            match track.consumer.look() {
                Look::Message(frame) => {
                    // A large one of a dead publisher may never be whole.
                    if matches!(track.standing, Standing::Going(_))
                        && track.consumer.arrived(frame) != Arrived::Whole
                        && track.consumer.skip_pending(track.epoch)
                    {
                        continue;
                    }
                    if !track.is_behind {
                        return Some(Next::Found(Found { track: at, frame }));
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
                    self.missed += messages;
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
                // What was published before it said so is seen now, if it was not.
                track.standing = Standing::Going(Left::Closed);
                continue;
            }
            let Standing::Going(how) = track.standing else { return None };
            if track.notice_successor() || track.consumer.skip_pending(track.epoch) {
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

    /// Does not listen to a publisher any more, and keeps whoever has its place after it from waiting in vain.
    fn ban(&mut self, at: usize) {
        let track = &mut self.tracks[at];
        track.standing = Standing::Banned;
        track.said = u64::MAX;
        if let Some(cursor) = self.cursors.get(page::STEP * track.index) {
            cursor.store(page::IGNORED, Ordering::Release);
        }
        self.ring_room();
    }

    /// It was too slow. An error if that is the end.
    fn overrun(&mut self, at: usize) -> Option<Next> {
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
    fn has_read_copy(&mut self, at: usize) -> bool {
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
    fn look_around(&mut self, is_first: bool) -> Result<()> {
        let present = self.site.list('p', MOST_PUBLISHERS)?;
        let mut failed = Ok(());
        for index in present {
            let known = self.tracks.iter().position(|track| track.index == index && track.peer.has_name());
            if let Some(at) = known {
                self.tracks[at].notice_successor();
                continue;
            }
            let inode = rustix::fs::lstat(self.site.path('p', index)).map_or(0, |stat| stat.st_ino);
            if self.ignored.contains(&(index, inode)) {
                continue;
            }
            // One that makes no sense is told once, and keeps nobody from the others.
            if let Err(error) = self.follow(index, is_first) {
                if is_want(&error) {
                    return Err(error);
                }
                self.ignored.retain(|(other, _)| *other != index);
                self.ignored.push((index, inode));
                failed = Err(error);
            }
        }
        failed
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
    fn look_for_the_dead(&mut self) -> Result<(), Ended> {
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
                track.standing = Standing::Going(how);
            }
        }
        Ok(())
    }

    /// Says how far it is.
    #[inline]
    fn say(&mut self, at: usize, position: u64) {
        if !self.maker.is_this() {
            return;
        }
        let track = &mut self.tracks[at];
        track.said = position;
        self.counters[page::RECEIVED].store(self.received, Ordering::Relaxed);
        self.counters[page::BYTES].store(self.bytes, Ordering::Relaxed);
        let Some(cursor) = self.cursors.get(page::STEP * track.index) else { return };
        // Release: pairs with the Acquire in `Followers::least`; all reads of what is before it are over.
        cursor.store(page::cursor(position), Ordering::Release);
        if self.invites
            && let Some(invitation) = self.cursors.get(page::STEP * track.index + page::INVITATION)
        {
            // Release: pairs with the Acquire in `Followers::invite`.
            invitation.store(page::cursor(position), Ordering::Release);
        }
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
                ring_doorbell(&bell_of(track.peer.path()));
            }
        }
    }

    /// Whether a publisher can only run if this one does not.
    fn see_who_shares_cpu(&mut self) {
        let own = pinned();
        self.shares_cpu =
            own != 0 && self.tracks.iter().any(|track| track.peer.header(header::PINNED) == own);
    }

    pub(super) fn consumer(&self, track: usize) -> &Consumer {
        &self.tracks[track].consumer
    }

    pub(super) fn publisher_of(&self, track: usize) -> usize {
        self.tracks[track].index
    }

    /// Goes on behind a message.
    #[inline(always)]
    pub(super) fn finish(&mut self, found: &Found, fate: Fate) {
        if fate != Fate::Intact && !self.settle(found, fate) {
            return;
        }
        let track = &mut self.tracks[found.track];
        track.consumer.advance(found.frame);
        self.received += 1;
        self.bytes += found.frame.len as u64;
        let position = track.consumer.position();
        if distance(track.said, position) >= self.stride.cast_signed() || self.site.hints.room.is_awaited() {
            self.revoke();
            self.say(found.track, position);
        }
    }

    /// Whether the publisher of a message that is not whole yet has died.
    pub(super) fn has_died(&mut self, track: usize) -> bool {
        !self.tracks[track].peer.is_alive()
    }

    /// Whether a message that was not read to its end has been received all the same.
    #[inline(never)]
    fn settle(&mut self, found: &Found, fate: Fate) -> bool {
        let track = &mut self.tracks[found.track];
        if fate == Fate::Kept {
            return false;
        }
        if !track.consumer.is_intact(found.frame.position) {
            // Neither its bytes nor its length can be believed. What became of it, the next look tells.
            let _ = self.overrun(found.track);
            return false;
        }
        if fate == Fate::Broken {
            track.consumer.advance(found.frame);
            return false;
        }
        true
    }
}

enum Ended {
    Stopped(Stopped),
    Error(Error),
}

impl From<Stopped> for Ended {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
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
        self.counters[page::LEAVING].store(1, Ordering::Release);
        if self.doorbell.is_some() {
            let _ = std::fs::remove_file(self.bell_path());
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
