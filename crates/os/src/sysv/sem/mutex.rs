//! Mutual exclusion: a semaphore of initial value 1.

use crate::maker::Maker;
use crate::sysv::Key;
use crate::sysv::sem::{Operation, Set};
use crate::{Deadline, Mode, Result, Wait};

const LOCK: &str = "lock";
const UNLOCK: &str = "unlock";

/// A lock between processes: one semaphore whose value is 1 while it is free and 0 while it is held.
///
/// A holder that is killed loses it: the kernel undoes what the process did (`SEM_UNDO`), and the next one gets the
/// lock. It is *not* told that the former holder died, perhaps in the middle of a change: protect what can stand
/// half-changed, or check it.
///
/// Threads of one process exclude each other, too. Locking twice in one thread waits for itself forever.
///
/// ```
/// use twixt_os::sysv::{Key, sem::Mutex, sem::Set};
/// use twixt_os::{ErrorKind, Mode};
///
/// let set = Set::create_with(Key::PRIVATE, &[1], Mode::OWNER)?.remove_on_drop();
/// let mutex = Mutex::of(set.clone(), 0);
/// {
///     let _held = mutex.lock()?;
///     assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
/// }
/// assert!(mutex.try_lock().is_ok());
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutex {
    set: Set,
    semaphore: u16,
}

impl Mutex {
    /// Opens the lock that the key leads to, or makes it, free: a set of one semaphore, of `semget(2)`.
    ///
    /// # Errors
    /// Those of [`Set::open_or_create_with`].
    pub fn open_or_create(key: Key, mode: Mode, wait: impl Into<Wait>) -> Result<Self> {
        Ok(Self::of(Set::open_or_create_with(key, &[1], mode, wait)?, 0))
    }

    /// Uses one semaphore of a set, which was given the value 1, as a lock.
    pub const fn of(set: Set, semaphore: u16) -> Self {
        Self { set, semaphore }
    }

    /// The set that the semaphore belongs to.
    pub const fn set(&self) -> &Set {
        &self.set
    }

    /// Waits until the lock is free and takes it: `semop(2)` with `SEM_UNDO`. Dropping the guard gives it back.
    ///
    /// # Errors
    /// Those of [`Set::acquire`].
    #[doc(alias = "P")]
    #[doc(alias = "semop")]
    #[doc(alias = "SEM_UNDO")]
    pub fn lock(&self) -> Result<MutexGuard<'_>> {
        self.lock_wait(Wait::forever())
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if it is held.
    pub fn try_lock(&self) -> Result<MutexGuard<'_>> {
        self.lock_wait(Wait::never())
    }

    /// Takes the lock, waiting for it until the deadline at most.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut).
    pub fn lock_deadline(&self, deadline: Deadline) -> Result<MutexGuard<'_>> {
        self.lock_wait(Wait::until(deadline))
    }

    /// Takes the lock, waiting for it until a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn lock_interruptible(&self) -> Result<MutexGuard<'_>> {
        self.lock_wait(Wait::forever().interruptible())
    }

    /// Takes the lock, waiting for it as told.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn lock_wait(&self, wait: Wait) -> Result<MutexGuard<'_>> {
        self.set.one(LOCK, Operation::acquire(self.semaphore).undo(), wait)?;
        Ok(MutexGuard { mutex: self, holder: Maker::this() })
    }

    fn unlock(&self) -> Result<()> {
        // It never waits, so that it needs no other form.
        self.set.one(UNLOCK, Operation::release(self.semaphore).undo(), Wait::forever())
    }
}

/// A held [`Mutex`]. It is released when this is dropped.
///
/// A child that inherited the guard by `fork(2)` holds nothing, and releases nothing when it drops it.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct MutexGuard<'a> {
    mutex: &'a Mutex,
    holder: Maker,
}

impl MutexGuard<'_> {
    /// Releases the lock, and tells whether that went well.
    ///
    /// # Errors
    /// [`Removed`](crate::ErrorKind::Removed) if the set went while it was held; [`PermissionDenied`](crate::ErrorKind::PermissionDenied)
    /// if the permissions were changed meanwhile.
    #[doc(alias = "V")]
    pub fn unlock(self) -> Result<()> {
        let held = core::mem::ManuallyDrop::new(self);
        held.release()
    }

    fn release(&self) -> Result<()> {
        if self.holder.is_this() { self.mutex.unlock() } else { Ok(()) }
    }
}

impl Drop for MutexGuard<'_> {
    fn drop(&mut self) {
        // If the set is gone there is nothing left to release.
        let _ = self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_a_forked_child_releases_nothing() {
        let set = Set::create_with(Key::PRIVATE, &[1], Mode::OWNER).unwrap().remove_on_drop();
        let mutex = Mutex::of(set.clone(), 0);
        let held = mutex.lock().unwrap();
        drop(MutexGuard { mutex: &mutex, holder: Maker::another() });
        assert_eq!(set.value(0).unwrap(), 0);
        drop(held);
        assert_eq!(set.value(0).unwrap(), 1);
    }
}
