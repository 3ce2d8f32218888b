//! Unix sockets: stream, datagram and sequenced packets.

use std::fs;

use twixt_os::unix::{Address, BindOptions, Connection, Datagram, Listener, Seqpacket, Stream};

use crate::conversation::{self, Line, Word};
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::Failure;
use crate::names::Names;
use crate::party::Party;

pub(super) const STREAM: Demonstration = Demonstration {
    name: "unix",
    shows: "a stream between client and server, by path",
    parties: &[("server", stream_server), ("client", stream_client)],
    conduct: |run| run.server_and_client(),
    remove,
    two_terminals: Some(TwoTerminals { address: |names| format!("unix:{}", names.path(SERVER).display()) }),
};

pub(super) const DATAGRAM: Demonstration = Demonstration {
    name: "unix-dgram",
    shows: "datagrams between two paths",
    parties: &[("server", datagram_server), ("client", datagram_client)],
    conduct: |run| run.server_and_client(),
    remove,
    two_terminals: Some(TwoTerminals {
        address: |names| format!("unix-dgram:{}", names.path(SERVER).display()),
    }),
};

pub(super) const SEQPACKET: Demonstration = Demonstration {
    name: "unix-seqpacket",
    shows: "connected packets, through an abstract name",
    parties: &[("server", seqpacket_server), ("client", seqpacket_client)],
    conduct: |run| run.server_and_client(),
    remove,
    two_terminals: Some(TwoTerminals {
        address: |names| format!("unix-seqpacket:@{}", names.abstract_name(SERVER)),
    }),
};

const SERVER: &str = "server";
const CLIENT: &str = "client";

fn remove(names: &Names) {
    for name in [SERVER, CLIENT] {
        let _ = fs::remove_file(names.path(name));
        let _ = fs::remove_file(names.path(&format!("{name}.lock")));
    }
}

impl Line for Stream {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.send_all(word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        conversation::read_word(self, into)
    }
}

impl Line for Seqpacket {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(Seqpacket::send(self, word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        Ok(Seqpacket::receive(self, into)?.unwrap_or(0))
    }
}

/// A datagram socket of its own, and the last one that it heard of.
struct Datagrams {
    socket: Datagram,
    other: Address,
}

impl Line for Datagrams {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.socket.send_to(word, &self.other)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        let (len, from) = self.socket.receive_from(into)?;
        self.other = from;
        Ok(len)
    }
}

/// Listens at an address where an earlier server may have left its socket file, and accepts one client.
fn accept_one<S: Connection>(party: &Party, address: &Address) -> Result<S, Failure> {
    let listener: Listener<S> = options(party, address).listen(address)?;
    party.reached("ready", "");
    Ok(listener.accept_deadline(party.deadline())?)
}

/// A path may be taken over from a server that was killed; an abstract name dies with its server.
fn options(party: &Party, address: &Address) -> BindOptions {
    let options = BindOptions::new();
    if address.as_path().is_some() { options.take_over_stale(party.deadline().into()) } else { options }
}

fn path(party: &Party, name: &str) -> Result<Address, Failure> {
    Ok(Address::path(party.names().path(name))?)
}

fn stream_server(party: &Party) -> Result<(), Failure> {
    let mut stream: Stream = accept_one(party, &path(party, SERVER)?)?;
    conversation::server(party, &mut stream)
}

fn stream_client(party: &Party) -> Result<(), Failure> {
    let mut stream = Stream::connect_deadline(&path(party, SERVER)?, party.deadline())?;
    conversation::client(party, &mut stream)
}

fn abstract_address(party: &Party) -> Result<Address, Failure> {
    Ok(Address::abstract_name(party.names().abstract_name(SERVER))?)
}

fn seqpacket_server(party: &Party) -> Result<(), Failure> {
    let mut packets: Seqpacket = accept_one(party, &abstract_address(party)?)?;
    conversation::server(party, &mut packets)
}

fn seqpacket_client(party: &Party) -> Result<(), Failure> {
    let mut packets = Seqpacket::connect_deadline(&abstract_address(party)?, party.deadline())?;
    conversation::client(party, &mut packets)
}

fn datagram_server(party: &Party) -> Result<(), Failure> {
    let (own, other) = (path(party, SERVER)?, path(party, CLIENT)?);
    let socket = options(party, &own).datagram(&own)?;
    party.reached("ready", "");
    conversation::server(party, &mut Datagrams { socket, other })
}

fn datagram_client(party: &Party) -> Result<(), Failure> {
    let (own, other) = (path(party, CLIENT)?, path(party, SERVER)?);
    let socket = options(party, &own).datagram(&own)?;
    let spoken = conversation::client(party, &mut Datagrams { socket, other });
    // In two terminals the client's own name is the client's to remove.
    let _ = fs::remove_file(party.names().path(CLIENT));
    spoken
}
