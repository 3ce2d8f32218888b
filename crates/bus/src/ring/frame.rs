//! The header of a frame: what its words say, and whether it can be true.

use bitflags::bitflags;

use super::{Geometry, HEADER, LINE, LINE_BYTES};

/// The longest way back that a header can tell, in lines: an unknown one is told as 0.
const FARTHEST: u64 = (1 << 24) - 1;
/// Where word 1 says that.
pub(crate) const BACK: u64 = FARTHEST << 32;

bitflags! {
    /// What kind of frame it is. A whole word, so that no copy of a frame is of odd bytes, which processors are slow at.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Flags: u64 {
        /// Nothing to read: the rest of the ring before its end, or a loan that was given back.
        const SKIP = 1;
        /// The payload begins at the next line, and word 3 says how many bytes of it are there, if not yet all.
        const BELOW = 1 << 1;
        /// It was begun and never finished: its producer died, or failed, while it was written.
        const BROKEN = 1 << 2;
        /// The producer says that nothing follows for now.
        const END = 1 << 3;
    }
}

/// How many lines a message of `len` bytes takes.
#[inline(always)]
pub(crate) fn lines_of(len: usize, flags: Flags) -> u64 {
    // What is before the payload, and the rest of the last line.
    let more = if flags.contains(Flags::BELOW) { 2 * LINE_BYTES - 1 } else { 8 * HEADER + LINE_BYTES - 1 };
    // Not of a length that a peer says, where that is as wide as a `usize`.
    (len as u64 + more as u64) / LINE_BYTES as u64
}

/// The word of a frame, counted from its first, at which the payload begins.
#[inline(always)]
pub(crate) fn payload_at(is_below: bool) -> usize {
    if is_below { LINE as usize } else { HEADER }
}

/// The tag of the frame at a position.
#[inline(always)]
pub(crate) fn tag(position: u64) -> u64 {
    position.wrapping_mul(4).wrapping_add(1)
}

/// What stands in the place of a tag while a frame is lent out to be written: its length stands beside it, so that those
/// behind it can be reached whatever becomes of the borrower.
#[inline(always)]
pub(crate) fn reserved(position: u64) -> u64 {
    position.wrapping_mul(4).wrapping_add(3)
}

/// Word 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) len: usize,
    /// Lines back to the frame before; 0 if that is too far, or there is none.
    pub(crate) back: u64,
    pub(crate) flags: Flags,
}

impl About {
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        let back = if self.back > FARTHEST { 0 } else { self.back };
        (self.len as u64 & 0xffff_ffff) | back << 32 | self.flags.bits() << 56
    }

    #[inline(always)]
    pub(crate) fn of(word: u64) -> Self {
        Self {
            len: (word & 0xffff_ffff) as usize,
            back: word >> 32 & FARTHEST,
            flags: Flags::from_bits_retain(word >> 56),
        }
    }

    #[inline(always)]
    pub(crate) fn lines(self) -> u64 {
        lines_of(self.len, self.flags)
    }

    /// Whether a frame at that position can be like this: it ends within the ring. What says otherwise was not written by a
    /// producer of ours.
    #[inline(always)]
    pub(crate) fn fits(self, geometry: Geometry, position: u64) -> bool {
        geometry.slot(position) + self.lines() <= geometry.lines()
    }
}
