//! How listening sockets wait for connections.
//!
//! `accept(2)` has no flag for a single call: only the open file description says whether it blocks, and other processes
//! may share that. So there are two kinds of listening socket, told apart by who made the description:
//!
//! - One that was bound here is non-blocking from its first moment, unless the caller asks for a blocking one. Every form
//!   keeps its word, however many threads and processes accept from it: of all that poll for one connection, all but one
//!   are told `EAGAIN`. The price is two more calls where a connection has to be waited for.
//! - One that was adopted, or is to block, is left as it is. Without a deadline `accept(2)` itself blocks: one call.
//!   Otherwise poll says first whether somebody has connected. If another acceptor takes that connection between the
//!   two calls, `accept` on a blocking description waits for the next one, and no deadline ends it; nothing that the
//!   kernel offers avoids that without a change to what is shared (`SO_RCVTIMEO` belongs to the socket, too).

use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;

use crate::{Deadline, Errno, Wait};

/// Which of the two kinds a listening socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepting {
    /// The description does not block, and nobody changes that.
    AtOnce,
    /// It may block: a call that must not wait asks poll first.
    AfterPoll,
}

impl Accepting {
    /// For a description that was made just now, which nobody else knows yet.
    pub(crate) fn of_new(fd: BorrowedFd<'_>, blocking: bool) -> Result<Self, Errno> {
        if blocking {
            return Ok(Self::AfterPoll);
        }
        rustix::io::ioctl_fionbio(fd, true).map(|()| Self::AtOnce)
    }

    /// Makes the call once somebody has connected.
    pub(crate) fn accept<T>(
        self,
        fd: BorrowedFd<'_>,
        wait: Wait,
        mut call: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if self == Self::AtOnce || wait.is_forever() {
            return wait.on_descriptor(fd, PollFlags::IN, |_| call());
        }
        loop {
            wait.poll(fd, PollFlags::IN)?;
            match call() {
                Err(Errno::INTR) if wait != wait.interruptible() => {}
                // Another acceptor was faster, and the description does not block after all.
                Err(Errno::AGAIN) if wait.deadline().is_some_and(Deadline::has_passed) => {
                    return Err(Errno::TIMEDOUT);
                }
                Err(Errno::AGAIN) if !wait.is_never() => {}
                outcome => return outcome,
            }
        }
    }
}
