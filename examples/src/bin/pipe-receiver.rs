//! Receives through the pipe whose read end it was started with, under the number that its argument names:
//! `pipe-sender` starts it.

use twixt::os::pipe::Reader;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = std::env::args().nth(1).ok_or("usage: pipe-receiver DESCRIPTOR")?.parse()?;
    let reader = Reader::inherited(number)?;
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            read => println!("Receiver: read {read} bytes: {}", buffer[..read].escape_ascii()),
        }
    }
    println!("Receiver: every writer has gone");
    Ok(())
}
