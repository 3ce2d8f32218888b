//! Making segments.

use twixt_sys::sysv::shm as sys;

use crate::mmap::HugePages;
use crate::sysv::shm::error::{kernel, refused};
use crate::sysv::shm::{Access, Attachment, Id, MECHANISM, Segment};
use crate::sysv::{self, Key};
use crate::{Errno, Error, ErrorKind, Limit, Mode, Result};

/// How a segment is made, beyond its size.
///
/// ```
/// use twixt_os::sysv::{Key, shm::Options};
/// let segment = Options::new(1 << 30).no_reserve().create(Key::PRIVATE)?.remove_on_drop();
/// assert_eq!(segment.stat()?.segsz, 1 << 30);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options make nothing by themselves"]
pub struct Options {
    size: usize,
    mode: Mode,
    huge_pages: Option<HugePages>,
    no_reserve: bool,
}

impl Options {
    /// A segment of `size` bytes, of ordinary pages, reserved, for the owner alone.
    pub const fn new(size: usize) -> Self {
        Self { size, mode: Mode::OWNER, huge_pages: None, no_reserve: false }
    }

    /// Sets the permissions: reading allows to attach for reading, reading and writing to attach for both.
    pub const fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Makes it of huge pages, which must have been set aside (`vm.nr_hugepages`, 0 by default).
    ///
    /// Only root, `CAP_IPC_LOCK` and the group `vm.hugetlb_shm_group` may.
    #[doc(alias = "SHM_HUGETLB")]
    pub const fn huge_pages(self, pages: HugePages) -> Self {
        Self { huge_pages: Some(pages), ..self }
    }

    /// Sets nothing aside for it: neither swap space nor huge pages.
    ///
    /// When no memory is left as a page is first touched, the kernel has no way to say no: with ordinary pages it
    /// kills some process (the OOM killer), with huge pages it kills the one that touched (SIGBUS).
    #[doc(alias = "SHM_NORESERVE")]
    pub const fn no_reserve(self) -> Self {
        Self { no_reserve: true, ..self }
    }

    /// Makes the segment, by `shmget(2)`; the key must have none yet.
    ///
    /// # Errors
    /// Those of [`Segment::create`]. With huge pages also [`PermissionDenied`](ErrorKind::PermissionDenied),
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a page size that there is not, and
    /// [`LimitReached`](ErrorKind::LimitReached) when too few are set aside (`vm.nr_hugepages`, 0 by default).
    #[doc(alias = "shmget")]
    pub fn create(&self, key: Key) -> Result<Segment> {
        self.get(key, sys::GetFlags::CREATE | sys::GetFlags::EXCLUSIVE, "create")
    }

    /// Opens the segment that the key leads to, if it has at least this size, or makes it.
    ///
    /// # Errors
    /// Those of [`Options::create`] and [`Segment::open_sized`].
    pub fn open_or_create(&self, key: Key) -> Result<Segment> {
        self.get(key, sys::GetFlags::CREATE, "open or create")
    }

    /// Makes a segment that goes with its last attachment, and attaches it.
    ///
    /// It has no key, and is marked for removal as soon as it is attached: whatever happens to its users, even a kill,
    /// nothing is left behind. Others attach it by its [identifier](Segment::id) (`Segment::open_id`) as long as
    /// somebody has it attached; only Linux lets them. A process killed between the two steps leaves a segment.
    ///
    /// # Errors
    /// Those of [`Options::create`] and [`Segment::attach`].
    ///
    /// ```
    /// use twixt_os::sysv::shm::{Access, Options, Segment};
    /// let memory = Options::new(4096).create_transient()?;
    /// let id = memory.segment().id(); // to be told to others
    /// let elsewhere = Segment::open_id(id)?.attach(Access::ReadWrite)?;
    /// drop((memory, elsewhere));
    /// assert!(Segment::open_id(id).is_err());
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    pub fn create_transient(&self) -> Result<Attachment> {
        let segment = self.create(Key::PRIVATE)?.remove_on_drop();
        // The guard marks it now, or removes it if it could not be attached.
        segment.attach(Access::ReadWrite)
    }

    pub(super) fn get(&self, key: Key, flags: sys::GetFlags, operation: &'static str) -> Result<Segment> {
        let create = flags.contains(sys::GetFlags::CREATE);
        if create && self.size == 0 {
            let why = "a segment has at least one byte".to_owned();
            return Err(refused(operation, key.into(), ErrorKind::InvalidInput, why));
        }
        if !create && key.is_private() {
            return Err(sysv::failure::private_key(MECHANISM, operation));
        }
        let mut flags = flags;
        flags.set(sys::GetFlags::HUGE_PAGES, create && self.huge_pages.is_some());
        flags.set(sys::GetFlags::NO_RESERVE, create && self.no_reserve);
        let log2 = self.huge_pages.map_or(0, |pages| pages.log2());
        let mode = if create { self.mode.bits() } else { 0 };
        match sys::get(key.as_raw(), self.size, flags, log2, mode) {
            Ok(id) => Ok(Segment::new(Id::given(id), key)),
            Err(errno) => Err(self.refusal(key, create, operation, errno)),
        }
    }

    /// What `shmget(2)` means by an errno.
    fn refusal(&self, key: Key, create: bool, operation: &'static str, errno: Errno) -> Error {
        let error = kernel(operation, key.into(), errno);
        let size = self.size as u64;
        let limited = |limit: Limit, advice| {
            kernel(operation, key.into(), errno)
                .with_kind(ErrorKind::LimitReached)
                .with_limit(limit)
                .with_advice(advice)
        };
        match errno {
            Errno::INVAL => {
                if let Some(actual) = actual_size(key).filter(|actual| *actual < self.size) {
                    let why = format!("it has {actual} bytes, {size} were asked for");
                    return refused(operation, key.into(), ErrorKind::InvalidInput, why);
                }
                let shmmax = Limit::sysctl("kernel.shmmax", 0).needed(size);
                match self.huge_pages {
                    _ if !create => error,
                    Some(_) if !shmmax.is_exceeded() => {
                        error.with_advice("/sys/kernel/mm/hugepages lists the sizes of huge pages there are")
                    }
                    _ => limited(shmmax, "raise the sysctl kernel.shmmax, or share less"),
                }
            }
            Errno::NOSPC => {
                let pages = size.div_ceil(rustix::param::page_size() as u64);
                match sys::info() {
                    Ok(info) if info.pages.saturating_add(pages) > info.shmall => limited(
                        Limit::sysctl("kernel.shmall", 0).needed(info.pages.saturating_add(pages)),
                        "raise the sysctl kernel.shmall (in pages), or remove segments (ipcs -m, ipcrm -m)",
                    ),
                    Ok(info) => limited(
                        Limit::sysctl("kernel.shmmni", 0).needed(info.segments + 1),
                        "raise the sysctl kernel.shmmni, or remove segments (ipcs -m, ipcrm -m)",
                    ),
                    Err(_) => error.with_kind(ErrorKind::LimitReached),
                }
            }
            Errno::NOMEM if self.huge_pages.is_some() => limited(
                Limit::sysctl("vm.nr_hugepages", 0),
                "set huge pages aside with the sysctl vm.nr_hugepages (other sizes: /sys/kernel/mm/hugepages)",
            ),
            Errno::NOMEM => {
                error.with_advice("memory and swap space cannot hold it; share less, or do not reserve")
            }
            Errno::PERM if self.huge_pages.is_some() => {
                error.with_advice("huge pages are for root, CAP_IPC_LOCK and the group vm.hugetlb_shm_group")
            }
            _ => error,
        }
    }
}

/// How large the segment of this key is, if it has one.
fn actual_size(key: Key) -> Option<usize> {
    if key.is_private() {
        return None;
    }
    let id = sys::get(key.as_raw(), 0, sys::GetFlags::empty(), 0, 0).ok()?;
    sys::stat(id).ok().map(|stat| stat.size)
}
