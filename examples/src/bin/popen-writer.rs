//! Writes what a command reads: `cargo run -p twixt-examples --bin popen-writer ["od -c"]`.

use std::io::Write;

use twixt::os::popen::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = std::env::args().nth(1).unwrap_or_else(|| "od -c".to_owned());
    let mut command = Command::shell(line).write()?;
    command.write_all(b"Once upon a time, there was ...\n")?;
    // Waits for it, so that its output comes before ours.
    println!("{}", command.close()?);
    Ok(())
}
