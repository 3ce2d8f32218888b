//! The names of POSIX objects.

use core::fmt;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Mechanism, Object, Result};

/// A checked name of a POSIX object: a slash and 1 to 255 bytes more, none of them a slash or NUL.
///
/// That is what Linux takes. Semaphores have 4 bytes less, since their files are called `sem.NAME`. The manual pages
/// promise a byte less to both (`mq_overview(7)`, `shm_overview(7)`, `sem_overview(7)`), so portable programs leave it
/// out. The bytes need not be UTF-8.
///
/// ```
/// use std::ffi::OsStr;
/// use std::os::unix::ffi::OsStrExt;
/// use twixt_os::posix::shm::{self, SharedMemory};
/// use twixt_os::{ErrorKind, Mode};
///
/// // Whoever made it may have called it anything; it can be opened and removed all the same.
/// let name = [b"/twixt-\xff-", std::process::id().to_string().as_bytes()].concat();
/// let name = OsStr::from_bytes(&name);
/// let shared = SharedMemory::create(name, 4096, Mode::OWNER)?;
/// assert_eq!(shared.name().unwrap().as_os_str(), name);
/// shm::unlink(name)?;
/// assert_eq!(shm::unlink("jobs").unwrap_err().kind(), ErrorKind::InvalidInput);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[doc(alias = "NAME_MAX")]
pub struct Name(Arc<CStr>);

impl Name {
    /// Checks a name for `mechanism` and the `operation` that wants it, which the error will name.
    pub(crate) fn new(mechanism: Mechanism, operation: &'static str, name: &OsStr) -> Result<Self> {
        let text = || name.to_string_lossy();
        let refuse =
            |kind, why: String| Err(Error::refused(mechanism, operation, Object::name(text()), kind, why));
        let Some(rest) = name.as_bytes().strip_prefix(b"/") else {
            let like = text().escape_debug().to_string();
            return refuse(ErrorKind::InvalidInput, format!("a name starts with a slash, like /{like}"));
        };
        if rest.is_empty() {
            return refuse(ErrorKind::InvalidInput, "the name is empty after its slash".to_owned());
        }
        if rest.contains(&b'/') {
            return refuse(ErrorKind::InvalidInput, "only the first character may be a slash".to_owned());
        }
        // A semaphore's file is `sem..` then, a name like another.
        if mechanism != Mechanism::PosixSem && matches!(rest, b"." | b"..") {
            return refuse(ErrorKind::InvalidInput, "that is the name of a directory".to_owned());
        }
        let longest = if mechanism == Mechanism::PosixSem { 251 } else { 255 };
        if rest.len() > longest {
            let why = format!("the name has {} bytes after its slash; {longest} is the most", rest.len());
            return refuse(ErrorKind::TooLong, why);
        }
        match CString::new(name.as_bytes()) {
            Ok(name) => Ok(Self(name.into())),
            Err(_) => refuse(ErrorKind::InvalidInput, "the name contains a NUL byte".to_owned()),
        }
    }

    /// The name as the C functions take it, slash included.
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// The name with its slash.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self.0.to_bytes())
    }

    pub(crate) fn object(&self) -> Object {
        Object::name(self.to_string())
    }
}

impl AsRef<OsStr> for Name {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

/// What is not UTF-8 shows as U+FFFD.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_string_lossy())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}
