//! Stream sockets: bytes in order, without boundaries.
//!
//! ```
//! use std::io::{BufRead, BufReader, Write};
//! use twixt_os::unix::Stream;
//!
//! let (one, other) = Stream::pair()?;
//! (&one).write_all(b"first line\nsecond line\n")?;
//! let mut line = String::new();
//! BufReader::new(&other).read_line(&mut line)?;
//! assert_eq!(line, "first line\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::RecvFlags;

use crate::inherit::inherited_as;
use crate::net::{Options, transfer};
use crate::unix::connect::connect;
use crate::unix::listener::sealed;
use crate::unix::socket::Socket;
use crate::unix::{Address, Credentials};
use crate::{Deadline, ErrorKind, Mechanism, Outcome, Prepared, Result, Wait};

/// A connected stream socket.
///
/// It reads and writes as [`io::Read`] and [`io::Write`] too, also through a shared reference.
///
/// ```
/// use std::net::Shutdown;
/// use twixt_os::unix::Stream;
/// let (one, other) = Stream::pair()?;
/// one.send_all(b"two ")?;
/// one.send_all(b"pieces")?;
/// one.shutdown(Shutdown::Write)?;
/// let mut buffer = [0; 10];
/// other.receive_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"two pieces");
/// assert_eq!(other.receive(&mut buffer)?, 0, "the end");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

impl Stream {
    /// `socketpair(2)`: two sockets connected to each other, to share with a child process or to pass on.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) when this process (`RLIMIT_NOFILE`, 1024 by default) or the system
    /// (`fs.file-max`) has no descriptor left.
    #[doc(alias = "socketpair")]
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = Socket::pair(Mechanism::UnixStream)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// `connect(2)`: waits while the server's backlog is full.
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound): no such path;
    /// - [`NoPeer`](ErrorKind::NoPeer): nobody listens there (`ECONNREFUSED`), at a stale path say;
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): no write permission on the socket file;
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the socket there is of another type;
    /// - [`LimitReached`](ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`).
    pub fn connect(address: &Address) -> Result<Self> {
        Self::connect_wait(address, Wait::forever())
    }

    /// As [`Stream::connect`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::connect`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_connect(address: &Address) -> Result<Self> {
        Self::connect_wait(address, Wait::never())
    }

    /// As [`Stream::connect`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::connect`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn connect_deadline(address: &Address, deadline: Deadline) -> Result<Self> {
        Self::connect_wait(address, Wait::until(deadline))
    }

    /// As [`Stream::connect`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::connect`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn connect_interruptible(address: &Address) -> Result<Self> {
        Self::connect_wait(address, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::connect`].
    ///
    /// # Errors
    /// As [`Stream::connect`], and what the named forms add, according to `wait`.
    pub fn connect_wait(address: &Address, wait: Wait) -> Result<Self> {
        connect(Mechanism::UnixStream, address, wait).map(|socket| Self { socket })
    }

    /// `send(2)`: sends bytes and says how many went; waits while the send buffer is full.
    ///
    /// While it waits without a deadline, all go, unless a signal handler runs; otherwise as many as fit.
    /// [`Stream::send_all`] sends the rest too.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) if the peer has closed (`EPIPE`, never the signal SIGPIPE).
    pub fn send(&self, bytes: &[u8]) -> Result<usize> {
        self.send_wait(bytes, Wait::forever())
    }

    /// As [`Stream::send`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::send`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send(&self, bytes: &[u8]) -> Result<usize> {
        self.send_wait(bytes, Wait::never())
    }

    /// As [`Stream::send`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::send`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_deadline(&self, bytes: &[u8], deadline: Deadline) -> Result<usize> {
        self.send_wait(bytes, Wait::until(deadline))
    }

    /// As [`Stream::send`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::send`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_interruptible(&self, bytes: &[u8]) -> Result<usize> {
        self.send_wait(bytes, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::send`].
    ///
    /// # Errors
    /// As [`Stream::send`], and what the named forms add, according to `wait`.
    #[inline]
    pub fn send_wait(&self, bytes: &[u8], wait: Wait) -> Result<usize> {
        let sent = transfer::send(self.as_fd(), bytes, wait);
        sent.map_err(|errno| self.socket.own_send_error(bytes.len(), errno))
    }

    /// The system call of [`send_wait`](Self::send_wait), to be made by who wants it: see [`Prepared`].
    #[inline]
    pub fn prepare_send<'a>(&'a self, bytes: &'a [u8], wait: Wait) -> Prepared<'a> {
        transfer::prepare_send(self.as_fd(), bytes, wait)
    }

    /// What [`send_wait`](Self::send_wait) returns where its [prepared](Self::prepare_send) call has come to `first`, which it
    /// makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`send_wait`](Self::send_wait).
    #[inline]
    pub fn finish_send(&self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        transfer::sent(self.as_fd(), first, bytes, wait)
            .map_err(|errno| self.socket.own_send_error(bytes.len(), errno))
    }

    /// Sends all bytes.
    ///
    /// If it fails, a part of them may have gone: [`Stream::send_all_counted`] tells how many.
    ///
    /// # Errors
    /// As [`Stream::send`].
    pub fn send_all(&self, bytes: &[u8]) -> Result<()> {
        self.send_all_wait(bytes, Wait::forever())
    }

    /// As [`Stream::send_all`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::send_all`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_send_all(&self, bytes: &[u8]) -> Result<()> {
        self.send_all_wait(bytes, Wait::never())
    }

    /// As [`Stream::send_all`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::send_all`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn send_all_deadline(&self, bytes: &[u8], deadline: Deadline) -> Result<()> {
        self.send_all_wait(bytes, Wait::until(deadline))
    }

    /// As [`Stream::send_all`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::send_all`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn send_all_interruptible(&self, bytes: &[u8]) -> Result<()> {
        self.send_all_wait(bytes, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::send_all`].
    ///
    /// # Errors
    /// As [`Stream::send_all`], and what the named forms add, according to `wait`.
    pub fn send_all_wait(&self, bytes: &[u8], wait: Wait) -> Result<()> {
        self.send_all_counted(bytes, &mut 0, wait)
    }

    /// As [`Stream::send_all`], from `bytes[*sent..]` on; `sent` grows as they go, so that a call that failed can be
    /// made again.
    ///
    /// # Errors
    /// As [`send_all`](Self::send_all); the count tells how far it came.
    pub fn send_all_counted(&self, bytes: &[u8], sent: &mut usize, wait: Wait) -> Result<()> {
        let gone = transfer::send_all(self.as_fd(), bytes, sent, wait);
        gone.map_err(|errno| self.socket.own_send_error(bytes.len(), errno))
    }

    /// `recv(2)`: receives as many bytes as there are, and at least one; waits for it. 0 is the end of the stream: the
    /// peer has closed or shut down. Descriptors that the peer attached are closed.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone), once, if the peer closed with bytes of ours unread (`ECONNRESET`). What it
    /// sent before can be received first.
    #[doc(alias = "recv")]
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::forever())
    }

    /// As [`Stream::receive`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::receive`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::never())
    }

    /// As [`Stream::receive`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::receive`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.receive_wait(buffer, Wait::until(deadline))
    }

    /// As [`Stream::receive`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::receive`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.receive_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::receive`].
    ///
    /// # Errors
    /// As [`Stream::receive`], and what the named forms add, according to `wait`.
    #[inline]
    pub fn receive_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        let received = transfer::receive(self.as_fd(), buffer, RecvFlags::empty(), wait);
        received.map_err(|errno| self.socket.receive_error(errno))
    }

    /// The system call of [`receive_wait`](Self::receive_wait), to be made by who wants it: see [`Prepared`].
    ///
    /// ```
    /// use twixt_os::Wait;
    /// use twixt_os::unix::Stream;
    /// let (one, other) = Stream::pair()?;
    /// one.send(b"hello")?;
    /// let mut buffer = [0; 8];
    /// let first = other.prepare_receive(&mut buffer, Wait::forever()).make();
    /// assert_eq!(other.finish_receive(first, &mut buffer, Wait::forever())?, 5);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    #[inline]
    pub fn prepare_receive<'a>(&'a self, buffer: &'a mut [u8], wait: Wait) -> Prepared<'a> {
        transfer::prepare_receive(self.as_fd(), buffer, RecvFlags::empty(), wait)
    }

    /// What [`receive_wait`](Self::receive_wait) returns where its [prepared](Self::prepare_receive) call has come to `first`,
    /// which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`receive_wait`](Self::receive_wait).
    #[inline]
    pub fn finish_receive(&self, first: Outcome, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        let received = transfer::received(self.as_fd(), first, buffer, RecvFlags::empty(), wait);
        received.map_err(|errno| self.socket.receive_error(errno))
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) if the stream ends before; what came is in the buffer, and
    /// [`Stream::receive_exact_counted`] tells how much.
    pub fn receive_exact(&self, buffer: &mut [u8]) -> Result<()> {
        self.receive_exact_wait(buffer, Wait::forever())
    }

    /// As [`Stream::receive_exact`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::receive_exact`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_receive_exact(&self, buffer: &mut [u8]) -> Result<()> {
        self.receive_exact_wait(buffer, Wait::never())
    }

    /// As [`Stream::receive_exact`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::receive_exact`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn receive_exact_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<()> {
        self.receive_exact_wait(buffer, Wait::until(deadline))
    }

    /// As [`Stream::receive_exact`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::receive_exact`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn receive_exact_interruptible(&self, buffer: &mut [u8]) -> Result<()> {
        self.receive_exact_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::receive_exact`].
    ///
    /// # Errors
    /// As [`Stream::receive_exact`], and what the named forms add, according to `wait`.
    pub fn receive_exact_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<()> {
        self.receive_exact_counted(buffer, &mut 0, wait)
    }

    /// As [`Stream::receive_exact`], into `buffer[*received..]`; `received` grows as bytes come, so that a call that
    /// failed can be made again.
    ///
    /// # Errors
    /// As [`receive_exact`](Self::receive_exact); the count tells how far it came.
    pub fn receive_exact_counted(&self, buffer: &mut [u8], received: &mut usize, wait: Wait) -> Result<()> {
        let filled = transfer::receive_exact(self.as_fd(), buffer, received, wait);
        filled.map_err(|errno| self.socket.receive_error(errno))?;
        if *received < buffer.len() {
            let why = "the stream ended before the buffer was full";
            return Err(self.socket.refuse("receive from", ErrorKind::PeerGone, why));
        }
        Ok(())
    }

    /// As [`Stream::receive`], but the bytes stay: the next call receives them again.
    ///
    /// # Errors
    /// As [`Stream::receive`].
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever())
    }

    /// As [`Stream::peek`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::peek`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_peek(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::never())
    }

    /// As [`Stream::peek`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::peek`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn peek_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.peek_wait(buffer, Wait::until(deadline))
    }

    /// As [`Stream::peek`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::peek`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn peek_interruptible(&self, buffer: &mut [u8]) -> Result<usize> {
        self.peek_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::peek`].
    ///
    /// # Errors
    /// As [`Stream::peek`], and what the named forms add, according to `wait`.
    pub fn peek_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        let peeked = transfer::receive(self.as_fd(), buffer, RecvFlags::PEEK, wait);
        peeked.map_err(|errno| self.socket.receive_error(errno))
    }
}

/// What travels beside the bytes, and who is at the other end.
impl Stream {
    /// Ends one direction or both: the peer then receives the end of the stream, or fails to send with
    /// [`PeerGone`](ErrorKind::PeerGone).
    ///
    /// # Errors
    /// None is expected: what is shut down already, or whose peer has gone, may be shut down again.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.socket.shutdown(how)
    }

    /// Who connected or listened at the other end, as it was at that time: `SO_PEERCRED`.
    ///
    /// With [`Stream::pair`] it is the process that made the pair.
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
    /// [`Unsupported`](ErrorKind::Unsupported) before Linux 6.5; [`PeerGone`](ErrorKind::PeerGone) if that
    /// process has ended and been waited for (Linux before 6.15).
    #[doc(alias = "SO_PEERPIDFD")]
    pub fn peer_pidfd(&self) -> Result<OwnedFd> {
        self.socket.peer_pidfd()
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

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::UnixStream, number)?.try_into()
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

    /// For the operations with attachments.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl sealed::Connection for Stream {
    const MECHANISM: Mechanism = Mechanism::UnixStream;

    #[allow(private_interfaces, reason = "nobody outside can call it")]
    fn connected(socket: Socket) -> Result<Self> {
        Ok(Self { socket })
    }
}

impl io::Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buffer)?)
    }
}

impl io::Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.send(bytes)?)
    }

    /// Does nothing: the kernel holds nothing back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes over a descriptor, inherited or passed.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) if it is anything but a connected Unix stream socket.
impl TryFrom<OwnedFd> for Stream {
    type Error = crate::Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Ok(Self { socket: Socket::adopt(fd, Mechanism::UnixStream, false)? })
    }
}

impl From<Stream> for OwnedFd {
    fn from(socket: Stream) -> Self {
        socket.socket.into_fd()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }
}
