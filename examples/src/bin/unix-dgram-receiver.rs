//! Receives Unix datagrams until one says `end`. Run it first, then `unix-dgram-sender`, as often as you like.
//!
//! ```text
//! cargo run -p twixt-examples --bin unix-dgram-receiver [@NAME]
//! cargo run -p twixt-examples --bin unix-dgram-sender [@NAME]
//! ```

use std::env;

use twixt::os::unix::Datagram;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-dgram".to_owned());
    let receiver = Datagram::bind(&address.parse()?)?;
    println!("receiving at {address}");
    let mut buffer = [0; 1024];
    loop {
        let len = receiver.receive(&mut buffer)?;
        let message = String::from_utf8_lossy(&buffer[..len]);
        println!("received: {message}");
        if message == "end" {
            return Ok(());
        }
    }
}
