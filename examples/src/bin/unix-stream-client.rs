//! A Unix stream client: says two lines and prints the answers. See `unix-stream-server`, which must run already.

use std::env;
use std::io::{BufRead, BufReader, Write};

use twixt::os::unix::Stream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-stream".to_owned());
    let server = Stream::connect(&address.parse()?)?;
    let mut answers = BufReader::new(&server).lines();
    for line in ["ping", "end"] {
        writeln!(&server, "{line}")?;
        println!("answer: {}", answers.next().ok_or("the server has gone")??);
    }
    Ok(())
}
