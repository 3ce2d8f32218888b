//! Where a datagram came from.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use twixt_address::{AbstractName, SocketPath, UnixName};
use twixt_os::unix;

/// The sender's address as the kernel gave it. The text is made when somebody asks for it.
///
/// That of a Unix socket stands beside it, where the kernel has written it to.
#[derive(Debug)]
pub(crate) struct Source {
    origin: From,
    text: OnceLock<String>,
}

#[derive(Clone, Copy, Debug)]
enum From {
    /// Or from a Unix socket.
    Nowhere,
    /// Each by itself: of the shorter one there is less to copy.
    V4(SocketAddrV4),
    V6(SocketAddrV6),
    Process(i32),
}

impl Source {
    pub(crate) const fn none() -> Self {
        Self { origin: From::Nowhere, text: OnceLock::new() }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.set(From::Nowhere);
    }

    #[inline]
    pub(crate) fn set_inet(&mut self, address: &SocketAddr) {
        match address {
            SocketAddr::V4(address) => self.set(From::V4(*address)),
            SocketAddr::V6(address) => self.set(From::V6(*address)),
        }
    }

    pub(crate) fn set_process(&mut self, pid: i32) {
        self.set(From::Process(pid));
    }

    #[inline]
    fn set(&mut self, origin: From) {
        self.origin = origin;
        if self.text.get().is_some() {
            self.forget_text();
        }
    }

    #[cold]
    fn forget_text(&mut self) {
        self.text.take();
    }

    /// As it stands in an address of the mechanism, behind the scheme.
    pub(crate) fn text(&self, unix: &unix::Address) -> Option<&str> {
        let text = || match self.origin {
            From::Nowhere => unix_name(unix).map_or_else(|| unix.to_string(), |name| name.to_string()),
            From::V4(address) => address.to_string(),
            From::V6(address) => address.to_string(),
            From::Process(pid) => pid.to_string(),
        };
        let is_known = !matches!(self.origin, From::Nowhere) || !unix.is_unnamed();
        is_known.then(|| self.text.get_or_init(text).as_str())
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::none()
    }
}

fn unix_name(address: &unix::Address) -> Option<UnixName> {
    match address.as_path() {
        Some(path) => {
            let path = std::ffi::OsStr::from_bytes(path.as_os_str().as_bytes());
            SocketPath::new(path).ok().map(UnixName::Path)
        }
        None => AbstractName::new(address.as_abstract_name()?).ok().map(UnixName::Abstract),
    }
}
