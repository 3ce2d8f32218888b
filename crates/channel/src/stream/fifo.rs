//! The ends of a FIFO, to which writers come and go.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, flock};
use twixt_address::Framing;
use twixt_os::fifo::Fifo;
use twixt_os::lock::{self, Class, Kind};
use twixt_os::pipe::{PIPE_BUF, Reader, Writer};
use twixt_os::{Errno, Error, ErrorKind, Mechanism, Object, Outcome, Prepared, Result, Wait};

use super::{PipeSink, Sink, Source, borrowed, bytes};
use crate::Capacity;

/// Writes messages among other writers, without mixing them.
///
/// The kernel keeps a write of up to `PIPE_BUF` bytes in one piece, and no longer one. So senders of ours lock the FIFO
/// (`flock(2)`): whoever has sent a short message has it shared from then on, so that short messages need no call of their
/// own, and a longer one is written with the lock exclusive. Who wants that while another writes a longer one waits for it;
/// while somebody has it shared, who may write at any time and does not say when it is through, a longer one is refused.
pub(crate) struct FifoSink {
    writer: PipeSink,
    object: Object,
    fifo: Fifo,
    /// Bytes alone have no boundaries that could be kept.
    locks: bool,
    held: Option<Kind>,
}

impl FifoSink {
    pub(crate) fn new(fifo: Fifo, writer: Writer, framing: Framing) -> Self {
        let object = Object::path(fifo.path());
        Self { writer: PipeSink::new(writer), object, fifo, locks: framing != Framing::Raw, held: None }
    }

    /// Has it shared from now on.
    #[cold]
    fn share(&mut self, wait: Wait) -> Result<()> {
        let lock = || flock(&self.writer.writer, FlockOperation::NonBlockingLockShared);
        self.held = self.locked(wait.with_backoff(lock), Kind::Shared)?;
        Ok(())
    }

    /// Has it alone, for one message.
    #[cold]
    fn exclude(&mut self, len: usize, wait: Wait) -> Result<()> {
        // A lock that cannot be made exclusive is lost.
        self.held = None;
        let mut attempts = 0_u32;
        let outcome = wait.with_backoff(|| {
            let outcome = flock(&self.writer.writer, FlockOperation::NonBlockingLockExclusive);
            attempts += 1;
            // Looking for holders takes long.
            if outcome == Err(Errno::AGAIN) && attempts.is_power_of_two() && self.is_shared() {
                return Err(Errno::BUSY);
            }
            outcome
        });
        if outcome == Err(Errno::BUSY) {
            let why = format!(
                "the message has {len} bytes with its frame, and more than {PIPE_BUF} might be mixed with the messages of \
                 another sender, who has sent short ones and not closed the FIFO"
            );
            return Err(Error::refused(Mechanism::Fifo, SEND, self.object.clone(), ErrorKind::Busy, why));
        }
        self.held = self.locked(outcome, Kind::Exclusive)?;
        Ok(())
    }

    /// What came of locking. File systems that lock nothing have no remedy.
    fn locked(&self, outcome: core::result::Result<(), Errno>, kind: Kind) -> Result<Option<Kind>> {
        match outcome {
            Err(errno @ (Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR)) => {
                Err(Error::kernel(Mechanism::Fifo, SEND, self.object.clone(), errno))
            }
            _ => Ok(Some(kind)),
        }
    }

    /// Whether somebody is known to have it shared.
    fn is_shared(&self) -> bool {
        let is_shared = |holder: &lock::Holder| holder.class == Class::Flock && holder.kind == Kind::Shared;
        lock::holders(self.fifo.path()).is_ok_and(|found| found.holders.iter().any(is_shared))
    }
}

const SEND: &str = "send to";

impl Sink for FifoSink {
    #[inline]
    fn begin(&mut self, len: usize, wait: Wait) -> Result<()> {
        match (len <= PIPE_BUF, self.held) {
            (true, Some(Kind::Shared)) => Ok(()),
            _ if !self.locks => Ok(()),
            (true, _) => self.share(wait),
            (false, _) => self.exclude(len, wait),
        }
    }

    #[inline]
    fn end(&mut self) {
        if self.held == Some(Kind::Exclusive) {
            self.held = None;
            let _ = flock(&self.writer.writer, FlockOperation::Unlock);
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        self.writer.write(slices, descriptors, wait)
    }

    #[inline]
    fn prepares(&self, len: usize, wait: Wait) -> bool {
        let has_begun = !self.locks || (len <= PIPE_BUF && self.held == Some(Kind::Shared));
        has_begun && self.writer.prepares(len, wait)
    }

    #[inline]
    fn prepare_write<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<Prepared<'a>> {
        self.writer.prepare_write(bytes, wait)
    }

    fn finish_write(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        self.writer.finish_write(first, bytes, wait)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.writer.descriptor()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.writer.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        self.writer.len()
    }
}

/// Reads what all writers write. Its end is told once: then it is opened anew, and waits for the next writer.
///
/// A read end that had writers and has none is readable for ever (it has "hung up"), so that no poll could wait for the
/// next one. A newly opened one is not, until a writer has come and gone.
pub(crate) struct FifoSource {
    fifo: Fifo,
    reader: Reader,
    /// Whether no writer is known to have come since it was opened.
    is_new: bool,
    object: Object,
}

impl FifoSource {
    /// Opens it at once, whether or not there is a writer yet.
    pub(crate) fn open(fifo: Fifo) -> Result<Self> {
        let object = Object::path(fifo.path());
        Ok(Self { reader: fifo.open_read_now()?, fifo, is_new: true, object })
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl Source for FifoSource {
    fn read(&mut self, buffer: &mut [u8], _: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        if self.is_new {
            // Until a writer comes a read would find the end of nothing.
            wait.until_readable(&self.reader)
                .map_err(|errno| Error::kernel(Mechanism::Fifo, "read from", self.object.clone(), errno))?;
        }
        let read = self.reader.read_wait(buffer, wait)?;
        self.is_new = false;
        Ok(read)
    }

    #[inline]
    fn prepare_read<'a>(&'a mut self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        if self.is_new { None } else { self.reader.prepare_read(buffer, wait) }
    }

    #[inline]
    fn finish_read(
        &mut self,
        first: Outcome,
        buffer: &mut [u8],
        _: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<usize> {
        self.reader.finish_read(first, buffer, wait)
    }

    fn renew(&mut self) -> Result<()> {
        // The one from before goes after the new one has come, so that nothing written meanwhile is lost.
        let capacity = self.reader.capacity()?;
        let reader = self.fifo.open_read_now()?;
        if reader.capacity()? != capacity {
            let _ = reader.set_capacity(capacity);
        }
        self.reader = reader;
        self.is_new = true;
        Ok(())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&self.reader)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.reader.capacity().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.reader.queued().map(|queued| Some(queued as u64))
    }
}
