//! A limit that stood in the way, with its value at that moment.

use core::fmt;
use std::fs;

use rustix::process::{Resource, getrlimit};

/// A limit of the system (a file under `/proc/sys`), of the user or of the process (an `RLIMIT_`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The sysctl's or rlimit's name: `kernel.msgmax`, `RLIMIT_MSGQUEUE`.
    pub name: &'static str,
    /// Its value now, in the unit of the limit; unknown if it could not be read.
    pub current: Option<u64>,
    /// The value that the operation would have needed, where that is known.
    pub needed: Option<u64>,
}

impl Limit {
    /// Reads a sysctl by its dotted name, from the file of that name below `/proc/sys`.
    ///
    /// The file may hold several numbers (`kernel.sem` has four); `field` counts from 0.
    pub fn sysctl(name: &'static str, field: usize) -> Self {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let current = fs::read_to_string(path)
            .ok()
            .and_then(|text| text.split_ascii_whitespace().nth(field)?.parse().ok());
        Self { name, current, needed: None }
    }

    /// Reads the soft limit of this process. An unlimited resource has no current value.
    pub fn rlimit(name: &'static str, resource: Resource) -> Self {
        Self { name, current: getrlimit(resource).current, needed: None }
    }

    /// How many descriptors this process may have open.
    pub(crate) fn descriptors() -> Self {
        Self::rlimit("RLIMIT_NOFILE", Resource::Nofile)
    }

    /// Says what the operation would have needed.
    #[must_use]
    pub fn needed(mut self, needed: u64) -> Self {
        self.needed = Some(needed);
        self
    }

    /// Whether the need is known to be above the limit.
    pub fn is_exceeded(&self) -> bool {
        matches!((self.current, self.needed), (Some(current), Some(needed)) if needed > current)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.current {
            Some(current) => write!(f, "{} is {current}", self.name)?,
            None => write!(f, "limited by {}", self.name)?,
        }
        match self.needed {
            Some(needed) => write!(f, ", {needed} is needed"),
            None => Ok(()),
        }
    }
}
