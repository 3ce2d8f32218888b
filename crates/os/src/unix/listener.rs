//! Listening sockets.

use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{SocketFlags, accept_with};

use crate::inherit::inherited_as;
use crate::net::Options;
use crate::net::accept::Accepting;
use crate::net::transfer::or_ended;
use crate::unix::bind::unlink_guard;
use crate::unix::socket::Socket;
use crate::unix::{Address, BindOptions, Credentials, Seqpacket, Stream, UnlinkGuard};
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Object, Result, Wait};

/// A listening socket that accepts connections of type `S`: [`Stream`] or [`Seqpacket`].
///
/// ```
/// use twixt_os::unix::{Address, Stream, StreamListener};
/// # let scratch = twixt_testkit::scratch();
/// # let path = scratch.path().join("socket");
/// let address = Address::path(&path)?;
/// let listener = StreamListener::bind(&address)?;
/// let client = Stream::connect(&address)?;
/// let server = listener.accept()?;
/// client.send_all(b"ping")?;
/// let mut buffer = [0; 16];
/// assert_eq!(server.receive(&mut buffer)?, 4);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// The path stays when this is dropped; [`Listener::unlink_on_drop`] removes it.
///
/// Bound here, the descriptor is non-blocking, so that every form of [`accept`](Self::accept) keeps its word however many
/// threads and processes accept; [`BindOptions::blocking`] has it otherwise. One that was adopted or
/// inherited stays as it is, since others may share it. If it blocks, then [`accept`](Self::accept) is the one call that it
/// is in C, but the forms that do not wait, or not for ever, ask `ppoll(2)` first: should another acceptor take the
/// connection between the two calls, they wait for the next one, past their deadline too, as `accept(2)` can be told no
/// better.
#[derive(Debug)]
pub struct Listener<S> {
    socket: Socket,
    accepting: Accepting,
    accepts: PhantomData<fn() -> S>,
}

/// The listening socket of a [`Stream`] server.
pub type StreamListener = Listener<Stream>;

/// The listening socket of a [`Seqpacket`] server.
pub type SeqpacketListener = Listener<Seqpacket>;

/// The connected sockets that a [`Listener`] can accept.
pub trait Connection: sealed::Connection {}

impl Connection for Stream {}
impl Connection for Seqpacket {}

pub(super) mod sealed {
    use super::Socket;
    use crate::{Mechanism, Result};

    pub trait Connection: Sized {
        #[doc(hidden)]
        const MECHANISM: Mechanism;
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "nobody outside can call it")]
        fn connected(socket: Socket) -> Result<Self>;
    }
}

impl<S: Connection> Listener<S> {
    /// `socket(2)`, `bind(2)` and `listen(2)` with the defaults of [`BindOptions`]: a new socket file of mode 0600.
    ///
    /// # Errors
    /// Those of [`BindOptions::listen`].
    pub fn bind(address: &Address) -> Result<Self> {
        BindOptions::new().listen(address)
    }

    pub(super) fn new(socket: Socket, accepting: Accepting) -> Self {
        Self { socket, accepting, accepts: PhantomData }
    }

    /// `accept4(2)`: the next connection; waits for one.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) when this process (`RLIMIT_NOFILE`) or the system (`fs.file-max`) has no
    /// descriptor left; the connection then stays in the backlog. [`Removed`](crate::ErrorKind::Removed) once it was
    /// [shut down](Listener::shutdown) and the backlog is empty.
    #[doc(alias = "accept4")]
    pub fn accept(&self) -> Result<S> {
        self.accept_wait(Wait::forever())
    }

    /// As [`Listener::accept`], without waiting.
    ///
    /// # Errors
    /// As [`Listener::accept`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) if nobody has connected.
    pub fn try_accept(&self) -> Result<S> {
        self.accept_wait(Wait::never())
    }

    /// As [`Listener::accept`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Listener::accept`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn accept_deadline(&self, deadline: Deadline) -> Result<S> {
        self.accept_wait(Wait::until(deadline))
    }

    /// As [`Listener::accept`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Listener::accept`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn accept_interruptible(&self) -> Result<S> {
        self.accept_wait(Wait::forever().interruptible())
    }

    /// The general form of [`Listener::accept`].
    ///
    /// # Errors
    /// As [`Listener::accept`], and what the named forms add, according to `wait`.
    pub fn accept_wait(&self, wait: Wait) -> Result<S> {
        let accept = || accept_with(self.as_fd(), SocketFlags::CLOEXEC);
        let fd = self
            .accepting
            .accept(self.as_fd(), wait, || or_ended(self.as_fd(), wait, accept, || Err(Errno::INVAL)))
            .map_err(|errno| accept_error(S::MECHANISM, self.socket.object.clone(), errno))?;
        S::connected(Socket::new(fd, S::MECHANISM, self.socket.object.clone()))
    }

    /// A guard that removes the socket file when it is dropped; the listener can be used on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the address is not a path.
    pub fn unlink_on_drop(&self) -> Result<UnlinkGuard> {
        unlink_guard(S::MECHANISM, &self.local_address()?)
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(S::MECHANISM, number)?.try_into()
    }

    /// The address it is bound to: `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`), and
    /// nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<Address> {
        self.socket.local_address()
    }

    /// The credentials of the process that called `listen(2)`, as a client's
    /// [`peer_credentials`](Stream::peer_credentials) sees them.
    ///
    /// # Errors
    /// None is expected: a socket that listens has them.
    #[doc(alias = "SO_PEERCRED")]
    pub fn credentials(&self) -> Result<Credentials> {
        self.socket.peer_credentials()
    }

    /// Has clients refused from here on; those that wait in the backlog can still be accepted.
    ///
    /// # Errors
    /// None is expected: what is shut down already may be shut down again.
    pub fn shutdown(&self) -> Result<()> {
        self.socket.shutdown(Shutdown::Read)
    }

    /// The options that all sockets have.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn options(&self) -> Options<'_> {
        self.socket.options()
    }

    /// The mechanism that errors name.
    pub fn mechanism(&self) -> Mechanism {
        S::MECHANISM
    }
}

pub(crate) fn accept_error(mechanism: Mechanism, object: Object, errno: Errno) -> Error {
    let error = Error::kernel(mechanism, "accept from", object, errno).with_descriptor_limit();
    match errno {
        Errno::INVAL => error.with_kind(ErrorKind::Removed).with_advice("the listening socket was shut down"),
        _ => error,
    }
}

/// Takes over a listening socket, from another process say. Whether it blocks is left as it is: what that means stands at
/// [`Listener`].
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is anything else.
impl<S: Connection> TryFrom<OwnedFd> for Listener<S> {
    type Error = crate::Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        let socket = Socket::adopt(fd, S::MECHANISM, true)?;
        Ok(Self::new(socket, Accepting::AfterPoll))
    }
}

/// Bound here, the descriptor is non-blocking, unless [`BindOptions::blocking`] was asked for.
impl<S> From<Listener<S>> for OwnedFd {
    fn from(listener: Listener<S>) -> Self {
        listener.socket.into_fd()
    }
}

impl<S> AsFd for Listener<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }
}
