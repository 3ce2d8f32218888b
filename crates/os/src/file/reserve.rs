//! Space for a file before it is used, so that a full file system is an error and not a SIGBUS.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::ReadWriteFlags;
use rustix::process::{Resource, getrlimit};
use twixt_sys::signal::with_signals_blocked;

use crate::file::regular;
use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object, Wait};

/// `posix_fallocate(3)`: makes the file at least `len` bytes long and has its file system provide for all of them.
///
/// A file system that runs full leaves the length as it was, if it is one that can reserve.
pub fn reserve(file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    if len == 0 {
        return Ok(());
    }
    // The kernel would not only refuse, but send SIGXFSZ, which ends a process that does not expect it.
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| len > limit) {
        return Err(Errno::FBIG);
    }
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        // tmpfs gives back all that it had reserved when a signal arrives, so asking for the same again might
        // never end under many signals; and asking for less at a time might leave a part behind.
        Err(Errno::INTR) => with_signals_blocked(|| fallocate(file, FallocateFlags::empty(), 0, len)),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => append_zeros(file, len),
        outcome => outcome,
    }
}

/// The way of file systems that cannot reserve: appends zeros, which never overwrites what another process writes.
/// Holes that the file has already are not filled.
fn append_zeros(file: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    static BLOCK: [u8; 1 << 16] = [0; 1 << 16];
    loop {
        let missing = len.saturating_sub(regular::len(file)?);
        let Some(missing @ 1..) = usize::try_from(missing).ok() else { return Ok(()) };
        let zeros = IoSlice::new(&BLOCK[..missing.min(BLOCK.len())]);
        Wait::forever()
            .with_timeout(|_| rustix::io::pwritev2(file, &[zeros], u64::MAX, ReadWriteFlags::APPEND))?;
    }
}

/// Why no space could be had for a file of `needed` bytes.
pub fn reserve_error(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    errno: Errno,
    needed: u64,
) -> Error {
    let error = Error::kernel(mechanism, operation, object, errno);
    match errno {
        Errno::FBIG => {
            let limit = Limit::rlimit("RLIMIT_FSIZE", Resource::Fsize).needed(needed);
            if limit.is_exceeded() {
                error
                    .with_kind(ErrorKind::LimitReached)
                    .with_limit(limit)
                    .with_advice("raise it with `ulimit -f`")
            } else {
                error
                    .with_kind(ErrorKind::OutOfRange)
                    .with_advice("its file system has no files of that size")
            }
        }
        Errno::NOSPC => error.with_advice("free some space on its file system"),
        Errno::DQUOT => error.with_advice("the user's disk quota is used up"),
        Errno::BADF => {
            error.with_kind(ErrorKind::PermissionDenied).with_advice("the file is not open for writing")
        }
        Errno::PERM => error.with_advice("it is sealed against growing, or immutable"),
        _ => error,
    }
}
