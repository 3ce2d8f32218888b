//! The page of a site that all participants write: who waits, and whether the roster has changed.
//!
//! Nothing here is believed. What stands here makes somebody look, or ring, once more than needed, or not; whoever would wait
//! for it in vain looks for itself each [`LONGEST`](crate::bell::LONGEST). But for the roster, where there is no capacity: whoever
//! writes nonsense there has a message that was given up received by who has just come.
//!
//! ```text
//! byte   0   filled   bell of those that wait for messages
//! byte   4   roster   goes up when somebody joins or leaves
//! byte   8   fences   not 0 if publishers have to fence for themselves
//! byte  12   asked    goes up when a reader of a latest value asks for it to be kept
//! byte  16   rung     when a bell was last rung that somebody slept on, in nanoseconds of the monotonic clock
//! byte  24   prompt   not 0 if subscribers wait for each message, and publishers are to have it reach them soonest
//! byte 128   room     bell of those that wait for room
//! ```

use std::sync::Arc;

use twixt_sys::{Fault, Mapping};

use crate::bell::Bell;
use crate::futex::Futex;
use crate::sync::Ordering;
use crate::words::Words;

/// Its bytes.
pub(crate) const PAGE: usize = 4096;

/// See above.
#[derive(Clone)]
pub(crate) struct Hints {
    pub(crate) filled: Bell,
    pub(crate) room: Bell,
    roster: Futex,
    fences: Futex,
    pub(crate) asked: Futex,
    rung: Words,
    prompt: Futex,
}

impl Hints {
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize) -> Result<Self, Fault> {
        Ok(Self {
            filled: Bell::new(Futex::new(mapping, offset)?),
            room: Bell::new(Futex::new(mapping, offset + 128)?),
            roster: Futex::new(mapping, offset + 4)?,
            fences: Futex::new(mapping, offset + 8)?,
            asked: Futex::new(mapping, offset + 12)?,
            rung: Words::new(mapping, offset + 16, 1)?,
            prompt: Futex::new(mapping, offset + 24)?,
        })
    }

    /// The state of the roster.
    #[inline(always)]
    pub(crate) fn roster(&self) -> u32 {
        // Acquire: pairs with the Release of whoever joined, whose file has its name before.
        self.roster.word().load(Ordering::Acquire)
    }

    /// Says that somebody has joined or left.
    pub(crate) fn change_roster(&self) {
        // Release: pairs with the Acquire in `roster`; whoever sees the change finds the file there, or gone.
        self.roster.word().fetch_add(1, Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn asks_for_fences(&self) -> bool {
        self.fences.word().load(Ordering::Relaxed) != 0
    }

    pub(crate) fn ask_for_fences(&self) {
        self.fences.word().store(1, Ordering::Relaxed);
    }

    /// Whether messages are waited for one by one, rather than taken as they are there.
    #[inline(always)]
    pub(crate) fn is_prompt(&self) -> bool {
        self.prompt.word().load(Ordering::Relaxed) != 0
    }

    pub(crate) fn set_prompt(&self, is_prompt: bool) {
        if self.is_prompt() != is_prompt {
            self.prompt.word().store(u32::from(is_prompt), Ordering::Relaxed);
        }
    }

    /// When a bell was rung last that somebody slept on.
    pub(crate) fn rung(&self) -> u64 {
        self.rung[0].load(Ordering::Relaxed)
    }

    pub(crate) fn set_rung(&self) {
        self.rung[0].store(now(), Ordering::Relaxed);
    }
}

/// Nanoseconds of the monotonic clock, which all processes of the machine share.
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (time.tv_sec.cast_unsigned()).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
}

/// As [`now`], some milliseconds behind, at a fifth of the cost.
pub(crate) fn roughly_now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    (time.tv_sec.cast_unsigned()).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
}
