//! Joins two programs by a pipe, as the shell does for `ls / | tr a-z A-Z`:
//! `cargo run -p twixt-examples --bin pipeline [DIRECTORY]`.

use std::process::Command;

use twixt::os::pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "/".to_owned());
    let (reader, writer) = pipe::create()?;
    // Each end goes to its child and closes here when the statement ends; the children get no other copy.
    let mut list = Command::new("ls").arg(directory).stdout(writer).spawn()?;
    let mut upper = Command::new("tr").args(["a-z", "A-Z"]).stdin(reader).spawn()?;
    let (listed, shouted) = (list.wait()?, upper.wait()?);
    println!("ls: {listed}, tr: {shouted}");
    Ok(())
}
