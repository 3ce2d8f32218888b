//! The ends of a pipe.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use twixt_os::pipe::{Reader, Writer};
use twixt_os::{Result, Wait};

use super::{Sink, Source, borrowed, bytes};
use crate::Capacity;

/// The write end of a pipe or FIFO.
pub(crate) struct PipeSink(pub(crate) Writer);

impl Sink for PipeSink {
    #[inline(always)]
    fn write(&mut self, slices: &[IoSlice<'_>], _: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        self.0.write_vectored_wait(slices, wait)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&self.0)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.0.capacity().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.0.queued().map(|queued| Some(queued as u64))
    }
}

/// The read end of a pipe.
pub(crate) struct PipeSource(pub(crate) Reader);

impl Source for PipeSource {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8], _: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        self.0.read_wait(buffer, wait)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&self.0)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.0.capacity().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.0.queued().map(|queued| Some(queued as u64))
    }
}
