//! What goes along with a message, and which messages are wanted.

use std::os::fd::BorrowedFd;

pub use twixt_os::sysv::msg::Select;

/// What goes along with a message, where the mechanism has a place for it. What it has no place for is refused
/// ([`ErrorKind::Unsupported`](twixt_os::ErrorKind::Unsupported)) and never left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    pub(crate) message_type: Option<i64>,
    pub(crate) priority: Option<u32>,
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
}

impl<'a> Attributes<'a> {
    /// Nothing but the bytes; what the address says (`?type=`, `?prio=`) still holds.
    pub const NONE: Attributes<'static> = Attributes { message_type: None, priority: None, descriptors: &[] };

    /// Nothing yet.
    pub const fn new() -> Self {
        Self { message_type: None, priority: None, descriptors: &[] }
    }

    /// With a type, from 1 (System V message queues).
    #[must_use]
    pub const fn message_type(self, message_type: i64) -> Self {
        Self { message_type: Some(message_type), ..self }
    }

    /// With a priority, 0 to 32767, higher ones first (POSIX message queues).
    #[must_use]
    pub const fn priority(self, priority: u32) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// With open descriptors, of which the receiver gets copies (Unix sockets).
    #[must_use]
    pub const fn descriptors(self, descriptors: &'a [BorrowedFd<'a>]) -> Self {
        Self { descriptors, ..self }
    }

    /// Whether nothing goes along.
    pub const fn is_empty(&self) -> bool {
        self.message_type.is_none() && self.priority.is_none() && self.descriptors.is_empty()
    }
}
