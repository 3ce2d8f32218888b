//! Connected TCP sockets.

use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SocketType};

use crate::inherit::inherited_as;
use crate::net::inet::Socket;
use crate::net::tcp::ConnectOptions;
use crate::net::{IpOptions, Options, transfer};
use crate::{Deadline, ErrorKind, Mechanism, Outcome, Prepared, Result, Wait};

/// A connected TCP socket: bytes in order, without boundaries.
///
/// It reads and writes as [`io::Read`] and [`io::Write`] too, also through a shared reference.
///
/// ```
/// use twixt_os::net::tcp::{Listener, Stream};
/// let listener = Listener::bind("127.0.0.1:0")?;
/// let client = Stream::connect(listener.local_address()?)?;
/// let server = listener.accept()?;
/// client.send_all(b"ping")?;
/// let mut buffer = [0; 4];
/// server.receive_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"ping");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    pub(super) socket: Socket,
}

impl Stream {
    /// `connect(2)`: connects to the first of the addresses that answers; waits for it. What is to be set before that: [`ConnectOptions`].
    ///
    /// A host name is looked up first, which takes its own time and heeds neither deadline nor signals. An attempt without a
    /// deadline is given up by the kernel after `net.ipv4.tcp_syn_retries` (6: about two minutes).
    ///
    /// # Errors
    /// Those of the last address tried:
    /// - [`NoPeer`](ErrorKind::NoPeer): nobody listens there (`ECONNREFUSED`), or no way leads there;
    /// - [`TimedOut`](ErrorKind::TimedOut): no answer;
    /// - [`NotFound`](ErrorKind::NotFound): no such host;
    /// - [`LimitReached`](ErrorKind::LimitReached): no local port is free (`net.ipv4.ip_local_port_range`), or no
    ///   descriptor is left (`RLIMIT_NOFILE`, 1024 by default; `fs.file-max`).
    pub fn connect(address: impl ToSocketAddrs) -> Result<Self> {
        Self::connect_wait(address, Wait::forever())
    }

    /// As [`Stream::connect`], without waiting.
    ///
    /// # Errors
    /// As [`Stream::connect`], and [`WouldBlock`](ErrorKind::WouldBlock) where it would wait.
    pub fn try_connect(address: impl ToSocketAddrs) -> Result<Self> {
        Self::connect_wait(address, Wait::never())
    }

    /// As [`Stream::connect`], until the deadline at the latest.
    ///
    /// # Errors
    /// As [`Stream::connect`], and [`TimedOut`](ErrorKind::TimedOut) once the deadline has passed.
    pub fn connect_deadline(address: impl ToSocketAddrs, deadline: Deadline) -> Result<Self> {
        Self::connect_wait(address, Wait::until(deadline))
    }

    /// As [`Stream::connect`], until a signal handler runs at the latest.
    ///
    /// # Errors
    /// As [`Stream::connect`], and [`Interrupted`](ErrorKind::Interrupted) when one has run.
    pub fn connect_interruptible(address: impl ToSocketAddrs) -> Result<Self> {
        Self::connect_wait(address, Wait::forever().interruptible())
    }

    /// The general form of [`Stream::connect`].
    ///
    /// # Errors
    /// As [`Stream::connect`], and what the named forms add, according to `wait`.
    pub fn connect_wait(address: impl ToSocketAddrs, wait: Wait) -> Result<Self> {
        ConnectOptions::new().connect_wait(address, wait)
    }

    /// `send(2)`: hands bytes to the kernel and says how many; waits while the send buffer is full.
    ///
    /// While it waits without a deadline, all go, unless a signal handler runs; otherwise as many as fit. That they went
    /// does not mean that the peer has them.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) once it is known that the peer has gone (`EPIPE`, `ECONNRESET`; never the signal
    /// SIGPIPE).
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
        transfer::send(self.as_fd(), bytes, wait).map_err(|errno| self.socket.error("send to", errno))
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
        transfer::sent(self.as_fd(), first, bytes, wait).map_err(|errno| self.socket.error("send to", errno))
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
        gone.map_err(|errno| self.socket.error("send to", errno))
    }

    /// `recv(2)`: receives as many bytes as there are, and at least one; waits for it. 0 is the end of the stream: the
    /// peer has closed or shut down.
    ///
    /// # Errors
    /// - [`PeerGone`](ErrorKind::PeerGone): the peer has reset the connection (`ECONNRESET`);
    /// - [`TimedOut`](ErrorKind::TimedOut), also without a deadline: the peer no longer answers
    ///   ([keepalive](Stream::set_keepalive), [user timeout](Stream::set_user_timeout)).
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
        received.map_err(|errno| self.socket.error("receive from", errno))
    }

    /// The system call of [`receive_wait`](Self::receive_wait), to be made by who wants it: see [`Prepared`].
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
        received.map_err(|errno| self.socket.error("receive from", errno))
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
        filled.map_err(|errno| self.socket.error("receive from", errno))?;
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
        peeked.map_err(|errno| self.socket.error("receive from", errno))
    }

    /// Ends one direction or both. After [`Shutdown::Write`] the peer receives the end of the stream, and can still
    /// send.
    ///
    /// # Errors
    /// [`NoPeer`](ErrorKind::NoPeer) if the connection is over: reset, or ended by both sides (`ENOTCONN`).
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.socket.shutdown(how)
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was
    /// taken before or opened by this program itself, or it is not such a socket.
    pub fn inherited(number: RawFd) -> Result<Self> {
        inherited_as(Mechanism::Tcp, number)?.try_into()
    }

    /// Its own address: `getsockname(2)`.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) if the kernel lacks the memory for the answer (`ENOBUFS`), and
    /// nothing else.
    #[doc(alias = "getsockname")]
    pub fn local_address(&self) -> Result<SocketAddr> {
        self.socket.local_address()
    }

    /// The peer's address: `getpeername(2)`.
    ///
    /// # Errors
    /// [`NoPeer`](ErrorKind::NoPeer) once the connection is over (`ENOTCONN`).
    #[doc(alias = "getpeername")]
    pub fn peer_address(&self) -> Result<SocketAddr> {
        self.socket.peer_address()
    }

    /// The options that all sockets have: buffer sizes, queue lengths.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn options(&self) -> Options<'_> {
        self.socket.options()
    }

    /// The options that IP sockets have: hop limit, traffic class, device.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "setsockopt")]
    pub fn ip_options(&self) -> IpOptions<'_> {
        self.socket.ip_options()
    }
}

/// Takes over a descriptor, inherited or passed.
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) if it is anything but a TCP socket that does not listen.
impl TryFrom<OwnedFd> for Stream {
    type Error = crate::Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Ok(Self { socket: Socket::adopt(fd, Mechanism::Tcp, SocketType::STREAM, false)? })
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

    /// Does nothing: what was written is the kernel's to send.
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

impl From<Stream> for OwnedFd {
    fn from(socket: Stream) -> Self {
        socket.socket.fd
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.fd.as_fd()
    }
}
