//! System V semaphores as ordering, the receiver: it consumes what the sender has produced. In two terminals:
//! `cargo run -p twixt-examples --bin sysv-sem-receiver`, `cargo run -p twixt-examples --bin sysv-sem-sender`.
//!
//! Both take the set's key as an argument, 123456 if there is none.

use std::time::Duration;

use twixt::os::sysv::Key;
use twixt::os::sysv::sem::{Order, Set};
use twixt::os::{Deadline, Mode};

const ROUNDS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key: Key = std::env::args().nth(1).as_deref().unwrap_or("123456").parse()?;
    let soon = Deadline::after(Duration::from_secs(5));
    let set = Set::open_or_create_with(key, &[0, 0], Mode::OWNER, soon)?.remove_on_drop();
    let (produced, consumed) = (Order::of(set.clone(), 0), Order::of(set.clone(), 1));
    for round in 1..=ROUNDS {
        produced.await_signal()?;
        println!("Receiver: consumed {round}");
        if round < ROUNDS {
            consumed.signal()?;
        }
    }
    Ok(())
}
