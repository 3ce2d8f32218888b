//! Both ends of a connection.

use core::future::poll_fn;
use core::task::Poll;

use twixt_os::Result;

use super::{AsyncReceiver, AsyncSender};
use crate::{Duplex, Message};

/// A connection, without blocking the task's thread. [The module](super) says what happens to futures that are dropped.
#[derive(Debug)]
pub struct AsyncDuplex {
    sender: AsyncSender,
    receiver: AsyncReceiver,
}

impl AsyncDuplex {
    /// Sends and receives through a connection.
    ///
    /// # Errors
    /// Those of [`AsyncSender::new`] and [`AsyncReceiver::new`].
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn new(connection: Duplex) -> Result<Self> {
        let (sender, receiver) = connection.split();
        Ok(Self { sender: AsyncSender::new(sender)?, receiver: AsyncReceiver::new(receiver)? })
    }

    /// As [`AsyncSender::send`].
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing of the message has been sent.
    ///
    /// # Errors
    /// Those of [`AsyncSender::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message).await
    }

    /// Receives a message: waits until there is one, and meanwhile passes on what was accepted for sending, so that the
    /// other side gets the whole request before it is to answer.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing has been taken.
    ///
    /// # Errors
    /// Those of [`AsyncReceiver::receive`]. Errors of passing on are left to the next send or flush.
    pub async fn receive(&mut self) -> Result<Message> {
        let mut message = Message::new();
        let Self { sender, receiver } = self;
        let mut failed = false;
        poll_fn(|context| {
            if !failed && sender.holds_back() {
                failed = matches!(sender.poll_through(context), Poll::Ready(Err(_)));
            }
            receiver.poll_receive(context, &mut message)
        })
        .await?;
        Ok(message)
    }

    /// As [`AsyncSender::flush`].
    ///
    /// # Cancel safety
    /// If the future is dropped, what is left is kept and goes first the next time.
    ///
    /// # Errors
    /// Those of [`AsyncSender::flush`].
    pub async fn flush(&mut self) -> Result<()> {
        self.sender.flush().await
    }

    /// As [`AsyncSender::close`]: the other side is told that no more will come, and can still send.
    ///
    /// # Cancel safety
    /// If the future is dropped, the sender is still open, or closed; nothing is lost.
    ///
    /// # Errors
    /// Those of [`AsyncSender::close`].
    pub async fn close(&mut self) -> Result<()> {
        self.sender.close().await
    }

    /// The sending half.
    pub fn sender(&mut self) -> &mut AsyncSender {
        &mut self.sender
    }

    /// The receiving half.
    pub fn receiver(&mut self) -> &mut AsyncReceiver {
        &mut self.receiver
    }

    /// Takes the halves apart, for two tasks.
    pub fn split(self) -> (AsyncSender, AsyncReceiver) {
        (self.sender, self.receiver)
    }
}
