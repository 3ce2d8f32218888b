//! Operations: P, V, waiting for zero, and several at once.

use core::slice;

use twixt_sys::sysv::sem as sys;

use crate::sysv::sem::{Operation, OperationFlags, Set};
use crate::{Deadline, Errno, Result, Wait};

const ACQUIRE: &str = "acquire from";
const RELEASE: &str = "release to";
const WAIT_FOR_ZERO: &str = "wait for zero of";
const OPERATE: &str = "operate on";

/// P and V: each is one system call.
impl Set {
    /// P, *down*, *wait*, `semop(2)`: takes one from the semaphore of this number; waits while its value is 0.
    ///
    /// # Errors
    /// Those that all forms and all operations share:
    /// - [`OutOfRange`](crate::ErrorKind::OutOfRange): no semaphore of that number, or the value would pass 32767
    ///   (`SEMVMX`)
    /// - [`Removed`](crate::ErrorKind::Removed): the set was removed before the call, or during it
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): no write permission (to wait for zero: no read
    ///   permission)
    /// - [`NoSpace`](crate::ErrorKind::NoSpace): the kernel has no memory for it
    #[doc(alias = "P")]
    #[doc(alias = "semop")]
    pub fn acquire(&self, semaphore: u16) -> Result<()> {
        self.acquire_wait(semaphore, Wait::forever())
    }

    /// P, unless it would have to wait.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if the value is 0.
    #[doc(alias = "IPC_NOWAIT")]
    pub fn try_acquire(&self, semaphore: u16) -> Result<()> {
        self.acquire_wait(semaphore, Wait::never())
    }

    /// P, waiting until the deadline at most: `semtimedop(2)`. It is tried once even if that has passed.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    #[doc(alias = "semtimedop")]
    pub fn acquire_deadline(&self, semaphore: u16, deadline: Deadline) -> Result<()> {
        self.acquire_wait(semaphore, Wait::until(deadline))
    }

    /// P, until done or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted); nothing was taken then.
    pub fn acquire_interruptible(&self, semaphore: u16) -> Result<()> {
        self.acquire_wait(semaphore, Wait::forever().interruptible())
    }

    /// P, waiting as told.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn acquire_wait(&self, semaphore: u16, wait: Wait) -> Result<()> {
        self.one(ACQUIRE, Operation::acquire(semaphore), wait)
    }

    /// V, *up*, *signal*, `semop(2)`: gives one to the semaphore of this number, and wakes whoever waits for it. Never
    /// waits.
    ///
    /// # Errors
    /// Those of [`Set::acquire`].
    #[doc(alias = "V")]
    #[doc(alias = "semop")]
    pub fn release(&self, semaphore: u16) -> Result<()> {
        self.one(RELEASE, Operation::release(semaphore), Wait::forever())
    }

    /// Waits until the value of the semaphore is 0, and leaves it so: `semop(2)` with a `sem_op` of 0.
    ///
    /// # Errors
    /// Those of [`Set::acquire`].
    #[doc(alias = "semop")]
    pub fn wait_for_zero(&self, semaphore: u16) -> Result<()> {
        self.wait_for_zero_wait(semaphore, Wait::forever())
    }

    /// Looks whether the value is 0.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if it is not.
    pub fn try_wait_for_zero(&self, semaphore: u16) -> Result<()> {
        self.wait_for_zero_wait(semaphore, Wait::never())
    }

    /// Waits for zero until the deadline at most.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn wait_for_zero_deadline(&self, semaphore: u16, deadline: Deadline) -> Result<()> {
        self.wait_for_zero_wait(semaphore, Wait::until(deadline))
    }

    /// Waits for zero until a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn wait_for_zero_interruptible(&self, semaphore: u16) -> Result<()> {
        self.wait_for_zero_wait(semaphore, Wait::forever().interruptible())
    }

    /// Waits for zero as told.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn wait_for_zero_wait(&self, semaphore: u16, wait: Wait) -> Result<()> {
        self.one(WAIT_FOR_ZERO, Operation::wait_for_zero(semaphore), wait)
    }
}

/// Several operations as one.
///
/// Nobody ever sees some of them done and others not. They are judged in their order: `[acquire(0), release(0)]` needs
/// a value of 1 although it changes nothing. A wait is for all of them to become possible together.
impl Set {
    /// Does all operations as one, when all of them can be done: `semop(2)`.
    ///
    /// # Errors
    /// Beyond those of [`Set::acquire`]:
    /// - [`WouldBlock`](crate::ErrorKind::WouldBlock) if an operation with [`Operation::no_wait`] stands in the way
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): more operations than the third number of the sysctl
    ///   `kernel.sem` (`SEMOPM`, 500 by default)
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput): none at all
    #[doc(alias = "semop")]
    pub fn operate(&self, operations: &[Operation]) -> Result<()> {
        self.operate_wait(operations, Wait::forever())
    }

    /// Does all operations as one, unless that would have to wait.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock).
    pub fn try_operate(&self, operations: &[Operation]) -> Result<()> {
        self.operate_wait(operations, Wait::never())
    }

    /// Does all operations as one, waiting until the deadline at most: `semtimedop(2)`.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut); nothing was done then. [`WouldBlock`](crate::ErrorKind::WouldBlock) if
    /// it failed before the deadline for an operation with [`Operation::no_wait`].
    #[doc(alias = "semtimedop")]
    pub fn operate_deadline(&self, operations: &[Operation], deadline: Deadline) -> Result<()> {
        self.operate_wait(operations, Wait::until(deadline))
    }

    /// Does all operations as one, until done or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted); nothing was done then.
    pub fn operate_interruptible(&self, operations: &[Operation]) -> Result<()> {
        self.operate_wait(operations, Wait::forever().interruptible())
    }

    /// Does all operations as one, waiting as told.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn operate_wait(&self, operations: &[Operation], wait: Wait) -> Result<()> {
        if operations.is_empty() {
            let why = "there is no operation in the list".to_owned();
            return Err(self.refuse(OPERATE, crate::ErrorKind::InvalidInput, why));
        }
        self.attempt(operations, wait).map_err(|errno| self.fail_operation(OPERATE, operations, errno))
    }

    pub(super) fn one(&self, name: &'static str, operation: Operation, wait: Wait) -> Result<()> {
        // The kernel refuses an operation that must not wait without putting the thread into any queue.
        let operation = if wait.is_never() { operation.no_wait() } else { operation };
        self.attempt(slice::from_ref(&operation), wait)
            .map_err(|errno| self.fail_operation(name, slice::from_ref(&operation), errno))
    }

    fn attempt(&self, operations: &[Operation], wait: Wait) -> Result<(), Errno> {
        let may_wait =
            operations.iter().all(|operation| !operation.flags().contains(OperationFlags::NO_WAIT));
        wait.with_timeout(|timeout| match sys::operate(self.id.as_raw(), operations, timeout) {
            // Time is not what it lacked.
            Err(Errno::AGAIN) if !may_wait && wait.deadline().is_some_and(|end| !end.has_passed()) => {
                Ok(Err(Errno::AGAIN))
            }
            outcome => outcome.map(Ok),
        })?
    }
}
