//! Channels in asynchronous programs, on the tokio runtime. Feature `tokio`.
//!
//! ```
//! use twixt_address::Address;
//! use twixt_channel::tokio::{AsyncReceiver, AsyncSender};
//! use twixt_channel::{Receiver, Sender};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
//! # runtime.block_on(async {
//! let address: Address = "unix:@twixt-tokio-doc".parse()?;
//! let mut receiver = AsyncReceiver::new(Receiver::open(&address)?)?;
//! let mut sender = AsyncSender::new(Sender::open(&address)?)?;
//! sender.send(b"hello").await?;
//! sender.flush().await?;
//! assert_eq!(receiver.receive().await?.bytes(), b"hello");
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! Anything with a descriptor to poll works: everything but System V message queues, rings in shared memory, and sending to
//! queues of the bus that have no capacity, which are refused when the asynchronous end is made.
//!
//! Opening is not asynchronous: where it waits (for the reader of a FIFO, for a name to be resolved), do it in
//! `tokio::task::spawn_blocking`.
//!
//! # Cancelling
//!
//! Every future here may be dropped at any time, by `select!` or a timeout, and nothing is lost or doubled:
//!
//! - a dropped [`send`](AsyncSender::send) has sent nothing of its message. Once the channel has accepted the message,
//!   the same poll returns, so there is no moment at which it is accepted and the future still waits.
//! - a dropped [`receive`](AsyncReceiver::receive) has taken nothing. What had arrived of a message is kept for the next.
//!
//! For this a `send` into a stream of bytes returns as soon as the message is accepted, when some of it may not have
//! found room yet. The rest goes first with the next `send`, [`flush`](AsyncSender::flush) or
//! [`close`](AsyncSender::close), as with any buffered writer: **flush before waiting for an answer**.
//! [`AsyncDuplex::receive`] does it by itself.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use ::tokio::io::Interest as Register;
use ::tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use ::tokio::runtime::Handle;
use ::tokio::task::coop;
use ::tokio::time::{Sleep, sleep};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_os::{Errno, Error, ErrorKind, Result};

use crate::origin::Origin;
use crate::{Interest, Listener, Readiness, Receiver, Sender};

mod duplex;
mod listener;
mod receiver;
mod sender;

pub use duplex::AsyncDuplex;
pub use listener::AsyncListener;
pub use receiver::AsyncReceiver;
pub use sender::AsyncSender;

/// The descriptor of a channel, as tokio watches it.
#[derive(Debug)]
struct Watched {
    /// A copy, so that several halves of one descriptor can each be watched.
    descriptor: AsyncFd<OwnedFd>,
    /// The number of what it is a copy of. A FIFO has another after an end, a file when another takes its name; each is
    /// opened before the one before is closed, so their numbers differ.
    number: RawFd,
    register: Register,
    /// Until it is to be tried again, whether or not it is ready ([`Readiness::patience`]).
    pause: Option<Pin<Box<Sleep>>>,
    origin: Origin,
}

/// What can be tried and, if it would block, waited for.
trait Half {
    fn readiness(&self) -> Result<Readiness<'_>>;
}

impl Watched {
    fn new(half: &impl Half, register: Register, origin: &Origin) -> Result<Self> {
        let readiness = half.readiness()?;
        if Handle::try_current().is_err() {
            let why = "there is no tokio runtime here";
            return Err(origin.refused(WATCH, ErrorKind::InvalidInput, why));
        }
        let fail = |error: io::Error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            if errno == Errno::PERM {
                let why = "it is a regular file, which is always ready and cannot be watched";
                return origin.refused(WATCH, ErrorKind::Unsupported, why);
            }
            Error::kernel(origin.mechanism, WATCH, origin.object.clone(), errno)
        };
        let copy = readiness.as_fd().try_clone_to_owned().map_err(fail)?;
        // What has replaced it is unsafe, for the sake of types that give their descriptor away; an `OwnedFd` does not.
        #[allow(deprecated)]
        let watched = AsyncFd::try_with_interest(copy, register);
        let descriptor = watched.map_err(|refused| fail(refused.into_parts().1))?;
        let number = readiness.as_fd().as_raw_fd();
        Ok(Self { descriptor, number, register, pause: None, origin: origin.clone() })
    }

    /// Makes attempts that do not wait, until one does not end with
    /// [`WouldBlock`](ErrorKind::WouldBlock); between them the task sleeps until the descriptor is ready.
    ///
    /// The kernel reports readiness once, when it comes about. So it counts as used up only when an attempt has failed
    /// after it was seen.
    fn poll<H: Half, T>(
        &mut self,
        context: &mut Context<'_>,
        half: &mut H,
        mut attempt: impl FnMut(&mut H) -> Result<T>,
    ) -> Poll<Result<T>> {
        // A channel that is never empty, or never full, must not keep the task from ever yielding.
        let budget = ready!(coop::poll_proceed(context));
        let mut seen = None;
        loop {
            match attempt(half) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => {
                    budget.made_progress();
                    return Poll::Ready(outcome);
                }
            }
            if let Some(seen) = seen.take() {
                let mut seen: AsyncFdReadyGuard<'_, OwnedFd> = seen;
                seen.clear_ready();
            }
            seen = None;
            let readiness = half.readiness()?;
            let (interest, patience) = (readiness.interest(), readiness.patience());
            if readiness.as_fd().as_raw_fd() != self.number {
                *self = Self::new(half, self.register, &self.origin)?;
            }
            let ready = match interest {
                Interest::Read => self.descriptor.poll_read_ready(context),
                Interest::Write => self.descriptor.poll_write_ready(context),
            };
            match ready {
                Poll::Ready(Ok(ready)) => seen = Some(ready),
                // A runtime that is shutting down: nothing will ever be ready.
                Poll::Ready(Err(_)) => return Poll::Pending,
                Poll::Pending => {
                    if self.is_ready(interest) {
                        // What the half waits for is not the descriptor's, as a lock on a file is not: no other report
                        // will come.
                        context.waker().wake_by_ref();
                    }
                    if is_time(&mut self.pause, patience, context) {
                        continue;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// What the descriptor is now, which is not what was reported last.
    fn is_ready(&self, interest: Interest) -> bool {
        let interest = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        let mut polled = [PollFd::new(self.descriptor.get_ref(), interest)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
            && polled[0].revents().contains(interest)
    }
}

/// Whether it is time to try again, whatever the descriptor says; otherwise the task is woken when it is.
fn is_time(
    pause: &mut Option<Pin<Box<Sleep>>>,
    patience: Option<Duration>,
    context: &mut Context<'_>,
) -> bool {
    let Some(patience) = patience else { return false };
    let until = pause.get_or_insert_with(|| Box::pin(sleep(patience)));
    if until.as_mut().poll(context).is_pending() {
        return false;
    }
    *pause = None;
    true
}

const WATCH: &str = "watch";

impl Half for Sender {
    fn readiness(&self) -> Result<Readiness<'_>> {
        self.readiness()
    }
}

impl Half for Receiver {
    fn readiness(&self) -> Result<Readiness<'_>> {
        self.readiness()
    }
}

impl Half for Listener {
    fn readiness(&self) -> Result<Readiness<'_>> {
        self.readiness()
    }
}
