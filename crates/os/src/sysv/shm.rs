//! Shared memory segments: `shmget(2)`, `shmat(2)`, `shmctl(2)`.
//!
//! A segment is a piece of memory that processes attach to their address spaces. What one writes the others read, with
//! no system call and no copy by the kernel. It lives until somebody removes it *and* the last process detaches it, or
//! the machine stops.
//!
//! ```
//! use twixt_os::sysv::shm::{Access, Segment};
//! use twixt_os::{Mode, sysv::Key};
//!
//! let segment = Segment::create(Key::PRIVATE, 4096, Mode::OWNER)?.remove_on_drop();
//! let memory = segment.attach(Access::ReadWrite)?;
//! memory.write(10, b"between")?;
//!
//! let elsewhere = segment.attach(Access::ReadOnly)?;
//! let mut word = [0; 7];
//! elsewhere.read(10, &mut word)?;
//! assert_eq!(&word, b"between");
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! # Taking turns
//!
//! The memory comes without any order: bytes that another process writes at the same time may be read old, new or
//! mixed. Guard them with a [`Mutex`](super::sem::Mutex), or share single words as atomics
//! ([`Memory::atomic_u64`](crate::mmap::Memory::atomic_u64)). There is no `&[u8]` over the memory, because a reference
//! promises that nobody else writes; bytes are copied in and out.
//!
//! # Limits
//!
//! | limit | default | what it bounds | error |
//! |---|---|---|---|
//! | `kernel.shmmax` | 2⁶⁴ − 2²⁴ − 1 bytes | a segment | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | `kernel.shmall` | 2⁶⁴ − 2²⁴ − 1 pages | all segments | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | `kernel.shmmni` | 4096 | segments | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | `vm.nr_hugepages` | 0 | huge pages | [`LimitReached`](crate::ErrorKind::LimitReached) |
//! | `RLIMIT_MEMLOCK` | 8 MiB | segments that are [locked](Segment::lock) | [`LimitReached`](crate::ErrorKind::LimitReached) |
//!
//! The first three belong to the IPC namespace; [`limits`] reads them.
//!
//! # What is left out
//!
//! `SHM_REMAP`, which replaces what is mapped at the address, could pull any memory from under the program; and
//! `SHM_EXEC` would make memory executable into which other processes write code. Both have no safe use.

use twixt_sys::sysv::shm as sys;

use crate::sysv::{self, Key};
use crate::{Errno, Mechanism, Mode, Object, Result};

mod attachment;
mod control;
mod create;
mod error;
mod list;

pub use crate::mmap::HugePages;
pub use crate::sysv::perm::Settings;
pub use attachment::{Attachment, Place};
pub use control::Stat;
pub use create::Options;
pub use list::{Limits, Listed, Usage, limits, list, usage};
pub use twixt_sys::Access;

/// The number by which the kernel knows a segment: `shmid`.
#[doc(alias = "shmid")]
pub type Id = sysv::Id<Segment>;

/// Removes its segment when dropped: made by [`Segment::remove_on_drop`].
pub type RemoveOnDrop = sysv::RemoveOnDrop<Segment>;

const MECHANISM: Mechanism = Mechanism::SysvShm;

/// A shared memory segment.
///
/// A handle is the identifier and nothing more: cloning it or dropping it does nothing to the segment. To reach the
/// memory, [attach](Segment::attach) it. The segment goes with [`Segment::remove`], or with a guard from
/// [`Segment::remove_on_drop`].
///
/// ```
/// use twixt_os::sysv::{Key, shm::Segment};
/// use twixt_os::Mode;
///
/// let segment = Segment::create(Key::PRIVATE, 100, Mode::OWNER)?;
/// assert_eq!(segment.stat()?.nattch, 0);
/// segment.remove()?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    id: Id,
    object: Object,
}

impl Segment {
    /// Makes the segment: `size` bytes, all zero, by `shmget(2)` with `IPC_CREAT | IPC_EXCL`. The key must have none
    /// yet. For huge pages or without a reservation, see [`Options`].
    ///
    /// # Errors
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists)
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if `size` is 0 (the least, `SHMMIN`, is 1)
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): `size` is above the sysctl `kernel.shmmax` (by default
    ///   18446744073692774399, which is no limit), the pages of all segments together would pass `kernel.shmall` (the
    ///   same number), or there are `kernel.shmmni` segments (4096 by default) already
    /// - [`NoSpace`](crate::ErrorKind::NoSpace): more than memory and swap space can ever hold (`vm.overcommit_memory`)
    #[doc(alias = "shmget")]
    #[doc(alias = "IPC_CREAT")]
    #[doc(alias = "IPC_EXCL")]
    pub fn create(key: Key, size: usize, mode: Mode) -> Result<Self> {
        Options::new(size).mode(mode).create(key)
    }

    /// Opens the segment that the key leads to: `shmget(2)`.
    ///
    /// Permissions are checked when it is attached.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the key has no segment;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for [`Key::PRIVATE`], by which the kernel would make a new one.
    #[doc(alias = "shmget")]
    pub fn open(key: Key) -> Result<Self> {
        Self::open_sized(key, 0)
    }

    /// Opens the segment that the key leads to, if it has at least `size` bytes: `shmget(2)`.
    ///
    /// # Errors
    /// As [`Segment::open`]; [`InvalidInput`](crate::ErrorKind::InvalidInput) if the segment is smaller.
    #[doc(alias = "shmget")]
    pub fn open_sized(key: Key, size: usize) -> Result<Self> {
        Options::new(size).get(key, sys::GetFlags::empty(), "open")
    }

    /// Opens the segment that the key leads to, if it has at least `size` bytes, or makes it: `shmget(2)` with
    /// `IPC_CREAT`.
    ///
    /// It is not told which of both was done, and needs not be: a new segment is whole at once, and all zero.
    ///
    /// # Errors
    /// Those of [`Segment::open_sized`] and [`Segment::create`].
    #[doc(alias = "shmget")]
    #[doc(alias = "IPC_CREAT")]
    pub fn open_or_create(key: Key, size: usize, mode: Mode) -> Result<Self> {
        Options::new(size).mode(mode).open_or_create(key)
    }

    /// The segment with this identifier, which `shmctl(2)` is asked for.
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

    /// A segment by its identifier, taken on trust: if there is none, the operations say
    /// [`Removed`](crate::ErrorKind::Removed). Makes no system call.
    pub fn from_id(id: Id) -> Self {
        Self::new(id, Key::PRIVATE)
    }

    /// Its identifier.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Has the segment removed when the returned guard is dropped: `IPC_RMID` of `shmctl(2)`.
    pub fn remove_on_drop(self) -> RemoveOnDrop {
        RemoveOnDrop::new(self)
    }

    fn new(id: Id, key: Key) -> Self {
        Self { id, object: id.object(key) }
    }
}
