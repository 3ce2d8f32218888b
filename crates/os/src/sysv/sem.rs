//! Semaphore sets: `semget(2)`, `semop(2)`, `semctl(2)`.
//!
//! A set holds one semaphore or several, each a number from 0 to 32767. An operation takes from it (P, *acquire*),
//! adds to it (V, *release*) or waits until it is zero; several operations on one set can be made into one, which
//! is done wholly or not at all. A set lives until somebody removes it or the machine stops.
//!
//! ```
//! use twixt_os::sysv::sem::{Operation, Set};
//! use twixt_os::{Mode, sysv::Key};
//!
//! // A pool of two printers and one of three scanners.
//! let pools = Set::create_with(Key::PRIVATE, &[2, 3], Mode::OWNER)?.remove_on_drop();
//!
//! pools.acquire(0)?; // P: blocks while the value is zero
//! pools.release(0)?; // V
//!
//! // One of each at once, or neither; given back by the kernel should this process die.
//! pools.operate(&[Operation::acquire(0).undo(), Operation::acquire(1).undo()])?;
//! assert_eq!(pools.values()?, [1, 2]);
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! Two uses are so common that they have types of their own: [`Mutex`] (mutual exclusion, initial value 1) and
//! [`Order`] (first A, then B; initial value 0).
//!
//! # Initialisation without a race
//!
//! `semget(2)` makes a set of zeroes, and only the next call gives it its values: another process may open it in
//! between. The set itself tells whether that has happened, by an old convention: `sem_otime`, the time of the last
//! operation, is zero until the first one. So the creator adds the initial values *by an operation*, all in one, and
//! whoever opens the set waits until `sem_otime` is not zero. [`Set::open_or_create_with`] does both sides of it, and
//! works together with C programs that keep the convention.
//!
//! A creator that is killed between the two calls leaves a set that nobody will ever initialise. Nothing in the
//! kernel tells who made it, so this cannot be told for certain from a creator that was merely stopped, or from a set
//! made by hand (`ipcmk -S`): twixt does not guess. Those who wait get an error when their time is up, which says so.
//! Then the program, which knows more, decides: [`Set::discard_uninitialised`] removes the set if it bears no trace of
//! use, after which everybody starts again ([`Set::open_or_create_with`]); any number of processes may do that at the
//! same time and they end with the same, once initialised set. Or one process, which must be known to be the only
//! one, gives the set its values with [`Set::initialise`].
//!
//! # What a plain `open` does not check
//!
//! Permissions are checked by each operation, not when a set is opened (but see [`Set::open_for`]): to acquire, release
//! and set needs write permission (the manual calls it alter), to look or to wait for zero needs read permission.
//!
//! # Limits
//!
//! The four numbers of the sysctl `kernel.sem`, which belong to the IPC namespace; [`limits`] reads them. No rlimit
//! applies.
//!
//! | number | default | what it bounds | error |
//! |---|---|---|---|
//! | the first, `SEMMSL` | 32000 | semaphores of a set | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | the second, `SEMMNS` | 1024000000 | semaphores of all sets | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | the third, `SEMOPM` | 500 | operations made into one | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | the fourth, `SEMMNI` | 32000 | sets | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | `SEMVMX` | 32767, fixed | a value | [`OutOfRange`](crate::ErrorKind::OutOfRange) |

use bitflags::bitflags;
use twixt_sys::sysv::sem as sys;

use crate::sysv::{self, Key};
use crate::{Errno, Mechanism, Mode, Object, Result};

mod control;
mod create;
mod error;
mod list;
mod mutex;
mod operate;
mod order;

pub use crate::sysv::perm::Settings;
pub use control::Stat;
pub use list::{Limits, Listed, Usage, limits, list, usage};
pub use mutex::{Mutex, MutexGuard};
pub use order::Order;
pub use twixt_sys::sysv::sem::{Operation, OperationFlags};

/// `SEMVMX`: the highest value that a semaphore can have.
#[doc(alias = "SEMVMX")]
pub const MAX_VALUE: u16 = 32767;

/// The number by which the kernel knows a semaphore set: `semid`.
#[doc(alias = "semid")]
pub type Id = sysv::Id<Set>;

/// Removes its set when dropped: made by [`Set::remove_on_drop`].
pub type RemoveOnDrop = sysv::RemoveOnDrop<Set>;

const MECHANISM: Mechanism = Mechanism::SysvSem;

bitflags! {
    /// What [`Set::open_for`] asks leave for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Access: u32 {
        /// Looking at values and waiting for zero: read permission.
        const READ = 0o400;
        /// Acquiring, releasing and setting values: write permission, which the manual calls alter.
        const ALTER = 0o200;
    }
}

/// A semaphore set.
///
/// A handle is the identifier and nothing more: cloning it or dropping it does nothing to the set. It goes with
/// [`Set::remove`], or with a guard from [`Set::remove_on_drop`].
///
/// ```
/// use twixt_os::sysv::{Key, sem::Set};
/// use twixt_os::{ErrorKind, Mode};
///
/// let set = Set::create_with(Key::PRIVATE, &[1], Mode::OWNER)?;
/// set.acquire(0)?;
/// let taken = set.try_acquire(0).unwrap_err();
/// assert_eq!(taken.kind(), ErrorKind::WouldBlock);
/// set.remove()?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    id: Id,
    object: Object,
}

impl Set {
    /// Opens the set that the key leads to, whether it was initialised or not: `semget(2)`.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the key has no set; [`InvalidInput`](crate::ErrorKind::InvalidInput)
    /// for [`Key::PRIVATE`], by which the kernel would make a new one.
    #[doc(alias = "semget")]
    pub fn open(key: Key) -> Result<Self> {
        Self::open_sized(key, 0)
    }

    /// Opens the set that the key leads to, if it has at least `count` semaphores: `semget(2)`.
    ///
    /// # Errors
    /// As [`Set::open`]; [`InvalidInput`](crate::ErrorKind::InvalidInput) if the set has fewer.
    #[doc(alias = "semget")]
    pub fn open_sized(key: Key, count: usize) -> Result<Self> {
        create::get(key, count, sys::GetFlags::empty(), 0, "open")
    }

    /// Opens the set that the key leads to, if this process may use it so: `semget(2)`.
    ///
    /// # Errors
    /// As [`Set::open`], and [`PermissionDenied`](crate::ErrorKind::PermissionDenied).
    #[doc(alias = "semget")]
    pub fn open_for(key: Key, access: Access) -> Result<Self> {
        create::get(key, 0, sys::GetFlags::empty(), access.bits(), "open")
    }

    /// Makes the set, with all values 0: `semget(2)` with `IPC_CREAT | IPC_EXCL`. The key must have none yet.
    ///
    /// Those who follow the convention described [above](self) wait until [`Set::initialise`] has given the set its
    /// values; [`Set::create_with`] does both.
    ///
    /// # Errors
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists)
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if `count` is 0
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): one of the numbers in the sysctl `kernel.sem`: too many
    ///   semaphores for one set (the first, `SEMMSL`, 32000 by default), too many in all sets together (the second,
    ///   `SEMMNS`, 1024000000), or too many sets (the fourth, `SEMMNI`, 32000)
    /// - [`NoSpace`](crate::ErrorKind::NoSpace): no memory
    #[doc(alias = "semget")]
    #[doc(alias = "IPC_CREAT")]
    #[doc(alias = "IPC_EXCL")]
    pub fn create(key: Key, count: usize, mode: Mode) -> Result<Self> {
        create::get(key, count, sys::GetFlags::CREATE | sys::GetFlags::EXCLUSIVE, mode.bits(), "create")
    }

    /// Opens the set that the key leads to, if it has at least `count` semaphores, or makes it with all values 0:
    /// `semget(2)` with `IPC_CREAT`.
    ///
    /// It is not told which of both was done; where the values must be right, use [`Set::open_or_create_with`].
    ///
    /// # Errors
    /// Those of [`Set::open_sized`] and [`Set::create`].
    #[doc(alias = "semget")]
    #[doc(alias = "IPC_CREAT")]
    pub fn open_or_create(key: Key, count: usize, mode: Mode) -> Result<Self> {
        create::get(key, count, sys::GetFlags::CREATE, mode.bits(), "open or create")
    }

    /// The set with this identifier, which `semctl(2)` is asked for.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none. That it may not be looked at is no error here.
    pub fn open_id(id: Id) -> Result<Self> {
        match sys::stat(id.as_raw()) {
            // Without read permission its state is hidden; that it exists is not.
            Ok(_) | Err(Errno::ACCESS) => Ok(Self::from_id(id)),
            Err(errno) => Err(sysv::failure::not_found(MECHANISM, "open", id.into(), errno)),
        }
    }

    /// A set by its identifier, taken on trust: if there is none, the operations say
    /// [`Removed`](crate::ErrorKind::Removed). Makes no system call.
    pub fn from_id(id: Id) -> Self {
        Self::new(id, Key::PRIVATE)
    }

    /// Its identifier.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Has the set removed when the returned guard is dropped: `IPC_RMID` of `semctl(2)`.
    pub fn remove_on_drop(self) -> RemoveOnDrop {
        RemoveOnDrop::new(self)
    }

    fn new(id: Id, key: Key) -> Self {
        Self { id, object: id.object(key) }
    }
}
