//! The receiving end.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use ::tokio::io::Interest as Register;
use futures_core::Stream;
use twixt_os::{ErrorKind, Result, Wait};

use super::Watched;
use crate::{Message, Receiver};

/// Receives messages without blocking the task's thread. [The module](super) has an example and says what happens to
/// futures that are dropped.
///
/// It is a `Stream` of messages too, which ends when all senders have gone.
pub struct AsyncReceiver {
    receiver: Receiver,
    watched: Watched,
    /// The stream has come to its end.
    ended: bool,
}

impl AsyncReceiver {
    /// Receives through a receiver.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if it has no descriptor that could be watched (System V message queues,
    /// rings in shared memory), [`InvalidInput`](ErrorKind::InvalidInput) outside of a tokio runtime, and those of
    /// duplicating and registering a descriptor.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`, and later, of what is on the bus, without `enable_time`.
    pub fn new(receiver: Receiver) -> Result<Self> {
        let watched = Watched::new(&receiver, Register::READABLE, receiver.origin())?;
        Ok(Self { receiver, watched, ended: false })
    }

    /// Receives a message: waits until there is one.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing has been taken.
    ///
    /// # Errors
    /// Those of [`Receiver::receive`] but [`TimedOut`](ErrorKind::TimedOut).
    pub async fn receive(&mut self) -> Result<Message> {
        let mut message = Message::new();
        self.receive_into(&mut message).await?;
        Ok(message)
    }

    /// As [`receive`](Self::receive), into a message that was used before: nothing is allocated.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing has been taken, and `message` is empty.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_into(&mut self, message: &mut Message) -> Result<()> {
        message.clear();
        poll_fn(|context| self.poll_receive(context, message)).await
    }

    /// The receiver.
    pub fn get_ref(&self) -> &Receiver {
        &self.receiver
    }

    /// The receiver, to select types of messages, say.
    pub fn get_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Takes the receiver out.
    pub fn into_inner(self) -> Receiver {
        self.receiver
    }

    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        message: &mut Message,
    ) -> Poll<Result<()>> {
        let attempt = |receiver: &mut Receiver| receiver.receive_wait(message, Wait::never());
        self.watched.poll(context, &mut self.receiver, attempt)
    }
}

/// The messages, until all senders have gone, or after an error.
impl Stream for AsyncReceiver {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut message = Message::new();
        match ready!(self.poll_receive(context, &mut message)) {
            Ok(()) => Poll::Ready(Some(Ok(message))),
            Err(error) => {
                self.ended = true;
                let end = error.kind() == ErrorKind::PeerGone;
                Poll::Ready(if end { None } else { Some(Err(error)) })
            }
        }
    }
}

impl fmt::Debug for AsyncReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncReceiver").field(&self.receiver).finish()
    }
}
