//! The side that receives.

use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use twixt_address::BusName;
use twixt_os::{Deadline, Error, ErrorKind, Maker, Object, Result, Wait};

use crate::barrier::{self, Light};
use crate::bell::LONGEST;
use crate::doorbell::Doorbell;
use crate::error::{check_maker, fault, malformed, refused};
use crate::hints::{now, roughly_now};
use crate::place::Kind;
use crate::ring::CONTROL;
use crate::ring::consumer::Consumer as Follower;
use crate::segment::{Own, Peer, What, bell_of, header, pinned_lately};
use crate::site::{Capacity, Options, Site};
use crate::sync::Ordering;
use crate::wait::{Ended, Patience, Place, Waiting};
use crate::words::{Foreign, Words};

use super::aside::Aside;
use super::basket::Basket;
use super::claim::{Claim, Visibility};
use super::crowd::Crowd;
use super::picker::{Held, Picker};
use super::seat::{self, ring_filled, ring_room};
use super::stat::census;
use super::{Job, MOST_PRODUCERS, page, segment};

/// How a consumer takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ConsumerOptions {
    waiting: Waiting,
    prefetch: usize,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self { waiting: Waiting::Adaptive, prefetch: 1 }
    }
}

impl ConsumerOptions {
    /// It takes one message at a time, and waits adaptively.
    pub fn new() -> Self {
        Self::default()
    }

    /// How it waits for messages.
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// How many messages it takes at a time, if there are so many: it works on one after the other, and nobody else gets them
    /// meanwhile. That is fast where messages are small and many. If it dies, all of them have been handed out once more.
    /// From 1 to 1024.
    pub fn prefetch(mut self, messages: usize) -> Self {
        self.prefetch = messages.clamp(1, 1024);
        self
    }
}

/// Receives from a queue: a message of any producer at a time.
///
/// It belongs to one thread at a time, and may have several messages in hand. Dropping it gives back those that it has taken
/// and not handed out. The [module](crate::queue) has an example.
pub struct Consumer {
    site: Arc<Site>,
    own: Own,
    counters: Words,
    index: usize,
    /// One for each producer's file, in the order in which they were found.
    sources: Box<[OnceCell<Source>]>,
    known: Cell<usize>,
    /// The one that is looked at first, and how often it has been.
    turn: Cell<usize>,
    streak: Cell<usize>,
    /// What was taken and not handed out yet.
    basket: RefCell<Basket>,
    aside: Aside,
    roster: Cell<u32>,
    crowd: Crowd,
    prefetch: usize,
    patience: RefCell<Patience>,
    visibility: Option<Visibility>,
    light: Light,
    maker: Maker,
    received: Cell<u64>,
    acknowledged: Cell<u64>,
    /// When it looked last who has died, in milliseconds.
    tended: Cell<u64>,
    doorbell: OnceCell<Doorbell>,
}

/// A producer, as a consumer sees it.
pub(super) struct Source {
    pub(super) index: usize,
    pub(super) picker: Picker,
    peer: Peer,
    /// What its producer waits for.
    gate: Foreign,
    is_banned: Cell<bool>,
}

impl Source {
    /// Whether its producer waits for a message that is over.
    fn is_awaited(&self) -> bool {
        let gate = segment::gate_at(self.gate.load(0));
        gate.is_some_and(|position| self.picker.ledger.is_over(position))
    }
}

/// A message of a source.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) source: usize,
    pub(super) held: Held,
}

const RECEIVE: &str = "receive from";
const ACKNOWLEDGE: &str = "acknowledge a message of";

/// How long nobody looks who has died after somebody has, in milliseconds: a little less than anybody sleeps.
const EACH: u64 = LONGEST.as_millis() as u64 - 5;
/// After how many messages a busy consumer looks at the clock.
const BUSY: u64 = 256;
/// How many claims are looked at at a time by one who is busy, and by one who has nothing to do.
const FEW: u64 = 1 << 15;
const MANY: u64 = 1 << 20;
/// How many messages of a source are taken before the next one has its turn.
const STREAK: usize = 256;

impl Consumer {
    /// Opens a queue for receiving.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there and not to be made;
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another capacity
    /// or type; [`LimitReached`](ErrorKind::LimitReached) with [`MOST_CONSUMERS`](super::MOST_CONSUMERS) of them.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_with(name, options, ConsumerOptions::new())
    }

    /// As [`open`](Self::open), taking part as the options say.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(name: &BusName, options: &Options, how: ConsumerOptions) -> Result<Self> {
        let site = Arc::new(Site::open(Kind::Queue, name, options)?);
        let (own, index) = seat::consumer(&site)?;
        let counters = own.words(page::COUNTERS, page::COUNTED)?;
        let visibility = site.charter.visibility;
        let consumer = Self {
            own,
            index,
            sources: (0..2 * MOST_PRODUCERS).map(|_| OnceCell::new()).collect(),
            known: Cell::new(0),
            turn: Cell::new(index),
            streak: Cell::new(0),
            basket: RefCell::new(Basket::new(how.prefetch)),
            aside: Aside::new(name.clone(), options.place.clone()),
            roster: Cell::new(site.hints.roster()),
            crowd: Crowd::default(),
            prefetch: how.prefetch,
            patience: RefCell::new(Patience::new(how.waiting)),
            visibility: visibility
                .map(|time| Visibility::new(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))),
            light: Light::register(),
            maker: Maker::this(),
            received: Cell::new(counters[page::RECEIVED].load(Ordering::Relaxed)),
            acknowledged: Cell::new(counters[page::ACKNOWLEDGED].load(Ordering::Relaxed)),
            tended: Cell::new(milliseconds(now())),
            doorbell: OnceCell::new(),
            counters,
            site,
        };
        consumer.look_around()?;
        // What its predecessor had in hand, before it takes anything under the same number; and that of others who have died.
        let mut dead = Vec::new();
        for source in consumer.sources() {
            let judge = |claim: Claim| claim.owner() == index || consumer.is_over(claim, &mut dead);
            consumer.redelivered(source.picker.relieve(u64::MAX, judge));
            source.picker.mend();
        }
        // Producers ask whether they share a processor with it.
        consumer.site.hints.change_roster();
        Ok(consumer)
    }

    /// Receives a message, and waits for one if there is none.
    ///
    /// # Errors
    /// [`Removed`](ErrorKind::Removed) if somebody has removed the queue; [`Malformed`](ErrorKind::Malformed) once for a
    /// producer that wrote what makes no sense, [`Truncated`](ErrorKind::Truncated) once for one whose file somebody has cut
    /// short; [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked since it
    /// was opened.
    #[inline]
    pub fn receive(&self) -> Result<Job<'_>> {
        self.receive_wait(Wait::forever())
    }

    /// As [`receive`](Self::receive) without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`WouldBlock`](ErrorKind::WouldBlock).
    #[inline]
    pub fn try_receive(&self) -> Result<Job<'_>> {
        self.receive_wait(Wait::never())
    }

    /// As [`receive`](Self::receive), until `deadline`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn receive_deadline(&self, deadline: Deadline) -> Result<Job<'_>> {
        self.receive_wait(Wait::until(deadline))
    }

    /// As [`receive`](Self::receive), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and what `wait` ends with.
    #[inline]
    pub fn receive_wait(&self, wait: Wait) -> Result<Job<'_>> {
        check_maker(self.maker, RECEIVE, &self.site.object)?;
        if self.received.get().is_multiple_of(BUSY) {
            self.tend_if_due()?;
        }
        let taken = loop {
            if let Some(taken) = self.next_in_basket() {
                break taken;
            }
            self.fetch(wait)?;
        };
        self.received.set(self.received.get().wrapping_add(1));
        self.counters[page::RECEIVED].store(self.received.get(), Ordering::Relaxed);
        Ok(Job::new(self, self.source(taken.source), taken))
    }

    /// Receives a message into `into`, and acknowledges it at once: nobody gets it again, whatever becomes of this consumer. Says
    /// how often it was handed out.
    ///
    /// # Errors
    /// As [`receive_wait`](Self::receive_wait).
    pub fn take(&self, into: &mut Vec<u8>, wait: Wait) -> Result<u32> {
        loop {
            let job = self.receive_wait(wait)?;
            let deliveries = job.deliveries();
            // If it was too slow in this, another has the message.
            if job.read_into(into).is_ok() && job.acknowledge().is_ok() {
                return Ok(deliveries);
            }
        }
    }

    /// How many messages wait in the queue, those that were taken in advance not included. It looks at each.
    ///
    /// # Errors
    /// Those of looking into the queue's files.
    pub fn len(&self) -> Result<u64> {
        census(&self.site).map(|stat| stat.waiting)
    }

    /// Whether no message waits.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// How many messages all who had this place have received, and how many of them they have acknowledged.
    pub fn received(&self) -> (u64, u64) {
        (self.received.get(), self.acknowledged.get())
    }

    /// How much may wait.
    pub fn capacity(&self) -> Capacity {
        self.site.charter.capacity
    }

    /// The most bytes of a message.
    pub fn longest(&self) -> usize {
        self.site.charter.geometry.longest()
    }

    /// How often it slept.
    pub fn parks(&self) -> u64 {
        self.patience.borrow().parks
    }

    /// A descriptor that is readable when something may have happened, for `poll(2)` and its like: after it was, receive
    /// without waiting until there is nothing, and [`arm`](Self::arm) before polling again.
    ///
    /// What the dead had in hand is given back by those who wait or look; so look each 50 ms, too, where that matters.
    ///
    /// # Errors
    /// Those of making a FIFO beside the consumer's page; [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked
    /// since it was opened.
    pub fn doorbell(&self) -> Result<BorrowedFd<'_>> {
        self.arm()?;
        self.bell().map(Doorbell::as_fd)
    }

    /// Has the [`doorbell`](Self::doorbell) ring for what comes next. Whether something is there already: then it is readable
    /// at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&self) -> Result<bool> {
        // What it finds it takes, in its parent's name.
        check_maker(self.maker, RECEIVE, &self.site.object)?;
        let bell = self.bell()?;
        bell.drain();
        self.site.hints.filled.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        // What is found is taken, and handed out by the next receive.
        let is_ready = self.look().transpose()?.is_some();
        if is_ready {
            bell.ring();
        }
        Ok(is_ready)
    }

    fn bell(&self) -> Result<&Doorbell> {
        if let Some(bell) = self.doorbell.get() {
            return Ok(bell);
        }
        let bell = self.site.doorbell(bell_of(self.own.path()))?;
        Ok(self.doorbell.get_or_init(|| bell))
    }

    pub(super) fn object(&self) -> &Object {
        &self.site.object
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources[..self.known.get()].iter().filter_map(OnceCell::get)
    }

    #[inline(always)]
    fn source(&self, at: usize) -> &Source {
        match self.sources.get(at).and_then(OnceCell::get) {
            Some(source) => source,
            None => unreachable!("messages are taken from sources that are known"),
        }
    }

    /// Sees to it that there is something in the basket.
    #[inline(never)]
    fn fetch(&self, wait: Wait) -> Result<()> {
        if let Some(found) = self.look() {
            return found;
        }
        self.tend_if_due()?;
        if wait.is_never() {
            return self.look().unwrap_or_else(|| {
                let why = "there is no message";
                Err(refused(RECEIVE, &self.site.object, ErrorKind::WouldBlock, why))
            });
        }
        let own = pinned_lately();
        let shares_cpu = own != 0 && self.sources().any(|it| it.peer.header(header::PINNED) == own);
        let place = Place { bell: &self.site.hints.filled, hints: &self.site.hints, shares_cpu };
        let mut patience = self.patience.borrow_mut();
        patience.crowd(self.crowd.is_there(&self.site));
        let parks = patience.parks;
        let found = patience.wait(
            &place,
            wait,
            || self.look(),
            || {
                self.tend(MANY).map_err(Ended::Error)?;
                for source in self.sources() {
                    source.picker.mend();
                }
                Ok(self.look())
            },
        );
        self.count(page::PARKS, patience.parks - parks);
        found.unwrap_or_else(|ended: Ended| Err(ended.into_error(RECEIVE, &self.site.object)))
    }

    /// Looks whether there is something, and puts it into the basket.
    fn look(&self) -> Option<Result<()>> {
        let found = self.look_at_known();
        if found.is_some() || self.roster.get() == self.site.hints.roster() {
            return found;
        }
        // Once: anybody may change the roster as fast as one looks.
        match self.look_around() {
            Ok(()) => self.look_at_known(),
            Err(error) => Some(Err(error)),
        }
    }

    fn look_at_known(&self) -> Option<Result<()>> {
        if !self.basket.borrow().is_empty() {
            return Some(Ok(()));
        }
        match self.fill_basket() {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// What was taken in advance and is still this consumer's.
    #[inline(always)]
    fn next_in_basket(&self) -> Option<Taken> {
        loop {
            let mut taken = self.basket.borrow_mut().pop()?;
            let retries = self.site.charter.retries;
            if retries > 0 && taken.held.claim.count() > u64::from(retries) {
                self.put_aside(taken);
                continue;
            }
            if self.visibility.is_some() {
                // Its time begins when it is handed out. If it was up before that, another has it.
                match self.renew(self.source(taken.source), &taken) {
                    Ok(claim) => taken.held.claim = claim,
                    Err(_) => continue,
                }
            }
            return Some(taken);
        }
    }

    /// Takes what is free, from one source. Whether there was anything.
    #[inline]
    fn fill_basket(&self) -> Result<bool> {
        let count = self.known.get();
        let time = self.time();
        let mut basket = self.basket.borrow_mut();
        basket.clear();
        for step in 0..count {
            let at = (self.turn.get() + step) % count;
            let source = self.source(at);
            if source.is_banned.get() {
                continue;
            }
            let add = |held| basket.push(Taken { source: at, held });
            let Ok(picked) = source.picker.pick(self.index, time, self.prefetch, add) else {
                source.is_banned.set(true);
                let why = format!("its producer {} wrote what makes no sense", source.index);
                return Err(refused(RECEIVE, &self.site.object, ErrorKind::Malformed, why)
                    .with_advice("it is not listened to any more"));
            };
            if picked.messages > 0 {
                let streak = if step == 0 { self.streak.get() + picked.messages } else { 0 };
                let moves_on = picked.is_contended || streak >= STREAK;
                self.turn.set(if moves_on { at + 1 } else { at });
                self.streak.set(if moves_on { 0 } else { streak });
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[inline(always)]
    fn time(&self) -> u64 {
        self.visibility.map_or(0, |visibility| visibility.time(roughly_now()))
    }

    /// Looks which producers are there.
    #[inline(never)]
    fn look_around(&self) -> Result<()> {
        self.roster.set(self.site.hints.roster());
        for index in self.site.list('p', MOST_PRODUCERS)? {
            let is_known = self.sources().any(|source| source.index == index && source.peer.has_name());
            if !is_known && let Some(source) = self.source_of(index)? {
                let at = self.known.get();
                if at < self.sources.len() && self.sources[at].set(source).is_ok() {
                    self.known.set(at + 1);
                }
            }
        }
        self.crowd.look(&self.site);
        if self.site.has_name() { Ok(()) } else { Err(self.site.removed(RECEIVE)) }
    }

    /// The source in a producer's place. `None` if it is not complete, or makes no sense: it is looked at again when somebody
    /// takes that place.
    fn source_of(&self, index: usize) -> Result<Option<Source>> {
        let unless_malformed = |error: Error| match error.kind() {
            ErrorKind::Malformed | ErrorKind::Removed => Ok(None),
            _ => Err(error),
        };
        source(&self.site, index).or_else(unless_malformed)
    }

    fn tend_if_due(&self) -> Result<()> {
        let now = milliseconds(roughly_now());
        if now.saturating_sub(self.tended.get()) < EACH { Ok(()) } else { self.tend(FEW) }
    }

    /// Gives back what the dead and the slow have in hand.
    #[inline(never)]
    fn tend(&self, most: u64) -> Result<()> {
        // Not the coarse clock, which is late by more than the 5 ms that this may be early by where a processor has just woken up:
        // then nobody would look until all have slept once more.
        let now = milliseconds(now());
        self.tended.set(now);
        if !self.site.has_name() {
            return Err(self.site.removed(RECEIVE));
        }
        let mut known = Vec::new();
        for source in self.sources() {
            if !source.is_banned.get()
                && let Err(why) = source.picker.check()
            {
                source.is_banned.set(true);
                return Err(fault(RECEIVE, &self.site.object, why));
            }
            // One is enough.
            if source.picker.ledger.is_due(now, EACH) {
                self.redelivered(source.picker.relieve(most, |claim| self.is_over(claim, &mut known)));
            }
        }
        self.aside.retry(self);
        Ok(())
    }

    /// Whether a claim has lost its owner, or its time is up. `known` is who is known to live or not.
    fn is_over(&self, claim: Claim, known: &mut Vec<(usize, bool)>) -> bool {
        if self.visibility.is_some_and(|visibility| visibility.is_over(claim, self.time())) {
            return true;
        }
        let owner = claim.owner();
        if owner == self.index {
            return false;
        }
        if let Some((_, is_dead)) = known.iter().find(|(index, _)| *index == owner) {
            return *is_dead;
        }
        let page = Peer::open(&self.site.path('c', owner), What::Consumer, Some(self.site.number));
        let is_dead = match page {
            Ok(page) => page.is_none_or(|page| !page.is_alive()),
            // What cannot be asked is not dead.
            Err(error) => error.kind() == ErrorKind::Malformed,
        };
        known.push((owner, is_dead));
        is_dead
    }

    /// Counts what was given back, and wakes whoever may have it.
    fn redelivered(&self, messages: u64) {
        self.count(page::REDELIVERED, messages);
        self.offer(messages);
    }

    /// Wakes as many as there are messages.
    fn offer(&self, messages: u64) {
        if messages == 0 {
            return;
        }
        self.light.fence(|| self.site.hints.asks_for_fences());
        for _ in 0..messages.min(64) {
            if !self.site.hints.filled.is_awaited() {
                break;
            }
            ring_filled(&self.site);
        }
    }

    pub(super) fn count(&self, counter: usize, more: u64) {
        if more > 0 {
            let word = &self.counters[counter];
            word.store(word.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        }
    }

    /// Puts a message aside that was handed out too often.
    #[cold]
    fn put_aside(&self, taken: Taken) {
        self.aside.put(self, taken);
    }

    /// A message that is still in hand, and its bytes.
    pub(super) fn copy_of(&self, taken: &Taken) -> Option<(Taken, Vec<u8>)> {
        let source = self.source(taken.source);
        let claim = self.renew(source, taken).ok()?;
        let (reader, frame) = (&source.picker.reader, taken.held.frame);
        let mut bytes = vec![0; frame.len];
        reader.payload(frame).copy_to(0, &mut bytes);
        let taken = Taken { held: Held { claim, frame }, ..*taken };
        reader.is_intact(frame.position).then_some((taken, bytes))
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// Says that a message is done, and nothing else. Whether it was in hand.
    #[inline(always)]
    pub(super) fn finish(&self, source: &Source, taken: &Taken) -> bool {
        let Taken { held: Held { frame, claim }, .. } = *taken;
        let is_done = source.picker.ledger.change(frame.position, claim, claim.done());
        if is_done {
            self.light.fence(|| self.site.hints.asks_for_fences());
            if self.site.hints.room.is_awaited() && source.is_awaited() {
                ring_room(&self.site);
            }
        }
        is_done
    }

    pub(super) fn finish_taken(&self, taken: &Taken) -> bool {
        self.finish(self.source(taken.source), taken)
    }

    #[inline(always)]
    pub(super) fn acknowledge(&self, source: &Source, taken: &Taken) -> Result<()> {
        check_maker(self.maker, ACKNOWLEDGE, &self.site.object)?;
        if !self.finish(source, taken) {
            return Err(self.lost(ACKNOWLEDGE));
        }
        self.acknowledged.set(self.acknowledged.get().wrapping_add(1));
        self.counters[page::ACKNOWLEDGED].store(self.acknowledged.get(), Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn lost(&self, operation: &'static str) -> Error {
        let why = "this consumer has had the message for too long, and another was given it";
        refused(operation, &self.site.object, ErrorKind::Overrun, why)
            .with_advice("make the queue with a longer visibility, or renew what takes long")
    }

    /// Has the time of a message begin anew. What its claim is then.
    pub(super) fn renew(&self, source: &Source, taken: &Taken) -> Result<Claim> {
        const RENEW: &str = "go on working on a message of";
        check_maker(self.maker, RENEW, &self.site.object)?;
        let Taken { held: Held { frame, claim }, .. } = *taken;
        let renewed = claim.renewed(self.time());
        // Also where it is the same, to learn whether it is still in hand.
        if source.picker.ledger.change(frame.position, claim, renewed) {
            Ok(renewed)
        } else {
            Err(self.lost(RENEW))
        }
    }

    /// Gives a message back. If it was lost there is nothing to give.
    pub(super) fn give_back(&self, source: &Source, taken: &Taken) {
        let Taken { held: Held { frame, claim }, .. } = *taken;
        if self.maker.is_this() && source.picker.ledger.give_back(frame.position, claim, claim.returned()) {
            self.redelivered(1);
        }
    }

    /// Gives back what was not handed out.
    fn untake(&self, taken: &Taken) {
        let Taken { held: Held { frame, claim }, .. } = *taken;
        let ledger = &self.source(taken.source).picker.ledger;
        if ledger.give_back(frame.position, claim, claim.untaken()) {
            self.offer(1);
        }
    }
}

/// The source in a producer's place.
pub(super) fn source(site: &Site, index: usize) -> Result<Option<Source>> {
    let geometry = site.charter.geometry;
    let Some(peer) = Peer::open(&site.path('p', index), What::Publisher, Some(site.number))? else {
        return Ok(None);
    };
    let wrong = || malformed(RECEIVE, &site.object, "a producer's file is too short for its ring");
    if peer.mapping().len() != segment::bytes(geometry) {
        return Err(wrong());
    }
    let Some(ledger) = seat::ledger(site, index)? else { return Ok(None) };
    let control = peer.foreign(segment::CONTROL_AT, CONTROL)?;
    let tail = peer.foreign(segment::TAIL_AT + segment::TAIL, 1)?;
    let ring = peer.foreign(segment::RING, geometry.words())?;
    let mut follower = Follower::new(geometry, ring, control.clone(), 0).ok_or_else(wrong)?;
    follower.is_sparse = matches!(site.charter.capacity, Capacity::Unbounded(_));
    Ok(Some(Source {
        index,
        picker: Picker::new(follower, control, tail, ledger),
        gate: peer.foreign(segment::TAIL_AT + segment::GATE, 1)?,
        peer,
        is_banned: Cell::new(false),
    }))
}

fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000
}

#[cfg(test)]
impl Consumer {
    /// As a forked child has it.
    pub(super) fn maker_is(&mut self, maker: Maker) {
        self.maker = maker;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        let basket = core::mem::take(&mut *self.basket.borrow_mut());
        for taken in basket.rest() {
            self.untake(taken);
        }
        for taken in self.aside.take() {
            self.untake(&taken);
        }
        if let Some(bell) = self.doorbell.get() {
            bell.remove();
        }
        self.site.hints.change_roster();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("site", &self.site.object)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
