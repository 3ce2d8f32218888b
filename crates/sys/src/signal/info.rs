//! What the kernel tells about a signal: `siginfo_t`.

/// The size of `siginfo_t`.
pub const INFO: usize = 128;

/// The leading bytes of `siginfo_t` that have a meaning: what a [`Recorder`](super::Recorder) writes for each signal.
///
/// A power of two, so that whole records fill the pages of a pipe.
pub const RECORD: usize = 64;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the layout of siginfo_t is known here for 64-bit processors only");

/// `siginfo_t` as bytes, which whoever knows its layout may read:
///
/// ```text
///  0 si_signo i32 · 4 si_errno i32 · 8 si_code i32 · 12 padding · 16 the union:
///    kill      16 pid i32 · 20 uid u32
///    queue     16 pid i32 · 20 uid u32     · 24 value u64
///    timer     16 id i32  · 20 overrun i32 · 24 value u64
///    SIGCHLD   16 pid i32 · 20 uid u32     · 24 status i32 · 32 user time i64 · 40 system time i64
///    fault     16 address u64
///    SIGIO     16 band i64 · 24 descriptor i32
///    SIGSYS    16 address u64 · 24 system call i32 · 28 architecture u32
/// ```
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct RawInfo([u8; INFO]);

const _: () = assert!(size_of::<RawInfo>() == size_of::<libc::siginfo_t>());
const _: () = assert!(align_of::<RawInfo>() == align_of::<libc::siginfo_t>());

impl RawInfo {
    /// All bytes zero.
    pub(super) const fn zeroed() -> Self {
        Self([0; INFO])
    }

    /// What `sigqueue(3)` sends: `SI_QUEUE`, the sender, the value.
    pub(super) fn queued(signal: i32, value: usize) -> Self {
        let mut info = Self::zeroed();
        let mut put =
            |offset: usize, field: &[u8]| info.0[offset..offset + field.len()].copy_from_slice(field);
        put(0, &signal.to_ne_bytes());
        put(8, &libc::SI_QUEUE.to_ne_bytes());
        put(16, &rustix::process::getpid().as_raw_nonzero().get().to_ne_bytes());
        put(20, &rustix::process::getuid().as_raw().to_ne_bytes());
        put(24, &value.to_ne_bytes());
        info
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; INFO] {
        &self.0
    }

    /// The signal's number.
    pub fn signal(&self) -> i32 {
        self.word(0)
    }

    /// `si_code`: where the signal came from.
    pub fn code(&self) -> i32 {
        self.word(8)
    }

    fn word(&self, offset: usize) -> i32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[offset..offset + 4]);
        i32::from_ne_bytes(word)
    }
}
