//! The one error type: what was tried, on what, what the kernel said, which limit was hit, and what to do.

use core::fmt;
use std::borrow::Cow;
use std::io;

use crate::Errno;

mod errno;
mod kind;
mod limit;
mod mechanism;
mod object;

pub use kind::ErrorKind;
pub use limit::Limit;
pub use mechanism::Mechanism;
pub use object::Object;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// A failed operation.
///
/// It prints as one sentence, made to be read as it stands:
///
/// ```
/// # use twixt_os::{Errno, Error, ErrorKind, Limit, Mechanism, Object};
/// let error = Error::kernel(Mechanism::PosixMq, "create", Object::name("/jobs"), Errno::MFILE)
///     .with_kind(ErrorKind::LimitReached)
///     .with_limit(Limit { name: "RLIMIT_MSGQUEUE", current: Some(819_200), needed: Some(1_048_640) })
///     .with_advice("raise it with `ulimit -q`, or lower the capacity");
/// assert_eq!(
///     error.to_string(),
///     "cannot create POSIX message queue /jobs: too many open files (EMFILE): RLIMIT_MSGQUEUE is 819200, \
///      1048640 is needed; raise it with `ulimit -q`, or lower the capacity",
/// );
/// ```
///
/// Making one allocates nothing unless it names a limit, so that an operation may fail often (a queue found full,
/// say) at no cost.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    mechanism: Mechanism,
    operation: &'static str,
    object: Object,
    cause: Cause,
    kind: ErrorKind,
    /// Boxed for the sake of all the errors that have none.
    limit: Option<Box<Limit>>,
    advice: Option<&'static str>,
}

/// Who refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The kernel, with this errno.
    Kernel(Errno),
    /// This library, before it asked the kernel or after it saw the answer.
    Refused(Cow<'static, str>),
    /// This library: bytes asked for do not lie within the object. Not a text, which would allocate.
    OutOfBounds(OutOfBounds),
}

/// Bytes that an object does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBounds {
    pub(crate) offset: usize,
    pub(crate) len: usize,
    /// How many bytes the object has.
    pub(crate) size: usize,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, len, size } = self;
        write!(f, "{len} bytes at offset {offset} do not lie within its {size} bytes")
    }
}

impl Error {
    /// What the kernel refused. `operation` is the verb and its preposition, as in "cannot *receive from*".
    ///
    /// The kind follows from the errno; [`Error::with_kind`] overrides it where the operation gives the errno another
    /// meaning.
    pub fn kernel(mechanism: Mechanism, operation: &'static str, object: Object, errno: Errno) -> Self {
        let kind = ErrorKind::of(errno);
        Self { mechanism, operation, object, cause: Cause::Kernel(errno), kind, limit: None, advice: None }
    }

    /// What this library refused, and why, as a phrase that follows a colon.
    pub fn refused(
        mechanism: Mechanism,
        operation: &'static str,
        object: Object,
        kind: ErrorKind,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            mechanism,
            operation,
            object,
            cause: Cause::Refused(why.into()),
            kind,
            limit: None,
            advice: None,
        }
    }

    /// An access past the end of an object.
    pub(crate) fn out_of_bounds(
        mechanism: Mechanism,
        operation: &'static str,
        object: Object,
        bytes: OutOfBounds,
    ) -> Self {
        Self {
            cause: Cause::OutOfBounds(bytes),
            ..Self::refused(mechanism, operation, object, ErrorKind::OutOfRange, "")
        }
    }

    /// Sets the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Names the limit that was hit.
    #[must_use]
    pub fn with_limit(mut self, limit: Limit) -> Self {
        self.limit = Some(Box::new(limit));
        self
    }

    /// Names the limit on descriptors that stands behind `EMFILE` and `ENFILE`, if it was one of these.
    #[must_use]
    pub(crate) fn with_descriptor_limit(self) -> Self {
        match self.errno() {
            Some(Errno::MFILE) => self
                .with_limit(Limit::descriptors())
                .with_advice("close descriptors, or raise it with `ulimit -n`"),
            Some(Errno::NFILE) => self.with_limit(Limit::sysctl("fs.file-max", 0)),
            _ => self,
        }
    }

    /// Says what to do about it, as a phrase that follows a semicolon.
    #[must_use]
    pub fn with_advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Sets the object, for errors made where it was not known.
    #[must_use]
    pub fn with_object(mut self, object: Object) -> Self {
        self.object = object;
        self
    }

    /// What kind of failure it is: what a program decides by.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The mechanism that was used.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What was tried: `create`, `send to`, ...
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// What it was tried on.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What the kernel said, if it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self.cause {
            Cause::Kernel(errno) => Some(errno),
            Cause::Refused(_) | Cause::OutOfBounds(_) => None,
        }
    }

    /// The limit that was hit, if one was.
    pub fn limit(&self) -> Option<&Limit> {
        self.limit.as_deref()
    }

    /// What to do about it, where that can be said.
    pub fn advice(&self) -> Option<&'static str> {
        self.advice
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.mechanism)?;
        if self.object != Object::Unnamed {
            write!(f, " {}", self.object)?;
        }
        match &self.cause {
            Cause::Kernel(errno) => write!(f, ": {}", errno::describe(*errno))?,
            Cause::Refused(why) => write!(f, ": {why}")?,
            Cause::OutOfBounds(why) => write!(f, ": {why}")?,
        }
        if let Some(limit) = &self.limit {
            write!(f, ": {limit}")?;
        }
        match self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// The same sentence: it is what `fn main() -> Result<(), Error>` and `unwrap` show to a user.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// The error keeps its sentence and becomes the source of the `io::Error`.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind.as_io(), error)
    }
}
