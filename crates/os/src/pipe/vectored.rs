//! Writing several slices in one system call.

use std::io::IoSlice;

use crate::pipe::Writer;
use crate::{Deadline, Result, Wait};

/// Several slices at once.
///
/// ```
/// use std::io::IoSlice;
/// let (reader, writer) = twixt_os::pipe::create()?;
/// let written = writer.write_vectored(&[IoSlice::new(b"a header, "), IoSlice::new(b"a body")])?;
/// assert_eq!(written, 16);
/// assert_eq!(reader.read(&mut [0; 64])?, 16);
/// # Ok::<(), twixt_os::Error>(())
/// ```
impl Writer {
    /// `pwritev2(2)`: writes the bytes of all slices in one system call, as one piece up to [`PIPE_BUF`](crate::pipe::PIPE_BUF)
    /// bytes, and says how many went in, as [`Writer::write`] does.
    ///
    /// It does not go on when only a part went: [`IoSlice::advance_slices`] makes slices of the rest. At most 1024
    /// slices (`IOV_MAX`).
    ///
    /// # Errors
    /// As [`Writer::write`].
    #[doc(alias = "pwritev2")]
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.write_vectored_wait(slices, Wait::forever())
    }

    /// As [`write_vectored`](Self::write_vectored), without waiting.
    ///
    /// # Errors
    /// As [`write_vectored`](Self::write_vectored), and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.write_vectored_wait(slices, Wait::never())
    }

    /// As [`write_vectored`](Self::write_vectored), until the deadline at the latest.
    ///
    /// # Errors
    /// As [`write_vectored`](Self::write_vectored), and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn write_vectored_deadline(&self, slices: &[IoSlice<'_>], deadline: Deadline) -> Result<usize> {
        self.write_vectored_wait(slices, Wait::until(deadline))
    }

    /// As [`write_vectored`](Self::write_vectored), until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`write_vectored`](Self::write_vectored), and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn write_vectored_interruptible(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.write_vectored_wait(slices, Wait::forever().interruptible())
    }

    /// The general form of [`write_vectored`](Self::write_vectored).
    ///
    /// # Errors
    /// As [`write_vectored`](Self::write_vectored), and what the named forms add, according to `wait`.
    #[inline]
    pub fn write_vectored_wait(&self, slices: &[IoSlice<'_>], wait: Wait) -> Result<usize> {
        self.put(slices, wait)
    }
}
