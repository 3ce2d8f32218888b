//! The read end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Stdio;

use rustix::event::PollFlags;
use rustix::fs::OFlags;

use crate::inherit::inherited_as;
use crate::pipe::End;
use crate::{Deadline, Error, Mechanism, Outcome, Prepared, Result, Wait};

/// The read end of a pipe or FIFO.
///
/// Any number of threads and processes may read; each byte goes to one of them. It is an [`io::Read`], and so is
/// `&Reader`; turned into an [`OwnedFd`] or a [`Stdio`], it can be passed on.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::{Deadline, ErrorKind, pipe};
///
/// let (reader, writer) = pipe::create()?;
/// let mut buffer = [0; 64];
/// assert_eq!(reader.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
///
/// let soon = Deadline::after(Duration::from_millis(5));
/// assert_eq!(reader.read_deadline(&mut buffer, soon).unwrap_err().kind(), ErrorKind::TimedOut);
///
/// drop(writer);
/// assert_eq!(reader.read(&mut buffer)?, 0);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    end: End,
}

const READ: &str = "read from";

impl Reader {
    pub(crate) fn from_end(end: End) -> Self {
        Self { end }
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, is no pipe or FIFO, or cannot be read.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::Pipe, number)?.try_into()
    }

    pub(crate) fn end(&self) -> &End {
        &self.end
    }

    /// Reads what is there, at most the length of the buffer, waiting until there is something: `read(2)`.
    ///
    /// Returns the number of bytes; 0 means that every copy of the write end is closed and nothing is left (or that
    /// the buffer is empty). One system call.
    ///
    /// # Errors
    /// None in practice: an open pipe can always be read.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.read_wait(buffer, Wait::forever())
    }

    /// Reads what is there now. One system call.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if the pipe is empty and has a writer. Without one it returns 0.
    #[doc(alias = "preadv2")]
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.read_wait(buffer, Wait::never())
    }

    /// Reads what is there, waiting until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn read_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.read_wait(buffer, Wait::until(deadline))
    }

    /// Reads what is there, waiting until there is something or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn read_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.read_wait(buffer, Wait::forever().interruptible())
    }

    /// Reads what is there, waiting as told.
    ///
    /// # Errors
    /// Those of the wait. [`Unsupported`](crate::ErrorKind::Unsupported) if it is not for ever and the kernel can
    /// only be asked not to wait by way of `/proc/self/fd`, which is not there or not permitted.
    #[inline]
    pub fn read_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        wait.on_descriptor(self.as_fd(), PollFlags::IN, |attempt| self.end.read(attempt, buffer))
            .map_err(|errno| self.end.error(READ, errno))
    }

    /// The system call of [`read_wait`](Self::read_wait), to be made by who wants it: see [`Prepared`]. None but where it may wait
    /// without end.
    #[inline]
    pub fn prepare_read<'a>(&'a self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        self.end.prepare_read(wait.attempt(), buffer)
    }

    /// What [`read_wait`](Self::read_wait) returns where its [prepared](Self::prepare_read) call has come to `first`, which it
    /// makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`read_wait`](Self::read_wait).
    #[inline]
    pub fn finish_read(&self, first: Outcome, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        let read = |attempt| self.end.read(attempt, buffer);
        wait.on_descriptor_after(first, self.as_fd(), PollFlags::IN, read)
            .map_err(|errno| self.end.error(READ, errno))
    }

    /// A second handle on the same description: `dup(2)`, close-on-exec.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached): `RLIMIT_NOFILE`.
    #[doc(alias = "dup")]
    pub fn try_clone(&self) -> Result<Self> {
        self.end.duplicate().map(Self::from_end)
    }
}

impl io::Read for &Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(Reader::read(self, buffer)?)
    }

    /// `readv(2)`: into several buffers in one system call.
    #[doc(alias = "readv")]
    fn read_vectored(&mut self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        // SA_RESTART or not, a signal does not end the call.
        let wait = Wait::forever();
        wait.on_descriptor(self.as_fd(), PollFlags::IN, |_| rustix::io::readv(self.as_fd(), buffers))
            .map_err(|errno| self.end.error(READ, errno).into())
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        io::Read::read_vectored(&mut &*self, buffers)
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl From<Reader> for OwnedFd {
    fn from(reader: Reader) -> Self {
        reader.end.into_fd()
    }
}

/// Makes it a standard stream of a command.
impl From<Reader> for Stdio {
    fn from(reader: Reader) -> Self {
        OwnedFd::from(reader).into()
    }
}

/// Takes over a descriptor: one that was inherited or received, or that another library has made.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no pipe or FIFO, or cannot be read.
impl TryFrom<OwnedFd> for Reader {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        End::checked(fd, READ, OFlags::WRONLY).map(Self::from_end)
    }
}
