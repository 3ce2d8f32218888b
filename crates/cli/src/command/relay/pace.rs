//! No faster than the user wants it.

use std::time::{Duration, Instant};

use crate::args::Limit;
use crate::interrupt::Interrupt;

/// Keeps to a limit of messages or bytes.
#[derive(Clone, Debug)]
pub struct Pace {
    messages: Option<crate::pace::Pace>,
    /// Bytes per second.
    bytes: Option<u64>,
    /// When the bytes that were moved are paid off.
    paid: Instant,
}

impl Pace {
    pub fn new(limit: Option<Limit>) -> Self {
        let (messages, bytes) = match limit {
            None => (None, None),
            Some(Limit::Messages(rate)) => (Some(crate::pace::Pace::new(rate)), None),
            Some(Limit::Bytes(bytes)) => (None, Some(bytes)),
        };
        Self { messages, bytes, paid: Instant::now() }
    }

    /// The most bytes to move at once: a tenth of a second's.
    pub fn most(&self, otherwise: usize) -> usize {
        let tenth = self.bytes.map(|bytes| usize::try_from(bytes / 10).unwrap_or(usize::MAX));
        tenth.map_or(otherwise, |tenth| tenth.clamp(1, otherwise))
    }

    /// Waits until more may be moved; `false` if there was a reason not to.
    pub fn wait(&mut self, interrupt: &Interrupt) -> bool {
        match &mut self.messages {
            Some(pace) => pace.wait(interrupt),
            None => self.bytes.is_none() || interrupt.sleep_until(self.paid.into()),
        }
    }

    /// So many bytes were moved.
    pub fn moved(&mut self, bytes: usize) {
        if let Some(rate) = self.bytes {
            let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
            self.paid = self.paid.max(Instant::now()) + cost;
        }
    }
}
