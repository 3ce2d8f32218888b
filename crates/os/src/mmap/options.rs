//! Which part of a file to map, and how.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::process::Resource;
use twixt_sys::mapping::Prepare;

use super::{Access, HugePages, MappedFile, Mapping, Memory, map_error};
use crate::file::{regular, reserve, reserve_error, whole};
use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Mode, Object, Result};

/// Who sees what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody, and the file: `MAP_SHARED`.
    #[doc(alias = "MAP_SHARED")]
    Shared,
    /// This process alone: `MAP_PRIVATE`. Whether it sees what others write to pages that it has not written itself is
    /// left open by the standard; on Linux it does.
    #[doc(alias = "MAP_PRIVATE")]
    Private,
}

/// How a file is opened and mapped: all of it, shared, for reading and writing, unless said otherwise.
///
/// ```
/// use twixt_os::mmap::{Access, Options};
/// # let directory = twixt_testkit::scratch();
/// # let path = directory.path().join("board");
/// # let _made = twixt_os::mmap::MappedFile::create(&path, 8192)?;
///
/// // The second page of a file, for reading.
/// let part = Options::new().access(Access::ReadOnly).offset(4096).len(4096).open(&path)?;
/// assert_eq!(part.len(), 4096);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Options {
    access: Access,
    sharing: Sharing,
    offset: u64,
    len: Option<usize>,
    mode: Mode,
    prepare: Prepare,
    huge_pages: Option<HugePages>,
}

impl Options {
    /// All of the file, shared, for reading and writing; mode 0600 when it is created.
    pub fn new() -> Self {
        Self {
            access: Access::ReadWrite,
            sharing: Sharing::Shared,
            offset: 0,
            len: None,
            mode: Mode::OWNER,
            prepare: Prepare::empty(),
            huge_pages: None,
        }
    }

    /// What the memory is for.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Who sees what is written. A private mapping can be written although the file is open for reading only.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Where in the file the mapping begins, in bytes: a multiple of the page size, which is larger on hugetlbfs.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The number of bytes to map; otherwise all from the offset to the end of the file.
    pub fn len(mut self, len: usize) -> Self {
        self.len = Some(len);
        self
    }

    /// The mode of a file that is created, from which the `umask` takes bits away.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Has all pages there before the call returns, so that no access waits for a disk or a free page: `MAP_POPULATE`
    /// of `mmap(2)`.
    ///
    /// A page that cannot be had is left for later, and no error. [`Advice::PopulateRead`](super::Advice::PopulateRead)
    /// and its like tell, and can be had for a part.
    #[doc(alias = "MAP_POPULATE")]
    pub fn populate(mut self) -> Self {
        self.prepare |= Prepare::POPULATE;
        self
    }

    /// Has all pages there, as [`Options::populate`], and keeps them out of the swap space: `MAP_LOCKED`
    /// of `mmap(2)`.
    ///
    /// The process may have `RLIMIT_MEMLOCK` bytes locked (8 MiB by default), all its mappings together and in whole
    /// pages; with `CAP_IPC_LOCK`, any number. A forked child has the memory, and none of it locked.
    #[doc(alias = "MAP_LOCKED")]
    #[doc(alias = "mlock")]
    pub fn lock(mut self) -> Self {
        self.prepare |= Prepare::LOCKED;
        self
    }

    /// Makes anonymous memory of huge pages, which must have been set aside: `MAP_HUGETLB` of `mmap(2)`. For
    /// [`Options::anonymous`] alone; a file is of huge pages if it lies on hugetlbfs, or is a
    /// [memfd](crate::memfd::Options::huge_pages).
    ///
    /// They are reserved when the memory is mapped. `vm.nr_hugepages` (0 by default) says how many are set aside of the
    /// default size, `vm.nr_overcommit_hugepages` (0) how many more the kernel may try to find.
    #[doc(alias = "MAP_HUGETLB")]
    pub fn huge_pages(mut self, pages: HugePages) -> Self {
        self.huge_pages = Some(pages);
        self
    }

    /// Makes memory without a file, with `mmap(2)`: [`Memory::anonymous`]. Of these options, the access, the
    /// preparation of the pages and huge pages are for it.
    ///
    /// ```
    /// use twixt_os::mmap::Options;
    /// // Nothing that happens in it later waits for a page.
    /// let memory = Options::new().populate().anonymous(1 << 20)?;
    /// memory.write(0, b"betwixt")?;
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// - Those of [`Memory::anonymous`].
    /// - [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_MEMLOCK`, if it was to be locked; too few huge pages are set
    ///   aside (`vm.nr_hugepages`).
    /// - [`Unsupported`](ErrorKind::Unsupported): there are no huge pages of that size.
    /// - [`InvalidInput`](ErrorKind::InvalidInput): an offset, a length or private sharing was asked for as well.
    pub fn anonymous(&self, len: usize) -> Result<Memory> {
        const OPERATION: &str = "map anonymous memory for";
        let refuse = |kind, why: &'static str| {
            Err(Error::refused(Mechanism::Mmap, OPERATION, Object::Unnamed, kind, why))
        };
        if (self.sharing, self.offset, self.len) != (Sharing::Shared, 0, None) {
            return refuse(ErrorKind::InvalidInput, "without a file it is shared and mapped whole");
        }
        let huge_page = match self.huge_pages {
            None => None,
            Some(pages) => match pages.size().and_then(|size| usize::try_from(size).ok()) {
                Some(size) => Some(size),
                None => return refuse(ErrorKind::Unsupported, "this machine has no huge pages of that size"),
            },
        };
        match Mapping::anonymous_with(len, self.access, self.prepare, huge_page) {
            Ok(mapping) => Ok(Memory::new(mapping, Mechanism::Mmap, Object::name("(anonymous)"))),
            Err(errno) if huge_page.is_some() && len > 0 => Err(huge_error(OPERATION, errno)
                .unwrap_or_else(|| self.map_error(OPERATION, Object::Unnamed, errno, len))),
            Err(errno) => Err(self.map_error(OPERATION, Object::Unnamed, errno, len)),
        }
    }

    /// Opens and maps an existing file, with `open(2)` and `mmap(2)`: [`MappedFile::open`].
    ///
    /// # Errors
    /// As [`MappedFile::open`]; [`OutOfRange`](ErrorKind::OutOfRange) if the part does not lie within the file;
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the offset is not a multiple of the page size, or huge pages were
    /// asked for; [`LimitReached`](ErrorKind::LimitReached) if it was to be locked, over `RLIMIT_MEMLOCK`.
    #[doc(alias = "mmap")]
    pub fn open(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        let path = path.as_ref();
        let file = regular::open(Mechanism::Mmap, path, self.open_flags())?;
        self.map_as(file, Object::path(path))
    }

    /// Creates a file of `len` bytes and maps it: [`MappedFile::create`].
    ///
    /// # Errors
    /// As [`MappedFile::create`] and [`Options::open`].
    pub fn create(&self, path: impl AsRef<Path>, len: usize) -> Result<MappedFile> {
        let (path, len) = (path.as_ref(), self.file_len(path.as_ref(), len)?);
        let file = self
            .make(path, len)
            .map_err(|errno| reserve_error(Mechanism::Mmap, "create", Object::path(path), errno, len))?;
        self.map_as(file, Object::path(path))
    }

    /// The same, with what `prepare` writes to the memory before the file has its name: whoever opens it finds that there.
    ///
    /// `prepare` may run twice, on another file the second time, where the file system has no `O_TMPFILE`.
    ///
    /// ```
    /// use twixt_os::mmap::Options;
    /// # let directory = twixt_testkit::scratch();
    /// # let path = directory.path().join("board");
    /// let board = Options::new().create_with(&path, 4096, |memory| memory.write(0, b"header"))?;
    /// assert_eq!(board.len(), 4096);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Options::create`], and that of `prepare`; then there is no file.
    pub fn create_with(
        &self,
        path: impl AsRef<Path>,
        len: usize,
        prepare: impl Fn(Arc<Memory>) -> Result<()>,
    ) -> Result<MappedFile> {
        let (path, size) = (path.as_ref(), self.file_len(path.as_ref(), len)?);
        let object = Object::path(path);
        let unprepared = Cell::new(None);
        let made = whole::create(path, self.mode, |file| {
            reserve(file, size)?;
            let mapping = Mapping::shared(file, 0, len, Access::ReadWrite)?;
            prepare(Arc::new(Memory::new(mapping, Mechanism::Mmap, object.clone()))).map_err(|error| {
                unprepared.set(Some(error));
                Errno::CANCELED
            })
        });
        match unprepared.take() {
            Some(error) => Err(error),
            None => {
                let (file, _) = made
                    .map_err(|errno| reserve_error(Mechanism::Mmap, "create", object.clone(), errno, size))?;
                self.map_as(file, object)
            }
        }
    }

    /// Maps a file that may or may not exist: [`MappedFile::open_or_create`].
    ///
    /// # Errors
    /// As [`MappedFile::open_or_create`] and [`Options::open`].
    pub fn open_or_create(&self, path: impl AsRef<Path>, len: usize) -> Result<MappedFile> {
        let (path, len) = (path.as_ref(), self.file_len(path.as_ref(), len)?);
        let file = self.find_or_make(path, len)?;
        let object = Object::path(path);
        let present = regular::len(file.as_fd())
            .map_err(|errno| Error::kernel(Mechanism::Mmap, "open", object.clone(), errno))?;
        if present < len {
            reserve(file.as_fd(), len)
                .map_err(|errno| reserve_error(Mechanism::Mmap, "grow", object.clone(), errno, len))?;
        }
        self.map_as(file, object)
    }

    /// Maps an open file, with `mmap(2)`: [`MappedFile::from_fd`].
    ///
    /// # Errors
    /// As [`MappedFile::from_fd`] and [`Options::open`].
    pub fn map(&self, file: OwnedFd) -> Result<MappedFile> {
        let object = Object::descriptor(file.as_fd());
        regular::check(Mechanism::Mmap, "map", &object, file.as_fd())?;
        self.map_as(file, object)
    }

    fn find_or_make(&self, path: &Path, len: u64) -> Result<OwnedFd> {
        // The file may come and go between the two attempts, but hardly this often without ill will.
        let mut tries = 0..16;
        loop {
            match regular::open(Mechanism::Mmap, path, self.open_flags() | OFlags::RDWR) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => return outcome,
            }
            match self.make(path, len) {
                Err(Errno::EXIST) if tries.next().is_some() => {}
                outcome => {
                    return outcome.map_err(|errno| {
                        reserve_error(Mechanism::Mmap, "create", Object::path(path), errno, len)
                    });
                }
            }
        }
    }

    fn make(&self, path: &Path, len: u64) -> Result<OwnedFd, Errno> {
        whole::create(path, self.mode, |file| reserve(file, len)).map(|(file, _)| file)
    }

    fn map_as(&self, file: OwnedFd, object: Object) -> Result<MappedFile> {
        let refuse =
            |kind, why: String| Err(Error::refused(Mechanism::Mmap, "map", object.clone(), kind, why));
        if self.huge_pages.is_some() {
            let why = "a file has huge pages if it lies on hugetlbfs, and no others";
            return refuse(ErrorKind::InvalidInput, why.to_owned());
        }
        let page = twixt_sys::mapping::page_size_of(file.as_fd());
        if !self.offset.is_multiple_of(page as u64) {
            let why = format!("the offset {} is not a multiple of the page size {page}", self.offset);
            return refuse(ErrorKind::InvalidInput, why);
        }
        let file_len = regular::len(file.as_fd())
            .map_err(|errno| Error::kernel(Mechanism::Mmap, "map", object.clone(), errno))?;
        if file_len == 0 {
            return refuse(ErrorKind::InvalidInput, "the file is empty".to_owned());
        }
        let rest = file_len.saturating_sub(self.offset);
        let wanted = self.len.map_or(rest, |len| len as u64);
        let len = match usize::try_from(wanted) {
            Ok(0) if self.len == Some(0) => {
                return refuse(ErrorKind::InvalidInput, "a mapping has at least one byte".to_owned());
            }
            Ok(len) if len > 0 && wanted <= rest => len,
            Err(_) if wanted <= rest => {
                return refuse(ErrorKind::OutOfRange, "it is longer than the address space".to_owned());
            }
            _ => {
                let why = format!(
                    "the file has {file_len} bytes, which is less than the offset {} and the length say",
                    self.offset
                );
                return refuse(ErrorKind::OutOfRange, why);
            }
        };
        let mapping = match self.sharing {
            Sharing::Shared => {
                Mapping::shared_with(file.as_fd(), self.offset, len, self.access, self.prepare)
            }
            Sharing::Private => {
                Mapping::private_with(file.as_fd(), self.offset, len, self.access, self.prepare)
            }
        };
        let mapping = mapping.map_err(|errno| self.map_error("map", object.clone(), errno, len))?;
        let memory = Memory::new(mapping, Mechanism::Mmap, object);
        Ok(MappedFile { file, memory, offset: self.offset, sharing: self.sharing, prepare: self.prepare })
    }

    /// What `mmap(2)` refused of these options.
    fn map_error(&self, operation: &'static str, object: Object, errno: Errno, len: usize) -> Error {
        let error = map_error(Mechanism::Mmap, operation, object, errno);
        match errno {
            Errno::AGAIN | Errno::PERM if self.prepare.contains(Prepare::LOCKED) => {
                let limit = Limit::rlimit("RLIMIT_MEMLOCK", Resource::Memlock).needed(len as u64);
                let advice =
                    "all locked memory of the process counts: raise it with `ulimit -l`, or lock less";
                error.with_kind(ErrorKind::LimitReached).with_limit(limit).with_advice(advice)
            }
            _ => error,
        }
    }

    fn open_flags(&self) -> OFlags {
        match (self.access, self.sharing) {
            (Access::ReadWrite, Sharing::Shared) => OFlags::RDWR,
            _ => OFlags::RDONLY,
        }
    }

    /// Checks the length of a file to be made.
    fn file_len(&self, path: &Path, len: usize) -> Result<u64> {
        let refuse =
            |kind, why| Err(Error::refused(Mechanism::Mmap, "create", Object::path(path), kind, why));
        match i64::try_from(len) {
            Ok(0) => refuse(ErrorKind::InvalidInput, "a mapped file has at least one byte"),
            Ok(len) => Ok(len.unsigned_abs()),
            Err(_) => refuse(ErrorKind::OutOfRange, "no file is that long"),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// What `mmap(2)` refused for want of huge pages.
fn huge_error(operation: &'static str, errno: Errno) -> Option<Error> {
    let error = Error::kernel(Mechanism::Mmap, operation, Object::Unnamed, errno);
    match errno {
        Errno::NOMEM => Some(
            error
                .with_kind(ErrorKind::LimitReached)
                .with_limit(Limit::sysctl("vm.nr_hugepages", 0))
                .with_advice("set huge pages aside with it (other sizes: /sys/kernel/mm/hugepages)"),
        ),
        Errno::INVAL => Some(
            error
                .with_kind(ErrorKind::Unsupported)
                .with_advice("/sys/kernel/mm/hugepages lists the sizes of huge pages there are"),
        ),
        _ => None,
    }
}

/// The length of a file that has `len` bytes from `offset` on, if the kernel has a number for it.
pub(super) fn end(offset: u64, len: usize) -> Option<u64> {
    let end = offset.checked_add(u64::try_from(len).ok()?)?;
    i64::try_from(end).is_ok().then_some(end)
}
