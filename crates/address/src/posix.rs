//! The names of POSIX objects.

use core::fmt;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::ValueError;
use crate::error::shown;
use crate::percent::Encoded;

/// The name of a POSIX message queue or of shared memory: a slash and 1 to 255 bytes more, none of them a slash or
/// NUL. (`mq_overview(7)` and `shm_overview(7)` promise a byte less; Linux takes this many.)
///
/// ```
/// use twixt_address::PosixName;
/// assert_eq!(PosixName::new("/jobs")?.as_os_str(), "/jobs");
/// assert!(PosixName::new("/jobs/today").is_err());
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PosixName(OsString);

impl PosixName {
    /// The most bytes after the slash.
    pub const LONGEST: usize = 255;

    /// Checks a name, which includes its slash.
    ///
    /// # Errors
    /// It does not begin with a slash, has nothing, `.` or `..` after it, a second slash, a NUL byte, or more than 255
    /// bytes after the slash.
    pub fn new(name: impl Into<OsString>) -> Result<Self, ValueError> {
        let name = checked(name.into(), Self::LONGEST)?;
        match name.as_bytes() {
            b"/." | b"/.." => {
                let why = format!("name {} is that of a directory", shown(&name.to_string_lossy()));
                Err(ValueError::new(why, right(Self::LONGEST)))
            }
            _ => Ok(Self(name)),
        }
    }

    /// The name with its slash.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The name with its slash, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        self.0.to_str()
    }
}

impl AsRef<OsStr> for PosixName {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

/// As it stands in an address, percent-encoded.
impl fmt::Display for PosixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Encoded(self.0.as_bytes()).fmt(f)
    }
}

/// The name of a POSIX semaphore: as [`PosixName`], but at most 251 bytes after the slash, since the file behind it
/// is called `sem.NAME` (`sem_overview(7)`); for the same reason `/.` and `/..` are names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SemName(OsString);

impl SemName {
    /// The most bytes after the slash.
    pub const LONGEST: usize = 251;

    /// Checks a name, which includes its slash.
    ///
    /// # Errors
    /// It does not begin with a slash, has nothing after it, a second slash, a NUL byte, or more than 251 bytes after the
    /// slash.
    pub fn new(name: impl Into<OsString>) -> Result<Self, ValueError> {
        checked(name.into(), Self::LONGEST).map(Self)
    }

    /// The name with its slash.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The name with its slash, if it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        self.0.to_str()
    }
}

impl AsRef<OsStr> for SemName {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

/// As it stands in an address, percent-encoded.
impl fmt::Display for SemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Encoded(self.0.as_bytes()).fmt(f)
    }
}

fn checked(name: OsString, longest: usize) -> Result<OsString, ValueError> {
    let text = || shown(&name.to_string_lossy());
    let why = match name.as_bytes().split_first() {
        None => "name is missing".to_owned(),
        Some((b'/', [])) => "name is missing after its slash".to_owned(),
        Some((b'/', rest)) if rest.contains(&b'/') => format!("name {} has a second slash", text()),
        Some((b'/', rest)) if rest.contains(&0) => format!("name {} has a NUL byte", text()),
        Some((b'/', rest)) if rest.len() > longest => {
            format!("name has {} bytes after its slash", rest.len())
        }
        Some((b'/', _)) => return Ok(name),
        Some(_) => format!("name {} does not begin with a slash", text()),
    };
    Err(ValueError::new(why, right(longest)))
}

fn right(longest: usize) -> String {
    format!("a name is a slash and 1 to {longest} bytes without another")
}
