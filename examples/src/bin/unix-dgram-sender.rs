//! Sends three Unix datagrams. See `unix-dgram-receiver`, which must run already.

use std::env;

use twixt::os::unix::Datagram;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-dgram".to_owned());
    let sender = Datagram::unbound()?;
    for message in ["ping", "ping again", "end"] {
        sender.send_to(message.as_bytes(), &address.parse()?)?;
        println!("sent: {message}");
    }
    Ok(())
}
