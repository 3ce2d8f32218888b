//! The buffers, their tags and who may write them: the algorithm without files or waiting. [`latest`](super) says why it works.

use crate::barrier;
use crate::futex::Futex;
use crate::sync::{AtomicU64, Ordering, fence};
use crate::words::{Foreign, View, WORD, Words};

use super::{ROUNDS, TRIES};

/// Words of a buffer before its payload.
pub(super) const ABOUT: usize = 2;
/// The last version that anybody goes on with: a word has 56 bits for it, and to write half as many takes a century.
const LAST: u64 = (1 << 55) - 1;
/// Words of a line.
const LINE: usize = 8;

/// Where things stand in the control block.
pub(crate) mod control {
    pub(crate) const CURRENT: usize = 0;
    pub(crate) const BYTES: usize = 1;
    pub(crate) const STATE: usize = 8;
    pub(crate) const EPOCH: usize = 9;
    pub(crate) const WORDS: usize = 16;
}

/// How many buffers of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// 3 at least, 256 at the most.
    pub(super) count: usize,
    /// The most bytes of a value.
    pub(super) size: usize,
}

impl Shape {
    pub(super) fn stride(self) -> usize {
        (ABOUT + self.size.div_ceil(WORD)).next_multiple_of(LINE)
    }

    pub(super) fn words(self) -> usize {
        self.count * self.stride()
    }
}

fn packed(number: u64, buffer: usize) -> u64 {
    number << 8 | buffer as u64
}

/// The version that a word names, of those that name a buffer, too.
pub(crate) fn number_of(word: u64) -> u64 {
    word >> 8
}

fn buffer_of(word: u64) -> usize {
    (word & 0xff) as usize
}

/// The tag of a buffer that holds a version.
fn tag(version: u64) -> u64 {
    version << 1
}

/// The request of a reader, as a grant repeats it.
fn short(request: u64) -> u64 {
    request & (u64::MAX >> 8)
}

/// A buffer that is kept for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    reader: usize,
    request: u64,
    buffer: usize,
}

/// The only one who writes.
pub(super) struct Keeper {
    shape: Shape,
    control: Words,
    grants: Words,
    buffers: Words,
    version: u64,
    current: usize,
    /// Oldest first.
    holds: Vec<Hold>,
    bytes: u64,
}

impl Keeper {
    /// Begins on memory that nobody writes: all zero, or what another has left, with its value. `None` if that makes no sense.
    pub(super) fn adopt(shape: Shape, control: Words, grants: Words, buffers: Words) -> Option<Self> {
        let fits = control.len() == control::WORDS && buffers.len() == shape.words();
        if !fits || !(3..=256).contains(&shape.count) {
            return None;
        }
        let word = control[control::CURRENT].load(Ordering::Relaxed);
        let (version, current) = (number_of(word), buffer_of(word));
        if current >= shape.count || version > LAST {
            return None;
        }
        if version > 0 {
            let about = buffers.get(current * shape.stride()..)?.get(..ABOUT)?;
            let len = about[1].load(Ordering::Relaxed);
            if about[0].load(Ordering::Relaxed) != tag(version) || len > shape.size as u64 {
                return None;
            }
        }
        // Those to whom the predecessor granted something ask anew.
        for grant in grants.iter() {
            if grant.load(Ordering::Relaxed) != 0 {
                grant.store(0, Ordering::Relaxed);
            }
        }
        let bytes = control[control::BYTES].load(Ordering::Relaxed);
        control[control::STATE].store(1, Ordering::Relaxed);
        let epoch = control[control::EPOCH].load(Ordering::Relaxed).wrapping_add(1);
        // Release: pairs with the Acquire in `Glance::epoch`; whoever sees the epoch does not take the predecessor's good-bye for
        // this one's.
        control[control::EPOCH].store(epoch, Ordering::Release);
        Some(Self { shape, control, grants, buffers, version, current, holds: Vec::new(), bytes })
    }

    /// Says that nothing will follow.
    pub(super) fn close(&self) {
        // Release: whoever sees it closed sees the last value.
        self.control[control::STATE].store(2, Ordering::Release);
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets those grants whose readers do not want them any more. `request` tells what a reader asks for now, if it is there.
    pub(super) fn release(&mut self, request: impl Fn(usize) -> Option<u64>) {
        self.holds.retain(|hold| request(hold.reader) == Some(hold.request));
    }

    /// Whether anything is granted.
    #[inline]
    pub(super) fn has_granted(&self) -> bool {
        !self.holds.is_empty()
    }

    /// The buffer that the next value goes into: the one whose turn it is, but for the current one and those that are granted.
    #[inline]
    pub(super) fn choose(&self) -> usize {
        let mut buffer = self.current;
        loop {
            buffer = if buffer + 1 == self.shape.count { 0 } else { buffer + 1 };
            // There is one: `grant` keeps two that are not granted, of which the current one may be one.
            if buffer != self.current && !self.holds.iter().any(|hold| hold.buffer == buffer) {
                return buffer;
            }
        }
    }

    /// The words where a value of `len` bytes goes, whose tag says that it is being written.
    #[inline]
    pub(super) fn begin(&self, buffer: usize, len: usize) -> &[AtomicU64] {
        let at = buffer * self.shape.stride();
        // Release: whoever fails because of it sees what was granted before (the Acquire fence in `overtaken`).
        self.buffers[at].store(tag(self.version + 1) | 1, Ordering::Release);
        // Pairs with the Acquire fence in `Glance::copy`: whoever sees what is written from here on sees the odd tag, or a
        // later one.
        fence(Ordering::Release);
        self.buffers[at + 1].store(len as u64, Ordering::Relaxed);
        &self.buffers[at + ABOUT..at + ABOUT + len.div_ceil(WORD)]
    }

    /// Makes it the newest value. A light fence and [`asks`](Self::asks) must follow.
    #[inline]
    pub(super) fn publish(&mut self, buffer: usize, len: usize) {
        self.version += 1;
        self.current = buffer;
        self.bytes = self.bytes.wrapping_add(len as u64);
        // Release: pairs with the Acquire of the tag in `Glance::copy`.
        self.buffers[buffer * self.shape.stride()].store(tag(self.version), Ordering::Release);
        self.control[control::BYTES].store(self.bytes, Ordering::Relaxed);
        // Release: pairs with the Acquire in `Glance::current`.
        self.control[control::CURRENT].store(packed(self.version, buffer), Ordering::Release);
    }

    /// Keeps the newest value for a reader that asks, unless it has something already.
    pub(super) fn grant(&mut self, reader: usize, request: u64) {
        let is_wanted =
            request & 1 == 1 && number_of(self.grants[reader].load(Ordering::Relaxed)) != short(request);
        if !is_wanted || self.version == 0 {
            return;
        }
        self.holds.retain(|hold| hold.reader != reader);
        self.holds.push(Hold { reader, request, buffer: self.current });
        // One is left for the next value, beside the current one. The oldest grant goes: its reader notices.
        while self.held() > self.shape.count - 2 {
            self.holds.remove(0);
        }
        // Release: pairs with the Acquire in `Glance::granted`; the value is there.
        self.grants[reader].store(packed(short(request), self.current), Ordering::Release);
    }

    /// Whether the memory is all there.
    pub(super) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.control.check()
    }

    /// How many buffers are granted.
    fn held(&self) -> usize {
        let is_first = |at: usize| self.holds[..at].iter().all(|hold| hold.buffer != self.holds[at].buffer);
        (0..self.holds.len()).filter(|&at| is_first(at)).count()
    }
}

/// A reader's view of it.
#[derive(Clone)]
pub(super) struct Glance {
    shape: Shape,
    control: Foreign,
    grant: Foreign,
    buffers: Foreign,
}

/// How a reader asks: in a word of its own, and at the place where the writer looks.
pub(super) struct Request<'a> {
    pub(super) word: &'a AtomicU64,
    pub(super) asked: &'a Futex,
    /// Called if the writer has to be asked to fence for itself.
    pub(super) ask_for_fences: &'a dyn Fn(),
}

/// What a read took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) retries: u64,
    pub(super) requests: u64,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It was overwritten while it was copied.
    Overwritten,
    /// No writer of ours wrote this.
    Nonsense,
}

impl Glance {
    pub(super) fn new(shape: Shape, control: Foreign, grant: Foreign, buffers: Foreign) -> Option<Self> {
        let fits = control.len() == control::WORDS && grant.len() == 1 && buffers.len() == shape.words();
        fits.then_some(Self { shape, control, grant, buffers })
    }

    /// The newest version; 0 if there is none.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        number_of(self.control.load(control::CURRENT))
    }

    /// Which incarnation of the writer there is. What is asked afterwards is of it, or of a later one.
    pub(super) fn epoch(&self) -> u64 {
        // Acquire: pairs with the Release in `Keeper::adopt`.
        self.control.acquire(control::EPOCH)
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `Keeper::close`.
        self.control.acquire(control::STATE) != 1
    }

    pub(super) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.control.check()
    }

    /// Reads the newest value: `take` gets its words and its length, maybe several times, and what it made of the last counts.
    /// `None` if there is none.
    pub(super) fn read(
        &self,
        request: &Request<'_>,
        cost: &mut Cost,
        mut take: impl FnMut(View<'_>, usize),
    ) -> Result<Option<u64>, Failed> {
        for _ in 0..TRIES {
            match self.read_current(&mut take) {
                Err(Failed::Overwritten) => cost.retries += 1,
                outcome => return outcome,
            }
        }
        self.read_asking(request, cost, &mut take)
    }

    #[inline]
    pub(super) fn read_current(&self, take: &mut impl FnMut(View<'_>, usize)) -> Result<Option<u64>, Failed> {
        // Acquire: pairs with the Release in `Keeper::publish`.
        let word = self.control.acquire(control::CURRENT);
        let (version, buffer) = (number_of(word), buffer_of(word));
        if version == 0 {
            return Ok(None);
        }
        if buffer >= self.shape.count {
            return Err(Failed::Nonsense);
        }
        self.copy(buffer, |found| found == tag(version), take)
    }

    #[cold]
    pub(super) fn read_asking(
        &self,
        request: &Request<'_>,
        cost: &mut Cost,
        take: &mut impl FnMut(View<'_>, usize),
    ) -> Result<Option<u64>, Failed> {
        let mut outcome = Err(Failed::Overwritten);
        for _ in 0..ROUNDS {
            cost.requests += 1;
            let number = request.word.load(Ordering::Relaxed).wrapping_add(1) | 1;
            request.word.store(number, Ordering::Relaxed);
            // Release: pairs with the Acquire in `Keeper`'s look at `asked`, which then sees the request.
            request.asked.word().fetch_add(1, Ordering::Release);
            // Pairs with the light fence between `Keeper::publish` and that look.
            if !barrier::heavy() {
                (request.ask_for_fences)();
            }
            outcome = self.read_current(take);
            if outcome == Err(Failed::Overwritten) {
                cost.retries += 1;
                outcome = self.read_granted(number, take);
                cost.retries += u64::from(outcome.is_err());
            }
            // Release: all reads of the buffer are over.
            request.word.store(number.wrapping_add(1), Ordering::Release);
            if outcome != Err(Failed::Overwritten) {
                break;
            }
        }
        outcome
    }

    /// Reads what was granted to a request.
    pub(super) fn read_granted(
        &self,
        request: u64,
        take: &mut impl FnMut(View<'_>, usize),
    ) -> Result<Option<u64>, Failed> {
        // Acquire: pairs with the Release in `Keeper::grant`.
        let word = self.grant.acquire(0);
        let buffer = buffer_of(word);
        if number_of(word) != short(request) || buffer >= self.shape.count {
            return Err(Failed::Overwritten);
        }
        self.copy(buffer, |found| found & 1 == 0 && found != 0, take)
    }

    /// Copies from a buffer whose tag is right before and the same after.
    #[inline]
    fn copy(
        &self,
        buffer: usize,
        is_right: impl Fn(u64) -> bool,
        take: &mut impl FnMut(View<'_>, usize),
    ) -> Result<Option<u64>, Failed> {
        let at = buffer * self.shape.stride();
        // Acquire: pairs with the Release in `Keeper::publish`.
        let found = self.buffers.acquire(at);
        if !is_right(found) {
            return Err(overtaken());
        }
        let len = self.buffers.load(at + 1);
        if len <= self.shape.size as u64 {
            let len = len as usize;
            take(self.buffers.view(at + ABOUT, len.div_ceil(WORD)), len);
        }
        // Pairs with the Release fence in `Keeper::begin`.
        fence(Ordering::Acquire);
        if self.buffers.load(at) != found {
            Err(overtaken())
        } else if len > self.shape.size as u64 {
            Err(Failed::Nonsense)
        } else {
            Ok(Some(found >> 1))
        }
    }
}

/// What follows when a tag was seen that is not the right one.
#[cold]
fn overtaken() -> Failed {
    // Pairs with the Release of an odd tag in `Keeper::begin`: what was granted before that is seen now.
    fence(Ordering::Acquire);
    Failed::Overwritten
}
