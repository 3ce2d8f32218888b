//! Makes a FIFO and receives `ping` from it until `end` comes. In one terminal
//! `cargo run -p twixt-examples --bin fifo-receiver [PATH]`, in another `cargo run -p twixt-examples --bin fifo-sender [PATH]`.

use std::io::Read;

use twixt::os::{Mode, fifo::Fifo};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/twixt-ping".to_owned());
    let fifo = Fifo::open_or_create(path, Mode::OWNER)?;
    let _guard = fifo.unlink_on_drop()?;
    let mut reader = fifo.open_read()?;
    let mut message = [0; 4];
    loop {
        // A stream has no boundaries, so both sides know the lengths: four bytes, or `end` at the end.
        reader.read_exact(&mut message[..3])?;
        if &message[..3] == b"end" {
            println!("Receiver: received end");
            return Ok(());
        }
        reader.read_exact(&mut message[3..])?;
        println!("Receiver: received {}", message.escape_ascii());
    }
}
