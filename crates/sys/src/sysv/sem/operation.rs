//! One operation of an array for `semop(2)`.

use core::fmt;

use bitflags::bitflags;

bitflags! {
    /// The flags of one operation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct OperationFlags: i16 {
        #[doc(alias = "IPC_NOWAIT")]
        /// `IPC_NOWAIT`: the whole array fails with `EAGAIN` if this operation cannot be done at once.
        const NO_WAIT = libc::IPC_NOWAIT as i16;
        #[doc(alias = "SEM_UNDO")]
        /// `SEM_UNDO`: the kernel reverts the operation when the process ends.
        const UNDO = libc::SEM_UNDO as i16;
    }
}

/// What to do to one semaphore of a set: `struct sembuf`.
///
/// ```
/// use twixt_sys::sysv::sem::Operation;
/// // Wait until semaphore 1 is zero and no longer than that, then take three of semaphore 0, to be given back by the
/// // kernel if this process ends.
/// let both = [Operation::wait_for_zero(1), Operation::new(0, -3).undo()];
/// # let _ = both;
/// ```
#[derive(Clone, Copy)]
#[doc(alias = "sembuf")]
#[repr(transparent)]
pub struct Operation(libc::sembuf);

impl Operation {
    /// Adds `change` to the semaphore: taking where it is negative, which waits while the value is too small. A
    /// `change` of 0 waits until the value is 0. Semaphores of a set are numbered from 0.
    pub const fn new(semaphore: u16, change: i16) -> Self {
        Self(libc::sembuf { sem_num: semaphore, sem_op: change, sem_flg: 0 })
    }

    /// P: takes one.
    #[doc(alias = "P")]
    pub const fn acquire(semaphore: u16) -> Self {
        Self::new(semaphore, -1)
    }

    /// V: gives one.
    #[doc(alias = "V")]
    pub const fn release(semaphore: u16) -> Self {
        Self::new(semaphore, 1)
    }

    /// Waits until the value is 0.
    pub const fn wait_for_zero(semaphore: u16) -> Self {
        Self::new(semaphore, 0)
    }

    /// Has the kernel revert it when this process ends, however it ends.
    ///
    /// The kernel keeps one sum for each process and semaphore; it is not inherited by `fork(2)`, survives
    /// `execve(2)`, and is forgotten when somebody sets the value. All threads of a process share it.
    #[must_use]
    #[doc(alias = "SEM_UNDO")]
    pub const fn undo(self) -> Self {
        self.with(OperationFlags::UNDO)
    }

    /// Has the whole array fail, with `EAGAIN`, rather than wait for this one.
    #[must_use]
    #[doc(alias = "IPC_NOWAIT")]
    pub const fn no_wait(self) -> Self {
        self.with(OperationFlags::NO_WAIT)
    }

    /// Adds flags.
    #[must_use]
    pub const fn with(self, flags: OperationFlags) -> Self {
        Self(libc::sembuf { sem_flg: self.0.sem_flg | flags.bits(), ..self.0 })
    }

    /// The number of the semaphore in its set.
    #[doc(alias = "sem_num")]
    pub const fn semaphore(self) -> u16 {
        self.0.sem_num
    }

    /// What is added; 0 waits for zero.
    #[doc(alias = "sem_op")]
    pub const fn change(self) -> i16 {
        self.0.sem_op
    }

    /// The flags.
    #[doc(alias = "sem_flg")]
    pub const fn flags(self) -> OperationFlags {
        OperationFlags::from_bits_truncate(self.0.sem_flg)
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        (self.semaphore(), self.change(), self.flags()) == (other.semaphore(), other.change(), other.flags())
    }
}

impl Eq for Operation {}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("semaphore", &self.semaphore())
            .field("change", &self.change())
            .field("flags", &self.flags())
            .finish()
    }
}
