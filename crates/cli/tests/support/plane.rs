//! What the tests of `send` and `recv` share: queues, what is in them, and standard input that has something.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;
use std::process::Command;

use twixt::address::Address;
use twixt::channel::{Message, Receiver, Sender};
use twixt_testkit::{Defer, unique_key, unique_name};

use crate::tool::{Ended, end, remove_at_end, run, twixt};

/// A POSIX queue of the test's own.
pub fn posix_queue(capacity: usize, size: usize) -> (String, Defer<impl FnOnce()>) {
    let address = format!("posix-mq:/{}", unique_name());
    run(&format!("mk {address} --capacity {capacity} --message-size {size}")).well();
    let remove = remove_at_end(&address);
    (address, remove)
}

/// A System V queue of the test's own.
pub fn sysv_queue() -> (String, Defer<impl FnOnce()>) {
    let address = format!("sysv-msg:{:#x}", unique_key());
    run(&format!("mk {address}")).well();
    let remove = remove_at_end(&address);
    (address, remove)
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// What is in a queue, as text; afterwards nothing is.
pub fn drain(queue: &str) -> Vec<String> {
    let mut receiver = Receiver::open(&address(queue)).unwrap();
    let messages = std::iter::from_fn(|| receiver.try_receive().ok());
    messages.map(|message| String::from_utf8(message.into_bytes()).unwrap()).collect()
}

/// The next message that is there.
pub fn next(queue: &str) -> Message {
    Receiver::open(&address(queue)).unwrap().try_receive().unwrap()
}

/// Puts messages into a queue.
pub fn fill<M: AsRef<[u8]>>(queue: &str, messages: impl IntoIterator<Item = M>) {
    let mut sender = Sender::open(&address(queue)).unwrap();
    for message in messages {
        sender.try_send(message.as_ref()).unwrap();
    }
}

/// Runs it with this on its standard input, through a pipe.
pub fn piped<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>, stdin: &[u8]) -> Ended {
    piped_command(twixt(arguments), stdin)
}

pub fn piped_command(mut command: Command, stdin: &[u8]) -> Ended {
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    std::thread::scope(|scope| {
        // A command that does not want all of it closes its end.
        scope.spawn(move || drop(writer.write_all(stdin)));
        end(command)
    })
}
