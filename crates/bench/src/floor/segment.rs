//! The memory that the parties share, and what stands where.
//!
//! ```text
//! lane 0 (publisher to subscribers)                        lane 1 (back; round trips only)
//! | bell: filled | bell: freed | mark 0 | mark 1 | ... | slot 0 | slot 1 | ... | to a page |
//!   128 bytes      128           128      128            stride   stride
//! ```
//!
//! Bells and marks have 128 bytes each, of which the first four or eight are used: processors fetch lines in pairs, and
//! whoever polls one must not take its neighbour from its owner. A slot is the sequence word, then the message, or a piece of
//! it. Slots that several take are whole lines of 64 bytes. Those of a ring, which go one after the other from one producer to
//! each consumer, have at least a line, and no more than they need: a message of 64 bytes would otherwise be two lines on its
//! way, and that way is what bounds a ring.

use std::fs;
use std::sync::atomic::{AtomicU32, AtomicU64};

use twixt_os::mmap::{MappedFile, Options};

use crate::message::touched_words;
use crate::{Failure, Result, Role, Setup};

/// The words of a cache line.
pub(super) const LINE: usize = 8;
/// The words from one mark to the next.
const MARK: usize = 16;
/// The words that a piece of a large message has: 16 KiB. The receiver reads one while the sender writes the next.
pub(super) const PIECE: usize = 2048;
/// How many slots there are, for small messages: 256 KiB of them, for the smallest. A ring that is little larger than a
/// first-level cache has less than half the throughput of one that is several times as large.
const SLOTS: usize = 4096;
/// The bytes of bells before the marks.
const BELLS: usize = 256;
const PAGE: usize = 4096;

/// How a lane is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many marks there are.
    pub(super) marks: usize,
    /// How many slots.
    pub(super) slots: usize,
    /// The words from one slot to the next.
    pub(super) stride: usize,
    /// The slots that a message takes.
    pub(super) pieces: usize,
}

impl Shape {
    /// Slots for messages of that many words, with as many of them as `budget` bytes hold, two at least. Messages that are
    /// larger than a piece are cut if `cuts` is set, for rings, whose slots stand close together.
    pub(super) fn new(words: usize, budget: Budget, marks: usize, cuts: bool) -> Self {
        let (pieces, held) = if cuts { (words.div_ceil(PIECE), words.min(PIECE)) } else { (1, words) };
        let stride = if cuts { (1 + held).max(LINE) } else { (1 + held).next_multiple_of(LINE) };
        let slots = match budget {
            Budget::Default => (second_level() / 4 / (8 * stride)).clamp(2, SLOTS),
            Budget::Bytes(bytes) => (bytes / (8 * stride)).max(2),
        };
        Self { marks, slots, stride, pieces }
    }

    /// What a workload needs.
    pub(super) fn of(setup: &Setup, marks: usize, cuts: bool) -> Self {
        let budget = match setup.capacity {
            Some(bytes) => Budget::Bytes(usize::try_from(bytes).unwrap_or(usize::MAX / 16)),
            None => Budget::Default,
        };
        Self::new(touched_words(&setup.workload), budget, marks, cuts)
    }

    /// The words of a lane from the first mark on.
    pub(super) fn words(self) -> usize {
        self.marks * MARK + self.slots * self.stride
    }

    fn bytes(self) -> usize {
        (BELLS + 8 * self.words()).next_multiple_of(PAGE)
    }
}

/// How much memory the slots of a lane may take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Budget {
    /// A quarter of the second-level cache: lines that fall out of it have a longer way.
    Default,
    Bytes(usize),
}

/// One direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane<'a> {
    pub(super) shape: Shape,
    /// Where those sleep who wait for messages.
    pub(super) filled: &'a AtomicU32,
    /// Where those sleep who wait for room.
    pub(super) freed: &'a AtomicU32,
    marks: &'a [AtomicU64],
    pub(super) slots: &'a [AtomicU64],
}

impl<'a> Lane<'a> {
    /// Of these words, [`Shape::words`].
    pub(super) fn new(
        shape: Shape,
        filled: &'a AtomicU32,
        freed: &'a AtomicU32,
        words: &'a [AtomicU64],
    ) -> Self {
        let (marks, slots) = words.split_at(shape.marks * MARK);
        Self { shape, filled, freed, marks, slots }
    }

    /// The mark of that index.
    pub(super) fn mark(&self, index: usize) -> &'a AtomicU64 {
        &self.marks[index * MARK]
    }
}

/// The memory of a run as one party has it, which keeps it until it ends: a process plays one party, once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    file: &'static MappedFile,
    shape: Shape,
}

/// The file's name in the run's directory.
const NAME: &str = "floor";

impl Segment {
    /// Makes the memory, if this party is the one to do it.
    pub(super) fn prepare(setup: &Setup, shape: Shape, lanes: usize) -> Result<Option<Self>> {
        if setup.role != Role::Publisher(0) {
            return Ok(None);
        }
        let len = shape.bytes().checked_mul(lanes).ok_or_else(|| Failure::failed("too large"))?;
        let file = Options::new().populate().create(setup.directory.join(NAME), len)?;
        Ok(Some(Self { file: Box::leak(Box::new(file)), shape }))
    }

    /// What this party has made, or another.
    pub(super) fn open(made: Option<Self>, setup: &Setup, shape: Shape) -> Result<Self> {
        if let Some(made) = made {
            return Ok(made);
        }
        let file = Options::new().populate().open(setup.directory.join(NAME))?;
        Ok(Self { file: Box::leak(Box::new(file)), shape })
    }

    /// The lane of that index.
    pub(super) fn lane(self, index: usize) -> Result<Lane<'static>> {
        let (file, start) = (self.file, index * self.shape.bytes());
        let words =
            file.memory().mapping().words(start + BELLS, self.shape.words()).map_err(Failure::failed)?;
        Ok(Lane::new(self.shape, file.atomic_u32(start)?, file.atomic_u32(start + BELLS / 2)?, words))
    }
}

/// The bytes of the second-level cache; a common size if the kernel does not say.
fn second_level() -> usize {
    const COMMON: usize = 512 << 10;
    let of = |index: usize, what: &str| {
        fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{what}")).ok()
    };
    (0..8)
        .find(|&index| of(index, "level").is_some_and(|level| level.trim() == "2"))
        .and_then(|index| of(index, "size"))
        .and_then(|size| size.trim().strip_suffix('K')?.parse::<usize>().ok())
        .map_or(COMMON, |kibibytes| kibibytes << 10)
}
