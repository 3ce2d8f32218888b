//! Subscribes to a topic, and prints what is published until the last publisher has left. Run it first, several times if you
//! like.
//!
//! ```text
//! cargo run -p twixt-examples --bin topic-receiver [NAME]
//! cargo run -p twixt-examples --bin topic-sender [NAME [MESSAGE]]
//! ```

use std::env;

use twixt::address::BusName;
use twixt::bus::{Options, Subscriber};
use twixt::os::ErrorKind;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = BusName::new(env::args().nth(1).unwrap_or_else(|| "prices".to_owned()))?;
    let mut subscriber = Subscriber::open(&name, &Options::new().create(true))?;
    println!("subscribed to {name}");
    loop {
        match subscriber.receive() {
            Ok(message) => println!("received: {}", String::from_utf8_lossy(&message.to_vec()?)),
            Err(error) if error.kind() == ErrorKind::PeerGone => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
