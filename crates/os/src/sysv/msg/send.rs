//! Sending: `msgsnd(2)`.

use core::sync::atomic::Ordering;

use twixt_sys::sysv::msg::{self as sys, HEADER};

use super::{Message, Queue, Type, failure};
use crate::{Deadline, Errno, Outcome, Prepared, Result, Wait};

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
        let first = self.prepare_frame(frame, wait).and_then(Prepared::make);
        self.finish_frame(first, frame, wait)
    }

    /// The system call of [`send_message_wait`](Self::send_message_wait), to be made by who wants it: see [`Prepared`].
    #[inline]
    pub fn prepare_send_message<'a>(&'a self, message: &'a Message, wait: Wait) -> Option<Prepared<'a>> {
        self.prepare_frame(message.frame(), wait).ok()
    }

    /// What [`send_message_wait`](Self::send_message_wait) returns where its [prepared](Self::prepare_send_message) call has come to
    /// `first`, which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`send_message_wait`](Self::send_message_wait).
    #[inline]
    pub fn finish_send_message(&self, first: Outcome, message: &Message, wait: Wait) -> Result<()> {
        self.finish_frame(first, message.frame(), wait)
    }

    #[inline]
    fn prepare_frame<'a>(&self, frame: &'a [u8], wait: Wait) -> Result<Prepared<'a>, Errno> {
        sys::prepare_send(self.id.as_raw(), frame, flags_of(self.fits(frame) && wait.is_forever()))
    }

    #[inline]
    fn finish_frame(&self, first: Outcome, frame: &[u8], wait: Wait) -> Result<()> {
        let mut fits = self.fits(frame);
        let first = self.or_never(first.map(drop), frame, &mut fits, wait);
        let sent = wait.with_backoff_after(first, || {
            let outcome = self.put(frame, fits, wait);
            self.or_never(outcome, frame, &mut fits, wait)
        });
        sent.map_err(|errno| self.send_failure(frame.len() - HEADER, errno))
    }

    #[inline]
    fn or_never(
        &self,
        outcome: Result<(), Errno>,
        frame: &[u8],
        fits: &mut bool,
        wait: Wait,
    ) -> Result<(), Errno> {
        match outcome {
            Err(Errno::AGAIN) if !*fits => self.put_what_may_never_fit(frame, fits, wait),
            outcome => outcome,
        }
    }

    /// Whether the kernel may be left to wait: only for what fits, as far as this value has seen. What is longer is tried first.
    #[inline]
    fn fits(&self, frame: &[u8]) -> bool {
        self.qbytes.load(Ordering::Relaxed) >= need(frame.len() - HEADER)
    }

    #[inline]
    fn put(&self, frame: &[u8], fits: bool, wait: Wait) -> Result<(), Errno> {
        sys::send(self.id.as_raw(), frame, flags_of(fits && wait.is_forever()))
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

fn flags_of(may_block: bool) -> sys::Send {
    if may_block { sys::Send::empty() } else { sys::Send::NOWAIT }
}

/// What `qbytes` must be at least for a message to fit an empty queue: it bounds the bytes and the messages.
fn need(len: usize) -> u64 {
    (len as u64).max(1)
}
