//! The type of a message, and which types a receiver wants.

use core::fmt;
use core::num::NonZeroI64;

use twixt_sys::sysv::msg as sys;

/// The type of a message: 1 to `i64::MAX`. What it means is the programs' own affair.
///
/// ```
/// use twixt_os::sysv::msg::Type;
/// const REPLY: Type = Type::new(11).unwrap();
/// assert_eq!(Type::new(0), None);
/// assert_eq!(Type::new(-1), None);
/// # let _ = REPLY;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "mtype")]
pub struct Type(NonZeroI64);

impl Type {
    /// 1, the lowest type.
    pub const MIN: Self = Self(NonZeroI64::new(1).unwrap());

    /// `i64::MAX`, the highest type.
    pub const MAX: Self = Self(NonZeroI64::MAX);

    /// A type from its number; 0 and negative numbers are none.
    pub const fn new(number: i64) -> Option<Self> {
        match NonZeroI64::new(number) {
            Some(number) if number.get() > 0 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0.get()
    }
}

impl Default for Type {
    fn default() -> Self {
        Self::MIN
    }
}

/// A number that is no message type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAType;

impl fmt::Display for NotAType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message type is a number from 1 to {}", i64::MAX)
    }
}

impl std::error::Error for NotAType {}

impl TryFrom<i64> for Type {
    type Error = NotAType;

    fn try_from(number: i64) -> Result<Self, NotAType> {
        Self::new(number).ok_or(NotAType)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type({self})")
    }
}

/// Which message a receiver takes: the `msgtyp` of `msgrcv(2)`. Among those that qualify, the oldest.
///
/// ```
/// # use twixt_os::Mode;
/// # use twixt_os::sysv::Key;
/// use twixt_os::sysv::msg::{Message, Queue, Select, Type};
/// const URGENT: Type = Type::new(1).unwrap();
/// const ROUTINE: Type = Type::new(5).unwrap();
/// # let queue = Queue::create(Key::PRIVATE, Mode::OWNER)?.remove_on_drop();
/// queue.send(ROUTINE, b"first in")?;
/// queue.send(URGENT, b"first out")?;
/// let mut message = Message::with_capacity(64);
/// queue.receive(Select::LowestUpTo(ROUTINE), &mut message)?;
/// assert_eq!(message.bytes(), b"first out");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "msgtyp")]
pub enum Select {
    /// The first of the queue, whatever its type (`msgtyp` 0).
    Any,
    /// The first of this type (`msgtyp` positive).
    Exactly(Type),
    /// The first of the lowest type that is not above this one (`msgtyp` negative): types as priorities, 1 being the
    /// most urgent.
    LowestUpTo(Type),
    /// The first of any other type (`MSG_EXCEPT`).
    #[doc(alias = "MSG_EXCEPT")]
    Except(Type),
}

impl Select {
    /// As `msgrcv(2)` takes it.
    pub(super) fn to_raw(self) -> (i64, sys::Receive) {
        match self {
            Self::Any => (0, sys::Receive::empty()),
            Self::Exactly(mtype) => (mtype.get(), sys::Receive::empty()),
            Self::LowestUpTo(mtype) => (-mtype.get(), sys::Receive::empty()),
            Self::Except(mtype) => (mtype.get(), sys::Receive::EXCEPT),
        }
    }

    /// Whether a message of this type qualifies.
    pub fn admits(self, mtype: Type) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => mtype == wanted,
            Self::LowestUpTo(highest) => mtype <= highest,
            Self::Except(unwanted) => mtype != unwanted,
        }
    }
}

impl From<Type> for Select {
    fn from(mtype: Type) -> Self {
        Self::Exactly(mtype)
    }
}
