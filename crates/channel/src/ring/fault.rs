//! What can go wrong in the depths of a ring, before it is known whose operation it was.

use twixt_os::{Errno, Error, ErrorKind};

use crate::origin::Origin;

/// Why an operation on a ring ended.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The memory holds what no ring holds: somebody has spoiled it.
    Malformed(&'static str),
    /// Another process cut off the memory.
    Truncated,
    /// The wait ended: `EAGAIN`, `ETIMEDOUT`, `EINTR`.
    Wait(Errno),
    /// The other side of a connection has gone.
    Gone,
    /// What a call of the system said.
    Os(Error),
}

pub(crate) type Result<T> = core::result::Result<T, Fault>;

impl Fault {
    /// The error of this operation on this object.
    #[cold]
    pub(crate) fn of(self, operation: &'static str, origin: &Origin) -> Error {
        let refused = |kind, why: &'static str| origin.refused(operation, kind, why);
        match self {
            Self::Malformed(why) => refused(ErrorKind::Malformed, why)
                .with_advice("some process has spoiled it: remove it, and have it made anew"),
            Self::Truncated => refused(ErrorKind::Truncated, "another process cut off its memory"),
            Self::Wait(errno) => Error::kernel(origin.mechanism, operation, origin.object.clone(), errno),
            Self::Gone => refused(ErrorKind::PeerGone, "the other side has gone"),
            Self::Os(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Truncated => Self::Truncated,
            _ => Self::Os(error),
        }
    }
}
