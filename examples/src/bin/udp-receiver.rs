//! Receives UDP datagrams, and answers them, until one says `end`. Run it first, then `udp-sender`.
//!
//! ```text
//! cargo run -p twixt-examples --bin udp-receiver [HOST:PORT]
//! cargo run -p twixt-examples --bin udp-sender [HOST:PORT]
//! ```

use std::env;

use twixt::os::net::udp::Socket;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let receiver = Socket::bind(env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7417".to_owned()))?;
    println!("receiving at {}", receiver.local_address()?);
    let mut buffer = [0; 1500];
    loop {
        let (len, from) = receiver.receive_from(&mut buffer)?;
        println!("received: {}", String::from_utf8_lossy(&buffer[..len]));
        receiver.send_to(&buffer[..len].to_ascii_uppercase(), from)?;
        if &buffer[..len] == b"end" {
            return Ok(());
        }
    }
}
