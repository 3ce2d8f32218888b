//! Publishes to a topic: every `topic-receiver` that is there gets it. See there.

use std::env;

use twixt::address::BusName;
use twixt::bus::{Options, Publisher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new(env::args().nth(1).unwrap_or_else(|| "prices".to_owned()))?;
    let message = env::args().nth(2).unwrap_or_else(|| "17.25".to_owned());
    let publisher = Publisher::open(&name, &Options::new().create(true))?;
    publisher.publish(message.as_bytes())?;
    println!("published to {} subscribers: {message}", publisher.subscribers()?);
    Ok(())
}
