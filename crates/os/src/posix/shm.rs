//! POSIX shared memory: a named piece of memory that processes map.
//!
//! The object stays until it is unlinked and the last descriptor and mapping of it are gone, or the machine restarts.
//! See `shm_overview(7)`.
//!
//! ```
//! use twixt_os::Mode;
//! use twixt_os::posix::shm::{Access, SharedMemory};
//!
//! let name = format!("/twixt-shm-{}", std::process::id());
//! let created = SharedMemory::create(&name, 4096, Mode::OWNER)?;
//! let _guard = created.unlink_on_drop()?;
//! created.map(Access::ReadWrite)?.write(0, b"betwixt")?;
//!
//! let opened = SharedMemory::open(&name, Access::ReadOnly)?;
//! assert_eq!(opened.size()?, 4096);
//! let mut text = [0; 7];
//! opened.map(Access::ReadOnly)?.read(0, &mut text)?;
//! assert_eq!(&text, b"betwixt");
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, ftruncate};

use crate::file::{Identity, reserve, reserve_error, whole};
use crate::mmap::{Mapping, map_error};
use crate::posix::{Name, UnlinkGuard, devshm};
use crate::{Errno, Error, ErrorKind, Mechanism, Mode, Object, Result};

pub use crate::mmap::{Access, Memory};

const MECHANISM: Mechanism = Mechanism::PosixShm;

/// An open shared memory object: a descriptor, close-on-exec.
///
/// A mapping made of it lives on its own: the object may be dropped.
///
/// ```
/// use std::sync::atomic::Ordering;
/// use twixt_os::Mode;
/// use twixt_os::posix::shm::{self, Access, SharedMemory};
///
/// let name = format!("/twixt-counter-{}", std::process::id());
/// let shared = SharedMemory::open_or_create(&name, 4096, Mode::OWNER)?;
/// let memory = shared.map(Access::ReadWrite)?;
/// memory.atomic_u64(0)?.fetch_add(1, Ordering::Relaxed); // as any process that opened it may
/// shared.resize(8192)?;
/// assert_eq!((shared.size()?, memory.len()), (8192, 4096));
/// shm::unlink(&name)?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedMemory {
    fd: OwnedFd,
    access: Access,
    name: Option<Name>,
    object: Object,
}

/// # Opening
impl SharedMemory {
    /// Creates an object that must not exist, of `size` bytes, all zero: `shm_open(3)` with `O_CREAT | O_EXCL`.
    ///
    /// The memory is reserved, and only then the object gets its name: nobody finds it shorter than `size`, and none of
    /// its bytes turns out to be missing when it is first touched. The process's umask takes bits away from the mode.
    ///
    /// # Errors
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): there is one.
    /// - [`NoSpace`](ErrorKind::NoSpace): the file system at `/dev/shm` has less room (its `size=` option sets how
    ///   much, half of the memory by default). Nothing is left behind.
    /// - [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_FSIZE` (unlimited by default) or `RLIMIT_NOFILE` (1024
    ///   descriptors by default).
    /// - [`OutOfRange`](ErrorKind::OutOfRange): no file can have that size.
    /// - [`InvalidInput`](ErrorKind::InvalidInput), [`TooLong`](ErrorKind::TooLong): the name is none.
    #[doc(alias = "shm_open")]
    #[doc(alias = "fallocate")]
    pub fn create(name: &(impl AsRef<OsStr> + ?Sized), size: u64, mode: Mode) -> Result<Self> {
        let operation = "create";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        check_size(operation, &name.object(), size)?;
        let made = whole::create(&path(&name), mode, |file| reserve(file, size));
        Self::adopt(operation, name, made, size)
    }

    /// The same, with what `prepare` writes to the memory before it has its name: whoever opens it finds that there.
    ///
    /// Semaphores and headers are initialised without a race in this way. `prepare` may run twice, on other memory the
    /// second time, where the kernel offers no better way (`/dev/shm` is no tmpfs, or `/proc` is not mounted).
    ///
    /// ```
    /// use twixt_os::Mode;
    /// use twixt_os::posix::sem::Semaphore;
    /// use twixt_os::posix::shm::SharedMemory;
    ///
    /// let name = format!("/twixt-shm-with-{}", std::process::id());
    /// let shared = SharedMemory::create_with(&name, 4096, Mode::OWNER, |memory| {
    ///     memory.write(64, b"header")?;
    ///     Semaphore::initialise(memory, 0, 1)?;
    ///     Ok(())
    /// })?;
    /// let _guard = shared.unlink_on_drop()?;
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`SharedMemory::create`], [`InvalidInput`](ErrorKind::InvalidInput) for a size of 0, and that of
    /// `prepare`; then there is no object.
    pub fn create_with(
        name: &(impl AsRef<OsStr> + ?Sized),
        size: u64,
        mode: Mode,
        prepare: impl Fn(Arc<Memory>) -> Result<()>,
    ) -> Result<Self> {
        let operation = "create";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        let object = name.object();
        check_size(operation, &object, size)?;
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let unprepared = Cell::new(None);
        let made = whole::create(&path(&name), mode, |file| {
            reserve(file, size)?;
            let memory = Mapping::shared(file, 0, len, Access::ReadWrite)?;
            prepare(Arc::new(Memory::new(memory, MECHANISM, object.clone()))).map_err(|error| {
                unprepared.set(Some(error));
                Errno::CANCELED
            })
        });
        match unprepared.take() {
            Some(error) => Err(error),
            None => Self::adopt(operation, name, made, size),
        }
    }

    /// Opens an object that exists: `shm_open(3)`. [`SharedMemory::size`] tells how large it is.
    ///
    /// An object that a C program is just creating has size 0 for a moment.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`PermissionDenied`](ErrorKind::PermissionDenied), also for a symbolic link;
    /// [`LimitReached`](ErrorKind::LimitReached) over `RLIMIT_NOFILE`; those of a bad name.
    #[doc(alias = "shm_open")]
    pub fn open(name: &(impl AsRef<OsStr> + ?Sized), access: Access) -> Result<Self> {
        let operation = "open";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        let opened = devshm::open(&path(&name), access);
        Self::adopt(operation, name, opened, 0)
    }

    /// Opens an object for reading and writing, and creates it if there is none: `shm_open(3)` with `O_CREAT`. One that
    /// exists keeps its size and mode, whatever `size` says.
    ///
    /// # Errors
    /// Those of [`SharedMemory::create`] and [`SharedMemory::open`], but for `AlreadyExists` and `NotFound`.
    #[doc(alias = "shm_open")]
    #[doc(alias = "O_CREAT")]
    pub fn open_or_create(name: &(impl AsRef<OsStr> + ?Sized), size: u64, mode: Mode) -> Result<Self> {
        let operation = "open or create";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        check_size(operation, &name.object(), size)?;
        let made = devshm::open_or_create(&path(&name), mode, |file| reserve(file, size));
        Self::adopt(operation, name, made, size)
    }

    fn adopt(
        operation: &'static str,
        name: Name,
        opened: Result<(OwnedFd, rustix::fs::Stat), Errno>,
        size: u64,
    ) -> Result<Self> {
        let object = name.object();
        let failed = |errno| space_error(operation, object.clone(), errno, size, size);
        let (fd, _) = opened.map_err(failed)?;
        let access = access_of(&fd).map_err(failed)?;
        Ok(Self { fd, access, name: Some(name), object })
    }

    /// Takes over a descriptor that came by inheritance or over a Unix socket. It has no name here.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not a file with memory in it, open for reading at least.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let object = Object::descriptor(fd.as_fd());
        let failed = |errno| Error::kernel(MECHANISM, "use as", object.clone(), errno);
        let stat = fstat(&fd).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(Errno::INVAL));
        }
        let access = access_of(&fd).map_err(failed)?;
        Ok(Self { fd, access, name: None, object })
    }
}

/// # Size and mapping
impl SharedMemory {
    /// The name it was opened by, if it was.
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// What it was opened for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The size in bytes now: `fstat(2)`. Whoever may write to the object may change it.
    ///
    /// # Errors
    /// None that is known.
    pub fn size(&self) -> Result<u64> {
        let stat = fstat(&self.fd).map_err(|errno| self.error("look at", errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Makes the object larger or smaller: `fallocate(2)`, `ftruncate(2)`. What is added is zero, and reserved as in
    /// [`SharedMemory::create`]; mappings stay as long as they were.
    ///
    /// Making it smaller cuts off the memory beneath the mappings of every process: [`Memory`] then fails with
    /// [`Truncated`](ErrorKind::Truncated); a C program that touches what is gone dies of SIGBUS.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace), [`LimitReached`](ErrorKind::LimitReached) and
    /// [`OutOfRange`](ErrorKind::OutOfRange) as in [`SharedMemory::create`], and then the size is as before;
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it was opened for reading only.
    #[doc(alias = "ftruncate")]
    #[doc(alias = "fallocate")]
    pub fn resize(&self, size: u64) -> Result<()> {
        let operation = "resize";
        check_size(operation, &self.object, size)?;
        let now = self.size()?;
        let outcome = if size > now { reserve(self.as_fd(), size) } else { ftruncate(&self.fd, size) };
        outcome.map_err(|errno| {
            let error = space_error(operation, self.object.clone(), errno, size, size.saturating_sub(now));
            match errno {
                Errno::BADF | Errno::INVAL if self.access == Access::ReadOnly => {
                    error.with_kind(ErrorKind::InvalidInput).with_advice("it was opened for reading only")
                }
                _ => error,
            }
        })
    }

    /// Maps the whole object, as large as it is now: `mmap(2)`.
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the object has no bytes.
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): writing, where it was opened for reading only.
    /// - [`LimitReached`](ErrorKind::LimitReached), [`NoSpace`](ErrorKind::NoSpace): the address space (`RLIMIT_AS`,
    ///   unlimited by default) or the number of mappings (`vm.max_map_count`, 65530 by default) is at its limit.
    #[doc(alias = "mmap")]
    pub fn map(&self, access: Access) -> Result<Memory> {
        let size = usize::try_from(self.size()?).unwrap_or(usize::MAX);
        self.map_at(0, size, access)
    }

    /// Maps `len` bytes from `offset`, which is a multiple of the page size: `mmap(2)`.
    ///
    /// # Errors
    /// Those of [`SharedMemory::map`]; [`OutOfRange`](ErrorKind::OutOfRange) if the bytes do not lie in the object now;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an offset within a page.
    pub fn map_range(&self, offset: u64, len: usize, access: Access) -> Result<Memory> {
        let size = self.size()?;
        if offset.checked_add(len as u64).is_none_or(|end| end > size) {
            let why = format!("{len} bytes from offset {offset} on do not lie in its {size} bytes");
            return Err(self.refused("map", ErrorKind::OutOfRange, why));
        }
        self.map_at(offset, len, access)
    }

    fn map_at(&self, offset: u64, len: usize, access: Access) -> Result<Memory> {
        if len == 0 {
            return Err(self.refused("map", ErrorKind::InvalidInput, "there are no bytes to map".to_owned()));
        }
        match Mapping::shared(self.as_fd(), offset, len, access) {
            Ok(mapping) => Ok(Memory::new(mapping, MECHANISM, self.object.clone())),
            Err(Errno::INVAL) => Err(self
                .error("map", Errno::INVAL)
                .with_advice("the offset must be a multiple of the page size")),
            Err(errno) => Err(map_error(MECHANISM, "map", self.object.clone(), errno)),
        }
    }

    /// A guard that unlinks this object when dropped: `shm_unlink(3)`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it has no name here.
    pub fn unlink_on_drop(&self) -> Result<UnlinkGuard> {
        let Some(name) = &self.name else {
            let why = "it came as a descriptor, without a name to unlink";
            return Err(self.refused("guard", ErrorKind::InvalidInput, why.to_owned()));
        };
        let stat = fstat(&self.fd).map_err(|errno| self.error("guard", errno))?;
        Ok(UnlinkGuard::new(MECHANISM, name.clone(), Identity::of(&stat)))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(MECHANISM, operation, self.object.clone(), errno)
    }

    fn refused(&self, operation: &'static str, kind: ErrorKind, why: String) -> Error {
        Error::refused(MECHANISM, operation, self.object.clone(), kind, why)
    }
}

/// Removes the name: `shm_unlink(3)`. Whoever has the object open or mapped may go on using it.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied) if it is another user's, and
/// those of a bad name.
#[doc(alias = "shm_unlink")]
pub fn unlink(name: &(impl AsRef<OsStr> + ?Sized)) -> Result<()> {
    unlink_name(&Name::new(MECHANISM, "unlink", name.as_ref())?)
}

pub(super) fn unlink_name(name: &Name) -> Result<()> {
    devshm::remove(&path(name)).map_err(|errno| Error::kernel(MECHANISM, "unlink", name.object(), errno))
}

/// The object that has the name now.
pub(super) fn identity(name: &Name) -> Result<Identity, Errno> {
    devshm::identity(&path(name))
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<SharedMemory> for OwnedFd {
    fn from(memory: SharedMemory) -> Self {
        memory.fd
    }
}

impl TryFrom<OwnedFd> for SharedMemory {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::from_fd(fd)
    }
}

fn path(name: &Name) -> PathBuf {
    devshm::path("", name)
}

fn access_of(fd: &OwnedFd) -> Result<Access, Errno> {
    match fcntl_getfl(fd)? & OFlags::RWMODE {
        OFlags::RDONLY => Ok(Access::ReadOnly),
        OFlags::RDWR => Ok(Access::ReadWrite),
        _ => Err(Errno::INVAL),
    }
}

/// Refuses what no file can have.
fn check_size(operation: &'static str, object: &Object, size: u64) -> Result<()> {
    if i64::try_from(size).is_ok() {
        return Ok(());
    }
    let why = format!("no file has {size} bytes");
    Err(Error::refused(MECHANISM, operation, object.clone(), ErrorKind::OutOfRange, why))
}

/// Why the object could not be made, or made `size` bytes long, for which it needs `more`.
fn space_error(operation: &'static str, object: Object, errno: Errno, size: u64, more: u64) -> Error {
    match errno {
        Errno::FBIG => reserve_error(MECHANISM, operation, object, errno, size),
        _ => devshm::error(MECHANISM, operation, object, errno, more),
    }
}
