//! Reads what a command writes: `cargo run -p twixt-examples --bin popen-reader ["uname -a"]`.

use std::io::Read;

use twixt::os::popen::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = std::env::args().nth(1).unwrap_or_else(|| "uname -a".to_owned());
    let mut command = Command::shell(line).read()?;
    let mut output = String::new();
    command.read_to_string(&mut output)?;
    println!("output was:-\n{output}");
    println!("{}", command.close()?);
    Ok(())
}
