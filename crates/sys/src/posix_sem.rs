//! POSIX semaphores: `sem_overview(7)`.
//!
//! The bytes of a semaphore are those of the GNU C library on 64-bit machines (2.21 and later), so that C and Python
//! programs take part. The operations are written here, and not taken from the C library, for what that does with
//! bytes that another process has spoiled: it trusts the `private` word, and ends the process when a futex call
//! fails by it.
//!
//! ```text
//! byte  0  value     u32   how many may pass                            \  one 64-bit word: both halves
//! byte  4  waiters   u32   how many sleep, or are about to              /  change in one step
//! byte  8  private   u32   128: shared between processes; not read here
//! byte 12  padding         zero, to 32 bytes
//! ```
//!
//! A waiter counts itself in, then sleeps on the value while that is 0, then takes one from the value and itself out
//! in one step. Who releases adds one to the value, and wakes one waiter if the same word counted any. A waiter that
//! is killed stays counted: from then on each release makes a system call in vain, and nothing else happens.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::Duration;

use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::{Errno, Fault, Mapping};

/// `sizeof(sem_t)`
pub const SIZE: usize = 32;
/// The alignment of a `sem_t`.
pub const ALIGNMENT: usize = 8;
/// `SEM_VALUE_MAX`
pub const VALUE_MAX: u32 = 0x7fff_ffff;

const VALUE_MASK: u64 = 0xffff_ffff;
const ONE_WAITER: u64 = 1 << 32;
/// Where the value stands, for the futex: in the lower half of the 64-bit word.
const VALUE_AT: usize = if cfg!(target_endian = "little") { 0 } else { 4 };
/// Where the words stand that only the initialiser writes.
const PRIVATE_AT: usize = 8;
/// `FUTEX_PRIVATE_FLAG`, which the C library inverts: shared.
const SHARED: u32 = 128;

/// The bytes of a fresh semaphore, as `sem_open(3)` writes them to the file.
pub fn image(value: u32) -> [u8; SIZE] {
    let mut image = [0; SIZE];
    image[..8].copy_from_slice(&u64::from(value).to_ne_bytes());
    image[PRIVATE_AT..PRIVATE_AT + 4].copy_from_slice(&SHARED.to_ne_bytes());
    image
}

/// `sem_init(3)` with `pshared`: makes a semaphore of the [`SIZE`] bytes at `offset`, whatever they were.
///
/// # Errors
/// The bytes do not all lie in the mapping, which must be writable, or do not start at a multiple of [`ALIGNMENT`].
#[doc(alias = "sem_init")]
pub fn initialise(memory: &Mapping, offset: usize, value: u32) -> Result<(), Fault> {
    let semaphore = Semaphore::at(memory, offset)?;
    let image = image(value);
    memory.write(offset + PRIVATE_AT, &image[PRIVATE_AT..])?;
    // Pairs with the Acquire of whoever takes the semaphore.
    semaphore.word.store(value.into(), Release);
    memory.check()
}

/// A semaphore in shared memory.
///
/// Another process may write anything to its bytes at any time: then the value is what they wrote, waiters may sleep
/// for longer or wake for nothing, and nothing else happens here.
///
/// Each operation fails with `EFAULT` once the memory was found missing, because another process made the file shorter.
/// Who sleeps then is not told: as if nobody released.
#[derive(Clone, Copy, Debug)]
pub struct Semaphore<'a> {
    memory: &'a Mapping,
    /// Value and waiters.
    word: &'a AtomicU64,
    /// The value alone, for the kernel; never accessed here, since accesses of two sizes must not race.
    value: &'a AtomicU32,
}

impl<'a> Semaphore<'a> {
    /// The semaphore at `offset`.
    ///
    /// # Errors
    /// As [`initialise`].
    pub fn at(memory: &'a Mapping, offset: usize) -> Result<Self, Fault> {
        if offset.checked_add(SIZE).is_none_or(|end| end > memory.len()) {
            return Err(Fault::OutOfBounds);
        }
        let (word, value) = (memory.atomic_u64(offset)?, memory.atomic_u32(offset + VALUE_AT)?);
        Ok(Self { memory, word, value })
    }

    /// `sem_getvalue(3)`
    ///
    /// # Errors
    /// `EFAULT`
    #[doc(alias = "sem_getvalue")]
    pub fn value(self) -> Result<u32, Errno> {
        let word = self.word.load(Relaxed);
        self.check()?;
        Ok((word & VALUE_MASK) as u32)
    }

    /// `sem_trywait(3)`: `EAGAIN` if the value is 0.
    ///
    /// # Errors
    /// `EAGAIN`, `EFAULT`
    #[doc(alias = "sem_trywait")]
    pub fn try_wait(self) -> Result<(), Errno> {
        if self.take(1)? { Ok(()) } else { Err(Errno::AGAIN) }
    }

    /// `sem_wait(3)`, or with a timeout `sem_clockwait(3)` on the monotonic clock: `ETIMEDOUT` when it has elapsed,
    /// `EINTR` when a signal handler ran.
    ///
    /// # Errors
    /// `ETIMEDOUT`, `EINTR`, `EFAULT`
    #[doc(alias = "sem_wait")]
    #[doc(alias = "sem_timedwait")]
    #[doc(alias = "sem_clockwait")]
    pub fn wait(self, timeout: Option<Duration>) -> Result<(), Errno> {
        if self.take(1)? {
            return Ok(());
        }
        let end = timeout.map(from_now);
        self.word.fetch_add(ONE_WAITER, Relaxed);
        loop {
            if self.take(1 + ONE_WAITER)? {
                return Ok(());
            }
            match futex::wait_bitset(self.value, futex::Flags::empty(), 0, end.as_ref(), ANY) {
                // Woken, or no longer 0.
                Ok(()) | Err(Errno::AGAIN) => {}
                Err(errno) => {
                    self.word.fetch_sub(ONE_WAITER, Relaxed);
                    return Err(errno);
                }
            }
        }
    }

    /// `sem_post(3)`: `EOVERFLOW` at [`VALUE_MAX`].
    ///
    /// # Errors
    /// `EOVERFLOW`, `EFAULT`
    #[doc(alias = "sem_post")]
    pub fn post(self) -> Result<(), Errno> {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & VALUE_MASK >= VALUE_MAX.into() {
                return Err(Errno::OVERFLOW);
            }
            // Release pairs with the Acquire in `take`.
            match self.word.compare_exchange_weak(word, word + 1, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        self.check()?;
        if word >= ONE_WAITER {
            futex::wake(self.value, futex::Flags::empty(), 1)?;
        }
        Ok(())
    }

    /// Takes `what` from the word in one step, if the value is not 0.
    fn take(self, what: u64) -> Result<bool, Errno> {
        let mut word = self.word.load(Relaxed);
        while word & VALUE_MASK != 0 {
            // Acquire pairs with the Release in `post`. Wrapping, since the waiters may have been spoiled.
            match self.word.compare_exchange_weak(word, word.wrapping_sub(what), Acquire, Relaxed) {
                Ok(_) => return self.check().map(|()| true),
                Err(now) => word = now,
            }
        }
        // Missing memory reads as zero, on which nobody should fall asleep.
        self.check().map(|()| false)
    }

    fn check(self) -> Result<(), Errno> {
        self.memory.check().map_err(|_truncated| Errno::FAULT)
    }
}

/// `FUTEX_BITSET_MATCH_ANY`
const ANY: core::num::NonZeroU32 = core::num::NonZeroU32::MAX;

/// The point of the monotonic clock that lies `timeout` ahead.
fn from_now(timeout: Duration) -> Timespec {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_nsec + i64::from(timeout.subsec_nanos());
    Timespec {
        tv_sec: i64::try_from(timeout.as_secs())
            .ok()
            .and_then(|seconds| seconds.checked_add(now.tv_sec + nanoseconds / 1_000_000_000))
            .unwrap_or(i64::MAX),
        tv_nsec: nanoseconds % 1_000_000_000,
    }
}
