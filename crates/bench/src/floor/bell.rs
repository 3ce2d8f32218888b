//! Sleeping on a word, and waking who sleeps there: a bare futex.
//!
//! The word is 1 if somebody may be asleep, else 0. Whoever wants to sleep sets it and looks once more whether there is
//! something; whoever has published something looks at the word, and makes a system call only if it is set. Each has a full
//! fence between its store and its load, so that at least one of them sees what the other has stored:
//!
//! | sleeper | publisher |
//! |---|---|
//! | word = 1 | publishes |
//! | fence | fence |
//! | is there anything? if not: `FUTEX_WAIT` while the word is 1 | is the word 1? if so: word = 0, `FUTEX_WAKE` all |
//!
//! Several may sleep on one word: all of them are woken, since those that are not would sleep with the word at 0.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use rustix::io::Errno;
use rustix::thread::futex;

use crate::{Failure, Result};

/// A word to sleep on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bell<'a> {
    /// Set by who wants to sleep, cleared by who wakes.
    word: &'a AtomicU32,
}

/// As `FUTEX_WAKE` takes it: all.
const ALL: u32 = i32::MAX.cast_unsigned();

impl<'a> Bell<'a> {
    pub(super) fn new(word: &'a AtomicU32) -> Self {
        Self { word }
    }

    /// Wakes all who sleep. Comes after the store that they wait for.
    #[inline]
    pub(super) fn ring(self) -> Result<()> {
        // Pairs with the fence in `wait`.
        fence(Ordering::SeqCst);
        if self.word.load(Ordering::Relaxed) == 0 { Ok(()) } else { self.wake() }
    }

    #[cold]
    fn wake(self) -> Result<()> {
        // Relaxed: what the sleepers look for they see by its own Release and Acquire.
        if self.word.swap(0, Ordering::Relaxed) != 0 {
            // Not FUTEX_PRIVATE_FLAG: they are other processes.
            futex::wake(self.word, futex::Flags::empty(), ALL).map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// Sleeps until `is_there`.
    pub(super) fn wait(self, mut is_there: impl FnMut() -> bool) -> Result<()> {
        while !is_there() {
            self.word.store(1, Ordering::Relaxed);
            // Pairs with the fence in `ring`.
            fence(Ordering::SeqCst);
            if is_there() {
                // The word stays 1, another may be asleep on it: at worst a call wakes nobody.
                return Ok(());
            }
            match futex::wait(self.word, futex::Flags::empty(), 1, None) {
                // It was rung in between, or a signal came.
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(Failure::failed(errno)),
            }
        }
        Ok(())
    }
}

/// Sleeps until `is_there`, or gives the CPU to others meanwhile if there is no bell.
pub(super) fn wait(bell: Option<Bell<'_>>, mut is_there: impl FnMut() -> bool) -> Result<()> {
    if let Some(bell) = bell {
        return bell.wait(is_there);
    }
    // Those who spin come here for the end of a run only.
    while !is_there() {
        std::thread::yield_now();
    }
    Ok(())
}
