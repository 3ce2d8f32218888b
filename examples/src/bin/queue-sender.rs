//! Puts jobs into a queue, where they wait until a `queue-receiver` has done them. See there.

use std::env;

use twixt::address::BusName;
use twixt::bus::Options;
use twixt::bus::queue::Producer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new(env::args().nth(1).unwrap_or_else(|| "jobs".to_owned()))?;
    let producer = Producer::open(&name, &Options::new().create(true))?;
    for number in 1..=3 {
        producer.send(format!("job {number}").as_bytes())?;
    }
    println!("three jobs wait in {name}");
    Ok(())
}
