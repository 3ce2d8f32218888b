//! Looking at messages and leaving them: `msgrcv(MSG_COPY)`.

use core::iter::FusedIterator;

use twixt_sys::sysv::msg as sys;

use super::{Message, Queue, Select, failure};
use crate::{Errno, Error, Result};

/// How many messages are looked at to find the length of one.
const LOOKED_AT: usize = 64;

impl Queue {
    /// `msgrcv(MSG_COPY)`: copies the message number `index`, 0 being the oldest, and leaves it in the queue.
    ///
    /// Nothing about the queue changes, not even who received last. Never waits. The kernel searches from the start of
    /// the queue. By the time of the next call, other processes may have taken or added messages.
    ///
    /// # Errors
    /// - [`NoMessage`](crate::ErrorKind::NoMessage) (`ENOMSG`) past the last message.
    /// - [`TooLong`](crate::ErrorKind::TooLong) (`E2BIG`) if it is longer than the buffer's capacity; it cannot be cut.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`) if the kernel was built without
    ///   `CONFIG_CHECKPOINT_RESTORE`.
    /// - [`LimitReached`](crate::ErrorKind::LimitReached) (`EINVAL`) if it is longer than `kernel.msgmax` is now.
    /// - [`Removed`](crate::ErrorKind::Removed) (`EIDRM`, `EINVAL`) if the queue was removed.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) without read permission.
    #[doc(alias = "MSG_COPY")]
    pub fn peek(&self, index: usize, message: &mut Message) -> Result<()> {
        self.copy(index, message).map_err(|errno| self.peek_failure(message, errno))
    }

    /// Copies of all messages in the queue, oldest first, made one by one as the iterator goes.
    ///
    /// It is no snapshot: messages that others take meanwhile make it skip as many, and those that they add appear at
    /// the end.
    ///
    /// ```
    /// # use twixt_os::Mode;
    /// # use twixt_os::sysv::Key;
    /// # use twixt_os::sysv::msg::{Queue, Type};
    /// let queue = Queue::create(Key::PRIVATE, Mode::OWNER)?.remove_on_drop();
    /// queue.send(Type::MAX, b"late")?;
    /// queue.send(Type::MIN, b"soon")?;
    /// let bytes = queue.messages().map(|message| Ok(message?.bytes().to_vec()));
    /// assert_eq!(bytes.collect::<twixt_os::Result<Vec<_>>>()?, [b"late", b"soon"]);
    /// assert_eq!(queue.stat()?.qnum, 2);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    pub fn messages(&self) -> Peeked<'_> {
        Peeked { queue: self, index: 0, buffer: Message::default(), ended: false }
    }

    fn copy(&self, index: usize, message: &mut Message) -> Result<(), Errno> {
        // No queue holds as many.
        let index = i64::try_from(index).map_err(|_| Errno::NOMSG)?;
        let flags = sys::Receive::COPY | sys::Receive::NOWAIT;
        let len = sys::receive(self.id.as_raw(), message.room(), index, flags)?;
        message.received(len);
        Ok(())
    }

    /// As `copy`, with as much room as it takes.
    fn copy_growing(&self, index: usize, message: &mut Message) -> Result<(), Errno> {
        loop {
            match self.copy(index, message) {
                // All messages together have at most this many bytes now; in the next round they may have more.
                Err(Errno::TOOBIG) => {
                    let enough = usize::try_from(sys::stat(self.id.as_raw())?.cbytes).unwrap_or(usize::MAX);
                    message.reserve(enough);
                }
                outcome => return outcome,
            }
        }
    }

    fn peek_failure(&self, message: &Message, errno: Errno) -> Error {
        const OPERATION: &str = "peek into";
        match errno {
            Errno::TOOBIG => self.buffer_too_small(OPERATION, message, None),
            Errno::NOSYS => self
                .failure(OPERATION, errno)
                .with_advice("the kernel was built without CONFIG_CHECKPOINT_RESTORE"),
            // The kernel's own copy has msgmax bytes, which may have been more when the message was sent.
            Errno::INVAL if sys::stat(self.id.as_raw()).is_ok() => {
                self.beyond_msgmax(OPERATION, failure::msgmax())
            }
            _ => self.failure(OPERATION, errno),
        }
    }

    /// The length of the message that `select` would give now, if it is longer than `capacity` and easily found.
    pub(super) fn length_of_next(&self, select: Select, capacity: usize) -> Option<u64> {
        let mut found: Option<Message> = None;
        let mut message = Message::default();
        for index in 0..LOOKED_AT {
            match self.copy_growing(index, &mut message) {
                Ok(()) => {}
                Err(Errno::NOMSG) => break,
                Err(_) => return None,
            }
            let first = found.as_ref().is_none_or(|found| message.mtype() < found.mtype());
            if select.admits(message.mtype()) && first {
                found = Some(message.clone());
                if !matches!(select, Select::LowestUpTo(_)) {
                    break;
                }
            }
        }
        found.map(|message| message.len()).filter(|len| *len > capacity).map(|len| len as u64)
    }
}

/// Copies of the messages in a queue: see [`Queue::messages`].
///
/// Ends after the last message, and after the first error.
#[derive(Debug)]
pub struct Peeked<'a> {
    queue: &'a Queue,
    index: usize,
    buffer: Message,
    ended: bool,
}

impl Iterator for Peeked<'_> {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Result<Message>> {
        if self.ended {
            return None;
        }
        match self.queue.copy_growing(self.index, &mut self.buffer) {
            Ok(()) => {
                self.index += 1;
                Some(Ok(Message::new(self.buffer.mtype(), self.buffer.bytes())))
            }
            Err(errno) => {
                self.ended = true;
                let past_the_end = errno == Errno::NOMSG;
                (!past_the_end).then(|| Err(self.queue.peek_failure(&self.buffer, errno)))
            }
        }
    }
}

impl FusedIterator for Peeked<'_> {}
