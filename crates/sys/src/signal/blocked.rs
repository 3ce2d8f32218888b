//! Work during which no signal handler runs on this thread.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;

/// Does `work` with signals blocked on this thread, and in the threads that `work` starts from then on.
///
/// Signals that a fault of the thread itself raises (SIGSEGV, SIGBUS, ...) stay as they are: they cannot wait.
#[doc(alias = "pthread_sigmask")]
pub fn with_signals_blocked<T>(work: impl FnOnce() -> T) -> T {
    let _blocked = Blocked::new();
    work()
}

const RAISED_BY_FAULTS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Restores the mask when dropped. Tied to its thread.
struct Blocked {
    before: libc::sigset_t,
    on_this_thread: PhantomData<*const ()>,
}

impl Blocked {
    fn new() -> Self {
        let mut blocked = MaybeUninit::uninit();
        // SAFETY: the call initialises the set; it cannot fail.
        unsafe { libc::sigfillset(blocked.as_mut_ptr()) };
        for signal in RAISED_BY_FAULTS {
            // SAFETY: the set is initialised, and the signals exist.
            unsafe { libc::sigdelset(blocked.as_mut_ptr(), signal) };
        }
        let mut before = MaybeUninit::uninit();
        // SAFETY: `blocked` is an initialised set, and the call writes the former one to `before`. It cannot fail: the
        // first argument is one of the three allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: written just now.
        let before = unsafe { before.assume_init() };
        Self { before, on_this_thread: PhantomData }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `before` is the set that the kernel gave for this thread, which the marker keeps this value on.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}
