//! Internet sockets: [`tcp`], [`udp`] and [`raw`] with [`ping`] as its worked example, over IPv4 and IPv6.
//!
//! Addresses are the standard library's, and so is the resolving of host names ([`std::net::ToSocketAddrs`]), which
//! takes its own time and heeds no deadline. Every send is made with `MSG_NOSIGNAL`: a peer that has gone is an error, never
//! the signal SIGPIPE.
//!
//! ```
//! use twixt_os::net::{tcp, udp};
//! // A host that answers on a port of TCP and a port of UDP:
//! let stream = tcp::Listener::bind("localhost:0")?;
//! let datagrams = udp::Socket::bind(stream.local_address()?)?;
//! assert_eq!(stream.local_address()?, datagrams.local_address()?, "each has ports of its own");
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! Manual pages: `socket(7)`, `ip(7)`, `ipv6(7)`, `tcp(7)`, `udp(7)`, `raw(7)`, `icmp(7)`.

pub(crate) mod accept;
pub mod icmp;
mod inet;
mod ip;
pub(crate) mod many;
mod options;
pub mod ping;
pub mod raw;
pub mod tcp;
pub(crate) mod transfer;
pub mod udp;

pub use ip::IpOptions;
pub use many::MOST_AT_ONCE;
pub use options::Options;
pub use twixt_sys::socket::InetName;
