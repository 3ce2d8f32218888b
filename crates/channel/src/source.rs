//! Where a datagram came from.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use twixt_address::{AbstractName, SocketPath, UnixName};
use twixt_os::unix;

/// The sender's address as the kernel gave it. The text is made when somebody asks for it.
#[derive(Debug)]
pub(crate) struct Source {
    origin: From,
    text: OnceLock<String>,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Nowhere,
    Unix(unix::Address),
    Inet(SocketAddr),
    Process(i32),
}

impl Source {
    pub(crate) const fn none() -> Self {
        Self { origin: From::Nowhere, text: OnceLock::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.set(From::Nowhere);
    }

    #[inline]
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.origin, From::Nowhere)
    }

    /// A Unix socket's, which has a name.
    #[inline(never)]
    pub(crate) fn set_unix(&mut self, address: &unix::Address) {
        self.set(From::Unix(*address));
    }

    pub(crate) fn set_inet(&mut self, address: SocketAddr) {
        self.set(From::Inet(address));
    }

    pub(crate) fn set_process(&mut self, pid: i32) {
        self.set(From::Process(pid));
    }

    fn set(&mut self, origin: From) {
        self.origin = origin;
        self.text.take();
    }

    /// As it stands in an address of the mechanism, behind the scheme.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.origin {
            From::Nowhere => None,
            origin => Some(self.text.get_or_init(|| origin.to_text())),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::none()
    }
}

impl From {
    fn to_text(self) -> String {
        match self {
            Self::Nowhere => String::new(),
            Self::Unix(address) => {
                unix_name(&address).map_or_else(|| address.to_string(), |name| name.to_string())
            }
            Self::Inet(address) => address.to_string(),
            Self::Process(pid) => pid.to_string(),
        }
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
