//! Listening TCP sockets.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{SocketFlags, SocketType, accept_with, bind, listen, sockopt};

use twixt_sys::socket::set_fast_open;

use super::connect::set_buffers;
use crate::inherit::inherited_as;
use crate::net::accept::Accepting;
use crate::net::inet::{self, Socket};
use crate::net::tcp::Stream;
use crate::net::{IpOptions, Options};
use crate::unix::accept_error;
use crate::{Deadline, Errno, Mechanism, Result, Wait};

/// A listening TCP socket.
///
/// ```
/// use twixt_os::net::tcp::{Listener, Stream};
/// let listener = Listener::bind("127.0.0.1:0")?;
/// let client = Stream::connect(listener.local_address()?)?;
/// let server = listener.accept()?;
/// assert_eq!(server.peer_address()?, client.local_address()?);
/// assert_eq!(listener.try_accept().unwrap_err().kind(), twixt_os::ErrorKind::WouldBlock);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// Bound here, the descriptor is non-blocking, so that every form of [`accept`](Self::accept) keeps its word however many
/// threads and processes accept; [`ListenOptions::blocking`] has it otherwise. One that was adopted or
/// inherited stays as it is, since others may share it. If it blocks, then [`accept`](Self::accept) is the one call that it
/// is in C, but the forms that do not wait, or not for ever, ask `ppoll(2)` first: should another acceptor take the
/// connection between the two calls, they wait for the next one, past their deadline too, as `accept(2)` can be told no
/// better.
/// The connections that it accepts block.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    accepting: Accepting,
}

impl Listener {
    /// `socket(2)`, `bind(2)` and `listen(2)` with the defaults of [`ListenOptions`]. Port 0 has the kernel choose one.
    ///
    /// # Errors
    /// Those of [`ListenOptions::listen`].
    pub fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        ListenOptions::new().listen(address)
    }

    /// `accept4(2)`: the next connection; waits for one. A connection that was given up while it waited is passed over.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) when this process (`RLIMIT_NOFILE`) or the system (`fs.file-max`) has no
    /// descriptor left; the connection then stays in the backlog. [`Removed`](crate::ErrorKind::Removed) once it was
    /// [shut down](Listener::shutdown).
    #[doc(alias = "accept4")]
    pub fn accept(&self) -> Result<Stream> {
        self.accept_wait(Wait::forever())
    }

    /// As [`Listener::accept`], without waiting.
    ///
    /// # Errors
    /// As [`Listener::accept`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) if nobody has connected.
    pub fn try_accept(&self) -> Result<Stream> {
        self.accept_wait(Wait::never())
    }

    /// As [`Listener::accept`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Listener::accept`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn accept_deadline(&self, deadline: Deadline) -> Result<Stream> {
        self.accept_wait(Wait::until(deadline))
    }

    /// As [`Listener::accept`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Listener::accept`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn accept_interruptible(&self) -> Result<Stream> {
        self.accept_wait(Wait::forever().interruptible())
    }

    /// The general form of [`Listener::accept`].
    ///
    /// # Errors
    /// As [`Listener::accept`], and what the named forms add, according to `wait`.
    pub fn accept_wait(&self, wait: Wait) -> Result<Stream> {
        let accept = || loop {
            match accept_with(self.as_fd(), SocketFlags::CLOEXEC) {
                // What accept(2) passes on from the network is no error of the listening socket.
                Err(Errno::CONNABORTED | Errno::PROTO | Errno::NETDOWN | Errno::HOSTUNREACH) => {}
                outcome => return outcome,
            }
        };
        let object = || self.socket.object.clone();
        let fd = self
            .accepting
            .accept(self.as_fd(), wait, accept)
            .map_err(|errno| accept_error(Mechanism::Tcp, object(), errno))?;
        Ok(Stream { socket: Socket::new(fd, Mechanism::Tcp, object()) })
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::Tcp, number)?.try_into()
    }

    /// The address it is bound to: `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`),
    /// and nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Has clients refused from here on, those in the backlog too; whoever waits in [`Listener::accept`] is told.
    ///
    /// # Errors
    /// [`NoPeer`](crate::ErrorKind::NoPeer) if it was shut down before (`ENOTCONN`).
    pub fn shutdown(&self) -> Result<()> {
        self.socket.shutdown(std::net::Shutdown::Read)
    }

    /// How many connections may bring data before their handshake is done: [`ListenOptions::fast_open`].
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "TCP_FASTOPEN")]
    pub fn fast_open(&self) -> Result<u32> {
        let queue = twixt_sys::socket::fast_open(self.as_fd()).map(i32::cast_unsigned);
        self.options().of("read fast-open of", queue)
    }

    /// The options that all sockets have. The connections that it accepts begin with them.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn options(&self) -> Options<'_> {
        self.socket.options()
    }

    /// The options that IP sockets have: hop limit, traffic class, device. The connections that it accepts begin with them.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn ip_options(&self) -> IpOptions<'_> {
        self.socket.ip_options()
    }
}

/// How to make a [`Listener`].
///
/// ```
/// use twixt_os::net::tcp::ListenOptions;
/// let one = ListenOptions::new().reuse_port(true).backlog(16).listen("127.0.0.1:0")?;
/// let other = ListenOptions::new().reuse_port(true).listen(one.local_address()?)?;
/// assert_eq!(one.local_address()?, other.local_address()?);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "this only says how; `listen` does it"]
pub struct ListenOptions {
    backlog: i32,
    reuse_address: bool,
    reuse_port: bool,
    dual_stack: Option<bool>,
    blocking: bool,
    fast_open: Option<u32>,
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
}

/// As many as the kernel allows by default (`net.core.somaxconn` since Linux 5.4).
const DEFAULT_BACKLOG: i32 = 4096;

impl ListenOptions {
    /// A backlog of 4096, the address reusable after a restart.
    pub const fn new() -> Self {
        Self {
            backlog: DEFAULT_BACKLOG,
            reuse_address: true,
            reuse_port: false,
            dual_stack: None,
            blocking: false,
            fast_open: None,
            send_buffer: None,
            receive_buffer: None,
        }
    }

    /// How many connections may wait to be accepted; more than `net.core.somaxconn` means that.
    pub const fn backlog(self, connections: u32) -> Self {
        let backlog = if connections > i32::MAX as u32 { i32::MAX } else { connections.cast_signed() };
        Self { backlog, ..self }
    }

    /// Whether the address can be bound while connections of a server before linger in TIME_WAIT: on, unless set
    /// otherwise. It never lets two listening sockets share an address.
    #[doc(alias = "SO_REUSEADDR")]
    pub const fn reuse_address(self, on: bool) -> Self {
        Self { reuse_address: on, ..self }
    }

    /// Whether several listening sockets of the same user may share the address, if all say so; the kernel
    /// distributes the connections.
    #[doc(alias = "SO_REUSEPORT")]
    pub const fn reuse_port(self, on: bool) -> Self {
        Self { reuse_port: on, ..self }
    }

    /// Whether a socket bound to `[::]` takes IPv4 connections too; by default as `net.ipv6.bindv6only` says (it does).
    /// Means nothing on IPv4.
    #[doc(alias = "IPV6_V6ONLY")]
    pub const fn dual_stack(self, on: bool) -> Self {
        Self { dual_stack: Some(on), ..self }
    }

    /// Whether the descriptor blocks: off, unless set otherwise.
    ///
    /// On, waiting for a connection is the one call that it is in C, rather than an `accept(2)` that finds none, a
    /// `ppoll(2)` and another `accept(2)`; and a program that it is passed to finds what it expects. But
    /// [`Listener::try_accept`] and [`Listener::accept_deadline`] can wait too long then, if several threads or processes
    /// accept: see [`Listener`].
    #[doc(alias = "O_NONBLOCK")]
    #[doc(alias = "fcntl")]
    pub const fn blocking(self, on: bool) -> Self {
        Self { blocking: on, ..self }
    }

    /// Lets clients send data along with the first packet, if they have been here before: TCP Fast Open, for up to so
    /// many connections whose handshake is not done. Off at first.
    ///
    /// It has an effect if `net.ipv4.tcp_fastopen` has the bit 2 (it is 1 by default: clients only). A repeated first
    /// packet can bring the same data twice, so it is for requests that may be.
    #[doc(alias = "TCP_FASTOPEN")]
    pub const fn fast_open(self, connections: u32) -> Self {
        Self { fast_open: Some(connections), ..self }
    }

    /// The send buffer that accepted connections begin with, as [`Options::set_send_buffer`].
    #[doc(alias = "SO_SNDBUF")]
    pub const fn send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer: Some(bytes), ..self }
    }

    /// The receive buffer that accepted connections begin with, as [`Options::set_receive_buffer`]. What window the
    /// handshake can agree upon depends on it, so a large one must be set here rather than on the connection.
    #[doc(alias = "SO_RCVBUF")]
    pub const fn receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer: Some(bytes), ..self }
    }

    /// Listens at the first of the addresses that can be bound.
    ///
    /// # Errors
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists): another socket listens there;
    /// - [`NotFound`](crate::ErrorKind::NotFound): no interface has that address, or no such host;
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a port below `net.ipv4.ip_unprivileged_port_start` (1024
    ///   by default), without the capability `CAP_NET_BIND_SERVICE`;
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`).
    pub fn listen(&self, address: impl ToSocketAddrs) -> Result<Listener> {
        inet::first(Mechanism::Tcp, "bind", address, |address| {
            let mut socket = Socket::make(Mechanism::Tcp, "bind", address, SocketType::STREAM)?;
            set_buffers(socket.options(), self.send_buffer, self.receive_buffer)?;
            let made = self.apply(socket.fd.as_fd(), &address);
            let accepting = made.map_err(|errno| inet::bind_error(&socket, errno))?;
            // With the port that the kernel chose.
            socket.object = inet::object(&socket.local_address()?);
            Ok(Listener { socket, accepting })
        })
    }

    fn apply(&self, fd: BorrowedFd<'_>, address: &SocketAddr) -> Result<Accepting, Errno> {
        if self.reuse_address {
            sockopt::set_socket_reuseaddr(fd, true)?;
        }
        if self.reuse_port {
            sockopt::set_socket_reuseport(fd, true)?;
        }
        if let (Some(dual), SocketAddr::V6(_)) = (self.dual_stack, address) {
            sockopt::set_ipv6_v6only(fd, !dual)?;
        }
        bind(fd, address)?;
        if let Some(connections) = self.fast_open {
            set_fast_open(fd, connections.try_into().unwrap_or(i32::MAX))?;
        }
        listen(fd, self.backlog)?;
        Accepting::of_new(fd, self.blocking)
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes over a listening socket, from another process say. Whether it blocks is left as it is: what that means stands at
/// [`Listener`].
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is anything else.
impl TryFrom<OwnedFd> for Listener {
    type Error = crate::Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        let socket = Socket::adopt(fd, Mechanism::Tcp, SocketType::STREAM, true)?;
        Ok(Self { socket, accepting: Accepting::AfterPoll })
    }
}

/// Bound here, the descriptor is non-blocking, unless [`ListenOptions::blocking`] was asked for.
impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.socket.fd
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }
}
