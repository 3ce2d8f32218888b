//! The side of the ring that reads. It writes nothing: what it has read it keeps for itself, and whoever holds it says so.

use crate::sync::{Ordering, fence, order};
use crate::words::{Foreign, Line, Lines, View, WORD, Window};

use super::frame::{About, BACK, Flags, payload_at, reserved, tag};
use super::lag::Lag;
use super::{Checkpoint, FETCHED, Geometry, Life, control, distance, fetch_ahead};

/// Follows one producer.
#[derive(Clone)]
pub(crate) struct Consumer {
    pub(super) geometry: Geometry,
    pub(super) ring: Lines<Foreign>,
    pub(super) control: Foreign,
    pub(super) position: u64,
    /// The number that comes next, once one was seen.
    pub(super) expected: Option<u64>,
    /// Of the message that was found last: its number, and what it is like.
    pub(super) sequence: u64,
    pub(super) shape: Shape,
    lag: Lag,
    /// Whether there may be no memory further on: then it does not look ahead.
    pub(crate) is_sparse: bool,
}

/// What the frame before was like: the next one is mostly like it.
///
/// Where a frame begins would otherwise be known only when the header of the one before it has come from another processor,
/// one after the other. Having compared them, a processor goes on with what it knows, and fetches several at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    about: u64,
    pub(super) len: usize,
    words: usize,
    pub(super) lines: u64,
    pub(super) is_below: bool,
}

impl Shape {
    /// Whether a frame is like this.
    #[inline(always)]
    fn is_of(self, about: u64) -> bool {
        (about ^ self.about) & !BACK == 0
    }

    fn of(about: About) -> Self {
        let is_below = about.flags.contains(Flags::BELOW);
        let words = about.len.div_ceil(WORD);
        Self { about: about.word(), len: about.len, words, lines: about.lines(), is_below }
    }

    /// A message without bytes.
    fn empty() -> Self {
        Self::of(About { len: 0, back: 0, flags: Flags::empty() })
    }

    /// Whether a frame like this begins in the line of that position; if so, its number.
    #[inline(always)]
    pub(super) fn begins_in(self, line: Line<'_>, position: u64) -> Option<u64> {
        if line.load::<0>() != tag(position) {
            return None;
        }
        // Pairs with the Release of the tag in `Producer::publish`.
        if order::FIND {
            fence(Ordering::Acquire);
        }
        self.is_of(line.load::<1>()).then(|| line.load::<2>())
    }

    /// What of a frame holds a message like this.
    pub(super) fn window(self) -> Option<Window> {
        Window::new(self.lines, payload_at(self.is_below), self.words)
    }

    /// A message like this.
    #[inline(always)]
    pub(super) fn frame(self, position: u64, sequence: u64) -> Frame {
        let Self { len, words, lines, is_below, .. } = self;
        Frame { position, sequence, len, words, next: position.wrapping_add(lines), is_below }
    }
}

/// What stands at a consumer's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing yet.
    Empty,
    /// Something that is not published and never will be, if the producer is dead.
    Pending,
    /// A message.
    Message(Frame),
    /// The producer has written over it.
    Overrun,
    /// No producer of ours wrote this.
    Nonsense,
}

/// A message as it stands in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) position: u64,
    pub(crate) sequence: u64,
    pub(crate) len: usize,
    /// Those that hold so many bytes.
    pub(crate) words: usize,
    /// Where the next frame begins.
    next: u64,
    /// Whether the payload begins at the next line.
    is_below: bool,
}

impl Frame {
    /// What stands for one where there is none.
    pub(crate) const NONE: Self =
        Self { position: 0, sequence: 0, len: 0, words: 0, next: 0, is_below: false };

    /// Where the next one begins.
    #[inline(always)]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

/// Whether what was read of a position before this call is what was published there, `claim` being loaded after it.
#[inline(always)]
pub(super) fn is_intact(position: u64, geometry: Geometry, claim: impl FnOnce() -> u64) -> bool {
    // Pairs with the Release fence in `Producer::claim_more`: if anything that was read until here was written after a claim,
    // then that claim is seen here.
    if order::INTACT {
        fence(Ordering::Acquire);
    }
    distance(position, claim()) <= geometry.lines().cast_signed()
}

/// How much of a message is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// So many bytes, and more will come.
    Part(usize),
    /// All.
    Whole,
    /// It was broken off.
    Broken,
}

impl Consumer {
    /// Begins at a position.
    pub(crate) fn new(geometry: Geometry, ring: Foreign, words: Foreign, position: u64) -> Option<Self> {
        if ring.len() != geometry.words() || words.len() != super::CONTROL {
            return None;
        }
        Some(Self {
            geometry,
            ring: Lines::foreign(ring)?,
            control: words,
            position,
            expected: None,
            sequence: 0,
            shape: Shape::empty(),
            lag: Lag::default(),
            is_sparse: false,
        })
    }

    /// Begins with the first message of all incarnations: for those that were there before the ring was.
    pub(crate) fn at_origin(&mut self) {
        self.position = self.control.load(control::ORIGIN);
        self.expected = Some(0);
    }

    /// Begins where the present incarnation of the producer began.
    pub(crate) fn at_start(&mut self) {
        self.position = self.control.load(control::START);
        self.expected = None;
    }

    /// Begins behind what a producer without capacity offers to those that have waited for it.
    pub(crate) fn at_met(&mut self) {
        // Acquire: pairs with the Release in `Producer::offer`.
        self.position = self.control.acquire(control::MET);
        self.expected = None;
    }

    /// Where the present incarnation of the producer began.
    pub(crate) fn start(&self) -> u64 {
        self.control.load(control::START)
    }

    /// Whether the incarnation before the present one has said good-bye.
    pub(crate) fn was_closed_before(&self) -> bool {
        Life::of(self.control.load(control::BEFORE)) == Life::Closed
    }

    /// The producer's newest checkpoint, and what was published since.
    pub(crate) fn newest(&self) -> Checkpoint {
        // Acquire: pairs with the Release of the turn.
        self.control.acquire(control::TURN);
        let mut newest = Checkpoint::read(|index| self.control.load(index));
        for _ in 0..self.geometry.lines() {
            let position = newest.head;
            let at = self.geometry.word(position);
            // Acquire: pairs with the Release of the tag.
            if self.ring.acquire(at) != tag(position) {
                break;
            }
            let (about, sequence) = (About::of(self.ring.load(at + 1)), self.ring.load(at + 2));
            let flows = about.flags.contains(Flags::BELOW)
                && !about.flags.intersects(Flags::SKIP | Flags::BROKEN)
                && self.ring.load(at + 3) < about.len as u64;
            if flows || !about.fits(self.geometry, position) || !self.is_intact(position) {
                break;
            }
            newest = newest.with(position, about, sequence);
        }
        newest
    }

    /// Begins behind everything that is published.
    pub(crate) fn at_head(&mut self) {
        let newest = self.newest();
        self.position = newest.head;
        self.expected = Some(newest.sequence);
    }

    /// Begins up to `most` messages before the end, as far back as the ring reaches, of at most `reach` lines.
    pub(crate) fn at_history(&mut self, most: u64, reach: u64) {
        let Checkpoint { head, last, .. } = self.newest();
        let mut position = head;
        let mut candidate = last;
        let mut expected = None;
        let mut found = 0;
        while found < most && candidate != position {
            let far = distance(candidate, head);
            if far <= 0 || far.cast_unsigned() > reach || distance(candidate, position) <= 0 {
                break;
            }
            // What was given back is not touched.
            if !self.is_intact(candidate) {
                break;
            }
            let at = self.geometry.word(candidate);
            // Acquire: pairs with the Release of the tag.
            if self.ring.acquire(at) != tag(candidate) {
                break;
            }
            let about = About::of(self.ring.load(at + 1));
            let sequence = self.ring.load(at + 2);
            if !about.fits(self.geometry, candidate) || !self.is_intact(candidate) {
                break;
            }
            position = candidate;
            expected = Some(sequence);
            found += u64::from(!about.flags.intersects(Flags::SKIP | Flags::BROKEN));
            if about.back == 0 {
                break;
            }
            candidate = candidate.wrapping_sub(about.back);
        }
        self.position = position;
        self.expected = expected;
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Goes to a position, where a frame begins if that is true.
    #[inline(always)]
    pub(crate) fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// After [`catch_up`](Self::catch_up), how many messages before this one were missed. It asks once: the next time there are
    /// none.
    pub(crate) fn count_missed(&mut self, frame: Frame) -> u64 {
        let expected = self.expected.replace(frame.sequence);
        expected.map_or(0, |expected| distance(expected, frame.sequence).max(0).cast_unsigned())
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// How many lines the producer is ahead.
    pub(crate) fn lag(&self) -> u64 {
        distance(self.position, self.newest().head).max(0).cast_unsigned()
    }

    /// Whether the message at hand is all there.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        self.arrived(self.hand()) == Arrived::Whole
    }

    /// Whether the next message is there, whatever it is like.
    pub(crate) fn shows(&self) -> bool {
        self.ring.load(self.geometry.word(self.position)) == tag(self.position)
    }

    /// Whether a message stands there that is like the one before: the usual case. If so it is at [`hand`](Self::hand).
    /// Otherwise nothing is said: see [`look`](Self::look).
    #[inline(always)]
    pub(crate) fn finds(&mut self) -> bool {
        if self.lag.is_idle() {
            self.finds_here() && {
                // A message has more instructions than a processor looks ahead: lines would come one or two at a time.
                fetch_ahead(self.position, self.shape.lines, FETCHED, |line| self.ring.fetch(line));
                true
            }
        } else {
            self.finds_late()
        }
    }

    /// The same where nothing was there the last time: the producer is about to write what comes next, and is not to lose it.
    #[inline(never)]
    fn finds_late(&mut self) -> bool {
        if self.lag.is_on() && self.lag.goes_on(self.ring.load(self.lag.at())) {
            return false;
        }
        let finds = self.finds_here();
        if finds {
            self.lag.hits();
        }
        finds
    }

    #[inline(always)]
    fn finds_here(&mut self) -> bool {
        let line = self.ring.line(self.position);
        let Some(sequence) = self.shape.begins_in(line, self.position) else { return false };
        if self.geometry.slot(self.position) + self.shape.lines > self.geometry.lines() {
            return false;
        }
        self.sequence = sequence;
        true
    }

    /// As [`look`](Self::look), for one that is not waited for in a sparse ring: what was given back is not touched.
    pub(crate) fn look_at_what_is_there(&mut self) -> Look {
        if self.is_intact(self.position) { self.look() } else { self.overrun() }
    }

    /// What comes next. Frames without a message are passed over, at most a whole ring of them at a time.
    #[inline]
    pub(crate) fn look(&mut self) -> Look {
        let at = self.geometry.word(self.position);
        let found = self.ring.load(at);
        if found != tag(self.position) {
            return self.look_closer(found);
        }
        // Pairs with the Release of the tag in `Producer::publish`.
        if order::LOOK {
            fence(Ordering::Acquire);
        }
        self.lag.hits();
        let about = self.ring.load(at + 1);
        if self.shape.is_of(about) && About::of(about).fits(self.geometry, self.position) {
            self.sequence = self.ring.load(at + 2);
            return Look::Message(self.hand());
        }
        self.look_further(About::of(about))
    }

    /// The message that was found last, as long as it was not [passed](Self::advance).
    #[inline(always)]
    pub(crate) fn hand(&self) -> Frame {
        self.shape.frame(self.position, self.sequence)
    }

    /// How many messages were not there when they were looked for.
    pub(crate) fn awaited(&self) -> u64 {
        self.lag.awaited()
    }

    /// While it lets the producer get ahead, whether that goes on.
    pub(crate) fn lags(&mut self) -> bool {
        self.lag.is_on() && self.lag.goes_on(self.ring.load(self.lag.at()))
    }

    /// No tag: nothing is there yet, or the producer is a lap ahead.
    #[cold]
    #[inline(never)]
    fn look_closer(&mut self, found: u64) -> Look {
        if !self.is_intact(self.position) {
            self.overrun()
        } else if found == reserved(self.position) {
            Look::Pending
        } else {
            if !self.is_sparse && self.lag.misses(self.position, self.shape.lines) {
                let ahead = self.lag.reach().min(self.geometry.lines() / 4);
                let at = self.geometry.word(self.position.wrapping_add(ahead));
                self.lag.begin(at, self.ring.load(at));
            }
            Look::Empty
        }
    }

    /// A frame that is not like the one before.
    #[inline(never)]
    fn look_further(&mut self, about: About) -> Look {
        let mut about = about;
        let begin = self.position;
        loop {
            if !self.is_intact(self.position) {
                return self.overrun();
            }
            if !about.fits(self.geometry, self.position) {
                return Look::Nonsense;
            }
            if !about.flags.intersects(Flags::SKIP | Flags::BROKEN) {
                self.shape = Shape::of(about);
                self.sequence = self.ring.load(self.geometry.word(self.position) + 2);
                return Look::Message(self.hand());
            }
            self.position = self.position.wrapping_add(about.lines());
            if distance(begin, self.position) > self.geometry.lines().cast_signed() {
                return Look::Pending;
            }
            let at = self.geometry.word(self.position);
            // Acquire: pairs with the Release of the tag.
            let found = self.ring.acquire(at);
            if found != tag(self.position) {
                return self.look_closer(found);
            }
            about = About::of(self.ring.load(at + 1));
        }
    }

    /// It has been overwritten; or its producer says so, and cannot have.
    fn overrun(&self) -> Look {
        // Acquire: pairs with the Release of the claim, before which the checkpoint was stored.
        let claim = self.control.acquire(control::CLAIM);
        let head = Checkpoint::read(|index| self.control.load(index)).head;
        let is_possible = distance(head, claim) <= self.geometry.lines().cast_signed();
        if is_possible { Look::Overrun } else { Look::Nonsense }
    }

    /// Whether what was read of a position before this call is what was published there.
    #[inline(always)]
    pub(crate) fn is_intact(&self, position: u64) -> bool {
        is_intact(position, self.geometry, || self.control.load(control::CLAIM))
    }

    /// How much of a message is there: all, unless it flows.
    #[inline(always)]
    pub(crate) fn arrived(&self, frame: Frame) -> Arrived {
        if !frame.is_below {
            return Arrived::Whole;
        }
        let at = self.geometry.word(frame.position);
        // Acquire: pairs with the Release in `Producer::show`.
        let arrived = self.ring.acquire(at + 3);
        if arrived >= frame.len as u64 {
            Arrived::Whole
        } else if About::of(self.ring.load(at + 1)).flags.contains(Flags::BROKEN) {
            Arrived::Broken
        } else {
            Arrived::Part(arrived as usize)
        }
    }

    /// The words of a message.
    #[inline(always)]
    pub(crate) fn payload(&self, frame: Frame) -> View<'_> {
        self.ring.view(self.geometry.word(frame.position) + payload_at(frame.is_below), frame.words)
    }

    /// Goes on behind a message, and says how many before it were missed.
    #[inline(always)]
    pub(crate) fn advance(&mut self, frame: Frame) -> u64 {
        self.position = frame.next;
        let missed = match self.expected {
            Some(expected) => distance(expected, frame.sequence).max(0).cast_unsigned(),
            None => 0,
        };
        self.expected = Some(frame.sequence.wrapping_add(1));
        missed
    }

    /// Goes on behind a frame that will never be published, this incarnation of its producer being dead. Whether there was
    /// one.
    pub(crate) fn skip_pending(&mut self, epoch: u64) -> bool {
        let at = self.geometry.word(self.position);
        // Acquire: pairs with the Release of the tag, or of what says that it is lent.
        let found = self.ring.acquire(at);
        let about = About::of(self.ring.load(at + 1));
        let is_open = found == tag(self.position)
            && about.flags.contains(Flags::BELOW)
            && self.ring.load(at + 3) < about.len as u64;
        if !is_open && found != reserved(self.position) || !about.fits(self.geometry, self.position) {
            return false;
        }
        // A successor that lends or opens something at this very place has said its epoch before: pairs with the Release of
        // what was found.
        if self.epoch() != epoch || !self.is_intact(self.position) {
            return false;
        }
        self.position = self.position.wrapping_add(about.lines());
        true
    }

    /// After an overrun, goes to the oldest message that will be there for a while: within half of the ring.
    pub(crate) fn catch_up(&mut self) {
        let expected = self.expected;
        self.at_history(u64::MAX, self.geometry.lines() / 2);
        self.expected = expected;
    }

    /// Goes on where another has come to, in a copy of its ring or in the ring itself: what comes next is what it expects.
    pub(crate) fn expecting_as(mut self, other: &Self) -> Self {
        self.expected = other.expected;
        self
    }

    /// Which incarnation of the producer there is; 0 before the first. What is asked afterwards is of it, or of a later one.
    pub(crate) fn epoch(&self) -> u64 {
        // Acquire: pairs with the Release in `Producer::begin`.
        self.control.acquire(control::EPOCH)
    }

    /// Whether the producer has said good-bye.
    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `Producer::close`; what was published before is seen afterwards.
        Life::of(self.control.acquire(control::STATE)) == Life::Closed
    }

    /// What the producer has counted: messages and bytes.
    pub(crate) fn published(&self) -> (u64, u64) {
        let newest = self.newest();
        (newest.messages, newest.bytes)
    }

    /// Whether the memory is all there.
    pub(crate) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.ring.check()
    }
}
