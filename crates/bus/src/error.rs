//! Errors of the bus, in the words of the one error type.

use std::path::Path;

use twixt_os::{Errno, Error, ErrorKind, Maker, Mechanism, Object, Result};
use twixt_sys::Fault;

/// What the kernel said about a file of the bus.
pub(crate) fn kernel(operation: &'static str, path: &Path, errno: Errno) -> Error {
    let error = Error::kernel(Mechanism::Bus, operation, Object::path(path), errno);
    match errno {
        Errno::MFILE => error.with_advice("close descriptors, or raise the limit with `ulimit -n`"),
        Errno::NOMEM => {
            error.with_advice("the process has too many mappings (vm.max_map_count) or too little memory")
        }
        _ => error,
    }
}

/// What the bus refused.
pub(crate) fn refused(
    operation: &'static str,
    object: &Object,
    kind: ErrorKind,
    why: impl Into<std::borrow::Cow<'static, str>>,
) -> Error {
    Error::refused(Mechanism::Bus, operation, object.clone(), kind, why)
}

/// Refuses what a forked child does with its copy of what is its parent's.
#[inline(always)]
pub(crate) fn check_maker(maker: Maker, operation: &'static str, object: &Object) -> Result<()> {
    if maker.is_this() { Ok(()) } else { Err(forked(operation, object)) }
}

#[cold]
#[inline(never)]
fn forked(operation: &'static str, object: &Object) -> Error {
    let why = "it was opened by the process that this one was forked from";
    refused(operation, object, ErrorKind::InvalidInput, why).with_advice("open it anew after the fork")
}

/// What stands in the memory is not what the format says.
pub(crate) fn malformed(
    operation: &'static str,
    object: &Object,
    why: impl Into<std::borrow::Cow<'static, str>>,
) -> Error {
    refused(operation, object, ErrorKind::Malformed, why)
        .with_advice("it was made by something else, or spoiled; `twixt rm` removes it")
}

/// An access to memory that is not there.
pub(crate) fn fault(operation: &'static str, object: &Object, fault: Fault) -> Error {
    match fault {
        Fault::Truncated => {
            refused(operation, object, ErrorKind::Truncated, "a process has truncated its file")
        }
        Fault::OutOfBounds | Fault::Misaligned | Fault::ReadOnly => {
            malformed(operation, object, "it is shorter than what it says of itself")
        }
    }
}

/// Whether it is this process that lacks something, and not the file that is bad: then nothing may be concluded.
pub(crate) fn is_want(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOLCK | Errno::INTR))
}
