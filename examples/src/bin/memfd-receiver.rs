//! Sealed memory, the receiver, which the sender starts: `cargo build -p twixt-examples`, `target/debug/memfd-sender`.

use twixt::os::memfd::{Sealed, Seals};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let letter = Sealed::inherited(3, Seals::IMMUTABLE)?;
    let memory = letter.map()?;
    let mut text = vec![0; memory.len()];
    memory.read(0, &mut text)?;
    println!("Receiver: received {}", text.escape_ascii());
    Ok(())
}
