//! Connecting: the one call that no poll can wait for.
//!
//! `connect(2)` on a Unix socket blocks while the server's backlog is full, and on a non-blocking socket fails with
//! `EAGAIN`, after which poll says nothing of use. But it heeds `SO_SNDTIMEO`; the socket is new, so nobody else is
//! concerned by the option. The kernel then waits properly, and is woken by the server's `accept`.

use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::unix::Address;
use crate::unix::socket::Socket;
use crate::{Errno, Mechanism, Result, Wait};

pub(super) fn connect(mechanism: Mechanism, address: &Address, wait: Wait) -> Result<Socket> {
    let socket = Socket::make(mechanism, "connect to", address)?;
    let mut timed = false;
    let connected = wait.with_timeout(|timeout| {
        if let Some(timeout) = timeout {
            timed = true;
            limit(&socket, timeout)?;
        }
        rustix::net::connect(socket.fd(), address.raw())
    });
    connected.map_err(|errno| socket.connect_error(errno))?;
    if timed {
        let forever = set_socket_timeout(socket.fd(), Timeout::Send, None)
            .and_then(|()| rustix::io::ioctl_fionbio(socket.fd(), false));
        forever.map_err(|errno| socket.error("connect to", errno))?;
    }
    Ok(socket)
}

fn limit(socket: &Socket, timeout: Duration) -> Result<(), Errno> {
    if timeout.is_zero() {
        // A time-out of zero would mean none.
        return rustix::io::ioctl_fionbio(socket.fd(), true);
    }
    match set_socket_timeout(socket.fd(), Timeout::Send, Some(timeout)) {
        // Centuries do not fit: as good as for ever.
        Err(Errno::DOM | Errno::INVAL) => Ok(()),
        outcome => outcome,
    }
}
