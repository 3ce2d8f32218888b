//! POSIX semaphores, the one who goes first: two semaphores make two processes take turns. In either order start
//! `cargo run -p twixt-examples --bin posix-sem-receiver` and `cargo run -p twixt-examples --bin posix-sem-sender`.
//!
//! Both take the beginning of the semaphores' names as an argument, /twixt-posix-sem if there is none.

use twixt::os::Mode;
use twixt::os::posix::sem::Semaphore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-sem".into());
    // Both begin at 0: nobody may go before the other says so.
    let ping = Semaphore::open_or_create(&format!("{name}-ping"), 0, Mode::OWNER)?;
    let pong = Semaphore::open_or_create(&format!("{name}-pong"), 0, Mode::OWNER)?;
    for turn in 1..=3 {
        println!("Sender: turn {turn}");
        ping.release()?;
        pong.acquire()?;
    }
    Ok(())
}
