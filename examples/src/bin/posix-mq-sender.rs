//! POSIX message queue, the sender: messages with priorities. Start this, then the receiver:
//! `cargo run -p twixt-examples --bin posix-mq-sender`, `cargo run -p twixt-examples --bin posix-mq-receiver`.
//!
//! Both take the queue's name as an argument, /twixt-posix-mq if there is none.

use twixt::os::Mode;
use twixt::os::posix::mq::{Access, Limits, Priority, Queue};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-mq".into());
    let limits = Limits { max_messages: 8, message_size: 128 };
    let queue = Queue::open_or_create(&name, Access::Write, limits, Mode::OWNER)?;
    // Sent in this order, received by priority.
    for (text, priority) in [("routine", 1), ("urgent", 9), ("routine too", 1), ("end", 0)] {
        queue.send(text.as_bytes(), Priority::try_from(priority)?)?;
        println!("Sender: sent {text} with priority {priority}");
    }
    Ok(())
}
