//! Why a demonstration did not pass.

use core::fmt;
use std::io;

use twixt_os::{Error, ErrorKind};

/// Why a demonstration, or one party of it, did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something that the demonstration needs is missing here: its name, as in "needs CAP_NET_RAW".
    Missing(String),
    /// Something went wrong.
    Wrong(String),
    /// The other side is not there, or not yet.
    Absent(String),
    /// The other side has gone in the middle of it.
    Gone(String),
    /// The user asked to stop.
    Stopped,
}

impl Failure {
    /// Something was not as it should be.
    pub(crate) fn wrong(what: impl fmt::Display) -> Self {
        Self::Wrong(what.to_string())
    }
}

/// What this kernel, or this user, cannot do is missing; the rest is somebody's fault.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Unsupported => Self::Missing(error.to_string()),
            ErrorKind::NotFound | ErrorKind::NoPeer => Self::Absent(error.to_string()),
            ErrorKind::PeerGone | ErrorKind::Removed => Self::Gone(error.to_string()),
            _ => Self::Wrong(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // An error of ours that came by way of `io::Read` or `io::Write` still knows its kind.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(ours) => ours.clone().into(),
            None => Self::Wrong(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) | Self::Wrong(what) | Self::Absent(what) | Self::Gone(what) => {
                f.write_str(what)
            }
            Self::Stopped => f.write_str("stopped before it was done"),
        }
    }
}

impl std::error::Error for Failure {}

/// Fails the demonstration unless what came is what should have come.
pub(crate) fn expect<T: PartialEq + fmt::Debug>(what: &str, came: T, should: T) -> Result<(), Failure> {
    if came == should {
        Ok(())
    } else {
        Err(Failure::wrong(format_args!("{what}: {came:?} instead of {should:?}")))
    }
}
