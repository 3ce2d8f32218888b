//! Who sleeps, and how they are woken: one word for all that wait for the same thing.
//!
//! ```text
//! bit 0       ASLEEP   somebody sleeps on the word, or is about to
//! bit 1       ARMED    somebody waits for a doorbell: a descriptor that becomes readable
//! bits 2..32  count    goes up with each announcement and each ring, so that no two states are alike
//! ```
//!
//! | step of the sleeper | step of the ringer |
//! |---|---|
//! | count up, set `ASLEEP` | make true what is waited for (Release) |
//! | [fence](crate::barrier), heavy | [fence](crate::barrier), light |
//! | look once more: if it is true now, do not sleep | load the word: 0 in both bits is the end of it |
//! | sleep while the word is what was announced | count up, clear the bits, wake all |
//!
//! Whichever fence comes first, either the sleeper sees what is true or the ringer sees the bit. A ringer that dies between
//! making it true and ringing wakes nobody: so nobody sleeps longer than [`LONGEST`] at a time.

use std::time::Duration;

use crate::futex::Futex;
use crate::sync::{AtomicU32, Ordering};

/// The longest that anybody sleeps without looking who has died.
pub(crate) const LONGEST: Duration = Duration::from_millis(50);

const ASLEEP: u32 = 1;
const ARMED: u32 = 1 << 1;
const ONE: u32 = 1 << 2;

/// See above.
#[derive(Clone)]
pub(crate) struct Bell(Futex);

/// Who was there when a bell was rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rung {
    /// Whether there are doorbells to ring.
    pub(crate) doorbells: bool,
}

/// What was announced: what to sleep on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced(u32);

impl Bell {
    pub(crate) fn new(word: Futex) -> Self {
        Self(word)
    }

    /// Whether somebody has to be woken. After what is waited for was made true, and a light fence.
    #[inline(always)]
    pub(crate) fn is_awaited(&self) -> bool {
        self.watch().is_awaited()
    }

    /// For looking at it often.
    #[inline(always)]
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch(self.0.word())
    }

    /// Says that one is about to sleep. A heavy fence and another look must follow.
    pub(crate) fn announce(&self) -> Announced {
        Announced(self.change(|word| word.wrapping_add(ONE) | ASLEEP))
    }

    /// Says that one waits for a doorbell. A heavy fence and another look must follow.
    pub(crate) fn arm(&self) {
        self.change(|word| word.wrapping_add(ONE) | ARMED);
    }

    /// Sleeps until somebody rings, or for any other reason, or it is `until`, in nanoseconds of the monotonic clock: at most
    /// [`LONGEST`] from now.
    ///
    /// # Errors
    /// `EINTR`: a signal handler ran.
    pub(crate) fn sleep(&self, announced: Announced, until: u64) -> Result<(), twixt_os::Errno> {
        match self.0.wait(announced.0, until) {
            Err(twixt_os::Errno::INTR) => Err(twixt_os::Errno::INTR),
            _ => Ok(()),
        }
    }

    /// Wakes everybody.
    #[cold]
    pub(crate) fn ring(&self) -> Rung {
        let mut doorbells = false;
        self.change(|word| {
            doorbells = word & ARMED != 0;
            word.wrapping_add(ONE) & !(ASLEEP | ARMED)
        });
        self.0.wake(i32::MAX.cast_unsigned());
        Rung { doorbells }
    }

    /// Wakes one of those that sleep, where one is enough.
    #[cold]
    pub(crate) fn ring_one(&self) -> Rung {
        let mut doorbells = false;
        let after = self.change(|word| {
            doorbells = word & ARMED != 0;
            word.wrapping_add(ONE) & !ARMED
        });
        if self.0.wake(1) == 0 {
            // Nobody is there. Whoever announces meanwhile changes the word, which then keeps the bit.
            let _ =
                self.0.word().compare_exchange(after, after & !ASLEEP, Ordering::Relaxed, Ordering::Relaxed);
        }
        Rung { doorbells }
    }

    fn change(&self, mut to: impl FnMut(u32) -> u32) -> u32 {
        let word = self.0.word();
        let mut old = word.load(Ordering::Relaxed);
        loop {
            let new = to(old);
            // Relaxed: what is waited for is ordered by the fences around, and the kernel's lock on the word.
            match word.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return new,
                Err(other) => old = other,
            }
        }
    }
}

/// A bell that is looked at often: where it is is not looked up each time.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'b>(&'b AtomicU32);

impl Watch<'_> {
    /// As [`Bell::is_awaited`].
    #[inline(always)]
    pub(crate) fn is_awaited(self) -> bool {
        self.0.load(Ordering::Relaxed) & (ASLEEP | ARMED) != 0
    }
}

#[cfg(all(test, twixt_loom))]
mod models {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::*;
    use crate::barrier;

    fn wait_for(bell: &Bell, word: &AtomicU64, value: u64) {
        while word.load(Ordering::Acquire) < value {
            let announced = bell.announce();
            barrier::heavy();
            if word.load(Ordering::Acquire) >= value {
                break;
            }
            bell.sleep(announced, u64::MAX).unwrap();
        }
    }

    fn publish(bell: &Bell, word: &AtomicU64, value: u64, one: bool) {
        word.store(value, Ordering::Release);
        barrier::Light::register().fence(|| true);
        if bell.is_awaited() {
            if one {
                bell.ring_one()
            } else {
                bell.ring()
            };
        }
    }

    /// In the model nobody sleeps for a while only: a wake that is lost is a deadlock.
    #[test]
    fn nobody_sleeps_through_a_ring() {
        loom::model(|| {
            let (bell, word) = (Bell::new(Futex::heap()), Arc::new(AtomicU64::new(0)));
            let sleeper = thread::spawn({
                let (bell, word) = (bell.clone(), Arc::clone(&word));
                move || wait_for(&bell, &word, 2)
            });
            publish(&bell, &word, 1, false);
            publish(&bell, &word, 2, false);
            sleeper.join().unwrap();
        });
    }

    #[test]
    fn two_sleepers_are_both_woken() {
        loom::model(|| {
            let (bell, word) = (Bell::new(Futex::heap()), Arc::new(AtomicU64::new(0)));
            let sleepers: Vec<_> = (0..2)
                .map(|_| {
                    let (bell, word) = (bell.clone(), Arc::clone(&word));
                    thread::spawn(move || wait_for(&bell, &word, 1))
                })
                .collect();
            publish(&bell, &word, 1, false);
            for sleeper in sleepers {
                sleeper.join().unwrap();
            }
        });
    }

    #[test]
    fn ringing_for_one_loses_no_wake() {
        loom::model(|| {
            let (bell, word) = (Bell::new(Futex::heap()), Arc::new(AtomicU64::new(0)));
            let sleeper = thread::spawn({
                let (bell, word) = (bell.clone(), Arc::clone(&word));
                move || wait_for(&bell, &word, 2)
            });
            publish(&bell, &word, 1, true);
            publish(&bell, &word, 2, true);
            sleeper.join().unwrap();
        });
    }
}
