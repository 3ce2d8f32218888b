//! The side that reads.

use core::cell::RefCell;
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use twixt_address::BusName;
use twixt_os::{Deadline, Error, ErrorKind, Limit, Maker, Object, Result, Room, Wait};

use crate::barrier;
use crate::doorbell::Doorbell;
use crate::error::{check_maker, fault, malformed, refused};
use crate::place::Kind;
use crate::segment::{HEADER, Own, Peer, What, bell_of, draw, header, pinned_lately, sweep};
use crate::site::{Options, Site};
use crate::sync::Ordering;
use crate::topic::Left;
use crate::wait::{Ended, Patience, Place, Waiting};
use crate::words::{View, WORD, Words};

use super::state::{Cost, Failed, Glance, Request, Shape, control};
use super::{BUFFERS, MOST_READERS, page, segment};

/// Which value it is: each has a higher one than those before, whoever wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn some(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Its number: how many values had been written with it.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Who writes a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Nobody has so far.
    Nobody,
    /// A process that lives.
    Here,
    /// Nobody any more, and this is how the last writer has left.
    Gone(Left),
}

/// Reads a state of which only the newest value counts.
///
/// Reading takes a bounded number of steps, whatever the writer does: even one that is stopped or killed in the middle of
/// writing is not waited for. [`LatestWriter`](super::LatestWriter) has an example.
pub struct LatestReader {
    site: Site,
    own: Own,
    index: usize,
    request: Words,
    counters: Words,
    source: Option<Source>,
    roster: u32,
    /// The writer of whose end was told.
    told: Option<u64>,
    patience: Patience,
    doorbell: Option<Doorbell>,
    maker: Maker,
    reads: u64,
    cost: Cost,
    /// How many reads had to ask.
    asked: u64,
}

/// The writer's segment.
struct Source {
    peer: Peer,
    glance: Glance,
}

impl LatestReader {
    /// Opens a state for reading.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there and not to be made;
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another message
    /// size or type; [`LimitReached`](ErrorKind::LimitReached) with [`MOST_READERS`] of them.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_waiting(name, options, Waiting::Adaptive)
    }

    /// As [`open`](Self::open), with another way to wait for newer values.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let site = open_site(name, options)?;
        let (own, index) = take_page(&site)?;
        let request = own.words(page::REQUEST, 1)?;
        // Drawn, so that what was granted to another that had this place is not taken for an answer.
        request[0].store(draw()? & !1, Ordering::Relaxed);
        site.hints.change_roster();
        let mut reader = Self {
            request,
            counters: own.words(page::COUNTERS, page::COUNTED)?,
            own,
            index,
            source: None,
            roster: site.hints.roster(),
            told: None,
            patience: Patience::new(waiting),
            doorbell: None,
            maker: Maker::this(),
            reads: 0,
            cost: Cost::default(),
            asked: 0,
            site,
        };
        reader.look_around()?;
        Ok(reader)
    }

    /// Reads the newest value into a vector, which becomes as long as that, and says which version it is. `None` if there is
    /// none yet.
    ///
    /// # Errors
    /// [`Removed`](ErrorKind::Removed) if somebody has removed the state; [`Malformed`](ErrorKind::Malformed) if its writer
    /// wrote what makes no sense; [`Overrun`](ErrorKind::Overrun) if so many readers are held up in the middle of reading that
    /// the writer could keep nothing for this one.
    #[inline]
    pub fn read(&mut self, into: &mut Vec<u8>) -> Result<Option<Version>> {
        self.read_with(|view, len| {
            if into.len() < len {
                into.resize(len, 0);
            }
            into.truncate(len);
            view.copy_to(0, into);
        })
    }

    /// As [`read`](Self::read), into the beginning of a room, which is lengthened if it is too short. Says how long the value is
    /// as well.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    #[inline]
    pub fn read_into(&mut self, room: &mut Room) -> Result<Option<(Version, usize)>> {
        let mut length = 0;
        let version = self.read_with(|view, len| {
            room.grow(len);
            view.copy_to(0, &mut room[..len]);
            length = len;
        })?;
        Ok(version.map(|version| (version, length)))
    }

    /// Reads the newest value: `take` gets its words and its length, maybe several times, and what it made of the last counts.
    #[inline]
    pub(crate) fn read_with(&mut self, take: impl FnMut(View<'_>, usize)) -> Result<Option<Version>> {
        if self.roster != self.site.hints.roster() || !self.maker.is_this() {
            self.look_around()?;
        }
        let Some(source) = &self.source else { return Ok(None) };
        let ask_for_fences = || self.site.hints.ask_for_fences();
        let request = Request {
            word: &self.request[0],
            asked: &self.site.hints.asked,
            ask_for_fences: &ask_for_fences,
        };
        let mut cost = Cost::default();
        let outcome = source.glance.read(&request, &mut cost, take);
        source.glance.check().map_err(|why| fault("read", &self.site.object, why))?;
        self.reads += 1;
        self.counters[page::READS].store(self.reads, Ordering::Relaxed);
        if cost != Cost::default() {
            self.note(cost);
        }
        outcome.map(|version| version.map(Version)).map_err(|failed| self.explain(failed))
    }

    /// The newest version, without the value.
    ///
    /// # Errors
    /// [`Removed`](ErrorKind::Removed).
    pub fn version(&mut self) -> Result<Option<Version>> {
        if self.roster != self.site.hints.roster() || !self.maker.is_this() {
            self.look_around()?;
        }
        Ok(Version::some(self.number()))
    }

    /// Waits until there is another value than that of a version, or than none, and says which.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) once for each writer that has left or died without having written another: the value
    /// can still be read, and waiting again waits for the next writer; [`Removed`](ErrorKind::Removed) if somebody has removed
    /// the state; what `wait` ends with.
    pub fn wait_for_newer(&mut self, than: Option<Version>, wait: Wait) -> Result<Version> {
        if !self.maker.is_this() {
            self.look_around()?;
        }
        let than = than.map_or(0, Version::number);
        if let Some(found) = self.look(than) {
            return found;
        }
        if wait.is_never() {
            if let Some(error) = self.look_who_died()? {
                return Err(error);
            }
            let why = "there is no newer value";
            return Err(refused("read", &self.site.object, ErrorKind::WouldBlock, why));
        }
        let hints = self.site.hints.clone();
        let place = Place { bell: &hints.filled, hints: &hints, shares_cpu: self.shares_cpu() };
        let mut patience = self.patience.clone();
        let this = RefCell::new(&mut *self);
        let found = patience.wait(
            &place,
            wait,
            || this.borrow_mut().look(than),
            || {
                let mut this = this.borrow_mut();
                if let Some(error) = this.look_who_died().map_err(Ended::Error)? {
                    return Ok(Some(Err(error)));
                }
                Ok(this.look(than))
            },
        );
        self.patience = patience;
        self.counters[page::PARKS].store(self.patience.parks, Ordering::Relaxed);
        found.unwrap_or_else(|ended: Ended| Err(ended.into_error("read", &self.site.object)))
    }

    /// As [`wait_for_newer`](Self::wait_for_newer), until `deadline`.
    ///
    /// # Errors
    /// As [`wait_for_newer`](Self::wait_for_newer), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn wait_for_newer_deadline(&mut self, than: Option<Version>, deadline: Deadline) -> Result<Version> {
        self.wait_for_newer(than, Wait::until(deadline))
    }

    /// Who writes it.
    ///
    /// # Errors
    /// [`Removed`](ErrorKind::Removed).
    pub fn writer(&mut self) -> Result<Presence> {
        self.look_around()?;
        Ok(match &self.source {
            None => Presence::Nobody,
            Some(source) if source.glance.is_closed() => Presence::Gone(Left::Closed),
            Some(source) if source.peer.is_alive() => Presence::Here,
            Some(_) => Presence::Gone(Left::Died),
        })
    }

    /// The most bytes of a value.
    pub fn longest(&self) -> usize {
        self.site.charter.message_size
    }

    /// How often it has read, how often what it copied was overwritten meanwhile, and how many of the reads had to ask the
    /// writer to keep a value.
    pub fn reads(&self) -> (u64, u64, u64) {
        (self.reads, self.cost.retries, self.asked)
    }

    /// How often it slept.
    pub fn parks(&self) -> u64 {
        self.patience.parks
    }

    /// A descriptor that is readable when there may be another value than that of a version, for `poll(2)` and its like: after
    /// it was, read, and [`arm`](Self::arm) before polling again. A writer that dies rings no doorbell.
    ///
    /// # Errors
    /// Those of making a FIFO beside the reader's page; [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked since it
    /// was opened.
    pub fn doorbell(&mut self, than: Option<Version>) -> Result<BorrowedFd<'_>> {
        self.arm(than)?;
        match &self.doorbell {
            Some(bell) => Ok(bell.as_fd()),
            None => Err(self.site.removed("make the doorbell of")),
        }
    }

    /// Has the [`doorbell`](Self::doorbell) ring for the next value. Whether there is another than that of a version already:
    /// then it is readable at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&mut self, than: Option<Version>) -> Result<bool> {
        check_maker(self.maker, "read", &self.site.object)?;
        let bell = match self.doorbell.take() {
            Some(bell) => bell,
            None => self.site.doorbell(bell_of(&self.site.path('r', self.index)))?,
        };
        bell.drain();
        self.site.hints.filled.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        let is_ready =
            self.roster != self.site.hints.roster() || self.number() != than.map_or(0, Version::number);
        if is_ready {
            bell.ring();
        }
        self.doorbell = Some(bell);
        Ok(is_ready)
    }

    /// What errors are about.
    pub(crate) fn object(&self) -> &Object {
        &self.site.object
    }

    fn number(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.glance.version())
    }

    /// Another value, or the end of a writer, if there is either.
    fn look(&mut self, than: u64) -> Option<Result<Version>> {
        let mut number = self.number();
        if number == than || number == 0 {
            if self.roster != self.site.hints.roster()
                && let Err(error) = self.look_around()
            {
                return Some(Err(error));
            }
            let source = self.source.as_ref()?;
            // First the epoch: a successor is not to be told of as if it had left, and its predecessor has been.
            let epoch = source.glance.epoch();
            let is_closed = source.glance.is_closed() && self.told != Some(epoch);
            // What was written before it said so is seen now, if it was not.
            number = source.glance.version();
            if (number == than || number == 0) && is_closed {
                self.told = Some(epoch);
                return Some(Err(self.gone("its writer has left")));
            }
        }
        (number != than && number != 0).then_some(Ok(Version(number)))
    }

    /// The end of a writer that has died, once.
    fn look_who_died(&mut self) -> Result<Option<Error>> {
        if !self.site.has_name() {
            return Err(self.site.removed("read"));
        }
        self.look_around()?;
        let Some(source) = &self.source else { return Ok(None) };
        let epoch = source.glance.epoch();
        if source.glance.is_closed() || self.told == Some(epoch) || source.peer.is_alive() {
            return Ok(None);
        }
        self.told = Some(epoch);
        Ok(Some(self.gone("its writer has died")))
    }

    fn gone(&self, why: &'static str) -> Error {
        refused("read", &self.site.object, ErrorKind::PeerGone, why)
    }

    /// What is done rarely: to see whether it is still there, and who writes it.
    #[cold]
    fn look_around(&mut self) -> Result<()> {
        check_maker(self.maker, "read", &self.site.object)?;
        let roster = self.site.hints.roster();
        if !self.site.has_name() {
            return Err(self.site.removed("read"));
        }
        if self.source.as_ref().is_none_or(|source| !source.peer.has_name()) {
            self.source = self.find()?;
        }
        self.roster = roster;
        Ok(())
    }

    fn find(&self) -> Result<Option<Source>> {
        let path = self.site.path('w', 0);
        let Some(peer) = Peer::open(&path, What::State, Some(self.site.number))? else { return Ok(None) };
        let shape = shape_of(&self.site);
        let wrong = || malformed("read", &self.site.object, "its writer's file is too short for its buffers");
        if peer.mapping().len() != WORD * (segment::BUFFERS + shape.words()) {
            return Err(wrong());
        }
        let glance = Glance::new(
            shape,
            peer.foreign(segment::CONTROL, control::WORDS)?,
            peer.foreign(segment::GRANTS + self.index, 1)?,
            peer.foreign(segment::BUFFERS, shape.words())?,
        )
        .ok_or_else(wrong)?;
        Ok(Some(Source { peer, glance }))
    }

    #[cold]
    fn note(&mut self, cost: Cost) {
        self.cost.retries += cost.retries;
        self.asked += u64::from(cost.requests > 0);
        self.counters[page::RETRIES].store(self.cost.retries, Ordering::Relaxed);
        self.counters[page::GRANTS].store(self.asked, Ordering::Relaxed);
    }

    #[cold]
    fn explain(&self, failed: Failed) -> Error {
        match failed {
            Failed::Nonsense => malformed("read", &self.site.object, "its writer wrote what makes no sense"),
            Failed::Overwritten => {
                let why = "each time it was overwritten while it was read";
                refused("read", &self.site.object, ErrorKind::Overrun, why)
            }
        }
    }

    fn shares_cpu(&self) -> bool {
        let own = pinned_lately();
        own != 0 && self.source.as_ref().is_some_and(|source| source.peer.header(header::PINNED) == own)
    }
}

/// Opens the site of a state.
pub(super) fn open_site(name: &BusName, options: &Options) -> Result<Site> {
    if options.capacity.is_some() {
        let object = Object::name(format!("latest:{name}"));
        let why = "nothing waits in it, so that it has no capacity";
        return Err(refused("open", &object, ErrorKind::InvalidInput, why)
            .with_advice("say how long a value may be with the message size"));
    }
    Site::open(Kind::Latest, name, options)
}

pub(super) fn shape_of(site: &Site) -> Shape {
    Shape { count: BUFFERS, size: site.charter.message_size }
}

/// Takes a place among the readers.
fn take_page(site: &Site) -> Result<(Own, usize)> {
    let making = site.making(What::Reader, HEADER * WORD);
    for index in 0..MOST_READERS {
        let path = site.path('r', index);
        for _ in 0..4 {
            if let Some(own) = Own::create(&path, making, |_| {})? {
                return Ok((own, index));
            }
            // Somebody's who has died: it goes.
            if !sweep(&path) {
                break;
            }
        }
        if !site.has_name() {
            return Err(site.removed("read"));
        }
    }
    let why = "all its places for readers are taken";
    Err(refused("read", &site.object, ErrorKind::LimitReached, why).with_limit(Limit {
        name: "readers of a state",
        current: Some(MOST_READERS as u64),
        needed: None,
    }))
}

impl Drop for LatestReader {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        if let Some(bell) = &self.doorbell {
            bell.remove();
        }
        self.own.remove();
        self.site.hints.change_roster();
    }
}

impl fmt::Debug for LatestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestReader")
            .field("site", &self.site.object)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
