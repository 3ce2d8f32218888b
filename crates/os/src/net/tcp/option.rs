//! The options of a connection that people need: `tcp(7)`.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::sockopt;

use crate::net::tcp::Stream;
use crate::{Errno, Result};

/// When the kernel asks whether a silent peer is still there.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::net::tcp::{Keepalive, Listener, Stream};
/// # let listener = Listener::bind("127.0.0.1:0")?;
/// let stream = Stream::connect(listener.local_address()?)?;
/// let keepalive = Keepalive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), count: 3 };
/// stream.set_keepalive(Some(keepalive))?;
/// assert_eq!(stream.keepalive()?, Some(keepalive));
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// After this long without a sign of life the first probe is sent: whole seconds, 1 to 32767. The system's default is
    /// `net.ipv4.tcp_keepalive_time`, two hours.
    pub idle: Duration,
    /// After this long without an answer another: whole seconds, 1 to 32767 (`net.ipv4.tcp_keepalive_intvl`, 75).
    pub interval: Duration,
    /// After this many without an answer the connection is given up: 1 to 127 (`net.ipv4.tcp_keepalive_probes`, 9).
    pub count: u32,
}

impl Stream {
    /// Whether small pieces are sent at once, rather than gathered until the peer has acknowledged those before.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "TCP_NODELAY")]
    pub fn set_no_delay(&self, on: bool) -> Result<()> {
        self.set("set no-delay on", sockopt::set_tcp_nodelay(self.as_fd(), on))
    }

    /// Whether small pieces are sent at once. Off at first.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "TCP_NODELAY")]
    pub fn no_delay(&self) -> Result<bool> {
        self.set("read no-delay of", sockopt::tcp_nodelay(self.as_fd()))
    }

    /// Whether partial segments are held back, so that what several calls send leaves in full ones: off at first. What
    /// is held back leaves when this is turned off, and after 200 ms at the latest.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "setsockopt")]
    #[doc(alias = "TCP_CORK")]
    pub fn set_cork(&self, on: bool) -> Result<()> {
        self.set("cork", sockopt::set_tcp_cork(self.as_fd(), on))
    }

    /// Whether partial segments are held back.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "TCP_CORK")]
    pub fn cork(&self) -> Result<bool> {
        self.set("read the corking of", sockopt::tcp_cork(self.as_fd()))
    }

    /// Whether what arrives is acknowledged at once, rather than with what is sent next. The kernel changes it on its
    /// own account as the conversation goes: who needs it sets it after each receive.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "setsockopt")]
    #[doc(alias = "TCP_QUICKACK")]
    pub fn set_quick_ack(&self, on: bool) -> Result<()> {
        self.set("set quick acknowledgement on", sockopt::set_tcp_quickack(self.as_fd(), on))
    }

    /// Whether what arrives is acknowledged at once, at this moment.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "getsockopt")]
    #[doc(alias = "TCP_QUICKACK")]
    pub fn quick_ack(&self) -> Result<bool> {
        self.set("read quick acknowledgement of", sockopt::tcp_quickack(self.as_fd()))
    }

    /// Has the kernel find out that a silent peer has gone; `None` turns it off, as it is at first.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a number is out of its range.
    #[doc(alias = "SO_KEEPALIVE")]
    #[doc(alias = "TCP_KEEPIDLE")]
    #[doc(alias = "TCP_KEEPINTVL")]
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> Result<()> {
        let fd = self.as_fd();
        let set = || -> Result<(), Errno> {
            if let Some(keepalive) = keepalive {
                sockopt::set_tcp_keepidle(fd, keepalive.idle)?;
                sockopt::set_tcp_keepintvl(fd, keepalive.interval)?;
                sockopt::set_tcp_keepcnt(fd, keepalive.count)?;
            }
            sockopt::set_socket_keepalive(fd, keepalive.is_some())
        };
        self.set("set keepalive on", set())
    }

    /// The keepalive times, `None` if it is off.
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "TCP_KEEPCNT")]
    #[doc(alias = "TCP_KEEPINTVL")]
    #[doc(alias = "TCP_KEEPIDLE")]
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn keepalive(&self) -> Result<Option<Keepalive>> {
        let fd = self.as_fd();
        let get = || -> Result<_, Errno> {
            if !sockopt::socket_keepalive(fd)? {
                return Ok(None);
            }
            Ok(Some(Keepalive {
                idle: sockopt::tcp_keepidle(fd)?,
                interval: sockopt::tcp_keepintvl(fd)?,
                count: sockopt::tcp_keepcnt(fd)?,
            }))
        };
        self.set("read keepalive of", get())
    }

    /// How long bytes may stay unacknowledged before the connection is given up, in milliseconds; `None` is the
    /// system's default (`net.ipv4.tcp_retries2`: about a quarter of an hour).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) beyond 2³¹ ms.
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        let timeout_ms = match timeout {
            None => Ok(0),
            // 0 would mean the default.
            Some(timeout) => u32::try_from(timeout.as_millis().max(1)).map_err(|_| Errno::INVAL),
        };
        let set = timeout_ms.and_then(|timeout_ms| sockopt::set_tcp_user_timeout(self.as_fd(), timeout_ms));
        self.set("set the user timeout of", set)
    }

    /// The time set by [`Stream::set_user_timeout`].
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "TCP_USER_TIMEOUT")]
    pub fn user_timeout(&self) -> Result<Option<Duration>> {
        let timeout_ms = self.set("read the user timeout of", sockopt::tcp_user_timeout(self.as_fd()))?;
        Ok((timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into())))
    }

    /// What closing does with bytes not yet acknowledged: `None`, as at first, leaves them to the kernel; a time has
    /// closing wait up to so long (whole seconds); zero throws them away and resets the connection.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) beyond 2³¹ seconds. A part of a second counts as a whole one.
    #[doc(alias = "SO_LINGER")]
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<()> {
        self.set("set linger on", sockopt::set_socket_linger(self.as_fd(), linger))
    }

    /// The time set by [`Stream::set_linger`].
    ///
    /// # Errors
    /// None is expected: every TCP socket has this option.
    #[doc(alias = "SO_LINGER")]
    pub fn linger(&self) -> Result<Option<Duration>> {
        self.set("read linger of", sockopt::socket_linger(self.as_fd()))
    }

    fn set<T>(&self, operation: &'static str, outcome: Result<T, Errno>) -> Result<T> {
        self.options().of(operation, outcome)
    }
}
