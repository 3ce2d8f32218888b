//! The input and the output of a command.

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use twixt_os::pipe::{Reader, Writer};
use twixt_os::popen::Job;
use twixt_os::{Deadline, Error, ErrorKind, Mechanism, Object, Outcome, Prepared, Result, Wait};

use super::{PipeSink, PipeSource, Sink, Source, bytes};
use crate::Capacity;

/// What a command reads.
pub(crate) struct CommandSink {
    /// None once it has been told the end.
    writer: Option<PipeSink>,
    job: Arc<Mutex<Job>>,
    object: Object,
}

/// What a command writes.
pub(crate) struct CommandSource {
    reader: PipeSource,
    job: Arc<Mutex<Job>>,
    object: Object,
    /// Nobody is to hear of its status again.
    has_told: bool,
}

/// How long a command that has closed its output may take to end, where it must not be waited for: its output is closed
/// a moment before the status is there.
const MOMENT: Duration = Duration::from_millis(100);

impl CommandSink {
    pub(crate) fn new(writer: Writer, job: Arc<Mutex<Job>>, object: Object) -> Self {
        Self { writer: Some(PipeSink::new(writer)), job, object }
    }

    fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().map(|sink| &sink.writer).ok_or_else(|| {
            let why = "it was told the end of its input";
            Error::refused(Mechanism::Popen, "send to", self.object.clone(), ErrorKind::PeerGone, why)
        })
    }
}

impl CommandSource {
    pub(crate) fn new(reader: Reader, job: Arc<Mutex<Job>>, object: Object) -> Self {
        Self { reader: PipeSource(reader), job, object, has_told: false }
    }
}

impl Sink for CommandSink {
    fn write(&mut self, slices: &[IoSlice<'_>], _: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        self.writer()?.write_vectored_wait(slices, wait)
    }

    #[inline]
    fn prepares(&self, len: usize, wait: Wait) -> bool {
        self.writer.as_ref().is_some_and(|sink| sink.prepares(len, wait))
    }

    #[inline]
    fn prepare_write<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<Prepared<'a>> {
        self.writer.as_mut()?.prepare_write(bytes, wait)
    }

    fn finish_write(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        self.writer()?.finish_write(first, bytes, wait)
    }

    /// Ends the command's input. If nobody reads its output, waits for the command to end too: then what it was to do
    /// with its input is done, or it tells that it failed.
    fn finish(&mut self, wait: Wait) -> Result<()> {
        self.writer = None;
        if Arc::strong_count(&self.job) > 1 {
            return Ok(());
        }
        let status = self.job.lock().unwrap_or_else(PoisonError::into_inner).wait_with(wait)?;
        succeeded(status, "finish", &self.object)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().and_then(PipeSink::descriptor)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.writer()?.capacity().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.writer()?.queued().map(|queued| Some(queued as u64))
    }
}

impl Source for CommandSource {
    fn read(&mut self, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        self.reader.read(buffer, descriptors, wait)
    }

    #[inline]
    fn prepare_read<'a>(&'a mut self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        self.reader.prepare_read(buffer, wait)
    }

    #[inline]
    fn finish_read(
        &mut self,
        first: Outcome,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<usize> {
        self.reader.finish_read(first, buffer, descriptors, wait)
    }

    /// Waits for the command to end and tells once that it failed. One that still has its input may have closed its
    /// output only, and go on until the end of its input: it gets a moment, and so does any where nothing may be waited
    /// for, since no descriptor would tell when to ask again.
    fn finish(&mut self, wait: Wait) -> Result<()> {
        if self.has_told {
            return Ok(());
        }
        let is_brief = wait.is_never() || Arc::strong_count(&self.job) > 1;
        let wait = if is_brief { Wait::until(Deadline::after(MOMENT)) } else { wait };
        let ended = self.job.lock().unwrap_or_else(PoisonError::into_inner).wait_with(wait);
        let told = match ended {
            Ok(status) => succeeded(status, "receive from", &self.object),
            Err(error) if is_brief && error.kind() == ErrorKind::TimedOut => Ok(()),
            // This process ignores SIGCHLD: nobody will ever know.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => return Err(error),
        };
        self.has_told = true;
        told
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.reader.descriptor()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.reader.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        self.reader.len()
    }
}

fn succeeded(status: ExitStatus, operation: &'static str, object: &Object) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let why = format!("it ended with {status}");
    Err(Error::refused(Mechanism::Popen, operation, object.clone(), ErrorKind::Other, why))
}
