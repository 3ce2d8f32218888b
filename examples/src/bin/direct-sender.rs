//! Sends to a process by its number, and receives the answer from that process alone. See `direct-receiver`.

use std::env;

use twixt::channel::direct;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let receiver = env::args().nth(1).ok_or("which process?")?.parse()?;
    let message = env::args().nth(2).unwrap_or_else(|| "ping".to_owned());
    direct::send_to(receiver)?.send(message.as_bytes())?;
    println!("sent: {message}");
    if message != "end" {
        let answer = direct::receive_from(receiver)?.receive()?;
        println!("{receiver} says: {}", String::from_utf8_lossy(answer.bytes()));
    }
    Ok(())
}
