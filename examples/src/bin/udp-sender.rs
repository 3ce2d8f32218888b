//! Sends two UDP datagrams, and sends one again if its answer does not come. See `udp-receiver`, which must run already.

use std::env;
use std::time::Duration;

use twixt::os::net::udp::Connected;
use twixt::os::{Deadline, ErrorKind};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let receiver = Connected::to(env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7417".to_owned()))?;
    let mut buffer = [0; 1500];
    for message in ["ping", "end"] {
        let len = loop {
            receiver.send(message.as_bytes())?;
            match receiver.receive_deadline(&mut buffer, Deadline::after(Duration::from_secs(1))) {
                Err(error) if error.kind() == ErrorKind::TimedOut => println!("lost, once more"),
                answer => break answer?,
            }
        };
        println!("answer: {}", String::from_utf8_lossy(&buffer[..len]));
    }
    Ok(())
}
