//! A Unix seqpacket server: tells the messages of one client apart from each other and from its end. Run it first, then
//! `unix-seqpacket-client`.
//!
//! ```text
//! cargo run -p twixt-examples --bin unix-seqpacket-server [@NAME]
//! cargo run -p twixt-examples --bin unix-seqpacket-client [@NAME]
//! ```

use std::env;

use twixt::os::unix::SeqpacketListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-seqpacket".to_owned());
    let listener = SeqpacketListener::bind(&address.parse()?)?;
    println!("listening at {address}");
    let client = listener.accept()?;
    let mut buffer = [0; 1024];
    while let Some(len) = client.receive(&mut buffer)? {
        println!("received {len} bytes: {:?}", String::from_utf8_lossy(&buffer[..len]));
    }
    println!("the client has gone");
    Ok(())
}
