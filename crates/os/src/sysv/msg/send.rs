//! Sending: `msgsnd(2)`.

use core::sync::atomic::Ordering;

use twixt_sys::sysv::msg::{self as sys, HEADER};

use super::{Message, Queue, Type, failure};
use crate::{Deadline, Errno, Result, Wait};

/// The kernel has no such error for `msgsnd(2)`: it marks a message that is longer than the whole queue.
pub(super) const NEVER_FITS: Errno = Errno::MSGSIZE;

/// What a copy on the stack may hold. The small one is there because a larger one takes longer to initialise than
/// the system call.
const SMALL: usize = 512;
const MEDIUM: usize = 8192;

impl Queue {
    /// `msgsnd`: puts a message of this type at the end of the queue, waiting while the queue is full.
    ///
    /// Full means that there are `qbytes` bytes in the queue, or would be, or `qbytes` messages. Up to 8 KiB the
    /// bytes are copied on the stack, beyond in one allocation; [`Queue::send_message`] does without.
    ///
    /// A message that could not fit if the queue were empty is refused, where `msgsnd(2)` would wait for ever. For
    /// that, a send that finds the queue full looks at `qbytes` with a second system call, once for all messages that
    /// are no longer. If another process lowers `qbytes` after that, the kernel's behaviour shows.
    ///
    /// # Errors
    /// - [`LimitReached`](crate::ErrorKind::LimitReached) (`EINVAL`) if it is longer than `kernel.msgmax` (8192 by
    ///   default).
    /// - [`TooLong`](crate::ErrorKind::TooLong) if it is longer than the queue's `qbytes` (16384 by
    ///   default: `kernel.msgmnb`).
    /// - [`Removed`](crate::ErrorKind::Removed) (`EIDRM`, `EINVAL`) if the queue was removed, before or while waiting.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) without write permission.
    /// - [`NoSpace`](crate::ErrorKind::NoSpace) (`ENOMEM`).
    #[doc(alias = "msgsnd")]
    pub fn send(&self, mtype: Type, bytes: &[u8]) -> Result<()> {
        self.send_wait(mtype, bytes, Wait::forever())
    }

    /// Sends if the queue has room now (`IPC_NOWAIT`).
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) (`EAGAIN`) if it is full; otherwise as [`Queue::send`].
    pub fn try_send(&self, mtype: Type, bytes: &[u8]) -> Result<()> {
        self.send_wait(mtype, bytes, Wait::never())
    }

    /// Sends, waiting until `deadline` for room; tries at least once. See the [module](super) on how it waits.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if it stayed full; otherwise as [`Queue::send`].
    pub fn send_deadline(&self, mtype: Type, bytes: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(mtype, bytes, Wait::until(deadline))
    }

    /// Sends, waiting for room until a signal handler runs.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted) (`EINTR`); otherwise as [`Queue::send`].
    pub fn send_interruptible(&self, mtype: Type, bytes: &[u8]) -> Result<()> {
        self.send_wait(mtype, bytes, Wait::forever().interruptible())
    }

    /// Sends, waiting for room as `wait` says.
    ///
    /// # Errors
    /// As the form that waits so.
    #[inline]
    pub fn send_wait(&self, mtype: Type, bytes: &[u8], wait: Wait) -> Result<()> {
        let len = bytes.len();
        if len <= SMALL {
            self.send_from_stack::<{ HEADER + SMALL }>(mtype, bytes, wait)
        } else if len <= MEDIUM {
            self.send_medium(mtype, bytes, wait)
        } else if i32::try_from(len).is_err() {
            // More than kernel.msgmax can be set to: not worth the copy.
            Err(self.beyond_msgmax("send to", failure::msgmax().needed(len as u64)))
        } else {
            self.send_message_wait(&Message::new(mtype, bytes), wait)
        }
    }

    // Apart, so that a small message does not take a large one's stack.
    #[inline(never)]
    fn send_medium(&self, mtype: Type, bytes: &[u8], wait: Wait) -> Result<()> {
        self.send_from_stack::<{ HEADER + MEDIUM }>(mtype, bytes, wait)
    }

    #[inline(always)]
    fn send_from_stack<const SIZE: usize>(&self, mtype: Type, bytes: &[u8], wait: Wait) -> Result<()> {
        let mut frame = [0; SIZE];
        let frame = &mut frame[..HEADER + bytes.len()];
        let (header, text) = frame.split_at_mut(HEADER);
        header.copy_from_slice(&mtype.get().to_ne_bytes());
        text.copy_from_slice(bytes);
        self.send_frame(frame, wait)
    }

    /// Sends a [`Message`] as [`Queue::send`] does, without a copy.
    ///
    /// # Errors
    /// As [`Queue::send`].
    #[doc(alias = "msgsnd")]
    pub fn send_message(&self, message: &Message) -> Result<()> {
        self.send_message_wait(message, Wait::forever())
    }

    /// Sends a [`Message`] if the queue has room now.
    ///
    /// # Errors
    /// As [`Queue::try_send`].
    pub fn try_send_message(&self, message: &Message) -> Result<()> {
        self.send_message_wait(message, Wait::never())
    }

    /// Sends a [`Message`], waiting until `deadline` for room.
    ///
    /// # Errors
    /// As [`Queue::send_deadline`].
    pub fn send_message_deadline(&self, message: &Message, deadline: Deadline) -> Result<()> {
        self.send_message_wait(message, Wait::until(deadline))
    }

    /// Sends a [`Message`], waiting for room until a signal handler runs.
    ///
    /// # Errors
    /// As [`Queue::send_interruptible`].
    pub fn send_message_interruptible(&self, message: &Message) -> Result<()> {
        self.send_message_wait(message, Wait::forever().interruptible())
    }

    /// Sends a [`Message`], waiting for room as `wait` says.
    ///
    /// # Errors
    /// As the form that waits so.
    pub fn send_message_wait(&self, message: &Message, wait: Wait) -> Result<()> {
        self.send_frame(message.frame(), wait)
    }

    #[inline]
    fn send_frame(&self, frame: &[u8], wait: Wait) -> Result<()> {
        let len = frame.len() - HEADER;
        // The kernel is left to wait only for what fits, as far as this value has seen. What is longer is tried first.
        let mut fits = self.qbytes.load(Ordering::Relaxed) >= need(len);
        let sent = wait.with_backoff(|| match self.put(frame, fits, wait) {
            Err(Errno::AGAIN) if !fits => self.put_what_may_never_fit(frame, &mut fits, wait),
            outcome => outcome,
        });
        sent.map_err(|errno| self.send_failure(len, errno))
    }

    #[inline]
    fn put(&self, frame: &[u8], fits: bool, wait: Wait) -> Result<(), Errno> {
        let block = fits && wait.is_forever();
        let flags = if block { sys::Send::empty() } else { sys::Send::NOWAIT };
        sys::send(self.id.as_raw(), frame, flags)
    }

    /// There was no room for a message that was not known to fit the queue at all.
    #[cold]
    #[inline(never)]
    fn put_what_may_never_fit(&self, frame: &[u8], fits: &mut bool, wait: Wait) -> Result<(), Errno> {
        if !self.could_fit(frame.len() - HEADER) {
            return Err(NEVER_FITS);
        }
        *fits = true;
        // Without a wait that attempt was the only one; with one, the next may block.
        if wait.is_forever() { self.put(frame, true, wait) } else { Err(Errno::AGAIN) }
    }

    /// Looks at the queue's `qbytes`. What cannot be known is taken to fit.
    fn could_fit(&self, len: usize) -> bool {
        match self.look_at_qbytes() {
            Some(qbytes) => {
                self.qbytes.store(qbytes, Ordering::Relaxed);
                qbytes >= need(len)
            }
            None => true,
        }
    }

    /// The queue's `qbytes` now, also without read permission.
    fn look_at_qbytes(&self) -> Option<u64> {
        match sys::stat(self.id.as_raw()) {
            Ok(stat) => Some(stat.qbytes),
            Err(Errno::ACCESS) => {
                // The low 15 bits of an identifier are the index, unless the kernel was started with ipcmni_extend.
                let (id, stat) = sys::stat_any(self.id.as_raw() & 0x7fff).ok()?;
                (id == self.id.as_raw()).then_some(stat.qbytes)
            }
            Err(_) => None,
        }
    }
}

/// What `qbytes` must be at least for a message to fit an empty queue: it bounds the bytes and the messages.
fn need(len: usize) -> u64 {
    (len as u64).max(1)
}
