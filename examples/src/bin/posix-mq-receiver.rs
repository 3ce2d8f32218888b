//! POSIX message queue, the receiver: the highest priority comes first. Start the sender, then this:
//! `cargo run -p twixt-examples --bin posix-mq-sender`, `cargo run -p twixt-examples --bin posix-mq-receiver`.
//!
//! Both take the queue's name as an argument, /twixt-posix-mq if there is none.

use twixt::os::posix::mq::{Access, Queue};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-mq".into());
    let queue = Queue::open(&name, Access::Read)?;
    let _removed_at_the_end = queue.unlink_on_drop()?;
    let mut buffer = vec![0; queue.message_size()];
    loop {
        let received = queue.receive(&mut buffer)?;
        let text = &buffer[..received.len];
        println!("Receiver: received {} with priority {}", text.escape_ascii(), received.priority);
        if text == b"end" {
            return Ok(());
        }
    }
}
