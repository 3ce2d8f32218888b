//! The messages that are sent, and how it is seen that they arrived as they were.

use serde::{Deserialize, Serialize};

use crate::protocol::Abilities;

/// The bytes of a message, or what large ones are told by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    Bytes(Vec<u8>),
    /// So many bytes, all made from the first and the length.
    Large {
        len: usize,
        digest: u32,
    },
}

/// What is longer than this is told by its digest.
const LARGE: usize = 4096;

impl Body {
    /// The bytes of a received message.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() <= LARGE {
            Self::Bytes(bytes.to_vec())
        } else {
            Self::Large { len: bytes.len(), digest: crc32fast::hash(bytes) }
        }
    }

    /// So many bytes, none of which ends a line or a string.
    pub fn filler(len: usize) -> Self {
        Self::of(&filler(len))
    }

    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Large { len, .. } => *len,
        }
    }

    /// What is to be sent.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Large { len, .. } => filler(*len),
        }
    }
}

fn filler(len: usize) -> Vec<u8> {
    const LETTERS: &[u8; 61] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345678";
    let mut filler = LETTERS.repeat(len / LETTERS.len() + 1);
    filler.truncate(len);
    filler
}

/// Numbered messages of several senders are apart by this.
pub const LANE: u64 = 100_000_000;

/// How many lanes there are, what is sent beside the messages proper included.
pub const LANES: usize = 21;

/// Whose message it is.
pub fn lane(number: u64) -> usize {
    usize::try_from(number / LANE).map_or(LANES - 1, |lane| lane.min(LANES - 1))
}

/// The message at which a receiver stops. Numbers that add up may come on top of it, and never amount to it.
pub fn stop(can: &Abilities) -> u64 {
    if can.adds_up() { 1 << 60 } else { 1_999_999_999 }
}

/// Writes the message of a number: the number where only numbers go, otherwise the number and something of a length
/// that depends on it.
pub fn numbered(can: &Abilities, number: u64, into: &mut Vec<u8>) {
    use std::io::Write;
    into.clear();
    write!(into, "{number}").expect("memory");
    if can.number.is_none() {
        into.extend_from_slice(tail(can, number, into.len()));
    }
}

/// The number of a message, if it is one whole and unharmed.
pub fn number_of(can: &Abilities, bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let number = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    let expected: &[u8] = if can.number.is_some() { b"" } else { tail(can, number, digits) };
    (bytes[digits..] == *expected).then_some(number)
}

/// What follows the digits.
fn tail(can: &Abilities, number: u64, digits: usize) -> &'static [u8] {
    const TAIL: &[u8] =
        b" The quick brown fox jumps over the lazy dog, and the slow one sleeps, for nobody has told it of a";
    let room = can.max_message.unwrap_or(usize::MAX).saturating_sub(digits);
    &TAIL[..(number as usize % TAIL.len()).min(room)]
}
