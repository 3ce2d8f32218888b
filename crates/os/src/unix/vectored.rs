//! Sending from several slices in one system call, and receiving for those who receive often.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use crate::net::transfer;
use crate::unix::{Attachments, Receiving, Stream};
use crate::{Deadline, Outcome, Prepared, Result, Wait};

/// Several slices at once.
///
/// ```
/// use std::io::IoSlice;
/// use twixt_os::unix::Stream;
/// let (one, other) = Stream::pair()?;
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
        self.send_vectored_with_wait(slices, &Attachments::none(), wait)
    }

    /// As [`send_vectored_wait`](Self::send_vectored_wait), the attachments with the first byte. When only a part went,
    /// they have gone with it.
    ///
    /// # Errors
    /// As [`Stream::send_with_wait`].
    pub fn send_vectored_with_wait(
        &self,
        slices: &[IoSlice<'_>],
        attachments: &Attachments<'_>,
        wait: Wait,
    ) -> Result<usize> {
        let is_empty = slices.iter().all(|slice| slice.is_empty());
        if is_empty && !attachments.is_empty() {
            let why = "on a stream at least one byte must go with the attachments";
            return Err(self.socket().refuse("send to", crate::ErrorKind::InvalidInput, why));
        }
        if attachments.is_empty() {
            let sent = transfer::send_vectored(self.as_fd(), slices, wait);
            return sent.map_err(|errno| self.socket().stream_error(slices, errno));
        }
        self.socket().send_slices_with(slices, None, attachments, wait)
    }

    /// As [`Stream::receive_with_wait`], for those who receive often: the descriptors are added to a vector of the
    /// caller's, and nothing is allocated where it has room.
    ///
    /// That descriptors were lost for want of room (`RLIMIT_NOFILE`) is no error here but told with the length, since the
    /// bytes have been received all the same.
    ///
    /// # Errors
    /// As [`Stream::receive_wait`].
    #[inline]
    pub fn receive_appending_wait(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<Appended> {
        let mut receiving = Receiving::new();
        let first = self.prepare_receive_appending(&mut receiving, buffer, wait).make();
        self.finish_receive_appending(&mut receiving, first, buffer, descriptors, wait)
    }

    /// The system call of [`receive_appending_wait`](Self::receive_appending_wait), to be made by who wants it: see [`Prepared`].
    #[inline]
    pub fn prepare_receive_appending<'a>(
        &'a self,
        receiving: &'a mut Receiving,
        buffer: &'a mut [u8],
        wait: Wait,
    ) -> Prepared<'a> {
        self.socket().prepare_stretch(receiving, buffer, wait)
    }

    /// What [`receive_appending_wait`](Self::receive_appending_wait) does where its
    /// [prepared](Self::prepare_receive_appending) call has come to `first`, which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`receive_appending_wait`](Self::receive_appending_wait).
    #[inline]
    pub fn finish_receive_appending(
        &self,
        receiving: &mut Receiving,
        first: Outcome,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<Appended> {
        self.socket().finish_appending(receiving, first, buffer, descriptors, wait)
    }
}

/// What [`Stream::receive_appending_wait`] received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// How many bytes; 0 is the end of the stream.
    pub len: usize,
    /// Whether descriptors that came along are lost: all of this call were closed.
    pub lost_descriptors: bool,
}
