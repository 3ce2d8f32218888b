//! Sends `ping` a number of times and then `end` through the FIFO that `fifo-receiver` has made:
//! `cargo run -p twixt-examples --bin fifo-sender [PATH [ROUNDS]]`.

use twixt::os::fifo::Fifo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/twixt-ping".to_owned());
    let rounds: u32 = std::env::args().nth(2).map_or(Ok(100), |rounds| rounds.parse())?;
    let writer = Fifo::open(path)?.open_write()?;
    for _ in 0..rounds {
        writer.write_atomic(b"ping")?;
        println!("Sender: sent ping");
    }
    writer.write_atomic(b"end")?;
    Ok(())
}
