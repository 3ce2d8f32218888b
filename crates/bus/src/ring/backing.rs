//! Memory of an unbounded ring, which comes when it is written and goes when everybody has read it.
//!
//! The ring is as long as the budget, but its file is a hole. Whoever writes it reserves it in chunks ahead of that, so
//! that a full file system is an error and no SIGBUS, and punches those out again that lie wholly before what is still needed: the
//! slowest cursor in a topic, the tail in a queue.

use std::os::fd::BorrowedFd;

use rustix::fs::{FallocateFlags, fallocate};
use twixt_os::Errno;

use super::{Geometry, LINE_BYTES, distance};

/// Lines of a chunk: 256 KiB.
const CHUNK: u64 = 4096;

/// What is known of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A predecessor may have left memory there.
    Unknown,
    Reserved,
    Hole,
}

/// Which parts of a ring have memory.
#[derive(Debug)]
pub(crate) struct Backing {
    geometry: Geometry,
    /// Lines of a chunk: fewer in a small ring.
    chunk: u64,
    chunks: Vec<State>,
    /// Where the ring begins in the file.
    offset: u64,
    /// All before it may be written.
    covered: u64,
    /// All before it was given back.
    released: u64,
}

impl Backing {
    /// Of a ring `offset` bytes from the beginning of its file, that a producer goes on with at `next`.
    pub(crate) fn new(geometry: Geometry, offset: usize, next: u64) -> Self {
        let chunk = CHUNK.min(geometry.lines());
        let count = (geometry.lines() / chunk) as usize;
        Self {
            geometry,
            chunk,
            chunks: vec![State::Unknown; count],
            offset: offset as u64,
            covered: next,
            released: next.wrapping_sub(geometry.lines()),
        }
    }

    /// Reserves what is needed to write up to `end`.
    ///
    /// # Errors
    /// `ENOSPC`, and others of `fallocate(2)`; nothing is lost then.
    pub(crate) fn cover(&mut self, file: BorrowedFd<'_>, end: u64) -> Result<(), Errno> {
        while distance(self.covered, end) > 0 {
            // To the end of the chunk that it is in.
            let next = (self.covered & !(self.chunk - 1)).wrapping_add(self.chunk);
            let index = self.index(self.covered);
            if self.chunks[index] != State::Reserved {
                fallocate(file, FallocateFlags::empty(), self.at(index), self.bytes())?;
                self.chunks[index] = State::Reserved;
            }
            self.covered = next;
        }
        Ok(())
    }

    /// Up to where it may be written.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// Where that ends which is given back when all before `least` may go.
    pub(crate) fn goes_until(&self, least: u64) -> u64 {
        least & !(self.chunk - 1)
    }

    /// Gives back what lies wholly before `least`. What cannot be given back stays.
    pub(crate) fn release(&mut self, file: BorrowedFd<'_>, least: u64) {
        loop {
            let end = (self.released & !(self.chunk - 1)).wrapping_add(self.chunk);
            if distance(end, least) < 0 || distance(end, self.covered) <= 0 {
                return;
            }
            let index = self.index(self.released);
            // One that is covered again already, a lap later, is in use.
            let is_in_use =
                distance(end.wrapping_add(self.geometry.lines()), self.covered) > -(self.chunk.cast_signed());
            if self.chunks[index] != State::Hole && !is_in_use {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                if fallocate(file, flags, self.at(index), self.bytes()).is_ok() {
                    self.chunks[index] = State::Hole;
                }
            }
            self.released = end;
        }
    }

    fn index(&self, position: u64) -> usize {
        (self.geometry.slot(position) / self.chunk) as usize
    }

    fn at(&self, index: usize) -> u64 {
        self.offset + index as u64 * self.bytes()
    }

    /// The bytes of a chunk.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunk * LINE_BYTES as u64
    }
}

#[cfg(all(test, not(twixt_loom)))]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it punches holes into a file")]
    fn memory_comes_ahead_and_goes_behind() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        let geometry = Geometry::new(8 * CHUNK).unwrap();
        file.set_len(geometry.bytes() as u64).unwrap();
        let used = || file.metadata().unwrap().blocks() * 512;
        let mut backing = Backing::new(geometry, 0, 0);
        for next in (0..40 * CHUNK).step_by(100) {
            backing.cover(file.as_fd(), next + 1).unwrap();
            assert!(backing.covered() > next);
            let least = next.saturating_sub(50);
            backing.release(file.as_fd(), least);
            assert!(used() <= 3 * backing.bytes(), "{} at {next}", used());
        }
        // Somebody is slow: it all stays.
        let from = 40 * CHUNK;
        backing.cover(file.as_fd(), from + 6 * CHUNK).unwrap();
        assert!(used() >= 6 * backing.bytes());
        backing.release(file.as_fd(), from + 6 * CHUNK);
        assert!(used() <= 2 * backing.bytes());
    }
}
