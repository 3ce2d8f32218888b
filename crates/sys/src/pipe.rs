//! Writing to a pipe without a SIGPIPE, and pages instead of copies: `pipe(7)`, `vmsplice(2)`.

use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::AtomicU64;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::pipe::{IoSliceRaw, SpliceFlags};

use crate::call::checked;
use crate::prepared::number;
use crate::{Errno, Prepared};

/// `RWF_NOSIGNAL` (Linux 6.18): a `pwritev2(2)` to a pipe without readers fails with `EPIPE` and sends no SIGPIPE.
///
/// Older kernels refuse the flag with `EOPNOTSUPP` and write nothing.
pub const RWF_NOSIGNAL: u32 = 0x100;

/// Where a [prepared](Vector::prepare_write) call finds the bytes that it writes.
#[derive(Debug)]
pub struct Vector(libc::iovec);

// SAFETY: the pointer in it is used by the call alone that borrows the vector together with the bytes.
unsafe impl Send for Vector {}

impl Vector {
    /// One that holds nothing.
    pub const fn new() -> Self {
        Self(libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 })
    }

    /// `pwritev2(2)` where the stream stands, with these `RWF_` flags: how many bytes were written.
    #[inline(always)]
    pub fn prepare_write<'a>(&'a mut self, fd: BorrowedFd<'a>, bytes: &'a [u8], flags: u32) -> Prepared<'a> {
        self.0 = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        // The kernel reads one vector, and the bytes that it leads to; both are borrowed.
        let vector = &raw mut self.0 as usize;
        Prepared::new(libc::SYS_pwritev2, [number(fd), vector, 1, usize::MAX, 0, flags as usize])
    }
}

impl Default for Vector {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a call that may raise SIGPIPE in this thread, and sees to it that none is left of it: neither delivered
/// nor pending. The disposition of the signal, which is the whole process's, stays as it is.
///
/// Where SIGPIPE is ignored that costs one system call more. Otherwise the signal is blocked for this thread
/// during the call and taken from its queue afterwards, unless one was pending before.
///
/// # Errors
/// Those of the call.
pub fn without_sigpipe<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    if is_ignored() {
        return call();
    }
    // Restores the mask also if the call panics.
    let _blocked = Blocked::sigpipe();
    call()
}

/// Gives SIGPIPE its default disposition, which ends the process, as C programs have it. Rust programs start with
/// the signal ignored.
///
/// # Errors
/// None in practice.
pub fn default_sigpipe() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid `sigaction`: the default disposition, an empty mask and no flags.
    let action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `action` is initialised and outlives the call; no handler is installed.
    checked(unsafe { libc::sigaction(libc::SIGPIPE, &action, ptr::null_mut()) })?;
    Ok(())
}

/// SIGPIPE is blocked in this thread while this lives.
struct Blocked {
    /// The mask to go back to; `None` if SIGPIPE was blocked already.
    before: Option<libc::sigset_t>,
    /// Whether one that is pending at the end came from the call.
    consume: bool,
}

impl Blocked {
    fn sigpipe() -> Self {
        let mut before = empty_set();
        // SAFETY: both sets are initialised and outlive the call. It cannot fail for these arguments.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &sigpipe_set(), &mut before) };
        // SAFETY: the set is initialised, the number is a signal's.
        let was_blocked = unsafe { libc::sigismember(&before, libc::SIGPIPE) } == 1;
        if was_blocked {
            // One that is pending already is somebody else's to deal with, and the call can add none to it.
            Self { before: None, consume: !is_pending() }
        } else {
            Self { before: Some(before), consume: true }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if self.consume {
            // The call may have raised the signal though it succeeded in part, so its result does not tell.
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the set and the time are initialised and outlive the call; a null `info` is allowed.
            unsafe { libc::sigtimedwait(&sigpipe_set(), ptr::null_mut(), &at_once) };
        }
        if let Some(before) = self.before {
            // SAFETY: the set is initialised and outlives the call; a null old set is allowed.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
        }
    }
}

/// Whether the process ignores SIGPIPE now. It is asked each time: anything in the process may change it.
fn is_ignored() -> bool {
    // SAFETY: all-zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `action` outlives the call; a null new action is allowed and changes nothing.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

fn is_pending() -> bool {
    let mut pending = empty_set();
    // SAFETY: the set is initialised and outlives the call.
    unsafe { libc::sigpending(&mut pending) };
    // SAFETY: the set is initialised, the number is a signal's.
    unsafe { libc::sigismember(&pending, libc::SIGPIPE) == 1 }
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::zeroed();
    // SAFETY: the pointer is valid for writing a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: all-zero is a valid set, and `sigemptyset` has written one.
    unsafe { set.assume_init() }
}

fn sigpipe_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: the set is initialised, the number is a signal's.
    unsafe { libc::sigaddset(&mut set, libc::SIGPIPE) };
    set
}

/// `vmsplice(2)` into a pipe: the pipe refers to the pages of `bytes` rather than holding a copy. May raise SIGPIPE.
///
/// The bytes must live and stay the same as long as any process may read them from the pipe, which nobody can
/// foresee; so they must be `'static`.
///
/// # Errors
/// `EBADF` if the descriptor is no pipe or cannot write, `EINVAL` with `GIFT` (which would let the kernel take the
/// pages away), `EPIPE`, `EAGAIN` with `NONBLOCK`, `EINTR`.
pub fn vmsplice(pipe: BorrowedFd<'_>, bytes: &'static [u8], flags: SpliceFlags) -> Result<usize, Errno> {
    if flags.contains(SpliceFlags::GIFT) {
        return Err(Errno::INVAL);
    }
    if access_of(pipe)? == libc::O_RDONLY {
        return Err(Errno::BADF);
    }
    let slices = [IoSliceRaw::from_slice(bytes)];
    // SAFETY: the descriptor can write, so the kernel only reads the bytes, which are never freed or changed.
    unsafe { rustix::pipe::vmsplice(pipe, &slices, flags) }
}

/// As [`vmsplice`], of the first `len` bytes of memory that may change meanwhile: whoever reads the pipe before the
/// memory is written to again has what was there, and otherwise has what is there then.
///
/// # Errors
/// As [`vmsplice`], and `EINVAL` if there are not so many bytes.
pub fn vmsplice_words(
    pipe: BorrowedFd<'_>,
    words: &'static [AtomicU64],
    from: usize,
    len: usize,
    flags: SpliceFlags,
) -> Result<usize, Errno> {
    let is_within = from.checked_add(len).is_some_and(|end| end <= size_of_val(words));
    if flags.contains(SpliceFlags::GIFT) || !is_within {
        return Err(Errno::INVAL);
    }
    if access_of(pipe)? == libc::O_RDONLY {
        return Err(Errno::BADF);
    }
    let start = words.as_ptr().cast::<u8>().wrapping_add(from);
    let slice = libc::iovec { iov_base: start.cast_mut().cast(), iov_len: len };
    // SAFETY: the descriptor can write, so the kernel only reads `len` bytes from `start`, which lie within `words`; those are
    // never freed, and atomics, which may change while they are read.
    let moved = unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const slice, 1, flags.bits()) };
    Ok(checked(moved as i64)? as usize)
}

/// `vmsplice(2)` out of a pipe: copies what the pipe holds into `buffer`. Unlike `read(2)` it can be told by a flag
/// not to wait, for any pipe or FIFO; it does not keep the boundaries of packets.
///
/// # Errors
/// `EBADF` if the descriptor is no pipe or can do anything but read, `EAGAIN` with `NONBLOCK`, `EINTR`.
pub fn vmsplice_out(pipe: BorrowedFd<'_>, buffer: &mut [u8], flags: SpliceFlags) -> Result<usize, Errno> {
    if access_of(pipe)? != libc::O_RDONLY {
        return Err(Errno::BADF);
    }
    let slices = [IoSliceRaw::from_slice_mut(buffer)];
    // SAFETY: the descriptor can only read, so the kernel copies into the buffer, which is exclusively borrowed,
    // and keeps no reference to its pages.
    unsafe { rustix::pipe::vmsplice(pipe, &slices, flags) }
}

/// The access mode of a descriptor, by which `vmsplice` chooses its direction: its soundness hangs on it.
fn access_of(pipe: BorrowedFd<'_>) -> Result<i32, Errno> {
    // SAFETY: `fcntl` with this command takes no argument and touches no memory.
    let flags = checked(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_ACCMODE)
}
