//! The numbers by which the kernel knows objects.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use crate::Object;
use crate::sysv::Key;

/// The number by which the kernel knows an object of type `T`: `msqid`, `semid`, `shmid`. It leads to the object in
/// every process of the same IPC namespace.
///
/// Each kind of object has numbers of its own, so a queue's identifier is no segment's:
///
/// ```
/// use twixt_os::sysv::{msg, shm};
/// let queue = msg::Id::new(7).unwrap();
/// let segment = shm::Id::new(7).unwrap(); // another type, of another object
/// assert_eq!(queue.as_raw(), segment.as_raw());
/// assert_eq!(msg::Id::new(-1), None);
/// ```
///
/// ```compile_fail,E0308
/// # use twixt_os::sysv::{msg, shm};
/// shm::Segment::open_id(msg::Id::new(7).unwrap());
/// ```
///
/// The kernel gives a removed object's number to a new one only after tens of thousands of others, so that a process
/// that still holds the old number gets an error.
#[doc(alias = "msqid")]
#[doc(alias = "semid")]
#[doc(alias = "shmid")]
pub struct Id<T> {
    number: i32,
    /// Holds no `T`, but stands for one.
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// An identifier that another process passed along, or that `ipcs` shows. Negative numbers are none.
    pub const fn new(id: i32) -> Option<Self> {
        if id < 0 { None } else { Some(Self::given(id)) }
    }

    /// An identifier that the kernel gave.
    pub(super) const fn given(number: i32) -> Self {
        Self { number, of: PhantomData }
    }

    /// The number, as `ipcs` shows it. A segment's is also the inode number of its lines in `/proc/PID/maps`.
    pub const fn as_raw(self) -> i32 {
        self.number
    }

    /// What errors call the object: its key, if it was reached by one.
    pub(super) fn object(self, key: Key) -> Object {
        if key.is_private() { self.into() } else { key.into() }
    }
}

// Not derived: that would ask the same of `T`.

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Id").field(&self.number).finish()
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

impl<T> From<Id<T>> for Object {
    fn from(id: Id<T>) -> Self {
        Self::Id(id.number)
    }
}
