//! The names of the options.

use core::fmt;

/// An option, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionName {
    /// `create`: make the object if there is none.
    Create,
    /// `mode`: the permission bits of a new object.
    Mode,
    /// `capacity`: how much may wait in it. Pipes, FIFOs, System V message queues, the buffers of sockets, rings in shared
    /// memory and the bus count bytes; POSIX message queues count messages.
    Capacity,
    /// `budget`: how many bytes may wait where a send is never to wait for room.
    Budget,
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
    /// `history`: with how many earlier messages of each publisher a subscriber begins.
    History,
    /// `slow`: what becomes of a subscriber that is too slow.
    Slow,
    /// `retries`: how often a job is handed out before it is put aside.
    Retries,
    /// `visibility`: for how long a job may be worked on before somebody else may have it.
    Visibility,
    /// `framing`: how messages are told apart in a stream of bytes.
    Framing,
    /// `timeout`: how long to wait at most.
    Timeout,
}

impl OptionName {
    /// All options, in the order in which they print.
    pub const ALL: [Self; 16] = [
        Self::Create,
        Self::Mode,
        Self::Capacity,
        Self::Budget,
        Self::Size,
        Self::MessageSize,
        Self::Count,
        Self::Value,
        Self::Type,
        Self::Prio,
        Self::History,
        Self::Slow,
        Self::Retries,
        Self::Visibility,
        Self::Framing,
        Self::Timeout,
    ];

    /// The name, as it stands in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Mode => "mode",
            Self::Capacity => "capacity",
            Self::Budget => "budget",
            Self::Size => "size",
            Self::MessageSize => "message-size",
            Self::Count => "count",
            Self::Value => "value",
            Self::Type => "type",
            Self::Prio => "prio",
            Self::History => "history",
            Self::Slow => "slow",
            Self::Retries => "retries",
            Self::Visibility => "visibility",
            Self::Framing => "framing",
            Self::Timeout => "timeout",
        }
    }

    /// The option in a correct form, such as `mode=0600`.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Mode => "mode=0600",
            Self::Capacity => "capacity=64",
            Self::Budget => "budget=64M",
            Self::Size => "size=1M",
            Self::MessageSize => "message-size=8k",
            Self::Count => "count=4",
            Self::Value => "value=1",
            Self::Type => "type=10",
            Self::Prio => "prio=5",
            Self::History => "history=10",
            Self::Slow => "slow=drop-oldest",
            Self::Retries => "retries=5",
            Self::Visibility => "visibility=30s",
            Self::Framing => "framing=lines",
            Self::Timeout => "timeout=2s",
        }
    }

    /// What it does, in one line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Create => "make the object if there is none",
            Self::Mode => "permission bits of a new object, in octal",
            Self::Capacity => "how much may wait in it, in bytes or messages",
            Self::Budget => "never wait for room, and refuse what exceeds so many waiting bytes",
            Self::Size => "bytes of the memory or file, with k, M or G",
            Self::MessageSize => "most bytes of one message, with k, M or G",
            Self::Count => "semaphores of a new set",
            Self::Value => "initial value, or the value that goes with a signal",
            Self::Type => "type of messages to send or receive",
            Self::Prio => "priority of messages to send, 0 to 32767",
            Self::History => "how many earlier messages of each publisher to begin with",
            Self::Slow => {
                "what becomes of a subscriber that is too slow: block, drop-oldest, drop-newest or disconnect"
            }
            Self::Retries => {
                "how often a job is handed out before it is put aside; 0 for any number of times"
            }
            Self::Visibility => {
                "how long a job may be worked on before somebody else may have it, in ns, us, ms, s or m"
            }
            Self::Framing => {
                "how messages are told apart in a stream of bytes: frame, lines, nul, len or raw"
            }
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
