//! Memory with a descriptor and no name, which can be sealed: `memfd_create(2)`.
//!
//! The receiver gets the descriptor from its parent or over a Unix socket, and needs no trust in the sender: once the
//! memory is sealed, nobody can shorten it or change it, the sender included, and nobody can take a seal off.
//!
//! ```
//! use std::os::fd::OwnedFd;
//! use twixt_os::memfd::{Memfd, Sealed, Seals};
//!
//! let memfd = Memfd::create("letter")?;
//! memfd.write_at(0, b"between us")?;
//! let sealed = memfd.seal(Seals::IMMUTABLE)?;
//!
//! // What a process does with a descriptor that it was given:
//! let given = OwnedFd::from(sealed);
//! let letter = Sealed::from_fd(given, Seals::IMMUTABLE)?;
//! let memory = letter.map()?;
//! let mut text = vec![0; memory.len()];
//! memory.read(0, &mut text)?;
//! assert_eq!(text, b"between us");
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! The memory lives as long as a descriptor or a mapping of it is left in any process. It counts against the memory
//! control group of whoever touches a page first, and against the swap space; `RLIMIT_FSIZE` bounds its size. Until it
//! is sealed against shrinking, a peer can truncate it: accesses then fail with
//! [`ErrorKind::Truncated`], as with any [mapped file](crate::mmap).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use bitflags::bitflags;
use rustix::fs::SealFlags;

use crate::file::{regular, reserve, reserve_error};
use crate::inherit::inherited_as;
use crate::mmap::{Access, Mapping, Memory, map_error};
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result, Wait};

mod options;
mod sealed;

pub use options::{HugePages, Options};
pub use sealed::Sealed;

bitflags! {
    /// What can never again be done to a memfd: `F_ADD_SEALS` of `fcntl(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Seals: u32 {
        /// Adding seals.
        #[doc(alias = "F_SEAL_SEAL")]
        const SEAL = SealFlags::SEAL.bits();
        /// Making it shorter.
        #[doc(alias = "F_SEAL_SHRINK")]
        const SHRINK = SealFlags::SHRINK.bits();
        /// Making it longer.
        #[doc(alias = "F_SEAL_GROW")]
        const GROW = SealFlags::GROW.bits();
        /// Writing, in whatever way. Cannot be added while a writable shared mapping exists anywhere.
        #[doc(alias = "F_SEAL_WRITE")]
        const WRITE = SealFlags::WRITE.bits();
        /// Writing, except through the shared mappings that exist already: the sender goes on writing, all who map it
        /// from now on only read. Since Linux 5.1.
        #[doc(alias = "F_SEAL_FUTURE_WRITE")]
        const FUTURE_WRITE = SealFlags::FUTURE_WRITE.bits();
        /// Changing whether it may be executed. Since Linux 6.3, where it is there from the start, unless
        /// [`Options::executable`] was asked for.
        #[doc(alias = "F_SEAL_EXEC")]
        const EXEC = SealFlags::EXEC.bits();
        // Seals that later kernels may have.
        const _ = !0;
    }
}

impl Seals {
    /// The length stays as it is: [`Seals::SHRINK`] and [`Seals::GROW`].
    pub const FIXED_LENGTH: Self = Self::SHRINK.union(Self::GROW);

    /// Neither length nor bytes change, and no seal is added: what a receiver can rely on as on its own memory.
    pub const IMMUTABLE: Self = Self::FIXED_LENGTH.union(Self::WRITE).union(Self::SEAL);
}

/// A memfd: see `memfd_create(2)`.
///
/// ```
/// use twixt_os::memfd::Memfd;
/// use twixt_os::mmap::Access;
///
/// let memfd = Memfd::create("scratch")?;
/// memfd.reserve(4096)?;
/// let memory = memfd.map(Access::ReadWrite)?;
/// memory.write(0, b"between us")?;
/// let mut text = [0; 10];
/// assert_eq!(memfd.read_at(0, &mut text)?, 10); // the file and the mapping are the same bytes
/// assert_eq!(&text, b"between us");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "memfd_create")]
pub struct Memfd {
    fd: OwnedFd,
    object: Object,
}

impl Memfd {
    /// Creates an empty one: close-on-exec, ready for seals, not executable (as far as the kernel knows that, from
    /// Linux 6.3 on).
    ///
    /// The name is for `/proc/PID/fd` and `/proc/PID/maps` only, where it stands after `memfd:`; any number of memfds may
    /// have the same. It has at most 249 bytes.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) for the name, [`InvalidInput`](ErrorKind::InvalidInput) for a NUL byte in it;
    /// [`LimitReached`](ErrorKind::LimitReached) over `RLIMIT_NOFILE` (1024 by default).
    pub fn create(name: &str) -> Result<Self> {
        Options::new().create(name)
    }

    /// Takes over a descriptor that came from somewhere else, if it is one of a memfd.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is something else, a file on tmpfs for instance.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let object = Object::descriptor(fd.as_fd());
        if is_memfd(fd.as_fd()) {
            return Ok(Self { fd, object });
        }
        let why = "the descriptor is not a memfd's";
        Err(Error::refused(Mechanism::Memfd, "take over", object, ErrorKind::InvalidInput, why))
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was taken before
    /// or opened by this program itself, or it is not a memfd.
    pub fn inherited(number: RawFd) -> Result<Self> {
        Self::from_fd(inherited_as(Mechanism::Memfd, number)?)
    }

    /// Its length in bytes, 0 at first.
    ///
    /// # Errors
    /// Those of `fstat(2)`, which are rare.
    #[allow(clippy::len_without_is_empty, reason = "the length is asked of the kernel, and may be refused")]
    pub fn len(&self) -> Result<u64> {
        regular::len(self.fd.as_fd()).map_err(|errno| self.error("find the length of", errno))
    }

    /// Makes it at least `len` bytes long, and has the kernel provide all of its pages now. New bytes are zero.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if it is sealed against growing;
    /// [`NoSpace`](ErrorKind::NoSpace) if the memory is not there; [`LimitReached`](ErrorKind::LimitReached) over
    /// `RLIMIT_FSIZE`; [`OutOfRange`](ErrorKind::OutOfRange) for lengths that the kernel has no number for.
    #[doc(alias = "posix_fallocate")]
    pub fn reserve(&self, len: u64) -> Result<()> {
        if i64::try_from(len).is_err() {
            return Err(self.refused("reserve memory for", ErrorKind::OutOfRange, "no file is that long"));
        }
        reserve(self.fd.as_fd(), len).map_err(|errno| {
            reserve_error(Mechanism::Memfd, "reserve memory for", self.object.clone(), errno, len)
        })
    }

    /// `ftruncate(2)`: cuts it to `len` bytes, or lengthens it by a hole, whose pages come when they are touched.
    ///
    /// Where memory may run out, [`Memfd::reserve`] finds out early.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if a seal forbids it; [`LimitReached`](ErrorKind::LimitReached)
    /// over `RLIMIT_FSIZE`; [`InvalidInput`](ErrorKind::InvalidInput) for a part of a huge page.
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, len: u64) -> Result<()> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        let outcome = match limit {
            // The kernel would send SIGXFSZ.
            Some(limit) if len > limit => Err(Errno::FBIG),
            _ => Wait::forever().with_timeout(|_| rustix::fs::ftruncate(&self.fd, len)),
        };
        outcome.map_err(|errno| {
            reserve_error(Mechanism::Memfd, "set the length of", self.object.clone(), errno, len)
        })
    }

    /// `pwrite(2)` of all of `bytes`, lengthening it where they reach past its end. Not for huge pages.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if a seal forbids it; [`NoSpace`](ErrorKind::NoSpace).
    #[doc(alias = "pwrite")]
    pub fn write_at(&self, offset: u64, mut bytes: &[u8]) -> Result<()> {
        let mut at = offset;
        while !bytes.is_empty() {
            let written = Wait::forever()
                .with_timeout(|_| rustix::io::pwrite(&self.fd, bytes, at))
                .map_err(|errno| self.error("write to", errno))?;
            bytes = &bytes[written.min(bytes.len())..];
            at = at.saturating_add(written as u64);
        }
        Ok(())
    }

    /// `pread(2)`: reads as many bytes as there are from `offset` on, at most those that `into` takes, and says how many.
    ///
    /// # Errors
    /// Those of `pread(2)`, which are rare.
    #[doc(alias = "pread")]
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            let at = offset.saturating_add(filled as u64);
            let read = Wait::forever()
                .with_timeout(|_| rustix::io::pread(&self.fd, &mut into[filled..], at))
                .map_err(|errno| self.error("read from", errno))?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// Its seals.
    ///
    /// # Errors
    /// Those of `fcntl(2)`, which are rare.
    #[doc(alias = "F_GET_SEALS")]
    pub fn seals(&self) -> Result<Seals> {
        let seals =
            rustix::fs::fcntl_get_seals(&self.fd).map_err(|errno| self.error("read the seals of", errno))?;
        Ok(Seals::from_bits_retain(seals.bits()))
    }

    /// Adds seals. They stay for as long as the memory does.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if [`Seals::SEAL`] is among those it has;
    /// [`Busy`](ErrorKind::Busy) for [`Seals::WRITE`] while it is mapped writable and shared anywhere;
    /// [`Unsupported`](ErrorKind::Unsupported) for a seal that this kernel does not know.
    #[doc(alias = "F_ADD_SEALS")]
    pub fn add_seals(&self, seals: Seals) -> Result<()> {
        let seals = SealFlags::from_bits_retain(seals.bits());
        rustix::fs::fcntl_add_seals(&self.fd, seals).map_err(|errno| {
            let error = self.error("seal", errno);
            match errno {
                Errno::BUSY => error.with_advice("drop its writable mappings first, or use FUTURE_WRITE"),
                Errno::INVAL => error.with_kind(ErrorKind::Unsupported),
                Errno::PERM => error.with_advice("it takes no more seals, or the descriptor is read-only"),
                _ => error,
            }
        })
    }

    /// Adds seals, among them at least [`Seals::FIXED_LENGTH`], which the type then proves.
    ///
    /// # Errors
    /// As [`Memfd::add_seals`].
    pub fn seal(self, seals: Seals) -> Result<Sealed> {
        self.add_seals(seals | Seals::FIXED_LENGTH)?;
        Sealed::check(self, seals | Seals::FIXED_LENGTH)
    }

    /// Maps all of it, shared: `mmap(2)`. It is unmapped when the [`Memory`] is dropped.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is empty; [`PermissionDenied`](ErrorKind::PermissionDenied) for
    /// writing if it is sealed against that.
    #[doc(alias = "mmap")]
    #[doc(alias = "munmap")]
    pub fn map(&self, access: Access) -> Result<Memory> {
        let len = self.len()?;
        self.map_part(access, len)
    }

    fn map_part(&self, access: Access, len: u64) -> Result<Memory> {
        let len = match usize::try_from(len) {
            Ok(0) => return Err(self.refused("map", ErrorKind::InvalidInput, "it is empty")),
            Ok(len) => len,
            Err(_) => {
                let why = "it is longer than the address space";
                return Err(self.refused("map", ErrorKind::OutOfRange, why));
            }
        };
        let mapped = Mapping::shared(self.fd.as_fd(), 0, len, access);
        let mapped = match mapped {
            // Before Linux 6.7 what is sealed against writing cannot be mapped shared at all from a descriptor
            // open for writing. Since nobody can write it, a private mapping is the same.
            Err(Errno::PERM) if access == Access::ReadOnly && self.seals()?.contains(Seals::WRITE) => {
                Mapping::private(self.fd.as_fd(), 0, len, access)
            }
            outcome => outcome,
        };
        let mapping =
            mapped.map_err(|errno| map_error(Mechanism::Memfd, "map", self.object.clone(), errno))?;
        Ok(Memory::new(mapping, Mechanism::Memfd, self.object.clone()))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(Mechanism::Memfd, operation, self.object.clone(), errno)
    }

    fn refused(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(Mechanism::Memfd, operation, self.object.clone(), kind, why)
    }
}

/// Whether a descriptor is one of `memfd_create(2)`. Files on tmpfs have seals too, but a name and a place.
fn is_memfd(fd: BorrowedFd<'_>) -> bool {
    use std::os::fd::AsRawFd;
    let has_seals = rustix::fs::fcntl_get_seals(fd).is_ok();
    let is_unlinked = rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_nlink == 0);
    let link = rustix::fs::readlink(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())), Vec::new());
    // Where /proc is not mounted, the two others must do.
    has_seals && is_unlinked && link.map_or(true, |link| link.to_bytes().starts_with(b"/memfd:"))
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Memfd> for OwnedFd {
    fn from(memfd: Memfd) -> Self {
        memfd.fd
    }
}

impl TryFrom<OwnedFd> for Memfd {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::from_fd(fd)
    }
}
