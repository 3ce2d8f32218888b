//! Raw sockets: IP packets of a protocol that no one else handles, or beside who does: `raw(7)`, `icmp(7)`.
//!
//! The worked example is the ICMP echo, see [`Ping`](super::ping::Ping).
//!
//! ```
//! use twixt_os::net::raw::{IpVersion, Protocol, Socket};
//! match Socket::open(IpVersion::V4, Protocol::ICMP) {
//!     Ok(_socket) => {}
//!     Err(error) => assert_eq!(error.kind(), twixt_os::ErrorKind::PermissionDenied, "needs CAP_NET_RAW"),
//! }
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with, sockopt,
};
use twixt_sys::socket::{IcmpFilter, set_header_included, set_icmp_filter};

use crate::net::inet::Socket as Inet;
use crate::net::{IpOptions, Options, transfer};
use crate::{Deadline, Errno, Error, ErrorKind, Limit, Mechanism, Object, Result, Wait};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl IpVersion {
    /// That of an address.
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn family(self) -> AddressFamily {
        match self {
            Self::V4 => AddressFamily::INET,
            Self::V6 => AddressFamily::INET6,
        }
    }
}

/// The number of a protocol above IP, as in `/etc/protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(u8);

impl Protocol {
    /// The control messages of IPv4.
    pub const ICMP: Self = Self(1);
    /// The control messages of IPv6.
    pub const ICMPV6: Self = Self(58);

    /// Any other; `None` for 0, which the kernel does not take.
    pub const fn new(number: u8) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// How much the kernel lets through, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// All packets of the protocol. IPv4 packets are received with their IP header, IPv6 ones without.
    Raw,
    /// ICMP echo alone, its own replies alone, and for users without privileges: a datagram socket on which the
    /// kernel fills in identifier and checksum.
    Ping,
}

/// A raw socket, or the unprivileged socket for ICMP echo.
///
/// ```
/// use twixt_os::ErrorKind;
/// use twixt_os::net::icmp::ipv4_payload;
/// use twixt_os::net::raw::{IpVersion, Protocol, Socket};
/// // A number that is set aside for experiments.
/// let socket = match Socket::open(IpVersion::V4, Protocol::new(253).unwrap()) {
///     Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
///     socket => socket?,
/// };
/// let localhost = "127.0.0.1".parse().unwrap();
/// socket.send_to(b"a packet", localhost)?;
/// let mut buffer = [0; 1500];
/// let (len, from) = socket.receive_from(&mut buffer)?;
/// assert_eq!(from, localhost);
/// assert_eq!(ipv4_payload(&buffer[..len]).unwrap().protocol, 253);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    inet: Inet,
    version: IpVersion,
    kind: Kind,
}

impl Socket {
    /// `socket(2)` with `SOCK_RAW`: receives every packet of that protocol that arrives at this machine.
    ///
    /// # Errors
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): without the capability `CAP_NET_RAW`;
    /// - [`LimitReached`](ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`).
    #[doc(alias = "SOCK_RAW")]
    pub fn open(version: IpVersion, protocol: Protocol) -> Result<Self> {
        Self::make(version, protocol, Kind::Raw)
    }

    /// `socket(2)` with `SOCK_DGRAM` and ICMP: the "ping socket", for which no capability is needed.
    ///
    /// # Errors
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): none of the process's groups lies in the range that
    ///   `net.ipv4.ping_group_range` sets (for IPv6 too); root is no exception;
    /// - [`LimitReached`](ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`).
    #[doc(alias = "IPPROTO_ICMP")]
    pub fn ping(version: IpVersion) -> Result<Self> {
        let protocol = match version {
            IpVersion::V4 => Protocol::ICMP,
            IpVersion::V6 => Protocol::ICMPV6,
        };
        Self::make(version, protocol, Kind::Ping)
    }

    fn make(version: IpVersion, protocol: Protocol, kind: Kind) -> Result<Self> {
        let kernel_type = match kind {
            Kind::Raw => SocketType::RAW,
            Kind::Ping => SocketType::DGRAM,
        };
        let object = Object::name(match (kind, protocol) {
            (Kind::Ping, _) => "for ICMP echo".to_owned(),
            (_, Protocol::ICMP) => "for ICMP".to_owned(),
            (_, Protocol::ICMPV6) => "for ICMPv6".to_owned(),
            (_, other) => format!("for protocol {}", other.0),
        });
        let raw = core::num::NonZeroU32::new(protocol.0.into()).map(rustix::net::Protocol::from_raw);
        let made = socket_with(version.family(), kernel_type, SocketFlags::CLOEXEC, raw);
        let fd = made.map_err(|errno| {
            let error = Error::kernel(Mechanism::Raw, "open", object.clone(), errno).with_descriptor_limit();
            match (kind, errno) {
                (Kind::Raw, Errno::PERM | Errno::ACCESS) => error.with_advice(
                    "give the program the capability CAP_NET_RAW; for ICMP echo, Socket::ping needs none",
                ),
                (Kind::Ping, Errno::PERM | Errno::ACCESS) => error
                    .with_advice("the sysctl net.ipv4.ping_group_range must include a group of this process"),
                _ => error,
            }
        })?;
        Ok(Self { inet: Inet::new(fd, Mechanism::Raw, object), version, kind })
    }

    /// The IP version.
    pub fn version(&self) -> IpVersion {
        self.version
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `sendto(2)`: sends a packet, to which the kernel adds the IP header. While the send buffer (`SO_SNDBUF`) is full of
    /// packets that wait for the network, it waits on ping sockets and where the [header is
    /// included](Socket::set_header_included); elsewhere the kernel does not wait, but fails.
    ///
    /// On IPv6 the kernel computes the checksum of ICMPv6; elsewhere it is the sender's.
    ///
    /// # Errors
    /// - [`TooLong`](ErrorKind::TooLong): the packet is longer than IP takes;
    /// - [`InvalidInput`](ErrorKind::InvalidInput): an address of the other IP version, or a packet that a ping socket
    ///   does not send (anything but an echo request);
    /// - [`LimitReached`](ErrorKind::LimitReached): the send buffer is full, and the kernel does not wait (`ENOBUFS`);
    ///   its size is `net.core.wmem_default` (212992), or twice what [`Options::set_send_buffer`] says;
    /// - [`NoPeer`](ErrorKind::NoPeer): no route leads there.
    #[doc(alias = "sendto")]
    pub fn send_to(&self, packet: &[u8], to: IpAddr) -> Result<()> {
        self.send_to_wait(packet, to, Wait::forever())
    }

    /// As [`Socket::send_to`], without waiting.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_to(&self, packet: &[u8], to: IpAddr) -> Result<()> {
        self.send_to_wait(packet, to, Wait::never())
    }

    /// As [`Socket::send_to`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_to_deadline(&self, packet: &[u8], to: IpAddr, deadline: Deadline) -> Result<()> {
        self.send_to_wait(packet, to, Wait::until(deadline))
    }

    /// As [`Socket::send_to`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_to_interruptible(&self, packet: &[u8], to: IpAddr) -> Result<()> {
        self.send_to_wait(packet, to, Wait::forever().interruptible())
    }

    /// The general form of [`Socket::send_to`].
    ///
    /// # Errors
    /// As [`Socket::send_to`], and what the named forms add, according to `wait`.
    pub fn send_to_wait(&self, packet: &[u8], to: IpAddr, wait: Wait) -> Result<()> {
        let address = SocketAddr::new(to, 0);
        let sent = wait.on_descriptor(self.as_fd(), PollFlags::OUT, |attempt| {
            sendto(self.as_fd(), packet, transfer::send_flags(attempt), &address)
        });
        sent.map(drop).map_err(|errno| self.send_error(errno).with_object(Object::name(to.to_string())))
    }

    /// `recvfrom(2)`: receives a packet; says how long it is and where it came from. On raw IPv4 sockets the IP
    /// header comes first: see [`icmp::ipv4_payload`](super::icmp::ipv4_payload).
    ///
    /// # Errors
    /// [`Malformed`](ErrorKind::Malformed) or [`TooLong`](ErrorKind::TooLong): the packet is longer than the buffer; see
    /// [`Socket::keep_long_messages`].
    #[doc(alias = "recvfrom")]
    pub fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, IpAddr)> {
        self.receive_from_wait(buffer, Wait::forever())
    }

    /// As [`Socket::receive_from`], without waiting.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_from(&self, buffer: &mut [u8]) -> Result<(usize, IpAddr)> {
        self.receive_from_wait(buffer, Wait::never())
    }

    /// As [`Socket::receive_from`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_from_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<(usize, IpAddr)> {
        self.receive_from_wait(buffer, Wait::until(deadline))
    }

    /// As [`Socket::receive_from`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_from_interruptible(&self, buffer: &mut [u8]) -> Result<(usize, IpAddr)> {
        self.receive_from_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Socket::receive_from`].
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and what the named forms add, according to `wait`.
    pub fn receive_from_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<(usize, IpAddr)> {
        let room = buffer.len();
        let take = |flags: RecvFlags| {
            let (_, len, from) = recvfrom(self.as_fd(), &mut *buffer, flags)?;
            let from = SocketAddr::try_from(from.ok_or(Errno::AFNOSUPPORT)?)?;
            Ok(((len, from.ip()), len))
        };
        let ended = || Err(Errno::SHUTDOWN);
        let taken = transfer::take_message(self.as_fd(), room, self.inet.keeps(), wait, take, ended);
        self.inet.whole(taken, room)
    }

    /// Lets only ICMP messages of these types through. On IPv4 the types above 31 always pass.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) on anything but a raw ICMP socket.
    #[doc(alias = "ICMP_FILTER")]
    #[doc(alias = "ICMP6_FILTER")]
    pub fn pass_only(&self, types: &[u8]) -> Result<()> {
        let version = match self.version {
            IpVersion::V4 => IcmpFilter::V4,
            IpVersion::V6 => IcmpFilter::V6,
        };
        set_icmp_filter(self.as_fd(), version, types)
            .map_err(|errno| self.inet.error("set the ICMP filter of", errno))
    }

    /// Whether what is sent begins with its own IPv4 header; the kernel still fills in its checksum, its length and what
    /// is zero of source and identification.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) on IPv6 and on ping sockets.
    #[doc(alias = "IP_HDRINCL")]
    pub fn set_header_included(&self, on: bool) -> Result<()> {
        if (self.version, self.kind) != (IpVersion::V4, Kind::Raw) {
            let why = "only raw IPv4 sockets can bring their own header";
            return Err(self.inet.refuse("include the header on", ErrorKind::Unsupported, why));
        }
        set_header_included(self.as_fd(), on).map_err(|errno| self.inet.error("include the header on", errno))
    }

    /// Receives only what comes for this local address, and sends from it: `bind(2)`. On ping sockets the identifier of
    /// the echoes becomes `identifier`, or one of the kernel's choice if it is 0.
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound): no interface has that address;
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): another ping socket has that identifier;
    /// - [`InvalidInput`](ErrorKind::InvalidInput): an address of the other IP version, or bound already.
    pub fn bind(&self, address: IpAddr, identifier: u16) -> Result<()> {
        let port = if self.kind == Kind::Ping { identifier } else { 0 };
        rustix::net::bind(self.as_fd(), &SocketAddr::new(address, port))
            .map_err(|errno| super::inet::bind_error(&self.inet, errno))
    }

    /// The identifier that the kernel has given to a ping socket's echoes; 0 before the first one, and on raw sockets.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`), and
    /// nothing else.
    pub fn identifier(&self) -> Result<u16> {
        match self.kind {
            Kind::Raw => Ok(0),
            Kind::Ping => self.inet.local_address().map(|address| address.port()),
        }
    }

    /// Whether a packet that is longer than the buffer stays in the queue, at the price of a second system call. Off at
    /// first: such a packet is lost but for its beginning, and the error says so.
    #[doc(alias = "MSG_TRUNC")]
    pub fn keep_long_messages(&self, keep: bool) {
        self.inet.keep_long_messages(keep);
    }

    /// The options that all sockets have: buffer sizes, queue lengths.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn options(&self) -> Options<'_> {
        self.inet.options()
    }

    /// The options that IP sockets have: hop limit, traffic class, device.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn ip_options(&self) -> IpOptions<'_> {
        self.inet.ip_options()
    }

    fn send_error(&self, errno: Errno) -> Error {
        let error = self.inet.error("send to", errno);
        if errno != Errno::NOBUFS {
            return error;
        }
        let current = sockopt::socket_send_buffer_size(self.as_fd()).ok().map(|bytes| bytes as u64);
        error.with_limit(Limit { name: "SO_SNDBUF", current, needed: None }).with_advice(
            "what was sent before waits for the network; send again later, or set a larger buffer",
        )
    }

    pub(super) fn refuse(&self, kind: ErrorKind, why: &'static str) -> Error {
        self.inet.refuse("receive from", kind, why)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.inet.fd
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inet.fd.as_fd()
    }
}
