//! A value that the kernel sets to zero in every forked child: `MADV_WIPEONFORK`, since Linux 4.14.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::Errno;

/// What can be kept in a [`Wiped`].
///
/// # Safety
/// All zeros are a valid value, and whoever uses it expects any bytes of it to have become zero with a fork. Being
/// `Sync`, it is used by all threads and by signal handlers at the same time, so it consists of atomics only.
pub(crate) unsafe trait Wipeable: Sync {}

// SAFETY: an atomic integer, of which 0 is a value.
unsafe impl Wipeable for AtomicU64 {}

/// A static value, all zero at first and again in each forked child.
pub(crate) struct Wiped<T> {
    page: AtomicPtr<T>,
}

impl<T: Wipeable> Wiped<T> {
    /// Without a page yet.
    pub(crate) const fn new() -> Self {
        Self { page: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The value, once it was made. Async-signal-safe.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // Acquire: pairs with the Release in `get_or_make`, though the kernel's zeros would do.
        let page = NonNull::new(self.page.load(Ordering::Acquire))?;
        // SAFETY: what `get_or_make` published is mapped for good, aligned to a page and zeroed, which `Wipeable`
        // allows, and nobody has any but shared references to it.
        Some(unsafe { page.as_ref() })
    }

    /// The value, made on the first call in the life of the process or its ancestors.
    pub(crate) fn get_or_make(&self) -> Result<&'static T, Errno> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let made = map::<T>()?;
        // Release: pairs with the Acquire in `get`. Relaxed: `get` loads it again.
        let published =
            self.page.compare_exchange(ptr::null_mut(), made, Ordering::Release, Ordering::Relaxed);
        if published.is_err() {
            // Another thread was faster.
            // SAFETY: this thread mapped it, and nobody else has seen it.
            _ = unsafe { rustix::mm::munmap(made.cast(), size_of::<T>()) };
        }
        self.get().ok_or(Errno::NOMEM)
    }
}

fn map<T>() -> Result<*mut T, Errno> {
    let (len, protection) = (size_of::<T>(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a null hint lets the kernel choose a range that nothing else uses; it is zeroed.
    let page = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, protection, MapFlags::PRIVATE) }?;
    // SAFETY: the range was mapped just now, private and anonymous, as the advice needs; it changes nothing here.
    let wiped = unsafe { rustix::mm::madvise(page, len, Advice::LinuxWipeOnFork) };
    if let Err(errno) = wiped {
        // SAFETY: the range was mapped just now, and nothing points into it.
        _ = unsafe { rustix::mm::munmap(page, len) };
        return Err(errno);
    }
    Ok(page.cast())
}
