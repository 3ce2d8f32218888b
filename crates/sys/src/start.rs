//! Which standard streams a program was started without (feature `start`).
//!
//! Rust's runtime opens `/dev/null` in the place of each that is closed, before `main`, so that no file of the program's gets
//! such a number. What is printed then vanishes, and nothing tells that descriptor from a `/dev/null` that somebody gave to
//! the program on purpose. So this looks earlier: the dynamic loader, or the start-up code of a static program, calls what
//! stands in the section `.init_array` before it calls the runtime.

use core::sync::atomic::{AtomicU8, Ordering};

/// A bit for each of the three, written once and before there is a second thread.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY: the section is a table of C functions, each of which is called once, before `main`; `look` is one, and has no use for
// the arguments it is given. It calls nothing but fcntl(2), which needs nothing of the runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    for stream in 0..3 {
        // SAFETY: F_GETFD reads a flag, of whatever number, and touches no memory of ours.
        if unsafe { libc::fcntl(stream, libc::F_GETFD) } == -1 {
            CLOSED.fetch_or(1 << stream, Ordering::Relaxed);
        }
    }
}

/// Whether the program was started without standard input (0), output (1) or error (2).
#[doc(alias = "stdout")]
pub fn was_closed(stream: u8) -> bool {
    stream < 3 && CLOSED.load(Ordering::Relaxed) & (1 << stream) != 0
}
