//! Removing a named object when the program is done with it, and only then, and only that one.

use crate::file::Identity;
use crate::maker::Maker;
use crate::posix::{Name, mq, sem, shm};
use crate::{Errno, Mechanism, Result};

/// Unlinks a queue, semaphore or shared memory object when dropped.
///
/// It removes only the object it was made for: not one that was made under the same name since, and not from a child
/// that was forked with a copy of the guard. A process that is killed removes nothing.
///
/// ```
/// use twixt_os::Mode;
/// use twixt_os::posix::sem::Semaphore;
///
/// let name = format!("/twixt-guard-{}", std::process::id());
/// let semaphore = Semaphore::create(&name, 0, Mode::OWNER)?;
/// let guard = semaphore.unlink_on_drop()?;
/// drop(guard);
/// assert!(Semaphore::open(&name).is_err());
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the object is unlinked when this is dropped"]
pub struct UnlinkGuard {
    mechanism: Mechanism,
    name: Name,
    identity: Identity,
    /// The process that removes; none once nobody is to.
    maker: Option<Maker>,
}

impl UnlinkGuard {
    pub(super) fn new(mechanism: Mechanism, name: Name, identity: Identity) -> Self {
        Self { mechanism, name, identity, maker: Some(Maker::this()) }
    }

    /// Lets the object stay.
    pub fn keep(mut self) {
        self.maker = None;
    }

    /// Unlinks the object now and says how that went. In a forked child, and where the object is gone or another has
    /// its name, there is nothing to do.
    ///
    /// # Errors
    /// Those of `mq_unlink(3)`, `sem_unlink(3)` and `shm_unlink(3)`.
    pub fn unlink(mut self) -> Result<()> {
        let outcome = self.unlink_once();
        self.maker = None;
        outcome
    }

    fn unlink_once(&self) -> Result<()> {
        // Another may take the name between the look and the removal; the kernel has no call that does both in one.
        if !self.maker.is_some_and(Maker::is_this) || self.current() != Ok(self.identity) {
            return Ok(());
        }
        match self.mechanism {
            Mechanism::PosixMq => mq::unlink_name(&self.name),
            Mechanism::PosixSem => sem::unlink_name(&self.name),
            _ => shm::unlink_name(&self.name),
        }
    }

    /// The object that has the name now.
    fn current(&self) -> Result<Identity, Errno> {
        match self.mechanism {
            Mechanism::PosixMq => mq::identity(&self.name),
            Mechanism::PosixSem => sem::identity(&self.name),
            _ => shm::identity(&self.name),
        }
    }
}

impl Drop for UnlinkGuard {
    fn drop(&mut self) {
        // Nobody is there to be told; `unlink` is for those who ask.
        let _ = self.unlink_once();
    }
}

#[cfg(test)]
mod tests {
    use crate::Mode;
    use crate::maker::Maker;
    use crate::posix::sem::Semaphore;

    #[test]
    fn a_forked_child_removes_nothing() {
        let name = format!("/{}", twixt_testkit::unique_name());
        let semaphore = Semaphore::create(&name, 0, Mode::OWNER).unwrap();
        let mut parents = semaphore.unlink_on_drop().unwrap();
        parents.maker = Some(Maker::another());
        parents.unlink().unwrap();
        Semaphore::open(&name).expect("it was not this process's to remove");
        semaphore.unlink_on_drop().unwrap().unlink().unwrap();
        assert!(Semaphore::open(&name).is_err());
    }
}
