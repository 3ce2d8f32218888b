//! System V shared memory guarded by System V semaphores, the receiver. Start it, then the sender, in two terminals:
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key: Key = std::env::args().nth(1).as_deref().unwrap_or("123456").parse()?;
    let soon = Deadline::after(Duration::from_secs(5));
    let turns = Set::open_or_create_with(key, &[1, 0], Mode::OWNER, soon)?.remove_on_drop();
    let segment = Segment::open_or_create(key, 4, Mode::OWNER)?.remove_on_drop();
    let memory = segment.attach(Access::ReadOnly)?;
    let mut word = [0; 4];
    loop {
        turns.acquire(FULL)?;
        memory.read(0, &mut word)?;
        println!("Receiver: read {}", word.escape_ascii());
        if &word == b"end " {
            return Ok(());
        }
        turns.release(EMPTY)?;
    }
}
