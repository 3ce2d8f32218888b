//! Sends three messages, an empty one among them. See `unix-seqpacket-server`, which must run already.

use std::env;

use twixt::os::unix::Seqpacket;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-seqpacket".to_owned());
    let server = Seqpacket::connect(&address.parse()?)?;
    for message in ["ping", "", "end"] {
        server.send(message.as_bytes())?;
        println!("sent: {message:?}");
    }
    Ok(())
}
