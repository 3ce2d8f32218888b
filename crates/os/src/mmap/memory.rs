//! Mapped memory, with errors that say whose.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use twixt_sys::Fault;

use super::{Access, Advice, Flush, Mapping, fault_error, map_error};
use crate::error::OutOfBounds;
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result};

/// Memory that other processes may read and write at the same time.
///
/// ```
/// use std::sync::atomic::Ordering;
/// use twixt_os::mmap::Memory;
///
/// let memory = Memory::anonymous(4096)?;
/// memory.write(100, b"betwixt")?;
/// memory.atomic_u32(0)?.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(memory.load_u32(0, Ordering::Relaxed)?, 1);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// Each access is checked against the bounds and the protection, and fails with
/// [`OutOfRange`](ErrorKind::OutOfRange), [`PermissionDenied`](ErrorKind::PermissionDenied) (a write to read-only
/// memory) or [`Truncated`](ErrorKind::Truncated). Once a part of the memory was found missing *every* access
/// fails with the last, since what else is there may be as unexpected.
///
/// Dropping it unmaps it (`munmap(2)`), or detaches a System V segment (`shmdt(2)`).
#[derive(Debug)]
#[doc(alias = "munmap")]
pub struct Memory {
    mapping: Mapping,
    mechanism: Mechanism,
    object: Object,
}

impl Memory {
    /// `mmap(MAP_SHARED | MAP_ANONYMOUS)`: `len` zero bytes, which processes share that are made by `fork(2)` from now
    /// on. It has no file and no name. [`Options::anonymous`](super::Options::anonymous) populates it at once, locks
    /// it, or makes it of huge pages.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a length of 0, [`NoSpace`](ErrorKind::NoSpace) or
    /// [`LimitReached`](ErrorKind::LimitReached) (`RLIMIT_AS`, unlimited by default) if there is no room.
    #[doc(alias = "mmap")]
    #[doc(alias = "MAP_ANONYMOUS")]
    pub fn anonymous(len: usize) -> Result<Self> {
        let mapping = Mapping::anonymous(len, Access::ReadWrite).map_err(|errno| {
            map_error(Mechanism::Mmap, "map anonymous memory for", Object::Unnamed, errno)
        })?;
        Ok(Self::new(mapping, Mechanism::Mmap, Object::name("(anonymous)")))
    }

    pub(crate) fn new(mapping: Mapping, mechanism: Mechanism, object: Object) -> Self {
        Self { mapping, mechanism, object }
    }

    /// The number of bytes.
    #[allow(clippy::len_without_is_empty, reason = "the kernel maps no empty range")]
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// What it may be used for.
    pub fn access(&self) -> Access {
        self.mapping.access()
    }

    /// The address of the first byte in this process: what `/proc/PID/maps` shows.
    pub fn address(&self) -> usize {
        self.mapping.address()
    }

    /// The size of its pages in bytes; more than the usual for huge ones.
    pub fn page_size(&self) -> usize {
        self.mapping.page_size()
    }

    /// The mapping itself, for waiting on its words (`futex(2)`).
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Copies `into.len()` bytes out, starting at `offset`.
    ///
    /// # Errors
    /// As for every access; see the type. After [`Truncated`](ErrorKind::Truncated), `into` holds what was still
    /// there, and zeros.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let len = into.len();
        self.mapping.read(offset, into).map_err(|fault| self.access_fault("read from", fault, offset, len))
    }

    /// Copies `from` in, starting at `offset`. Others may see the bytes arrive in any order.
    ///
    /// # Errors
    /// As for every access; see the type.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<()> {
        self.mapping
            .write(offset, from)
            .map_err(|fault| self.access_fault("write to", fault, offset, from.len()))
    }

    /// Loads the 32-bit word at `offset`, a multiple of 4.
    ///
    /// # Errors
    /// As for every access; [`InvalidInput`](ErrorKind::InvalidInput) for other offsets.
    pub fn load_u32(&self, offset: usize, order: Ordering) -> Result<u32> {
        self.mapping.load_u32(offset, order).map_err(|fault| self.access_fault("read from", fault, offset, 4))
    }

    /// Loads the 64-bit word at `offset`, a multiple of 8.
    ///
    /// # Errors
    /// As [`Memory::load_u32`].
    pub fn load_u64(&self, offset: usize, order: Ordering) -> Result<u64> {
        self.mapping.load_u64(offset, order).map_err(|fault| self.access_fault("read from", fault, offset, 8))
    }

    /// The byte at `offset` as an atomic.
    ///
    /// If the memory goes missing while it is borrowed, loads give 0 and stores go nowhere: [`Memory::check`] tells.
    ///
    /// # Errors
    /// As for every access.
    pub fn atomic_u8(&self, offset: usize) -> Result<&AtomicU8> {
        self.mapping.atomic_u8(offset).map_err(|fault| self.access_fault("use a byte of", fault, offset, 1))
    }

    /// The 32-bit word at `offset`, a multiple of 4, as an atomic. See [`Memory::atomic_u8`].
    ///
    /// # Errors
    /// As [`Memory::load_u32`].
    pub fn atomic_u32(&self, offset: usize) -> Result<&AtomicU32> {
        self.mapping.atomic_u32(offset).map_err(|fault| self.access_fault("use a word of", fault, offset, 4))
    }

    /// The 64-bit word at `offset`, a multiple of 8, as an atomic. See [`Memory::atomic_u8`].
    ///
    /// # Errors
    /// As [`Memory::load_u32`].
    pub fn atomic_u64(&self, offset: usize) -> Result<&AtomicU64> {
        self.mapping.atomic_u64(offset).map_err(|fault| self.access_fault("use a word of", fault, offset, 8))
    }

    /// Whether any access so far, of any thread, found memory missing. For code that has borrowed an atomic; the other
    /// accesses look by themselves.
    ///
    /// # Errors
    /// [`Truncated`](ErrorKind::Truncated).
    pub fn check(&self) -> Result<()> {
        self.mapping.check().map_err(|fault| self.fault("use", fault))
    }

    /// `msync(2)`: returns when all that was written is on the device.
    ///
    /// Other processes see it anyway; this is against a crash of the machine.
    ///
    /// # Errors
    /// [`Other`](ErrorKind::Other) with `EIO` if the device failed; [`Truncated`](ErrorKind::Truncated) if part of the
    /// memory was found missing, and what was written there with it.
    #[doc(alias = "msync")]
    pub fn flush(&self) -> Result<()> {
        self.flush_range(0, self.len(), Flush::Wait)
    }

    /// `msync(2)` on the pages that hold `len` bytes from `offset` on, waiting for the device or not.
    ///
    /// # Errors
    /// As [`Memory::flush`]; [`OutOfRange`](ErrorKind::OutOfRange).
    pub fn flush_range(&self, offset: usize, len: usize, how: Flush) -> Result<()> {
        self.check_range("flush", offset, len)?;
        self.mapping.flush(offset, len, how).map_err(|errno| self.error("flush", errno))?;
        self.mapping.check().map_err(|fault| self.fault("flush", fault))
    }

    /// `madvise(2)` on the pages that hold `len` bytes from `offset` on.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the kernel or this kind of memory does not know the advice;
    /// [`OutOfRange`](ErrorKind::OutOfRange); [`Truncated`](ErrorKind::Truncated) from [`Advice::PopulateRead`] and
    /// [`Advice::PopulateWrite`] if pages are missing.
    #[doc(alias = "madvise")]
    pub fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<()> {
        self.check_range("advise on", offset, len)?;
        let populates = matches!(advice, Advice::PopulateRead | Advice::PopulateWrite);
        self.mapping.advise(offset, len, advice).map_err(|errno| match errno {
            Errno::FAULT if populates => self.fault("advise on", Fault::Truncated),
            Errno::INVAL => self.error("advise on", errno).with_kind(ErrorKind::Unsupported),
            _ => self.error("advise on", errno),
        })
    }

    /// `mprotect(2)`: makes it read-only, or writable again if what it was mapped from was open for that.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if it was not.
    #[doc(alias = "mprotect")]
    pub fn protect(&mut self, access: Access) -> Result<()> {
        let Self { mapping, mechanism, object } = self;
        mapping.protect(access).map_err(|errno| map_error(*mechanism, "protect", object.clone(), errno))
    }

    pub(super) fn remap(&mut self, operation: &'static str, len: usize) -> Result<()> {
        let Self { mapping, mechanism, object } = self;
        mapping.remap(len).map_err(|errno| map_error(*mechanism, operation, object.clone(), errno))
    }

    pub(super) fn replace(&mut self, mapping: Mapping) {
        self.mapping = mapping;
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    pub(super) fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(self.mechanism, operation, self.object.clone(), errno)
    }

    pub(super) fn refused(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(self.mechanism, operation, self.object.clone(), kind, why)
    }

    pub(super) fn too_long(&self, operation: &'static str) -> Error {
        self.refused(operation, ErrorKind::OutOfRange, "it would be longer than the address space")
    }

    fn fault(&self, operation: &'static str, fault: Fault) -> Error {
        fault_error(self.mechanism, operation, self.object.clone(), fault)
    }

    /// An access to `len` bytes at `offset` was refused.
    #[cold]
    fn access_fault(&self, operation: &'static str, fault: Fault, offset: usize, len: usize) -> Error {
        match fault {
            Fault::OutOfBounds => {
                let bytes = OutOfBounds { offset, len, size: self.len() };
                Error::out_of_bounds(self.mechanism, operation, self.object.clone(), bytes)
            }
            _ => self.fault(operation, fault),
        }
    }

    fn check_range(&self, operation: &'static str, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(self.access_fault(operation, Fault::OutOfBounds, offset, len)),
        }
    }
}
