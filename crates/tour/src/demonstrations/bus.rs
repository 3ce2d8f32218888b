//! The bus: what one publishes every subscriber gets, what one queues one consumer gets, and of a state the newest value.

use twixt_address::BusName;
use twixt_bus::Kind;
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::ErrorKind;

use crate::conversation::{self, Line, Word};
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::Failure;
use crate::names::Names;
use crate::party::Party;

pub(super) const TOPIC: Demonstration = Demonstration {
    name: "topic",
    shows: "a topic each way, whose subscribers get every message",
    parties: &[
        ("server", |party| server(party, Kind::Topic)),
        ("client", |party| client(party, Kind::Topic)),
    ],
    conduct: |run| run.server_and_client(),
    remove: |names| remove(names, Kind::Topic),
    two_terminals: Some(TwoTerminals { address: |names| shown(names, Kind::Topic) }),
};

pub(super) const QUEUE: Demonstration = Demonstration {
    name: "queue",
    shows: "a queue each way, of which one consumer gets each message",
    parties: &[
        ("server", |party| server(party, Kind::Queue)),
        ("client", |party| client(party, Kind::Queue)),
    ],
    conduct: |run| run.server_and_client(),
    remove: |names| remove(names, Kind::Queue),
    two_terminals: Some(TwoTerminals { address: |names| shown(names, Kind::Queue) }),
};

pub(super) const LATEST: Demonstration = Demonstration {
    name: "latest",
    shows: "a value each way, of which the newest is read",
    parties: &[
        ("server", |party| server(party, Kind::Latest)),
        ("client", |party| client(party, Kind::Latest)),
    ],
    conduct: |run| run.server_and_client(),
    remove: |names| remove(names, Kind::Latest),
    two_terminals: Some(TwoTerminals { address: |names| shown(names, Kind::Latest) }),
};

const PING: &str = "ping";
const PONG: &str = "pong";

fn remove(names: &Names, kind: Kind) {
    for name in [PING, PONG] {
        remove_name(names, kind, name);
    }
}

/// Removes a name of a demonstration, if it is there.
pub(super) fn remove_name(names: &Names, kind: Kind, name: &str) {
    if let Ok(name) = BusName::new(names.abstract_name(name)) {
        let _ = twixt_bus::remove(kind, &name, None);
    }
}

fn address(names: &Names, kind: Kind, name: &str) -> String {
    format!("{}:{}", kind.scheme(), names.abstract_name(name))
}

fn shown(names: &Names, kind: Kind) -> String {
    format!("{} (and {PONG} beside it for the answers)", address(names, kind, PING))
}

/// A name each way.
struct Ends {
    sender: Sender,
    receiver: Receiver,
    message: Message,
}

impl Line for Ends {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.sender.send(word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        match self.receiver.receive_into(&mut self.message) {
            Err(error) if error.kind() == ErrorKind::PeerGone => return Ok(0),
            received => received?,
        }
        let len = self.message.len().min(into.len());
        into[..len].copy_from_slice(&self.message.bytes()[..len]);
        Ok(len)
    }
}

fn ends(receives: &str, sends: &str) -> Result<Ends, Failure> {
    let parse = |address: &str| {
        address.parse::<twixt_address::Address>().map_err(|error| Failure::wrong(format_args!("{error}")))
    };
    // Whoever receives is there before the other can have sent.
    let receiver = Receiver::open(&parse(receives)?)?;
    Ok(Ends { receiver, sender: Sender::open(&parse(sends)?)?, message: Message::new() })
}

fn server(party: &Party, kind: Kind) -> Result<(), Failure> {
    let make = |name| format!("{}?create", address(party.names(), kind, name));
    let mut ends = ends(&make(PING), &make(PONG))?;
    party.reached("ready", "");
    conversation::server(party, &mut ends)
}

fn client(party: &Party, kind: Kind) -> Result<(), Failure> {
    let find = |name| address(party.names(), kind, name);
    conversation::client(party, &mut ends(&find(PONG), &find(PING))?)
}
