//! The side that waits for connections.

use core::future::poll_fn;
use core::task::{Context, Poll};

use ::tokio::io::Interest as Register;
use twixt_os::Result;

use super::{AsyncDuplex, Watched};
use crate::{Duplex, Listener};

/// Accepts connections without blocking the task's thread.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::tokio::{AsyncDuplex, AsyncListener};
/// use twixt_channel::{Duplex, Listener};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
/// # runtime.block_on(async {
/// let address: Address = "unix-seqpacket:@twixt-tokio-listener-doc".parse()?;
/// let mut listener = AsyncListener::new(Listener::open(&address)?)?;
/// tokio::spawn(async move {
///     let mut client = listener.accept().await?;
///     let request = client.receive().await?;
///     client.send(&request.bytes().to_ascii_uppercase()).await
/// });
/// let mut server = AsyncDuplex::new(Duplex::open(&address)?)?;
/// server.send(b"hello").await?;
/// assert_eq!(server.receive().await?.bytes(), b"HELLO");
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncListener {
    listener: Listener,
    watched: Watched,
}

impl AsyncListener {
    /// Accepts through a listener.
    ///
    /// # Errors
    /// [`Unsupported`](twixt_os::ErrorKind::Unsupported) if it has no descriptor that could be watched,
    /// [`InvalidInput`](twixt_os::ErrorKind::InvalidInput) outside of a tokio runtime, and those of duplicating and
    /// registering a descriptor.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn new(listener: Listener) -> Result<Self> {
        let watched = Watched::new(&listener, Register::READABLE, listener.origin())?;
        Ok(Self { listener, watched })
    }

    /// Waits for a connection.
    ///
    /// # Cancel safety
    /// If the future is dropped, nobody has been accepted.
    ///
    /// # Errors
    /// Those of [`Listener::accept`] and [`AsyncDuplex::new`].
    pub async fn accept(&mut self) -> Result<AsyncDuplex> {
        AsyncDuplex::new(poll_fn(|context| self.poll_accept(context)).await?)
    }

    /// The listener.
    pub fn get_ref(&self) -> &Listener {
        &self.listener
    }

    /// Takes the listener out.
    pub fn into_inner(self) -> Listener {
        self.listener
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Duplex>> {
        self.watched.poll(context, &mut self.listener, |listener| listener.try_accept())
    }
}
