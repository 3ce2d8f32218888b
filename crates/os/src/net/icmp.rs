//! ICMP echo messages as bytes: building and checking, without any input or output: `icmp(7)`, RFC 792, RFC 4443.
//!
//! ```text
//! 0      1      2        4            6          8
//! | type | code | checksum | identifier | sequence | payload ...
//! ```
//!
//! ```
//! use twixt_os::net::icmp::{Echo, Kind};
//! use twixt_os::net::raw::IpVersion;
//!
//! let echo = Echo { identifier: 7, sequence: 1, payload: b"are you there?" };
//! let mut packet = [0; 64];
//! let len = echo.write(IpVersion::V4, Kind::Request, &mut packet).unwrap();
//! assert_eq!(Echo::parse(IpVersion::V4, &packet[..len]), Ok((Kind::Request, echo)));
//! packet[len - 1] ^= 1;
//! assert!(Echo::parse(IpVersion::V4, &packet[..len]).is_err(), "the checksum tells");
//! ```

use core::fmt;
use std::net::Ipv4Addr;

use crate::net::raw::{IpVersion, Protocol};

/// The bytes before the payload.
pub const HEADER: usize = 8;

/// Request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// "Send this back"
    Request,
    /// What comes back
    Reply,
}

/// An echo message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "icmphdr")]
#[doc(alias = "icmp6_hdr")]
pub struct Echo<'a> {
    /// Tells the senders of one machine apart.
    pub identifier: u16,
    /// Tells the requests of one sender apart.
    pub sequence: u16,
    /// Comes back as it was.
    pub payload: &'a [u8],
}

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Fewer bytes than the header has, or than it promises.
    TooShort,
    /// The checksum does not match.
    Checksum,
    /// A packet of another kind: no echo, or another version of IP.
    NotAnEcho,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "the packet is cut short",
            Self::Checksum => "the checksum does not match",
            Self::NotAnEcho => "the packet is not an ICMP echo",
        })
    }
}

impl std::error::Error for Malformed {}

impl Kind {
    /// The number in the type field.
    pub const fn number(self, version: IpVersion) -> u8 {
        match (version, self) {
            (IpVersion::V4, Self::Request) => 8,
            (IpVersion::V4, Self::Reply) => 0,
            (IpVersion::V6, Self::Request) => 128,
            (IpVersion::V6, Self::Reply) => 129,
        }
    }
}

impl<'a> Echo<'a> {
    /// Writes the message and says how long it is; `None` if the buffer is too small.
    ///
    /// The checksum of ICMPv6 covers the IP addresses too; it is left to the kernel, which always computes it.
    pub fn write(&self, version: IpVersion, kind: Kind, into: &mut [u8]) -> Option<usize> {
        let len = HEADER + self.payload.len();
        let packet = into.get_mut(..len)?;
        packet[0] = kind.number(version);
        packet[1..4].fill(0);
        packet[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        packet[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        packet[HEADER..].copy_from_slice(self.payload);
        if version == IpVersion::V4 {
            let sum = checksum(packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        Some(len)
    }

    /// Reads a message. The checksum of IPv4's is verified; the kernel has verified that of IPv6's.
    ///
    /// # Errors
    /// Whatever arrives is answered by a [`Malformed`], never by a panic.
    pub fn parse(version: IpVersion, packet: &'a [u8]) -> Result<(Kind, Self), Malformed> {
        let (header, payload) = packet.split_first_chunk::<HEADER>().ok_or(Malformed::TooShort)?;
        let [kind, code, _, _, id_high, id_low, sequence_high, sequence_low] = *header;
        let kind = [Kind::Request, Kind::Reply]
            .into_iter()
            .find(|known| known.number(version) == kind && code == 0)
            .ok_or(Malformed::NotAnEcho)?;
        // Summed with its own checksum, a message gives zero.
        if version == IpVersion::V4 && checksum(packet) != 0 {
            return Err(Malformed::Checksum);
        }
        let identifier = u16::from_be_bytes([id_high, id_low]);
        let sequence = u16::from_be_bytes([sequence_high, sequence_low]);
        Ok((kind, Self { identifier, sequence, payload }))
    }
}

/// The Internet checksum: RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// What a raw IPv4 socket receives, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "iphdr")]
pub struct Ipv4Packet<'a> {
    /// Who sent it.
    pub source: Ipv4Addr,
    /// For whom it is.
    pub destination: Ipv4Addr,
    /// The protocol of the payload, by its number.
    pub protocol: u8,
    /// How many routers it might still have passed.
    pub hops_left: u8,
    /// What comes after the IP header.
    pub payload: &'a [u8],
}

/// Takes an IPv4 packet apart.
///
/// # Errors
/// Whatever arrives is answered by a [`Malformed`], never by a panic.
pub fn ipv4_payload(packet: &[u8]) -> Result<Ipv4Packet<'_>, Malformed> {
    let header = packet.first_chunk::<20>().ok_or(Malformed::TooShort)?;
    if header[0] >> 4 != 4 {
        return Err(Malformed::NotAnEcho);
    }
    let header_len = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header_len < header.len() {
        return Err(Malformed::TooShort);
    }
    let payload = packet.get(header_len..total).ok_or(Malformed::TooShort)?;
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Ok(Ipv4Packet {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        hops_left: header[8],
        payload,
    })
}

/// The protocol that carries the echoes of an IP version.
pub const fn protocol(version: IpVersion) -> Protocol {
    match version {
        IpVersion::V4 => Protocol::ICMP,
        IpVersion::V6 => Protocol::ICMPV6,
    }
}
