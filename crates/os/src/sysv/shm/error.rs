//! What the kernel's refusals mean for a segment.

use crate::sysv;
use crate::sysv::shm::{MECHANISM, Segment};
use crate::{Errno, Error, ErrorKind, Object};

pub(super) fn kernel(operation: &'static str, object: Object, errno: Errno) -> Error {
    Error::kernel(MECHANISM, operation, object, errno)
}

pub(super) fn refused(operation: &'static str, object: Object, kind: ErrorKind, why: String) -> Error {
    Error::refused(MECHANISM, operation, object, kind, why)
}

impl Segment {
    /// A failed call on a segment that was there once, so that `EINVAL` means that it is no more.
    pub(super) fn fail(&self, operation: &'static str, errno: Errno) -> Error {
        sysv::failure::on_object(MECHANISM, operation, self.object.clone(), errno)
    }
}
