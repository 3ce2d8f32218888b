//! Mutual exclusion by a word that names its owner.
//!
//! A semaphore cannot do this: it does not know who took it, so that nobody could give it back for the dead. Here the word
//! is 0 or the number of a participant, and whether that participant lives is known from elsewhere. Numbers are never used
//! twice, so that a word that still says what it said when its owner was found dead may be taken over.

use core::sync::atomic::{AtomicU64, Ordering};

/// The word, in shared memory or in a model.
pub(crate) trait Word {
    fn load(&self) -> u64;
    /// Puts `new` in the place of `old`; what stood there otherwise is the error.
    fn exchange(&self, old: u64, new: u64) -> Result<u64, u64>;
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Relaxed)
    }

    fn exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        // Acquire pairs with the Release of who left. Of one who died inside nothing is released; but the kernel dropped
        // its lock after its last store, and whoever found it dead asked the kernel for that lock.
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
    }
}

/// Takes the word if it is free; otherwise tells who has it.
pub(crate) fn try_take(word: &impl Word, me: u64) -> Result<(), u64> {
    word.exchange(0, me).map(drop)
}

/// Takes the word if it is free, or if its owner is dead. The error is that of asking.
pub(crate) fn take_or_inherit<E>(
    word: &impl Word,
    me: u64,
    is_alive: impl FnOnce(u64) -> Result<bool, E>,
) -> Result<bool, E> {
    match try_take(word, me) {
        Ok(()) => Ok(true),
        Err(owner) if is_alive(owner)? => Ok(false),
        // Still the dead one's, or somebody else has it meanwhile.
        Err(owner) => Ok(word.exchange(owner, me).is_ok()),
    }
}

/// Gives the word back. If it is no longer one's own, somebody has spoiled it, and it is left alone.
pub(crate) fn give_back(word: &impl Word, me: u64) {
    let _ = word.exchange(me, 0);
}

#[cfg(all(test, twixt_loom))]
mod models {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use loom::thread;

    use super::*;

    impl Word for AtomicU64 {
        fn load(&self) -> u64 {
            AtomicU64::load(self, Ordering::Relaxed)
        }

        fn exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
            self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
        }
    }

    const DEAD: u64 = 9;

    /// What the word guards, and the kernel's knowledge of one participant that dies.
    struct Shared {
        word: AtomicU64,
        visits: UnsafeCell<u32>,
        has_died: AtomicBool,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                word: AtomicU64::new(0),
                visits: UnsafeCell::new(0),
                has_died: AtomicBool::new(false),
            })
        }

        /// As the kernel answers: whoever learns of a death has seen all that the dead one did.
        fn is_alive(&self, number: u64) -> Result<bool, ()> {
            Ok(number != DEAD || !self.has_died.load(Ordering::Acquire))
        }

        /// loom finds out if two do this at the same time, or one does not see what the other did.
        fn visit(&self) {
            self.visits.with_mut(|_| ());
        }

        /// Goes in, if it can be had in a few attempts: more would be the same again.
        fn try_visit(&self, me: u64) {
            let mut attempts = 0..2;
            if attempts.any(|_| take_or_inherit(&self.word, me, |owner| self.is_alive(owner)) == Ok(true)) {
                self.visit();
                give_back(&self.word, me);
            }
        }
    }

    #[test]
    fn one_at_a_time_is_inside() {
        loom::model(|| {
            let shared = Shared::new();
            let others: Vec<_> = (1..3)
                .map(|me| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.try_visit(me))
                })
                .collect();
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(Word::load(&shared.word), 0);
        });
    }

    #[test]
    fn one_at_a_time_inherits_from_the_dead() {
        loom::model(|| {
            let shared = Shared::new();
            let dying = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    if try_take(&shared.word, DEAD).is_ok() {
                        shared.visit();
                    }
                    shared.has_died.store(true, Ordering::Release);
                })
            };
            let others: Vec<_> = (1..3)
                .map(|me| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || shared.try_visit(me))
                })
                .collect();
            dying.join().unwrap();
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }
}
