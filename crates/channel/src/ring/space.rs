//! The memory that a ring lies in: words and bytes by their offsets.

use core::sync::atomic::Ordering;

use twixt_os::mmap::Memory;

use super::fault::Result;

/// Memory that others may write to at any moment. Every offset is checked.
pub(crate) trait Space {
    /// Loads the word at `at`, a multiple of 8 (Acquire).
    fn load(&self, at: usize) -> Result<u64>;

    /// Stores a word (Release): whoever loads it sees all that was stored before.
    fn store(&self, at: usize, word: u64) -> Result<()>;

    /// Stores a word if it is `old`, and tells whether it was.
    fn exchange(&self, at: usize, old: u64, new: u64) -> Result<bool>;

    /// Copies bytes out.
    fn read(&self, at: usize, into: &mut [u8]) -> Result<()>;

    /// Copies bytes in.
    fn write(&self, at: usize, from: &[u8]) -> Result<()>;
}

impl Space for Memory {
    fn load(&self, at: usize) -> Result<u64> {
        Ok(self.load_u64(at, Ordering::Acquire)?)
    }

    fn store(&self, at: usize, word: u64) -> Result<()> {
        self.atomic_u64(at)?.store(word, Ordering::Release);
        Ok(())
    }

    fn exchange(&self, at: usize, old: u64, new: u64) -> Result<bool> {
        let word = self.atomic_u64(at)?;
        let swapped = word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        // Missing memory reads as zeros and takes what is stored; nobody should go on from there.
        self.check()?;
        Ok(swapped)
    }

    fn read(&self, at: usize, into: &mut [u8]) -> Result<()> {
        Ok(Memory::read(self, at, into)?)
    }

    fn write(&self, at: usize, from: &[u8]) -> Result<()> {
        Ok(Memory::write(self, at, from)?)
    }
}

/// The same with memory of the process's own, for the tests of the algorithm.
#[cfg(test)]
pub(crate) struct Heap(core::cell::RefCell<Vec<u8>>);

#[cfg(test)]
impl Heap {
    pub(crate) fn new(len: usize) -> Self {
        Self(core::cell::RefCell::new(vec![0; len]))
    }
}

#[cfg(test)]
impl Space for Heap {
    fn load(&self, at: usize) -> Result<u64> {
        assert!(at.is_multiple_of(8), "{at} is not aligned");
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_ne_bytes(word))
    }

    fn store(&self, at: usize, word: u64) -> Result<()> {
        assert!(at.is_multiple_of(8), "{at} is not aligned");
        self.write(at, &word.to_ne_bytes())
    }

    fn exchange(&self, at: usize, old: u64, new: u64) -> Result<bool> {
        let is_old = self.load(at)? == old;
        if is_old {
            self.store(at, new)?;
        }
        Ok(is_old)
    }

    fn read(&self, at: usize, into: &mut [u8]) -> Result<()> {
        into.copy_from_slice(&self.0.borrow()[at..at + into.len()]);
        Ok(())
    }

    fn write(&self, at: usize, from: &[u8]) -> Result<()> {
        self.0.borrow_mut()[at..at + from.len()].copy_from_slice(from);
        Ok(())
    }
}
