//! Receives an open descriptor and writes through it. Run it first, then `unix-pass-fd-sender`.
//!
//! ```text
//! cargo run -p twixt-examples --bin unix-pass-fd-receiver [@NAME]
//! cargo run -p twixt-examples --bin unix-pass-fd-sender [@NAME]
//! ```

use std::env;
use std::fs::File;
use std::io::Write;

use twixt::os::unix::StreamListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-pass-fd".to_owned());
    let listener = StreamListener::bind(&address.parse()?)?;
    println!("listening at {address}");
    let mut received = listener.accept()?.receive_with(&mut [0; 1])?;
    let descriptor = received.descriptors.pop().ok_or("no descriptor came")?;
    File::from(descriptor).write_all(b"written by the receiver\n")?;
    println!("written through the descriptor");
    Ok(())
}
