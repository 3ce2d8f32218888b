//! How long an operation waits, and the three ways of waiting: the kernel's own, a poll, and a back-off.
//!
//! Modules write each blocking operation once, over a [`Wait`], and derive the named forms from it.

use core::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Deadline, Errno};

/// How long an operation may wait, and whether a signal handler that runs meanwhile ends it.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::{Deadline, Wait};
///
/// let patient = Wait::forever();
/// let hasty = Wait::never();
/// let until = Wait::until(Deadline::after(Duration::from_millis(50))).interruptible();
/// # let _ = (patient, hasty, until);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
// One word, which is passed in a register: it goes along with each call.
pub struct Wait {
    /// The bits of a deadline, or [`FOREVER`], or [`NEVER`]; and [`INTERRUPTIBLE`].
    bits: u64,
}

const _: () = assert!(size_of::<Wait>() == 8);

/// Set where there is no deadline.
const BOUNDLESS: u64 = 1 << 62;
const FOREVER: u64 = BOUNDLESS;
const NEVER: u64 = BOUNDLESS | 1;
const INTERRUPTIBLE: u64 = 1 << 63;

/// What a call over a descriptor should ask the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Let the kernel block.
    Block,
    /// Fail with `EAGAIN` rather than block (`MSG_DONTWAIT`, `RWF_NOWAIT`, ...).
    DontWait,
}

impl Wait {
    /// Until the operation is done.
    pub const fn forever() -> Self {
        Self { bits: FOREVER }
    }

    /// Not at all.
    pub const fn never() -> Self {
        Self { bits: NEVER }
    }

    /// Until `deadline`. The operation is tried at least once, even if that has passed.
    pub const fn until(deadline: Deadline) -> Self {
        Self { bits: deadline.to_bits() }
    }

    /// Ends with [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) when a signal handler runs, where it
    /// would otherwise go on waiting.
    #[must_use]
    pub const fn interruptible(self) -> Self {
        Self { bits: self.bits | INTERRUPTIBLE }
    }

    /// The deadline, if there is one.
    pub const fn deadline(self) -> Option<Deadline> {
        if self.bits & BOUNDLESS == 0 { Some(Deadline::from_bits(self.bits)) } else { None }
    }

    /// Whether there is a deadline, and it has passed.
    pub fn has_passed(self) -> bool {
        self.deadline().is_some_and(Deadline::has_passed)
    }

    /// Whether the operation must not wait at all.
    pub const fn is_never(self) -> bool {
        self.bits & !INTERRUPTIBLE == NEVER
    }

    /// Whether the operation may wait without end.
    pub const fn is_forever(self) -> bool {
        self.bits & !INTERRUPTIBLE == FOREVER
    }

    /// Whether a signal handler that runs ends it.
    pub const fn is_interruptible(self) -> bool {
        self.bits & INTERRUPTIBLE != 0
    }

    /// Makes a call that takes a relative timeout of its own (`semtimedop(2)`, `sigtimedwait(2)`, `ppoll(2)`), and
    /// again after each `EINTR` that is to be waited out. `None` is no timeout, zero is no waiting.
    ///
    /// The call reports an elapsed timeout in its own way: as `EAGAIN`, mostly. With a deadline that becomes
    /// `ETIMEDOUT`.
    ///
    /// # Errors
    /// Those of the call.
    pub fn with_timeout<T>(
        self,
        mut call: impl FnMut(Option<Duration>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        loop {
            let timeout = match self.deadline() {
                Some(deadline) => Some(deadline.remaining()),
                None if self.is_never() => Some(Duration::ZERO),
                None => None,
            };
            match call(timeout) {
                Err(Errno::INTR) if !self.is_interruptible() => {}
                Err(Errno::AGAIN) if self.deadline().is_some() => return Err(Errno::TIMEDOUT),
                outcome => return outcome,
            }
        }
    }

    /// Makes a call on a descriptor: blocking in the kernel where there is no deadline, otherwise as attempts that
    /// do not block, with `ppoll(2)` for `interest` between them.
    ///
    /// One system call when the operation can be done at once, whatever the waiting mode. A descriptor that
    /// somebody else made non-blocking is polled too.
    #[inline]
    pub(crate) fn on_descriptor<T>(
        self,
        descriptor: BorrowedFd<'_>,
        interest: PollFlags,
        mut call: impl FnMut(Attempt) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.on_descriptor_after(call(self.attempt()), descriptor, interest, call)
    }

    /// The same where the first attempt was made elsewhere, and has come to `first`.
    #[inline]
    pub(crate) fn on_descriptor_after<T>(
        self,
        first: Result<T, Errno>,
        descriptor: BorrowedFd<'_>,
        interest: PollFlags,
        call: impl FnMut(Attempt) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match first {
            Err(errno @ (Errno::INTR | Errno::AGAIN)) => {
                self.on_descriptor_again(errno, descriptor, interest, call)
            }
            outcome => outcome,
        }
    }

    /// What the first attempt should ask the kernel for.
    #[inline]
    pub(crate) const fn attempt(self) -> Attempt {
        if self.is_forever() { Attempt::Block } else { Attempt::DontWait }
    }

    /// The rest of [`on_descriptor`](Self::on_descriptor), after a first attempt that failed with `errno`. Apart from it, so
    /// that what mostly succeeds at once is short enough to become part of its caller.
    #[cold]
    #[inline(never)]
    fn on_descriptor_again<T>(
        self,
        errno: Errno,
        descriptor: BorrowedFd<'_>,
        interest: PollFlags,
        mut call: impl FnMut(Attempt) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut outcome = Err(errno);
        loop {
            match outcome {
                Err(Errno::INTR) if !self.is_interruptible() => {}
                // Readiness may promise more than the call then finds; past the deadline it is not asked again.
                Err(Errno::AGAIN) if self.has_passed() => return Err(Errno::TIMEDOUT),
                Err(Errno::AGAIN) if !self.is_never() => self.poll(descriptor, interest)?,
                outcome => return outcome,
            }
            outcome = call(self.attempt());
        }
    }

    /// Waits until the descriptor is ready for `interest`, or has failed or hung up.
    ///
    /// `EAGAIN` if it is not and the wait is [`Wait::never`], `ETIMEDOUT` past a deadline, `EINTR` where wanted.
    pub(crate) fn poll(self, descriptor: BorrowedFd<'_>, interest: PollFlags) -> Result<(), Errno> {
        let mut polled = [PollFd::from_borrowed_fd(descriptor, interest)];
        self.with_timeout(|timeout| {
            let timeout = timeout.map(timespec);
            if poll(&mut polled, timeout.as_ref())? == 0 { Err(Errno::AGAIN) } else { Ok(()) }
        })
    }

    /// Waits until the descriptor can be read from, or has failed or hung up.
    ///
    /// # Errors
    /// `EAGAIN` if it is not and the wait is [`Wait::never`], `ETIMEDOUT` past a deadline, `EINTR` where wanted; those of
    /// `poll(2)`.
    pub fn until_readable(self, descriptor: impl AsFd) -> Result<(), Errno> {
        self.poll(descriptor.as_fd(), PollFlags::IN)
    }

    /// Waits until the descriptor can be written to, or has failed or hung up.
    ///
    /// # Errors
    /// As [`until_readable`](Self::until_readable).
    pub fn until_writable(self, descriptor: impl AsFd) -> Result<(), Errno> {
        self.poll(descriptor.as_fd(), PollFlags::OUT)
    }

    /// Makes a call that can neither time out nor be polled, as attempts that fail with `EAGAIN`, sleeping ever
    /// longer between them: 20 µs at first, 4 ms at most.
    ///
    /// # Errors
    /// Those of the call, `ETIMEDOUT` past a deadline, `EINTR` where wanted.
    #[inline]
    pub fn with_backoff<T>(self, mut attempt: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        self.with_backoff_after(attempt(), attempt)
    }

    /// The same where the first attempt was made elsewhere, and has come to `first`.
    #[inline]
    pub(crate) fn with_backoff_after<T>(
        self,
        first: Result<T, Errno>,
        attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match first {
            Err(errno @ (Errno::INTR | Errno::AGAIN)) => self.with_backoff_again(errno, attempt),
            outcome => outcome,
        }
    }

    /// The rest of [`with_backoff`](Self::with_backoff), after a first attempt that failed with `errno`. Apart, as that of
    /// [`on_descriptor`](Self::on_descriptor) is.
    #[cold]
    #[inline(never)]
    fn with_backoff_again<T>(
        self,
        errno: Errno,
        mut attempt: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let (mut outcome, mut pause) = (Err(errno), SHORTEST_PAUSE);
        loop {
            match outcome {
                Err(Errno::AGAIN) if !self.is_never() => self.pause(&mut pause)?,
                Err(Errno::INTR) if !self.is_interruptible() => {}
                outcome => return outcome,
            }
            outcome = attempt();
        }
    }

    /// Sleeps for `pause`, but not past the deadline, and doubles it.
    fn pause(self, pause: &mut Duration) -> Result<(), Errno> {
        let mut duration = *pause;
        if let Some(deadline) = self.deadline() {
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                return Err(Errno::TIMEDOUT);
            }
            duration = duration.min(remaining);
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        // Nothing is polled: this is a sleep that says whether a signal handler ran.
        match poll(&mut [], Some(&timespec(duration))) {
            Err(Errno::INTR) if !self.is_interruptible() => Ok(()),
            slept => slept.map(drop),
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_micros(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.deadline();
        let limit: &dyn fmt::Debug = match &deadline {
            Some(deadline) => deadline,
            None if self.is_never() => &"never",
            None => &"forever",
        };
        f.debug_struct("Wait").field("limit", limit).field("interruptible", &self.is_interruptible()).finish()
    }
}

impl From<Deadline> for Wait {
    fn from(deadline: Deadline) -> Self {
        Self::until(deadline)
    }
}

/// A duration in the kernel's terms; what does not fit becomes the longest that does. For calls with a timeout of their own
/// ([`Wait::with_timeout`]).
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_what_it_was_made_as() {
        let deadline = Deadline::after(Duration::from_secs(9));
        for (wait, limit) in [
            (Wait::forever(), (true, false, None)),
            (Wait::never(), (false, true, None)),
            (Wait::until(deadline), (false, false, Some(deadline))),
        ] {
            assert!(!wait.is_interruptible() && wait.interruptible().is_interruptible());
            assert_ne!(wait, wait.interruptible());
            for wait in [wait, wait.interruptible()] {
                assert_eq!((wait.is_forever(), wait.is_never(), wait.deadline()), limit, "{wait:?}");
            }
        }
    }

    #[test]
    fn the_first_and_the_last_deadline_are_deadlines() {
        for deadline in
            [Deadline::from_bits(0), Deadline::from_bits(u64::MAX), Deadline::after(Duration::MAX)]
        {
            let wait = Wait::until(deadline).interruptible();
            assert_eq!((wait.is_forever(), wait.is_never(), wait.deadline()), (false, false, Some(deadline)));
        }
    }
}
