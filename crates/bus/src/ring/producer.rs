//! The side of the ring that writes.

use core::cell::Cell;

use crate::sync::{AtomicU64, Ordering, fence, order};
use crate::words::{Lines, Words};

use super::frame::{About, Flags, lines_of, payload_at, reserved, tag};
use super::{Checkpoint, FETCHED, Geometry, LINE, Life, control, distance, fetch_ahead};

/// The only one who writes a ring.
///
/// It is not `Sync`: several loans may be out, but all are of one thread.
pub(crate) struct Producer {
    geometry: Geometry,
    pub(super) ring: Lines<Words>,
    control: Words,
    /// Where the next frame begins.
    pub(super) next: Cell<u64>,
    /// Up to where a frame may reach without another look: it is claimed, with the line behind it, and of one lap.
    pub(super) open: Cell<u64>,
    /// Up to where it may be written, as far as is known.
    limit: Cell<u64>,
    /// Up to where we have said that we write.
    claimed: Cell<u64>,
    /// Up to where consumers are told that it may be written: further than it may where memory was given back.
    told: Cell<u64>,
    /// Where the frame before the next begins.
    pub(super) before: Cell<u64>,
    /// The number of the next message.
    pub(super) sequence: Cell<u64>,
    /// The bytes of all messages.
    pub(super) bytes: Cell<u64>,
    /// How many numbers were given to what was no message in the end.
    dropped: Cell<u64>,
    /// How many frames are lent out, or open.
    lent: Cell<u32>,
    /// While there are: up to where all is published, and what that was.
    done: Cell<Checkpoint>,
}

/// Up to how many lines are sent ahead. Of a longer message some may not have been written at all, whose sending would be in vain; and of
/// more than 16 a processor sends the others later than they would be asked for.
const SENT_AHEAD: u64 = 8;

/// How far back it is open while nothing is to be reserved: farther than any ring is long.
const SHUT: u64 = 1 << 62;

/// Room for a frame, which nobody sees yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Slot {
    pub(crate) position: u64,
    pub(crate) len: usize,
    pub(crate) flags: Flags,
    back: u64,
    sequence: u64,
}

impl Slot {
    /// The same, taken without flags: so that a compiler knows it again.
    #[inline(always)]
    pub(crate) fn plain(self) -> Self {
        debug_assert_eq!(self.flags, Flags::empty());
        Self { flags: Flags::empty(), ..self }
    }

    /// What it is besides its length, if it has no flags: [`of`](Self::of) puts it together again. To pass all of a slot to what is
    /// rarely called would keep it in memory where it is not.
    #[inline(always)]
    pub(crate) fn parts(self) -> [u64; 3] {
        [self.position, self.back, self.sequence]
    }

    pub(crate) fn of(position: u64, back: u64, sequence: u64, len: usize) -> Self {
        Self { position, len, flags: Flags::empty(), back, sequence }
    }
}

impl Producer {
    /// Begins another incarnation on a ring that nobody writes: a fresh one (all zero), or one that a producer has left or
    /// died over, of which everything that was published stays.
    ///
    /// `None` if what stands there cannot be a ring of ours.
    pub(crate) fn adopt(geometry: Geometry, ring: Words, words: Words) -> Option<Self> {
        if ring.len() != geometry.words() || words.len() != super::CONTROL {
            return None;
        }
        // Acquire: whatever the predecessor wrote before, by way of whoever found it dead.
        let done = Checkpoint::read(|index| words[index].load(Ordering::Acquire));
        let producer = Self {
            geometry,
            next: Cell::new(done.head),
            open: Cell::new(done.head),
            limit: Cell::new(done.head),
            claimed: Cell::new(words[control::CLAIM].load(Ordering::Relaxed)),
            told: Cell::new(words[control::CLAIM].load(Ordering::Relaxed)),
            before: Cell::new(done.last),
            sequence: Cell::new(done.sequence),
            bytes: Cell::new(done.bytes),
            dropped: Cell::new(done.sequence.wrapping_sub(done.messages)),
            lent: Cell::new(0),
            done: Cell::new(done),
            ring: Lines::own(ring)?,
            control: words,
        };
        producer.recover()?;
        producer.begin();
        Some(producer)
    }

    /// Takes what the predecessor published since its last checkpoint into the count, and closes what it left open.
    fn recover(&self) -> Option<()> {
        let mut done = self.done.get();
        // As many as there are lines, and no more: a ring that is full of nonsense ends too.
        for _ in 0..self.geometry.lines() {
            let position = done.head;
            let at = self.geometry.word(position);
            // Acquire: pairs with the Release of the predecessor's `publish`, whose message is counted then.
            let found = self.ring[at].load(Ordering::Acquire);
            if found != tag(position) && found != reserved(position) {
                break;
            }
            let about = About::of(self.ring[at + 1].load(Ordering::Relaxed));
            if !about.fits(self.geometry, position) {
                return None;
            }
            let is_whole = !about.flags.contains(Flags::BELOW)
                || self.ring[at + 3].load(Ordering::Relaxed) >= about.len as u64;
            let mut flags = about.flags;
            if found == reserved(position) {
                flags |= Flags::SKIP;
            } else if !is_whole {
                flags |= Flags::BROKEN;
            }
            let about = About { flags, ..about };
            self.ring[at + 1].store(about.word(), Ordering::Relaxed);
            // Release: pairs with the Acquire of the tag in `Consumer::look`, which then sees the flags.
            self.ring[at].store(tag(position), Ordering::Release);
            done = done.with(position, about, self.ring[at + 2].load(Ordering::Relaxed));
        }
        // Nobody of ours claims what is not free: who believed it would overwrite what is still to be read.
        if !(0..=self.geometry.lines().cast_signed()).contains(&distance(done.head, self.claimed.get())) {
            return None;
        }
        // What stands there may be payload of an earlier lap.
        self.ring[self.geometry.word(done.head)].store(0, Ordering::Relaxed);
        self.next.set(done.head);
        self.open.set(done.head);
        self.before.set(done.last);
        self.sequence.set(done.sequence);
        self.bytes.set(done.bytes);
        self.dropped.set(done.sequence.wrapping_sub(done.messages));
        self.store_checkpoint(done);
        Some(())
    }

    fn begin(&self) {
        let store = |index: usize, word: u64| self.control[index].store(word, Ordering::Relaxed);
        store(control::BEFORE, self.control[control::STATE].load(Ordering::Relaxed));
        if self.control[control::EPOCH].load(Ordering::Relaxed) == 0 {
            store(control::ORIGIN, self.next.get());
        }
        store(control::START, self.next.get());
        // Release: pairs with the Acquire in `Consumer::at_met`; whoever begins there finds no old tag.
        self.control[control::MET].store(self.next.get(), Ordering::Release);
        // Release: whoever sees it active sees where it began.
        self.control[control::STATE].store(Life::Active.word(), Ordering::Release);
        // Before all that this incarnation writes to the ring, which is published with Release: see `Consumer::skip_pending`.
        // Release: pairs with the Acquire in `Consumer::epoch`; whoever sees the epoch does not take the predecessor's good-bye for
        // this one's.
        let epoch = self.control[control::EPOCH].load(Ordering::Relaxed).wrapping_add(1);
        self.control[control::EPOCH].store(epoch, Ordering::Release);
    }

    /// Says that nothing will follow.
    pub(crate) fn close(&self) {
        self.store_checkpoint(self.checkpoint());
        // Release: whoever sees it closed sees all that was published.
        self.control[control::STATE].store(Life::Closed.word(), Ordering::Release);
    }

    /// Where the first incarnation began.
    pub(crate) fn origin(&self) -> u64 {
        self.control[control::ORIGIN].load(Ordering::Relaxed)
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Up to where all is published.
    pub(crate) fn head(&self) -> u64 {
        self.checkpoint().head
    }

    /// Where the next frame will begin.
    pub(crate) fn next(&self) -> u64 {
        self.next.get()
    }

    /// Up to where it may be written: the least cursor and the length of the ring. What is lent out is not written over,
    /// whoever may have read beyond.
    pub(crate) fn allow(&self, least_cursor: u64) {
        let head = self.head();
        let least = if distance(least_cursor, head) < 0 { head } else { least_cursor };
        self.limit.set(least.wrapping_add(self.geometry.lines()));
    }

    /// Up to where it may be written at the most, whoever has read how far.
    pub(crate) fn limit_to(&self, end: u64) {
        if distance(end, self.limit.get()) > 0 {
            self.limit.set(end);
        }
    }

    /// Where a message would end, with the tag behind it.
    pub(crate) fn end_of(&self, len: usize, flags: Flags) -> u64 {
        let lines = lines_of(len, flags);
        let left = self.geometry.lines() - self.geometry.slot(self.next.get());
        let needed = if lines > left { left + lines } else { lines } + 1;
        self.next.get().wrapping_add(needed)
    }

    /// The ring and its control block, for a copy of them.
    pub(crate) fn memory(&self) -> (&Words, &Words) {
        (&self.ring, &self.control)
    }

    /// Says that whoever joins from now on begins behind what was reserved. Whoever may begin before that has changed the roster
    /// before this returns.
    pub(crate) fn offer(&self) {
        // Release: pairs with the Acquire in `Consumer::at_met`; whoever begins there finds the tag 0, or that of what follows.
        self.control[control::MET].store(self.next.get(), Ordering::Release);
        // Pairs with the fence of whoever joins, between its change of the roster and its look at this word.
        if order::OFFER {
            fence(Ordering::SeqCst);
        }
    }

    /// Room for a message, in front of which the rest of the ring is skipped where it would not fit. `None` if there is none.
    #[inline(always)]
    pub(crate) fn reserve(&self, len: usize, flags: Flags) -> Option<Slot> {
        let lines = lines_of(len, flags);
        let is_open = distance(self.next.get().wrapping_add(lines), self.open.get()) >= 0;
        // Nothing larger than a truth value comes out of the rare ways, so that the slot stays in registers.
        if is_open || self.make_way(lines) {
            Some(self.take(self.next.get(), len, flags, lines))
        } else {
            None
        }
    }

    /// Has so many lines open behind the next position, if there is room.
    #[cold]
    #[inline(never)]
    fn make_way(&self, lines: u64) -> bool {
        if self.is_filling() {
            return false;
        }
        let left = self.geometry.lines() - self.geometry.slot(self.next.get());
        let is_there = if lines > left {
            self.skip_to_the_end(lines, left)
        } else {
            self.claim(self.next.get().wrapping_add(lines).wrapping_add(1))
        };
        let (claimed, end) = (self.claimed.get().wrapping_sub(1), self.geometry.end_of_lap(self.next.get()));
        self.open.set(if distance(claimed, end) < 0 { end } else { claimed });
        is_there
    }

    /// Whether there would be room.
    pub(crate) fn has_room(&self, len: usize, flags: Flags) -> bool {
        distance(self.end_of(len, flags), self.limit.get()) >= 0
    }

    fn skip_to_the_end(&self, lines: u64, left: u64) -> bool {
        let next = self.next.get();
        // Both at once, or neither: the rest is not skipped for a message that then does not come.
        if !self.claim(next.wrapping_add(left + lines + 1)) {
            return false;
        }
        let skipped = left as usize * super::LINE_BYTES - 8 * super::HEADER;
        let skip = self.take(next, skipped, Flags::SKIP, left);
        self.publish(skip);
        true
    }

    /// Makes sure that everything before `end` may be written, and is known to be about to be.
    fn claim(&self, end: u64) -> bool {
        distance(end, self.claimed.get()) >= 0 || self.claim_more(end)
    }

    fn claim_more(&self, end: u64) -> bool {
        let room = distance(end, self.limit.get());
        if room < 0 || self.ring.check().is_err() {
            return false;
        }
        // A large message is claimed with another, so that not each costs consumers a look at a word that was just written.
        let large = distance(self.next.get(), end).cast_unsigned().min(self.geometry.lines() / 4);
        let stride = self.geometry.stride().max(large);
        let end = end.wrapping_add(stride.min(room.cast_unsigned()));
        // Before the claim: what is behind the checkpoint is not overwritten.
        self.store_checkpoint(self.checkpoint());
        self.claimed.set(end);
        self.tell(end);
        true
    }

    /// Tells consumers that everything before `end` may be written.
    fn tell(&self, end: u64) {
        if distance(self.told.get(), end) <= 0 {
            return;
        }
        self.told.set(end);
        // Release: whoever sees it sees a `head` that it is no further from than the ring is long.
        self.control[control::CLAIM].store(end, Ordering::Release);
        // Pairs with the Acquire fence in `Consumer::is_intact`: whoever sees what is written from here on sees the claim.
        if order::CLAIM {
            fence(Ordering::Release);
        }
    }

    /// Tells consumers that everything before `end`, all of which is published, has gone, as if it were overwritten: before its
    /// memory is given back, which then reads as zeros.
    pub(crate) fn abandon(&self, end: u64) {
        self.store_checkpoint(self.checkpoint());
        self.tell(end.wrapping_add(self.geometry.lines()));
    }

    /// Claims anew what a predecessor had claimed or [abandoned](Self::abandon): for those that have to make memory first, or to be
    /// invited.
    pub(crate) fn begin_anew(&self) {
        self.claimed.set(self.next.get());
    }

    #[inline(always)]
    pub(super) fn take(&self, position: u64, len: usize, flags: Flags, lines: u64) -> Slot {
        let next = position.wrapping_add(lines);
        // Before anybody can come there: see "why a tag is never stale".
        self.ring.line(next)[0].store(0, Ordering::Relaxed);
        fetch_ahead(next, lines, FETCHED, |line| self.ring.fetch(line));
        let slot = Slot {
            position,
            len,
            flags,
            back: position.wrapping_sub(self.before.get()),
            sequence: self.sequence.get(),
        };
        self.before.set(position);
        self.next.set(next);
        if !flags.contains(Flags::SKIP) {
            self.sequence.set(slot.sequence.wrapping_add(1));
        }
        slot
    }

    /// The words where the payload goes.
    #[inline(always)]
    pub(crate) fn payload(&self, slot: Slot) -> &[AtomicU64] {
        let at = self.geometry.word(slot.position) + payload_at(slot.flags.contains(Flags::BELOW));
        let words = self.ring.get(at..at + words_of(slot.len));
        debug_assert!(words.is_some(), "a slot is where it was taken");
        // Not a panic, for which a caller would have to be ready at each message.
        words.unwrap_or(&[])
    }

    /// Has `fill` write a slot; if it panics, the slot is given up.
    ///
    /// Meanwhile nothing else is reserved, which might reach over the slot: nobody is known to wait for it yet.
    #[inline(always)]
    pub(crate) fn fill(&self, slot: Slot, fill: impl FnOnce(&[AtomicU64])) {
        let filling = Filling { producer: self, slot, open: self.shut() };
        fill(self.payload(slot));
        self.open.set(filling.open);
        core::mem::forget(filling);
    }

    /// Has nothing reserved until [`open`](Self::open) is what it was, which is returned.
    #[inline(always)]
    pub(super) fn shut(&self) -> u64 {
        self.open.replace(self.next.get().wrapping_sub(SHUT))
    }

    /// Whether a message is just being written by `fill`.
    pub(crate) fn is_filling(&self) -> bool {
        distance(self.next.get(), self.open.get()) <= -SHUT.cast_signed()
    }

    /// Marks a slot as lent: whatever becomes of it, those behind it can be reached.
    pub(crate) fn lend(&self, slot: Slot) {
        let line = self.ring.line(slot.position);
        self.begin_lending(slot);
        describe(line, slot);
        // Release: whoever finds the mark finds the length.
        line[0].store(reserved(slot.position), Ordering::Release);
    }

    /// Publishes a slot that was lent, or gives it back if `flags` says to skip it.
    pub(crate) fn publish_lent(&self, slot: Slot, flags: Flags) {
        if flags.contains(Flags::SKIP) {
            self.give_up(slot);
        } else {
            self.publish(slot);
        }
        self.lent.set(self.lent.get() - 1);
    }

    /// Has a slot that was not published skipped.
    pub(crate) fn give_up(&self, slot: Slot) {
        self.publish(Slot { flags: slot.flags | Flags::SKIP, ..slot });
        self.dropped.set(self.dropped.get().wrapping_add(1));
    }

    /// From here on what is published has to be looked for.
    fn begin_lending(&self, slot: Slot) {
        if self.lent.get() == 0 {
            self.done.set(Checkpoint {
                head: slot.position,
                last: slot.position.wrapping_sub(slot.back),
                sequence: slot.sequence,
                messages: slot.sequence.wrapping_sub(self.dropped.get()),
                bytes: self.bytes.get(),
            });
        }
        self.lent.set(self.lent.get() + 1);
    }

    /// Publishes a slot.
    #[inline(always)]
    pub(crate) fn publish(&self, slot: Slot) {
        self.publish_promptly(slot, false);
    }

    /// The same; `is_prompt`: so that it is there soonest, which is better left in a stream, whose lines are written again before long
    /// and have to come back.
    #[inline(always)]
    pub(crate) fn publish_promptly(&self, slot: Slot, is_prompt: bool) {
        let line = self.ring.line(slot.position);
        if slot.flags.contains(Flags::BELOW) {
            line[3].store(slot.len as u64, Ordering::Relaxed);
        }
        describe(line, slot);
        if is_prompt {
            self.send_payload(slot.position, slot.len);
        }
        // Release: pairs with the Acquire in `Consumer::look`, which so sees the payload, the header and the next tag's 0.
        line[0].store(tag(slot.position), order::PUBLISH);
        if is_prompt {
            self.ring.demote(slot.position);
        }
        if !slot.flags.contains(Flags::SKIP) {
            self.bytes.set(self.bytes.get().wrapping_add(slot.len as u64));
        }
    }

    /// Has the lines behind the header sent to where consumers find them soonest. They otherwise ask for them once they have seen the
    /// tag, and have them from this processor's own cache.
    #[inline(never)]
    fn send_payload(&self, position: u64, len: usize) {
        let lines = lines_of(len, Flags::empty());
        if lines <= 1 + SENT_AHEAD {
            (1..lines).for_each(|line| self.ring.demote(position.wrapping_add(line)));
        }
    }

    /// Shows a slot of kind `BELOW` of which nothing is written yet; it is written by [`Self::show`].
    pub(crate) fn open(&self, slot: Slot) {
        self.begin_lending(slot);
        self.open_lent(slot);
    }

    /// As [`open`](Self::open), of a slot that was lent.
    pub(crate) fn open_lent(&self, slot: Slot) {
        let line = self.ring.line(slot.position);
        line[3].store(0, Ordering::Relaxed);
        describe(line, slot);
        // Release: as in `publish`.
        line[0].store(tag(slot.position), Ordering::Release);
    }

    /// Says that the first `len` bytes of an open slot are written.
    pub(crate) fn show(&self, slot: Slot, len: usize) {
        let at = self.geometry.word(slot.position);
        // Release: pairs with the Acquire in `Consumer::arrived`.
        self.ring[at + 3].store(len as u64, order::SHOW);
    }

    /// Ends an open slot: all of it is there, or it is broken off.
    pub(crate) fn finish(&self, slot: Slot, is_whole: bool) {
        if is_whole {
            self.show(slot, slot.len);
            self.bytes.set(self.bytes.get().wrapping_add(slot.len as u64));
        } else {
            self.break_off(slot);
        }
        self.lent.set(self.lent.get() - 1);
    }

    /// Has a message counted no more that was published, and that nobody has received or will.
    pub(crate) fn withdraw(&self, slot: Slot) {
        self.break_off(slot);
        self.bytes.set(self.bytes.get().wrapping_sub(slot.len as u64));
    }

    fn break_off(&self, slot: Slot) {
        let about = About { len: slot.len, back: slot.back, flags: slot.flags | Flags::BROKEN };
        // Release: nothing that comes later is seen before it.
        self.ring.line(slot.position)[1].store(about.word(), Ordering::Release);
        self.dropped.set(self.dropped.get().wrapping_add(1));
    }

    /// What was published, up to the first frame that is not.
    fn checkpoint(&self) -> Checkpoint {
        if self.lent.get() > 0 {
            return self.catch_up();
        }
        let sequence = self.sequence.get();
        Checkpoint {
            head: self.next.get(),
            last: self.before.get(),
            sequence,
            messages: sequence.wrapping_sub(self.dropped.get()),
            bytes: self.bytes.get(),
        }
    }

    fn catch_up(&self) -> Checkpoint {
        let mut done = self.done.get();
        while done.head != self.next.get() {
            let position = done.head;
            let at = self.geometry.word(position);
            let about = About::of(self.ring[at + 1].load(Ordering::Relaxed));
            let is_open = about.flags.contains(Flags::BELOW)
                && !about.flags.intersects(Flags::BROKEN | Flags::SKIP)
                && self.ring[at + 3].load(Ordering::Relaxed) < about.len as u64;
            if self.ring[at].load(Ordering::Relaxed) != tag(position) || is_open {
                break;
            }
            done = done.with(position, about, self.ring[at + 2].load(Ordering::Relaxed));
        }
        self.done.set(done);
        done
    }

    /// Writes the checkpoint that does not count, and then has it count.
    fn store_checkpoint(&self, done: Checkpoint) {
        let turn = self.control[control::TURN].load(Ordering::Relaxed).wrapping_add(1);
        let at = control::CHECKPOINT + control::STEP * (turn & 1) as usize;
        for (index, word) in
            [done.head, done.last, done.sequence, done.messages, done.bytes].into_iter().enumerate()
        {
            self.control[at + index].store(word, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `Consumer::newest`.
        self.control[control::TURN].store(turn, Ordering::Release);
    }

    /// How many messages were published, by all incarnations, and their bytes.
    pub(crate) fn published(&self) -> (u64, u64) {
        let done = self.checkpoint();
        (done.messages, done.bytes)
    }

    /// Whether the memory is all there.
    pub(crate) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.ring.check()
    }
}

/// A message that is being written. If that panics it is none, and those behind it can be received.
struct Filling<'p> {
    producer: &'p Producer,
    slot: Slot,
    open: u64,
}

impl Drop for Filling<'_> {
    // Inline, so that a slot need not be in memory for the sake of a panic.
    #[inline(always)]
    fn drop(&mut self) {
        self.producer.open.set(self.open);
        give_up(self.producer, self.slot);
    }
}

#[cold]
#[inline(never)]
fn give_up(producer: &Producer, slot: Slot) {
    producer.give_up(slot);
}

/// How many words hold so many bytes, of which there are fewer than 2³¹.
#[inline(always)]
pub(super) fn words_of(len: usize) -> usize {
    (len + 7) >> 3
}

/// Writes what the header says besides the tag.
#[inline(always)]
fn describe(line: &[AtomicU64; LINE as usize], slot: Slot) {
    let about = About { len: slot.len, back: slot.back, flags: slot.flags };
    line[1].store(about.word(), Ordering::Relaxed);
    line[2].store(slot.sequence, Ordering::Relaxed);
}
