//! POSIX semaphores: a number that processes count down and up, and sleep on at zero.
//!
//! A semaphore has no owner: whoever acquires it and dies has not released it. It is right for counting what is
//! there and for saying "now you"; for mutual exclusion among programs that may die, use a lock
//! ([`crate::lock`]) or a System V semaphore with `SEM_UNDO`. See `sem_overview(7)`.
//!
//! ```
//! use twixt_os::posix::sem::Semaphore;
//! use twixt_os::{ErrorKind, Mode};
//!
//! let name = format!("/twixt-sem-{}", std::process::id());
//! let semaphore = Semaphore::create(&name, 1, Mode::OWNER)?;
//! let _guard = semaphore.unlink_on_drop()?;
//!
//! semaphore.acquire()?;
//! assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::WouldBlock);
//! semaphore.release()?;
//! assert_eq!(semaphore.value()?, 1);
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! # Interoperation
//!
//! The bytes are those of the GNU C library on 64-bit machines, and so are the files: `/dev/shm/sem.NAME`. C, Python
//! and other programs that use it share semaphores with this module, whichever C library this module's program is built
//! with. A program built with musl has semaphores of other bytes; it can share them with its like only.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use twixt_sys::Fault;
use twixt_sys::posix_sem as sys;

use crate::file::{Identity, whole};
use crate::mmap::{Access, Mapping, Memory, fault_error};
use crate::posix::{Name, UnlinkGuard, devshm};
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Mode, Object, Result, Wait};

const MECHANISM: Mechanism = Mechanism::PosixSem;

/// The bytes that a semaphore takes in shared memory: `sizeof(sem_t)`.
pub const SIZE: usize = sys::SIZE;
/// What the offset of a semaphore in shared memory must be a multiple of.
pub const ALIGNMENT: usize = sys::ALIGNMENT;
/// The highest value: `SEM_VALUE_MAX`, 2147483647.
#[doc(alias = "SEM_VALUE_MAX")]
pub const VALUE_MAX: u32 = sys::VALUE_MAX;

/// A semaphore, named or in shared memory of the program's own.
///
/// Acquiring and releasing make no system call unless somebody has to sleep or be woken. Clones are the same semaphore,
/// and so is what a forked child has. It has no descriptor, so nothing can poll for it.
///
/// Dropping it gives back nothing but the memory map (`sem_close(3)`): the value stays, and so do those who wait.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::posix::sem::{self, Semaphore};
/// use twixt_os::{Deadline, ErrorKind, Mode};
///
/// let name = format!("/twixt-turn-{}", std::process::id());
/// let done = Semaphore::open_or_create(&name, 0, Mode::OWNER)?;
/// let late = done.acquire_deadline(Deadline::after(Duration::from_millis(5))).unwrap_err();
/// assert_eq!(late.kind(), ErrorKind::TimedOut);
/// done.release()?; // by any process that opened it
/// done.acquire()?;
/// sem::unlink(&name)?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "sem_t")]
#[doc(alias = "sem_close")]
#[doc(alias = "sem_destroy")]
pub struct Semaphore {
    memory: Arc<Memory>,
    offset: usize,
    named: Option<(Name, Identity)>,
    object: Object,
}

/// # Named semaphores
impl Semaphore {
    /// Creates a semaphore that must not exist, with a value of 0 to [`VALUE_MAX`]: `sem_open(3)` with
    /// `O_CREAT | O_EXCL`.
    ///
    /// It appears with its value: nobody can open it half made. The process's umask takes bits away from the mode; who
    /// is to use the semaphore needs both read and write permission.
    ///
    /// # Errors
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): there is one.
    /// - [`OutOfRange`](ErrorKind::OutOfRange): the value is above [`VALUE_MAX`].
    /// - [`NoSpace`](ErrorKind::NoSpace): the file system at `/dev/shm` is full (half of the memory by default).
    /// - [`LimitReached`](ErrorKind::LimitReached): the process has `RLIMIT_NOFILE` descriptors (1024 by default), of
    ///   which this takes one until it returns; or its address space is at its limit (`RLIMIT_AS`, unlimited by
    ///   default).
    /// - [`InvalidInput`](ErrorKind::InvalidInput), [`TooLong`](ErrorKind::TooLong): the name is none.
    #[doc(alias = "sem_open")]
    pub fn create(name: &(impl AsRef<OsStr> + ?Sized), value: u32, mode: Mode) -> Result<Self> {
        let operation = "create";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        let image = image(operation, &name.object(), value)?;
        let file = whole::create(&path(&name), mode, |file| write_all(file, &image));
        Self::map(operation, name, file)
    }

    /// Opens a semaphore that exists: `sem_open(3)`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`PermissionDenied`](ErrorKind::PermissionDenied), also for a symbolic link;
    /// [`LimitReached`](ErrorKind::LimitReached) as [`Semaphore::create`]; [`Malformed`](ErrorKind::Malformed) if the
    /// file is too short to be a semaphore, where the C library would map it and die; those of a bad name.
    #[doc(alias = "sem_open")]
    pub fn open(name: &(impl AsRef<OsStr> + ?Sized)) -> Result<Self> {
        let operation = "open";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        let file = devshm::open(&path(&name), Access::ReadWrite);
        Self::map(operation, name, file)
    }

    /// Opens a semaphore, and creates it with this value and mode if there is none: `sem_open(3)` with `O_CREAT`.
    ///
    /// # Errors
    /// Those of [`Semaphore::create`] and [`Semaphore::open`], but for `AlreadyExists` and `NotFound`.
    #[doc(alias = "sem_open")]
    #[doc(alias = "O_CREAT")]
    pub fn open_or_create(name: &(impl AsRef<OsStr> + ?Sized), value: u32, mode: Mode) -> Result<Self> {
        let operation = "open or create";
        let name = Name::new(MECHANISM, operation, name.as_ref())?;
        let image = image(operation, &name.object(), value)?;
        let file = devshm::open_or_create(&path(&name), mode, |file| write_all(file, &image));
        Self::map(operation, name, file)
    }

    fn map(
        operation: &'static str,
        name: Name,
        file: Result<(std::os::fd::OwnedFd, rustix::fs::Stat), Errno>,
    ) -> Result<Self> {
        let object = name.object();
        let failed = |errno| devshm::error(MECHANISM, operation, object.clone(), errno, SIZE as u64);
        let (file, stat) = file.map_err(failed)?;
        if stat.st_size < SIZE as i64 {
            let why = format!("its file has {} bytes, too few for a semaphore ({SIZE})", stat.st_size);
            return Err(Error::refused(MECHANISM, operation, object, ErrorKind::Malformed, why));
        }
        let memory = Mapping::shared(file.as_fd(), 0, SIZE, Access::ReadWrite).map_err(failed)?;
        Ok(Self {
            memory: Arc::new(Memory::new(memory, MECHANISM, object.clone())),
            offset: 0,
            named: Some((name, Identity::of(&stat))),
            object,
        })
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&Name> {
        self.named.as_ref().map(|(name, _)| name)
    }

    /// A guard that unlinks this semaphore when dropped: `sem_unlink(3)`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it has no name.
    pub fn unlink_on_drop(&self) -> Result<UnlinkGuard> {
        match &self.named {
            Some((name, identity)) => Ok(UnlinkGuard::new(MECHANISM, name.clone(), *identity)),
            None => {
                let why = "it has no name to unlink";
                Err(Error::refused(MECHANISM, "guard", self.object.clone(), ErrorKind::InvalidInput, why))
            }
        }
    }
}

/// # Semaphores in shared memory
impl Semaphore {
    /// Makes a semaphore of the [`SIZE`] bytes at `offset`, with a value of 0 to [`VALUE_MAX`]: `sem_init(3)`, shared
    /// between processes.
    ///
    /// One process does this, before any other uses the bytes. The semaphore keeps the mapping alive. There is no
    /// `sem_destroy`: the semaphore ends with the memory, and never because one process has done with it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twixt_os::mmap::Memory;
    /// use twixt_os::posix::sem::{self, Semaphore};
    ///
    /// let memory = Arc::new(Memory::anonymous(4096)?);
    /// let mine = Semaphore::initialise(Arc::clone(&memory), 64, 0)?;
    /// let theirs = Semaphore::attach(memory, 64)?;
    /// theirs.release()?;
    /// mine.acquire()?;
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange): the value is above [`VALUE_MAX`], or the bytes do not lie in the mapping.
    /// [`InvalidInput`](ErrorKind::InvalidInput): `offset` is no multiple of [`ALIGNMENT`].
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): the mapping is read-only.
    #[doc(alias = "sem_init")]
    pub fn initialise(memory: Arc<Memory>, offset: usize, value: u32) -> Result<Self> {
        let operation = "initialise";
        let semaphore = Self::within(memory, offset);
        image(operation, &semaphore.object, value)?;
        match sys::initialise(semaphore.memory.mapping(), offset, value) {
            Ok(()) => Ok(semaphore),
            Err(fault) => Err(semaphore.fault(operation, fault)),
        }
    }

    /// The semaphore that another process, or this one, initialised at `offset`.
    ///
    /// Nothing in the bytes says that they are a semaphore. Zeroed memory is one with the value 0 here, but C programs
    /// need it initialised. To have it ready before anyone finds it, see
    /// [`SharedMemory::create_with`](crate::posix::shm::SharedMemory::create_with).
    ///
    /// # Errors
    /// Those of [`Semaphore::initialise`].
    pub fn attach(memory: Arc<Memory>, offset: usize) -> Result<Self> {
        let semaphore = Self::within(memory, offset);
        match sys::Semaphore::at(semaphore.memory.mapping(), offset) {
            Ok(_) => Ok(semaphore),
            Err(fault) => Err(semaphore.fault("attach", fault)),
        }
    }

    fn within(memory: Arc<Memory>, offset: usize) -> Self {
        let object = Object::name(format!("at offset {offset}"));
        Self { memory, offset, named: None, object }
    }
}

/// # Use
impl Semaphore {
    /// Takes one from the value, waiting while it is 0: `sem_wait(3)`, the P operation.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated) if another process cut off the memory; else none. Who sleeps already when
    /// that happens is not told.
    #[doc(alias = "sem_wait")]
    #[doc(alias = "P")]
    pub fn acquire(&self) -> Result<()> {
        self.acquire_wait(Wait::forever())
    }

    /// The same without waiting: `sem_trywait(3)`.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`WouldBlock`](ErrorKind::WouldBlock) at 0.
    #[doc(alias = "sem_trywait")]
    pub fn try_acquire(&self) -> Result<()> {
        self.acquire_wait(Wait::never())
    }

    /// The same until `deadline`, and at least one try: `sem_clockwait(3)`. Setting the clock does not move it, as it
    /// does that of `sem_timedwait(3)`.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`TimedOut`](ErrorKind::TimedOut) if the value stayed 0.
    #[doc(alias = "sem_timedwait")]
    #[doc(alias = "sem_clockwait")]
    pub fn acquire_deadline(&self, deadline: Deadline) -> Result<()> {
        self.acquire_wait(Wait::until(deadline))
    }

    /// The same until a signal handler runs, one without `SA_RESTART`.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn acquire_interruptible(&self) -> Result<()> {
        self.acquire_wait(Wait::forever().interruptible())
    }

    /// The general form.
    ///
    /// # Errors
    /// As the form that waits so.
    pub fn acquire_wait(&self, wait: Wait) -> Result<()> {
        let operation = "acquire";
        let semaphore = self.raw(operation)?;
        if wait.is_never() {
            return semaphore.try_wait().map_err(|errno| self.error(operation, errno));
        }
        wait.with_timeout(|timeout| semaphore.wait(timeout)).map_err(|errno| self.error(operation, errno))
    }

    /// Adds one to the value and wakes one of those who wait: `sem_post(3)`, the V operation.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) at [`VALUE_MAX`]; [`Truncated`](ErrorKind::Truncated) as
    /// [`acquire`](Self::acquire).
    #[doc(alias = "sem_post")]
    #[doc(alias = "V")]
    pub fn release(&self) -> Result<()> {
        let operation = "release";
        self.raw(operation)?.post().map_err(|errno| self.error(operation, errno))
    }

    /// The value at this moment, which may be another at the next: `sem_getvalue(3)`. 0 while somebody waits.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated) if another process cut off the memory; else none.
    #[doc(alias = "sem_getvalue")]
    pub fn value(&self) -> Result<u32> {
        let operation = "read the value of";
        self.raw(operation)?.value().map_err(|errno| self.error(operation, errno))
    }

    fn raw(&self, operation: &'static str) -> Result<sys::Semaphore<'_>> {
        sys::Semaphore::at(self.memory.mapping(), self.offset).map_err(|fault| self.fault(operation, fault))
    }

    fn fault(&self, operation: &'static str, fault: Fault) -> Error {
        fault_error(MECHANISM, operation, self.object.clone(), fault)
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        let error = Error::kernel(MECHANISM, operation, self.object.clone(), errno);
        match errno {
            Errno::FAULT => self.fault(operation, Fault::Truncated),
            Errno::OVERFLOW => error.with_advice("the value is SEM_VALUE_MAX already"),
            _ => error,
        }
    }
}

/// Removes the name: `sem_unlink(3)`. Whoever has the semaphore open may go on using it.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied) if it is another user's, and
/// those of a bad name.
#[doc(alias = "sem_unlink")]
pub fn unlink(name: &(impl AsRef<OsStr> + ?Sized)) -> Result<()> {
    unlink_name(&Name::new(MECHANISM, "unlink", name.as_ref())?)
}

pub(super) fn unlink_name(name: &Name) -> Result<()> {
    devshm::remove(&path(name)).map_err(|errno| Error::kernel(MECHANISM, "unlink", name.object(), errno))
}

/// The semaphore that has the name now.
pub(super) fn identity(name: &Name) -> Result<Identity, Errno> {
    devshm::identity(&path(name))
}

fn path(name: &Name) -> PathBuf {
    devshm::path("sem.", name)
}

fn image(operation: &'static str, object: &Object, value: u32) -> Result<[u8; SIZE]> {
    if value > VALUE_MAX {
        let why = format!("the value {value} is above SEM_VALUE_MAX, {VALUE_MAX}");
        return Err(Error::refused(MECHANISM, operation, object.clone(), ErrorKind::OutOfRange, why));
    }
    Ok(sys::image(value))
}

/// A file this short is written in one piece or not at all.
fn write_all(file: std::os::fd::BorrowedFd<'_>, image: &[u8; SIZE]) -> Result<(), Errno> {
    loop {
        match rustix::io::pwrite(file, image, 0) {
            Err(Errno::INTR) => {}
            Ok(written) if written < SIZE => return Err(Errno::NOSPC),
            outcome => return outcome.map(drop),
        }
    }
}
