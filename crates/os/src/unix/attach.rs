//! Sending and receiving with attachments on a stream.

use crate::unix::{Attachments, Received, Stream};
use crate::{Deadline, ErrorKind, Result, Wait};

/// Descriptors and credentials along with the bytes. The example is at [`Attachments`].
impl Stream {
    /// `sendmsg(2)`: sends all bytes, the attachments with the first of them.
    ///
    /// If only a part of the bytes fits at first, the attachments have gone with it, and the rest is sent without them:
    /// they arrive once. If it fails, [`Stream::send_with_counted`] tells how many bytes had gone.
    ///
    /// # Errors
    /// As [`Stream::send`], and
    /// - [`InvalidInput`](ErrorKind::InvalidInput): there are no bytes; on a stream the attachments need one to
    ///   travel with;
    /// - [`LimitReached`](ErrorKind::LimitReached): more than 253 descriptors (`SCM_MAX_FD`), or so many of this user's
    ///   under way that `RLIMIT_NOFILE` is reached (`ETOOMANYREFS`);
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): credentials that are not the sender's own.
    #[doc(alias = "sendmsg")]
    pub fn send_with(&self, bytes: &[u8], attachments: &Attachments<'_>) -> Result<()> {
        self.send_with_wait(bytes, attachments, Wait::forever())
    }

    /// As [`Stream::send_with`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::send_with`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_with(&self, bytes: &[u8], attachments: &Attachments<'_>) -> Result<()> {
        self.send_with_wait(bytes, attachments, Wait::never())
    }

    /// As [`Stream::send_with`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::send_with`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_with_deadline(
        &self,
        bytes: &[u8],
        attachments: &Attachments<'_>,
        deadline: Deadline,
    ) -> Result<()> {
        self.send_with_wait(bytes, attachments, Wait::until(deadline))
    }

    /// As [`Stream::send_with`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::send_with`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_with_interruptible(&self, bytes: &[u8], attachments: &Attachments<'_>) -> Result<()> {
        self.send_with_wait(bytes, attachments, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::send_with`].
    ///
    /// # Errors
    /// As [`Stream::send_with`], and what the named forms add, according to `wait`.
    pub fn send_with_wait(&self, bytes: &[u8], attachments: &Attachments<'_>, wait: Wait) -> Result<()> {
        self.send_with_counted(bytes, attachments, &mut 0, wait)
    }

    /// As [`Stream::send_with`], from `bytes[*sent..]` on; `sent` grows as they go. The attachments go only while it
    /// is 0, so that a call that failed can be made again without sending them twice.
    ///
    /// # Errors
    /// As [`send_with`](Self::send_with); the count tells how far it came.
    pub fn send_with_counted(
        &self,
        bytes: &[u8],
        attachments: &Attachments<'_>,
        sent: &mut usize,
        wait: Wait,
    ) -> Result<()> {
        if bytes.is_empty() && !attachments.is_empty() {
            let why = "on a stream at least one byte must go with the attachments";
            return Err(self.socket().refuse("send to", ErrorKind::InvalidInput, why));
        }
        if *sent == 0 && !bytes.is_empty() {
            *sent = self.socket().send_with(bytes, None, attachments, wait)?;
        }
        self.send_all_counted(bytes, sent, wait)
    }

    /// `recvmsg(2)`: receives bytes and what came with them. A length of 0 is the end of the stream.
    ///
    /// One call brings the descriptors of one message at most, and ends where that message ends (or at the end of the
    /// buffer). Bytes that were sent before it may come in the same call: what belongs to whom is for the programs to
    /// agree on, by a message of known length say.
    ///
    /// # Errors
    /// As [`Stream::receive`], and [`LimitReached`](ErrorKind::LimitReached) if `RLIMIT_NOFILE` leaves no room for
    /// all descriptors: none is kept then, and the bytes are in the buffer.
    #[doc(alias = "recvmsg")]
    pub fn receive_with(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::forever())
    }

    /// As [`Stream::receive_with`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::receive_with`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_with(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::never())
    }

    /// As [`Stream::receive_with`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::receive_with`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_with_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::until(deadline))
    }

    /// As [`Stream::receive_with`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::receive_with`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_with_interruptible(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::receive_with`].
    ///
    /// # Errors
    /// As [`Stream::receive_with`], and what the named forms add, according to `wait`.
    pub fn receive_with_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<Received> {
        let received = self.socket().receive_with(buffer, wait)?;
        // Only a seqpacket connection has an end of its own kind.
        received
            .ok_or_else(|| self.socket().refuse("receive from", ErrorKind::PeerGone, "the stream has ended"))
    }
}
