//! Whatever strangers write into the connections of a receiver, it gives messages and errors, and comes to an end: with
//! messages in a stream, and where both sides meet (capacity zero).

#![no_main]

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use libfuzzer_sys::fuzz_target;
use twixt_address::Address;
use twixt_channel::framing::encode;
use twixt_channel::{Framing, Message, Receiver};
use twixt_os::{ErrorKind, Wait};

const OPTIONS: [&str; 6] =
    ["", "?framing=lines", "?framing=len", "?framing=raw", "?capacity=0", "?framing=len&capacity=0"];

struct Place {
    name: SocketAddr,
    receiver: Receiver,
    framing: Framing,
}

impl Place {
    fn new(number: usize, options: &str) -> Self {
        let name = format!("twixt-fuzz-{}-{number}", std::process::id());
        let address: Address = format!("unix:@{name}{options}").parse().expect("an address");
        let framing = address.options().framing().unwrap_or(Framing::Frame);
        let receiver = Receiver::open(&address).expect("a name of its own");
        Self { name: SocketAddr::from_abstract_name(name).expect("a name"), receiver, framing }
    }
}

thread_local! {
    static PLACES: std::cell::RefCell<Vec<Place>> =
        std::cell::RefCell::new(OPTIONS.iter().enumerate().map(|(number, options)| Place::new(number, options)).collect());
}

/// What a stranger says, one after the other: whether as a message, and which bytes.
type Says = Vec<(bool, Vec<u8>)>;

fuzz_target!(|input: (u8, [Says; 2])| {
    let (place, strangers) = input;
    PLACES.with(|places| {
        let place = &mut places.borrow_mut()[usize::from(place) % OPTIONS.len()];
        let mut connections: Vec<_> =
            strangers.iter().map(|_| UnixStream::connect_addr(&place.name).expect("it listens")).collect();
        let mut message = Message::new();
        let mut has_ended = false;
        let most = strangers.iter().map(Vec::len).max().unwrap_or(0);
        for turn in 0..most {
            for (connection, says) in connections.iter_mut().zip(&strangers) {
                let Some((well_formed, bytes)) = says.get(turn) else { continue };
                let mut said = Vec::new();
                if !well_formed || encode(place.framing, bytes, &mut said).is_err() {
                    said.clone_from(bytes);
                }
                // Who was found out is hung up on.
                let _ = connection.write_all(&said);
            }
            match place.receiver.receive_wait(&mut message, Wait::never()) {
                Ok(()) => {}
                Err(error) => {
                    tolerate(&error);
                    // All were hung up on.
                    has_ended |= error.kind() == ErrorKind::PeerGone;
                }
            }
        }
        drop(connections);
        // It is told once; from then on others may come.
        if has_ended {
            return;
        }
        loop {
            match place.receiver.receive_wait(&mut message, Wait::never()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::PeerGone => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("all have gone"),
                Err(error) => tolerate(&error),
            }
        }
    });
});

fn tolerate(error: &twixt_os::Error) {
    let expected = [ErrorKind::Malformed, ErrorKind::TooLong, ErrorKind::WouldBlock, ErrorKind::PeerGone];
    assert!(expected.contains(&error.kind()), "{error}");
}
