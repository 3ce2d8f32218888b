//! The side that waits for connections.

use core::fmt;
use twixt_address::{Address, Endpoint};
use twixt_os::{Deadline, Result, Wait};

use crate::half::Accept;
use crate::origin::Origin;
use crate::{Capabilities, Duplex, Opening, Readiness};

/// Accepts connections at an address. [`Duplex`] has an example.
pub struct Listener {
    accept: Box<dyn Accept>,
    origin: Origin,
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// [`AlreadyExists`](twixt_os::ErrorKind::AlreadyExists) if somebody listens there,
    /// [`Unsupported`](twixt_os::ErrorKind::Unsupported) if the mechanism has no connections, and those of the
    /// mechanism.
    pub fn open(address: &Address) -> Result<Self> {
        Opening::new(address).listener()
    }

    pub(crate) fn new(accept: Box<dyn Accept>, opening: &Opening) -> Self {
        Self { accept, origin: Origin::of(opening) }
    }

    /// Waits for a connection; no longer than the address's `timeout`, if it has one.
    ///
    /// # Errors
    /// Those of the mechanism's `accept`; [`TimedOut`](twixt_os::ErrorKind::TimedOut).
    pub fn accept(&self) -> Result<Duplex> {
        self.accept_wait(self.origin.wait())
    }

    /// As [`accept`](Self::accept) without waiting.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`WouldBlock`](twixt_os::ErrorKind::WouldBlock) if nobody has connected.
    pub fn try_accept(&self) -> Result<Duplex> {
        self.accept_wait(Wait::never())
    }

    /// As [`accept`](Self::accept), until `deadline`.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_deadline(&self, deadline: Deadline) -> Result<Duplex> {
        self.accept_wait(Wait::until(deadline))
    }

    /// As [`accept`](Self::accept), until a signal handler has run.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`Interrupted`](twixt_os::ErrorKind::Interrupted).
    pub fn accept_interruptible(&self) -> Result<Duplex> {
        self.accept_wait(Wait::forever().interruptible())
    }

    /// As [`accept`](Self::accept), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and what `wait` ends with.
    pub fn accept_wait(&self, wait: Wait) -> Result<Duplex> {
        Ok(Duplex::new(self.accept.accept(wait)?, self.origin.clone()))
    }

    /// The address that others reach it by: with the port that the kernel chose, where 0 was asked for.
    ///
    /// # Errors
    /// Those of asking the kernel.
    pub fn address(&self) -> Result<Endpoint> {
        self.accept.address()
    }

    /// What its errors say of it.
    #[cfg(feature = "tokio")]
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What its connections can do.
    pub fn capabilities(&self) -> Capabilities {
        self.accept.capabilities()
    }

    /// A refusal about this listener.
    pub(crate) fn refused(
        &self,
        operation: &'static str,
        kind: twixt_os::ErrorKind,
        why: &'static str,
    ) -> twixt_os::Error {
        self.origin.refused(operation, kind, why)
    }

    /// What the kernel, or the clock, said about this listener.
    pub(crate) fn failed(&self, operation: &'static str, errno: twixt_os::Errno) -> twixt_os::Error {
        self.origin.kernel(operation, errno)
    }

    /// What to poll before a [`try_accept`](Self::try_accept) that would block is tried again.
    ///
    /// # Errors
    /// [`Unsupported`](twixt_os::ErrorKind::Unsupported) for rings in shared memory, which have no descriptor.
    pub fn readiness(&self) -> Result<Readiness<'_>> {
        self.origin.pollable(self.accept.readiness())
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener")
            .field(&format_args!("{} {}", self.origin.mechanism, self.origin.object))
            .finish()
    }
}
