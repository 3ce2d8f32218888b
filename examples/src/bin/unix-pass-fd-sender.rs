//! Passes one end of a pipe and prints what comes out of the other. See `unix-pass-fd-receiver`, which must run already.

use std::env;
use std::io::{pipe, read_to_string};
use std::os::fd::AsFd;

use twixt::os::unix::{Attachments, Stream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-pass-fd".to_owned());
    let receiver = Stream::connect(&address.parse()?)?;
    let (reader, writer) = pipe()?;
    receiver.send_with(b"!", &Attachments::descriptors(&[writer.as_fd()]))?;
    // The receiver has a copy; with this one open the pipe would never end.
    drop(writer);
    print!("from the pipe: {}", read_to_string(reader)?);
    Ok(())
}
