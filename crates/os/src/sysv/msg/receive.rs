//! Receiving: `msgrcv(2)`.

use twixt_sys::sysv::msg as sys;

use super::{Message, Queue, Select};
use crate::{Deadline, Errno, Outcome, Prepared, Result, Wait};

/// Whether a receive that cuts long messages had to cut this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a message may have been cut"]
pub enum Extent {
    /// All of the message was received.
    Whole,
    /// The message was longer than the buffer. The rest of it is lost.
    Cut,
}

impl Queue {
    /// `msgrcv`: takes the first message that `select` admits into `message`, waiting until there is one.
    ///
    /// The message that was in the buffer is replaced; on an error it stays.
    ///
    /// # Errors
    /// - [`TooLong`](crate::ErrorKind::TooLong) (`E2BIG`) if it is longer than the buffer's capacity. It stays in the
    ///   queue. If its length can be found out, [`Error::limit`](crate::Error::limit) has it as `needed`; another
    ///   receiver may have taken it by then.
    /// - [`Removed`](crate::ErrorKind::Removed) (`EIDRM`, `EINVAL`) if the queue was removed, before or while waiting.
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) without read permission.
    #[doc(alias = "msgrcv")]
    pub fn receive(&self, select: Select, message: &mut Message) -> Result<()> {
        self.receive_wait(select, message, Wait::forever())
    }

    /// Takes a message if there is one now (`IPC_NOWAIT`).
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) (`ENOMSG`) if there is none; otherwise as [`Queue::receive`].
    pub fn try_receive(&self, select: Select, message: &mut Message) -> Result<()> {
        self.receive_wait(select, message, Wait::never())
    }

    /// Takes a message, waiting for one until `deadline`; tries at least once. See the [module](super) on how it
    /// waits.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if none came; otherwise as [`Queue::receive`].
    pub fn receive_deadline(&self, select: Select, message: &mut Message, deadline: Deadline) -> Result<()> {
        self.receive_wait(select, message, Wait::until(deadline))
    }

    /// Takes a message, waiting for one until a signal handler runs.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted) (`EINTR`); otherwise as [`Queue::receive`].
    pub fn receive_interruptible(&self, select: Select, message: &mut Message) -> Result<()> {
        self.receive_wait(select, message, Wait::forever().interruptible())
    }

    /// Takes a message, waiting for one as `wait` says.
    ///
    /// # Errors
    /// As the form that waits so.
    #[inline]
    pub fn receive_wait(&self, select: Select, message: &mut Message, wait: Wait) -> Result<()> {
        let len = self.receive_frame(select, sys::Receive::empty(), message.room(), wait);
        let len = len.map_err(|errno| self.receive_failure(select, message, errno))?;
        message.received(len);
        Ok(())
    }

    /// The system call of [`receive_wait`](Self::receive_wait), to be made by who wants it: see [`Prepared`].
    #[inline]
    pub fn prepare_receive<'a>(
        &'a self,
        select: Select,
        message: &'a mut Message,
        wait: Wait,
    ) -> Option<Prepared<'a>> {
        let (mtype, flags) = how(select, sys::Receive::empty(), wait);
        sys::prepare_receive(self.id.as_raw(), message.room(), mtype, flags).ok()
    }

    /// What [`receive_wait`](Self::receive_wait) returns where its [prepared](Self::prepare_receive) call has come to `first`,
    /// which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`receive_wait`](Self::receive_wait).
    #[inline]
    pub fn finish_receive(
        &self,
        first: Outcome,
        select: Select,
        message: &mut Message,
        wait: Wait,
    ) -> Result<()> {
        let (mtype, flags) = how(select, sys::Receive::empty(), wait);
        let room = message.room();
        let take = || or_not_now(sys::receive(self.id.as_raw(), room, mtype, flags));
        let len = wait.with_backoff_after(or_not_now(first), take);
        let len = len.map_err(|errno| self.receive_failure(select, message, errno))?;
        message.received(len);
        Ok(())
    }

    /// `msgrcv(MSG_NOERROR)`: as [`Queue::receive`], but cuts a message that is longer than the buffer, and says so.
    ///
    /// # Errors
    /// As [`Queue::receive`], without `TooLong`.
    #[doc(alias = "MSG_NOERROR")]
    pub fn receive_truncating(&self, select: Select, message: &mut Message) -> Result<Extent> {
        self.receive_truncating_wait(select, message, Wait::forever())
    }

    /// Takes a message if there is one now, and cuts it if it is too long.
    ///
    /// # Errors
    /// As [`Queue::try_receive`], without `TooLong`.
    pub fn try_receive_truncating(&self, select: Select, message: &mut Message) -> Result<Extent> {
        self.receive_truncating_wait(select, message, Wait::never())
    }

    /// Takes a message, waiting for one until `deadline`, and cuts it if it is too long.
    ///
    /// # Errors
    /// As [`Queue::receive_deadline`], without `TooLong`.
    pub fn receive_truncating_deadline(
        &self,
        select: Select,
        message: &mut Message,
        deadline: Deadline,
    ) -> Result<Extent> {
        self.receive_truncating_wait(select, message, Wait::until(deadline))
    }

    /// Takes a message, waiting for one until a signal handler runs, and cuts it if it is too long.
    ///
    /// # Errors
    /// As [`Queue::receive_interruptible`], without `TooLong`.
    pub fn receive_truncating_interruptible(&self, select: Select, message: &mut Message) -> Result<Extent> {
        self.receive_truncating_wait(select, message, Wait::forever().interruptible())
    }

    /// Takes a message, waiting for one as `wait` says, and cuts it if it is too long.
    ///
    /// # Errors
    /// As the form that waits so.
    pub fn receive_truncating_wait(
        &self,
        select: Select,
        message: &mut Message,
        wait: Wait,
    ) -> Result<Extent> {
        let len = self.receive_frame(select, sys::Receive::NOERROR, message.room_and_spare(), wait);
        let len = len.map_err(|errno| self.receive_failure(select, message, errno))?;
        // The kernel does not say that it cut; but what filled the spare byte was longer than the capacity.
        let extent = if len > message.capacity() { Extent::Cut } else { Extent::Whole };
        message.received(len);
        Ok(extent)
    }

    #[inline]
    fn receive_frame(
        &self,
        select: Select,
        flags: sys::Receive,
        frame: &mut [u8],
        wait: Wait,
    ) -> Result<usize, Errno> {
        let (mtype, flags) = how(select, flags, wait);
        wait.with_backoff(|| or_not_now(sys::receive(self.id.as_raw(), frame, mtype, flags)))
    }
}

/// What the kernel is asked for.
#[inline]
fn how(select: Select, flags: sys::Receive, wait: Wait) -> (i64, sys::Receive) {
    let (mtype, selecting) = select.to_raw();
    let waiting = if wait.is_forever() { sys::Receive::empty() } else { sys::Receive::NOWAIT };
    (mtype, flags | selecting | waiting)
}

/// "Not now" is `EAGAIN` everywhere else.
#[inline]
fn or_not_now(outcome: Outcome) -> Outcome {
    match outcome {
        Err(Errno::NOMSG) => Err(Errno::AGAIN),
        outcome => outcome,
    }
}
