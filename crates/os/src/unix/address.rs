//! The names of Unix sockets.

use core::fmt;
use core::str::FromStr;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use twixt_sys::socket::UnixName;

use crate::{Error, ErrorKind, Mechanism, Object, Result};

/// The longest path: `sun_path` has 108 bytes, the last of them for the NUL.
const LONGEST_PATH: usize = UnixName::MOST - 1;

/// The address of a Unix socket: a path, a name in the abstract namespace, or none.
///
/// | | lives | permissions |
/// |---|---|---|
/// | path | until it is unlinked, also when its server has died | mode of the socket file, and of the directories above |
/// | abstract | as long as the socket | none: anybody in the network namespace connects; check credentials |
/// | unnamed | as long as the socket | nobody can connect |
///
/// ```
/// use twixt_os::unix::Address;
/// let path = Address::path("/run/my.sock")?;
/// let name: Address = "@my-service".parse()?;
/// assert_eq!(path.as_path().unwrap().to_str(), Some("/run/my.sock"));
/// assert_eq!(name.as_abstract_name(), Some(&b"my-service"[..]));
/// assert!(Address::path("x".repeat(108)).is_err(), "107 bytes are the most");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "sockaddr_un")]
pub struct Address(UnixName);

impl Address {
    /// No name. Binding to it has the kernel choose an abstract name of five hexadecimal digits.
    pub const UNNAMED: Self = Self(UnixName::UNNAMED);

    /// A path of up to 107 bytes.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong), with the length and the limit; [`Address::in_directory`] is the way round it.
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the path is empty or contains a NUL byte.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        let refuse = |kind, why: String| {
            Error::refused(Mechanism::UnixStream, "address", Object::path(path), kind, why)
        };
        if bytes.is_empty() {
            return Err(refuse(ErrorKind::InvalidInput, "the path is empty".into()));
        }
        if bytes.contains(&0) {
            return Err(refuse(ErrorKind::InvalidInput, "the path contains a NUL byte".into()));
        }
        if bytes.len() > LONGEST_PATH {
            let why = format!("the path has {} bytes; {LONGEST_PATH} is the most", bytes.len());
            let advice = "use a shorter one, or open its directory and use Address::in_directory";
            return Err(refuse(ErrorKind::TooLong, why).with_advice(advice));
        }
        Ok(Self::checked(bytes))
    }

    /// A name in the abstract namespace, of 0 to 107 bytes, any bytes.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong), with the length and the limit.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Result<Self> {
        let name = name.as_ref();
        let mut bytes = [0; UnixName::MOST];
        let Some(room) = bytes[1..].get_mut(..name.len()) else {
            let why = format!("the abstract name has {} bytes; {LONGEST_PATH} is the most", name.len());
            let object = Object::name(format!("@{}", name.escape_ascii()));
            return Err(Error::refused(Mechanism::UnixStream, "address", object, ErrorKind::TooLong, why));
        };
        room.copy_from_slice(name);
        Ok(Self::checked(&bytes[..=name.len()]))
    }

    /// A file of this name in an open directory, however long the directory's own path is.
    ///
    /// The address is `/proc/self/fd/N/NAME`: it holds in this process, as long as the directory stays open, and where
    /// `/proc` is mounted. A socket bound to it can be reached by any way that leads to the file; what the
    /// kernel tells others as its address is this useless path, though.
    ///
    /// ```
    /// use twixt_os::unix::{Address, Stream, StreamListener};
    /// # let scratch = twixt_testkit::scratch();
    /// let deep = scratch.path().join("d".repeat(200));
    /// std::fs::create_dir(&deep)?;
    /// let directory = std::fs::File::open(&deep)?;
    /// let address = Address::in_directory(&directory, "s")?;
    /// let listener = StreamListener::bind(&address)?;
    /// let client = Stream::connect(&address)?;
    /// # listener.accept()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Address::path`]; a name with a slash is [`InvalidInput`](ErrorKind::InvalidInput).
    pub fn in_directory(directory: &impl std::os::fd::AsFd, name: impl AsRef<OsStr>) -> Result<Self> {
        Self::in_directory_fd(directory.as_fd(), name.as_ref())
    }

    fn in_directory_fd(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Self> {
        if name.is_empty() || name.as_bytes().contains(&b'/') {
            let why = "the name in the directory is empty or has a slash";
            let (mechanism, object) = (Mechanism::UnixStream, Object::path(name));
            return Err(Error::refused(mechanism, "address", object, ErrorKind::InvalidInput, why));
        }
        Self::path(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
    }

    /// For bytes that were counted already.
    fn checked(bytes: &[u8]) -> Self {
        Self(UnixName::new(bytes).unwrap_or(UnixName::UNNAMED))
    }

    /// The path, if it is one. What the kernel reports may have 108 bytes.
    pub fn as_path(&self) -> Option<&Path> {
        match self.0.as_bytes() {
            [] | [0, ..] => None,
            path => Some(Path::new(OsStr::from_bytes(path))),
        }
    }

    /// The name in the abstract namespace, if it is one, without the NUL that stands before it.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.0.as_bytes().strip_prefix(&[0])
    }

    /// Whether it is no name at all.
    pub fn is_unnamed(&self) -> bool {
        self.0.as_bytes().is_empty()
    }

    pub(crate) fn raw(&self) -> &UnixName {
        &self.0
    }

    pub(crate) fn set_unnamed(&mut self) {
        self.0.clear();
    }

    pub(crate) fn raw_mut(&mut self) -> &mut UnixName {
        &mut self.0
    }

    pub(crate) fn object(&self) -> Object {
        if self.is_unnamed() { Object::Unnamed } else { Object::name(self.to_string()) }
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self(name)
    }
}

/// `@name` is an abstract name, the empty text no name, anything else a path.
impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix('@') {
            Some(name) => Self::abstract_name(name),
            None if text.is_empty() => Ok(Self::UNNAMED),
            None => Self::path(text),
        }
    }
}

/// `/the/path`, `@name` with unprintable bytes escaped, or `(unnamed)`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_path(), self.as_abstract_name()) {
            (Some(path), _) => write!(f, "{}", path.display()),
            (_, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            _ => f.write_str("(unnamed)"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
