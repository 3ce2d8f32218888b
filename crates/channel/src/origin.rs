//! What a handle remembers of its opening.

use std::time::Duration;

use twixt_address::Endpoint;
use twixt_os::{Errno, Error, ErrorKind, Mechanism, Object, Wait};

use crate::opening::{Opening, wait_for};
use crate::{Readiness, mechanism};

/// Where a handle came from: for its errors, and for the time it waits when none is given.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) mechanism: Mechanism,
    pub(crate) object: Object,
    /// None within a process.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) timeout: Option<Duration>,
}

impl Origin {
    pub(crate) fn of(opening: &Opening) -> Self {
        let endpoint = opening.endpoint();
        Self {
            mechanism: mechanism::name_of(endpoint),
            object: mechanism::object(endpoint),
            endpoint: Some(endpoint.clone()),
            timeout: opening.timeout(),
        }
    }

    /// How long an operation waits that is given no time of its own.
    #[inline]
    pub(crate) fn wait(&self) -> Wait {
        wait_for(self.timeout)
    }

    /// A refusal about this channel.
    pub(crate) fn refused(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(self.mechanism, operation, self.object.clone(), kind, why)
    }

    /// What the kernel, or the clock, said about this channel.
    pub(crate) fn kernel(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(self.mechanism, operation, self.object.clone(), errno)
    }

    /// A message that is longer than what can be sent.
    pub(crate) fn too_long(&self, len: usize, most: usize) -> Error {
        let why = format!("the message has {len} bytes, and {most} is the most");
        Error::refused(self.mechanism, "send to", self.object.clone(), ErrorKind::TooLong, why)
    }

    /// What to poll, or that there is nothing.
    pub(crate) fn pollable<'a>(&self, readiness: Option<Readiness<'a>>) -> twixt_os::Result<Readiness<'a>> {
        let why = "it has no descriptor; only its own calls can wait for it";
        readiness.ok_or_else(|| self.refused("poll", ErrorKind::Unsupported, why))
    }
}
