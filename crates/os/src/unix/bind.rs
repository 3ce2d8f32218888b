//! Giving a socket its name: the mode of its file, and what to do with a path that is there already.

use rustix::fs::{FileType, fchmod, fstat};
use rustix::net::listen;

use crate::file::hold;
use crate::net::accept::Accepting;
use crate::unix::listener::Connection;
use crate::unix::socket::Socket;
use crate::unix::{Address, Datagram, Listener, UnlinkGuard, takeover};
use crate::{Errno, Error, ErrorKind, Mechanism, Mode, Result, Wait};

/// How to bind a Unix socket.
///
/// ```standalone_crate
/// use std::time::Duration;
/// use twixt_os::unix::{Address, BindOptions, Stream};
/// use twixt_os::{Deadline, Mode, Wait};
/// # let scratch = twixt_testkit::scratch();
/// # let path = scratch.path().join("socket");
/// let address = Address::path(&path)?;
/// let soon = Wait::until(Deadline::after(Duration::from_secs(5)));
/// let options = BindOptions::new().mode("0660".parse().unwrap()).backlog(16).take_over_stale(soon);
/// let listener = options.listen::<Stream>(&address)?;
/// drop(listener);
/// // The path is still there, but nobody listens: it is stale.
/// let next = options.listen::<Stream>(&address)?;
/// // This one is alive, and is left alone.
/// assert_eq!(options.listen::<Stream>(&address).unwrap_err().kind(), twixt_os::ErrorKind::AlreadyExists);
/// # drop(next);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "this only says how; `listen` or `datagram` does it"]
pub struct BindOptions {
    mode: Mode,
    backlog: i32,
    blocking: bool,
    take_over: Option<Wait>,
}

/// As many as the kernel allows by default (`net.core.somaxconn` since Linux 5.4).
const DEFAULT_BACKLOG: i32 = 4096;

impl BindOptions {
    /// Mode 0600, a backlog of 4096, and a path that exists is an error.
    pub const fn new() -> Self {
        Self { mode: Mode::OWNER, backlog: DEFAULT_BACKLOG, blocking: false, take_over: None }
    }

    /// The mode of the socket file, less the bits of the `umask`. Connecting and sending take write permission.
    ///
    /// The file has it from the moment it appears: it is set on the socket before `bind(2)`, which copies it.
    /// Abstract names have no mode.
    pub const fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// How many connections may wait to be accepted: 0 means one, more than `net.core.somaxconn` means that.
    pub const fn backlog(self, connections: u32) -> Self {
        let backlog = if connections > i32::MAX as u32 { i32::MAX } else { connections.cast_signed() };
        Self { backlog, ..self }
    }

    /// Whether the descriptor of a listening socket blocks: off, unless set otherwise.
    ///
    /// On, waiting for a connection is the one call that it is in C, rather than an `accept(2)` that finds none, a
    /// `ppoll(2)` and another `accept(2)`; and a program that it is passed to finds what it expects. But
    /// [`try_accept`](Listener::try_accept) and [`accept_deadline`](Listener::accept_deadline) can wait too long then, if
    /// several threads or processes accept: see [`Listener`].
    #[doc(alias = "O_NONBLOCK")]
    #[doc(alias = "fcntl")]
    pub const fn blocking(self, on: bool) -> Self {
        Self { blocking: on, ..self }
    }

    /// Replaces a socket file whose server has died.
    ///
    /// Stale is proved, not guessed: a probe is refused with `ECONNREFUSED`, which the kernel says only of a file that no
    /// socket is bound to any more, listening or not. The file is moved aside and probed again before it is
    /// removed, so that a live socket that somebody else puts there meanwhile is put back and never lost. The probe is
    /// of a type that no connection can come of, so a live server sees nothing of it. A server that has died lives on as
    /// long as a process that it forked has its socket.
    ///
    /// Processes that do this at the same time take turns by a lock (`flock(2)`) on `PATH.lock` beside the file; `wait` is
    /// how long to wait for it. Who made that file removes it afterwards. If it is killed before, the lock goes with
    /// it, but the file stays for good, empty and in nobody's way: those who come later lock it and leave it, as they
    /// leave one that was there for other reasons, since they cannot tell the two apart. A path that exists and is not a
    /// socket is never touched.
    pub const fn take_over_stale(self, wait: Wait) -> Self {
        Self { take_over: Some(wait), ..self }
    }

    /// A listening socket: `socket(2)`, `fchmod(2)`, `bind(2)`, `listen(2)`.
    ///
    /// # Errors
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): the path or abstract name is taken;
    /// - [`NotFound`](ErrorKind::NotFound): the directory does not exist;
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): the directory may not be written to;
    /// - [`LimitReached`](ErrorKind::LimitReached): no descriptor is left (`RLIMIT_NOFILE`, 1024 by default;
    ///   `fs.file-max`);
    /// - with [`BindOptions::take_over_stale`], [`WouldBlock`](ErrorKind::WouldBlock) or
    ///   [`TimedOut`](ErrorKind::TimedOut) if another process holds the lock.
    #[doc(alias = "bind")]
    pub fn listen<S: Connection>(&self, address: &Address) -> Result<Listener<S>> {
        let socket = self.bind(S::MECHANISM, address, |socket| listen(socket.fd(), self.backlog))?;
        let accepting =
            Accepting::of_new(socket.fd(), self.blocking).map_err(|errno| socket.error("bind", errno))?;
        Ok(Listener::new(socket, accepting))
    }

    /// A datagram socket with a name: `socket(2)`, `fchmod(2)`, `bind(2)`.
    ///
    /// # Errors
    /// As [`BindOptions::listen`].
    pub fn datagram(&self, address: &Address) -> Result<Datagram> {
        let socket = self.bind(Mechanism::UnixDatagram, address, |_| Ok(()))?;
        Ok(Datagram::new(socket))
    }

    fn bind(
        &self,
        mechanism: Mechanism,
        address: &Address,
        then: impl Fn(&Socket) -> Result<(), Errno>,
    ) -> Result<Socket> {
        let mut socket = Socket::make(mechanism, "bind", address)?;
        let bind = || {
            fchmod(socket.fd(), self.mode.to_rustix())?;
            rustix::net::bind(socket.fd(), address.raw())?;
            then(&socket)
        };
        match self.take_over {
            Some(wait) if address.as_path().is_some() => takeover::bind(&socket, address, wait, bind)?,
            _ => bind().map_err(|errno| bind_error(&socket, errno, address.as_path().is_some()))?,
        }
        if address.is_unnamed() {
            socket.object = socket.local_address()?.object();
        }
        Ok(socket)
    }
}

impl Default for BindOptions {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn bind_error(socket: &Socket, errno: Errno, has_path: bool) -> Error {
    let error = socket.error("bind", errno);
    match errno {
        // An abstract name dies with its server; a path stays, and can be taken over from a dead one.
        Errno::ADDRINUSE if has_path => error.with_advice(
            "if its server has died, remove the path or take it over (BindOptions::take_over_stale); otherwise choose \
             another name",
        ),
        Errno::ADDRINUSE => error.with_advice("somebody listens there; choose another name"),
        Errno::ACCESS => error.with_advice("making the socket file takes write permission on its directory"),
        Errno::NOENT => error.with_advice("make its directory first"),
        Errno::NOTDIR => error.with_kind(ErrorKind::NotFound),
        _ => error.with_descriptor_limit(),
    }
}

/// A guard over the socket file of this address.
pub(super) fn unlink_guard(mechanism: Mechanism, address: &Address) -> Result<UnlinkGuard> {
    const OPERATION: &str = "guard the path of";
    let refuse = |kind, why| Error::refused(mechanism, OPERATION, address.object(), kind, why);
    let fail = |errno| Error::kernel(mechanism, OPERATION, address.object(), errno).with_descriptor_limit();
    let Some(path) = address.as_path() else {
        return Err(refuse(ErrorKind::InvalidInput, "its address is not a path"));
    };
    let inode = hold(path).map_err(fail)?;
    let stat = fstat(&inode).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(refuse(ErrorKind::Removed, "the file there is no longer a socket"));
    }
    UnlinkGuard::new(mechanism, path, inode, address.object()).map_err(fail)
}
