//! The sending end.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use ::tokio::io::Interest as Register;
use futures_sink::Sink;
use twixt_os::{Error, ErrorKind, Result, Wait};

use super::Watched;
use crate::origin::Origin;
use crate::{Attributes, Sender};

/// Sends messages without blocking the task's thread. [The module](super) has an example and says what happens to
/// futures that are dropped.
///
/// It is a `Sink` of messages too.
pub struct AsyncSender {
    /// None once closed.
    sender: Option<Sender>,
    watched: Watched,
    origin: Origin,
    /// A message that the sink has accepted, and the channel not yet.
    queued: Option<Vec<u8>>,
}

impl AsyncSender {
    /// Sends through a sender.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if it has no descriptor that could be watched (System V message queues,
    /// rings in shared memory, queues of the bus that have no capacity), [`InvalidInput`](ErrorKind::InvalidInput) outside of
    /// a tokio runtime, and those of duplicating and registering a descriptor.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`, and later, of what is on the bus, without `enable_time`.
    pub fn new(sender: Sender) -> Result<Self> {
        let origin = sender.origin().clone();
        // A rendezvous waits for an invitation before it has something to write.
        let watched = Watched::new(&sender, Register::READABLE | Register::WRITABLE, &origin)?;
        Ok(Self { sender: Some(sender), watched, origin, queued: None })
    }

    /// Sends a message: waits until the channel accepts it.
    ///
    /// Into a stream of bytes, some of it may not have found room yet; [`flush`](Self::flush) waits for that. Where the
    /// capacity is zero, it waits until the receiver has asked for the message, not until it has taken it.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing of the message has been sent.
    ///
    /// # Errors
    /// Those of [`Sender::send`] but [`TimedOut`](ErrorKind::TimedOut).
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_with(message, &Attributes::NONE).await
    }

    /// As [`send`](Self::send), with something that goes along.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    ///
    /// # Errors
    /// Those of [`Sender::send_with`].
    pub async fn send_with(&mut self, message: &[u8], attributes: &Attributes<'_>) -> Result<()> {
        poll_fn(|context| self.poll_send(context, message, attributes)).await
    }

    /// Waits until everything that was accepted has been passed on.
    ///
    /// # Cancel safety
    /// If the future is dropped, what is left is kept and goes first the next time.
    ///
    /// # Errors
    /// Those of [`Sender::flush`].
    pub async fn flush(&mut self) -> Result<()> {
        poll_fn(|context| self.poll_through(context)).await
    }

    /// Ends the sending: passes on what was accepted, and tells the receiver that no more will come. Afterwards all else
    /// fails.
    ///
    /// # Cancel safety
    /// If the future is dropped, the sender is still open, or closed; nothing is lost.
    ///
    /// # Errors
    /// Those of [`Sender::close`].
    pub async fn close(&mut self) -> Result<()> {
        poll_fn(|context| self.poll_end(context)).await
    }

    /// The sender; `None` once closed.
    pub fn get_ref(&self) -> Option<&Sender> {
        self.sender.as_ref()
    }

    /// Takes the sender out, unless it was closed. A message that the `Sink` has accepted and the channel not yet is
    /// lost: flush first.
    pub fn into_inner(self) -> Option<Sender> {
        self.sender
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        message: &[u8],
        attributes: &Attributes<'_>,
    ) -> Poll<Result<()>> {
        ready!(self.poll_queued(context))?;
        self.poll_sender(context, |sender| sender.send_with(message, attributes, Wait::never()))
    }

    /// Has the channel accept what the sink has.
    fn poll_queued(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(message) = self.queued.take() else { return Poll::Ready(Ok(())) };
        let sent = self.poll_sender(context, |sender| sender.try_send(&message));
        if sent.is_pending() {
            self.queued = Some(message);
        }
        sent
    }

    pub(super) fn poll_through(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_queued(context))?;
        while self.holds_back() {
            ready!(self.poll_sender(context, |sender| sender.flush(Wait::never())))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.sender.is_none() {
            return Poll::Ready(Ok(()));
        }
        let through = ready!(self.poll_through(context));
        let closed = self.sender.take().map_or(Ok(()), |sender| sender.close(Wait::never()));
        Poll::Ready(through.and(closed))
    }

    pub(super) fn holds_back(&self) -> bool {
        self.queued.is_some() || self.sender.as_ref().is_some_and(Sender::holds_back)
    }

    fn poll_sender(
        &mut self,
        context: &mut Context<'_>,
        attempt: impl FnMut(&mut Sender) -> Result<()>,
    ) -> Poll<Result<()>> {
        let Some(sender) = &mut self.sender else { return Poll::Ready(Err(closed(&self.origin))) };
        self.watched.poll(context, sender, attempt)
    }
}

fn closed(origin: &Origin) -> Error {
    origin.refused("send to", ErrorKind::InvalidInput, "it has been closed")
}

/// Each item is a message. The sink accepts one that the channel has no room for; `poll_flush` and `poll_ready` send it.
impl Sink<Vec<u8>> for AsyncSender {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_queued(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Vec<u8>) -> Result<()> {
        if self.queued.is_some() {
            let why = "the sink is not ready: poll_ready comes first";
            return Err(self.origin.refused("send to", ErrorKind::InvalidInput, why));
        }
        let Some(sender) = &mut self.sender else { return Err(closed(&self.origin)) };
        match sender.try_send(&message) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.queued = Some(message);
                Ok(())
            }
            sent => sent,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_through(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_end(context)
    }
}

impl fmt::Debug for AsyncSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncSender").field(&self.sender).finish()
    }
}
