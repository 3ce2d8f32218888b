//! A mapped file shared under a lock, the sender. Start both in two terminals, in any order:
//! `cargo run -p twixt-examples --bin mmap-receiver`, `cargo run -p twixt-examples --bin mmap-sender`.
//!
//! Both take the file's path as an argument, /tmp/twixt-mmap if there is none.

use std::sync::atomic::Ordering::Relaxed;
use std::{thread, time::Duration};

use twixt::os::lock::{File, Kind};
use twixt::os::mmap::MappedFile;

const ROUNDS: usize = 100;
/// Whose turn it is stands in the first word of the file, the text from byte 8 on.
const SENDER: u32 = 0;
const RECEIVER: u32 = 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/twixt-mmap".into());
    let memory = MappedFile::open_or_create(&path, 4096)?;
    let mut file = File::open(&path)?;
    let mut sent = 0;
    while sent <= ROUNDS {
        let lock = file.lock(Kind::Exclusive)?;
        if memory.load_u32(0, Relaxed)? == SENDER {
            memory.write(8, if sent < ROUNDS { b"ping" } else { b"end\0" })?;
            memory.atomic_u32(0)?.store(RECEIVER, Relaxed);
            println!("Sender: sent {}", if sent < ROUNDS { "ping" } else { "end" });
            sent += 1;
        }
        lock.unlock()?;
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}
