//! Sealed memory, the sender. It starts the receiver and gives it the memory as descriptor 3:
//! `cargo build -p twixt-examples`, `target/debug/memfd-sender`.

use std::process::Command;

use twixt::os::inherit::PassDescriptors;
use twixt::os::memfd::{Memfd, Seals};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let memfd = Memfd::create("letter")?;
    memfd.write_at(0, b"Nobody can change this any more, not even the sender.")?;
    let sealed = memfd.seal(Seals::IMMUTABLE)?;
    println!("Sender: sent {} bytes", sealed.len());
    let mut receiver = Command::new(std::env::current_exe()?.with_file_name("memfd-receiver"));
    let status = receiver.pass_descriptors([(sealed, 3)])?.status()?;
    if status.success() { Ok(()) } else { Err(format!("the receiver ended with {status}").into()) }
}
