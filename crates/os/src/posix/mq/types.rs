//! What a queue is made with, and what it tells.

use core::fmt;

use rustix::fs::OFlags;
use twixt_sys::mq as sys;

use crate::{Error, ErrorKind, Mechanism, Object, Result};

/// What a queue is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `O_RDONLY`: receiving, and being notified.
    #[doc(alias = "O_RDONLY")]
    Read,
    /// `O_WRONLY`: sending.
    #[doc(alias = "O_WRONLY")]
    Write,
    /// `O_RDWR`
    #[doc(alias = "O_RDWR")]
    ReadWrite,
}

impl Access {
    pub(super) fn to_flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::Write => OFlags::WRONLY,
            Self::ReadWrite => OFlags::RDWR,
        }
    }

    pub(super) fn of_flags(flags: OFlags) -> Self {
        match flags & OFlags::RWMODE {
            OFlags::WRONLY => Self::Write,
            OFlags::RDWR => Self::ReadWrite,
            _ => Self::Read,
        }
    }
}

/// How much a queue holds, fixed when it is created.
///
/// [`Limits::kernel_bytes`] says what that counts against `RLIMIT_MSGQUEUE` (819200 bytes by default). With
/// `CAP_SYS_RESOURCE` the `fs.mqueue` limits do not count: 65536 messages of 16 MiB are the most then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "mq_attr")]
pub struct Limits {
    /// How many messages it holds before senders wait: 1 to `fs.mqueue.msg_max` (10 by default).
    #[doc(alias = "mq_maxmsg")]
    pub max_messages: usize,
    /// The most bytes in one message: 1 to `fs.mqueue.msgsize_max` (8192 by default).
    #[doc(alias = "mq_msgsize")]
    pub message_size: usize,
}

/// What the kernel charges for each message that a queue may hold, beside its bytes: a `struct msg_msg` and, for each
/// of the priorities it may have, a `struct posix_msg_tree_node`, both 48 bytes on 64-bit machines.
const MESSAGE_OVERHEAD: u64 = 48;
const PRIORITY_OVERHEAD: u64 = 48;

impl Limits {
    /// What a queue with these limits counts against the user's `RLIMIT_MSGQUEUE` from its creation on, full or empty:
    /// the formula of `getrlimit(2)`.
    ///
    /// ```
    /// use twixt_os::posix::mq::Limits;
    /// assert_eq!(Limits { max_messages: 10, message_size: 8192 }.kernel_bytes(), 82_880);
    /// ```
    #[doc(alias = "RLIMIT_MSGQUEUE")]
    pub fn kernel_bytes(self) -> u64 {
        let (messages, size) = (self.max_messages as u64, self.message_size as u64);
        let priorities = messages.min(u64::from(Priority::HIGHEST.get()) + 1);
        messages
            .saturating_mul(size.saturating_add(MESSAGE_OVERHEAD))
            .saturating_add(priorities.saturating_mul(PRIORITY_OVERHEAD))
    }

    /// As `long`s. What does not fit is beyond every limit as it is.
    pub(super) fn to_raw(self) -> (i64, i64) {
        let raw = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        (raw(self.max_messages), raw(self.message_size))
    }
}

/// What `mq_getattr(3)` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How much the queue holds.
    pub limits: Limits,
    /// How many messages it holds now.
    #[doc(alias = "mq_curmsgs")]
    pub messages: usize,
    /// Whether the descriptor has `O_NONBLOCK`, by which C programs do not wait.
    #[doc(alias = "mq_flags")]
    pub nonblocking: bool,
}

impl From<sys::Attributes> for Status {
    fn from(attributes: sys::Attributes) -> Self {
        let count = |raw: i64| usize::try_from(raw).unwrap_or(0);
        Self {
            limits: Limits {
                max_messages: count(attributes.max_messages),
                message_size: count(attributes.message_size),
            },
            messages: count(attributes.messages),
            nonblocking: attributes.flags.contains(OFlags::NONBLOCK),
        }
    }
}

/// A message that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length in bytes, from the start of the buffer on. A message may be empty.
    pub len: usize,
    /// The priority it was sent with.
    pub priority: Priority,
}

/// The priority of a message: 0 to 32767, the highest received first.
///
/// ```
/// use twixt_os::posix::mq::Priority;
/// assert!(Priority::new(1).unwrap() > Priority::LOWEST);
/// assert!(Priority::new(32_768).is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "MQ_PRIO_MAX")]
pub struct Priority(u32);

impl Priority {
    /// 0, the default.
    pub const LOWEST: Self = Self(0);
    /// 32767, one below `MQ_PRIO_MAX`.
    pub const HIGHEST: Self = Self(32_767);

    /// A priority, if it is one: 0 to 32767.
    pub const fn new(priority: u32) -> Option<Self> {
        if priority <= Self::HIGHEST.0 { Some(Self(priority)) } else { None }
    }

    /// What the kernel reports, whatever that may be in time to come.
    pub(super) fn from_kernel(priority: u32) -> Self {
        Self(priority.min(Self::HIGHEST.0))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// [`OutOfRange`](ErrorKind::OutOfRange) above 32767, where the kernel would say `EINVAL`.
impl TryFrom<u32> for Priority {
    type Error = Error;

    fn try_from(priority: u32) -> Result<Self> {
        Self::new(priority).ok_or_else(|| {
            let why = format!("priority {priority} is not one of 0 to 32767");
            Error::refused(Mechanism::PosixMq, "send to", Object::Unnamed, ErrorKind::OutOfRange, why)
        })
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
