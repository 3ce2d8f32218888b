//! The side that sends.

use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use twixt_address::BusName;
use twixt_os::making::reserve_error;
use twixt_os::{Deadline, Error, ErrorKind, Limit, Maker, Mechanism, Result, Wait};

use crate::barrier::{self, Light};
use crate::doorbell::Doorbell;
use crate::error::{check_maker, fault, refused};
use crate::place::Kind;
use crate::ring::CONTROL;
use crate::ring::backing::Backing;
use crate::ring::frame::Flags;
use crate::ring::producer::{Producer as Ring, Slot};
use crate::segment::{Own, bell_of};
use crate::site::{Capacity, Options, Site};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::{Ended, Patience, Place, Waiting};
use crate::words::{Words, copy_in};

use super::claim::State;
use super::crowd::Crowd;
use super::room::Room;
use super::seat::{self, ring_filled};
use super::stat::census;
use super::{LARGE, segment};

/// Sends to a queue.
///
/// It belongs to one thread at a time. What it has sent stays when it is dropped, or its process dies. The
/// [module](crate::queue) has an example.
pub struct Producer {
    site: Arc<Site>,
    own: Own,
    ring: Ring,
    room: Room,
    /// The memory of an unbounded queue.
    backing: RefCell<Option<Backing>>,
    counters: Words,
    index: usize,
    roster: Cell<u32>,
    /// Whether some consumer can only run if this producer does not.
    shares_cpu: Cell<bool>,
    crowd: Crowd,
    light: Light,
    patience: RefCell<Patience>,
    maker: Maker,
    /// Of one that polls.
    doorbell: OnceCell<Doorbell>,
    /// The length of the message for which there was no room.
    refused: Cell<usize>,
}

const SEND: &str = "send to";

impl Producer {
    /// Opens a queue for sending.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there and not to be made;
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another capacity
    /// or type; [`LimitReached`](ErrorKind::LimitReached) with [`MOST_PRODUCERS`](super::MOST_PRODUCERS) of them;
    /// [`NoSpace`](ErrorKind::NoSpace) if the file system has no room for the ring.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_waiting(name, options, Waiting::Adaptive)
    }

    /// As [`open`](Self::open), with another way to wait for room.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let site = Arc::new(Site::open(Kind::Queue, name, options)?);
        // Places whose rings make no sense, so that nobody can go on there. They go when another is taken.
        let mut spoiled = Vec::new();
        let (own, index, ring, room) = loop {
            let (own, index) = seat::producer(&site)?;
            match adopt(&site, &own, index)? {
                Some((ring, room)) => break (own, index, ring, room),
                None => spoiled.push((own, index)),
            }
        };
        for (own, index) in spoiled {
            seat::clear(&site, &own, index);
        }
        let backing = match site.charter.capacity {
            Capacity::Unbounded(_) => {
                let backing = Backing::new(site.charter.geometry, 8 * segment::RING, ring.next());
                ring.limit_to(backing.covered());
                ring.begin_anew();
                Some(backing)
            }
            Capacity::Zero | Capacity::Bounded(_) => None,
        };
        let counters = own.words(segment::TAIL_AT, segment::TAIL_WORDS)?;
        let producer = Self {
            own,
            ring,
            room,
            backing: RefCell::new(backing),
            counters,
            index,
            roster: Cell::new(site.hints.roster()),
            shares_cpu: Cell::new(false),
            crowd: Crowd::default(),
            light: Light::register(),
            patience: RefCell::new(Patience::new(waiting)),
            maker: Maker::this(),
            doorbell: OnceCell::new(),
            refused: Cell::new(0),
            site,
        };
        // Its predecessor may have waited.
        producer.say_gate(None);
        producer.site.hints.change_roster();
        producer.look_around()?;
        // Consumers that sleep do not know of it yet.
        producer.site.hints.filled.ring();
        Ok(producer)
    }

    /// Sends a message, and waits for room if there is none. With a capacity of zero, waits until a consumer has acknowledged
    /// it.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) for more than [`longest`](Self::longest) bytes; [`Removed`](ErrorKind::Removed) if
    /// somebody has removed the queue; [`LimitReached`](ErrorKind::LimitReached) over the budget of an unbounded one, and
    /// [`NoSpace`](ErrorKind::NoSpace) if the file system has no room for more of it;
    /// [`Truncated`](ErrorKind::Truncated) if somebody has cut one of its files short. Nothing was sent then.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever())
    }

    /// As [`send`](Self::send) without waiting. With a capacity of zero, it succeeds if a consumer takes the message at once.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`WouldBlock`](ErrorKind::WouldBlock).
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::never())
    }

    /// As [`send`](Self::send), until `deadline`. With a capacity of zero, a message that a consumer has in hand then counts as
    /// sent; it stays in the queue should that consumer give it back.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(message, Wait::until(deadline))
    }

    /// As [`send`](Self::send), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`send`](Self::send), and what `wait` ends with.
    #[inline]
    pub fn send_wait(&self, message: &[u8], wait: Wait) -> Result<()> {
        self.send_with(message.len(), wait, |room| copy_in(room, message))
    }

    /// Sends a message of `len` bytes that `fill` writes in place, word by word, with relaxed stores. The last word may have
    /// bytes that are not the message's.
    ///
    /// # Errors
    /// As [`send_wait`](Self::send_wait); `fill` may not have been called then. [`Busy`](ErrorKind::Busy) from within `fill`, as
    /// whatever else would be sent by the same producer meanwhile.
    #[inline(always)]
    pub fn send_with(&self, len: usize, wait: Wait, fill: impl FnOnce(&[AtomicU64])) -> Result<()> {
        let slot = self.fill(len, wait, fill)?;
        self.ring_filled();
        if self.site.charter.capacity == Capacity::Zero { self.meet(slot, wait) } else { Ok(()) }
    }

    /// Sends several messages with one look at who sleeps, when the batch is dropped. Who does not sleep receives them at once.
    pub fn batch(&self) -> Batch<'_> {
        Batch { producer: self }
    }

    /// The most bytes of a message: a little less than half of the ring.
    pub fn longest(&self) -> usize {
        self.ring.geometry().longest()
    }

    /// How much may wait.
    pub fn capacity(&self) -> Capacity {
        self.site.charter.capacity
    }

    /// How many messages all who had this place have sent, and how many bytes.
    pub fn sent(&self) -> (u64, u64) {
        self.ring.published()
    }

    /// How many messages wait in the queue, of all producers. It looks at each.
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

    /// How often it slept, waiting for room.
    pub fn parks(&self) -> u64 {
        self.patience.borrow().parks
    }

    /// A descriptor that is readable when there may be room for a message that found none, for `poll(2)` and its like: after it
    /// was, send without waiting, and [`arm`](Self::arm) before polling again if that would still block. A consumer that dies
    /// rings no doorbell, and others have what it had in hand within 50 ms: whoever waits for that, too, polls with a time-out.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) with a capacity of zero, where there never is room, and no message of which it
    /// could be told that a consumer takes it; those of making a FIFO beside the producer's segment;
    /// [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked since it was opened.
    pub fn doorbell(&self) -> Result<BorrowedFd<'_>> {
        self.arm()?;
        self.bell().map(Doorbell::as_fd)
    }

    /// Has the [`doorbell`](Self::doorbell) ring when there may be room. Whether there is already: then it is readable at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&self) -> Result<bool> {
        check_maker(self.maker, SEND, &self.site.object)?;
        let bell = self.bell()?;
        bell.drain();
        self.say_gate(self.room.gate(&self.ring));
        self.site.hints.room.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        let len = self.refused.get();
        let is_ready = self.roster.get() != self.site.hints.roster()
            || self.ring.has_room(len, shape(len))
            || match self.make_room(len, Wait::never()) {
                Ok(()) => true,
                // What it is, sending tells.
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
        if is_ready {
            self.say_gate(None);
            bell.ring();
        }
        Ok(is_ready)
    }

    fn bell(&self) -> Result<&Doorbell> {
        if let Some(bell) = self.doorbell.get() {
            return Ok(bell);
        }
        if self.site.charter.capacity == Capacity::Zero {
            let why = "with a capacity of zero it waits for a consumer, not for room";
            return Err(refused("poll", &self.site.object, ErrorKind::Unsupported, why));
        }
        let bell = self.site.doorbell(bell_of(self.own.path()))?;
        Ok(self.doorbell.get_or_init(|| bell))
    }

    /// Publishes a message.
    #[inline(always)]
    fn fill(&self, len: usize, wait: Wait, fill: impl FnOnce(&[AtomicU64])) -> Result<Slot> {
        let slot = self.reserve(len, wait)?;
        // Should `fill` panic, nobody waits for what it did not write.
        self.ring.fill(slot, fill);
        // Not the slot of the parent in a child that `fill` has forked.
        if !self.maker.is_this() {
            self.look_around()?;
        }
        self.ring.publish(slot);
        Ok(slot)
    }

    #[inline(always)]
    fn reserve(&self, len: usize, wait: Wait) -> Result<Slot> {
        if self.roster.get() != self.site.hints.roster() || !self.maker.is_this() {
            self.look_around()?;
        }
        if len > self.longest() {
            return Err(self.too_long(len));
        }
        loop {
            if let Some(slot) = self.ring.reserve(len, shape(len)) {
                return Ok(slot);
            }
            self.make_room(len, wait)?;
        }
    }

    #[cold]
    fn too_long(&self, len: usize) -> Error {
        let why = format!("the message has {len} bytes, and {} is the most", self.longest());
        refused(SEND, &self.site.object, ErrorKind::TooLong, why)
            .with_advice("make the queue with a larger ?capacity, of which a message may have nearly half")
    }

    #[cold]
    fn look_around(&self) -> Result<()> {
        check_maker(self.maker, SEND, &self.site.object)?;
        self.roster.set(self.site.hints.roster());
        if !self.site.has_name() {
            return Err(self.site.removed(SEND));
        }
        self.shares_cpu.set(seat::is_pinned_with_a_consumer(&self.site));
        self.crowd.look(&self.site);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn make_room(&self, len: usize, wait: Wait) -> Result<()> {
        if self.ring.is_filling() {
            let why = "it is just writing another message";
            return Err(refused(SEND, &self.site.object, ErrorKind::Busy, why)
                .with_advice("send when that is written"));
        }
        if let Some(backing) = &mut *self.backing.borrow_mut() {
            return self.make_memory(backing, len);
        }
        let look = || (self.room.reclaim(&self.ring) && self.ring.has_room(len, shape(len))).then_some(());
        if look().is_some() {
            if self.doorbell.get().is_some() {
                // Nobody need ring for what was waited for.
                self.say_gate(None);
            }
            return Ok(());
        }
        self.room.check().map_err(|why| fault(SEND, &self.site.object, why))?;
        if wait.is_never() {
            self.refused.set(len);
            let why = "its ring is full";
            return Err(refused(SEND, &self.site.object, ErrorKind::WouldBlock, why));
        }
        // Consumers may sleep on what was sent and not yet rung for.
        self.ring_filled();
        let gate = Cell::new(self.room.gate(&self.ring));
        self.say_gate(gate.get());
        // Not whatever comes first: who asks for each line in turn has it taken from the consumer each time, and who is woken for
        // each is woken for nothing else.
        let look_at_gate = || {
            if gate.get().is_some_and(|gate| !self.room.ledger.is_over(gate)) {
                return None;
            }
            let found = look();
            if found.is_none() {
                gate.set(self.room.gate(&self.ring));
                self.say_gate(gate.get());
            }
            found
        };
        let found = self.wait(wait, look_at_gate, || {
            let found = look();
            if found.is_none() {
                gate.set(self.room.gate(&self.ring));
                self.say_gate(gate.get());
            }
            found
        });
        // When the time is up, whatever room there is will do.
        let found = found.or_else(|ended| look().ok_or(ended));
        if found.is_err() && self.doorbell.get().is_some() {
            // Whoever polls next is told of room as before.
            self.refused.set(len);
        } else {
            self.say_gate(None);
        }
        found.map_err(|ended| ended.into_error(SEND, &self.site.object))
    }

    /// Reserves memory for a message of an unbounded queue, within its budget, and gives back what was acknowledged.
    fn make_memory(&self, backing: &mut Backing, len: usize) -> Result<()> {
        self.room.reclaim(&self.ring);
        self.room.check().map_err(|why| fault(SEND, &self.site.object, why))?;
        self.ring.allow(self.room.tail());
        let has_room = self.ring.has_room(len, shape(len));
        // A consumer that has not looked for long, or whose message was given to another, may still read there.
        self.ring.abandon(backing.goes_until(self.room.tail()));
        backing.release(self.own.file(), self.room.tail());
        let end = self.ring.end_of(len, shape(len));
        let covered = if has_room { backing.cover(self.own.file(), end) } else { Ok(()) };
        // Whatever came of that, nothing is written where there is no memory.
        self.ring.limit_to(backing.covered());
        covered.map_err(|errno| {
            let needed = backing.bytes();
            reserve_error(Mechanism::Bus, SEND, self.site.object.clone(), errno, needed)
        })?;
        if has_room {
            return Ok(());
        }
        let budget = self.ring.geometry().bytes() as u64;
        let why = format!("{budget} bytes wait for a consumer already");
        Err(refused(SEND, &self.site.object, ErrorKind::LimitReached, why).with_limit(Limit {
            name: "?budget",
            current: Some(budget),
            needed: None,
        }))
    }

    /// Says which message consumers shall wake it for.
    fn say_gate(&self, gate: Option<u64>) {
        // Relaxed: the fence of whoever announces that it sleeps comes after.
        self.counters[segment::GATE].store(gate.map_or(0, segment::gate), Ordering::Relaxed);
    }

    fn wait<T>(
        &self,
        wait: Wait,
        look: impl FnMut() -> Option<T>,
        mut idle: impl FnMut() -> Option<T>,
    ) -> core::result::Result<T, Ended> {
        let place =
            Place { bell: &self.site.hints.room, hints: &self.site.hints, shares_cpu: self.shares_cpu.get() };
        let mut patience = self.patience.borrow_mut();
        patience.crowd(self.crowd.is_there(&self.site));
        let parks = patience.parks;
        let found = patience.wait(&place, wait, look, || {
            if !self.site.has_name() {
                return Err(Ended::Error(self.site.removed(SEND)));
            }
            self.room.check().map_err(|why| Ended::Error(fault(SEND, &self.site.object, why)))?;
            Ok(idle())
        });
        let parks = patience.parks - parks;
        if parks > 0 {
            let word = &self.counters[segment::PARKS];
            word.store(word.load(Ordering::Relaxed).wrapping_add(parks), Ordering::Relaxed);
        }
        found
    }

    /// Wakes whoever sleeps.
    #[inline(always)]
    fn ring_filled(&self) {
        self.light.fence(|| self.site.hints.asks_for_fences());
        if self.site.hints.filled.is_awaited() {
            ring_filled(&self.site);
        }
    }

    /// Waits until a message is acknowledged. If it does not come to that, nobody has it.
    #[cold]
    fn meet(&self, slot: Slot, wait: Wait) -> Result<()> {
        let met = || self.room.ledger.is_over(slot.position).then_some(());
        let until = if wait.is_never() { Wait::until(Deadline::after(Duration::ZERO)) } else { wait };
        self.say_gate(Some(slot.position));
        let outcome = self.wait(until, met, met);
        self.say_gate(None);
        let Err(ended) = outcome else {
            self.room.reclaim(&self.ring);
            return Ok(());
        };
        let (ledger, position) = (&self.room.ledger, slot.position);
        loop {
            let claim = ledger.claim(position);
            match claim.state() {
                State::Free if ledger.change(position, claim, claim.done()) => break,
                State::Free => {}
                // Somebody has it, or had it.
                State::Taken | State::Done => return Ok(()),
            }
        }
        self.room.reclaim(&self.ring);
        match ended {
            Ended::Stopped(_) if wait.is_never() => {
                let why = "no consumer takes it at once";
                Err(refused(SEND, &self.site.object, ErrorKind::WouldBlock, why))
            }
            ended => Err(ended.into_error(SEND, &self.site.object)),
        }
    }
}

/// The ring in a place, and its room. `None` if what another has left there makes no sense.
fn adopt(site: &Site, own: &Own, index: usize) -> Result<Option<(Ring, Room)>> {
    let geometry = site.charter.geometry;
    let words = || own.words(segment::RING, geometry.words());
    let Some(ring) = Ring::adopt(geometry, words()?, own.words(segment::CONTROL_AT, CONTROL)?) else {
        return Ok(None);
    };
    let tail = own.words(segment::TAIL_AT + segment::TAIL, 1)?;
    let room = Room::adopt(geometry, words()?, tail, seat::ledger_of(site, index)?, &ring);
    Ok(room.map(|room| (ring, room)))
}

#[inline(always)]
fn shape(len: usize) -> Flags {
    if len >= LARGE { Flags::BELOW } else { Flags::empty() }
}

/// Messages that are sent one after the other, with one look at who sleeps.
#[derive(Debug)]
pub struct Batch<'p> {
    producer: &'p Producer,
}

impl Batch<'_> {
    /// As [`Producer::send_wait`].
    ///
    /// # Errors
    /// As [`Producer::send_wait`].
    pub fn send(&mut self, message: &[u8], wait: Wait) -> Result<()> {
        self.send_with(message.len(), wait, |room| copy_in(room, message))
    }

    /// As [`Producer::send_with`].
    ///
    /// # Errors
    /// As [`Producer::send_with`].
    #[inline(always)]
    pub fn send_with(&mut self, len: usize, wait: Wait, fill: impl FnOnce(&[AtomicU64])) -> Result<()> {
        let producer = self.producer;
        if producer.site.charter.capacity == Capacity::Zero {
            return producer.send_with(len, wait, fill);
        }
        producer.fill(len, wait, fill).map(drop)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.producer.ring_filled();
    }
}

#[cfg(test)]
impl Producer {
    /// As a forked child has it.
    pub(super) fn maker_is(&mut self, maker: Maker) {
        self.maker = maker;
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        if let Some(bell) = self.doorbell.get() {
            self.say_gate(None);
            bell.remove();
        }
        self.ring.close();
        self.site.hints.change_roster();
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("site", &self.site.object)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
