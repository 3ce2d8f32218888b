//! Memory that other processes write too.
//!
//! A [`Mapping`] never hands out `&[u8]` or `&mut [u8]`: another process may change the bytes at any moment, and
//! a Rust reference promises that none does. Bytes go in and out through copies made of relaxed atomic accesses,
//! and words are shared as atomics. Every offset is checked, whoever it came from.
//!
//! # When another process truncates the file
//!
//! Touching a page that the file has no more of raises SIGBUS, which by default ends the process. A mapping of a file
//! that may be truncated therefore comes with a SIGBUS handler, installed for the first such mapping: it puts zeros in the
//! place of the missing page, and the access fails with [`Fault::Truncated`], as do all later ones. What to know of it:
//!
//! - The handler passes on every SIGBUS that is not about such a mapping to the disposition that it replaced. A handler
//!   that the program installs *later* takes its place and should pass on in the same way, or there is no protection;
//!   [`is_guarding`] tells.
//! - It runs on the alternate signal stack of a thread that has one (`sigaltstack(2)`), as the threads of Rust do.
//! - A thread that has SIGBUS *blocked* is killed by the kernel: a handler cannot run there. Leave SIGBUS, as
//!   SIGSEGV, out of the masks that block "all" signals.
//! - A system call that is given the address (a futex wait) fails with `EFAULT` instead.
//! - Loads through a borrowed atomic ([`Mapping::atomic_u32`]) give zero once the page is missing, and stores
//!   go nowhere: whoever waits for a value to change should wait for a bounded time and ask [`Mapping::check`].
//! - The kernel raises the same signal when a page of a sparse file cannot be had, because the file system is full or
//!   the device fails to read it. It comes out as the same fault: reserve space before mapping.
//! - A file that grows again does not cure the mapping; make a new one.
//!
//! Memory that cannot be truncated (anonymous, System V, a memfd sealed against shrinking) needs none of this.
//!
//! ```
//! use twixt_sys::{Access, Mapping};
//! let memory = Mapping::anonymous(4096, Access::ReadWrite)?;
//! memory.write(10, b"between").unwrap();
//! let mut word = [0; 7];
//! memory.read(10, &mut word).unwrap();
//! assert_eq!(&word, b"between");
//! # Ok::<(), twixt_sys::Errno>(())
//! ```

use core::ffi::c_void;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::os::fd::BorrowedFd;

use bitflags::bitflags;
use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::Errno;

mod control;
mod copy;
mod guard;

pub use control::{Advice, Flush};
pub use guard::is_guarding;

use guard::Guard;

/// What the memory may be used for. The kernel enforces it, and [`Mapping`] checks it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; the descriptor needs read permission only.
    #[doc(alias = "PROT_READ")]
    ReadOnly,
    /// Reading and writing.
    #[doc(alias = "PROT_WRITE")]
    ReadWrite,
}

bitflags! {
    /// What `mmap(2)` does to the pages before it returns.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Prepare: u32 {
        /// `MAP_POPULATE`: has them read in, or filled with zeros. What cannot be had is left out, and no error.
        const POPULATE = libc::MAP_POPULATE.cast_unsigned();
        /// `MAP_LOCKED`: the same, and keeps them out of the swap space.
        const LOCKED = libc::MAP_LOCKED.cast_unsigned();
    }
}

impl Prepare {
    fn flags(self) -> MapFlags {
        MapFlags::from_bits_retain(self.bits())
    }
}

/// Why an access to a [`Mapping`] was refused. Nothing was read or written, unless it is [`Fault::Truncated`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes asked for do not lie within the mapping.
    OutOfBounds,
    /// A write to a mapping whose [`Access`] is read-only.
    ReadOnly,
    /// An atomic word at an offset that is not a multiple of its size.
    Misaligned,
    /// Another process shortened the file underneath: part of the mapping has no memory behind it any more.
    Truncated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfBounds => "the bytes lie outside the mapping",
            Self::ReadOnly => "the mapping is read-only",
            Self::Misaligned => "the offset is not a multiple of the word's size",
            Self::Truncated => "another process truncated the object behind the mapping",
        })
    }
}

impl std::error::Error for Fault {}

/// How the memory came to be, which decides how it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// `mmap(2)` of a file; goes with `munmap(2)`.
    File,
    /// `mmap(2)` of no file; goes with `munmap(2)`.
    Anonymous,
    /// `shmat(2)`; goes with `shmdt(2)`.
    Attach,
}

/// A range of memory that other processes may read and write at the same time.
///
/// Unmapped (or detached) when dropped. After `fork` both processes have it.
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// What `munmap` takes: `len` in whole pages.
    mapped: usize,
    page: usize,
    access: Access,
    origin: Origin,
    /// There for memory that another process can take away.
    guard: Option<Guard>,
}

// SAFETY: the range belongs to this value alone until `drop`, and nothing about it is tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: every access through `&self` is an atomic one, so threads may make them at the same time. What it means if two
// such accesses to the same bytes have different sizes (a copy's words and a borrowed atomic), the language leaves
// open, as it does for all memory that processes share; no processor that Linux runs on does more than mix the bytes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `mmap(MAP_SHARED)` of `len` bytes of a file, from `offset` (a multiple of the page size) on.
    ///
    /// # Errors
    /// Those of `mmap(2)`: `EINVAL` for a length of 0 or an offset within a page, `EACCES`, `ENOMEM`.
    pub fn shared(fd: BorrowedFd<'_>, offset: u64, len: usize, access: Access) -> Result<Self, Errno> {
        Self::shared_with(fd, offset, len, access, Prepare::empty())
    }

    /// [`Mapping::shared`], with its pages prepared.
    ///
    /// # Errors
    /// As [`Mapping::shared`]; with [`Prepare::LOCKED`] also `EAGAIN` over `RLIMIT_MEMLOCK`, and `EPERM` where that is 0.
    pub fn shared_with(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        access: Access,
        prepare: Prepare,
    ) -> Result<Self, Errno> {
        Self::of_file(fd, offset, len, access, MapFlags::SHARED | prepare.flags())
    }

    /// `mmap(MAP_PRIVATE)`: writes stay in this process (copy on write).
    ///
    /// # Errors
    /// As [`Mapping::shared`].
    pub fn private(fd: BorrowedFd<'_>, offset: u64, len: usize, access: Access) -> Result<Self, Errno> {
        Self::private_with(fd, offset, len, access, Prepare::empty())
    }

    /// [`Mapping::private`], with its pages prepared as in [`Mapping::shared_with`].
    ///
    /// # Errors
    /// As [`Mapping::shared_with`].
    pub fn private_with(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        access: Access,
        prepare: Prepare,
    ) -> Result<Self, Errno> {
        Self::of_file(fd, offset, len, access, MapFlags::PRIVATE | prepare.flags())
    }

    fn of_file(
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        access: Access,
        flags: MapFlags,
    ) -> Result<Self, Errno> {
        let page = page_size_of(fd);
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses. The flags do not make it do
        // otherwise.
        let base = unsafe { rustix::mm::mmap(ptr::null_mut(), len, protection(access), flags, fd, offset) };
        let mut mapping = Self::adopt(base?, len, page, access, Origin::File)?;
        // A huge page can be missing all the same: a hole that somebody punches gives it back to a pool that may then
        // be empty.
        let is_huge = page != rustix::param::page_size();
        if is_huge || !always_has(fd, offset, len) {
            let start = mapping.address();
            mapping.guard = Some(Guard::new(start, start + mapping.mapped, page)?);
        }
        Ok(mapping)
    }

    /// `mmap(MAP_SHARED | MAP_ANONYMOUS)`: zeroed memory shared with the children that `fork` will make.
    ///
    /// # Errors
    /// `EINVAL` for a length of 0; `ENOMEM`.
    pub fn anonymous(len: usize, access: Access) -> Result<Self, Errno> {
        Self::anonymous_with(len, access, Prepare::empty(), None)
    }

    /// [`Mapping::anonymous`], with its pages prepared as in [`Mapping::shared_with`], or of huge pages of this many
    /// bytes (`MAP_HUGETLB`).
    ///
    /// # Errors
    /// As [`Mapping::anonymous`] and [`Mapping::shared_with`]; `EINVAL` if there are no huge pages of that size, `ENOMEM`
    /// if too few are set aside.
    pub fn anonymous_with(
        len: usize,
        access: Access,
        prepare: Prepare,
        huge_page: Option<usize>,
    ) -> Result<Self, Errno> {
        let mut flags = MapFlags::SHARED | prepare.flags();
        let page = match huge_page {
            Some(page) if !page.is_power_of_two() => return Err(Errno::INVAL),
            Some(page) => {
                flags |= MapFlags::HUGETLB;
                flags |= MapFlags::from_bits_retain(page.trailing_zeros() << libc::MAP_HUGE_SHIFT);
                page
            }
            None => rustix::param::page_size(),
        };
        // What `munmap` will need must have a number.
        len.checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
        // SAFETY: as in `of_file`.
        let base = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, protection(access), flags) };
        let mut mapping = Self::adopt(base?, len, page, access, Origin::Anonymous)?;
        if huge_page.is_some() {
            // As in `of_file`: a hole punched into it gives pages back.
            let start = mapping.address();
            mapping.guard = Some(Guard::new(start, start + mapping.mapped, page)?);
        }
        Ok(mapping)
    }

    /// Takes over a segment that `shmat(2)` attached at `base`.
    pub(crate) fn attached(base: *mut c_void, len: usize, access: Access) -> Result<Self, Errno> {
        Self::adopt(base, len, rustix::param::page_size(), access, Origin::Attach)
    }

    fn adopt(
        base: *mut c_void,
        len: usize,
        page: usize,
        access: Access,
        origin: Origin,
    ) -> Result<Self, Errno> {
        let base = NonNull::new(base.cast()).ok_or(Errno::FAULT)?;
        let mapped = len.next_multiple_of(page);
        Ok(Self { base, len, mapped, page, access, origin, guard: None })
    }

    /// Whether all memory is there, as far as accesses have found out: [`Fault::Truncated`] if one has not found it.
    ///
    /// For code that has borrowed an atomic; the other accesses do this themselves.
    ///
    /// # Errors
    /// [`Fault::Truncated`]
    pub fn check(&self) -> Result<(), Fault> {
        match &self.guard {
            Some(guard) if guard.is_truncated() => Err(Fault::Truncated),
            _ => Ok(()),
        }
    }

    /// The size of the pages that the memory comes in, which `mmap(2)` wants offsets to be multiples of.
    pub fn page_size(&self) -> usize {
        self.page
    }

    /// The number of bytes that may be accessed.
    #[allow(clippy::len_without_is_empty, reason = "the kernel maps no empty range")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What the mapping may be used for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The address of the first byte in this process, for display and for comparing with `/proc/PID/maps`.
    pub fn address(&self) -> usize {
        self.base.as_ptr().addr()
    }

    /// Copies `into.len()` bytes out, starting at `offset`.
    ///
    /// After [`Fault::Truncated`] those that were there have been copied, and the others are zeros.
    ///
    /// Bytes that another process, or another thread of this one, writes meanwhile may come out old, new or mixed.
    ///
    /// # Errors
    /// [`Fault::OutOfBounds`], [`Fault::Truncated`]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Fault> {
        let from = self.range(offset, into.len())?;
        // SAFETY: `range` proved that `into.len()` bytes from there are mapped, and they stay so while `self` lives.
        unsafe { copy::out_of_shared(from, into) };
        self.check()
    }

    /// Copies `from` in, starting at `offset`. Others may see the bytes arrive in any order.
    ///
    /// # Errors
    /// [`Fault::OutOfBounds`], [`Fault::ReadOnly`], [`Fault::Truncated`]
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), Fault> {
        let into = self.writable(offset, from.len())?;
        // SAFETY: `writable` proved that `from.len()` bytes from there are mapped for writing.
        unsafe { copy::into_shared(from, into) };
        self.check()
    }

    /// The byte at `offset` as an atomic; needs write access.
    ///
    /// # Errors
    /// As [`Mapping::write`].
    pub fn atomic_u8(&self, offset: usize) -> Result<&AtomicU8, Fault> {
        let at = self.writable(offset, 1)?;
        self.check()?;
        // SAFETY: in bounds, mapped for writing while `self` is borrowed, and accessed by atomics only.
        Ok(unsafe { AtomicU8::from_ptr(at) })
    }

    /// The 32-bit word at `offset` (a multiple of 4) as an atomic; needs write access.
    ///
    /// # Errors
    /// As [`Mapping::write`]; [`Fault::Misaligned`].
    pub fn atomic_u32(&self, offset: usize) -> Result<&AtomicU32, Fault> {
        let at = self.aligned::<u32>(self.writable(offset, 4)?)?;
        self.check()?;
        // SAFETY: in bounds, aligned, mapped for writing while `self` is borrowed, and accessed by atomics only.
        Ok(unsafe { AtomicU32::from_ptr(at) })
    }

    /// The 64-bit word at `offset` (a multiple of 8) as an atomic; needs write access.
    ///
    /// # Errors
    /// As [`Mapping::atomic_u32`].
    pub fn atomic_u64(&self, offset: usize) -> Result<&AtomicU64, Fault> {
        let at = self.aligned::<u64>(self.writable(offset, 8)?)?;
        self.check()?;
        // SAFETY: as in `atomic_u32`.
        Ok(unsafe { AtomicU64::from_ptr(at) })
    }

    /// The `count` 64-bit words from `offset` (a multiple of 8) on as atomics; needs write access.
    ///
    /// For code that goes through many of them: the range is checked once, here. Nothing is checked later: of memory that
    /// somebody may truncate, ask [`Mapping::check`] before relying on what was loaded.
    ///
    /// # Errors
    /// As [`Mapping::atomic_u32`].
    pub fn words(&self, offset: usize, count: usize) -> Result<&[AtomicU64], Fault> {
        let len = count.checked_mul(size_of::<u64>()).ok_or(Fault::OutOfBounds)?;
        let at = self.aligned::<AtomicU64>(self.writable(offset, len)?)?;
        self.check()?;
        // SAFETY: `writable` proved that `count` words from there are mapped for writing while `self` is borrowed, which is
        // less than `isize::MAX` bytes as all that is mapped, and they are aligned; an `AtomicU64` is like a `u64` in
        // memory, every value is one of its, and they are accessed by atomics only.
        Ok(unsafe { core::slice::from_raw_parts(at, count) })
    }

    /// Loads the 32-bit word at `offset` (a multiple of 4); works on read-only mappings too.
    ///
    /// # Errors
    /// As [`Mapping::read`]; [`Fault::Misaligned`].
    pub fn load_u32(&self, offset: usize, order: Ordering) -> Result<u32, Fault> {
        let at = self.aligned::<u32>(self.range(offset, 4)?)?;
        // SAFETY: in bounds and aligned; the reference lives for this statement and is only loaded from: relaxed where
        // the pages are read-only.
        let word = self.load(order, |order| unsafe { AtomicU32::from_ptr(at) }.load(order));
        self.check().map(|()| word)
    }

    /// Loads the 64-bit word at `offset` (a multiple of 8); works on read-only mappings too.
    ///
    /// # Errors
    /// As [`Mapping::load_u32`].
    pub fn load_u64(&self, offset: usize, order: Ordering) -> Result<u64, Fault> {
        let at = self.aligned::<u64>(self.range(offset, 8)?)?;
        // SAFETY: as in `load_u32`.
        let word = self.load(order, |order| unsafe { AtomicU64::from_ptr(at) }.load(order));
        self.check().map(|()| word)
    }

    /// Loads in the given order, with fences in the place of stronger loads where the pages are read-only: of such
    /// memory the language promises that a relaxed load works, and of no other.
    fn load<T>(&self, order: Ordering, load: impl FnOnce(Ordering) -> T) -> T {
        match (self.access, order) {
            (Access::ReadOnly, Ordering::Acquire | Ordering::SeqCst) => {
                if order == Ordering::SeqCst {
                    fence(Ordering::SeqCst);
                }
                let word = load(Ordering::Relaxed);
                // Pairs with the Release of whoever stored the word, most likely another process.
                fence(Ordering::Acquire);
                word
            }
            _ => load(order),
        }
    }

    /// A pointer to `len` bytes at `offset`, for the system calls of this crate.
    pub(crate) fn range(&self, offset: usize, len: usize) -> Result<*mut u8, Fault> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => {}
            _ => return Err(Fault::OutOfBounds),
        }
        // SAFETY: `offset <= self.len`, so the result stays within the mapped range or one past its end.
        Ok(unsafe { self.base.as_ptr().add(offset) })
    }

    fn writable(&self, offset: usize, len: usize) -> Result<*mut u8, Fault> {
        match self.access {
            Access::ReadWrite => self.range(offset, len),
            Access::ReadOnly => Err(Fault::ReadOnly),
        }
    }

    fn aligned<T>(&self, at: *mut u8) -> Result<*mut T, Fault> {
        let at = at.cast::<T>();
        if at.is_aligned() { Ok(at) } else { Err(Fault::Misaligned) }
    }
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::ReadOnly => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    }
}

/// The size of the pages that a file comes in: huge ones on hugetlbfs, where `munmap` too takes only whole ones.
pub fn page_size_of(fd: BorrowedFd<'_>) -> usize {
    let base = rustix::param::page_size();
    match rustix::fs::fstatfs(fd) {
        Ok(stat) if stat.f_type == libc::HUGETLBFS_MAGIC => {
            usize::try_from(stat.f_bsize).ok().filter(|page| page.is_power_of_two()).unwrap_or(base)
        }
        _ => base,
    }
}

/// Whether the file has these bytes and a seal, which nobody can remove, keeps it from ever having fewer.
fn always_has(fd: BorrowedFd<'_>, offset: u64, len: usize) -> bool {
    let sealed = rustix::fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
    // The size is asked for after the seals: before, a peer could have shrunk the file in between.
    sealed
        && rustix::fs::fstat(fd).is_ok_and(|stat| {
            end.is_some_and(|end| u64::try_from(stat.st_size).is_ok_and(|size| end <= size))
        })
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First out of the registry: once unmapped, the addresses may become somebody else's.
        self.guard = None;
        let base = self.base.as_ptr().cast::<c_void>();
        // Neither call can fail for a range that it made itself, and there is nobody to tell if it did.
        match self.origin {
            // SAFETY: the range is this value's own, and no borrow of it outlives the value.
            Origin::File | Origin::Anonymous => _ = unsafe { rustix::mm::munmap(base, self.mapped) },
            // SAFETY: as above; `base` is what `shmat` returned.
            Origin::Attach => _ = unsafe { libc::shmdt(base) },
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({} bytes at {:#x}, {:?})", self.len, self.address(), self.access)
    }
}
