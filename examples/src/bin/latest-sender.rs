//! Writes a value of which only the newest counts, and lets it stand. See `latest-receiver`.

use std::env;

use twixt::address::BusName;
use twixt::bus::{LatestWriter, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new(env::args().nth(1).unwrap_or_else(|| "speed".to_owned()))?;
    let mut writer = LatestWriter::open(&name, &Options::new().create(true))?;
    for value in env::args().skip(2) {
        let version = writer.write(value.as_bytes())?;
        println!("version {}: {value}", version.number());
    }
    Ok(())
}
