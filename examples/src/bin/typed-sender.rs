//! Sends jobs as values. See `typed-receiver`, which must run already. With a second argument it sends something else.

use std::env;

use serde::{Deserialize, Serialize};
use twixt::channel::typed::TypedSender;

#[derive(Serialize, Deserialize)]
struct Job {
    id: u64,
    command: Vec<String>,
    niceness: Option<i8>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "unix:@twixt-typed".to_owned()).parse()?;
    if env::args().nth(2).is_some() {
        TypedSender::<(u32, bool)>::open(&address)?.send(&(7, true))?;
        return Ok(());
    }
    let mut sender = TypedSender::open(&address)?;
    for id in 1..=3 {
        sender.send(&Job { id, command: vec!["sleep".into(), id.to_string()], niceness: Some(-1) })?;
        println!("sent job {id}");
    }
    Ok(())
}
