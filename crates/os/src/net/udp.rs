//! UDP sockets: datagrams, which may be lost, doubled or overtaken: `udp(7)`.
//!
//! ```
//! use twixt_os::net::udp;
//!
//! let receiver = udp::Socket::bind("127.0.0.1:0")?;
//! let sender = udp::Connected::to(receiver.local_address()?)?;
//! sender.send(b"ping")?;
//! let mut buffer = [0; 1500];
//! let (len, from) = receiver.receive_from(&mut buffer)?;
//! assert_eq!((&buffer[..len], from), (&b"ping"[..], sender.local_address()?));
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SocketType, bind, connect, recv, sendto, sockopt};
use twixt_sys::socket::InetName;

use crate::inherit::inherited_as;
use crate::net::inet::{self, Socket as Inet, resolve};
use crate::net::{IpOptions, Options, many, transfer};
use crate::{Deadline, Errno, Error, Limit, Mechanism, Outcome, Prepared, Result, Wait};

mod multicast;

/// A bound UDP socket: receives from anybody, and sends to any address.
///
/// A full receive buffer (`net.core.rmem_default`) loses datagrams without a word, and so does the network.
///
/// ```
/// use twixt_os::net::udp::Socket;
/// let server = Socket::bind("127.0.0.1:0")?;
/// let client = Socket::bind("127.0.0.1:0")?;
/// client.send_to(b"question", server.local_address()?)?;
/// let mut buffer = [0; 1500];
/// let (len, from) = server.receive_from(&mut buffer)?;
/// assert_eq!((len, from), (8, client.local_address()?));
/// server.send_to(b"answer", from)?;
/// assert_eq!(client.receive_from(&mut buffer)?.0, 6);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    inet: Inet,
}

/// A UDP socket with one peer, whose datagrams alone it receives.
///
/// Only such a socket learns that the peer's port is closed: `ECONNREFUSED`, at some later call, as
/// [`NoPeer`](crate::ErrorKind::NoPeer).
///
/// ```
/// use twixt_os::net::udp::{Connected, Socket};
/// let server = Socket::bind("127.0.0.1:0")?;
/// let client = Connected::to(server.local_address()?)?;
/// server.send_to(b"for you", client.local_address()?)?;
/// let mut buffer = [0; 1500];
/// assert_eq!(client.receive(&mut buffer)?, 7);
/// assert_eq!(client.peer_address()?, server.local_address()?);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Connected {
    inet: Inet,
}

/// The longest datagram: over IPv4 65535 bytes less 20 of IP header and 8 of UDP header.
pub const LONGEST: usize = 65507;

/// The longest datagram over IPv6, where the IP header does not count.
pub const LONGEST_V6: usize = 65527;

impl Socket {
    /// `socket(2)` and `bind(2)`: the first of the addresses that can be bound. Port 0 has the kernel choose one.
    ///
    /// # Errors
    /// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists): another socket has that port;
    /// - [`NotFound`](crate::ErrorKind::NotFound): no interface has that address, or no such host;
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a port below `net.ipv4.ip_unprivileged_port_start` (1024
    ///   by default), without the capability `CAP_NET_BIND_SERVICE`;
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`).
    pub fn bind(address: impl ToSocketAddrs) -> Result<Self> {
        Self::bind_with(address, false)
    }

    /// As [`Socket::bind`], but several sockets may have the same port, if they all were bound so by the same user.
    /// Of datagrams for one address each goes to one of them; those for a multicast group go to all.
    ///
    /// # Errors
    /// As [`Socket::bind`]; [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if a socket has the port that was not
    /// bound so, or is another user's.
    #[doc(alias = "SO_REUSEPORT")]
    #[doc(alias = "SO_REUSEADDR")]
    pub fn bind_shared(address: impl ToSocketAddrs) -> Result<Self> {
        Self::bind_with(address, true)
    }

    fn bind_with(address: impl ToSocketAddrs, shared: bool) -> Result<Self> {
        inet::first(Mechanism::Udp, "bind", address, |address| {
            let inet = Inet::make(Mechanism::Udp, "bind", address, SocketType::DGRAM)?;
            let fd = inet.fd.as_fd();
            let bound = (|| {
                if shared {
                    sockopt::set_socket_reuseaddr(fd, true)?;
                    sockopt::set_socket_reuseport(fd, true)?;
                }
                bind(fd, &address)
            })();
            bound.map_err(|errno| inet::bind_error(&inet, errno))?;
            Ok(Self { inet })
        })
    }

    /// `connect(2)`: sets the one peer. What has arrived from others stays in the queue and is received.
    ///
    /// # Errors
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput): the peer's addresses are all of the other IP version;
    /// - [`NotFound`](crate::ErrorKind::NotFound): no such host;
    /// - [`NoPeer`](crate::ErrorKind::NoPeer): no route leads there;
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a broadcast address, without
    ///   [`Socket::set_broadcast`]. The socket is closed then.
    pub fn connect(mut self, address: impl ToSocketAddrs) -> Result<Connected> {
        let addresses = resolve(Mechanism::Udp, "connect to", address)?;
        let family = self.local_address()?.is_ipv4();
        let mut outcome = Err(Errno::AFNOSUPPORT);
        for address in addresses.filter(|address| address.is_ipv4() == family) {
            self.inet.object = inet::object(&address);
            outcome = connect(self.as_fd(), &address);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map_err(|errno| self.inet.error("connect to", errno))?;
        Ok(Connected { inet: self.inet })
    }

    /// `sendto(2)`: sends a datagram, which may be empty; waits while the send buffer is full.
    ///
    /// # Errors
    /// - [`TooLong`](crate::ErrorKind::TooLong): more than [`LONGEST`] or [`LONGEST_V6`] bytes;
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a broadcast address, without
    ///   [`Socket::set_broadcast`];
    /// - [`NoPeer`](crate::ErrorKind::NoPeer): no route leads there.
    #[doc(alias = "sendto")]
    pub fn send_to(&self, message: &[u8], to: SocketAddr) -> Result<()> {
        self.send_to_wait(message, to, Wait::forever())
    }

    /// As [`Socket::send_to`], without waiting.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_to(&self, message: &[u8], to: SocketAddr) -> Result<()> {
        self.send_to_wait(message, to, Wait::never())
    }

    /// As [`Socket::send_to`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_to_deadline(&self, message: &[u8], to: SocketAddr, deadline: Deadline) -> Result<()> {
        self.send_to_wait(message, to, Wait::until(deadline))
    }

    /// As [`Socket::send_to`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Socket::send_to`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn send_to_interruptible(&self, message: &[u8], to: SocketAddr) -> Result<()> {
        self.send_to_wait(message, to, Wait::forever().interruptible())
    }

    /// The general form of [`Socket::send_to`].
    ///
    /// # Errors
    /// As [`Socket::send_to`], and what the named forms add, according to `wait`.
    pub fn send_to_wait(&self, message: &[u8], to: SocketAddr, wait: Wait) -> Result<()> {
        let sent = wait.on_descriptor(self.as_fd(), rustix::event::PollFlags::OUT, |attempt| {
            sendto(self.as_fd(), message, transfer::send_flags(attempt), &to)
        });
        sent.map(drop)
            .map_err(|errno| send_error(&self.inet, message.len(), errno).with_object(inet::object(&to)))
    }

    /// `recvfrom(2)`: receives a datagram, which may be empty; says how long it is and where it came from.
    ///
    /// # Errors
    /// - [`Malformed`](crate::ErrorKind::Malformed) or [`TooLong`](crate::ErrorKind::TooLong): the datagram is longer than the buffer;
    ///   see [`Socket::keep_long_messages`].
    #[doc(alias = "recvfrom")]
    pub fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.receive_from_wait(buffer, Wait::forever())
    }

    /// As [`Socket::receive_from`], without waiting.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.receive_from_wait(buffer, Wait::never())
    }

    /// As [`Socket::receive_from`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_from_deadline(
        &self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<(usize, SocketAddr)> {
        self.receive_from_wait(buffer, Wait::until(deadline))
    }

    /// As [`Socket::receive_from`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn receive_from_interruptible(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.receive_from_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Socket::receive_from`].
    ///
    /// # Errors
    /// As [`Socket::receive_from`], and what the named forms add, according to `wait`.
    #[inline]
    pub fn receive_from_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<(usize, SocketAddr)> {
        let mut from = InetName::new();
        let first = self.prepare_receive_from(&mut from, buffer, wait).map(Prepared::make);
        self.finish_taking(&mut from, first, buffer, wait)
    }

    /// The system call of [`receive_from_wait`](Self::receive_from_wait), to be made by who wants it: see [`Prepared`]. None where
    /// it takes more than one ([`keep_long_messages`](Self::keep_long_messages)).
    #[inline]
    pub fn prepare_receive_from<'a>(
        &'a self,
        from: &'a mut InetName,
        buffer: &'a mut [u8],
        wait: Wait,
    ) -> Option<Prepared<'a>> {
        if self.inet.keeps() {
            return None;
        }
        Some(Prepared::receive_from(self.as_fd(), buffer, from, transfer::message_flags(wait)))
    }

    /// What [`receive_from_wait`](Self::receive_from_wait) returns where its [prepared](Self::prepare_receive_from) call has come
    /// to `first`, which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`receive_from_wait`](Self::receive_from_wait).
    #[inline]
    pub fn finish_receive_from(
        &self,
        from: &mut InetName,
        first: Outcome,
        buffer: &mut [u8],
        wait: Wait,
    ) -> Result<(usize, SocketAddr)> {
        self.finish_taking(from, Some(first), buffer, wait)
    }

    #[inline(always)]
    fn finish_taking(
        &self,
        from: &mut InetName,
        first: Option<Outcome>,
        buffer: &mut [u8],
        wait: Wait,
    ) -> Result<(usize, SocketAddr)> {
        let room = buffer.len();
        let take = |flags| {
            let len = Prepared::receive_from(self.as_fd(), buffer, from, flags).make()?;
            Ok((len, len))
        };
        let first = first.map(|first| first.map(|len| (len, len)));
        let ended = || Err(Errno::SHUTDOWN);
        let taken = transfer::finish_taking(self.as_fd(), first, room, wait, take, ended);
        let len = self.inet.whole(taken, room)?;
        match from.address() {
            Some(from) => Ok((len, from)),
            None => Err(self.inet.error("receive from", Errno::AFNOSUPPORT)),
        }
    }

    /// Copies as much of the next datagram as fits the buffer and says how long it is, which may be more than the
    /// buffer; it stays. An empty buffer tells the length alone.
    ///
    /// # Errors
    /// As [`Socket::receive_from`], but no datagram is too long.
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever())
    }

    /// As [`Socket::peek`], without waiting.
    ///
    /// # Errors
    /// As [`Socket::peek`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::never())
    }

    /// As [`Socket::peek`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Socket::peek`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn peek_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.peek_wait(buffer, Wait::until(deadline))
    }

    /// As [`Socket::peek`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Socket::peek`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn peek_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Socket::peek`].
    ///
    /// # Errors
    /// As [`Socket::peek`], and what the named forms add, according to `wait`.
    pub fn peek_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        peek(&self.inet, buffer, wait)
    }

    /// Whether a datagram that is longer than the buffer stays in the queue. Off at first.
    ///
    /// Off, receiving takes one system call, and such a datagram is lost but for its beginning: the error
    /// ([`Malformed`](crate::ErrorKind::Malformed)) says so. On, it takes two, since the length is looked at first, and the
    /// error ([`TooLong`](crate::ErrorKind::TooLong)) leaves the datagram where it is. A buffer of [`LONGEST_V6`] bytes takes any.
    #[doc(alias = "MSG_TRUNC")]
    pub fn keep_long_messages(&self, keep: bool) {
        self.inet.keep_long_messages(keep);
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::Udp, number)?.try_into()
    }

    /// Its own address: `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`),
    /// and nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.inet.local_address()
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
}

impl Connected {
    /// A socket with a port of the kernel's choice, connected to the first of the addresses that can be.
    ///
    /// Nothing is sent yet, so nobody needs to be there.
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound): no such host;
    /// - [`NoPeer`](crate::ErrorKind::NoPeer): no route leads there;
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): a broadcast address;
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by
    ///   default).
    #[doc(alias = "connect")]
    pub fn to(address: impl ToSocketAddrs) -> Result<Self> {
        inet::first(Mechanism::Udp, "connect to", address, |address| {
            let inet = Inet::make(Mechanism::Udp, "connect to", address, SocketType::DGRAM)?;
            connect(&inet.fd, &address).map_err(|errno| inet.error("connect to", errno))?;
            Ok(Self { inet })
        })
    }

    /// `send(2)`: sends a datagram, which may be empty, to the peer; waits while the send buffer is full.
    ///
    /// # Errors
    /// - [`NoPeer`](crate::ErrorKind::NoPeer): an earlier datagram found the port closed (`ECONNREFUSED`); this one was not sent;
    /// - [`TooLong`](crate::ErrorKind::TooLong): more than [`LONGEST`] or [`LONGEST_V6`] bytes.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever())
    }

    /// As [`Connected::send`], without waiting.
    ///
    /// # Errors
    /// As [`Connected::send`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::never())
    }

    /// As [`Connected::send`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Connected::send`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(message, Wait::until(deadline))
    }

    /// As [`Connected::send`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Connected::send`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn send_interruptible(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever().interruptible())
    }

    /// The general form of [`Connected::send`].
    ///
    /// # Errors
    /// As [`Connected::send`], and what the named forms add, according to `wait`.
    #[inline]
    pub fn send_wait(&self, message: &[u8], wait: Wait) -> Result<()> {
        let sent = transfer::send(self.as_fd(), message, wait).map(drop);
        sent.map_err(|errno| send_error(&self.inet, message.len(), errno))
    }

    /// The system call of [`send_wait`](Self::send_wait), to be made by who wants it: see [`Prepared`].
    #[inline]
    pub fn prepare_send<'a>(&'a self, message: &'a [u8], wait: Wait) -> Prepared<'a> {
        transfer::prepare_send(self.as_fd(), message, wait)
    }

    /// What [`send_wait`](Self::send_wait) returns where its [prepared](Self::prepare_send) call has come to `first`, which it
    /// makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`send_wait`](Self::send_wait).
    #[inline]
    pub fn finish_send(&self, first: Outcome, message: &[u8], wait: Wait) -> Result<()> {
        let sent = transfer::sent(self.as_fd(), first, message, wait).map(drop);
        sent.map_err(|errno| send_error(&self.inet, message.len(), errno))
    }

    /// `recv(2)`: receives a datagram of the peer, which may be empty, and says how long it is; waits for one.
    ///
    /// # Errors
    /// - [`NoPeer`](crate::ErrorKind::NoPeer): an earlier datagram found the port closed (`ECONNREFUSED`);
    /// - [`Malformed`](crate::ErrorKind::Malformed) or [`TooLong`](crate::ErrorKind::TooLong): the datagram is longer than the buffer;
    ///   see [`Connected::keep_long_messages`].
    #[doc(alias = "recv")]
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::forever())
    }

    /// As [`Connected::receive`], without waiting.
    ///
    /// # Errors
    /// As [`Connected::receive`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::never())
    }

    /// As [`Connected::receive`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Connected::receive`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.receive_wait(buffer, Wait::until(deadline))
    }

    /// As [`Connected::receive`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Connected::receive`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn receive_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Connected::receive`].
    ///
    /// # Errors
    /// As [`Connected::receive`], and what the named forms add, according to `wait`.
    pub fn receive_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        let room = buffer.len();
        let take = |flags| recv(self.as_fd(), &mut *buffer, flags).map(|(_, len)| (len, len));
        let ended = || Err(Errno::SHUTDOWN);
        let taken = transfer::take_message(self.as_fd(), room, self.inet.keeps(), wait, take, ended);
        self.inet.whole(taken, room)
    }

    /// Copies as much of the next datagram as fits the buffer and says how long it is, which may be more than the
    /// buffer; it stays. An empty buffer tells the length alone.
    ///
    /// # Errors
    /// As [`Connected::receive`], but no datagram is too long.
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever())
    }

    /// As [`Connected::peek`], without waiting.
    ///
    /// # Errors
    /// As [`Connected::peek`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::never())
    }

    /// As [`Connected::peek`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Connected::peek`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn peek_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.peek_wait(buffer, Wait::until(deadline))
    }

    /// As [`Connected::peek`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Connected::peek`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn peek_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Connected::peek`].
    ///
    /// # Errors
    /// As [`Connected::peek`], and what the named forms add, according to `wait`.
    pub fn peek_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        peek(&self.inet, buffer, wait)
    }

    /// The peer's address: `getpeername(2)`.
    ///
    /// # Errors
    /// [`NoPeer`](crate::ErrorKind::NoPeer) if somebody who shares the socket has undone the connection (`ENOTCONN`).
    #[doc(alias = "getpeername")]
    pub fn peer_address(&self) -> Result<SocketAddr> {
        self.inet.peer_address()
    }

    /// Whether a datagram that is longer than the buffer stays in the queue. Off at first.
    ///
    /// Off, receiving takes one system call, and such a datagram is lost but for its beginning: the error
    /// ([`Malformed`](crate::ErrorKind::Malformed)) says so. On, it takes two, since the length is looked at first, and the
    /// error ([`TooLong`](crate::ErrorKind::TooLong)) leaves the datagram where it is. A buffer of [`LONGEST_V6`] bytes takes any.
    #[doc(alias = "MSG_TRUNC")]
    pub fn keep_long_messages(&self, keep: bool) {
        self.inet.keep_long_messages(keep);
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::Udp, number)?.try_into()
    }

    /// Its own address: `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`),
    /// and nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.inet.local_address()
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
}

/// Several messages with one system call.
///
/// ```
/// use std::io::{IoSlice, IoSliceMut};
/// use twixt_os::Wait;
/// use twixt_os::net::udp::{Connected, Socket};
/// let other = Socket::bind("127.0.0.1:0")?;
/// let one = Connected::to(other.local_address()?)?;
/// let messages = [IoSlice::new(b"first"), IoSlice::new(b"second")];
/// assert_eq!(one.send_many_wait(&messages, Wait::forever())?, 2);
///
/// let (mut first, mut second, mut lens) = ([0; 16], [0; 16], [0; 2]);
/// let mut rooms = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
/// assert_eq!(other.receive_many_wait(&mut rooms, &mut lens, Wait::forever())?, 2);
/// assert_eq!(lens, [5, 6]);
/// assert_eq!(&second[..6], b"second");
/// # Ok::<(), twixt_os::Error>(())
/// ```
impl Connected {
    /// `sendmmsg(2)`: sends several messages, one per slice, with one system call, and says how many went: as many as there
    /// is room for, at least one, and no more than [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE). None of no messages.
    ///
    /// # Errors
    /// As [`Connected::send_wait`] for the first message; what hinders a later one is told when that one is the first.
    #[doc(alias = "sendmmsg")]
    pub fn send_many_wait(&self, messages: &[IoSlice<'_>], wait: Wait) -> Result<usize> {
        many::send(self.as_fd(), messages, wait)
            .map_err(|errno| send_error(&self.inet, many::longest(messages), errno))
    }

    /// `recvmmsg(2)`: receives as many messages as are there, each into a room of its own, with one system call; waits for
    /// the first one only. Gives how many came, and writes to `lens` how long they were: a message longer than its room
    /// was cut. No more come than there are rooms and places in `lens`, nor than
    /// [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE).
    ///
    /// # Errors
    /// Those of [`Connected::receive_wait`], but that no message is too long.
    #[doc(alias = "recvmmsg")]
    pub fn receive_many_wait(
        &self,
        rooms: &mut [IoSliceMut<'_>],
        lens: &mut [usize],
        wait: Wait,
    ) -> Result<usize> {
        many::receive(self.as_fd(), rooms, lens, wait).map_err(|errno| self.inet.error("receive from", errno))
    }
}

/// Several messages with one system call.
impl Socket {
    /// `recvmmsg(2)`: receives as many messages as are there, each into a room of its own, with one system call; waits for
    /// the first one only. Gives how many came, and writes to `lens` how long they were: a message longer than its room
    /// was cut. No more come than there are rooms and places in `lens`, nor than
    /// [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE). Where they came from is not told.
    ///
    /// # Errors
    /// Those of [`Socket::receive_from_wait`], but that no message is too long.
    #[doc(alias = "recvmmsg")]
    pub fn receive_many_wait(
        &self,
        rooms: &mut [IoSliceMut<'_>],
        lens: &mut [usize],
        wait: Wait,
    ) -> Result<usize> {
        many::receive(self.as_fd(), rooms, lens, wait).map_err(|errno| self.inet.error("receive from", errno))
    }
}

fn peek(inet: &Inet, buffer: &mut [u8], wait: Wait) -> Result<usize> {
    let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
    transfer::receive(inet.fd.as_fd(), buffer, flags, wait).map_err(|errno| inet.error("receive from", errno))
}

#[cold]
fn send_error(inet: &Inet, len: usize, errno: Errno) -> Error {
    let error = inet.error("send to", errno);
    match errno {
        Errno::MSGSIZE => {
            let longest = if inet.is_ipv4() { LONGEST } else { LONGEST_V6 };
            let (name, needed) = ("the longest datagram", Some(len as u64));
            error.with_limit(Limit { name, current: Some(longest as u64), needed })
        }
        Errno::ACCESS => error.with_advice("for a broadcast address, set_broadcast(true) first"),
        _ => error,
    }
}

/// Takes over a descriptor, inherited or passed.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is anything but a UDP socket.
impl TryFrom<OwnedFd> for Socket {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Ok(Self { inet: Inet::adopt(fd, Mechanism::Udp, SocketType::DGRAM, false)? })
    }
}

/// Takes over a descriptor, inherited or passed.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is anything but a UDP socket, [`NoPeer`](crate::ErrorKind::NoPeer) if
/// it is not connected.
impl TryFrom<OwnedFd> for Connected {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        let socket = Self { inet: Inet::adopt(fd, Mechanism::Udp, SocketType::DGRAM, false)? };
        socket.peer_address().map(|_| socket)
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

impl From<Connected> for OwnedFd {
    fn from(socket: Connected) -> Self {
        socket.inet.fd
    }
}

impl AsFd for Connected {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inet.fd.as_fd()
    }
}
