//! What can be asked of a mapping as a whole or of its pages: `msync(2)`, `madvise(2)`, `mprotect(2)`, `mremap(2)`.

use core::ffi::c_void;
use core::ptr::NonNull;

use rustix::mm::{MprotectFlags, MremapFlags, MsyncFlags};

use super::{Access, Fault, Guard, Mapping, Origin};
use crate::Errno;

/// How `msync(2)` writes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Returns when the bytes are on the device: `MS_SYNC`.
    #[doc(alias = "MS_SYNC")]
    Wait,
    /// Returns at once; the kernel writes them when it sees fit, as it would have done anyway: `MS_ASYNC`.
    #[doc(alias = "MS_ASYNC")]
    Schedule,
}

/// What the pages will be used for: `madvise(2)`.
///
/// Left out are `MADV_DONTFORK` and `MADV_WIPEONFORK`, which would take the memory away from a value that the forked
/// child still has, and those that are for testing the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// No particular order.
    #[doc(alias = "MADV_NORMAL")]
    Normal,
    /// In random order: read nothing ahead.
    #[doc(alias = "MADV_RANDOM")]
    Random,
    /// In ascending order: read much ahead, and drop soon after.
    #[doc(alias = "MADV_SEQUENTIAL")]
    Sequential,
    /// Soon: read it in now.
    #[doc(alias = "MADV_WILLNEED")]
    WillNeed,
    /// Not soon: drop the pages of this process. Those of a shared mapping stay in the file; those that a private
    /// mapping has written lose what was written.
    #[doc(alias = "MADV_DONTNEED")]
    DontNeed,
    /// Never again: free the memory and, in a file, its space (a hole, which reads as zeros). For tmpfs, memfd and
    /// the file systems that can punch holes.
    #[doc(alias = "MADV_REMOVE")]
    Remove,
    /// Use transparent huge pages.
    #[doc(alias = "MADV_HUGEPAGE")]
    HugePage,
    /// Use no transparent huge pages.
    #[doc(alias = "MADV_NOHUGEPAGE")]
    NoHugePage,
    /// Leave it out of core dumps.
    #[doc(alias = "MADV_DONTDUMP")]
    DontDump,
    /// Put it into core dumps.
    #[doc(alias = "MADV_DODUMP")]
    DoDump,
    /// Reclaim these pages before others when memory is short. Since Linux 5.4.
    #[doc(alias = "MADV_COLD")]
    Cold,
    /// Reclaim these pages now. Since Linux 5.4.
    #[doc(alias = "MADV_PAGEOUT")]
    PageOut,
    /// Fault the pages in for reading, as an error (`EFAULT`) where that cannot be. Since Linux 5.14.
    #[doc(alias = "MADV_POPULATE_READ")]
    PopulateRead,
    /// Fault the pages in for writing. Since Linux 5.14.
    #[doc(alias = "MADV_POPULATE_WRITE")]
    PopulateWrite,
}

impl Mapping {
    /// `msync(2)`: writes the bytes from `offset` on back to the file. Whole pages are written.
    ///
    /// # Errors
    /// `EINVAL` if the bytes do not lie within the mapping, `EIO` from the device.
    pub fn flush(&self, offset: usize, len: usize, how: Flush) -> Result<(), Errno> {
        let (at, len) = self.pages(offset, len)?;
        let flags = match how {
            Flush::Wait => MsyncFlags::SYNC,
            Flush::Schedule => MsyncFlags::ASYNC,
        };
        // SAFETY: the pages are this mapping's, and writing them back changes none.
        unsafe { rustix::mm::msync(at, len, flags) }
    }

    /// `madvise(2)` on the pages that contain the bytes from `offset` on.
    ///
    /// # Errors
    /// `EINVAL` if the bytes do not lie within the mapping, or if the kernel or the kind of memory does not know the
    /// advice; others as `madvise(2)` says.
    pub fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), Errno> {
        let (at, len) = self.pages(offset, len)?;
        // SAFETY: the pages are this mapping's and stay mapped. What the advice may do to their bytes is what another
        // process could do as well, and every access allows for that.
        unsafe { rustix::mm::madvise(at, len, advice.into()) }
    }

    /// `mprotect(2)` on the whole mapping. Takes it exclusively, so no atomic borrowed for writing remains.
    ///
    /// # Errors
    /// `EACCES` if the descriptor that a shared mapping was made from was not open for writing, or a seal forbids it.
    pub fn protect(&mut self, access: Access) -> Result<(), Errno> {
        let flags = match access {
            Access::ReadOnly => MprotectFlags::READ,
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        let base = self.base.as_ptr().cast::<c_void>();
        // SAFETY: the range is this mapping's. No reference into it exists while it is borrowed exclusively, and later
        // accesses are checked against the new protection.
        unsafe { rustix::mm::mprotect(base, self.mapped, flags) }?;
        self.access = access;
        Ok(())
    }

    /// `mremap(2)`: maps `len` bytes of the same file from the same offset on. The address may change.
    ///
    /// Bytes past the end of the file read as zeros and make every access fail with [`Fault::Truncated`]: let the file
    /// grow first.
    ///
    /// # Errors
    /// `EINVAL` for a length of 0, for memory that is no file's (a segment, or anonymous memory, which cannot grow),
    /// and on kernels before 5.16 for huge pages. `EFAULT` once the mapping was found truncated. On error
    /// the mapping is as it was.
    pub fn remap(&mut self, len: usize) -> Result<(), Errno> {
        if self.origin != Origin::File || len == 0 {
            return Err(Errno::INVAL);
        }
        if self.check() == Err(Fault::Truncated) {
            return Err(Errno::FAULT);
        }
        let mapped = len.checked_next_multiple_of(self.page).ok_or(Errno::NOMEM)?;
        // Out of the registry while the range moves: meanwhile its addresses may become somebody else's.
        let was_guarded = self.guard.take().is_some();
        let base = self.base.as_ptr().cast::<c_void>();
        // SAFETY: the range is this mapping's, and no reference into it exists while it is borrowed exclusively.
        let moved = unsafe { rustix::mm::mremap(base, self.mapped, mapped, MremapFlags::MAYMOVE) };
        let moved = match moved {
            Ok(moved) => NonNull::new(moved.cast()).ok_or(Errno::FAULT),
            Err(errno) => Err(errno),
        };
        // A mapping of a sealed file needs no guard for the part that it had; it was not checked for more.
        let needs_guard = was_guarded || mapped > self.mapped;
        let outcome = moved.map(|base| {
            (self.base, self.len, self.mapped) = (base, len, mapped);
        });
        if needs_guard {
            self.guard = Some(Guard::new(self.address(), self.address() + self.mapped, self.page)?);
        }
        outcome
    }

    /// The whole pages around a range, as the kernel wants them.
    fn pages(&self, offset: usize, len: usize) -> Result<(*mut c_void, usize), Errno> {
        let before = offset % self.page;
        self.range(offset, len).map_err(|_out_of_bounds| Errno::INVAL)?;
        let at = self.range(offset - before, 0).map_err(|_out_of_bounds| Errno::INVAL)?;
        Ok((at.cast(), len + before))
    }
}

impl From<Advice> for rustix::mm::Advice {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::Normal => Self::Normal,
            Advice::Random => Self::Random,
            Advice::Sequential => Self::Sequential,
            Advice::WillNeed => Self::WillNeed,
            Advice::DontNeed => Self::LinuxDontNeed,
            Advice::Remove => Self::LinuxRemove,
            Advice::HugePage => Self::LinuxHugepage,
            Advice::NoHugePage => Self::LinuxNoHugepage,
            Advice::DontDump => Self::LinuxDontDump,
            Advice::DoDump => Self::LinuxDoDump,
            Advice::Cold => Self::LinuxCold,
            Advice::PageOut => Self::LinuxPageOut,
            Advice::PopulateRead => Self::LinuxPopulateRead,
            Advice::PopulateWrite => Self::LinuxPopulateWrite,
        }
    }
}
