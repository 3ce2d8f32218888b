//! A word that one can sleep on until another process changes it: `futex(2)`, shared.

#[cfg(not(twixt_loom))]
pub(crate) use kernel::Futex;
#[cfg(twixt_loom)]
pub(crate) use model::Futex;

#[cfg(not(twixt_loom))]
mod kernel {
    use core::num::NonZeroU32;
    use core::sync::atomic::AtomicU32;
    use std::sync::Arc;
    use std::time::Duration;

    use rustix::thread::futex;
    use twixt_os::Errno;
    use twixt_sys::{Fault, Mapping};

    #[derive(Clone)]
    enum Keep {
        #[expect(dead_code, reason = "held, so that the word stays where it is")]
        Mapping(Arc<Mapping>),
        #[cfg(test)]
        #[expect(dead_code, reason = "held, so that the word stays where it is")]
        Heap(Arc<AtomicU32>),
    }

    /// A word of 32 bits in shared memory.
    #[derive(Clone)]
    pub(crate) struct Futex {
        word: *const AtomicU32,
        _keep: Keep,
    }

    // SAFETY: the word is an atomic, and what keeps it can be sent.
    unsafe impl Send for Futex {}
    // SAFETY: as above.
    unsafe impl Sync for Futex {}

    impl Futex {
        /// The word at a byte offset (a multiple of 4) of a writable mapping.
        pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize) -> Result<Self, Fault> {
            Ok(Self { word: mapping.atomic_u32(offset)?, _keep: Keep::Mapping(Arc::clone(mapping)) })
        }

        #[cfg(test)]
        pub(crate) fn heap() -> Self {
            let word = Arc::new(AtomicU32::new(0));
            Self { word: &*word, _keep: Keep::Heap(word) }
        }

        #[inline(always)]
        pub(crate) fn word(&self) -> &AtomicU32 {
            // SAFETY: it was a reference when it was taken, and `_keep` keeps what it referred to.
            unsafe { &*self.word }
        }

        /// Sleeps while the word is `seen`, until `until` at the latest, in nanoseconds of the monotonic clock. Returns early for
        /// any reason.
        ///
        /// The time is a point, with which the kernel has less to do than with a length: each sleep takes 0.1 to 0.2 µs less.
        ///
        /// # Errors
        /// `EINTR`, `ETIMEDOUT`, `EAGAIN` if the word is not `seen`, `EFAULT` if the memory has gone.
        pub(crate) fn wait(&self, seen: u32, until: u64) -> Result<(), Errno> {
            let until = twixt_os::timespec(Duration::from_nanos(until));
            futex::wait_bitset(self.word(), futex::Flags::empty(), seen, Some(&until), NonZeroU32::MAX)
        }

        /// Wakes so many, and says how many there were.
        pub(crate) fn wake(&self, most: u32) -> usize {
            // It fails only if the memory has gone, and then nobody can be woken.
            futex::wake(self.word(), futex::Flags::empty(), most).unwrap_or(0)
        }
    }
}

#[cfg(twixt_loom)]
mod model {
    use loom::sync::atomic::{AtomicU32, Ordering};
    use loom::sync::{Arc, Condvar, Mutex};
    use twixt_os::Errno;
    use twixt_sys::{Fault, Mapping};

    struct Inner {
        word: AtomicU32,
        /// How many sleep. The kernel's lock on the word, under which it is looked at once more.
        sleepers: Mutex<usize>,
        condition: Condvar,
    }

    /// The same in the model, where time never passes.
    #[derive(Clone)]
    pub(crate) struct Futex(Arc<Inner>);

    impl Futex {
        /// So that what uses mappings compiles: models do not.
        pub(crate) fn new(_: &std::sync::Arc<Mapping>, _: usize) -> Result<Self, Fault> {
            Ok(Self::heap())
        }

        pub(crate) fn heap() -> Self {
            Self(Arc::new(Inner {
                word: AtomicU32::new(0),
                sleepers: Mutex::new(0),
                condition: Condvar::new(),
            }))
        }

        pub(crate) fn word(&self) -> &AtomicU32 {
            &self.0.word
        }

        pub(crate) fn wait(&self, seen: u32, _until: u64) -> Result<(), Errno> {
            let mut sleepers = self.0.sleepers.lock().unwrap();
            if self.0.word.load(Ordering::SeqCst) != seen {
                return Err(Errno::AGAIN);
            }
            *sleepers += 1;
            drop(self.0.condition.wait(sleepers).unwrap());
            Ok(())
        }

        pub(crate) fn wake(&self, _most: u32) -> usize {
            let mut sleepers = self.0.sleepers.lock().unwrap();
            let woken = std::mem::take(&mut *sleepers);
            self.0.condition.notify_all();
            woken
        }
    }
}
