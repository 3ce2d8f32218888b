//! What somebody may need of a way to talk.

use core::fmt;
use core::str::FromStr;

use serde::{Serialize, Serializer};

/// Defines [`Need`] and what is known of each, once.
macro_rules! needs {
    ($($name:ident = $word:literal, $means:literal;)+) => {
        /// Something that not every way to talk has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Need {
            $(#[doc = $means] $name,)+
        }

        impl Need {
            const ALL: &[Self] = &[$(Self::$name),+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What it means.
            pub const fn means(self) -> &'static str {
                match self { $(Self::$name => $means),+ }
            }
        }
    };
}

needs! {
    Boundaries = "boundaries", "messages stay messages without a framing";
    AnyLength = "any-length", "no message is too long";
    Bytes = "bytes", "a message is any bytes";
    EmptyMessages = "empty-messages", "a message may have no bytes";
    BothWays = "both-ways", "one connection carries both ways";
    Priority = "priority", "higher priorities are received first";
    Types = "types", "a receiver chooses by types";
    FdPassing = "fd-passing", "descriptors go with messages";
    Credentials = "credentials", "the kernel says who sent";
    Persistence = "persistence", "messages outlive the processes";
    ManySenders = "many-senders", "many send to one object";
    ManyReceivers = "many-receivers", "many receive from one object, each message reaching one";
    FanOut = "fan-out", "each message reaches all who receive";
    Reliable = "reliable", "what was accepted arrives, in order";
    CrashSafe = "crash-safe", "whoever is killed, the others can go on";
    SeesEnd = "sees-end", "one side learns that the other has gone";
    Pollable = "pollable", "there is a descriptor to poll";
    Network = "network", "it reaches other machines";
}

impl Need {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Need {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::all().find(|need| need.as_str() == word).ok_or_else(|| {
            let words: Vec<&str> = Self::all().map(Self::as_str).collect();
            format!("{word:?} is none of {}", words.join(", "))
        })
    }
}

impl Serialize for Need {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
