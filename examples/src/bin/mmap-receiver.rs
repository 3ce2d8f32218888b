//! A mapped file shared under a lock, the receiver. Start both in two terminals, in any order:
//! `cargo run -p twixt-examples --bin mmap-receiver`, `cargo run -p twixt-examples --bin mmap-sender`.
//!
//! Both take the file's path as an argument, /tmp/twixt-mmap if there is none. The receiver removes the file.

use std::sync::atomic::Ordering::Relaxed;
use std::{thread, time::Duration};

use twixt::os::lock::{File, Kind};
use twixt::os::mmap::MappedFile;

/// Whose turn it is stands in the first word of the file, the text from byte 8 on.
const SENDER: u32 = 0;
const RECEIVER: u32 = 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/twixt-mmap".into());
    let memory = MappedFile::open_or_create(&path, 4096)?;
    let mut file = File::open(&path)?;
    loop {
        let lock = file.lock(Kind::Exclusive)?;
        if memory.load_u32(0, Relaxed)? == RECEIVER {
            let mut text = [0; 4];
            memory.read(8, &mut text)?;
            if &text == b"end\0" {
                std::fs::remove_file(&path)?;
                return Ok(());
            }
            println!("Receiver: received {}", text.escape_ascii());
            memory.atomic_u32(0)?.store(SENDER, Relaxed);
        }
        lock.unlock()?;
        thread::sleep(Duration::from_micros(100));
    }
}
