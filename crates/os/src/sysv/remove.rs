//! An object that goes with the value that holds it.

use core::ops::Deref;

use crate::Result;
use crate::maker::Maker;
use crate::sysv::{msg, sem, shm};

/// What [`RemoveOnDrop`] can hold: a queue, a semaphore set or a segment of shared memory.
pub trait Removable: Clone + sealed::Sealed {}

impl Removable for msg::Queue {}
impl Removable for sem::Set {}
impl Removable for shm::Segment {}

/// Removes its object when dropped: made by [`Queue::remove_on_drop`](msg::Queue::remove_on_drop),
/// [`Set::remove_on_drop`](sem::Set::remove_on_drop) and [`Segment::remove_on_drop`](shm::Segment::remove_on_drop).
///
/// It removes the very object that it holds, by its identifier: not another one that has got the same key since. A
/// child process that inherits the guard through `fork(2)` and drops it removes nothing. An error on dropping, such as
/// that the object is gone already, is ignored; the object's own `remove` tells.
///
/// ```
/// # use twixt_os::{ErrorKind, Mode};
/// # use twixt_os::sysv::Key;
/// # use twixt_os::sysv::msg::Queue;
/// let key = Key::random()?;
/// let guard = Queue::create(key, Mode::OWNER)?.remove_on_drop();
/// drop(guard);
/// assert_eq!(Queue::open(key).unwrap_err().kind(), ErrorKind::NotFound);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the object is removed when this is dropped"]
pub struct RemoveOnDrop<T: Removable> {
    object: T,
    /// The process in which dropping removes; none once it is not to happen any more.
    maker: Option<Maker>,
}

impl<T: Removable> RemoveOnDrop<T> {
    pub(super) fn new(object: T) -> Self {
        Self { object, maker: Some(Maker::this()) }
    }

    /// Gives the object back, to stay.
    pub fn keep(mut self) -> T {
        self.maker = None;
        self.object.clone()
    }
}

impl<T: Removable> Deref for RemoveOnDrop<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Removable> Drop for RemoveOnDrop<T> {
    fn drop(&mut self) {
        if self.maker.is_some_and(Maker::is_this) {
            // It may be gone already; and there is nobody to tell.
            let _ = self.object.remove_now();
        }
    }
}

mod sealed {
    use super::{Result, msg, sem, shm};

    pub trait Sealed {
        fn remove_now(&self) -> Result<()>;
    }

    impl Sealed for msg::Queue {
        fn remove_now(&self) -> Result<()> {
            self.remove()
        }
    }

    impl Sealed for sem::Set {
        fn remove_now(&self) -> Result<()> {
            self.remove()
        }
    }

    impl Sealed for shm::Segment {
        fn remove_now(&self) -> Result<()> {
            self.remove()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::sysv::Key;

    fn a_childs_copy_of<T: Removable>(guard: &RemoveOnDrop<T>) -> RemoveOnDrop<T> {
        RemoveOnDrop { object: guard.object.clone(), maker: Some(Maker::another()) }
    }

    #[test]
    fn the_copy_of_a_forked_child_removes_nothing() {
        let queue = msg::Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
        drop(a_childs_copy_of(&queue));
        assert!(queue.stat().is_ok());
        let set = sem::Set::create(Key::PRIVATE, 1, Mode::OWNER).unwrap().remove_on_drop();
        drop(a_childs_copy_of(&set));
        assert!(set.stat().is_ok());
        let segment = shm::Segment::create(Key::PRIVATE, 1, Mode::OWNER).unwrap().remove_on_drop();
        drop(a_childs_copy_of(&segment));
        assert!(segment.stat().is_ok());
    }
}
