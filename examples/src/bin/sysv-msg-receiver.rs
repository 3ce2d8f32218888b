//! System V message queue, the receiver. Start it, then the sender, in two terminals:
//! `cargo run -p twixt-examples --bin sysv-msg-receiver`, `cargo run -p twixt-examples --bin sysv-msg-sender`.
//!
//! Both take the queue's key as an argument, 123456 if there is none.

use twixt::os::Mode;
use twixt::os::sysv::Key;
use twixt::os::sysv::msg::{Message, Queue, Select, Type};

const PING: Type = Type::new(10).unwrap();
const PONG: Type = Type::new(11).unwrap();

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key: Key = std::env::args().nth(1).as_deref().unwrap_or("123456").parse()?;
    let queue = Queue::open_or_create(key, Mode::OWNER)?.remove_on_drop();
    let mut message = Message::with_capacity(64);
    loop {
        queue.receive(Select::Exactly(PING), &mut message)?;
        if message.bytes() == b"end" {
            return Ok(());
        }
        println!("Receiver: received {}", message.bytes().escape_ascii());
        queue.send(PONG, b"pong")?;
        println!("Receiver: sent pong");
    }
}
