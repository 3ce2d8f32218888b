//! Datagram sockets: messages to whoever has the address, without a connection.
//!
//! Unlike UDP they are reliable and keep their order: a sender waits where the receiver is slow.
//!
//! ```
//! use twixt_os::unix::{Address, Datagram};
//! # let scratch = twixt_testkit::scratch();
//! # let path = scratch.path().join("socket");
//! let address = Address::path(&path)?;
//! let receiver = Datagram::bind(&address)?;
//! let sender = Datagram::unbound()?;
//! sender.send_to(b"hello", &address)?;
//! let mut buffer = [0; 1024];
//! let (len, from) = receiver.receive_from(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"hello");
//! assert!(from.is_unnamed(), "so nobody could answer it");
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{connect, connect_unspec, recv, sendto};

use crate::inherit::inherited_as;
use crate::net::transfer::{self, send_flags};
use crate::net::{Options, many};
use crate::unix::bind::unlink_guard;
use crate::unix::socket::{Socket, attempt_of};
use crate::unix::{Address, Attachments, BindOptions, Received, Receiving, UnlinkGuard};
use crate::{Deadline, ErrorKind, Mechanism, Outcome, Prepared, Result, Wait};

/// A datagram socket: bound to an address so that others can send to it, or not; connected to a peer, or not.
///
/// ```
/// use twixt_os::unix::Datagram;
/// let (one, other) = Datagram::pair()?;
/// one.send(b"first")?;
/// one.send(b"second")?;
/// let mut buffer = [0; 64];
/// assert_eq!(other.receive(&mut buffer)?, 5);
/// assert_eq!(other.receive(&mut buffer)?, 6);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Datagram {
    socket: Socket,
}

impl Datagram {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket }
    }

    /// A socket without a name, to send from; nobody can answer it.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) when this process (`RLIMIT_NOFILE`, 1024 by default) or the system
    /// (`fs.file-max`) has no descriptor left.
    #[doc(alias = "socket")]
    pub fn unbound() -> Result<Self> {
        Socket::make(Mechanism::UnixDatagram, "create", &Address::UNNAMED).map(Self::new)
    }

    /// A socket with an address, with the defaults of [`BindOptions`]: a new socket file of mode 0600.
    ///
    /// # Errors
    /// Those of [`BindOptions::listen`].
    pub fn bind(address: &Address) -> Result<Self> {
        BindOptions::new().datagram(address)
    }

    /// `socketpair(2)`: two sockets connected to each other, to share with a child process or to pass on.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) when this process (`RLIMIT_NOFILE`, 1024 by default) or the system
    /// (`fs.file-max`) has no descriptor left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = Socket::pair(Mechanism::UnixDatagram)?;
        Ok((Self::new(one), Self::new(other)))
    }

    /// `connect(2)`: sets the receiver for [`Datagram::send`]; from then on only that one's messages are received.
    /// Never waits.
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound): no such path;
    /// - [`NoPeer`](ErrorKind::NoPeer): nobody is bound to it (`ECONNREFUSED`), at a stale path say;
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): no write permission on the socket file, or the socket
    ///   there is connected to another one;
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the socket there is of another type.
    pub fn connect(&self, address: &Address) -> Result<()> {
        connect(self.as_fd(), address.raw())
            .map_err(|errno| self.socket.connect_error(errno).with_object(address.object()))
    }

    /// Undoes [`Datagram::connect`].
    ///
    /// # Errors
    /// None is expected: a socket that is not connected may be disconnected, too.
    pub fn disconnect(&self) -> Result<()> {
        connect_unspec(self.as_fd()).map_err(|errno| self.socket.error("disconnect", errno))
    }

    /// `send(2)`: sends a message, which may be empty, to the connected peer; waits while its queue is full
    /// (`net.unix.max_dgram_qlen` messages, unless the peer is connected to this socket) or this socket's send buffer.
    ///
    /// # Errors
    /// - [`NoPeer`](ErrorKind::NoPeer): the peer has closed (`ECONNREFUSED`), or there was none;
    /// - [`TooLong`](ErrorKind::TooLong): the message is longer than the send buffer, which the error names with its size;
    /// - [`LimitReached`](ErrorKind::LimitReached): the kernel has no memory for it (`ENOBUFS`).
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever())
    }

    /// As [`Datagram::send`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::send`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::never())
    }

    /// As [`Datagram::send`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::send`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(message, Wait::until(deadline))
    }

    /// As [`Datagram::send`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::send`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_interruptible(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::send`].
    ///
    /// # Errors
    /// As [`Datagram::send`], and what the named forms add, according to `wait`.
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

    /// `sendto(2)`: sends a message to an address; waits like [`Datagram::send`].
    ///
    /// Whether the receiver of an address has room cannot be polled for: with a deadline it is tried again and again, at
    /// intervals of 20 µs at first and 4 ms at most.
    ///
    /// # Errors
    /// As [`Datagram::send`], and those of [`Datagram::connect`].
    #[doc(alias = "sendto")]
    pub fn send_to(&self, message: &[u8], to: &Address) -> Result<()> {
        self.send_to_wait(message, to, Wait::forever())
    }

    /// As [`Datagram::send_to`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::send_to`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_to(&self, message: &[u8], to: &Address) -> Result<()> {
        self.send_to_wait(message, to, Wait::never())
    }

    /// As [`Datagram::send_to`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::send_to`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_to_deadline(&self, message: &[u8], to: &Address, deadline: Deadline) -> Result<()> {
        self.send_to_wait(message, to, Wait::until(deadline))
    }

    /// As [`Datagram::send_to`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::send_to`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_to_interruptible(&self, message: &[u8], to: &Address) -> Result<()> {
        self.send_to_wait(message, to, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::send_to`].
    ///
    /// # Errors
    /// As [`Datagram::send_to`], and what the named forms add, according to `wait`.
    pub fn send_to_wait(&self, message: &[u8], to: &Address, wait: Wait) -> Result<()> {
        let sent =
            wait.with_backoff(|| sendto(self.as_fd(), message, send_flags(attempt_of(wait)), to.raw()));
        sent.map(drop).map_err(|errno| self.socket.send_error(to.object(), message.len(), errno))
    }

    /// `recv(2)`: receives a message and says how long it is; waits for one. 0 is an empty message (or, after one's own
    /// [`shutdown`](Datagram::shutdown) of reading, the end). Descriptors that came along are closed.
    ///
    /// # Errors
    /// - [`Malformed`](ErrorKind::Malformed) or [`TooLong`](ErrorKind::TooLong): the message is longer than the
    ///   buffer; see [`Datagram::keep_long_messages`];
    /// - [`PeerGone`](ErrorKind::PeerGone), once, if the connected peer has closed with messages of ours unread.
    #[doc(alias = "recv")]
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::forever())
    }

    /// As [`Datagram::receive`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::receive`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::never())
    }

    /// As [`Datagram::receive`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::receive`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.receive_wait(buffer, Wait::until(deadline))
    }

    /// As [`Datagram::receive`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::receive`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::receive`].
    ///
    /// # Errors
    /// As [`Datagram::receive`], and what the named forms add, according to `wait`.
    pub fn receive_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        let room = buffer.len();
        let take = |flags| recv(self.as_fd(), &mut *buffer, flags).map(|(_, len)| (len, len));
        let taken = transfer::take_message(self.as_fd(), room, self.socket.keeps(), wait, take, || Ok(0));
        self.socket.whole(taken, room)
    }

    /// `recvfrom(2)`: as [`Datagram::receive`], and says where the message came from.
    ///
    /// # Errors
    /// As [`Datagram::receive`].
    #[doc(alias = "recvfrom")]
    pub fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, Address)> {
        self.receive_from_wait(buffer, Wait::forever())
    }

    /// As [`Datagram::receive_from`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::receive_from`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_from(&self, buffer: &mut [u8]) -> Result<(usize, Address)> {
        self.receive_from_wait(buffer, Wait::never())
    }

    /// As [`Datagram::receive_from`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::receive_from`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_from_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<(usize, Address)> {
        self.receive_from_wait(buffer, Wait::until(deadline))
    }

    /// As [`Datagram::receive_from`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::receive_from`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_from_interruptible(&self, buffer: &mut [u8]) -> Result<(usize, Address)> {
        self.receive_from_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::receive_from`].
    ///
    /// # Errors
    /// As [`Datagram::receive_from`], and what the named forms add, according to `wait`.
    pub fn receive_from_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<(usize, Address)> {
        let mut from = Address::UNNAMED;
        let incoming = self.socket.receive_message(buffer, Some(&mut from), wait)?;
        Ok((incoming.len, from))
    }

    /// Copies as much of the next message as fits the buffer and says how long it is, which may be more than the
    /// buffer; the message stays. An empty buffer tells the length alone.
    ///
    /// # Errors
    /// As [`Datagram::receive`], but no message is too long.
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever())
    }

    /// As [`Datagram::peek`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::peek`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::never())
    }

    /// As [`Datagram::peek`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::peek`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn peek_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.peek_wait(buffer, Wait::until(deadline))
    }

    /// As [`Datagram::peek`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::peek`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn peek_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::peek`].
    ///
    /// # Errors
    /// As [`Datagram::peek`], and what the named forms add, according to `wait`.
    pub fn peek_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        self.socket.peek_message(buffer, wait).map(|incoming| incoming.len)
    }
}

/// What travels beside the bytes.
impl Datagram {
    /// `sendmsg(2)`: sends a message with attachments, to an address or to the connected peer.
    ///
    /// # Errors
    /// As [`Datagram::send_to`], and
    /// - [`LimitReached`](ErrorKind::LimitReached): more than 253 descriptors (`SCM_MAX_FD`), or so many of this user's
    ///   under way that `RLIMIT_NOFILE` is reached (`ETOOMANYREFS`);
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): credentials that are not the sender's own.
    #[doc(alias = "sendmsg")]
    pub fn send_with(
        &self,
        message: &[u8],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
    ) -> Result<()> {
        self.send_with_wait(message, to, attachments, Wait::forever())
    }

    /// As [`Datagram::send_with`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::send_with`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_with(
        &self,
        message: &[u8],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
    ) -> Result<()> {
        self.send_with_wait(message, to, attachments, Wait::never())
    }

    /// As [`Datagram::send_with`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::send_with`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_with_deadline(
        &self,
        message: &[u8],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
        deadline: Deadline,
    ) -> Result<()> {
        self.send_with_wait(message, to, attachments, Wait::until(deadline))
    }

    /// As [`Datagram::send_with`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::send_with`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_with_interruptible(
        &self,
        message: &[u8],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
    ) -> Result<()> {
        self.send_with_wait(message, to, attachments, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::send_with`].
    ///
    /// # Errors
    /// As [`Datagram::send_with`], and what the named forms add, according to `wait`.
    pub fn send_with_wait(
        &self,
        message: &[u8],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
        wait: Wait,
    ) -> Result<()> {
        self.socket.send_with(message, to, attachments, wait).map(drop)
    }

    /// `recvmsg(2)`: receives a message with what came along, and says where from.
    ///
    /// # Errors
    /// As [`Datagram::receive`], and [`LimitReached`](ErrorKind::LimitReached) if `RLIMIT_NOFILE` leaves no room for
    /// all descriptors: none is kept then, and the message is in the buffer.
    #[doc(alias = "recvmsg")]
    pub fn receive_with(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::forever())
    }

    /// As [`Datagram::receive_with`], without waiting.
    ///
    /// # Errors
    /// As [`Datagram::receive_with`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_with(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::never())
    }

    /// As [`Datagram::receive_with`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Datagram::receive_with`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_with_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::until(deadline))
    }

    /// As [`Datagram::receive_with`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Datagram::receive_with`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_with_interruptible(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_with_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Datagram::receive_with`].
    ///
    /// # Errors
    /// As [`Datagram::receive_with`], and what the named forms add, according to `wait`.
    pub fn receive_with_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<Received> {
        let received = self.socket.receive_with(buffer, wait)?;
        // Only a seqpacket connection has an end of its own kind.
        received.ok_or_else(|| self.socket.refuse("receive from", ErrorKind::PeerGone, "it has ended"))
    }

    /// As [`Datagram::receive_with_wait`], for those who receive often: into what was used before, so that nothing is
    /// allocated where its vector has room.
    ///
    /// # Errors
    /// As [`Datagram::receive_with_wait`]; `received` is empty then.
    #[inline]
    pub fn receive_into_wait(&self, buffer: &mut [u8], received: &mut Received, wait: Wait) -> Result<()> {
        self.socket.receive_into(buffer, received, true, wait).map(drop)
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
        self.socket.prepare_message(receiving, buffer, received, true, wait)
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
    ) -> Result<()> {
        self.socket.finish_message(receiving, Some(first), buffer, received, true, wait).map(drop)
    }

    /// Has each message bring the credentials of its sender, for `receive_with`: `SO_PASSCRED`.
    ///
    /// Set it before the peer sends, or they are those of nobody. A socket without a name is given an abstract one by
    /// the kernel when it sends next.
    ///
    /// # Errors
    /// None is expected: every Unix socket has this option.
    #[doc(alias = "SO_PASSCRED")]
    pub fn set_pass_credentials(&self, on: bool) -> Result<()> {
        self.socket.set_pass_credentials(on)
    }

    /// Has each message bring a pidfd of its sender, for `receive_with`: `SO_PASSPIDFD`, `SCM_PIDFD`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) before Linux 6.5.
    #[doc(alias = "SO_PASSPIDFD")]
    #[doc(alias = "SCM_PIDFD")]
    pub fn set_pass_pidfd(&self, on: bool) -> Result<()> {
        self.socket.set_pass_pidfd(on)
    }
}

/// Settings and names.
impl Datagram {
    /// Whether a message that is longer than the buffer stays in the queue. Off at first.
    ///
    /// Off, receiving takes one system call, and such a message is lost but for its beginning: the error
    /// ([`Malformed`](ErrorKind::Malformed)) says so. On, it takes two, since the length is looked at first, and the
    /// error ([`TooLong`](ErrorKind::TooLong)) leaves the message where it is, and the buffer as it was.
    #[doc(alias = "MSG_TRUNC")]
    pub fn keep_long_messages(&self, keep: bool) {
        self.socket.keep_long_messages(keep);
    }

    /// Ends one direction or both, for this socket alone.
    ///
    /// # Errors
    /// None is expected: what is shut down already, or whose peer has gone, may be shut down again.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.socket.shutdown(how)
    }

    /// A guard that removes the socket file when it is dropped; the socket can be used on.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the address is not a path.
    pub fn unlink_on_drop(&self) -> Result<UnlinkGuard> {
        unlink_guard(Mechanism::UnixDatagram, &self.local_address()?)
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::UnixDatagram, number)?.try_into()
    }

    /// Its own address, often [unnamed](Address::is_unnamed): `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`), and
    /// nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<Address> {
        self.socket.local_address()
    }

    /// The address of the peer: `getpeername(2)`.
    ///
    /// # Errors
    /// [`NoPeer`](ErrorKind::NoPeer) when it is not connected.
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

/// Several messages with one system call.
///
/// ```
/// use std::io::{IoSlice, IoSliceMut};
/// use twixt_os::Wait;
/// use twixt_os::unix::Datagram;
/// let (one, other) = Datagram::pair()?;
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
impl Datagram {
    /// `sendmmsg(2)`: sends several messages, one per slice, with one system call, and says how many went: as many as there
    /// is room for, at least one, and no more than [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE). None of no messages.
    ///
    /// # Errors
    /// As [`Datagram::send_wait`] for the first message; what hinders a later one is told when that one is the first.
    #[doc(alias = "sendmmsg")]
    pub fn send_many_wait(&self, messages: &[IoSlice<'_>], wait: Wait) -> Result<usize> {
        many::send(self.as_fd(), messages, wait).map_err(|errno| {
            self.socket.send_error(self.socket.object.clone(), many::longest(messages), errno)
        })
    }

    /// `recvmmsg(2)`: receives as many messages as are there, each into a room of its own, with one system call; waits for
    /// the first one only. Gives how many came, and writes to `lens` how long they were: a message longer than its room
    /// was cut. No more come than there are rooms and places in `lens`, nor than
    /// [`MOST_AT_ONCE`](crate::net::MOST_AT_ONCE). Descriptors that came along are closed.
    ///
    /// # Errors
    /// Those of [`Datagram::receive_wait`], but that no message is too long.
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

/// Takes over a descriptor, inherited or passed.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) if it is anything but a Unix datagram socket.
impl TryFrom<OwnedFd> for Datagram {
    type Error = crate::Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Socket::adopt(fd, Mechanism::UnixDatagram, false).map(Self::new)
    }
}

impl From<Datagram> for OwnedFd {
    fn from(socket: Datagram) -> Self {
        socket.socket.into_fd()
    }
}

impl AsFd for Datagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }
}
