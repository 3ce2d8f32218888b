//! Messages of which a test sees whether they are whole, and what else such tests share.

use std::time::Duration;

use twixt_os::{Deadline, ErrorKind, Wait};

/// A message that says whose it is, which, and how long; and whose every byte depends on that.
pub fn message(who: u32, number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len.max(16)];
    fill(&mut bytes, who, number);
    bytes
}

pub fn fill(bytes: &mut [u8], who: u32, number: u64) {
    let len = bytes.len();
    let mut word = seed(who, number, len);
    for chunk in bytes.chunks_mut(8) {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..12].copy_from_slice(&who.to_le_bytes());
    bytes[12..16].copy_from_slice(&(len as u32).to_le_bytes());
}

fn seed(who: u32, number: u64, len: usize) -> u64 {
    number ^ u64::from(who) << 48 ^ (len as u64) << 20
}

/// Whose it is and which, if it is whole.
pub fn read(bytes: &[u8]) -> (u32, u64) {
    assert!(bytes.len() >= 16, "a message of {} bytes", bytes.len());
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let who = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    assert!(bytes == message(who, number, bytes.len()), "torn: {who} {number} of {} bytes", bytes.len());
    (who, number)
}

pub fn in_ms(milliseconds: u64) -> Wait {
    Wait::until(Deadline::after(Duration::from_millis(milliseconds)))
}

pub fn kind<T>(outcome: twixt_os::Result<T>) -> ErrorKind {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

/// The names in a directory, in their order.
pub fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// xorshift: quick, and of no pattern that a ring would notice.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}
