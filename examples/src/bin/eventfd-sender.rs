//! Two eventfds, the sender. It starts the receiver and gives it one as descriptor 3 and the other as descriptor 4:
//! `cargo build -p twixt-examples`, `target/debug/eventfd-sender`.

use std::os::fd::AsFd;
use std::process::Command;

use twixt::os::eventfd::EventFd;
use twixt::os::inherit::PassDescriptors;

const ROUNDS: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ping, pong) = (EventFd::create(0)?, EventFd::create(0)?);
    let copy = |eventfd: &EventFd| eventfd.as_fd().try_clone_to_owned();
    let mut receiver = Command::new(std::env::current_exe()?.with_file_name("eventfd-receiver"));
    let mut receiver = receiver.pass_descriptors([(copy(&ping)?, 3), (copy(&pong)?, 4)])?.spawn()?;
    for round in 1..=ROUNDS {
        ping.add(round)?;
        println!("Sender: added {round}");
        let back = pong.read()?;
        println!("Sender: read {back}");
    }
    // The largest number stands for the end.
    ping.add(twixt::os::eventfd::MAX)?;
    let status = receiver.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the receiver ended with {status}").into()) }
}
