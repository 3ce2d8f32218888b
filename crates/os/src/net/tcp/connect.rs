//! Connecting with a deadline: without blocking, with a poll for the outcome.

use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_error;
use twixt_sys::socket::set_choose_port_late;

use crate::net::Options;
use crate::net::inet::{Socket, bind_error, first, object};
use crate::net::tcp::{Keepalive, Stream};
use crate::{Deadline, Errno, Error, ErrorKind, Limit, Mechanism, Result, Wait};

/// How to make a connection: what is to be set before the handshake.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::Deadline;
/// use twixt_os::net::tcp::{ConnectOptions, Listener};
/// let listener = Listener::bind("127.0.0.1:0")?;
/// let options = ConnectOptions::new()
///     .local_address("127.0.0.2:0".parse().unwrap())
///     .receive_buffer(1 << 16)
///     .no_delay(true);
/// let soon = Deadline::after(Duration::from_secs(5));
/// let client = options.connect_deadline(listener.local_address()?, soon)?;
/// let server = listener.accept()?;
/// assert_eq!(server.peer_address()?.ip().to_string(), "127.0.0.2");
/// assert!(client.no_delay()?);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "this only says how; `connect` does it"]
pub struct ConnectOptions<'a> {
    local: Option<SocketAddr>,
    device: Option<&'a str>,
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
    no_delay: bool,
    keepalive: Option<Keepalive>,
    user_timeout: Option<Duration>,
    hops: Option<u8>,
    traffic_class: Option<u8>,
}

impl<'a> ConnectOptions<'a> {
    /// Everything as the kernel has it.
    pub const fn new() -> Self {
        Self {
            local: None,
            device: None,
            send_buffer: None,
            receive_buffer: None,
            no_delay: false,
            keepalive: None,
            user_timeout: None,
            hops: None,
            traffic_class: None,
        }
    }

    /// The address to connect from, which must be of the same IP version. With port 0 the kernel chooses one when it
    /// connects, and so may use one port for connections to different peers (`IP_BIND_ADDRESS_NO_PORT`).
    #[doc(alias = "bind")]
    #[doc(alias = "IP_BIND_ADDRESS_NO_PORT")]
    pub const fn local_address(self, address: SocketAddr) -> Self {
        Self { local: Some(address), ..self }
    }

    /// The network interface to connect by, as [`IpOptions::set_device`](crate::net::IpOptions::set_device).
    #[doc(alias = "SO_BINDTODEVICE")]
    pub const fn device(self, name: &'a str) -> Self {
        Self { device: Some(name), ..self }
    }

    /// The send buffer, in bytes, as [`Options::set_send_buffer`].
    #[doc(alias = "SO_SNDBUF")]
    pub const fn send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer: Some(bytes), ..self }
    }

    /// The receive buffer, in bytes, as [`Options::set_receive_buffer`]. What window the handshake can agree upon
    /// depends on it, so a large one must be set here rather than on the connection.
    #[doc(alias = "SO_RCVBUF")]
    pub const fn receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer: Some(bytes), ..self }
    }

    /// Whether small pieces are sent at once, as [`Stream::set_no_delay`].
    #[doc(alias = "TCP_NODELAY")]
    pub const fn no_delay(self, on: bool) -> Self {
        Self { no_delay: on, ..self }
    }

    /// When to ask whether a silent peer is still there, as [`Stream::set_keepalive`].
    #[doc(alias = "SO_KEEPALIVE")]
    pub const fn keepalive(self, keepalive: Keepalive) -> Self {
        Self { keepalive: Some(keepalive), ..self }
    }

    /// How long bytes may stay unacknowledged, as [`Stream::set_user_timeout`]; the handshake is given up then, too.
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub const fn user_timeout(self, timeout: Duration) -> Self {
        Self { user_timeout: Some(timeout), ..self }
    }

    /// How many routers a packet may pass, as [`IpOptions::set_hops`](crate::net::IpOptions::set_hops).
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_UNICAST_HOPS")]
    pub const fn hops(self, hops: u8) -> Self {
        Self { hops: Some(hops), ..self }
    }

    /// The mark of the packets, as [`IpOptions::set_traffic_class`](crate::net::IpOptions::set_traffic_class).
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub const fn traffic_class(self, class: u8) -> Self {
        Self { traffic_class: Some(class), ..self }
    }

    /// As [`Stream::connect`], with these options.
    ///
    /// # Errors
    /// As [`Stream::connect`], those of the options, and for the local address
    /// - [`NotFound`](ErrorKind::NotFound): no interface has it;
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): another socket has its port, or a connection lingers there in
    ///   TIME_WAIT;
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): its port is below `net.ipv4.ip_unprivileged_port_start`
    ///   (1024 by default), without the capability `CAP_NET_BIND_SERVICE`;
    /// - [`InvalidInput`](ErrorKind::InvalidInput): it is of the other IP version.
    pub fn connect(&self, address: impl ToSocketAddrs) -> Result<Stream> {
        self.connect_wait(address, Wait::forever())
    }

    /// As [`ConnectOptions::connect`], without waiting.
    ///
    /// # Errors
    /// As [`ConnectOptions::connect`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_connect(&self, address: impl ToSocketAddrs) -> Result<Stream> {
        self.connect_wait(address, Wait::never())
    }

    /// As [`ConnectOptions::connect`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`ConnectOptions::connect`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn connect_deadline(&self, address: impl ToSocketAddrs, deadline: Deadline) -> Result<Stream> {
        self.connect_wait(address, Wait::until(deadline))
    }

    /// As [`ConnectOptions::connect`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`ConnectOptions::connect`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn connect_interruptible(&self, address: impl ToSocketAddrs) -> Result<Stream> {
        self.connect_wait(address, Wait::forever().interruptible())
    }

    /// The general form of [`ConnectOptions::connect`].
    ///
    /// # Errors
    /// As [`ConnectOptions::connect`], and what the named forms add, according to `wait`.
    pub fn connect_wait(&self, address: impl ToSocketAddrs, wait: Wait) -> Result<Stream> {
        first(Mechanism::Tcp, "connect to", address, |address| {
            let socket = Socket::make(Mechanism::Tcp, "connect to", address, SocketType::STREAM)?;
            let stream = Stream { socket };
            self.apply(&stream)?;
            attempt(&stream.socket, &address, wait).map_err(|errno| explain(&stream.socket, errno))?;
            Ok(stream)
        })
    }

    fn apply(&self, stream: &Stream) -> Result<()> {
        set_buffers(stream.options(), self.send_buffer, self.receive_buffer)?;
        if self.no_delay {
            stream.set_no_delay(true)?;
        }
        if self.keepalive.is_some() {
            stream.set_keepalive(self.keepalive)?;
        }
        if self.user_timeout.is_some() {
            stream.set_user_timeout(self.user_timeout)?;
        }
        if let Some(hops) = self.hops {
            stream.ip_options().set_hops(hops)?;
        }
        if let Some(class) = self.traffic_class {
            stream.ip_options().set_traffic_class(class)?;
        }
        if self.device.is_some() {
            stream.ip_options().set_device(self.device)?;
        }
        let Some(local) = self.local else { return Ok(()) };
        let bind = || {
            if local.port() == 0 {
                set_choose_port_late(stream.as_fd(), true)?;
            }
            rustix::net::bind(stream.as_fd(), &local)
        };
        bind().map_err(|errno| bind_error(&stream.socket, errno).with_object(object(&local)))
    }
}

/// Sets what the handshake depends on.
pub(super) fn set_buffers(options: Options<'_>, send: Option<usize>, receive: Option<usize>) -> Result<()> {
    if let Some(bytes) = send {
        options.set_send_buffer(bytes)?;
    }
    if let Some(bytes) = receive {
        options.set_receive_buffer(bytes)?;
    }
    Ok(())
}

fn attempt(socket: &Socket, address: &SocketAddr, wait: Wait) -> Result<(), Errno> {
    let fd = socket.fd.as_fd();
    let blocking = wait.is_forever();
    // The socket is new: no other process shares its description yet.
    if !blocking {
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    match rustix::net::connect(fd, address) {
        Ok(()) => {}
        Err(Errno::INTR) if wait == wait.interruptible() => return Err(Errno::INTR),
        // An interrupted attempt goes on; calling again would say EALREADY.
        Err(Errno::INTR | Errno::INPROGRESS) => {
            wait.poll(fd, PollFlags::OUT)?;
            socket_error(fd)??;
        }
        Err(errno) => return Err(errno),
    }
    if blocking { Ok(()) } else { rustix::io::ioctl_fionbio(fd, false) }
}

fn explain(socket: &Socket, errno: Errno) -> Error {
    let error = socket.error("connect to", errno);
    match errno {
        Errno::ADDRNOTAVAIL => error
            .with_kind(ErrorKind::LimitReached)
            .with_limit(Limit::sysctl("net.ipv4.ip_local_port_range", 1))
            .with_advice(
                "no local port is free for another connection to that address, or no interface reaches it",
            ),
        _ => error,
    }
}
