//! How messages are told apart in a stream of bytes.

use core::fmt;
use core::str::FromStr;

use crate::ValueError;
use crate::error::shown;

/// How messages are told apart where the mechanism itself keeps no boundaries.
///
/// ```
/// use twixt_address::Framing;
/// assert_eq!("lines".parse::<Framing>()?, Framing::Lines);
/// assert_eq!(Framing::default(), Framing::Frame);
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// `frame`: twixt's own, a length and a checksum before each message. Any bytes; damage is noticed.
    #[default]
    Frame,
    /// `lines`: a newline after each message, which must have none within.
    Lines,
    /// `nul`: a zero byte after each message, which must have none within.
    Nul,
    /// `len`: the length before each message, four bytes, little-endian. Any bytes.
    Len,
    /// `raw`: nothing. The bytes arrive in order; where one message ends and the next begins is not kept.
    Raw,
}

impl Framing {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Frame, Self::Lines, Self::Nul, Self::Len, Self::Raw];

    /// The name, as it stands in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Lines => "lines",
            Self::Nul => "nul",
            Self::Len => "len",
            Self::Raw => "raw",
        }
    }

    /// The byte that ends a message, where one does.
    pub const fn delimiter(self) -> Option<u8> {
        match self {
            Self::Lines => Some(b'\n'),
            Self::Nul => Some(0),
            Self::Frame | Self::Len | Self::Raw => None,
        }
    }

    /// Whether a message arrives as it was sent whatever bytes it has.
    pub const fn takes_any_bytes(self) -> bool {
        self.delimiter().is_none()
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Framing {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let right = "a framing is frame, lines, nul, len or raw";
        match Self::ALL.into_iter().find(|framing| framing.as_str() == text) {
            Some(framing) => Ok(framing),
            None if text.is_empty() => Err(ValueError::new("framing is missing", right)),
            None => Err(ValueError::new(format!("framing {} is unknown", shown(text)), right)),
        }
    }
}
