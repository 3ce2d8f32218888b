//! Sending from several slices in one system call.

use std::io::IoSlice;
use std::os::fd::AsFd;

use crate::net::tcp::Stream;
use crate::net::transfer;
use crate::{Deadline, Result, Wait};

/// Several slices at once.
///
/// ```
/// use std::io::IoSlice;
/// use twixt_os::net::tcp::{Listener, Stream};
/// let listener = Listener::bind("127.0.0.1:0")?;
/// let one = Stream::connect(listener.local_address()?)?;
/// let other = listener.accept()?;
/// let sent = one.send_vectored(&[IoSlice::new(b"a header, "), IoSlice::new(b"a body")])?;
/// assert_eq!(sent, 16);
/// let mut buffer = [0; 16];
/// other.receive_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"a header, a body");
/// # Ok::<(), twixt_os::Error>(())
/// ```
impl Stream {
    /// `sendmsg(2)`: sends the bytes of all slices in one system call, and says how many went, as [`Stream::send`] does.
    ///
    /// It does not go on when only a part went: [`IoSlice::advance_slices`] makes slices of the rest. At most 1024
    /// slices (`IOV_MAX`).
    ///
    /// # Errors
    /// As [`Stream::send`].
    #[doc(alias = "sendmsg")]
    pub fn send_vectored(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.send_vectored_wait(slices, Wait::forever())
    }

    /// As [`send_vectored`](Self::send_vectored), without waiting.
    ///
    /// # Errors
    /// As [`send_vectored`](Self::send_vectored), and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_vectored(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.send_vectored_wait(slices, Wait::never())
    }

    /// As [`send_vectored`](Self::send_vectored), until the deadline at the latest.
    ///
    /// # Errors
    /// As [`send_vectored`](Self::send_vectored), and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_vectored_deadline(&self, slices: &[IoSlice<'_>], deadline: Deadline) -> Result<usize> {
        self.send_vectored_wait(slices, Wait::until(deadline))
    }

    /// As [`send_vectored`](Self::send_vectored), until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`send_vectored`](Self::send_vectored), and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn send_vectored_interruptible(&self, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.send_vectored_wait(slices, Wait::forever().interruptible())
    }

    /// The general form of [`send_vectored`](Self::send_vectored).
    ///
    /// # Errors
    /// As [`send_vectored`](Self::send_vectored), and what the named forms add, according to `wait`.
    pub fn send_vectored_wait(&self, slices: &[IoSlice<'_>], wait: Wait) -> Result<usize> {
        let sent = transfer::send_vectored(self.as_fd(), slices, wait);
        sent.map_err(|errno| self.socket.error("send to", errno))
    }
}
