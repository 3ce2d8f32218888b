//! The write end.

use core::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Stdio;

use rustix::event::PollFlags;
use rustix::fs::OFlags;

use crate::inherit::inherited_as;
use crate::pipe::{End, PIPE_BUF, Vector};
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Outcome, Prepared, Result, Wait};

/// The write end of a pipe or FIFO.
///
/// Any number of threads and processes may write; what they write in pieces of up to [`PIPE_BUF`] bytes is not
/// mixed. It is an [`io::Write`], and so is `&Writer`; turned into an [`OwnedFd`] or a [`Stdio`], it can be passed
/// on.
///
/// Writing raises no SIGPIPE, even if the process has left the signal's default disposition, which is to die: with
/// `RWF_NOSIGNAL` on Linux 6.18 and later, in one system call. Older kernels cost one more where the signal is ignored, as it
/// is when a Rust program starts, and four more otherwise: it is blocked in the thread meanwhile, and taken.
///
/// ```
/// use twixt_os::{ErrorKind, pipe};
///
/// let (reader, writer) = pipe::create()?;
/// assert_eq!(writer.write(b"ping")?, 4);
/// drop(reader);
/// assert_eq!(writer.write(b"ping").unwrap_err().kind(), ErrorKind::PeerGone);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer {
    end: End,
}

const WRITE: &str = "write to";

impl Writer {
    pub(crate) fn from_end(end: End) -> Self {
        Self { end }
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, is no pipe or FIFO, or cannot be written.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::Pipe, number)?.try_into()
    }

    pub(crate) fn end(&self) -> &End {
        &self.end
    }

    /// Writes, waiting while the pipe is full: `write(2)`. Returns how many bytes went in.
    ///
    /// That is all of them, unless there were more than [`PIPE_BUF`] and a signal handler ran, or the readers went,
    /// or the description has `O_NONBLOCK`, after a part of them: [`write_all`](Self::write_all) goes on with the
    /// rest. One system call.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) if nobody holds the read end (any more).
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        self.write_wait(bytes, Wait::forever())
    }

    /// Writes what goes in now: up to [`PIPE_BUF`] bytes wholly or not at all, of more perhaps a part. One system
    /// call.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if the pipe is full, and nothing was written;
    /// [`PeerGone`](ErrorKind::PeerGone).
    #[doc(alias = "pwritev2")]
    #[doc(alias = "RWF_NOWAIT")]
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        self.write_wait(bytes, Wait::never())
    }

    /// Writes, waiting until `deadline` at the longest for the pipe to have room. Returns how many bytes went in: up
    /// to [`PIPE_BUF`] wholly, of more perhaps a part, since it does not wait again after the first.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), and nothing was written; [`PeerGone`](ErrorKind::PeerGone).
    pub fn write_deadline(&self, bytes: &[u8], deadline: Deadline) -> Result<usize> {
        self.write_wait(bytes, Wait::until(deadline))
    }

    /// Writes, waiting while the pipe is full and no signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), and nothing was written; [`PeerGone`](ErrorKind::PeerGone).
    pub fn write_interruptible(&self, bytes: &[u8]) -> Result<usize> {
        self.write_wait(bytes, Wait::forever().interruptible())
    }

    /// Writes, waiting as told. Returns how many bytes went in.
    ///
    /// # Errors
    /// Those of the wait; [`PeerGone`](ErrorKind::PeerGone). [`Unsupported`](ErrorKind::Unsupported) if the wait is
    /// not for ever and the kernel can only be asked not to wait by way of `/proc/self/fd`, which is not there or
    /// not permitted.
    #[inline]
    pub fn write_wait(&self, bytes: &[u8], wait: Wait) -> Result<usize> {
        self.put(&[IoSlice::new(bytes)], wait)
    }

    /// Whether [`write_wait`](Self::write_wait) has a system call to [prepare](Self::prepare_write), as far as is known of the kernel.
    #[inline]
    pub fn prepares(&self, wait: Wait) -> bool {
        self.end.prepares(wait.attempt())
    }

    /// The system call of [`write_wait`](Self::write_wait), to be made by who wants it: see [`Prepared`]. None where the kernel
    /// has no single call that does it.
    #[inline]
    pub fn prepare_write<'a>(
        &'a self,
        vector: &'a mut Vector,
        bytes: &'a [u8],
        wait: Wait,
    ) -> Option<Prepared<'a>> {
        self.end.prepare_write(wait.attempt(), vector, bytes)
    }

    /// What [`write_wait`](Self::write_wait) returns where its [prepared](Self::prepare_write) call has come to `first`, which it
    /// makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`write_wait`](Self::write_wait).
    pub fn finish_write(&self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        // The kernel lacks what the call asked for, and has other ways.
        if let Err(Errno::OPNOTSUPP | Errno::NOSYS) = first {
            return self.write_wait(bytes, wait);
        }
        let write = |attempt| self.end.write(attempt, &[IoSlice::new(bytes)]);
        wait.on_descriptor_after(first, self.as_fd(), PollFlags::OUT, write)
            .map_err(|errno| self.end.error(WRITE, errno))
    }

    #[inline(always)]
    pub(super) fn put(&self, slices: &[IoSlice<'_>], wait: Wait) -> Result<usize> {
        wait.on_descriptor(self.as_fd(), PollFlags::OUT, |attempt| self.end.write(attempt, slices))
            .map_err(|errno| self.end.error(WRITE, errno))
    }

    /// Writes all the bytes, waiting as long as it takes. Mostly one system call.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone). The error tells how many bytes went in before.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), WriteAllError> {
        self.write_all_wait(bytes, Wait::forever())
    }

    /// Writes all the bytes that go in without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock), [`PeerGone`](ErrorKind::PeerGone). The error tells how many bytes went
    /// in before.
    pub fn try_write_all(&self, bytes: &[u8]) -> Result<(), WriteAllError> {
        self.write_all_wait(bytes, Wait::never())
    }

    /// Writes all the bytes, waiting until `deadline` at the longest for the last of them.
    ///
    /// ```
    /// use twixt_os::{Deadline, ErrorKind, pipe};
    ///
    /// let (_reader, writer) = pipe::create()?;
    /// let error = writer.write_all_deadline(&[0; 100_000], Deadline::now()).unwrap_err();
    /// assert_eq!(error.error.kind(), ErrorKind::TimedOut);
    /// assert_eq!(error.written, writer.capacity()?);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), [`PeerGone`](ErrorKind::PeerGone). The error tells how many bytes went in
    /// before.
    pub fn write_all_deadline(&self, bytes: &[u8], deadline: Deadline) -> Result<(), WriteAllError> {
        self.write_all_wait(bytes, Wait::until(deadline))
    }

    /// Writes all the bytes, waiting until they are written or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), [`PeerGone`](ErrorKind::PeerGone). The error tells how many bytes
    /// went in before.
    pub fn write_all_interruptible(&self, bytes: &[u8]) -> Result<(), WriteAllError> {
        self.write_all_wait(bytes, Wait::forever().interruptible())
    }

    /// Writes all the bytes, waiting as told.
    ///
    /// # Errors
    /// Those of [`write_wait`](Self::write_wait). The error tells how many bytes went in before.
    pub fn write_all_wait(&self, bytes: &[u8], wait: Wait) -> Result<(), WriteAllError> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write_wait(&bytes[written..], wait) {
                Ok(0) => {
                    let error = self.end.refuse(WRITE, ErrorKind::Other, "the kernel took nothing");
                    return Err(WriteAllError { written, error });
                }
                Ok(count) => written += count,
                Err(error) => return Err(WriteAllError { written, error }),
            }
        }
        Ok(())
    }

    /// Writes the bytes as one piece, which no other writer's bytes can part, waiting while there is no room for all
    /// of them.
    ///
    /// ```
    /// use twixt_os::{ErrorKind, pipe};
    ///
    /// let (_reader, writer) = pipe::create()?;
    /// writer.write_atomic(&[b'x'; pipe::PIPE_BUF])?;
    /// let error = writer.write_atomic(&[b'x'; pipe::PIPE_BUF + 1]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TooLong);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) for more than [`PIPE_BUF`] bytes, and nothing was written;
    /// [`PeerGone`](ErrorKind::PeerGone).
    pub fn write_atomic(&self, bytes: &[u8]) -> Result<()> {
        self.write_atomic_wait(bytes, Wait::forever())
    }

    /// Writes the bytes as one piece if there is room for all of them now.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong), [`WouldBlock`](ErrorKind::WouldBlock), [`PeerGone`](ErrorKind::PeerGone);
    /// nothing was written.
    pub fn try_write_atomic(&self, bytes: &[u8]) -> Result<()> {
        self.write_atomic_wait(bytes, Wait::never())
    }

    /// Writes the bytes as one piece, waiting until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong), [`TimedOut`](ErrorKind::TimedOut), [`PeerGone`](ErrorKind::PeerGone);
    /// nothing was written.
    pub fn write_atomic_deadline(&self, bytes: &[u8], deadline: Deadline) -> Result<()> {
        self.write_atomic_wait(bytes, Wait::until(deadline))
    }

    /// Writes the bytes as one piece, waiting until there is room or a signal handler has run.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong), [`Interrupted`](ErrorKind::Interrupted), [`PeerGone`](ErrorKind::PeerGone);
    /// nothing was written.
    pub fn write_atomic_interruptible(&self, bytes: &[u8]) -> Result<()> {
        self.write_atomic_wait(bytes, Wait::forever().interruptible())
    }

    /// Writes the bytes as one piece, waiting as told.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong), those of [`write_wait`](Self::write_wait); nothing was written.
    pub fn write_atomic_wait(&self, bytes: &[u8], wait: Wait) -> Result<()> {
        if bytes.len() > PIPE_BUF {
            let why = "more than PIPE_BUF (4096) bytes cannot be written as one piece";
            return Err(self.end.refuse(WRITE, ErrorKind::TooLong, why));
        }
        match self.write_wait(bytes, wait)? {
            written if written == bytes.len() => Ok(()),
            // POSIX rules it out.
            _ => Err(self.end.refuse(WRITE, ErrorKind::Other, "only a part of the piece was taken")),
        }
    }

    /// Whether writes make packets: [`Flags::PACKETS`](crate::pipe::Flags::PACKETS).
    ///
    /// # Errors
    /// None in practice.
    pub fn makes_packets(&self) -> Result<bool> {
        match rustix::fs::fcntl_getfl(self) {
            Ok(flags) => Ok(flags.contains(OFlags::DIRECT)),
            Err(errno) => Err(self.end.error("look at the flags of", errno)),
        }
    }

    /// From now on, makes each write a packet, or no longer: `F_SETFL` with `O_DIRECT`. Works for FIFOs too.
    ///
    /// This changes the open file description, and so the writes of everybody who shares it (through
    /// [`try_clone`](Self::try_clone) or inheritance).
    ///
    /// # Errors
    /// None in practice.
    #[doc(alias = "O_DIRECT")]
    pub fn make_packets(&self, on: bool) -> Result<()> {
        self.end.set_flag(OFlags::DIRECT, on).map_err(|errno| self.end.error("set the flags of", errno))
    }

    /// A second handle on the same description: `dup(2)`, close-on-exec.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_NOFILE`.
    #[doc(alias = "dup")]
    pub fn try_clone(&self) -> Result<Self> {
        self.end.duplicate().map(Self::from_end)
    }
}

/// Not all the bytes were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteAllError {
    /// How many bytes from the start were, and are with the readers now.
    pub written: usize,
    /// Why not the rest.
    pub error: Error,
}

impl fmt::Display for WriteAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (after {} bytes)", self.error, self.written)
    }
}

impl std::error::Error for WriteAllError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Forgets how many bytes were written.
impl From<WriteAllError> for Error {
    fn from(partial: WriteAllError) -> Self {
        partial.error
    }
}

impl From<WriteAllError> for io::Error {
    fn from(partial: WriteAllError) -> Self {
        let kind = io::Error::from(partial.error.clone()).kind();
        Self::new(kind, partial)
    }
}

impl io::Write for &Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(Writer::write(self, bytes)?)
    }

    /// `writev(2)`: several slices in one system call, and as one piece up to [`PIPE_BUF`] bytes.
    #[doc(alias = "writev")]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(self.put(slices, Wait::forever())?)
    }

    /// Nothing is held back: the kernel has what was written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        io::Write::write_vectored(&mut &*self, slices)
    }

    /// Nothing is held back: the kernel has what was written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl From<Writer> for OwnedFd {
    fn from(writer: Writer) -> Self {
        writer.end.into_fd()
    }
}

/// Makes it a standard stream of a command.
impl From<Writer> for Stdio {
    fn from(writer: Writer) -> Self {
        OwnedFd::from(writer).into()
    }
}

/// Takes over a descriptor: one that was inherited or received, or that another library has made.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) if it is no pipe or FIFO, or cannot be written.
impl TryFrom<OwnedFd> for Writer {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        End::checked(fd, WRITE, OFlags::RDONLY).map(Self::from_end)
    }
}
