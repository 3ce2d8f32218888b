//! System V shared memory guarded by System V semaphores, the sender. Start the receiver, then this, in two terminals:
//! `cargo run -p twixt-examples --bin sysv-shm-receiver`, `cargo run -p twixt-examples --bin sysv-shm-sender`.
//!
//! Both take the key of segment and set as an argument, 123456 if there is none.

use std::time::Duration;

use twixt::os::sysv::Key;
use twixt::os::sysv::sem::Set;
use twixt::os::sysv::shm::{Access, Segment};
use twixt::os::{Deadline, Mode};

/// The segment may be written; the segment may be read.
const EMPTY: u16 = 0;
const FULL: u16 = 1;
const ROUNDS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key: Key = std::env::args().nth(1).as_deref().unwrap_or("123456").parse()?;
    let soon = Deadline::after(Duration::from_secs(5));
    let turns = Set::open_or_create_with(key, &[1, 0], Mode::OWNER, soon)?;
    let memory = Segment::open_or_create(key, 4, Mode::OWNER)?.attach(Access::ReadWrite)?;
    for round in 0..=ROUNDS {
        let word = if round < ROUNDS { b"ping" } else { b"end " };
        turns.acquire(EMPTY)?;
        memory.write(0, word)?;
        println!("Sender: wrote {}", word.escape_ascii());
        turns.release(FULL)?;
    }
    Ok(())
}
