//! The options that IP sockets have: `ip(7)`, `ipv6(7)`, `socket(7)`.

use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, sockopt};
use twixt_sys::socket::{self as sys, DeviceName};

use crate::net::Options;
use crate::{Errno, ErrorKind, Result};

/// The options that TCP, UDP and raw sockets share, from `ip_options()` of any of them.
///
/// They belong to the socket, so every process that has a descriptor of it shares them. Of one option IPv4 and IPv6 have
/// two versions; these methods set the one that counts, and on IPv6 sockets that speak IPv4 too, both.
///
/// ```
/// use twixt_os::net::udp;
/// let socket = udp::Socket::bind("127.0.0.1:0")?;
/// socket.ip_options().set_hops(3)?;
/// assert_eq!(socket.ip_options().hops()?, 3);
/// assert_eq!(socket.ip_options().device()?, None);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct IpOptions<'a> {
    fd: BorrowedFd<'a>,
    options: Options<'a>,
}

impl<'a> IpOptions<'a> {
    pub(super) fn new(fd: BorrowedFd<'a>, options: Options<'a>) -> Self {
        Self { fd, options }
    }

    /// How many routers a packet may pass before it is thrown away: the TTL of IPv4, the hop limit of IPv6. At first
    /// `net.ipv4.ip_default_ttl` (64) and `net.ipv6.conf.*.hop_limit` (64). Multicast has a number of its own:
    /// [`set_multicast_hops`](crate::net::udp::Socket::set_multicast_hops).
    ///
    /// # Errors
    /// None is expected: every IP socket has this option.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_UNICAST_HOPS")]
    pub fn hops(&self) -> Result<u8> {
        let hops = match self.is_ipv4() {
            // The kernel keeps it as a byte.
            Ok(true) => sockopt::ip_ttl(self.fd).map(|ttl| ttl.try_into().unwrap_or(u8::MAX)),
            Ok(false) => sockopt::ipv6_unicast_hops(self.fd),
            Err(errno) => Err(errno),
        };
        self.options.of("read the hop limit of", hops)
    }

    /// Sets how many routers a packet may pass: 1 to 255.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): 0.
    #[doc(alias = "setsockopt")]
    #[doc(alias = "IP_TTL")]
    #[doc(alias = "IPV6_UNICAST_HOPS")]
    pub fn set_hops(&self, hops: u8) -> Result<()> {
        // IPv6 would take 0, and send nothing.
        let set = if hops == 0 {
            Err(Errno::INVAL)
        } else {
            self.both(
                || sockopt::set_ip_ttl(self.fd, hops.into()),
                || sockopt::set_ipv6_unicast_hops(self.fd, Some(hops)),
            )
        };
        self.options.of("set the hop limit of", set)
    }

    /// The mark by which routers and the kernel's queues prefer packets: the upper six bits are the class (DSCP), the
    /// lower two congestion marks (ECN). 0 at first.
    ///
    /// # Errors
    /// None is expected: every IP socket has this option.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub fn traffic_class(&self) -> Result<u8> {
        let class = match self.is_ipv4() {
            Ok(true) => sockopt::ip_tos(self.fd),
            // The kernel keeps it as a byte.
            Ok(false) => sockopt::ipv6_tclass(self.fd).map(|class| class.try_into().unwrap_or(u8::MAX)),
            Err(errno) => Err(errno),
        };
        self.options.of("read the traffic class of", class)
    }

    /// Sets that mark. On TCP the lower two bits stay the kernel's, whatever is set.
    ///
    /// # Errors
    /// None is expected: any number will do.
    #[doc(alias = "setsockopt")]
    #[doc(alias = "IP_TOS")]
    #[doc(alias = "IPV6_TCLASS")]
    pub fn set_traffic_class(&self, class: u8) -> Result<()> {
        let set = self
            .both(|| sockopt::set_ip_tos(self.fd, class), || sockopt::set_ipv6_tclass(self.fd, class.into()));
        self.options.of("set the traffic class of", set)
    }

    /// The network interface that the socket is bound to; `None` at first.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): that interface is no longer there.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "SO_BINDTODEVICE")]
    pub fn device(&self) -> Result<Option<String>> {
        let device = self.options.of("read the device of", sys::device(self.fd))?;
        let name = String::from_utf8_lossy(device.as_bytes()).into_owned();
        Ok((!name.is_empty()).then_some(name))
    }

    /// Binds the socket to a network interface, by its name: it then sends by that one alone, whatever the routes
    /// say, and receives what comes by it. `None` undoes it.
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound): no interface has that name (1 to 15 bytes);
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): without the capability `CAP_NET_RAW`, if it is bound to one
    ///   already, and before Linux 5.7 always.
    #[doc(alias = "setsockopt")]
    #[doc(alias = "SO_BINDTODEVICE")]
    pub fn set_device(&self, name: Option<&str>) -> Result<()> {
        let device = match name {
            // To the kernel the empty name is none at all.
            Some("") => Err(Errno::NODEV),
            name => DeviceName::new(name.unwrap_or_default().as_bytes()).ok_or(Errno::NODEV),
        };
        let set = device.and_then(|device| sys::set_device(self.fd, &device));
        self.options.of("bind to a device", set).map_err(|error| match error.errno() {
            Some(Errno::PERM) => error.with_advice(
                "once bound to a device, and before Linux 5.7 in any case, it takes the capability CAP_NET_RAW",
            ),
            Some(Errno::NODEV) => error.with_kind(ErrorKind::NotFound),
            _ => error,
        })
    }

    fn is_ipv4(&self) -> Result<bool, Errno> {
        Ok(sockopt::socket_domain(self.fd)? == AddressFamily::INET)
    }

    /// Sets an option for the IP versions that the socket speaks.
    fn both(
        &self,
        v4: impl Fn() -> Result<(), Errno>,
        v6: impl Fn() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        if self.is_ipv4()? {
            return v4();
        }
        v6()?;
        match v4() {
            // A raw one speaks IPv6 alone.
            Err(Errno::NOPROTOOPT) => Ok(()),
            set => set,
        }
    }
}
