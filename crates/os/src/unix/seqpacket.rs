//! Seqpacket sockets: connections that keep message boundaries.
//!
//! ```
//! use twixt_os::unix::Seqpacket;
//!
//! let (one, other) = Seqpacket::pair()?;
//! one.send(b"first")?;
//! one.send(b"")?;
//! drop(one);
//! let mut buffer = [0; 16];
//! assert_eq!(other.receive(&mut buffer)?, Some(5));
//! assert_eq!(other.receive(&mut buffer)?, Some(0), "an empty message");
//! assert_eq!(other.receive(&mut buffer)?, None, "the end");
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use crate::inherit::inherited_as;
use crate::net::{Options, many, transfer};
use crate::unix::connect::connect;
use crate::unix::listener::sealed;
use crate::unix::socket::{Socket, is_end};
use crate::unix::{Address, Attachments, Credentials, Received, Receiving};
use crate::{Deadline, Mechanism, Outcome, Prepared, Result, Wait};

/// A connected seqpacket socket: each message arrives whole, in order, or not at all.
///
/// `recv(2)` returns 0 for an empty message as well as for the end of the connection. This type tells them apart: it sets
/// `SO_PASSCRED` on its socket, which has the kernel mark every message. (So a socket without a name is given an abstract
/// one when it sends.) That option must stay on.
///
/// ```
/// use twixt_os::unix::{Address, Seqpacket, SeqpacketListener};
/// let address: Address = format!("@seqpacket-{}", std::process::id()).parse()?;
/// let listener = SeqpacketListener::bind(&address)?;
/// let client = Seqpacket::connect(&address)?;
/// let server = listener.accept()?;
/// client.send(b"request")?;
/// let mut buffer = [0; 64];
/// assert_eq!(server.receive(&mut buffer)?, Some(7));
/// drop(client);
/// assert_eq!(server.receive(&mut buffer)?, None, "the client has gone");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Seqpacket {
    socket: Socket,
}

impl Seqpacket {
    /// `socketpair(2)`: two sockets connected to each other, to share with a child process or to pass on.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) when this process (`RLIMIT_NOFILE`, 1024 by default) or the
    /// system (`fs.file-max`) has no descriptor left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = Socket::pair(Mechanism::UnixSeqpacket)?;
        Ok((Self::marked(one)?, Self::marked(other)?))
    }

    /// Has messages told from the end.
    fn marked(socket: Socket) -> Result<Self> {
        socket.set_pass_credentials(true)?;
        Ok(Self { socket })
    }

    /// `connect(2)`: waits while the server's backlog is full.
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound): no such path;
    /// - [`NoPeer`](crate::ErrorKind::NoPeer): nobody listens there (`ECONNREFUSED`), at a stale path say;
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): no write permission on the socket file;
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput): the socket there is of another type;
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`).
    pub fn connect(address: &Address) -> Result<Self> {
        Self::connect_wait(address, Wait::forever())
    }

    /// As [`Seqpacket::connect`], without waiting.
    ///
    /// # Errors
    /// As [`Seqpacket::connect`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_connect(address: &Address) -> Result<Self> {
        Self::connect_wait(address, Wait::never())
    }

    /// As [`Seqpacket::connect`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::connect`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn connect_deadline(address: &Address, deadline: Deadline) -> Result<Self> {
        Self::connect_wait(address, Wait::until(deadline))
    }

    /// As [`Seqpacket::connect`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::connect`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn connect_interruptible(address: &Address) -> Result<Self> {
        Self::connect_wait(address, Wait::forever().interruptible())
    }

    /// The general form of [`Seqpacket::connect`].
    ///
    /// # Errors
    /// As [`Seqpacket::connect`], and what the named forms add, according to `wait`.
    pub fn connect_wait(address: &Address, wait: Wait) -> Result<Self> {
        connect(Mechanism::UnixSeqpacket, address, wait).and_then(Self::marked)
    }

    /// `send(2)`: sends a message, which may be empty; waits while the send buffer is full.
    ///
    /// # Errors
    /// - [`PeerGone`](crate::ErrorKind::PeerGone): the peer has closed (`EPIPE`, never the signal SIGPIPE);
    /// - [`TooLong`](crate::ErrorKind::TooLong): the message is longer than the send buffer, which the error names with its size;
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): the kernel has no memory for it (`ENOBUFS`).
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever())
    }

    /// As [`Seqpacket::send`], without waiting.
    ///
    /// # Errors
    /// As [`Seqpacket::send`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::never())
    }

    /// As [`Seqpacket::send`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::send`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(message, Wait::until(deadline))
    }

    /// As [`Seqpacket::send`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::send`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn send_interruptible(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever().interruptible())
    }

    /// The general form of [`Seqpacket::send`].
    ///
    /// # Errors
    /// As [`Seqpacket::send`], and what the named forms add, according to `wait`.
    #[inline]
    pub fn send_wait(&self, message: &[u8], wait: Wait) -> Result<()> {
        let sent = transfer::send(self.as_fd(), message, wait).map(drop);
        sent.map_err(|errno| self.socket.own_send_error(message.len(), errno))
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
        sent.map_err(|errno| self.socket.own_send_error(message.len(), errno))
    }

    /// Receives a message and says how long it is; waits for one. `None` is the end: the peer has closed or shut down.
    /// Descriptors that the peer attached are closed.
    ///
    /// # Errors
    /// - [`Malformed`](crate::ErrorKind::Malformed) or [`TooLong`](crate::ErrorKind::TooLong): the message is longer than the
    ///   buffer; see [`Seqpacket::keep_long_messages`];
    /// - [`PeerGone`](crate::ErrorKind::PeerGone), once, if the peer closed with messages of ours unread (`ECONNRESET`).
    ///   What it sent before can be received afterwards.
    #[doc(alias = "recvmsg")]
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.receive_wait(buffer, Wait::forever())
    }

    /// As [`Seqpacket::receive`], without waiting.
    ///
    /// # Errors
    /// As [`Seqpacket::receive`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.receive_wait(buffer, Wait::never())
    }

    /// As [`Seqpacket::receive`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::receive`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<usize>> {
        self.receive_wait(buffer, Wait::until(deadline))
    }

    /// As [`Seqpacket::receive`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::receive`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn receive_interruptible(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.receive_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Seqpacket::receive`].
    ///
    /// # Errors
    /// As [`Seqpacket::receive`], and what the named forms add, according to `wait`.
    pub fn receive_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<Option<usize>> {
        let incoming = self.socket.receive_message(buffer, None, wait)?;
        Ok(if is_end(&incoming, false) { None } else { Some(incoming.len) })
    }

    /// Copies as much of the next message as fits the buffer and says how long it is, which may be more than the
    /// buffer; the message stays. `None` is the end. An empty buffer tells the length alone.
    ///
    /// # Errors
    /// As [`Seqpacket::receive`], but no message is too long.
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.peek_wait(buffer, Wait::forever())
    }

    /// As [`Seqpacket::peek`], without waiting.
    ///
    /// # Errors
    /// As [`Seqpacket::peek`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.peek_wait(buffer, Wait::never())
    }

    /// As [`Seqpacket::peek`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::peek`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn peek_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<usize>> {
        self.peek_wait(buffer, Wait::until(deadline))
    }

    /// As [`Seqpacket::peek`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::peek`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn peek_interruptible(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.peek_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Seqpacket::peek`].
    ///
    /// # Errors
    /// As [`Seqpacket::peek`], and what the named forms add, according to `wait`.
    pub fn peek_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<Option<usize>> {
        let incoming = self.socket.peek_message(buffer, wait)?;
        Ok(if is_end(&incoming, false) { None } else { Some(incoming.len) })
    }

    /// `sendmsg(2)`: sends a message with attachments. The message may be empty.
    ///
    /// # Errors
    /// As [`Seqpacket::send`], and
    /// - [`LimitReached`](crate::ErrorKind::LimitReached): more than 253 descriptors (`SCM_MAX_FD`), or so many of this user's
    ///   under way that `RLIMIT_NOFILE` is reached (`ETOOMANYREFS`);
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): credentials that are not the sender's own.
    #[doc(alias = "sendmsg")]
    pub fn send_with(&self, message: &[u8], attachments: &Attachments<'_>) -> Result<()> {
        self.send_with_wait(message, attachments, Wait::forever())
    }

    /// As [`Seqpacket::send_with`], without waiting.
    ///
    /// # Errors
    /// As [`Seqpacket::send_with`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_with(&self, message: &[u8], attachments: &Attachments<'_>) -> Result<()> {
        self.send_with_wait(message, attachments, Wait::never())
    }

    /// As [`Seqpacket::send_with`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::send_with`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_with_deadline(
        &self,
        message: &[u8],
        attachments: &Attachments<'_>,
        deadline: Deadline,
    ) -> Result<()> {
        self.send_with_wait(message, attachments, Wait::until(deadline))
    }

    /// As [`Seqpacket::send_with`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::send_with`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn send_with_interruptible(&self, message: &[u8], attachments: &Attachments<'_>) -> Result<()> {
        self.send_with_wait(message, attachments, Wait::forever().interruptible())
    }

    /// The general form of [`Seqpacket::send_with`].
    ///
    /// # Errors
    /// As [`Seqpacket::send_with`], and what the named forms add, according to `wait`.
    pub fn send_with_wait(&self, message: &[u8], attachments: &Attachments<'_>, wait: Wait) -> Result<()> {
        self.socket.send_with(message, None, attachments, wait).map(drop)
    }

    /// `recvmsg(2)`: receives a message with what came along. `None` is the end. The sender's credentials always come.
    ///
    /// # Errors
    /// As [`Seqpacket::receive`], and [`LimitReached`](crate::ErrorKind::LimitReached) if `RLIMIT_NOFILE` leaves no room for
    /// all descriptors: none is kept then, and the message is in the buffer.
    #[doc(alias = "recvmsg")]
    pub fn receive_with(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.receive_with_wait(buffer, Wait::forever())
    }

    /// As [`Seqpacket::receive_with`], without waiting.
    ///
    /// # Errors
    /// As [`Seqpacket::receive_with`], and [`WouldBlock`](crate::ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_with(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.receive_with_wait(buffer, Wait::never())
    }

    /// As [`Seqpacket::receive_with`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::receive_with`], and [`TimedOut`](crate::ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_with_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.receive_with_wait(buffer, Wait::until(deadline))
    }

    /// As [`Seqpacket::receive_with`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Seqpacket::receive_with`], and [`Interrupted`](crate::ErrorKind::Interrupted) when one has run.
    pub fn receive_with_interruptible(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.receive_with_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Seqpacket::receive_with`].
    ///
    /// # Errors
    /// As [`Seqpacket::receive_with`], and what the named forms add, according to `wait`.
    pub fn receive_with_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<Option<Received>> {
        self.socket.receive_with(buffer, wait)
    }

    /// As [`Seqpacket::receive_with_wait`], for those who receive often: into what was used before, so that nothing is
    /// allocated where its vector has room. `false` is the end.
    ///
    /// `from` stays unnamed: all that comes over a connection comes from the same socket, whose
    /// [address](Self::peer_address) can be had once, whereas the kernel would copy it out with each message.
    ///
    /// # Errors
    /// As [`Seqpacket::receive_with_wait`]; `received` is empty then.
    #[inline]
    pub fn receive_into_wait(&self, buffer: &mut [u8], received: &mut Received, wait: Wait) -> Result<bool> {
        self.socket.receive_into(buffer, received, false, wait)
    }

    /// The system call of [`receive_into_wait`](Self::receive_into_wait), to be made by who wants it: see [`Prepared`]. None where
    /// it takes more than one ([`keep_long_messages`](Self::keep_long_messages)).
    #[inline]
    pub fn prepare_receive_into<'a>(
        &'a self,
        receiving: &'a mut Receiving,
        buffer: &'a mut [u8],
        received: &'a mut Received,
        wait: Wait,
    ) -> Option<Prepared<'a>> {
        self.socket.prepare_message(receiving, buffer, received, false, wait)
    }

    /// What [`receive_into_wait`](Self::receive_into_wait) returns where its [prepared](Self::prepare_receive_into) call has come to
    /// `first`, which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`receive_into_wait`](Self::receive_into_wait).
    #[inline]
    pub fn finish_receive_into(
        &self,
        receiving: &mut Receiving,
        first: Outcome,
        buffer: &mut [u8],
        received: &mut Received,
        wait: Wait,
    ) -> Result<bool> {
        self.socket.finish_message(receiving, Some(first), buffer, received, false, wait)
    }
}

/// Several messages with one system call.
///
/// ```
/// use std::io::{IoSlice, IoSliceMut};
/// use twixt_os::Wait;
/// use twixt_os::unix::Seqpacket;
/// let (one, other) = Seqpacket::pair()?;
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
impl Seqpacket {
    /// `sendmmsg(2)`: sends several messages, one per slice, with one system call, and says how many went: as many as there
    /// is room for, at least one, and no more than [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE). None of no messages.
    ///
    /// # Errors
    /// As [`Seqpacket::send_wait`] for the first message; what hinders a later one is told when that one is the first.
    #[doc(alias = "sendmmsg")]
    pub fn send_many_wait(&self, messages: &[IoSlice<'_>], wait: Wait) -> Result<usize> {
        many::send(self.as_fd(), messages, wait).map_err(|errno| {
            self.socket.send_error(self.socket.object.clone(), many::longest(messages), errno)
        })
    }

    /// `recvmmsg(2)`: receives as many messages as are there, each into a room of its own, with one system call; waits for
    /// the first one only. Gives how many came, and writes to `lens` how long they were: a message longer than its room
    /// was cut. No more come than there are rooms and places in `lens`, nor than
    /// [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE). Descriptors that came along are closed. A length of 0 is an empty message
    /// or the end, which [`receive`](Self::receive) tells apart.
    ///
    /// # Errors
    /// Those of [`Seqpacket::receive_wait`], but that no message is too long.
    #[doc(alias = "recvmmsg")]
    pub fn receive_many_wait(
        &self,
        rooms: &mut [IoSliceMut<'_>],
        lens: &mut [usize],
        wait: Wait,
    ) -> Result<usize> {
        many::receive(self.as_fd(), rooms, lens, wait).map_err(|errno| self.socket.receive_error(errno))
    }
}

/// Who is at the other end, and settings.
impl Seqpacket {
    /// Whether a message that is longer than the buffer stays in the queue. Off at first.
    ///
    /// Off, receiving takes one system call, and such a message is lost but for its beginning: the error
    /// ([`Malformed`](crate::ErrorKind::Malformed)) says so. On, it takes two, since the length is looked at first, and the
    /// error ([`TooLong`](crate::ErrorKind::TooLong)) leaves the message where it is, and the buffer as it was.
    #[doc(alias = "MSG_TRUNC")]
    pub fn keep_long_messages(&self, keep: bool) {
        self.socket.keep_long_messages(keep);
    }

    /// Ends one direction or both: the peer then receives the end, or fails to send with
    /// [`PeerGone`](crate::ErrorKind::PeerGone).
    ///
    /// # Errors
    /// None is expected: what is shut down already, or whose peer has gone, may be shut down again.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.socket.shutdown(how)
    }

    /// Who connected or listened at the other end, as it was at that time: `SO_PEERCRED`.
    ///
    /// With [`Seqpacket::pair`] it is the process that made the pair.
    ///
    /// # Errors
    /// None is expected: a socket that is connected has them.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_credentials(&self) -> Result<Credentials> {
        self.socket.peer_credentials()
    }

    /// A descriptor of that process, which stays right when its number is used again: `SO_PEERPIDFD`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) before Linux 6.5; [`PeerGone`](crate::ErrorKind::PeerGone) if that
    /// process has ended and been waited for (Linux before 6.15).
    #[doc(alias = "SO_PEERPIDFD")]
    pub fn peer_pidfd(&self) -> Result<OwnedFd> {
        self.socket.peer_pidfd()
    }

    /// Has each message bring a pidfd of its sender, for `receive_with`: `SO_PASSPIDFD`, `SCM_PIDFD`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) before Linux 6.5.
    #[doc(alias = "SO_PASSPIDFD")]
    #[doc(alias = "SCM_PIDFD")]
    pub fn set_pass_pidfd(&self, on: bool) -> Result<()> {
        self.socket.set_pass_pidfd(on)
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::UnixSeqpacket, number)?.try_into()
    }

    /// Its own address, often [unnamed](Address::is_unnamed): `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`),
    /// and nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<Address> {
        self.socket.local_address()
    }

    /// The address of the peer: `getpeername(2)`.
    ///
    /// # Errors
    /// [`NoPeer`](crate::ErrorKind::NoPeer) when it is not connected.
    #[doc(alias = "getpeername")]
    pub fn peer_address(&self) -> Result<Address> {
        self.socket.peer_address()
    }

    /// The options that all sockets have: buffer sizes, queue lengths.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn options(&self) -> Options<'_> {
        self.socket.options()
    }
}

impl sealed::Connection for Seqpacket {
    const MECHANISM: Mechanism = Mechanism::UnixSeqpacket;

    #[allow(private_interfaces, reason = "nobody outside can call it")]
    fn connected(socket: Socket) -> Result<Self> {
        Self::marked(socket)
    }
}

/// Takes over a descriptor, inherited or passed.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is anything but a connected Unix seqpacket socket.
impl TryFrom<OwnedFd> for Seqpacket {
    type Error = crate::Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::marked(Socket::adopt(fd, Mechanism::UnixSeqpacket, false)?)
    }
}

impl From<Seqpacket> for OwnedFd {
    fn from(socket: Seqpacket) -> Self {
        socket.socket.into_fd()
    }
}

impl AsFd for Seqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }
}
