//! What can come of a call besides its result.

use core::fmt;
use core::time::Duration;

use twixt_os::ErrorKind;

/// The result of every fallible call of this module.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a call has no result, or a conversation ended. Prints as one sentence.
///
/// What a method itself returns as an error (`Result<T, E>`) is none of these: it is a result.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The channel failed. That the other side has gone is [`ErrorKind::PeerGone`].
    Transport(twixt_os::Error),
    /// The other side ended the conversation in good order.
    Closed,
    /// The two sides do not serve and call the same.
    Mismatch {
        /// The service that the client calls.
        client: Identity,
        /// The service that the server serves.
        server: Identity,
        /// In what they differ.
        difference: String,
    },
    /// The other side did what the format does not allow; the conversation is over.
    Malformed {
        /// What it did.
        why: &'static str,
    },
    /// A method of the service is of a type that [cannot be described](crate::typed::Schema::of): what a stranger's bytes
    /// could do to who reads them is not known then, so the service is neither called nor served.
    Undescribable {
        /// The method.
        method: &'static str,
        /// The type, and what is wrong with it.
        why: String,
    },
    /// The server has no such method.
    UnknownMethod {
        /// The service.
        service: &'static str,
        /// The method.
        method: &'static str,
    },
    /// Bytes that are no value of the type they should be.
    Undecodable {
        /// What they stand for.
        part: Part,
        /// Of a call of which method.
        method: &'static str,
        /// Who could not read them.
        side: Side,
        /// What is wrong with them.
        why: String,
    },
    /// A value that cannot be written as bytes.
    Unencodable {
        /// What it is.
        part: Part,
        /// Of a call of which method.
        method: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A message longer than the channel carries or the other side takes.
    TooLong {
        /// What it is.
        part: Part,
        /// Of a call of which method.
        method: &'static str,
        /// How long the whole message is, in bytes.
        len: u64,
        /// How long it may be.
        limit: u64,
    },
    /// The server has as many calls as it takes; this one was not begun.
    Overloaded {
        /// The method.
        method: &'static str,
    },
    /// The client has as many calls in flight as it was told to have at the most; this one was not sent.
    TooManyCalls {
        /// How many.
        limit: usize,
    },
    /// The client takes nothing: a message for it has waited for so long, and it has read none of those before it.
    /// The conversation is over. Only servers see this ([`Server::stall`](super::Server::stall)).
    Stalled {
        /// For how long.
        waited: Duration,
    },
    /// The deadline passed.
    TimedOut {
        /// The method.
        method: &'static str,
    },
    /// The client no longer wants the result. Only handlers see this.
    Cancelled {
        /// The method.
        method: &'static str,
    },
    /// The handler panicked.
    Panicked {
        /// The method.
        method: &'static str,
    },
    /// A failure that this version does not know, or that a handler made up.
    Failed {
        /// The method.
        method: &'static str,
        /// What the other side says.
        why: String,
    },
}

/// A side of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that calls.
    Client,
    /// The one that answers.
    Server,
}

/// A part of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The arguments.
    Request,
    /// The result.
    Reply,
    /// An item of a stream.
    Item,
}

/// A service, as the other side knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// The hash of its methods and their types; 0 if it is not to be compared.
    pub hash: u64,
}

impl Error {
    /// What kind of failure it is, in the terms of the mechanisms below.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Transport(error) => error.kind(),
            Self::Closed => ErrorKind::PeerGone,
            Self::Mismatch { .. } | Self::Undescribable { .. } | Self::UnknownMethod { .. } => {
                ErrorKind::Unsupported
            }
            Self::Malformed { .. } | Self::Undecodable { .. } => ErrorKind::Malformed,
            Self::Unencodable { .. } => ErrorKind::InvalidInput,
            Self::TooLong { .. } => ErrorKind::TooLong,
            Self::Overloaded { .. } | Self::TooManyCalls { .. } => ErrorKind::LimitReached,
            Self::Stalled { .. } | Self::TimedOut { .. } => ErrorKind::TimedOut,
            Self::Cancelled { .. } => ErrorKind::Interrupted,
            Self::Panicked { .. } | Self::Failed { .. } => ErrorKind::Other,
        }
    }
}

impl From<twixt_os::Error> for Error {
    fn from(error: twixt_os::Error) -> Self {
        Self::Transport(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => fmt::Display::fmt(error, f),
            Self::Closed => f.write_str("the other side has ended the conversation"),
            Self::Mismatch { client, server, difference } => {
                write!(f, "the client calls {client}, but the server serves {server}: {difference}")
            }
            Self::Malformed { why } => write!(f, "the other side does not keep to the format: {why}"),
            Self::Undescribable { method, why } => write!(f, "cannot call or serve {method}: {why}"),
            Self::UnknownMethod { service, method } => {
                write!(f, "cannot call {method}: the server's {service} has no such method")
            }
            Self::Undecodable { part, method, side, why } => {
                write!(f, "cannot call {method}: the {side} cannot decode the {part}: {why}")
            }
            Self::Unencodable { part, method, why } => {
                write!(f, "cannot call {method}: the {part} cannot be encoded: {why}")
            }
            Self::TooLong { part, method, len, limit } => {
                write!(f, "cannot call {method}: the {part} has {len} bytes, and {limit} is the most")
            }
            Self::Overloaded { method } => {
                write!(f, "cannot call {method}: the server has as many calls as it takes")
            }
            Self::TooManyCalls { limit } => {
                write!(f, "cannot call: {limit} calls are in flight, and that is the most")
            }
            Self::Stalled { waited } => {
                write!(f, "the client has read nothing for {waited:?}, while a message for it waited")
            }
            Self::TimedOut { method } => write!(f, "cannot call {method}: the deadline has passed"),
            Self::Cancelled { method } => {
                write!(f, "cannot answer {method}: the client has cancelled the call")
            }
            Self::Panicked { method } => write!(f, "cannot call {method}: its handler panicked"),
            Self::Failed { method, why } => write!(f, "cannot call {method}: {why}"),
        }
    }
}

/// The same sentence: it is what `fn main() -> Result<(), Error>` and `unwrap` show to a user.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            _ => None,
        }
    }
}

/// The name, and behind it the hash if there is one. Control characters are escaped: the name is the other side's.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name.escape_debug())?;
        match self.hash {
            0 => Ok(()),
            hash => write!(f, " {hash:016x}"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Item => "item",
        })
    }
}
