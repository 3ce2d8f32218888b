//! All values of a set at once: `GETALL`, `SETALL`.
//!
//! The kernel takes no length: it reads or writes as many values as the set has. An identifier may come to stand for
//! another, larger set between looking and asking (root can even choose it, in `/proc/sys/kernel/sem_next_id`), so no
//! check of the size can make a plain buffer safe. Here the buffer ends where a page without any access begins: too
//! large a set is `EFAULT` and nothing else.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

use crate::Errno;
use crate::call::checked;

/// `GETALL` of a set that has `values.len()` semaphores. `EFAULT` if it has more.
///
/// # Errors
/// Those of `semctl(2)`, and of `mmap(2)` for the buffer.
pub fn values(id: i32, values: &mut [u16]) -> Result<(), Errno> {
    let buffer = Guarded::new(values.len())?;
    let array = buffer.array();
    // SAFETY: the kernel writes values from `array` on; all memory up to the guard page is the buffer's, and at the
    // guard page the kernel stops with EFAULT.
    checked(unsafe { libc::semctl(id, 0, libc::GETALL, array) })?;
    // SAFETY: `array` points to `values.len()` aligned values within the buffer, which began as zeroes.
    unsafe { ptr::copy_nonoverlapping(array, values.as_mut_ptr(), values.len()) };
    Ok(())
}

/// `SETALL` of a set that has `values.len()` semaphores. `EFAULT`, and nothing is set, if it has more.
///
/// # Errors
/// Those of `semctl(2)`, and of `mmap(2)` for the buffer.
pub fn set_values(id: i32, values: &[u16]) -> Result<(), Errno> {
    let buffer = Guarded::new(values.len())?;
    let array = buffer.array();
    // SAFETY: `array` points to room for `values.len()` aligned values within the buffer.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), array, values.len()) };
    // SAFETY: the kernel reads values from `array` on, and stops with EFAULT at the guard page.
    checked(unsafe { libc::semctl(id, 0, libc::SETALL, array) }).map(drop)
}

/// Room for `len` values that ends exactly where an inaccessible page begins.
struct Guarded {
    base: NonNull<c_void>,
    guard_at: usize,
    page: usize,
    len: usize,
}

impl Guarded {
    fn new(len: usize) -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        let bytes = len.checked_mul(size_of::<u16>()).ok_or(Errno::NOMEM)?;
        let guard_at = bytes.max(1).checked_next_multiple_of(page).ok_or(Errno::NOMEM)?;
        let whole = guard_at.checked_add(page).ok_or(Errno::NOMEM)?;
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                whole,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        let base = NonNull::new(base).ok_or(Errno::FAULT)?;
        let buffer = Self { base, guard_at, page, len };
        // SAFETY: the last page of the range that was just mapped, to which no reference exists.
        unsafe { rustix::mm::mprotect(buffer.at(guard_at).cast(), page, MprotectFlags::empty()) }?;
        Ok(buffer)
    }

    fn array(&self) -> *mut u16 {
        self.at(self.guard_at - self.len * size_of::<u16>()).cast()
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.base.as_ptr().cast::<u8>().wrapping_add(offset)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the range is this value's own, and no pointer into it outlives the value.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr(), self.guard_at + self.page) };
    }
}
