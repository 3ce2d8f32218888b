//! Reads the newest value, which stays when its writer has gone.
//!
//! ```text
//! cargo run -p twixt-examples --bin latest-sender NAME VALUE...
//! cargo run -p twixt-examples --bin latest-receiver [NAME]
//! ```

use std::env;

use twixt::address::BusName;
use twixt::bus::{LatestReader, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new(env::args().nth(1).unwrap_or_else(|| "speed".to_owned()))?;
    let mut reader = LatestReader::open(&name, &Options::new())?;
    let mut value = Vec::new();
    match reader.read(&mut value)? {
        Some(version) => println!("version {}: {}", version.number(), String::from_utf8_lossy(&value)),
        None => println!("nobody has written it yet"),
    }
    Ok(())
}
