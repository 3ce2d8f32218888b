//! Unix sockets: their kinds and names.

use core::fmt;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::ValueError;
use crate::path::checked;
use crate::percent::{Encoded, escape};

/// The kind of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnixKind {
    /// `SOCK_STREAM`: connected, bytes without boundaries.
    Stream,
    /// `SOCK_DGRAM`: each message on its own, kept in order and never lost.
    Datagram,
    /// `SOCK_SEQPACKET`: connected, and messages keep their boundaries.
    Seqpacket,
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// A file of the file system.
    Path(SocketPath),
    /// A name of the network namespace, without a file and without permissions.
    Abstract(AbstractName),
}

/// As it stands in an address: `/run/jobs.sock`, `@jobs`.
impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

/// The path of a socket: 1 to 107 bytes (`sun_path` less its end), none of them NUL. It may be relative.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SocketPath(OsString);

impl SocketPath {
    /// The most bytes that a socket address takes.
    pub const LONGEST: usize = 107;

    /// Checks a path.
    ///
    /// # Errors
    /// It is empty, has a NUL byte or more than 107 bytes.
    pub fn new(path: impl Into<OsString>) -> Result<Self, ValueError> {
        checked("socket path", path.into(), Self::LONGEST).map(Self)
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The path's bytes, as the kernel gets them.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

/// As it stands in an address: percent-encoded, an `@` at the beginning too, since that would be an abstract name.
impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_bytes();
        match bytes.strip_prefix(b"@") {
            Some(rest) => {
                escape(f, b'@')?;
                Encoded(rest).fmt(f)
            }
            None => Encoded(bytes).fmt(f),
        }
    }
}

/// An abstract name: 1 to 107 bytes of any value, NUL too (`unix(7)`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AbstractName(Vec<u8>);

impl AbstractName {
    /// The most bytes that a socket address takes beside the NUL that marks it as abstract.
    pub const LONGEST: usize = 107;

    /// Checks a name, which is given without the `@` or NUL in front.
    ///
    /// # Errors
    /// It is empty or has more than 107 bytes.
    pub fn new(name: impl Into<Vec<u8>>) -> Result<Self, ValueError> {
        let name = name.into();
        let right = || format!("an abstract name has 1 to {} bytes", Self::LONGEST);
        match name.len() {
            0 => Err(ValueError::new("abstract name is missing after @", right())),
            1..=Self::LONGEST => Ok(Self(name)),
            length => Err(ValueError::new(format!("abstract name has {length} bytes"), right())),
        }
    }

    /// The bytes, without the NUL in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As it stands in an address after the `@`, percent-encoded.
impl fmt::Display for AbstractName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Encoded(&self.0).fmt(f)
    }
}
