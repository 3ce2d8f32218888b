//! Two eventfds, the receiver, which the sender starts: `cargo build -p twixt-examples`,
//! `target/debug/eventfd-sender`.

use twixt::os::eventfd::{EventFd, MAX};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ping, pong) = (EventFd::inherited(3)?, EventFd::inherited(4)?);
    loop {
        let number = ping.read()?;
        if number == MAX {
            return Ok(());
        }
        println!("Receiver: read {number}");
        pong.add(number)?;
    }
}
