//! `struct sockaddr_in` and `struct sockaddr_in6`, where the kernel writes one.

use core::mem::{offset_of, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for the address of an internet socket, and what was written there.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub struct InetName {
    bytes: [u8; ROOM],
    len: libc::socklen_t,
}

const ROOM: usize = size_of::<libc::sockaddr_in6>();
const _: () =
    assert!(offset_of!(libc::sockaddr_in, sin_port) == 2 && offset_of!(libc::sockaddr_in, sin_addr) == 4);
const _: () = assert!(offset_of!(libc::sockaddr_in6, sin6_port) == 2);
const _: () = assert!(offset_of!(libc::sockaddr_in6, sin6_flowinfo) == 4);
const _: () = assert!(offset_of!(libc::sockaddr_in6, sin6_addr) == 8);
const _: () = assert!(offset_of!(libc::sockaddr_in6, sin6_scope_id) == 24 && ROOM == 28);

impl InetName {
    /// One where nothing was written.
    pub const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    /// Where the kernel is to write the address, and where it finds and writes the length.
    #[inline(always)]
    pub(crate) fn room(&mut self) -> (usize, usize) {
        self.len = ROOM as libc::socklen_t;
        (self.bytes.as_mut_ptr() as usize, &raw mut self.len as usize)
    }

    /// The address; none if it is of another family, or was not written.
    #[inline]
    pub fn address(&self) -> Option<SocketAddr> {
        let bytes = self.bytes.get(..self.len as usize)?;
        let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let port = u16::from_be_bytes(take(bytes, 2)?);
        match family {
            libc::AF_INET => {
                let address = Ipv4Addr::from(take::<4>(bytes, 4)?);
                Some(SocketAddrV4::new(address, port).into())
            }
            libc::AF_INET6 => {
                let address = Ipv6Addr::from(take::<16>(bytes, 8)?);
                // As rustix reads and writes it.
                let flow = u32::from_be_bytes(take(bytes, 4)?);
                let scope = u32::from_ne_bytes(take(bytes, 24)?);
                Some(SocketAddrV6::new(address, port, flow, scope).into())
            }
            _ => None,
        }
    }
}

impl Default for InetName {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use rustix::net::RecvFlags;

    use super::*;
    use crate::Prepared;

    #[test]
    fn the_sender_is_who_has_sent() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(receiver) = UdpSocket::bind(local) else { continue };
            let sender = UdpSocket::bind(local).unwrap();
            sender.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
            let (mut name, mut room) = (InetName::new(), [0; 4]);
            let call = Prepared::receive_from(receiver.as_fd(), &mut room, &mut name, RecvFlags::empty());
            assert_eq!(call.make(), Ok(1));
            assert_eq!(name.address(), Some(sender.local_addr().unwrap()));
        }
    }

    #[test]
    fn what_was_not_written_is_no_address() {
        assert_eq!(InetName::new().address(), None);
    }
}
