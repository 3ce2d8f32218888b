//! What an operation was tried on.

use core::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

/// The object of a failed operation, as the error names it. Cloning one allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Object {
    /// It has no name, or the mechanism says all there is to say.
    Unnamed,
    /// A path, a name, an address, a command.
    Name(Arc<str>),
    /// A System V identifier.
    Id(i32),
    /// A file descriptor of this process.
    Descriptor(RawFd),
    /// A process, or a process group where negative.
    Process(i32),
}

impl Object {
    /// An object with a name. Control characters are escaped, so that a name cannot play with the terminal.
    pub fn name(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        if name.contains(char::is_control) {
            Self::Name(name.escape_debug().collect::<String>().into())
        } else {
            Self::Name(name.into())
        }
    }

    /// An object in the file system.
    pub fn path(path: impl AsRef<Path>) -> Self {
        Self::name(path.as_ref().to_string_lossy())
    }

    /// An open descriptor.
    pub fn descriptor(descriptor: BorrowedFd<'_>) -> Self {
        Self::Descriptor(descriptor.as_raw_fd())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("(unnamed)"),
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "id {id}"),
            Self::Descriptor(fd) => write!(f, "(descriptor {fd})"),
            Self::Process(pid) if *pid < 0 => write!(f, "to process group {}", pid.unsigned_abs()),
            Self::Process(pid) => write!(f, "to process {pid}"),
        }
    }
}
