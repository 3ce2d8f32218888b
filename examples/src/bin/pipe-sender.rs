//! Sends through an anonymous pipe to a program that it starts: `cargo build -p twixt-examples`, then
//! `cargo run -p twixt-examples --bin pipe-sender`, which runs `pipe-receiver` with the read end as descriptor 5.

use std::process::Command;

use twixt::os::inherit::PassDescriptors;
use twixt::os::pipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (reader, writer) = pipe::create()?;
    let mut receiver = Command::new(std::env::current_exe()?.with_file_name("pipe-receiver"));
    receiver.arg("5").pass_descriptors([(reader, 5)])?;
    let mut child = receiver.spawn()?;
    drop(receiver); // it holds the read end, which is the child's alone now

    writer.write_all(b"1233")?;
    println!("Sender: wrote 4 bytes");
    drop(writer);
    child.wait()?;
    Ok(())
}
