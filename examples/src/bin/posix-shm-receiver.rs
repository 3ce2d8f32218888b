//! POSIX shared memory, the receiver: one line at a time, handed over by two semaphores in the memory itself. Start
//! `cargo run -p twixt-examples --bin posix-shm-sender`, then `cargo run -p twixt-examples --bin posix-shm-receiver`.
//!
//! Both take the memory's name as an argument, /twixt-posix-shm if there is none.

use std::sync::Arc;

use twixt::os::posix::sem::Semaphore;
use twixt::os::posix::shm::{Access, SharedMemory};

// Where things stand in the memory.
const FULL: usize = 0;
const EMPTY: usize = 64;
const LENGTH: usize = 128;
const TEXT: usize = 132;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-shm".into());
    let memory = Arc::new(SharedMemory::open(&name, Access::ReadWrite)?.map(Access::ReadWrite)?);
    let full = Semaphore::attach(memory.clone(), FULL)?;
    let empty = Semaphore::attach(memory.clone(), EMPTY)?;
    loop {
        full.acquire()?;
        let mut length = [0; 4];
        memory.read(LENGTH, &mut length)?;
        // Another process wrote the length: what does not fit is an error of the read, but is not asked for here.
        let mut text = vec![0; (u32::from_ne_bytes(length) as usize).min(memory.len())];
        memory.read(TEXT, &mut text)?;
        empty.release()?;
        println!("Receiver: read {}", text.escape_ascii());
        if text == b"end" {
            return Ok(());
        }
    }
}
