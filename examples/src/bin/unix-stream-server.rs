//! A Unix stream server: answers each line of one client in capitals. Run it first, then `unix-stream-client`.
//!
//! ```text
//! cargo run -p twixt-examples --bin unix-stream-server [@NAME]
//! cargo run -p twixt-examples --bin unix-stream-client [@NAME]
//! ```

use std::env;
use std::io::{BufRead, BufReader, Write};

use twixt::os::unix::StreamListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "@twixt-stream".to_owned());
    let listener = StreamListener::bind(&address.parse()?)?;
    println!("listening at {address}");
    let client = listener.accept()?;
    println!("user {} connected", client.peer_credentials()?.uid);
    for line in BufReader::new(&client).lines() {
        let line = line?;
        println!("received: {line}");
        writeln!(&client, "{}", line.to_uppercase())?;
    }
    Ok(())
}
