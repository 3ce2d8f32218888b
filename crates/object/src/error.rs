//! The error of this crate: the mechanism's own, or a refusal that concerns the address.

use core::fmt;
use std::borrow::Cow;

use twixt_address::Address;
use twixt_os::{ErrorKind, Limit};

/// An object could not be made, found, looked at or removed.
///
/// It prints as one sentence: what was tried, on what, why not, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Cause>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// What the mechanism said.
    Mechanism(twixt_os::Error),
    /// What this crate said.
    Refused {
        operation: &'static str,
        address: String,
        kind: ErrorKind,
        why: Cow<'static, str>,
        advice: Cow<'static, str>,
    },
}

impl Error {
    /// What this crate refuses, why, and what to do instead.
    pub(crate) fn refused(
        operation: &'static str,
        address: &Address,
        kind: ErrorKind,
        why: impl Into<Cow<'static, str>>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        let address = address.endpoint().to_string();
        Self(Box::new(Cause::Refused { operation, address, kind, why: why.into(), advice: advice.into() }))
    }

    /// What kind of failure it is: what a program decides by.
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Cause::Mechanism(error) => error.kind(),
            Cause::Refused { kind, .. } => *kind,
        }
    }

    /// The limit that was hit, if one was.
    pub fn limit(&self) -> Option<&Limit> {
        match &*self.0 {
            Cause::Mechanism(error) => error.limit(),
            Cause::Refused { .. } => None,
        }
    }

    /// The mechanism's own error, if it was the mechanism that refused.
    pub fn mechanism_error(&self) -> Option<&twixt_os::Error> {
        match &*self.0 {
            Cause::Mechanism(error) => Some(error),
            Cause::Refused { .. } => None,
        }
    }
}

impl From<twixt_os::Error> for Error {
    fn from(error: twixt_os::Error) -> Self {
        // A program that opens is told to create first; whoever looks for an object to remove is not.
        let misleading = error.kind() == ErrorKind::NotFound && error.operation() == "open";
        let error = match (error.advice(), usual_advice(&error)) {
            (advice, Some(usual)) if advice.is_none() || misleading => error.with_advice(usual),
            _ => error,
        };
        Self(Box::new(Cause::Mechanism(error)))
    }
}

/// What to do where the mechanism, which does not know what it is used for, says nothing.
fn usual_advice(error: &twixt_os::Error) -> Option<&'static str> {
    Some(match (error.kind(), error.operation()) {
        (ErrorKind::AlreadyExists, _) => "use what is there, or remove it first",
        (ErrorKind::NotFound, "create") => "make the directory first",
        (ErrorKind::NotFound, "derive a key from") => "a key is made of a file that is there",
        (ErrorKind::NotFound, _) => "check the name; what is not there can be made",
        (ErrorKind::Removed, _) => "nothing is left to be done",
        (ErrorKind::PermissionDenied, "create") => "choose a directory that may be written and searched",
        (ErrorKind::PermissionDenied, "find") => "every directory on the way must be searchable",
        (ErrorKind::PermissionDenied, _) => "its owner and root may",
        (ErrorKind::NoSpace, _) => "free some space, or ask for less",
        _ => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::Mechanism(error) => error.fmt(f),
            Cause::Refused { operation, address, why, advice, .. } => {
                // `pipe:` brings the colon along.
                let colon = if address.ends_with(':') { "" } else { ":" };
                write!(f, "cannot {operation} {address}{colon} {why}; {advice}")
            }
        }
    }
}

impl std::error::Error for Error {}
