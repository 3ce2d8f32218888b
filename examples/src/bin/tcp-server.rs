//! A TCP server: answers each line of one client in capitals. Run it first, then `tcp-client`.
//!
//! ```text
//! cargo run -p twixt-examples --bin tcp-server [HOST:PORT]
//! cargo run -p twixt-examples --bin tcp-client [HOST:PORT]
//! ```

use std::env;
use std::io::{BufRead, BufReader, Write};

use twixt::os::net::tcp::Listener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = Listener::bind(env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7416".to_owned()))?;
    println!("listening at {}", listener.local_address()?);
    let client = listener.accept()?;
    for line in BufReader::new(&client).lines() {
        let line = line?;
        println!("received: {line}");
        writeln!(&client, "{}", line.to_uppercase())?;
    }
    Ok(())
}
