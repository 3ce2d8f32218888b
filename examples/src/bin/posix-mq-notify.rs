//! POSIX message queue, a receiver that is told when a message arrives. Start this, then the sender:
//! `cargo run -p twixt-examples --bin posix-mq-notify`, `cargo run -p twixt-examples --bin posix-mq-sender`.
//!
//! Both take the queue's name as an argument, /twixt-posix-mq if there is none.

use twixt::os::posix::mq::{Access, Limits, Queue};
use twixt::os::{ErrorKind, Mode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or("/twixt-posix-mq".into());
    let limits = Limits { max_messages: 8, message_size: 128 };
    let queue = Queue::create(&name, Access::Read, limits, Mode::OWNER)?;
    let _removed_at_the_end = queue.unlink_on_drop()?;
    let mut buffer = vec![0; queue.message_size()];
    loop {
        // Registered before the queue is emptied: no message comes between.
        let told = queue.notify_thread(|| println!("Thread: there is a message"))?;
        if take_all(&queue, &mut buffer)? {
            return Ok(());
        }
        println!("Receiver: free to do other things");
        told.join().expect("the thread only prints");
    }
}

/// Takes what is there; true once that was the end.
fn take_all(queue: &Queue, buffer: &mut [u8]) -> Result<bool, twixt::os::Error> {
    loop {
        match queue.try_receive(buffer) {
            Ok(received) if &buffer[..received.len] == b"end" => return Ok(true),
            Ok(received) => println!("Receiver: received {}", buffer[..received.len].escape_ascii()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
