//! What faults and errnos mean for memory, whatever mechanism it came from.

use rustix::process::Resource;
use twixt_sys::Fault;

use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object};

/// An access that a mapping refused. Allocates nothing.
pub(crate) fn fault_error(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    fault: Fault,
) -> Error {
    let (kind, why) = match fault {
        Fault::OutOfBounds => (ErrorKind::OutOfRange, "the bytes lie outside the mapping"),
        Fault::ReadOnly if mechanism == Mechanism::SysvShm => {
            (ErrorKind::PermissionDenied, "it is attached for reading only")
        }
        Fault::ReadOnly => (ErrorKind::PermissionDenied, "it is mapped read-only"),
        Fault::Misaligned => (ErrorKind::InvalidInput, "the offset is not a multiple of the word's size"),
        Fault::Truncated => {
            (ErrorKind::Truncated, "part of its memory is gone: another process made the file shorter")
        }
    };
    let error = Error::refused(mechanism, operation, object, kind, why);
    match fault {
        Fault::Truncated => error.with_advice("map it again to use what is left"),
        _ => error,
    }
}

/// What `mmap(2)`, `mremap(2)` or `mprotect(2)` refused.
pub(crate) fn map_error(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    errno: Errno,
) -> Error {
    let error = Error::kernel(mechanism, operation, object, errno);
    match errno {
        Errno::NOMEM => {
            let space = Limit::rlimit("RLIMIT_AS", Resource::As);
            match space.current {
                Some(_) => error.with_kind(ErrorKind::LimitReached).with_limit(space),
                None => error.with_advice(
                    "there is not enough memory or address space, or the process has vm.max_map_count mappings",
                ),
            }
        }
        Errno::AGAIN => error
            .with_kind(ErrorKind::LimitReached)
            .with_limit(Limit::rlimit("RLIMIT_MEMLOCK", Resource::Memlock))
            .with_advice("raise it with `ulimit -l`, or lock less"),
        Errno::ACCESS => error.with_advice("open the file for what it is to be mapped for"),
        Errno::PERM => error.with_advice("a seal, or a mount without exec or write permission, forbids it"),
        Errno::NODEV => error
            .with_kind(ErrorKind::Unsupported)
            .with_advice("its file system cannot map files into memory"),
        _ => error,
    }
}
