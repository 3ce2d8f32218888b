//! How unrelated processes name the same System V object: `ftok(3)`, `sysvipc(7)`.

use core::fmt;
use core::str::FromStr;
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Error, Mechanism, Object, Result};

/// A key: the number under which processes that know nothing else of each other find the same object.
///
/// Queues, semaphore sets and shared memory have separate key spaces. A key is not an identifier: the kernel gives
/// each object an identifier of its own, which is never the same again after a removal for a long time.
///
/// ```
/// use twixt_os::sysv::Key;
/// let agreed = Key::new(0x7477_6978).unwrap();
/// let by_file = Key::from_path("/etc/passwd", 42)?;
/// assert!(Key::new(0).is_none(), "0 is IPC_PRIVATE");
/// assert_eq!("0x74776978".parse(), Ok(agreed));
/// # let _ = by_file;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "key_t")]
pub struct Key(i32);

impl Key {
    /// `IPC_PRIVATE`: every object made with it is a new one, which only its identifier leads to.
    #[doc(alias = "IPC_PRIVATE")]
    pub const PRIVATE: Self = Self(0);

    /// A key of the programs' own choice. 0 means [`Key::PRIVATE`] to the kernel and is refused.
    pub const fn new(key: i32) -> Option<Self> {
        if key == 0 { None } else { Some(Self(key)) }
    }

    /// `ftok(3)`: derives a key from an existing file and a project number.
    ///
    /// The key holds 16 bits of the inode, 8 of the device and the project number, so different files *can* give
    /// the same key; and deleting the file and making it again changes the key. Where the programs can pass a
    /// number along, [`Key::random`] is the better choice.
    ///
    /// # Errors
    /// Those of `stat(2)`: [`NotFound`](crate::ErrorKind::NotFound) if there is no such file. A project number
    /// of 0 is refused: POSIX leaves its meaning open.
    #[doc(alias = "ftok")]
    pub fn from_path(path: impl AsRef<Path>, project: u8) -> Result<Self> {
        let path = path.as_ref();
        if project == 0 {
            let why = "the project number is 0; ftok takes 1 to 255";
            return Err(invalid(path, why));
        }
        let stat = rustix::fs::stat(path).map_err(|errno| {
            Error::kernel(Mechanism::File, "derive a key from", Object::path(path), errno)
        })?;
        let key =
            u32::from(project) << 24 | (stat.st_dev as u32 & 0xff) << 16 | (stat.st_ino as u32 & 0xffff);
        Ok(Self(key.cast_signed()))
    }

    /// A key that nobody else is likely to hit on, for programs that can tell each other.
    ///
    /// # Errors
    /// Those of `getrandom(2)`.
    pub fn random() -> Result<Self> {
        loop {
            let mut bytes = [0; 4];
            let filled = getrandom(&mut bytes[..], GetRandomFlags::empty()).map_err(|errno| {
                Error::kernel(Mechanism::SysvMsg, "draw a random key for", Object::Unnamed, errno)
            })?;
            if let Some(key) = Self::new(i32::from_ne_bytes(bytes))
                && filled == bytes.len()
            {
                return Ok(key);
            }
        }
    }

    /// What the kernel reports: any number, 0 being [`Key::PRIVATE`].
    pub(crate) const fn from_raw(key: i32) -> Self {
        Self(key)
    }

    /// The number, as `key_t`. `ipcs` shows it in hexadecimal.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Whether this is [`Key::PRIVATE`].
    pub const fn is_private(self) -> bool {
        self.0 == 0
    }
}

fn invalid(path: &Path, why: &'static str) -> Error {
    Error::refused(
        Mechanism::File,
        "derive a key from",
        Object::path(path),
        crate::ErrorKind::InvalidInput,
        why,
    )
}

/// As `ipcs` prints it: `0x7477_6978` without the underscore, in eight digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A number or text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key is a number of 32 bits other than 0, in decimal or like 0x0001e240")
    }
}

impl std::error::Error for NotAKey {}

/// A key of the programs' own choice, signed as in C or unsigned as `ipcs` shows it. What does not fit 32 bits is
/// refused, never cut; so is 0, which is [`Key::PRIVATE`].
impl TryFrom<i64> for Key {
    type Error = NotAKey;

    fn try_from(key: i64) -> Result<Self, NotAKey> {
        let signed = i32::try_from(key).or_else(|_| u32::try_from(key).map(u32::cast_signed));
        signed.ok().and_then(Self::new).ok_or(NotAKey)
    }
}

/// Decimal, or hexadecimal after `0x` as [`Key`] prints it. 0 is refused.
impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            // A sign would stand in the middle of the number.
            Some(digits) if digits.starts_with(['+', '-']) => return Err(NotAKey),
            Some(digits) => u32::from_str_radix(digits, 16).map(i64::from),
            None => text.parse(),
        };
        number.map_err(|_| NotAKey)?.try_into()
    }
}

impl From<Key> for Object {
    fn from(key: Key) -> Self {
        if key.is_private() { Self::name("(private)") } else { Self::name(key.to_string()) }
    }
}
