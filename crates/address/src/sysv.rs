//! How a System V object is named.

use core::fmt;
use core::num::{NonZeroI32, NonZeroU8};

use crate::number::within;
use crate::{FilePath, ValueError};

/// What leads to a System V object.
///
/// ```
/// use std::num::NonZero;
/// use twixt_address::{FilePath, SysvKey};
/// assert_eq!(SysvKey::Key(NonZero::new(-2).unwrap()).to_string(), "0xfffffffe");
/// let by_file = SysvKey::Ftok { path: FilePath::new("/etc/passwd")?, project: NonZero::new(7).unwrap() };
/// assert_eq!(by_file.to_string(), "ftok=/etc/passwd,7");
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SysvKey {
    /// A `key_t` of the programs' own choice. 0 is not among them: to the kernel that is `IPC_PRIVATE`.
    Key(NonZeroI32),
    /// The kernel's identifier of an object that exists.
    Id(SysvId),
    /// The key that `ftok(3)` makes of a file that exists and a project number.
    Ftok {
        /// The file.
        path: FilePath,
        /// The number that tells several keys of one file apart.
        project: NonZeroU8,
    },
    /// `IPC_PRIVATE`: a new object, which only its identifier leads to.
    Private,
}

impl SysvKey {
    /// The key of a number, if it is one and not `IPC_PRIVATE`.
    pub const fn from_raw(key: i32) -> Option<Self> {
        match NonZeroI32::new(key) {
            Some(key) => Some(Self::Key(key)),
            None => None,
        }
    }
}

/// As it stands in an address: `0x7477`, `id=3`, `ftok=/etc/passwd,7`, `private`.
impl fmt::Display for SysvKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key:#x}"),
            Self::Id(id) => write!(f, "id={id}"),
            // The last comma is the separator, so that commas in the path need no escape.
            Self::Ftok { path, project } => write!(f, "ftok={path},{project}"),
            Self::Private => f.write_str("private"),
        }
    }
}

/// The kernel's identifier of a System V object, 0 to 2147483647.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SysvId(i32);

impl SysvId {
    /// Checks an identifier.
    ///
    /// # Errors
    /// It is negative.
    pub fn new(id: i32) -> Result<Self, ValueError> {
        within("identifier", id, 0, i32::MAX).map(Self)
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for SysvId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
