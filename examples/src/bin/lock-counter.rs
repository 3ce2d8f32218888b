//! One counter in a file, counted up by several processes under a lock. Start it in as many terminals as you like:
//! `cargo run -p twixt-examples --bin lock-counter`.
//!
//! It takes the file's path as an argument, /tmp/twixt-counter if there is none, and leaves the file.

use twixt::os::lock::{File, Kind};

const ROUNDS: usize = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/twixt-counter".into());
    let mut file = File::open_or_create(&path)?;
    let mut number = 0;
    for _ in 0..ROUNDS {
        let lock = file.lock(Kind::Exclusive)?;
        number = std::fs::read_to_string(&path)?.trim().parse().unwrap_or(0u64) + 1;
        std::fs::write(&path, format!("{number}\n"))?;
        lock.unlock()?;
    }
    println!("counted to {number}");
    Ok(())
}
