//! What all Internet sockets have in common: the descriptor, its name in errors, and the addresses.

use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{
    AddressFamily, SocketAddrAny, SocketFlags, SocketType, getpeername, getsockname, socket_with, sockopt,
};

use crate::net::transfer::Taken;
use crate::net::{IpOptions, Options};
use crate::unix::cut_error;
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result};

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    mechanism: Mechanism,
    pub(super) object: Object,
    /// Whether a message longer than the buffer stays in the queue.
    keep: AtomicBool,
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, mechanism: Mechanism, object: Object) -> Self {
        Self { fd, mechanism, object, keep: AtomicBool::new(false) }
    }

    /// An unbound one for addresses like this.
    pub(super) fn make(
        mechanism: Mechanism,
        operation: &'static str,
        address: SocketAddr,
        kind: SocketType,
    ) -> Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let fd = socket_with(family, kind, SocketFlags::CLOEXEC, None).map_err(|errno| {
            Error::kernel(mechanism, operation, object(&address), errno).with_descriptor_limit()
        })?;
        Ok(Self::new(fd, mechanism, object(&address)))
    }

    /// Takes over any descriptor, if it is a socket of this kind.
    pub(super) fn adopt(
        fd: OwnedFd,
        mechanism: Mechanism,
        kind: SocketType,
        listening: bool,
    ) -> Result<Self> {
        let object = Object::descriptor(fd.as_fd());
        let socket = Self::new(fd, mechanism, object);
        let fd = socket.fd.as_fd();
        let is = (|| {
            Ok((sockopt::socket_domain(fd)?, sockopt::socket_type(fd)?, sockopt::socket_acceptconn(fd)?))
        })();
        let (domain, is_kind, accepts) = is.map_err(|errno| socket.error("adopt", errno))?;
        let wrong = if ![AddressFamily::INET, AddressFamily::INET6].contains(&domain) {
            "it is not an Internet socket"
        } else if is_kind != kind {
            "it is an Internet socket of another type"
        } else if accepts != listening {
            if accepts { "it is a listening socket" } else { "it is not listening" }
        } else {
            return Ok(socket);
        };
        Err(socket.refuse("adopt", ErrorKind::InvalidInput, wrong))
    }

    pub(super) fn options(&self) -> Options<'_> {
        Options::new(self.fd.as_fd(), self.mechanism, &self.object)
    }

    pub(super) fn ip_options(&self) -> IpOptions<'_> {
        IpOptions::new(self.fd.as_fd(), self.options())
    }

    pub(super) fn keep_long_messages(&self, keep: bool) {
        self.keep.store(keep, Ordering::Relaxed);
    }

    pub(super) fn keeps(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }

    pub(super) fn is_ipv4(&self) -> bool {
        sockopt::socket_domain(&self.fd) == Ok(AddressFamily::INET)
    }

    pub(super) fn local_address(&self) -> Result<SocketAddr> {
        let address = getsockname(&self.fd).and_then(SocketAddr::try_from);
        address.map_err(|errno| self.error("read the address of", errno))
    }

    pub(super) fn peer_address(&self) -> Result<SocketAddr> {
        let address = getpeername(&self.fd)
            .and_then(|address: Option<SocketAddrAny>| address.ok_or(Errno::NOTCONN))
            .and_then(SocketAddr::try_from);
        address.map_err(|errno| self.error("read the peer's address of", errno))
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        rustix::net::shutdown(&self.fd, how).map_err(|errno| self.error("shut down", errno))
    }

    /// Refuses a message that was, or would be, cut.
    pub(super) fn whole<T>(&self, taken: Result<Taken<T>, Errno>, room: usize) -> Result<T> {
        match taken.map_err(|errno| self.error("receive from", errno))? {
            Taken::Whole(message) => Ok(message),
            cut => Err(cut_error(self.mechanism, &self.object, cut, room)),
        }
    }

    #[cold]
    pub(super) fn error(&self, operation: &'static str, errno: Errno) -> Error {
        let error = Error::kernel(self.mechanism, operation, self.object.clone(), errno);
        match errno {
            Errno::CONNREFUSED => error.with_advice("nobody listens at that address"),
            _ => error,
        }
    }

    pub(super) fn refuse(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(self.mechanism, operation, self.object.clone(), kind, why)
    }
}

pub(super) fn object(address: &SocketAddr) -> Object {
    Object::name(address.to_string())
}

/// The addresses that a host name or the like stands for.
pub(super) fn resolve(
    mechanism: Mechanism,
    operation: &'static str,
    address: impl ToSocketAddrs,
) -> Result<impl Iterator<Item = SocketAddr>> {
    address.to_socket_addrs().map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
            _ => ErrorKind::NotFound,
        };
        Error::refused(mechanism, operation, Object::Unnamed, kind, error.to_string())
    })
}

/// The first of the addresses with which `make` succeeds, or what went wrong with the last one.
pub(super) fn first<T>(
    mechanism: Mechanism,
    operation: &'static str,
    address: impl ToSocketAddrs,
    mut make: impl FnMut(SocketAddr) -> Result<T>,
) -> Result<T> {
    let mut last = no_address(mechanism, operation);
    for address in resolve(mechanism, operation, address)? {
        match make(address) {
            Ok(made) => return Ok(made),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn no_address(mechanism: Mechanism, operation: &'static str) -> Error {
    let why = "the name stands for no address";
    Error::refused(mechanism, operation, Object::Unnamed, ErrorKind::NotFound, why)
}

pub(super) fn bind_error(socket: &Socket, errno: Errno) -> Error {
    let error = socket.error("bind", errno);
    match errno {
        Errno::ADDRINUSE => error.with_advice("another socket has that port"),
        Errno::ADDRNOTAVAIL => {
            error.with_kind(ErrorKind::NotFound).with_advice("no interface of this machine has that address")
        }
        Errno::ACCESS => error.with_advice(
            "ports below net.ipv4.ip_unprivileged_port_start take the capability CAP_NET_BIND_SERVICE",
        ),
        _ => error,
    }
}
