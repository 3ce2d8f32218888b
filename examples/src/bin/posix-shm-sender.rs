//! POSIX shared memory, the sender: one line at a time, handed over by two semaphores in the memory itself. Start
//! `cargo run -p twixt-examples --bin posix-shm-sender`, then `cargo run -p twixt-examples --bin posix-shm-receiver`.
//!
//! Both take the memory's name as an argument, /twixt-posix-shm if there is none.

use std::sync::Arc;

use twixt::os::Mode;
use twixt::os::posix::sem::Semaphore;
use twixt::os::posix::shm::{Access, SharedMemory};

// Where things stand in the memory.
const FULL: usize = 0;
const EMPTY: usize = 64;
const LENGTH: usize = 128;
const TEXT: usize = 132;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-shm".into());
    let shared = SharedMemory::create_with(&name, 4096, Mode::OWNER, |memory| {
        Semaphore::initialise(memory.clone(), FULL, 0)?;
        Semaphore::initialise(memory, EMPTY, 1)?;
        Ok(())
    })?;
    let _removed_at_the_end = shared.unlink_on_drop()?;
    let memory = Arc::new(shared.map(Access::ReadWrite)?);
    let full = Semaphore::attach(memory.clone(), FULL)?;
    let empty = Semaphore::attach(memory.clone(), EMPTY)?;
    for text in ["ping", "pong", "end"] {
        empty.acquire()?;
        memory.write(TEXT, text.as_bytes())?;
        memory.write(LENGTH, &(text.len() as u32).to_ne_bytes())?;
        full.release()?;
        println!("Sender: wrote {text}");
    }
    // Taken by the receiver when it has read the last: only then may the name go.
    empty.acquire()?;
    Ok(())
}
