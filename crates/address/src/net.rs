//! Internet hosts, ports and protocols.

use core::fmt;
use core::str::FromStr;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ValueError;
use crate::error::shown;
use crate::number::{integer, within};
use crate::percent::Encoded;

/// A host: a name, an IPv4 address, or an IPv6 address with or without a zone (`fe80::1%eth0`).
///
/// Nothing is looked up; a name that does not exist is a host as well.
///
/// ```
/// use twixt_address::Host;
/// assert_eq!(Host::new("::1")?.as_str(), "::1");
/// assert_eq!(Host::new("::1")?.to_string(), "[::1]", "prints as it stands in an address");
/// assert!(Host::new("256.0.0.1").is_err());
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// Checks a host. An IPv6 address is given without brackets.
    ///
    /// # Errors
    /// It is empty, looks like an address and is none, has more than 253 characters, or one that no name has.
    pub fn new(host: impl Into<String>) -> Result<Self, ValueError> {
        let host = host.into();
        match Self::fault(&host) {
            None => Ok(Self(host)),
            Some(why) => {
                let right = "a host is a name, an IPv4 address or an IPv6 address in brackets";
                Err(ValueError::new(why, right))
            }
        }
    }

    fn fault(host: &str) -> Option<String> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if host.is_empty() {
            return Some("host is missing".to_owned());
        }
        if host.contains(':') {
            let (address, zone) = match host.split_once('%') {
                Some((address, zone)) => (address, Some(zone)),
                None => (host, None),
            };
            if address.parse::<Ipv6Addr>().is_err() {
                return Some(format!("host {} is not an IPv6 address", shown(host)));
            }
            // An interface has at most 15 characters: IFNAMSIZ less its end.
            let bad = |zone: &&str| zone.is_empty() || zone.len() > 15 || !zone.bytes().all(word);
            return zone.filter(bad).map(|zone| format!("zone {} is not an interface", shown(zone)));
        }
        if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            let bad = host.parse::<Ipv4Addr>().is_err();
            return bad.then(|| format!("host {} is not an IPv4 address", shown(host)));
        }
        if let Some(odd) = host.chars().find(|&c| !c.is_ascii() || !word(c as u8)) {
            return Some(format!("host {} has the character {odd:?}", shown(host)));
        }
        (host.len() > 253).then(|| format!("host has {} characters, more than 253", host.len()))
    }

    /// The host, an IPv6 address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an IPv6 address.
    pub fn is_ipv6(&self) -> bool {
        self.0.contains(':')
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// As it stands in an address: an IPv6 address in brackets, the `%` before its zone as `%25`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ipv6() { write!(f, "[{}]", Encoded(self.0.as_bytes())) } else { f.write_str(&self.0) }
    }
}

/// A host and a port.
///
/// ```
/// use twixt_address::{Host, HostPort};
/// assert_eq!(HostPort { host: Host::new("::1")?, port: 80 }.to_string(), "[::1]:80");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port; 0 lets the kernel choose one for a socket that is bound.
    pub port: u16,
}

/// As it stands in an address.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The number of a protocol over IP, 1 to 255: what a raw socket speaks (`raw(7)`, `/etc/protocols`).
///
/// ```
/// use twixt_address::Protocol;
/// assert_eq!("icmp".parse(), Protocol::new(1));
/// assert_eq!(Protocol::new(1)?.to_string(), "icmp");
/// assert_eq!(Protocol::new(200)?.to_string(), "200");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(u8);

/// The names of IANA's register that a Linux system knows, first the one that is printed.
const PROTOCOLS: [(u8, &str); 21] = [
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (41, "ipv6"),
    (46, "rsvp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (58, "icmp6"),
    (58, "icmpv6"),
    (89, "ospf"),
    (103, "pim"),
    (112, "vrrp"),
    (115, "l2tp"),
    (132, "sctp"),
    (136, "udplite"),
    (255, "raw"),
];

impl Protocol {
    /// Checks a number. 0 is no protocol: a raw socket is refused it.
    ///
    /// # Errors
    /// It is 0.
    pub fn new(number: u8) -> Result<Self, ValueError> {
        within("protocol", number, 1, u8::MAX).map(Self)
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The name, for the better known.
    pub fn name(self) -> Option<&'static str> {
        PROTOCOLS.iter().find(|(number, _)| *number == self.0).map(|&(_, name)| name)
    }
}

/// A name in either case, or a number.
impl FromStr for Protocol {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(&(number, _)) = PROTOCOLS.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(Self(number));
        }
        if text.is_empty() || text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return integer("protocol", text, 1, u8::MAX).map(Self);
        }
        let why = format!("protocol {} is unknown", shown(text));
        Err(ValueError::new(why, "a protocol is a name of /etc/protocols, such as icmp, or 1 to 255"))
    }
}

/// The name if it has one, else the number.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
