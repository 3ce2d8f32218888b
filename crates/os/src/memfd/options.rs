//! How a memfd is made.

use rustix::fs::{MemfdFlags, memfd_create};

use super::Memfd;
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result};

/// The size of huge pages. The pool for each size is filled by the administrator: `vm.nr_hugepages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// The system's default size: `Hugepagesize` in `/proc/meminfo`.
    Default,
    /// 64 KiB (aarch64).
    Kib64,
    /// 2 MiB.
    Mib2,
    /// 32 MiB (aarch64).
    Mib32,
    /// 512 MiB (aarch64).
    Mib512,
    /// 1 GiB.
    Gib1,
}

/// What kind of memfd to make: sealable, not executable, of ordinary pages, unless said otherwise.
///
/// ```
/// use twixt_os::memfd::{Options, Seals};
/// let memfd = Options::new().sealable(false).create("scratch")?;
/// assert!(memfd.seals()?.contains(Seals::SEAL), "no seal can be added");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    sealable: bool,
    executable: bool,
    huge_pages: Option<HugePages>,
}

impl Options {
    /// What [`Memfd::create`] makes.
    pub fn new() -> Self {
        Self { sealable: true, executable: false, huge_pages: None }
    }

    /// Whether seals can be added.
    #[doc(alias = "MFD_ALLOW_SEALING")]
    pub fn sealable(mut self, sealable: bool) -> Self {
        self.sealable = sealable;
        self
    }

    /// Whether it can be executed (`fexecve(3)`). Before Linux 6.3 every memfd can.
    #[doc(alias = "MFD_EXEC")]
    #[doc(alias = "MFD_NOEXEC_SEAL")]
    pub fn executable(mut self, executable: bool) -> Self {
        self.executable = executable;
        self
    }

    /// Takes its memory from the pool of huge pages. Its length is then a multiple of their size.
    #[doc(alias = "MFD_HUGETLB")]
    pub fn huge_pages(mut self, size: HugePages) -> Self {
        self.huge_pages = Some(size);
        self
    }

    /// Creates it: [`Memfd::create`].
    ///
    /// # Errors
    /// As [`Memfd::create`]; [`Unsupported`](ErrorKind::Unsupported) for a size of huge pages that this machine does
    /// not have; [`PermissionDenied`](ErrorKind::PermissionDenied) for an executable one where the sysctl
    /// `vm.memfd_noexec` is 2.
    #[doc(alias = "memfd_create")]
    pub fn create(&self, name: &str) -> Result<Memfd> {
        let object = Object::name(name);
        // With MFD_NOEXEC_SEAL seals are allowed whether asked for or not; that is undone below.
        let exec = if self.executable { MemfdFlags::EXEC } else { MemfdFlags::NOEXEC_SEAL };
        let made = match memfd_create(name, self.flags() | exec) {
            // Linux before 6.3 knows neither flag; there the call without them decides what else is wrong.
            Err(Errno::INVAL) => memfd_create(name, self.flags()),
            outcome => outcome,
        };
        let fd = made.map_err(|errno| self.failure(name, &object, errno))?;
        let memfd = Memfd { fd, object };
        if !self.sealable && !memfd.seals()?.contains(super::Seals::SEAL) {
            memfd.add_seals(super::Seals::SEAL)?;
        }
        Ok(memfd)
    }

    fn flags(&self) -> MemfdFlags {
        let mut flags = MemfdFlags::CLOEXEC;
        flags.set(MemfdFlags::ALLOW_SEALING, self.sealable);
        flags
            | match self.huge_pages {
                None => MemfdFlags::empty(),
                Some(HugePages::Default) => MemfdFlags::HUGETLB,
                Some(HugePages::Kib64) => MemfdFlags::HUGETLB | MemfdFlags::HUGE_64KB,
                Some(HugePages::Mib2) => MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB,
                Some(HugePages::Mib32) => MemfdFlags::HUGETLB | MemfdFlags::HUGE_32MB,
                Some(HugePages::Mib512) => MemfdFlags::HUGETLB | MemfdFlags::HUGE_512MB,
                Some(HugePages::Gib1) => MemfdFlags::HUGETLB | MemfdFlags::HUGE_1GB,
            }
    }

    fn failure(&self, name: &str, object: &Object, errno: Errno) -> Error {
        let error = Error::kernel(Mechanism::Memfd, "create", object.clone(), errno);
        match errno {
            Errno::INVAL if name.len() > LONGEST_NAME => {
                error.with_kind(ErrorKind::TooLong).with_advice("a memfd's name has at most 249 bytes")
            }
            Errno::INVAL if name.contains('\0') => error.with_advice("the name contains a NUL byte"),
            Errno::INVAL | Errno::NODEV | Errno::NOENT if self.huge_pages.is_some() => error
                .with_kind(ErrorKind::Unsupported)
                .with_advice("/sys/kernel/mm/hugepages shows the sizes that this machine has"),
            Errno::ACCESS => error.with_advice("the sysctl vm.memfd_noexec forbids executable ones"),
            _ => error.with_descriptor_limit(),
        }
    }
}

const LONGEST_NAME: usize = 249;

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
