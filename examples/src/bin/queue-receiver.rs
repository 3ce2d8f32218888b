//! Takes jobs out of a queue, one at a time, until none is left. One that it has not acknowledged goes to another when it
//! dies.
//!
//! ```text
//! cargo run -p twixt-examples --bin queue-sender [NAME]
//! cargo run -p twixt-examples --bin queue-receiver [NAME]
//! ```

use std::env;

use twixt::address::BusName;
use twixt::bus::Options;
use twixt::bus::queue::Consumer;
use twixt::os::ErrorKind;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new(env::args().nth(1).unwrap_or_else(|| "jobs".to_owned()))?;
    let consumer = Consumer::open(&name, &Options::new())?;
    loop {
        match consumer.try_receive() {
            Ok(job) => {
                println!("done: {}", String::from_utf8_lossy(&job.to_vec()?));
                job.acknowledge()?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
