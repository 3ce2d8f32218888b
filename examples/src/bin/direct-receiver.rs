//! Receives from every process that names this one, and says who it was. Run it first; it says its number. Then run
//! `direct-sender` with that number.
//!
//! ```text
//! cargo run -p twixt-examples --bin direct-receiver
//! cargo run -p twixt-examples --bin direct-sender PID [MESSAGE]
//! ```

use twixt::channel::direct;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut inbox = direct::inbox()?;
    println!("I am process {}", std::process::id());
    loop {
        let message = inbox.receive()?;
        let sender = message.credentials().and_then(|sender| sender.pid).ok_or("nobody")?;
        println!("{sender} says: {}", String::from_utf8_lossy(message.bytes()));
        if message.bytes() == b"end" {
            return Ok(());
        }
        // An answer waits for the other, if that one has ended meanwhile it is told so.
        if let Err(error) =
            direct::send_to(sender.as_raw_nonzero().get()).and_then(|mut to| to.send(b"thank you"))
        {
            println!("{error}");
        }
    }
}
