//! Ending a server from elsewhere.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_os::eventfd::{EventFd, Flags};
use twixt_os::{Deadline, Errno, Wait};

use crate::{Interest, Readiness};

/// Stops a [`Server`](super::Server): from another thread, or from a signal handler.
///
/// [`Server::stop_handle`](super::Server::stop_handle) gives it and has an example.
#[derive(Clone, Debug)]
pub struct StopHandle {
    stop: Arc<Stop>,
}

impl StopHandle {
    /// Stops the server: nobody more is accepted, clients are told that the conversation is over, handlers that ask find
    /// their calls cancelled and are waited for. The calls of [`serve`](super::Server::serve) and
    /// [`serve_listener`](super::Server::serve_listener) return then, and so do later ones, at once.
    ///
    /// Stores a flag and writes to a descriptor, nothing else: a signal handler may call it.
    pub fn stop(&self) {
        self.stop.is_set.store(true, Ordering::Release);
        // Never full: who waits for it does not read it.
        let _ = rustix::io::write(&self.stop.bell, &1_u64.to_ne_bytes());
    }

    /// Whether [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    pub(super) fn new() -> twixt_os::Result<Self> {
        let bell = EventFd::with_flags(0, Flags::NONBLOCK)?;
        Ok(Self { stop: Arc::new(Stop { is_set: AtomicBool::new(false), bell }) })
    }

    pub(super) fn get(&self) -> &Stop {
        &self.stop
    }
}

/// What all who serve look at.
#[derive(Debug)]
pub(super) struct Stop {
    is_set: AtomicBool,
    /// Readable once it is set, and for ever.
    bell: EventFd,
}

impl Stop {
    pub(super) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Readable once it is set.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Waits until something is ready, or one of the events readable.
pub(super) fn until_ready(
    readiness: Readiness<'_>,
    events: [Option<BorrowedFd<'_>>; 2],
    wait: Wait,
) -> Result<(), Errno> {
    let interest = match readiness.interest() {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let nothing = (readiness.descriptor(), PollFlags::empty());
    let [one, other] = events.map(|event| event.map_or(nothing, |event| (event, PollFlags::IN)));
    let mut polled = [(readiness.descriptor(), interest), one, other]
        .map(|(descriptor, flags)| PollFd::from_borrowed_fd(descriptor, flags));
    let (limited, is_shorter) = match readiness.patience() {
        Some(patience) => {
            (at_most(wait, patience), wait.deadline().is_none_or(|it| it.remaining() > patience))
        }
        None => (wait, false),
    };
    let ready = limited.with_timeout(|timeout| {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        if poll(&mut polled, timeout.as_ref())? == 0 { Err(Errno::AGAIN) } else { Ok(()) }
    });
    // To be tried again, whether or not it is ready.
    if is_shorter && ready == Err(Errno::TIMEDOUT) { Ok(()) } else { ready }
}

/// How long to wait at a time where nothing wakes who is to look whether all is over.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// As long as `wait` says, but no longer than `most`.
pub(super) fn at_most(wait: Wait, most: Duration) -> Wait {
    if wait.is_never() {
        return wait;
    }
    let most = Deadline::after(most);
    let shorter = Wait::until(wait.deadline().map_or(most, |deadline| deadline.min(most)));
    if wait == wait.interruptible() { shorter.interruptible() } else { shorter }
}
