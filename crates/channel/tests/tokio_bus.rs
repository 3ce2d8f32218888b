//! The bus in asynchronous programs: streams that end when publishers leave or die, and sinks that wait for room.

use std::future::poll_fn;
use std::pin::Pin;

use ::tokio::runtime::Builder;
use futures_core::Stream;
use twixt_address::Address;
use twixt_channel::tokio::{AsyncReceiver, AsyncSender};
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::Result;
use twixt_testkit::{Peer, test};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

async fn next(receiver: &mut AsyncReceiver) -> Option<Result<Message>> {
    poll_fn(|context| Pin::new(&mut *receiver).poll_next(context)).await
}

/// Sends a message when it is told to, and waits for what becomes of it.
fn sender(peer: &Peer) {
    let mut sender = Sender::open(&address(&peer.arg(0))).unwrap();
    peer.say("there");
    peer.hear();
    sender.send(b"last words").unwrap();
    peer.hear();
}

/// Says what the stream has, and its end.
fn listener(peer: &Peer) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let receiver = Receiver::open(&address(&peer.arg(0))).unwrap();
        let mut receiver = AsyncReceiver::new(receiver).unwrap();
        peer.say("there");
        while let Some(message) = next(&mut receiver).await {
            peer.say(std::str::from_utf8(message.unwrap().bytes()).unwrap());
        }
        peer.say("the end");
    });
}

#[test]
fn a_stream_ends_when_its_sender_leaves_or_dies() {
    let test = test!();
    test.role("sender", sender);
    test.role("listener", listener);
    let bus = twixt_testkit::bus();
    let variable = format!("TWIXT_BUS={}", bus.path().display());
    for (kind, options) in [("topic", "?create"), ("latest", "?create"), ("rpc", "")] {
        for dies in [false, true] {
            let address = format!("{kind}:{dies}{options}");
            let start = |role: &str| {
                let mut child = test.child(role).arg(&address).under(&["env", &variable]).spawn();
                child.expect("there");
                child
            };
            let mut listener = start("listener");
            let mut sender = start("sender");
            sender.tell("send");
            listener.expect("last words");
            // It sleeps by now, or soon.
            if dies {
                sender.kill();
            } else {
                sender.tell("leave");
                sender.succeed();
            }
            listener.expect("the end");
            listener.succeed();
        }
    }
}

/// Sends more than there is room for.
fn pourer(peer: &Peer) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sender = Sender::open(&address(&peer.arg(0))).unwrap();
        let mut sender = AsyncSender::new(sender).unwrap();
        peer.say("there");
        for number in 0..POURED {
            sender.send(number.to_string().as_bytes()).await.unwrap();
        }
        sender.close().await.unwrap();
    });
}

const POURED: u32 = 3000;

/// Begins to receive when it is told to.
fn sipper(peer: &Peer) {
    let mut receiver = Receiver::open(&address(&peer.arg(0))).unwrap();
    peer.say("there");
    peer.hear();
    for number in 0..POURED {
        assert_eq!(receiver.receive().unwrap().bytes(), number.to_string().as_bytes());
    }
    peer.say("the end");
}

#[test]
fn a_sender_sleeps_until_there_is_room() {
    let test = test!();
    test.role("pourer", pourer);
    test.role("sipper", sipper);
    let bus = twixt_testkit::bus();
    let variable = format!("TWIXT_BUS={}", bus.path().display());
    for address in ["topic:x?create&capacity=4k", "rpc:x?create&capacity=4k", "queue:x?create&capacity=4k"] {
        let start = |role: &str| {
            let mut child = test.child(role).arg(address).under(&["env", &variable]).spawn();
            child.expect("there");
            child
        };
        let mut receiver = start("sipper");
        let sender = start("pourer");
        receiver.tell("receive");
        receiver.expect("the end");
        sender.succeed();
        receiver.succeed();
    }
}
