//! What to poll for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Within a tenth of a second it is known who has died.
const PATIENCE: Duration = Duration::from_millis(50);

/// What to poll before an operation that would have blocked is tried again.
///
/// That it is ready is a promise of progress, not of a whole message: try again, and poll again if that would still
/// block.
#[derive(Clone, Copy, Debug)]
pub struct Readiness<'a> {
    descriptor: BorrowedFd<'a>,
    interest: Interest,
    is_tended: bool,
}

/// What to poll a descriptor for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// That it can be read (`POLLIN`).
    Read,
    /// That it can be written (`POLLOUT`).
    Write,
}

impl<'a> Readiness<'a> {
    pub(crate) const fn to_read(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, interest: Interest::Read, is_tended: false }
    }

    pub(crate) const fn to_write(descriptor: BorrowedFd<'a>) -> Self {
        Self { descriptor, interest: Interest::Write, is_tended: false }
    }

    /// Of what has to be tried now and then.
    pub(crate) const fn tended(self) -> Self {
        Self { is_tended: true, ..self }
    }

    /// How long to poll at most before trying again, whether or not it is ready: one who dies on the bus rings no bell, and
    /// is seen by who looks.
    pub const fn patience(&self) -> Option<Duration> {
        if self.is_tended { Some(PATIENCE) } else { None }
    }

    /// The descriptor.
    pub const fn descriptor(&self) -> BorrowedFd<'a> {
        self.descriptor
    }

    /// What to poll it for.
    pub const fn interest(&self) -> Interest {
        self.interest
    }
}

impl AsFd for Readiness<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor
    }
}
