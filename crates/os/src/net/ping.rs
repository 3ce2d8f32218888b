//! ICMP echo: asking a machine whether it is there, the worked example of a raw socket.
//!
//! ```
//! use std::time::Duration;
//! use twixt_os::net::ping::Ping;
//! use twixt_os::{Deadline, ErrorKind};
//!
//! let mut ping = match Ping::open("127.0.0.1".parse().unwrap()) {
//!     Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
//!     ping => ping?,
//! };
//! let reply = ping.echo_deadline(b"are you there?", Deadline::after(Duration::from_secs(5)))?;
//! assert_eq!(reply.sequence, 1);
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::net::icmp::{self, Echo, Kind as EchoKind};
use crate::net::raw::{IpVersion, Kind, Socket};
use crate::{Deadline, ErrorKind, Result, Wait};

/// A conversation of echo requests and replies with one machine.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::net::ping::Ping;
/// use twixt_os::{Deadline, ErrorKind};
/// let mut ping = match Ping::open("127.0.0.1".parse().unwrap()) {
///     Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
///     ping => ping?,
/// };
/// for number in 1..=3 {
///     let reply = ping.echo_deadline(b"payload", Deadline::after(Duration::from_secs(5)))?;
///     assert_eq!((reply.sequence, reply.len), (number, 7));
/// }
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Ping {
    socket: Socket,
    peer: IpAddr,
    identifier: u16,
    sequence: u16,
    /// Holds the request, then each packet that arrives: the longest there can be.
    buffer: Vec<u8>,
}

/// A reply that was as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The number of the request: 1, 2, ...
    pub sequence: u16,
    /// How many bytes came back.
    pub len: usize,
    /// The time between request and reply.
    pub round_trip: Duration,
    /// How many foreign packets arrived meanwhile.
    pub ignored: u64,
}

const LONGEST_PACKET: usize = 65535;

impl Ping {
    /// By the ping socket if the system lets this user have one, otherwise by a raw socket.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if the user may have neither.
    pub fn open(peer: IpAddr) -> Result<Self> {
        match Self::unprivileged(peer) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Self::raw(peer),
            outcome => outcome,
        }
    }

    /// By a raw socket, which takes `CAP_NET_RAW`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) without the capability `CAP_NET_RAW`;
    /// [`LimitReached`](ErrorKind::LimitReached) when no descriptor is left (`RLIMIT_NOFILE`, 1024 by default).
    pub fn raw(peer: IpAddr) -> Result<Self> {
        let version = IpVersion::of(peer);
        let socket = Socket::open(version, icmp::protocol(version))?;
        // Spares this process the packets of everybody else, the echoes' requests among them.
        socket.pass_only(&[EchoKind::Reply.number(version)])?;
        // Raw sockets have no ports: all of them on this machine receive each reply, and tell theirs by the
        // identifier.
        let mut identifier = [0; 2];
        rustix::rand::getrandom(&mut identifier[..], rustix::rand::GetRandomFlags::empty())
            .map_err(|_| socket.refuse(ErrorKind::Other, "no random identifier could be drawn"))?;
        Ok(Self::new(socket, peer, u16::from_ne_bytes(identifier)))
    }

    /// By the ping socket, which `net.ipv4.ping_group_range` allows to groups of users.
    ///
    /// # Errors
    /// Those of [`Socket::ping`].
    pub fn unprivileged(peer: IpAddr) -> Result<Self> {
        Ok(Self::new(Socket::ping(IpVersion::of(peer))?, peer, 0))
    }

    fn new(socket: Socket, peer: IpAddr, identifier: u16) -> Self {
        Self { socket, peer, identifier, sequence: 0, buffer: vec![0; LONGEST_PACKET] }
    }

    /// Sends an echo request and waits for its reply. Packets that are not that reply are ignored.
    ///
    /// Without a deadline it waits for ever if the request or the reply is lost. The non-waiting form sends the request,
    /// and succeeds if the reply is there at once, as on loopback.
    ///
    /// # Errors
    /// - [`TooLong`](ErrorKind::TooLong): the payload is longer than a packet takes;
    /// - [`NoPeer`](ErrorKind::NoPeer): no route leads there.
    pub fn echo(&mut self, payload: &[u8]) -> Result<Reply> {
        self.echo_wait(payload, Wait::forever())
    }

    /// As [`Ping::echo`], without waiting.
    ///
    /// # Errors
    /// As [`Ping::echo`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_echo(&mut self, payload: &[u8]) -> Result<Reply> {
        self.echo_wait(payload, Wait::never())
    }

    /// As [`Ping::echo`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Ping::echo`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn echo_deadline(&mut self, payload: &[u8], deadline: Deadline) -> Result<Reply> {
        self.echo_wait(payload, Wait::until(deadline))
    }

    /// As [`Ping::echo`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Ping::echo`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn echo_interruptible(&mut self, payload: &[u8]) -> Result<Reply> {
        self.echo_wait(payload, Wait::forever().interruptible())
    }

    /// The general form of [`Ping::echo`].
    ///
    /// # Errors
    /// As [`Ping::echo`], and what the named forms add, according to `wait`.
    pub fn echo_wait(&mut self, payload: &[u8], wait: Wait) -> Result<Reply> {
        self.sequence = self.sequence.wrapping_add(1);
        let echo = Echo { identifier: self.identifier, sequence: self.sequence, payload };
        let Some(len) = echo.write(self.socket.version(), EchoKind::Request, &mut self.buffer) else {
            return Err(self.socket.refuse(ErrorKind::TooLong, "the payload is longer than any packet"));
        };
        let start = Instant::now();
        self.socket.send_to_wait(&self.buffer[..len], self.peer, wait)?;
        let mut ignored = 0;
        loop {
            let (len, from) = self.socket.receive_from_wait(&mut self.buffer, wait)?;
            if self.is_reply(len, from, payload) {
                let round_trip = start.elapsed();
                return Ok(Reply { sequence: self.sequence, len: payload.len(), round_trip, ignored });
            }
            ignored += 1;
        }
    }

    /// Whether the packet in the buffer is the reply that is waited for.
    fn is_reply(&self, len: usize, from: IpAddr, payload: &[u8]) -> bool {
        let version = self.socket.version();
        let mut packet = &self.buffer[..len];
        if (version, self.socket.kind()) == (IpVersion::V4, Kind::Raw) {
            match icmp::ipv4_payload(packet) {
                Ok(inner) => packet = inner.payload,
                Err(_) => return false,
            }
        }
        let Ok((EchoKind::Reply, echo)) = Echo::parse(version, packet) else { return false };
        // On a ping socket the kernel chose the identifier, and passes on no other.
        let own = self.socket.kind() == Kind::Ping || echo.identifier == self.identifier;
        own && from == self.peer && echo.sequence == self.sequence && echo.payload == payload
    }

    /// The peer.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The socket behind it.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for Ping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
