//! Taking blocked signals one by one: `sigwaitinfo(2)`, `sigtimedwait(2)`.

use twixt_sys::signal::{RawInfo, timed_wait};

use crate::signal::{Info, SignalSet, failed, head, malformed};
use crate::wait::timespec;
use crate::{Deadline, Object, Result, Wait};

/// # Waiting for signals
///
/// The calls take a pending signal of the set, the lowest number first, those of one number in the order in which they
/// were sent. The signals must be **blocked** ([`SignalSet::block`]), in all threads if they are sent to the process:
/// one that is not is dealt with by its disposition, and may be missed here or end the process.
///
/// While it is blocked, Linux keeps a signal whose disposition is to be ignored, too.
impl SignalSet {
    /// Waits for a signal of the set and takes it.
    ///
    /// See `sigwaitinfo(2)`.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    #[doc(alias = "sigwaitinfo")]
    #[doc(alias = "sigwait")]
    pub fn wait(self) -> Result<Info> {
        self.wait_with(Wait::forever())
    }

    /// Takes a signal of the set that is pending already.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock): none is.
    pub fn try_wait(self) -> Result<Info> {
        self.wait_with(Wait::never())
    }

    /// Waits for a signal of the set until the deadline.
    ///
    /// See `sigtimedwait(2)`.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut): none came. One that is pending is taken even if the deadline has
    /// passed.
    #[doc(alias = "sigtimedwait")]
    pub fn wait_deadline(self, deadline: Deadline) -> Result<Info> {
        self.wait_with(Wait::until(deadline))
    }

    /// Waits for a signal of the set, until the handler of *another* signal runs.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted): a handler ran.
    pub fn wait_interruptible(self) -> Result<Info> {
        self.wait_with(Wait::forever().interruptible())
    }

    /// Waits for a signal of the set as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn wait_with(self, wait: Wait) -> Result<Info> {
        let taken = wait.with_timeout(|timeout| timed_wait(self.bits(), timeout.map(timespec)));
        match taken {
            Ok(raw) => decode(&raw),
            Err(errno) => Err(failed("wait for", Object::Unnamed, errno)),
        }
    }
}

fn decode(raw: &RawInfo) -> Result<Info> {
    Info::from_record(head(raw.as_bytes())).ok_or_else(|| malformed("wait for", Object::Unnamed))
}
