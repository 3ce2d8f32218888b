//! What errnos mean for all three kinds of objects.

use crate::sysv::Key;
use crate::{Errno, Error, ErrorKind, Mechanism, Object};

/// A failed call on an object that was there once, so that `EINVAL` says that it is no more. Allocates nothing.
pub(super) fn on_object(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    errno: Errno,
) -> Error {
    let error = Error::kernel(mechanism, operation, object, errno);
    match errno {
        // EIDRM while the call waited, EINVAL from the next one on.
        Errno::IDRM | Errno::INVAL => error.with_kind(ErrorKind::Removed).with_advice(match mechanism {
            Mechanism::SysvMsg => "no queue has this identifier any more",
            Mechanism::SysvSem => "no semaphore set has this identifier any more",
            _ => "no segment has this identifier any more",
        }),
        _ => error,
    }
}

/// No object has this identifier.
pub(super) fn not_found(
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    errno: Errno,
) -> Error {
    let error = Error::kernel(mechanism, operation, object, errno);
    match errno {
        Errno::INVAL | Errno::IDRM => error.with_kind(ErrorKind::NotFound).with_advice(match mechanism {
            Mechanism::SysvMsg => "no queue has this identifier",
            Mechanism::SysvSem => "no semaphore set has this identifier",
            _ => "no segment has this identifier",
        }),
        _ => error,
    }
}

/// The private key was to lead to an object: the kernel would make a new one.
pub(super) fn private_key(mechanism: Mechanism, operation: &'static str) -> Error {
    let why = "a private key (IPC_PRIVATE) leads to nothing that exists";
    Error::refused(mechanism, operation, Key::PRIVATE.into(), ErrorKind::InvalidInput, why)
        .with_advice("open it by its identifier")
}

/// `IPC_RMID` or `IPC_SET` failed with this error: who may.
pub(super) fn for_owner(error: Error) -> Error {
    match error.errno() {
        Some(Errno::PERM) => error.with_advice("only its owner, its creator and root may"),
        _ => error,
    }
}

/// `IPC_SET` failed with this error; `looked` is what `IPC_STAT` says then.
pub(super) fn change<T>(error: Error, looked: impl FnOnce() -> Result<T, Errno>) -> Error {
    match error.errno() {
        Some(Errno::INVAL) if !matches!(looked(), Err(Errno::INVAL | Errno::IDRM)) => {
            error.with_kind(ErrorKind::InvalidInput).with_advice("the user or group id is none")
        }
        _ => for_owner(error),
    }
}
