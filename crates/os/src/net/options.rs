//! The options that all sockets have: `socket(7)`.

use std::os::fd::BorrowedFd;

use rustix::net::sockopt;

use crate::{Errno, Error, Limit, Mechanism, Object, Result};

/// The options that Unix and Internet sockets share, from `options()` of any socket.
///
/// They belong to the socket, so every process that has a descriptor of it shares them.
///
/// ```
/// use twixt_os::unix::Stream;
/// let (one, other) = Stream::pair()?;
/// one.options().set_send_buffer(65536)?;
/// assert_eq!(one.options().send_buffer()?, 131072, "the kernel doubles it, for its own overhead");
/// one.send(b"five!")?;
/// assert_eq!(other.options().queued_input()?, 5);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[doc(alias = "getsockopt")]
#[doc(alias = "setsockopt")]
pub struct Options<'a> {
    fd: BorrowedFd<'a>,
    mechanism: Mechanism,
    object: &'a Object,
}

impl<'a> Options<'a> {
    pub(crate) fn new(fd: BorrowedFd<'a>, mechanism: Mechanism, object: &'a Object) -> Self {
        Self { fd, mechanism, object }
    }

    /// The send buffer, in bytes: twice what was set, since the kernel counts its own overhead too.
    ///
    /// What has been sent and not yet received fills it. On Unix sockets no message can be longer. The default is
    /// `net.core.wmem_default` (TCP: the second number of `net.ipv4.tcp_wmem`, and it adapts itself).
    ///
    /// # Errors
    /// None is expected: every socket has this option.
    #[doc(alias = "SO_SNDBUF")]
    pub fn send_buffer(&self) -> Result<usize> {
        self.of("read the send buffer size of", sockopt::socket_send_buffer_size(self.fd))
    }

    /// Sets the send buffer, in bytes. The kernel doubles the number for its overhead, and takes
    /// `net.core.wmem_max` where that is less: [`Options::send_buffer`] tells what came of it.
    ///
    /// # Errors
    /// None is expected: of a number out of range the kernel makes the nearest one, at least 4608 and at most twice
    /// `net.core.wmem_max` (212992 by default).
    #[doc(alias = "SO_SNDBUF")]
    pub fn set_send_buffer(&self, bytes: usize) -> Result<()> {
        self.of("set the send buffer size of", sockopt::set_socket_send_buffer_size(self.fd, fit(bytes)))
    }

    /// Sets the send buffer beyond `net.core.wmem_max`.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without the capability `CAP_NET_ADMIN`; the error
    /// names the limit that then stands.
    #[doc(alias = "SO_SNDBUFFORCE")]
    pub fn force_send_buffer(&self, bytes: usize) -> Result<()> {
        let forced = sockopt::set_socket_send_buffer_size_force(self.fd, fit(bytes));
        self.forced("force the send buffer size of", "net.core.wmem_max", bytes, forced)
    }

    /// The receive buffer, in bytes, doubled like [`Options::send_buffer`]. Unix sockets do not use it: there
    /// the sender's buffer holds what is under way.
    ///
    /// The default is `net.core.rmem_default` (TCP: the second number of `net.ipv4.tcp_rmem`).
    ///
    /// # Errors
    /// None is expected: every socket has this option.
    #[doc(alias = "SO_RCVBUF")]
    pub fn receive_buffer(&self) -> Result<usize> {
        self.of("read the receive buffer size of", sockopt::socket_recv_buffer_size(self.fd))
    }

    /// Sets the receive buffer, in bytes, up to `net.core.rmem_max`. On UDP a full one loses datagrams.
    ///
    /// # Errors
    /// None is expected: of a number out of range the kernel makes the nearest one, at least 2304 and at most twice
    /// `net.core.rmem_max` (212992 by default).
    #[doc(alias = "SO_RCVBUF")]
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<()> {
        self.of("set the receive buffer size of", sockopt::set_socket_recv_buffer_size(self.fd, fit(bytes)))
    }

    /// Sets the receive buffer beyond `net.core.rmem_max`; needs `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// As [`Options::force_send_buffer`].
    #[doc(alias = "SO_RCVBUFFORCE")]
    pub fn force_receive_buffer(&self, bytes: usize) -> Result<()> {
        let forced = sockopt::set_socket_recv_buffer_size_force(self.fd, fit(bytes));
        self.forced("force the receive buffer size of", "net.core.rmem_max", bytes, forced)
    }

    /// The bytes that can be received now. On sockets that keep message boundaries, the length of the first message
    /// alone, on Unix datagram sockets as on UDP.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) on a listening socket.
    #[doc(alias = "SIOCINQ")]
    #[doc(alias = "FIONREAD")]
    pub fn queued_input(&self) -> Result<usize> {
        let bytes = rustix::io::ioctl_fionread(self.fd).map(|bytes| bytes as usize);
        self.of("read the input queue of", bytes)
    }

    /// The bytes sent that the peer has not received yet (Unix, with the kernel's overhead), or has not acknowledged
    /// (TCP), or that wait for the network (UDP).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) on a listening socket.
    #[doc(alias = "SIOCOUTQ")]
    pub fn queued_output(&self) -> Result<usize> {
        let bytes = twixt_sys::socket::queued_output(self.fd).map(|bytes| bytes as usize);
        self.of("read the output queue of", bytes)
    }

    /// The error that waits on the socket, `None` if none does. Asking takes it away.
    ///
    /// # Errors
    /// None is expected: the error that waits is what is returned.
    #[doc(alias = "SO_ERROR")]
    pub fn take_error(&self) -> Result<Option<Error>> {
        let pending = self.of("read the error of", sockopt::socket_error(self.fd))?;
        Ok(pending.err().map(|errno| self.error("use", errno)))
    }

    pub(crate) fn of<T>(&self, operation: &'static str, outcome: Result<T, Errno>) -> Result<T> {
        outcome.map_err(|errno| self.error(operation, errno))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(self.mechanism, operation, self.object.clone(), errno)
    }

    fn forced(
        &self,
        operation: &'static str,
        sysctl: &'static str,
        bytes: usize,
        outcome: Result<(), Errno>,
    ) -> Result<()> {
        outcome.map_err(|errno| {
            let error = self.error(operation, errno);
            if errno != Errno::PERM {
                return error;
            }
            error
                .with_limit(Limit::sysctl(sysctl, 0).needed(bytes as u64))
                .with_advice("raise that limit, or give the program the capability CAP_NET_ADMIN")
        })
    }
}

/// The kernel reads an `int` and doubles it.
fn fit(bytes: usize) -> usize {
    bytes.min(i32::MAX as usize / 2)
}
