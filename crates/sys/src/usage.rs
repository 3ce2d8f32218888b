//! What a process has used: `getrusage(2)`.

use core::mem::MaybeUninit;

/// How often this process, with all its threads, has given up a CPU in order to wait, and how often its CPU was given to
/// another.
#[doc(alias = "getrusage")]
pub fn context_switches() -> (u64, u64) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: there is room for an `rusage`, which the call writes; it fails only for another `who` or address.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: all-zero is a valid `rusage`, whatever the call has written.
    let usage = unsafe { usage.assume_init() };
    (usage.ru_nvcsw.unsigned_abs(), usage.ru_nivcsw.unsigned_abs())
}
