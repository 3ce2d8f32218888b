//! Files in memory that several processes share: `mmap(2)`.
//!
//! ```
//! use twixt_os::mmap::MappedFile;
//! # let directory = twixt_testkit::scratch();
//! # let path = directory.path().join("board");
//!
//! let board = MappedFile::create(&path, 4096)?; // fails if it exists, or if the disk has no room for it
//! board.write(0, b"between")?;
//!
//! let other = MappedFile::open(&path)?; // in any other process
//! let mut word = [0; 7];
//! other.read(0, &mut word)?;
//! assert_eq!(&word, b"between");
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! The bytes of a shared mapping are those of the file: what one process writes, all others see at once, also those
//! that use `read(2)` and `write(2)`, and it outlives them all. Nothing says *when* something was written or
//! keeps two from writing at the same time: that is the work of a [lock](crate::lock), a semaphore, an
//! [eventfd](crate::eventfd) or of atomic words in the mapping itself. Memory that has no name comes from
//! [`Memory::anonymous`] or [`memfd`](crate::memfd).
//!
//! # Never a reference to the bytes
//!
//! Bytes go in and out by copies, and words are shared as atomics, since another process may change them at any
//! moment. A copy that races with a writer gets old bytes, new ones or a mixture, and nothing worse.
//!
//! # When another process makes the file shorter
//!
//! Then the pages past its new end are gone, and touching one raises SIGBUS, which would end the process. Here it
//! is an error, [`ErrorKind::Truncated`]. For this a SIGBUS handler is installed with the first
//! mapping that needs it; it passes on what is not about a mapping of this crate to the disposition it found. A
//! program that installs a handler of its own later has to do the same for the protection to last
//! ([`is_guarding`] tells), and no thread that uses a mapping may have SIGBUS blocked: the kernel then ends the
//! process without asking. What was in the pages that are still there can be read on by making a new mapping:
//! [`MappedFile::remap`].
//!
//! # Limits
//!
//! | limit | default | what it bounds | error |
//! |---|---|---|---|
//! | `RLIMIT_AS` | unlimited | the address space | [`ErrorKind::LimitReached`] |
//! | `vm.max_map_count` | 65530 | mappings of a process | [`ErrorKind::NoSpace`] |
//! | `RLIMIT_FSIZE` | unlimited | the length of files | [`ErrorKind::LimitReached`] |
//! | `RLIMIT_MEMLOCK` | 8 MiB | locked memory: [`Options::lock`] | [`ErrorKind::LimitReached`] |
//! | `vm.nr_hugepages` | 0 | huge pages: [`Options::huge_pages`] | [`ErrorKind::LimitReached`] |
//!
//! Space is reserved when a file is created or grows here, so that a full file system is [`ErrorKind::NoSpace`] then,
//! and not a SIGBUS when the bytes are written.
//!
//! See `mmap(2)`, `mremap(2)`, `msync(2)`, `madvise(2)`, `mprotect(2)`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use twixt_sys::mapping::Prepare;

use crate::file::{regular, reserve, reserve_error};
use crate::{Error, ErrorKind, Mechanism, Object, Result};

mod error;
mod huge;
mod memory;
mod options;

pub use huge::HugePages;
pub use memory::Memory;
pub use options::{Options, Sharing};
pub use twixt_sys::mapping::{Advice, Flush, is_guarding};
pub use twixt_sys::{Access, Mapping};

pub(crate) use error::{fault_error, map_error};

/// A mapped file, with its descriptor. Reading and writing are those of [`Memory`], which it derefs to.
///
/// Dropping it unmaps and closes; the file stays.
///
/// ```
/// use std::sync::atomic::Ordering;
/// use twixt_os::mmap::MappedFile;
/// # let directory = twixt_testkit::scratch();
/// # let path = directory.path().join("counter");
///
/// let mut counter = MappedFile::open_or_create(&path, 8)?;
/// counter.atomic_u64(0)?.fetch_add(1, Ordering::Relaxed); // as any process that mapped it may
/// counter.grow(16)?;
/// counter.write(8, b"betwixt\n")?;
/// counter.flush()?; // only a crash of the machine makes a difference
/// assert_eq!(std::fs::read(&path).unwrap()[8..], *b"betwixt\n");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "mmap")]
#[doc(alias = "munmap")]
pub struct MappedFile {
    file: OwnedFd,
    memory: Memory,
    offset: u64,
    sharing: Sharing,
    /// For mapping it again.
    prepare: Prepare,
}

impl MappedFile {
    /// Creates a file of `len` zero bytes, mode 0600, and maps it shared, for reading and writing: `open(2)`,
    /// `fallocate(2)`, `mmap(2)`.
    ///
    /// Its space is reserved, and the name appears when the file is whole: nobody can open it too early, and
    /// nothing is left behind on failure. (On file systems without `O_TMPFILE`, a process that is killed meanwhile
    /// leaves a file with a temporary name beside it.)
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists), also if the name is a symbolic link;
    /// [`NoSpace`](ErrorKind::NoSpace) if the file system has no room; [`LimitReached`](ErrorKind::LimitReached) over
    /// `RLIMIT_FSIZE` (unlimited by default) or a quota; [`InvalidInput`](ErrorKind::InvalidInput) for a length of 0;
    /// others as `open(2)` and `mmap(2)`.
    #[doc(alias = "posix_fallocate")]
    pub fn create(path: impl AsRef<Path>, len: usize) -> Result<Self> {
        Options::new().create(path, len)
    }

    /// Maps an existing file, all of it, shared, for reading and writing: `open(2)`, `mmap(2)`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`PermissionDenied`](ErrorKind::PermissionDenied), also for a symbolic link;
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not a regular file or is empty.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    /// Maps an existing file for reading only (`PROT_READ`); read permission suffices.
    ///
    /// # Errors
    /// As [`MappedFile::open`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().access(Access::ReadOnly).open(path)
    }

    /// Maps a file that may or may not exist. A shorter one grows to `len` bytes; a longer one is mapped whole.
    ///
    /// # Errors
    /// As [`MappedFile::create`] and [`MappedFile::open`].
    pub fn open_or_create(path: impl AsRef<Path>, len: usize) -> Result<Self> {
        Options::new().open_or_create(path, len)
    }

    /// Maps an open file, all of it, shared, for reading and writing: `mmap(2)`.
    ///
    /// # Errors
    /// As [`MappedFile::open`]; [`PermissionDenied`](ErrorKind::PermissionDenied) if it is not open for both.
    pub fn from_fd(file: OwnedFd) -> Result<Self> {
        Options::new().map(file)
    }

    /// The memory, for those who want it apart from the file.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The length of the file now, in bytes. It may have changed by the time it is used.
    ///
    /// # Errors
    /// Those of `fstat(2)`, which are rare.
    pub fn file_len(&self) -> Result<u64> {
        regular::len(self.file.as_fd()).map_err(|errno| self.memory.error("find the length of", errno))
    }

    /// Makes the mapping `len` bytes long, and the file at least as long as that takes: `fallocate(2)`, `mremap(2)`.
    /// Space is reserved for all of it. A length that the mapping has already is no change.
    ///
    /// Others that have the file mapped see the new part once they call [`MappedFile::remap`]. The memory may move
    /// to another address.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) if the file system is full: the file is as long as before, on the
    /// file systems that can reserve space. [`LimitReached`](ErrorKind::LimitReached) over `RLIMIT_FSIZE`;
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if the file is not open for writing;
    /// [`Truncated`](ErrorKind::Truncated) if a private mapping was found truncated before.
    #[doc(alias = "posix_fallocate")]
    #[doc(alias = "fallocate")]
    #[doc(alias = "mremap")]
    pub fn grow(&mut self, len: usize) -> Result<()> {
        if len <= self.memory.len() && self.memory.check().is_ok() {
            return Ok(());
        }
        let end = options::end(self.offset, len).ok_or_else(|| self.memory.too_long("grow"))?;
        reserve(self.file.as_fd(), end)
            .map_err(|errno| reserve_error(Mechanism::Mmap, "grow", self.object().clone(), errno, end))?;
        self.map_again("grow", len)
    }

    /// Maps the file as long as it is now, by `mremap(2)` or anew: longer after another process has let it grow,
    /// shorter after one has cut it, and whole again after [`ErrorKind::Truncated`]. Gives the new length of the
    /// mapping.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated) if nothing is left to map, or if a private mapping was found truncated:
    /// what it had written is lost with its pages.
    #[doc(alias = "mremap")]
    pub fn remap(&mut self) -> Result<usize> {
        let file_len = self.file_len()?;
        let len = file_len.saturating_sub(self.offset);
        if len == 0 {
            let why = "the file ends before the mapped part begins";
            return Err(self.memory.refused("remap", ErrorKind::Truncated, why));
        }
        let len = usize::try_from(len).map_err(|_| self.memory.too_long("remap"))?;
        self.map_again("remap", len)?;
        Ok(len)
    }

    fn map_again(&mut self, operation: &'static str, len: usize) -> Result<()> {
        let was_truncated = self.memory.check().is_err();
        if was_truncated && self.sharing == Sharing::Shared {
            let access = self.memory.access();
            let mapping = Mapping::shared_with(self.file.as_fd(), self.offset, len, access, self.prepare)
                .map_err(|errno| map_error(Mechanism::Mmap, operation, self.object().clone(), errno))?;
            self.memory.replace(mapping);
            return Ok(());
        }
        self.memory.check()?;
        self.memory.remap(operation, len)
    }

    /// `mprotect(2)`: makes the memory read-only, or writable again if the file is open for that.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if the file is not open for writing.
    #[doc(alias = "mprotect")]
    pub fn protect(&mut self, access: Access) -> Result<()> {
        self.memory.protect(access)
    }

    fn object(&self) -> &Object {
        self.memory.object()
    }
}

impl core::ops::Deref for MappedFile {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl AsFd for MappedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Unmaps the memory and keeps the file.
impl From<MappedFile> for OwnedFd {
    fn from(mapped: MappedFile) -> Self {
        mapped.file
    }
}

impl TryFrom<OwnedFd> for MappedFile {
    type Error = Error;

    fn try_from(file: OwnedFd) -> Result<Self> {
        Self::from_fd(file)
    }
}
