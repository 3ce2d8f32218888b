//! POSIX semaphores, the one who goes second: two semaphores make two processes take turns. In either order start
//! `cargo run -p twixt-examples --bin posix-sem-receiver` and `cargo run -p twixt-examples --bin posix-sem-sender`.
//!
//! Both take the beginning of the semaphores' names as an argument, /twixt-posix-sem if there is none.

use twixt::os::Mode;
use twixt::os::posix::sem::Semaphore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-sem".into());
    let ping = Semaphore::open_or_create(&format!("{name}-ping"), 0, Mode::OWNER)?;
    let pong = Semaphore::open_or_create(&format!("{name}-pong"), 0, Mode::OWNER)?;
    let _removed_at_the_end = (ping.unlink_on_drop()?, pong.unlink_on_drop()?);
    for turn in 1..=3 {
        ping.acquire()?;
        println!("Receiver: turn {turn}");
        pong.release()?;
    }
    Ok(())
}
