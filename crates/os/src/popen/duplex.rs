//! A command's input and output at once.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitStatus;

use rustix::event::{PollFd, PollFlags, poll};

use crate::pipe::{Reader, Writer};
use crate::popen::Job;
use crate::popen::streams::closed;
use crate::wait::timespec;
use crate::{Deadline, Errno, ErrorKind, Result, Wait};

/// What a command reads, to be written here, and what it writes, to be read here.
///
/// It is an [`io::Write`] and an [`io::Read`], over two pipes.
///
/// Both sides can come to wait for each other: the command, its output pipe full, for this process to read; and this
/// process, the command's input pipe full, for it to read. A dialogue of short turns is safe; to give a command all
/// its input and take all its output use [`communicate`](Self::communicate), which does both at once. And many
/// programs hold back their output until they have a block of it, if it goes to a pipe.
///
/// ```
/// use twixt_os::popen::Command;
///
/// let mut tr = Command::program("tr").args(["a-z", "A-Z"]).duplex()?;
/// let mut answer = Vec::new();
/// tr.communicate(b"between us", &mut answer)?;
/// assert_eq!(answer, b"BETWEEN US");
/// assert!(tr.close()?.success());
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Duplex {
    // Before the job, so that they are dropped before.
    writer: Option<Writer>,
    reader: Option<Reader>,
    job: Job,
}

impl Duplex {
    pub(super) fn new(writer: Writer, reader: Reader, job: Job) -> Self {
        Self { writer: Some(writer), reader: Some(reader), job }
    }

    /// The write end of the command's input.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| closed("write to", &self.job))
    }

    /// The read end of the command's output.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn reader(&self) -> Result<&Reader> {
        self.reader.as_ref().ok_or_else(|| closed("read from", &self.job))
    }

    /// Takes it apart: the command's input and output, for two threads, and the command.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn into_parts(self) -> Result<(Writer, Reader, Job)> {
        match (self.writer, self.reader) {
            (Some(writer), Some(reader)) => Ok((writer, reader, self.job)),
            _ => Err(closed("take apart", &self.job)),
        }
    }

    /// The command.
    pub fn job(&mut self) -> &mut Job {
        &mut self.job
    }

    /// Ends the command's input: it will read the end of the data. Its output can still be read.
    pub fn close_input(&mut self) {
        self.writer = None;
    }

    /// Writes all of `input`, ends the command's input, and reads its output to its end, all at the same time.
    /// Returns the number of bytes read, which were appended to `output`.
    ///
    /// A command that stops reading before it has read everything (like `head`) is no error.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn communicate(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize> {
        self.communicate_wait(input, output, Wait::forever())
    }

    /// [`communicate`](Self::communicate), until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut): `output` has what was read until then; how much of the input was written
    /// is unknown.
    pub fn communicate_deadline(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<usize> {
        self.communicate_wait(input, output, Wait::until(deadline))
    }

    /// [`communicate`](Self::communicate), until a signal handler runs.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted): `output` has what was read until then; how much of the input was
    /// written is unknown.
    pub fn communicate_interruptible(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize> {
        self.communicate_wait(input, output, Wait::forever().interruptible())
    }

    /// [`communicate`](Self::communicate), waiting as told; not waiting is of little use here.
    ///
    /// # Errors
    /// Those of the wait: `output` has what was read until then; how much of the input was written is unknown.
    pub fn communicate_wait(&mut self, input: &[u8], output: &mut Vec<u8>, wait: Wait) -> Result<usize> {
        let before = output.len();
        let mut rest = input;
        let mut buffer = vec![0; CHUNK];
        loop {
            if rest.is_empty() {
                self.writer = None;
            }
            self.poll(wait)?;
            // A command that never stops writing keeps the pipe ready past any deadline.
            let expired = wait.deadline().is_some_and(Deadline::has_passed);
            if let Some(writer) = &self.writer {
                match writer.try_write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == ErrorKind::PeerGone => rest = &[],
                    Err(error) => return Err(error),
                }
            }
            match self.reader()?.try_read(&mut buffer) {
                Ok(0) => {
                    self.writer = None;
                    return Ok(output.len() - before);
                }
                Ok(count) => output.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if expired {
                return Err(self.reader()?.end().error(EXCHANGE, Errno::TIMEDOUT));
            }
        }
    }

    /// Waits until the command has output, or input can be written if there is any left.
    fn poll(&self, wait: Wait) -> Result<()> {
        let reader = self.reader()?;
        let readable = PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN);
        let writable =
            self.writer.as_ref().map(|writer| PollFd::from_borrowed_fd(writer.as_fd(), PollFlags::OUT));
        let polled = wait.with_timeout(|timeout| {
            let mut ends = [readable.clone(), writable.clone().unwrap_or_else(|| readable.clone())];
            let timeout = timeout.map(timespec);
            if poll(&mut ends, timeout.as_ref())? == 0 { Err(Errno::AGAIN) } else { Ok(()) }
        });
        polled.map_err(|errno| reader.end().error(EXCHANGE, errno))
    }

    /// Closes both streams, and waits for the command to end: `pclose(3)`. A command that has more to write gets
    /// SIGPIPE: read to the end first if it is to finish.
    ///
    /// Of several commands it waits for all and returns the status of the last.
    ///
    /// # Errors
    /// Those of [`Job::wait`].
    #[doc(alias = "pclose")]
    pub fn close(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::forever())
    }

    /// Closes both streams, and returns the command's status if it has ended.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock), and `close` can be called again; those of [`Job::wait`].
    pub fn try_close(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::never())
    }

    /// Closes both streams, and waits for the command to end, until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), and `close` can be called again; those of [`Job::wait`].
    pub fn close_deadline(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        self.close_wait(Wait::until(deadline))
    }

    /// Closes both streams, and waits for the command to end or a signal handler to run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), and `close` can be called again; those of [`Job::wait`].
    pub fn close_interruptible(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::forever().interruptible())
    }

    /// Closes both streams, and waits for the command to end, as told.
    ///
    /// # Errors
    /// Those of the wait, and `close` can be called again; those of [`Job::wait`].
    pub fn close_wait(&mut self, wait: Wait) -> Result<ExitStatus> {
        self.writer = None;
        self.reader = None;
        self.job.wait_with(wait)
    }
}

const EXCHANGE: &str = "exchange data over";

/// How much is read at a time: what a pipe holds.
const CHUNK: usize = 65536;

impl Read for Duplex {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.reader()?.read(buffer)?)
    }
}

impl Write for Duplex {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.writer()?.write(bytes)?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut writer = self.writer()?;
        Write::write_vectored(&mut writer, slices)
    }

    /// Nothing is held back: the kernel has what was written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
