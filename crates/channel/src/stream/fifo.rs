//! The read end of a FIFO, to which writers come and go.

use std::os::fd::{BorrowedFd, OwnedFd};

use twixt_os::fifo::Fifo;
use twixt_os::pipe::Reader;
use twixt_os::{Error, Mechanism, Object, Result, Wait};

use super::{Source, borrowed, bytes};
use crate::Capacity;

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
