//! Ordering: a semaphore of initial value 0.

use crate::sysv::Key;
use crate::sysv::sem::{Operation, Set};
use crate::{Deadline, Mode, Result, Wait};

const SIGNAL: &str = "signal";
const AWAIT: &str = "await a signal of";

/// First A, then B: a semaphore that starts at 0, which A's process signals when its part is done and B's process
/// awaits before its own.
///
/// Signals are counted: three of them let three waits pass, whichever came first. They are not undone when the
/// process that gave them ends, for its part is done all the same.
///
/// ```
/// use twixt_os::sysv::{Key, sem::Order, sem::Set};
/// use twixt_os::{ErrorKind, Mode};
///
/// let set = Set::create_with(Key::PRIVATE, &[0], Mode::OWNER)?.remove_on_drop();
/// let produced = Order::of(set.clone(), 0);
/// assert_eq!(produced.try_await_signal().unwrap_err().kind(), ErrorKind::WouldBlock);
/// produced.signal()?;
/// produced.await_signal()?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    set: Set,
    semaphore: u16,
}

impl Order {
    /// Opens the semaphore that the key leads to, or makes it, with no signal given: a set of one, of `semget(2)`.
    ///
    /// # Errors
    /// Those of [`Set::open_or_create_with`].
    pub fn open_or_create(key: Key, mode: Mode, wait: impl Into<Wait>) -> Result<Self> {
        Ok(Self::of(Set::open_or_create_with(key, &[0], mode, wait)?, 0))
    }

    /// Uses one semaphore of a set, which was given the value 0.
    pub const fn of(set: Set, semaphore: u16) -> Self {
        Self { set, semaphore }
    }

    /// The set that the semaphore belongs to.
    pub const fn set(&self) -> &Set {
        &self.set
    }

    /// V, by `semop(2)`: A's part is done.
    ///
    /// # Errors
    /// Those of [`Set::release`]: [`OutOfRange`](crate::ErrorKind::OutOfRange) once 32767 signals are not awaited yet.
    #[doc(alias = "V")]
    pub fn signal(&self) -> Result<()> {
        self.set.one(SIGNAL, Operation::release(self.semaphore), Wait::forever())
    }

    /// P, by `semop(2)`: waits until A's part is done.
    ///
    /// # Errors
    /// Those of [`Set::acquire`].
    #[doc(alias = "P")]
    pub fn await_signal(&self) -> Result<()> {
        self.await_signal_wait(Wait::forever())
    }

    /// P, if A's part is done.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if it is not.
    pub fn try_await_signal(&self) -> Result<()> {
        self.await_signal_wait(Wait::never())
    }

    /// P, waiting until the deadline at most.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn await_signal_deadline(&self, deadline: Deadline) -> Result<()> {
        self.await_signal_wait(Wait::until(deadline))
    }

    /// P, waiting until a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn await_signal_interruptible(&self) -> Result<()> {
        self.await_signal_wait(Wait::forever().interruptible())
    }

    /// P, waiting as told.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn await_signal_wait(&self, wait: Wait) -> Result<()> {
        self.set.one(AWAIT, Operation::acquire(self.semaphore), wait)
    }
}
