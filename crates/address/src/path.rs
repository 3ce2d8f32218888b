//! Paths and commands.

use core::fmt;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::ValueError;
use crate::error::shown;
use crate::percent::Encoded;

/// A path that a system call takes: 1 to 4095 bytes (`PATH_MAX` less its end), none of them NUL. It may be relative.
///
/// Two are equal if their bytes are: unlike [`Path`], `a//b` is not `a/b` here.
///
/// ```
/// use std::path::Path;
/// use twixt_address::FilePath;
/// assert_eq!(FilePath::new("./log")?.as_path(), Path::new("./log"));
/// assert_eq!(FilePath::new("100%")?.to_string(), "100%25", "prints as it stands in an address");
/// assert!(FilePath::new("").is_err());
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilePath(OsString);

impl FilePath {
    /// The most bytes that the kernel takes.
    pub const LONGEST: usize = 4095;

    /// Checks a path.
    ///
    /// # Errors
    /// It is empty, has a NUL byte or is too long.
    pub fn new(path: impl Into<OsString>) -> Result<Self, ValueError> {
        checked("path", path.into(), Self::LONGEST).map(Self)
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

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

/// As it stands in an address, percent-encoded.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Encoded(self.0.as_bytes()).fmt(f)
    }
}

/// A command for the shell: not blank, no NUL byte.
///
/// ```
/// use twixt_address::{Address, Command, Endpoint};
/// let address = Address::from(Endpoint::Exec(Command::new("ls -t | head -1")?));
/// assert_eq!(address.to_string(), "exec:ls -t | head -1");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command(OsString);

impl Command {
    /// Checks a command.
    ///
    /// # Errors
    /// It is blank or has a NUL byte.
    pub fn new(command: impl Into<OsString>) -> Result<Self, ValueError> {
        let command = checked("command", command.into(), usize::MAX)?;
        if command.as_bytes().iter().all(u8::is_ascii_whitespace) {
            return Err(ValueError::new("command is blank", "a command is a line for the shell"));
        }
        Ok(Self(command))
    }

    /// The command.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<OsStr> for Command {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

/// As it stands in an address, percent-encoded.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Encoded(self.0.as_bytes()).fmt(f)
    }
}

/// What every C string of the system needs: something, and no NUL in it.
pub(crate) fn checked(what: &str, text: OsString, longest: usize) -> Result<OsString, ValueError> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(ValueError::new(format!("{what} is missing"), format!("a {what} has at least one byte")));
    }
    if bytes.contains(&0) {
        let why = format!("{what} {} has a NUL byte", shown(&text.to_string_lossy()));
        return Err(ValueError::new(why, format!("a {what} has none")));
    }
    if bytes.len() > longest {
        let why = format!("{what} has {} bytes", bytes.len());
        return Err(ValueError::new(why, format!("a {what} has at most {longest} bytes")));
    }
    Ok(text)
}
