//! Socket options: `getsockopt(2)` and `ioctl(2)` where rustix has no call.

use core::ffi::{c_int, c_void};
use core::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::Credentials;
use crate::Errno;
use crate::call::checked;

/// `ICMP_FILTER` and `ICMPV6_FILTER`; the libc crate has neither.
const ICMP_FILTER: c_int = 1;
const ICMPV6_FILTER: c_int = 1;

/// `SO_PEERCRED`: who connected, who listened, or who made the pair, at that time.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let [pid, uid, gid] = get(fd, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    Ok(Credentials { pid, uid: uid.cast_unsigned(), gid: gid.cast_unsigned() })
}

/// `SO_PEERPIDFD`: a descriptor of that process. Since Linux 6.5, `ENOPROTOOPT` before.
pub fn peer_pidfd(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let [number] = get(fd, libc::SOL_SOCKET, libc::SO_PEERPIDFD)?;
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the kernel has just made this descriptor for this call, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `SO_PASSPIDFD`: has each message bring a descriptor of its sender. Since Linux 6.5, `ENOPROTOOPT` before.
pub fn set_pass_pidfd(fd: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    set(fd, libc::SOL_SOCKET, libc::SO_PASSPIDFD, [c_int::from(on)])
}

/// `IP_HDRINCL`: what is sent on a raw IPv4 socket begins with its own IP header.
pub fn set_header_included(fd: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    set(fd, libc::IPPROTO_IP, libc::IP_HDRINCL, [c_int::from(on)])
}

/// The protocol whose messages [`set_icmp_filter`] sifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpFilter {
    /// ICMP: only the types 0 to 31 can be kept out; what lies above passes.
    V4,
    /// ICMPv6: all types.
    V6,
}

/// `ICMP_FILTER`, `ICMP6_FILTER`: lets only these types of message through to a raw socket.
pub fn set_icmp_filter(fd: BorrowedFd<'_>, version: IcmpFilter, pass: &[u8]) -> Result<(), Errno> {
    // A set bit keeps the type out.
    let mut blocked = [-1; 8];
    for kind in pass {
        blocked[usize::from(kind / 32)] &= !(1_u32 << (kind % 32)).cast_signed();
    }
    match version {
        IcmpFilter::V4 => set(fd, libc::SOL_RAW, ICMP_FILTER, [blocked[0]]),
        IcmpFilter::V6 => set(fd, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, blocked),
    }
}

/// The name of a network interface; empty for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceName {
    bytes: [u8; libc::IFNAMSIZ],
}

impl DeviceName {
    /// None if it is longer than the 15 bytes that an interface's name can have.
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        // One byte stays 0: the kernel would cut a longer name off.
        bytes[..libc::IFNAMSIZ - 1].get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes })
    }

    /// The name without what fills it up.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// `SO_BINDTODEVICE`: the interface by which alone the socket sends and receives.
pub fn device(fd: BorrowedFd<'_>) -> Result<DeviceName, Errno> {
    let mut bytes = [0; libc::IFNAMSIZ];
    let mut len = libc::IFNAMSIZ as libc::socklen_t;
    let into = bytes.as_mut_ptr().cast::<c_void>();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
    // SAFETY: the kernel writes at most `len` bytes, which `bytes` has.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, into, &raw mut len) })?;
    Ok(DeviceName { bytes })
}

/// `SO_BINDTODEVICE`: binds the socket to an interface, or to none.
pub fn set_device(fd: BorrowedFd<'_>, device: &DeviceName) -> Result<(), Errno> {
    let bytes = device.as_bytes();
    let (level, name) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
    let len = bytes.len() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, which `bytes` has.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, bytes.as_ptr().cast(), len) }).map(drop)
}

/// `TCP_FASTOPEN`: how many connections may bring data before their handshake is done.
pub fn fast_open(fd: BorrowedFd<'_>) -> Result<c_int, Errno> {
    get(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN).map(|[queue]| queue)
}

/// `TCP_FASTOPEN`: sets that number, on a listening socket.
pub fn set_fast_open(fd: BorrowedFd<'_>, queue: c_int) -> Result<(), Errno> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, [queue])
}

/// `IP_BIND_ADDRESS_NO_PORT`: has `bind(2)` to port 0 leave the choice of the port to `connect(2)`.
pub fn set_choose_port_late(fd: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, [c_int::from(on)])
}

/// `SIOCOUTQ`: the bytes sent that the other side has not yet taken (Unix) or acknowledged (TCP).
#[doc(alias = "SIOCOUTQ")]
pub fn queued_output(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut bytes: c_int = 0;
    // SAFETY: with this request the kernel writes one int, which `bytes` is.
    checked(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(bytes.cast_unsigned())
}

/// An option made of `N` ints. `EINVAL` if the kernel has another number of them.
fn get<const N: usize>(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> Result<[c_int; N], Errno> {
    let mut value = [-1; N];
    let mut len = size_of::<[c_int; N]>() as libc::socklen_t;
    let into = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel writes at most `len` bytes, which `value` has.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, into, &raw mut len) })?;
    if len as usize == size_of::<[c_int; N]>() { Ok(value) } else { Err(Errno::INVAL) }
}

fn set<const N: usize>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: [c_int; N],
) -> Result<(), Errno> {
    let len = size_of::<[c_int; N]>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, which `value` has.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) }).map(drop)
}
