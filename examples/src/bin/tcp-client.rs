//! A TCP client: says two lines and prints the answers. See `tcp-server`, which must run already.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use twixt::os::Deadline;
use twixt::os::net::tcp::Stream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7416".to_owned());
    let server = Stream::connect_deadline(address, Deadline::after(Duration::from_secs(10)))?;
    let mut answers = BufReader::new(&server).lines();
    for line in ["ping", "end"] {
        writeln!(&server, "{line}")?;
        println!("answer: {}", answers.next().ok_or("the server has gone")??);
    }
    Ok(())
}
