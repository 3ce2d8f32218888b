//! The side that publishes.

use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use twixt_address::BusName;
use twixt_os::{Deadline, Error, ErrorKind, Limit, Maker, Result, Wait};

use crate::barrier::{self, Light};
use crate::doorbell::Doorbell;
use crate::error::{check_maker, is_want, refused};
use crate::place::Kind;
use crate::ring::CONTROL;
use crate::ring::backing::Backing;
use crate::ring::frame::Flags;
use crate::ring::producer::{Producer, Slot};
use crate::segment::{Own, What, bell_of, sweep};
use crate::site::{Capacity, Options, Site};
use crate::sync::AtomicU64;
use crate::wait::{Patience, Waiting};
use crate::words::copy_in;

use super::followed::Followers;
use super::{Flow, Loan, MOST_PUBLISHERS, segment};

mod batch;
mod meeting;
mod room;

pub use batch::Batch;
use meeting::Guests;

/// From how many bytes on a message is shown while it is still being written.
pub(crate) const FLOWS: usize = 32 << 10;
/// The pieces in which it is shown.
pub(crate) const PIECE: usize = 16 << 10;

/// Publishes to a topic.
///
/// It belongs to one thread at a time. Dropping it says good-bye: subscribers receive what was published, and then know that
/// it has left.
///
/// ```
/// use twixt_bus::{Options, Publisher, Subscriber};
/// # let scratch = twixt_testkit::scratch();
/// # let place = twixt_bus::Place::at(scratch.path())?;
/// let name = twixt_address::BusName::new("prices")?;
/// let options = Options::new().create(true);
/// # let options = options.place(place);
/// let mut subscriber = Subscriber::open(&name, &options)?;
/// let publisher = Publisher::open(&name, &options)?;
/// publisher.publish(b"17.25")?;
/// assert_eq!(subscriber.receive()?.to_vec()?, b"17.25");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Publisher {
    pub(super) site: Arc<Site>,
    own: Own,
    pub(super) producer: Producer,
    index: usize,
    /// The most bytes of a message.
    longest: usize,
    /// Whether it waits for all to have each message: it has no capacity.
    pub(super) meets: bool,
    /// Of an unbounded topic.
    backing: RefCell<Option<Backing>>,
    followers: RefCell<Followers>,
    roster: Cell<u32>,
    light: Light,
    patience: RefCell<Patience>,
    maker: Maker,
    pub(super) lent: Cell<u32>,
    /// Whether publishing for nobody is an error.
    insists: Cell<bool>,
    /// Whether nothing is overwritten, for the sake of who is yet to come.
    keeps: Cell<bool>,
    /// With no capacity, whom the message is for.
    guests: RefCell<Guests>,
    /// Of one that polls.
    doorbell: OnceCell<Doorbell>,
    /// The length of the message for which there was no room.
    refused: Cell<usize>,
}

impl Publisher {
    /// Opens a topic for publishing.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there and not to be made;
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another capacity
    /// or type; [`LimitReached`](ErrorKind::LimitReached) with [`MOST_PUBLISHERS`] of them;
    /// [`NoSpace`](ErrorKind::NoSpace) if the file system has no room for the ring.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_with(Kind::Topic, name, options, Waiting::Adaptive)
    }

    /// As [`open`](Self::open), with another way to wait for room.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        Self::open_with(Kind::Topic, name, options, waiting)
    }

    pub(crate) fn open_with(kind: Kind, name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let site = Arc::new(Site::open(kind, name, options)?);
        Self::at(site, waiting)
    }

    pub(crate) fn at(site: Arc<Site>, waiting: Waiting) -> Result<Self> {
        let geometry = site.charter.geometry;
        // Files in which nobody can go on. They go when another place is taken: in theirs, subscribers have cursors that mean nothing
        // in a new file, until they look.
        let mut spoiled = Vec::new();
        let (own, index, producer) = loop {
            let (own, index) = take_segment(&site)?;
            let (ring, control) =
                (own.words(segment::RING, geometry.words())?, own.words(segment::CONTROL_AT, CONTROL)?);
            match Producer::adopt(geometry, ring, control) {
                Some(producer) => break (own, index, producer),
                None => spoiled.push(own),
            }
        };
        for own in spoiled {
            own.remove();
        }
        let backing = match site.charter.capacity {
            Capacity::Unbounded(_) => {
                let backing = Backing::new(geometry, 8 * segment::RING, producer.next());
                // Where its predecessor was about to write there may be no memory.
                producer.limit_to(backing.covered());
                producer.begin_anew();
                Some(backing)
            }
            Capacity::Zero => {
                // What its predecessor was about to write, that one was invited to.
                producer.begin_anew();
                None
            }
            Capacity::Bounded(_) => None,
        };
        let backing = RefCell::new(backing);
        let roster = Cell::new(site.hints.roster());
        site.hints.change_roster();
        let followers = RefCell::new(Followers::new(producer.origin()));
        let publisher = Self {
            own,
            index,
            longest: geometry.longest(),
            meets: site.charter.capacity == Capacity::Zero,
            followers,
            roster,
            light: Light::register(),
            patience: RefCell::new(Patience::new(waiting)),
            maker: Maker::this(),
            backing,
            lent: Cell::new(0),
            insists: Cell::new(false),
            keeps: Cell::new(false),
            guests: RefCell::default(),
            doorbell: OnceCell::new(),
            refused: Cell::new(0),
            producer,
            site,
        };
        publisher.look_around()?;
        // Those that wait for messages are to see that there is somebody now.
        publisher.ring_slowly();
        Ok(publisher)
    }

    /// From now on fails with [`PeerGone`](ErrorKind::PeerGone) where nobody receives it.
    pub(crate) fn insist(&self) -> Result<()> {
        self.insists.set(true);
        self.look_around()
    }

    /// Whether to wait, once the ring is full, for one who is yet to come and to receive all of it.
    pub(crate) fn keep(&self, keeps: bool) {
        self.keeps.set(keeps);
    }

    /// Publishes a message, and waits for room if there is none.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) for more than [`longest`](Self::longest) bytes; [`Removed`](ErrorKind::Removed) if
    /// somebody has removed the topic; [`LimitReached`](ErrorKind::LimitReached) over the budget of an unbounded one.
    #[inline]
    pub fn publish(&self, message: &[u8]) -> Result<()> {
        self.publish_wait(message, Wait::forever())
    }

    /// As [`publish`](Self::publish) without waiting.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`WouldBlock`](ErrorKind::WouldBlock).
    #[inline]
    pub fn try_publish(&self, message: &[u8]) -> Result<()> {
        self.publish_wait(message, Wait::never())
    }

    /// As [`publish`](Self::publish), until `deadline`.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn publish_deadline(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.publish_wait(message, Wait::until(deadline))
    }

    /// As [`publish`](Self::publish), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and what `wait` ends with.
    #[inline]
    pub fn publish_wait(&self, message: &[u8], wait: Wait) -> Result<()> {
        if message.len() >= FLOWS {
            return self.publish_flowing(message, wait);
        }
        let slot = self.reserve(message.len(), Flags::empty(), &wait)?;
        copy_in(self.producer.payload(slot), message);
        self.finish(slot, &wait)
    }

    /// Publishes a message of `len` bytes that `fill` writes in place, word by word, with relaxed stores. The last word may have
    /// bytes that are not the message's. If `fill` panics there is no message.
    ///
    /// # Errors
    /// As [`publish_wait`](Self::publish_wait); then `fill` was not called, but without capacity, where a message has to be there
    /// before it is given up. [`Busy`](ErrorKind::Busy) from within `fill`, as whatever else would be published by the same publisher
    /// meanwhile.
    #[inline(always)]
    pub fn publish_with(&self, len: usize, wait: Wait, fill: impl FnOnce(&[AtomicU64])) -> Result<()> {
        let slot = self.reserve(len, Flags::empty(), &wait)?.plain();
        self.producer.fill(slot, fill);
        self.check_filler()?;
        self.finish(slot, &wait)
    }

    /// Publishes several messages with one look at who sleeps, when the batch is dropped. Who does not sleep receives them at
    /// once.
    pub fn batch(&self) -> Batch<'_> {
        Batch { publisher: self }
    }

    #[inline(never)]
    fn publish_flowing(&self, message: &[u8], wait: Wait) -> Result<()> {
        let mut flow = self.flow_wait(message.len(), wait)?;
        for piece in message.chunks(PIECE) {
            flow.write(piece);
        }
        flow.finish_wait(&wait)
    }

    /// Room for a message of `len` bytes, to be written in place. Several may be out at a time; messages leave in the order in
    /// which their loans were taken, so that one that is kept holds back those behind it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn loan(&self, len: usize) -> Result<Loan<'_>> {
        self.loan_wait(len, Wait::forever())
    }

    /// As [`loan`](Self::loan), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`loan`](Self::loan), and what `wait` ends with.
    pub fn loan_wait(&self, len: usize, wait: Wait) -> Result<Loan<'_>> {
        let slot = self.reserve(len, shape(len), &wait)?;
        self.producer.lend(slot);
        Ok(Loan::new(self, slot))
    }

    /// Room for a message of `len` bytes that subscribers read while it is still being written.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn flow(&self, len: usize) -> Result<Flow<'_>> {
        self.flow_wait(len, Wait::forever())
    }

    /// As [`flow`](Self::flow), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`flow`](Self::flow), and what `wait` ends with.
    pub fn flow_wait(&self, len: usize, wait: Wait) -> Result<Flow<'_>> {
        if self.meets {
            return self.flow_offered(len, &wait);
        }
        let slot = self.reserve(len, Flags::BELOW, &wait)?;
        self.producer.open(slot);
        Ok(Flow::new(self, slot))
    }

    /// The most bytes of a message: a little less than half of the ring.
    #[inline]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// How much may wait for a subscriber.
    pub fn capacity(&self) -> Capacity {
        self.site.charter.capacity
    }

    /// How many messages all who had this place in the topic have published, and how many bytes.
    pub fn published(&self) -> (u64, u64) {
        self.producer.published()
    }

    /// How many subscribers have joined, as far as is known: they receive all that is published from now on.
    ///
    /// # Errors
    /// Those of looking into the topic's directory.
    pub fn subscribers(&self) -> Result<usize> {
        self.look_around()?;
        Ok(self.followers.borrow().joined())
    }

    /// How often it slept, waiting for room.
    pub fn parks(&self) -> u64 {
        self.patience.borrow().parks
    }

    /// A descriptor that is readable when there may be room for a message that found none, for `poll(2)` and its like: after it
    /// was, publish without waiting, and [`arm`](Self::arm) before polling again if that would still block. A subscriber that dies
    /// rings no doorbell: whoever waits for one polls with a time-out, and publishes without waiting when that is over.
    ///
    /// # Errors
    /// Those of making a FIFO beside the publisher's segment; [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked
    /// since it was opened.
    pub fn doorbell(&self) -> Result<BorrowedFd<'_>> {
        self.arm()?;
        self.bell().map(Doorbell::as_fd)
    }

    /// Has the [`doorbell`](Self::doorbell) ring when there may be room. Whether there is already: then it is readable at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&self) -> Result<bool> {
        // To make room in an unbounded topic is to write.
        self.check_maker()?;
        let bell = self.bell()?;
        bell.drain();
        self.site.hints.room.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        let len = self.refused.get();
        let is_ready = self.roster.get() != self.site.hints.roster()
            || match self.make_room(len, shape(len), &Wait::never()) {
                Ok(()) => true,
                // What it is, publishing tells.
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
        if self.meets {
            // Who waits now may not any more when something is published: that asks again.
            self.producer.limit_to(self.producer.next());
        }
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

    #[inline(always)]
    pub(super) fn reserve(&self, len: usize, flags: Flags, wait: &Wait) -> Result<Slot> {
        if self.roster.get() != self.site.hints.roster() || !self.maker.is_this() {
            self.look_around()?;
        }
        if len > self.longest {
            return Err(self.too_long(len));
        }
        loop {
            if let Some(slot) = self.producer.reserve(len, flags) {
                return Ok(slot);
            }
            self.make_room(len, flags, wait)?;
        }
    }

    #[cold]
    fn too_long(&self, len: usize) -> Error {
        let why = format!("the message has {len} bytes, and {} is the most", self.longest());
        refused("publish to", &self.site.object, ErrorKind::TooLong, why)
            .with_advice("make the topic with a larger ?capacity, of which a message may have nearly half")
    }

    /// What is done rarely: to see who has come and who has gone.
    #[cold]
    #[inline(never)]
    fn look_around(&self) -> Result<()> {
        self.check_maker()?;
        self.site.check("publish to")?;
        let mut followers = self.followers.borrow_mut();
        self.see(&mut followers)?;
        let Some(error) = self.miss(&followers) else { return Ok(()) };
        // To be looked at again the next time.
        self.roster.set(self.roster.get().wrapping_sub(1));
        Err(error)
    }

    /// That there is nobody, where that is an error.
    fn miss(&self, followers: &Followers) -> Option<Error> {
        (self.insists.get() && followers.len() == 0).then(|| {
            let why = "nobody receives from it any more";
            refused("publish to", &self.site.object, ErrorKind::PeerGone, why)
        })
    }

    /// Sees who has come. What cannot be seen now is not taken for seen.
    fn see(&self, followers: &mut Followers) -> Result<()> {
        let roster = self.site.hints.roster();
        followers.refresh(&self.site, self.index, self.producer.head())?;
        self.roster.set(roster);
        Ok(())
    }

    /// Whether this is the process that opened it, and not a forked child.
    #[inline]
    pub(super) fn is_own(&self) -> bool {
        self.maker.is_this()
    }

    pub(super) fn check_maker(&self) -> Result<()> {
        check_maker(self.maker, "publish to", &self.site.object)
    }

    /// That `fill` has not returned in a child that it has forked, too: the message is the parent's.
    #[inline(always)]
    fn check_filler(&self) -> Result<()> {
        // What is rarely done begins with that, and nothing is looked up for it here.
        if self.maker.is_this() { Ok(()) } else { self.look_around() }
    }

    /// Publishes a slot; with no capacity, waits until all have it.
    #[inline(always)]
    fn finish(&self, slot: Slot, wait: &Wait) -> Result<()> {
        // By reference: to copy `wait` at once, having been stored in parts, would wait for all stores before, those to lines
        // included that come from another processor.
        if self.meets {
            let [position, back, sequence] = slot.parts();
            return self.hand_over(position, back, sequence, slot.len, wait);
        }
        self.producer.publish_promptly(slot, self.site.hints.is_prompt());
        self.ring();
        Ok(())
    }

    /// Wakes whoever sleeps.
    #[inline(always)]
    pub(super) fn ring(&self) {
        self.light.fence(|| self.site.hints.asks_for_fences());
        if self.site.hints.filled.is_awaited() {
            self.ring_slowly();
        }
    }

    #[cold]
    fn ring_slowly(&self) {
        if ring_filled(&self.site) {
            self.ring_doorbells();
        }
    }

    /// Also those of subscribers that have come meanwhile: this has taken their mark away.
    fn ring_doorbells(&self) {
        // Pairs with the fence of whoever armed: who is seen to have done that is seen to have joined.
        crate::sync::fence(crate::sync::Ordering::SeqCst);
        let mut followers = self.followers.borrow_mut();
        if self.roster.get() != self.site.hints.roster() && self.see(&mut followers).is_err() {
            // Somebody is left out: the next message rings again.
            self.site.hints.filled.arm();
        }
        followers.ring_doorbells();
    }
}

/// Where the payload begins: with the header, or at a line of its own if it is large.
#[inline(always)]
fn shape(len: usize) -> Flags {
    if len >= FLOWS { Flags::BELOW } else { Flags::empty() }
}

/// Takes a place in a topic: one whose holder has gone, with what it has published, or a fresh one.
fn take_segment(site: &Site) -> Result<(Own, usize)> {
    let making = site.making_ring(What::Publisher, segment::bytes(site.charter.geometry), 8 * segment::RING);
    for index in 0..MOST_PUBLISHERS {
        let path = site.path('p', index);
        // Whoever made it may have gone between the two.
        for _ in 0..4 {
            match Own::adopt(&path, What::Publisher, site.number) {
                Ok(Some(own)) if own.mapping().len() == making.len => return Ok((own, index)),
                Ok(_) => {}
                Err(error) if is_want(&error) => return Err(error),
                // What makes no sense and belongs to nobody is in the way, and goes; if it cannot go, there are other places.
                Err(_) => _ = sweep(&path),
            }
            if rustix::fs::lstat(&path).is_ok() {
                break;
            }
            let made = Own::create(&path, making, |words| {
                words[crate::segment::header::LINES]
                    .store(site.charter.geometry.lines(), crate::sync::Ordering::Relaxed);
            })?;
            if let Some(own) = made {
                return Ok((own, index));
            }
        }
        if !site.has_name() {
            return Err(site.removed("publish to"));
        }
    }
    let why = "all its places for publishers are taken";
    Err(refused("publish to", &site.object, ErrorKind::LimitReached, why).with_limit(Limit {
        name: "publishers of a topic",
        current: Some(MOST_PUBLISHERS as u64),
        needed: None,
    }))
}

/// Wakes whoever waits for messages. Whether there are doorbells to ring, too.
fn ring_filled(site: &Site) -> bool {
    site.hints.set_rung();
    site.hints.filled.ring().doorbells
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        if let Some(bell) = self.doorbell.get() {
            bell.remove();
        }
        self.producer.close();
        self.site.hints.change_roster();
        self.ring_slowly();
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("site", &self.site.object)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
