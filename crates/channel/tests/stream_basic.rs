//! Streams carry messages: every mechanism and framing, one after the other.

use twixt_address::{Address, Framing};
use twixt_channel::{Opening, Receiver, Sender};
use twixt_os::ErrorKind;

fn messages(framing: Framing) -> Vec<Vec<u8>> {
    let mut messages = vec![b"first".to_vec(), b"second".to_vec(), vec![b'x'; 70_000], b"last".to_vec()];
    if framing != Framing::Raw {
        messages.insert(1, Vec::new());
    }
    messages
}

/// Sends from a thread, since the long one does not fit into a pipe.
fn carries_messages(framing: Framing, mut sender: Sender, mut receiver: Receiver) {
    let sent = messages(framing);
    let sending = std::thread::spawn(move || {
        for message in messages(framing) {
            sender.send(&message).unwrap();
        }
    });
    if framing == Framing::Raw {
        let mut all = Vec::new();
        for piece in receiver.messages() {
            all.extend_from_slice(piece.unwrap().bytes());
        }
        assert_eq!(all, sent.concat());
    } else {
        for message in &sent {
            assert_eq!(receiver.receive().unwrap().bytes(), message);
        }
        assert_eq!(receiver.receive().unwrap_err().kind(), ErrorKind::PeerGone);
    }
    sending.join().unwrap();
}

fn addressed(address: &str) {
    for framing in Framing::ALL {
        let address: Address = address.parse().unwrap();
        let opening = Opening::new(&address).framing(framing);
        let receiver = opening.receiver().unwrap();
        carries_messages(framing, opening.sender().unwrap(), receiver);
    }
}

#[test]
fn pipe() {
    for framing in Framing::ALL {
        let opening = Opening::new(&"pipe:".parse().unwrap()).framing(framing);
        let (sender, receiver) = opening.pair().unwrap();
        carries_messages(framing, sender, receiver);
    }
}

#[test]
fn fifo() {
    let scratch = twixt_testkit::scratch();
    addressed(&format!("fifo:{}?create", scratch.path().join("fifo").display()));
}

#[test]
fn unix() {
    let scratch = twixt_testkit::scratch();
    addressed(&format!("unix:{}", scratch.path().join("socket").display()));
    addressed(&format!("unix:@{}", twixt_testkit::unique_name()));
}

#[test]
fn tcp() {
    for framing in Framing::ALL {
        let listening: Address = "tcp:127.0.0.1:0".parse().unwrap();
        let listener = Opening::new(&listening).framing(framing).listener().unwrap();
        let address = Address::new(listener.address().unwrap(), Default::default()).unwrap();
        let sender = Opening::new(&address).framing(framing).sender().unwrap();
        let (_quiet, receiver) = listener.accept().unwrap().split();
        carries_messages(framing, sender, receiver);
    }
}
