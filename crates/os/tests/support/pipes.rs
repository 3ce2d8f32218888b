//! What the tests of pipes, FIFOs and commands share.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod outcome;

use twixt_os::ErrorKind;
use twixt_os::pipe::Writer;

pub use outcome::{later, past, soon};

/// Writes until the pipe takes no more. Returns how many bytes went in.
pub fn fill(writer: &Writer) -> usize {
    let mut written = 0;
    loop {
        match writer.try_write(&[b'f'; 4096]) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return written;
            }
        }
    }
}
