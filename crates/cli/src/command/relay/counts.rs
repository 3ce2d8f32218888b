//! What was moved.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use twixt::address::Address;

use crate::progress;

/// What was moved between two addresses; printed as it is told to the user.
#[derive(Debug)]
pub struct Counts {
    from: String,
    to: String,
    pub forth: Way,
    pub back: Way,
    goes_back: bool,
}

/// What was moved in one direction. Written by one thread.
#[derive(Debug, Default)]
pub struct Way {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    pub fn new(from: &Address, to: &Address, goes_back: bool) -> Self {
        let (from, to) = (from.endpoint().to_string(), to.endpoint().to_string());
        Self { from, to, forth: Way::default(), back: Way::default(), goes_back }
    }
}

impl Way {
    /// So many more; no messages where there is nothing that tells them apart.
    pub fn add(&self, messages: u64, bytes: u64) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Messages and bytes until now.
    pub fn get(&self) -> (u64, u64) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (messages, bytes) = self.get();
        match messages {
            0 => {}
            1 => f.write_str("1 message, ")?,
            _ => write!(f, "{messages} messages, ")?,
        }
        f.write_str(&progress::size(bytes))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, forth, back, .. } = self;
        write!(f, "{from} to {to}: {forth}")?;
        if self.goes_back { write!(f, "; back: {back}") } else { Ok(()) }
    }
}
