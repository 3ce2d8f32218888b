//! A message as what a channel carries: its bytes, or its number.

use std::io::Write;

use twixt_channel::Content as Carried;

use super::Kind;
use crate::{Incoming, Outgoing};

/// What a message is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// All of it.
    Bytes,
    /// A number of 64 bits, which must not be 0: one more than the message's.
    Counter,
    /// The lower 32 bits of the number, as an `int`.
    Value,
}

impl Content {
    pub(super) fn of(kind: &Kind) -> Self {
        match kind.can.content {
            Carried::Number { adds_up: true, .. } => Self::Counter,
            Carried::Number { .. } => Self::Value,
            _ => Self::Bytes,
        }
    }

    /// Writes a message where it is sent from.
    #[inline]
    pub(super) fn fill(self, message: &mut Outgoing, buffer: &mut Vec<u8>) {
        match self {
            Self::Bytes => message.fill(buffer),
            Self::Counter => put(message, buffer, message.number().wrapping_add(1)),
            // An `int` has its sign; the bits are what is meant.
            Self::Value => put(message, buffer, (message.number() as u32).cast_signed()),
        }
    }

    /// Reads a message that has come.
    #[inline]
    pub(super) fn check(self, incoming: &mut Incoming, bytes: &[u8]) {
        match self {
            Self::Bytes => incoming.check(bytes),
            // What is no number is none that was sent: 0 less 1, and a number that never comes.
            Self::Counter => incoming.check_number(number::<u64>(bytes).wrapping_sub(1), 64),
            Self::Value => incoming.check_number(u64::from(number::<i32>(bytes).cast_unsigned()), 32),
        }
    }
}

fn put(message: &mut Outgoing, buffer: &mut Vec<u8>, number: impl core::fmt::Display) {
    buffer.clear();
    let _ = write!(buffer, "{number}");
    // It has been written, though not as bytes.
    message.fill(&mut []);
}

fn number<T: core::str::FromStr + Default>(bytes: &[u8]) -> T {
    core::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
