//! What a program decides by when an operation fails.

use std::io;

use crate::Errno;

/// The kind of a failure, the same for all mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It cannot be done now, and the call was told not to wait: full or empty, taken or locked.
    WouldBlock,
    /// The deadline passed first. Nothing was sent or taken, except by operations of many parts, whose error says how
    /// much was ([`write_all_deadline`](crate::pipe::Writer::write_all_deadline), `send_all_deadline`) or whose
    /// description does ([`communicate_deadline`](crate::popen::Duplex::communicate_deadline)).
    TimedOut,
    /// A signal handler ran, and the call was told to end then. What was sent or taken is as with
    /// [`TimedOut`](Self::TimedOut).
    Interrupted,
    /// No object with that name, key or number.
    NotFound,
    /// An object with that name or key exists, and it was to be made anew.
    AlreadyExists,
    /// The object's permissions or a missing capability forbid it.
    PermissionDenied,
    /// The object was removed while it was being used.
    Removed,
    /// The message, name or address is longer than the object, or the caller's buffer, takes. It is still there.
    TooLong,
    /// No message of the kind asked for.
    NoMessage,
    /// The other side has gone; what is sent would reach nobody.
    PeerGone,
    /// There is no other side yet.
    NoPeer,
    /// A limit of the system, the user or the process was reached; [`Error::limit`](crate::Error::limit)
    /// names it.
    LimitReached,
    /// The file system or the memory that backs the object is full.
    NoSpace,
    /// An argument that no such object could accept.
    InvalidInput,
    /// A number outside its range.
    OutOfRange,
    /// Something else holds or uses the object.
    Busy,
    /// What arrived was cut short or malformed. What could be kept of it was.
    Malformed,
    /// Another process shortened the file behind a mapping.
    Truncated,
    /// The receiver was too slow, and what it had not received was overwritten.
    Overrun,
    /// This kernel, file system or object has no such operation.
    Unsupported,
    /// Anything else; the errno says more.
    Other,
}

impl ErrorKind {
    /// What an errno means when the operation gives it no meaning of its own.
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN => Self::WouldBlock,
            Errno::TIMEDOUT => Self::TimedOut,
            Errno::INTR => Self::Interrupted,
            Errno::NOENT | Errno::SRCH | Errno::NODEV => Self::NotFound,
            Errno::EXIST | Errno::ADDRINUSE => Self::AlreadyExists,
            Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP => Self::PermissionDenied,
            Errno::IDRM => Self::Removed,
            Errno::TOOBIG | Errno::MSGSIZE | Errno::NAMETOOLONG => Self::TooLong,
            Errno::NOMSG => Self::NoMessage,
            Errno::PIPE | Errno::CONNRESET | Errno::CONNABORTED | Errno::SHUTDOWN => Self::PeerGone,
            Errno::NXIO | Errno::CONNREFUSED | Errno::NOTCONN | Errno::HOSTUNREACH | Errno::NETUNREACH => {
                Self::NoPeer
            }
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::DQUOT | Errno::NOLCK => Self::LimitReached,
            Errno::NOSPC | Errno::NOMEM => Self::NoSpace,
            Errno::INVAL | Errno::BADF | Errno::NOTDIR | Errno::ISDIR | Errno::AFNOSUPPORT => {
                Self::InvalidInput
            }
            Errno::RANGE | Errno::OVERFLOW | Errno::FBIG => Self::OutOfRange,
            Errno::BUSY | Errno::DEADLK | Errno::TXTBSY => Self::Busy,
            Errno::BADMSG | Errno::PROTO => Self::Malformed,
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOPROTOOPT | Errno::PROTONOSUPPORT => Self::Unsupported,
            _ => Self::Other,
        }
    }

    /// The nearest kind of the standard library.
    pub(super) fn as_io(self) -> io::ErrorKind {
        match self {
            Self::WouldBlock => io::ErrorKind::WouldBlock,
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::Interrupted => io::ErrorKind::Interrupted,
            Self::NotFound | Self::Removed | Self::NoMessage => io::ErrorKind::NotFound,
            Self::AlreadyExists => io::ErrorKind::AlreadyExists,
            Self::PermissionDenied => io::ErrorKind::PermissionDenied,
            Self::PeerGone => io::ErrorKind::BrokenPipe,
            Self::NoPeer => io::ErrorKind::NotConnected,
            Self::LimitReached => io::ErrorKind::QuotaExceeded,
            Self::NoSpace => io::ErrorKind::StorageFull,
            Self::TooLong | Self::InvalidInput | Self::OutOfRange => io::ErrorKind::InvalidInput,
            Self::Busy => io::ErrorKind::ResourceBusy,
            Self::Malformed | Self::Overrun => io::ErrorKind::InvalidData,
            Self::Truncated => io::ErrorKind::UnexpectedEof,
            Self::Unsupported => io::ErrorKind::Unsupported,
            Self::Other => io::ErrorKind::Other,
        }
    }
}
