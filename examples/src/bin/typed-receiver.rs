//! Receives jobs: values of a type that the sender has too. A sender of another type is told apart, by both types' names.
//! Run it first, then `typed-sender`.
//!
//! ```text
//! cargo run -p twixt-examples --bin typed-receiver [ADDRESS]
//! cargo run -p twixt-examples --bin typed-sender [ADDRESS]
//! ```

use std::env;

use serde::{Deserialize, Serialize};
use twixt::channel::typed::TypedReceiver;

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
    command: Vec<String>,
    niceness: Option<i8>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "unix:@twixt-typed".to_owned());
    let mut receiver = TypedReceiver::<Job>::open(&address.parse()?)?;
    println!("expecting {}", receiver.schema());
    for job in receiver.values() {
        match job {
            Ok(Job { id, command, niceness }) => println!("job {id}: {command:?}, niceness {niceness:?}"),
            Err(error) => println!("{error}"),
        }
    }
    println!("all senders have gone");
    Ok(())
}
