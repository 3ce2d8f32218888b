//! What can go wrong.

use core::fmt;
use std::io;

/// What can go wrong while something is measured.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The transport cannot do what is asked; why.
    Unsupported(String),
    /// It could have, and did not; what happened.
    Failed(String),
    /// Messages came wrong: lost, doubled, torn or out of order.
    Wrong(String),
    /// A party did not end in time.
    TimedOut(String),
    /// The user's program wants no more of it.
    Stopped,
}

/// With [`Failure`].
pub type Result<T, E = Failure> = core::result::Result<T, E>;

impl Failure {
    /// Something failed, as it says.
    pub fn failed(what: impl fmt::Display) -> Self {
        Self::Failed(what.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(why) => write!(f, "not possible: {why}"),
            Self::Failed(what) => f.write_str(what),
            Self::Wrong(what) => write!(f, "messages came wrong: {what}"),
            Self::TimedOut(who) => write!(f, "{who} did not end in time"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<twixt_os::Error> for Failure {
    fn from(error: twixt_os::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
