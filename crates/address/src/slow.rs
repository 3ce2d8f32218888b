//! What becomes of a subscriber that is slower than the publishers.

use core::fmt;
use core::str::FromStr;

use crate::ValueError;
use crate::error::shown;

/// What becomes of a subscriber of a topic that is slower than the publishers.
///
/// ```
/// use twixt_address::Slow;
/// assert_eq!("drop-oldest".parse::<Slow>()?, Slow::DropOldest);
/// assert_eq!(Slow::default(), Slow::Block);
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slow {
    /// `block`: publishers wait for it.
    #[default]
    Block,
    /// `drop-oldest`: it misses the oldest messages that it has not received.
    DropOldest,
    /// `drop-newest`: it keeps what it has not received, and misses what came when the ring was full.
    DropNewest,
    /// `disconnect`: it is told that it was too slow, and that is the end for it.
    Disconnect,
}

impl Slow {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Block, Self::DropOldest, Self::DropNewest, Self::Disconnect];

    /// The name, as it stands in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropOldest => "drop-oldest",
            Self::DropNewest => "drop-newest",
            Self::Disconnect => "disconnect",
        }
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Slow {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let right = "slow is block, drop-oldest, drop-newest or disconnect";
        match Self::ALL.into_iter().find(|slow| slow.as_str() == text) {
            Some(slow) => Ok(slow),
            None if text.is_empty() => Err(ValueError::new("slow is missing", right)),
            None => Err(ValueError::new(format!("slow {} is unknown", shown(text)), right)),
        }
    }
}
