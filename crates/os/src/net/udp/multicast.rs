//! Broadcast and multicast: one datagram for many receivers.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use rustix::net::sockopt;

use super::Socket;
use crate::{Errno, ErrorKind, Result};

impl Socket {
    /// Whether broadcast addresses may be sent to. Off at first.
    ///
    /// # Errors
    /// None is expected: every socket has this option.
    #[doc(alias = "SO_BROADCAST")]
    pub fn set_broadcast(&self, on: bool) -> Result<()> {
        self.of("set broadcast on", sockopt::set_socket_broadcast(self.as_fd(), on))
    }

    /// Whether broadcast addresses may be sent to.
    ///
    /// # Errors
    /// None is expected: every socket has this option.
    #[doc(alias = "SO_BROADCAST")]
    pub fn broadcast(&self) -> Result<bool> {
        self.of("read broadcast of", sockopt::socket_broadcast(self.as_fd()))
    }

    /// Receives what is sent to a multicast group, too. `interface` is the number that `if_nametoindex(3)` gives, 0 for
    /// the kernel's choice by its routes.
    ///
    /// ```
    /// use twixt_os::net::udp::Socket;
    /// let receiver = Socket::bind("0.0.0.0:0")?;
    /// let group = "239.255.77.77".parse().unwrap();
    /// receiver.join(group, 1)?; // the loopback interface
    /// receiver.leave(group, 1)?;
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput): not a multicast address;
    /// - [`NotFound`](ErrorKind::NotFound): no such interface;
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): it has joined already;
    /// - [`LimitReached`](ErrorKind::LimitReached): `net.ipv4.igmp_max_memberships` (20) groups.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    #[doc(alias = "IPV6_ADD_MEMBERSHIP")]
    pub fn join(&self, group: IpAddr, interface: u32) -> Result<()> {
        let fd = self.as_fd();
        let joined = match group {
            IpAddr::V4(group) => {
                sockopt::set_ip_add_membership_with_ifindex(fd, &group, &Ipv4Addr::UNSPECIFIED, interface)
            }
            IpAddr::V6(group) => sockopt::set_ipv6_add_membership(fd, &group, interface),
        };
        self.of("join a group with", joined)
    }

    /// Undoes [`Socket::join`].
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): it has not joined that group on that interface;
    /// [`InvalidInput`](ErrorKind::InvalidInput): not a multicast address.
    #[doc(alias = "IP_DROP_MEMBERSHIP")]
    #[doc(alias = "IPV6_DROP_MEMBERSHIP")]
    pub fn leave(&self, group: IpAddr, interface: u32) -> Result<()> {
        let fd = self.as_fd();
        let left = match group {
            IpAddr::V4(group) => {
                sockopt::set_ip_drop_membership_with_ifindex(fd, &group, &Ipv4Addr::UNSPECIFIED, interface)
            }
            IpAddr::V6(group) => sockopt::set_ipv6_drop_membership(fd, &group, interface),
        };
        self.of("leave a group with", left)
    }

    /// The interface by which what is sent to a group leaves; 0 for the kernel's choice.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): no such interface.
    #[doc(alias = "IP_MULTICAST_IF")]
    #[doc(alias = "IPV6_MULTICAST_IF")]
    pub fn set_multicast_interface(&self, interface: u32) -> Result<()> {
        let fd = self.as_fd();
        let set = if self.inet.is_ipv4() {
            let any = Ipv4Addr::UNSPECIFIED;
            sockopt::set_ip_multicast_if_with_ifindex(fd, &any, &any, interface)
        } else {
            sockopt::set_ipv6_multicast_if(fd, interface)
        };
        self.of("set the multicast interface of", set)
    }

    /// Whether what is sent to a group comes to members on this machine, too. On at first.
    ///
    /// # Errors
    /// None is expected: every UDP socket has this option.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    pub fn set_multicast_loop(&self, on: bool) -> Result<()> {
        let fd = self.as_fd();
        let set = if self.inet.is_ipv4() {
            sockopt::set_ip_multicast_loop(fd, on)
        } else {
            sockopt::set_ipv6_multicast_loop(fd, on)
        };
        self.of("set the multicast loop of", set)
    }

    /// How many routers what is sent to a group may pass: 1 at first, which keeps it in the local network.
    ///
    /// # Errors
    /// None is expected: 0, which keeps it on this machine, to 255 are all taken.
    #[doc(alias = "IP_MULTICAST_TTL")]
    #[doc(alias = "IPV6_MULTICAST_HOPS")]
    pub fn set_multicast_hops(&self, hops: u8) -> Result<()> {
        let fd = self.as_fd();
        let set = if self.inet.is_ipv4() {
            sockopt::set_ip_multicast_ttl(fd, hops.into())
        } else {
            sockopt::set_ipv6_multicast_hops(fd, hops.into())
        };
        self.of("set the multicast hops of", set)
    }

    fn of<T>(&self, operation: &'static str, outcome: Result<T, Errno>) -> Result<T> {
        self.options().of(operation, outcome).map_err(|error| match error.errno() {
            Some(Errno::NODEV | Errno::ADDRNOTAVAIL) => error.with_kind(ErrorKind::NotFound),
            _ => error,
        })
    }
}
