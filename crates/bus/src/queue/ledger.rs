//! The ledger beside a ring: whose each message is, and where to look for one that is nobody's.
//!
//! ```text
//! file     word 512      next     bits 0..48 position of the first frame that may be free, 48..64 version      see below
//!          word 520      looked   when somebody looked last who has died, in milliseconds                      who looks
//!          word 1024 + s claim    of the frame whose first line is in slot s                                   see `Claim`
//! ```
//!
//! # `next` is a hint
//!
//! Every frame before `next` is taken or done: whoever passes such frames moves it on, by a compare-and-exchange from what it
//! was when the passing began. Whoever gives a message back moves it back to there, and changes its version in any case, so that
//! one that passed the message while it was taken does not move `next` over it afterwards. One that dies in between leaves a
//! message that was given back before `next`: whoever looks for the dead finds it, and what else it hides
//! ([`Picker::mend`](super::picker::Picker::mend)).
//!
//! Nothing here is believed: an owner that does not exist is dead, a lap that is not the frame's means that it is nobody's to
//! take, and `next` is looked at only where the ring has the tag of that very position.

use crate::ring::{Geometry, distance};
use crate::sync::{AtomicU64, Ordering};
use crate::words::Words;

use super::claim::Claim;

/// Where things stand in the file.
pub(crate) mod file {
    use crate::ring::Geometry;
    use crate::segment::HEADER;

    pub(crate) const HINTS_AT: usize = HEADER;
    pub(crate) const HINTS: usize = 16;
    pub(crate) const NEXT: usize = 0;
    pub(crate) const LOOKED: usize = 8;
    /// Claims begin at a page of their own.
    pub(crate) const CLAIMS_AT: usize = 2 * HEADER;

    pub(crate) fn bytes(geometry: Geometry) -> usize {
        8 * (CLAIMS_AT + geometry.lines() as usize)
    }
}

const POSITION: u32 = 48;
const LOW: u64 = (1 << POSITION) - 1;

/// See above.
#[derive(Clone)]
pub(crate) struct Ledger {
    geometry: Geometry,
    shift: u32,
    hints: Words,
    claims: Words,
}

/// What `next` was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next(u64);

impl Next {
    fn at(position: u64, version: u64) -> Self {
        Self(position & LOW | version << POSITION)
    }

    fn version(self) -> u64 {
        self.0 >> POSITION
    }

    /// The position, which is near another.
    #[inline(always)]
    pub(crate) fn position(self, near: u64) -> u64 {
        let apart = (self.0.wrapping_sub(near) << (64 - POSITION)).cast_signed() >> (64 - POSITION);
        near.wrapping_add_signed(apart)
    }
}

impl Ledger {
    /// `None` if it is not of that geometry.
    pub(crate) fn new(geometry: Geometry, hints: Words, claims: Words) -> Option<Self> {
        let fits = hints.len() == file::HINTS && claims.len() as u64 == geometry.lines();
        fits.then_some(Self { geometry, shift: geometry.lines().trailing_zeros(), hints, claims })
    }

    /// On the heap.
    #[cfg(test)]
    pub(crate) fn heap(geometry: Geometry) -> Self {
        let (hints, claims) = (Words::heap(file::HINTS), Words::heap(geometry.lines() as usize));
        Self { geometry, shift: geometry.lines().trailing_zeros(), hints, claims }
    }

    /// The lap of a position.
    #[inline(always)]
    pub(crate) fn lap(&self, position: u64) -> u32 {
        (position >> self.shift) as u32
    }

    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        &self.claims[self.geometry.slot(position) as usize]
    }

    /// The claim of a position, before everything that is loaded later.
    #[inline(always)]
    pub(crate) fn claim(&self, position: u64) -> Claim {
        // Acquire: pairs with the Release of an acknowledgement; what its owner read was read before, so that the producer may
        // overwrite it.
        Claim::of(self.word(position).load(Ordering::Acquire))
    }

    /// Whether the room of a position can be used again.
    #[inline(always)]
    pub(crate) fn is_over(&self, position: u64) -> bool {
        self.claim(position).is_over(self.lap(position))
    }

    /// Changes a claim that is what it was. Whether it was.
    #[inline(always)]
    pub(crate) fn change(&self, position: u64, from: Claim, to: Claim) -> bool {
        // Release: what was read of the message was read before; pairs with the Acquire in `claim`. Acquire: what is read of it
        // is read after it was taken, while the producer leaves it alone.
        let changed =
            self.word(position).compare_exchange(from.word(), to.word(), Ordering::AcqRel, Ordering::Relaxed);
        changed.is_ok()
    }

    /// Gives a message back that is taken: it is free and can be found. Whether it was still so.
    pub(crate) fn give_back(&self, position: u64, from: Claim, to: Claim) -> bool {
        let given = self.change(position, from, to);
        if given {
            self.lower(position);
        }
        given
    }

    pub(crate) fn next(&self) -> Next {
        // Acquire: pairs with the Release in `lower`; whoever sees the new version sees what was given back.
        Next(self.hints[file::NEXT].load(Ordering::Acquire))
    }

    /// Moves `next` on, if it is what it was. What it is then, if so.
    pub(crate) fn advance(&self, from: Next, to: u64) -> Option<Next> {
        let new = Next::at(to, from.version());
        let moved = self.hints[file::NEXT].compare_exchange(
            from.0,
            new.0,
            // Release: it passes on what `lower` has shown.
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        moved.is_ok().then_some(new)
    }

    /// Makes sure that a position is looked at again.
    pub(crate) fn lower(&self, position: u64) {
        let word = &self.hints[file::NEXT];
        let mut old = Next(word.load(Ordering::Relaxed));
        loop {
            let now = old.position(position);
            let to = if distance(position, now) > 0 { position } else { now };
            let new = Next::at(to, old.version().wrapping_add(1));
            // Release: whoever sees the new version sees what was given back.
            match word.compare_exchange_weak(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => old = Next(other),
            }
        }
    }

    /// Puts `next` right, if it is what it was.
    pub(crate) fn correct(&self, from: Next, to: u64) {
        let new = Next::at(to, from.version().wrapping_add(1));
        // Release, and Acquire for what it passes on: as in `lower`, for whoever loads it in `next`.
        let _ = self.hints[file::NEXT].compare_exchange(from.0, new.0, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Has all lines from one position to another begin their next lap. By the producer, whose they are.
    pub(crate) fn reset(&self, from: u64, to: u64) {
        let mut position = from;
        while position != to {
            let lap = self.lap(position).wrapping_add(1);
            // Relaxed: a consumer looks there only once it has seen the tag of a frame that is published later.
            self.word(position).store(Claim::fresh(lap).word(), Ordering::Relaxed);
            position = position.wrapping_add(1);
        }
    }

    /// Whether it is time to look who has died; then nobody else does for a while.
    pub(crate) fn is_due(&self, milliseconds: u64, each: u64) -> bool {
        let word = &self.hints[file::LOOKED];
        let before = word.load(Ordering::Relaxed);
        let since = milliseconds.wrapping_sub(before);
        // A time in the future was written by nobody of ours.
        since >= each
            && word.compare_exchange(before, milliseconds, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether the memory is all there.
    pub(crate) fn check(&self) -> Result<(), twixt_sys::Fault> {
        self.claims.check()
    }
}
