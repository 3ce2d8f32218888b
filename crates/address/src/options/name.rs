//! The names of the options.

use core::fmt;

/// An option, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionName {
    /// `create`: make the object if there is none.
    Create,
    /// `mode`: the permission bits of a new object.
    Mode,
    /// `capacity`: how much may wait in it. Pipes, FIFOs and System V message queues count bytes; POSIX message
    /// queues and the bus count messages.
    Capacity,
    /// `size`: the bytes of a memory or file.
    Size,
    /// `message-size`: the most bytes of one message.
    MessageSize,
    /// `count`: how many semaphores a new set has.
    Count,
    /// `value`: the initial value of a semaphore or counter, or the value that goes with a signal.
    Value,
    /// `type`: the type of System V messages.
    Type,
    /// `prio`: the priority of POSIX messages.
    Prio,
    /// `timeout`: how long to wait at most.
    Timeout,
}

impl OptionName {
    /// All options, in the order in which they print.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Mode,
        Self::Capacity,
        Self::Size,
        Self::MessageSize,
        Self::Count,
        Self::Value,
        Self::Type,
        Self::Prio,
        Self::Timeout,
    ];

    /// The name, as it stands in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Mode => "mode",
            Self::Capacity => "capacity",
            Self::Size => "size",
            Self::MessageSize => "message-size",
            Self::Count => "count",
            Self::Value => "value",
            Self::Type => "type",
            Self::Prio => "prio",
            Self::Timeout => "timeout",
        }
    }

    /// The option in a correct form, such as `mode=0600`.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Mode => "mode=0600",
            Self::Capacity => "capacity=64",
            Self::Size => "size=1M",
            Self::MessageSize => "message-size=8k",
            Self::Count => "count=4",
            Self::Value => "value=1",
            Self::Type => "type=10",
            Self::Prio => "prio=5",
            Self::Timeout => "timeout=2s",
        }
    }

    /// What it does, in one line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Create => "make the object if there is none",
            Self::Mode => "permission bits of a new object, in octal",
            Self::Capacity => "how much may wait in it, in bytes or messages",
            Self::Size => "bytes of the memory or file, with k, M or G",
            Self::MessageSize => "most bytes of one message, with k, M or G",
            Self::Count => "semaphores of a new set",
            Self::Value => "initial value, or the value that goes with a signal",
            Self::Type => "type of messages to send or receive",
            Self::Prio => "priority of messages to send, 0 to 32767",
            Self::Timeout => "longest wait, in ns, us, ms, s or m",
        }
    }

    /// The option of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|option| option.as_str() == name)
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
