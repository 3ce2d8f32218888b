//! Permission bits of a new object.

use core::fmt;
use core::str::FromStr;

/// Who may read and write a new object: the nine permission bits, owner, group and others.
///
/// The default is 0600, the owner alone. As with every Unix call that takes a mode, the process's `umask` takes
/// bits away from named objects that live in a file system; System V objects get the mode as it is.
///
/// ```
/// use twixt_os::Mode;
/// assert_eq!(Mode::default(), Mode::OWNER);
/// assert_eq!("0640".parse(), Ok(Mode::new(0o640).unwrap()));
/// assert!(Mode::new(0o1777).is_none());
/// ```
///
/// See `inode(7)`, `umask(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "mode_t")]
pub struct Mode(u16);

impl Mode {
    /// 0600: the owner reads and writes.
    pub const OWNER: Self = Self(0o600);

    /// A mode from its bits, 0 to 0777.
    pub const fn new(bits: u32) -> Option<Self> {
        if bits <= 0o777 { Some(Self(bits as u16)) } else { None }
    }

    /// The bits, 0 to 0777.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// The permission bits of a raw mode, whatever stands above them.
    pub(crate) const fn permissions_of(raw: u32) -> Self {
        Self((raw & 0o777) as u16)
    }

    pub(crate) fn to_rustix(self) -> rustix::fs::Mode {
        rustix::fs::Mode::from_raw_mode(self.bits())
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self::OWNER
    }
}

/// A text that is not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMode;

impl fmt::Display for NotAMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mode is an octal number from 0 to 777, like 0600")
    }
}

impl std::error::Error for NotAMode {}

impl FromStr for Mode {
    type Err = NotAMode;

    fn from_str(text: &str) -> Result<Self, NotAMode> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotAMode);
        }
        u32::from_str_radix(digits, 8).ok().and_then(Self::new).ok_or(NotAMode)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({self})")
    }
}
