//! The ends of a pipe.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use twixt_os::pipe::{Reader, Vector, Writer};
use twixt_os::{Outcome, Prepared, Result, Wait};

use super::{Sink, Source, borrowed, bytes};
use crate::Capacity;

/// The write end of a pipe or FIFO.
pub(crate) struct PipeSink {
    pub(crate) writer: Writer,
    vector: Vector,
}

impl PipeSink {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer, vector: Vector::new() }
    }
}

impl Sink for PipeSink {
    #[inline(always)]
    fn write(&mut self, slices: &[IoSlice<'_>], _: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        self.writer.write_vectored_wait(slices, wait)
    }

    #[inline(always)]
    fn prepares(&self, _: usize, wait: Wait) -> bool {
        self.writer.prepares(wait)
    }

    #[inline(always)]
    fn prepare_write<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<Prepared<'a>> {
        self.writer.prepare_write(&mut self.vector, bytes, wait)
    }

    fn finish_write(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        self.writer.finish_write(first, bytes, wait)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&self.writer)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.writer.capacity().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.writer.queued().map(|queued| Some(queued as u64))
    }
}

/// The read end of a pipe.
pub(crate) struct PipeSource(pub(crate) Reader);

impl Source for PipeSource {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8], _: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        self.0.read_wait(buffer, wait)
    }

    #[inline(always)]
    fn prepare_read<'a>(&'a mut self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        self.0.prepare_read(buffer, wait)
    }

    #[inline(always)]
    fn finish_read(
        &mut self,
        first: Outcome,
        buffer: &mut [u8],
        _: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<usize> {
        self.0.finish_read(first, buffer, wait)
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
