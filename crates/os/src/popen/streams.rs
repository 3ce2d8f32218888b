//! A command's output, to be read, and a command's input, to be written.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitStatus;

use crate::pipe::{Reader, Writer};
use crate::popen::Job;
use crate::{Deadline, Error, ErrorKind, Mechanism, Object, Result, Wait};

/// What a command writes, to be read here: `popen(line, "r")`.
///
/// It is an [`io::Read`]; for deadlines ask its [`reader`](Self::reader). See [`popen`](crate::popen) for what
/// becomes of the command when this is dropped.
///
/// ```
/// use twixt_os::{Deadline, popen::Command};
/// use std::time::Duration;
///
/// let mut echo = Command::program("echo").arg("hello").read()?;
/// let mut buffer = [0; 64];
/// let read = echo.reader()?.read_deadline(&mut buffer, Deadline::after(Duration::from_secs(60)))?;
/// assert_eq!(&buffer[..read], b"hello\n");
/// assert_eq!(echo.close()?.code(), Some(0));
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Output {
    // Before the job, so that it is dropped before.
    reader: Option<Reader>,
    job: Job,
}

impl Output {
    pub(super) fn new(reader: Reader, job: Job) -> Self {
        Self { reader: Some(reader), job }
    }

    /// The read end of the pipe.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn reader(&self) -> Result<&Reader> {
        self.reader.as_ref().ok_or_else(|| closed("read from", &self.job))
    }

    /// Takes it apart: the command's output, and the command.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn into_parts(self) -> Result<(Reader, Job)> {
        match self.reader {
            Some(reader) => Ok((reader, self.job)),
            None => Err(closed("take apart", &self.job)),
        }
    }

    /// The command.
    pub fn job(&mut self) -> &mut Job {
        &mut self.job
    }

    /// The descriptor, for waiting on several: readable when there is output or its end.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        self.reader().map(AsFd::as_fd)
    }

    /// Stops reading, and waits for the command to end: `pclose(3)`. A command that has more to write gets SIGPIPE:
    /// read to the end first if it is to finish.
    ///
    /// Of several commands it waits for all and returns the status of the last.
    ///
    /// # Errors
    /// Those of [`Job::wait`].
    #[doc(alias = "pclose")]
    pub fn close(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::forever())
    }

    /// Stops reading, and returns the command's status if it has ended.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock), and `close` can be called again; those of [`Job::wait`].
    pub fn try_close(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::never())
    }

    /// Stops reading, and waits for the command to end, until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), and `close` can be called again; those of [`Job::wait`].
    pub fn close_deadline(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        self.close_wait(Wait::until(deadline))
    }

    /// Stops reading, and waits for the command to end or a signal handler to run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), and `close` can be called again; those of [`Job::wait`].
    pub fn close_interruptible(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::forever().interruptible())
    }

    /// Stops reading, and waits for the command to end, as told.
    ///
    /// # Errors
    /// Those of the wait, and `close` can be called again; those of [`Job::wait`].
    pub fn close_wait(&mut self, wait: Wait) -> Result<ExitStatus> {
        self.reader = None;
        self.job.wait_with(wait)
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.reader()?.read(buffer)?)
    }
}

/// What a command reads, to be written here: `popen(line, "w")`.
///
/// It is an [`io::Write`]; for deadlines ask its [`writer`](Self::writer). Nothing is held back: what was written
/// is with the kernel. See [`popen`](crate::popen) for what becomes of the command when this is dropped.
///
/// ```
/// use std::io::Write;
/// use twixt_os::popen::Command;
///
/// let mut check = Command::shell("read -r word && test \"$word\" = ping").write()?;
/// check.write_all(b"ping\n")?;
/// assert!(check.close()?.success());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Input {
    // Before the job, so that it is dropped before.
    writer: Option<Writer>,
    job: Job,
}

impl Input {
    pub(super) fn new(writer: Writer, job: Job) -> Self {
        Self { writer: Some(writer), job }
    }

    /// The write end of the pipe.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(|| closed("write to", &self.job))
    }

    /// Takes it apart: the command's input, and the command.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn into_parts(self) -> Result<(Writer, Job)> {
        match self.writer {
            Some(writer) => Ok((writer, self.job)),
            None => Err(closed("take apart", &self.job)),
        }
    }

    /// The command.
    pub fn job(&mut self) -> &mut Job {
        &mut self.job
    }

    /// The descriptor, for waiting on several: writable when there is room, in error when the command stopped
    /// reading.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) after a close.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        self.writer().map(AsFd::as_fd)
    }

    /// Ends the command's input, and waits for the command to end: `pclose(3)`.
    ///
    /// Of several commands it waits for all and returns the status of the last.
    ///
    /// # Errors
    /// Those of [`Job::wait`].
    #[doc(alias = "pclose")]
    pub fn close(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::forever())
    }

    /// Ends the command's input, and returns its status if it has ended.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock), and `close` can be called again; those of [`Job::wait`].
    pub fn try_close(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::never())
    }

    /// Ends the command's input, and waits for the command to end, until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), and `close` can be called again; those of [`Job::wait`].
    pub fn close_deadline(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        self.close_wait(Wait::until(deadline))
    }

    /// Ends the command's input, and waits for the command to end or a signal handler to run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), and `close` can be called again; those of [`Job::wait`].
    pub fn close_interruptible(&mut self) -> Result<ExitStatus> {
        self.close_wait(Wait::forever().interruptible())
    }

    /// Ends the command's input, and waits for the command to end, as told.
    ///
    /// # Errors
    /// Those of the wait, and `close` can be called again; those of [`Job::wait`].
    pub fn close_wait(&mut self, wait: Wait) -> Result<ExitStatus> {
        self.writer = None;
        self.job.wait_with(wait)
    }
}

impl Write for Input {
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

/// The stream was closed before.
pub(super) fn closed(operation: &'static str, job: &Job) -> Error {
    let object = job.last().map_or(Object::Unnamed, |process| process.object().clone());
    let why = "it was closed already";
    Error::refused(Mechanism::Popen, operation, object, ErrorKind::InvalidInput, why)
}
