//! Internet sockets on the loopback interface: TCP, UDP, and ICMP echo through a raw socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use twixt_os::ErrorKind;
use twixt_os::net::ping::Ping;
use twixt_os::net::{tcp, udp};

use crate::conversation::{self, Line, Word};
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;

pub(super) const TCP: Demonstration = Demonstration {
    name: "tcp",
    shows: "listening and connected sockets, on loopback",
    parties: &[("server", tcp_server), ("client", tcp_client)],
    conduct: |run| run.server_and_client(),
    remove: |_| (),
    two_terminals: Some(TwoTerminals { address: |names| format!("tcp:{}", address(names)) }),
};

pub(super) const UDP: Demonstration = Demonstration {
    name: "udp",
    shows: "datagrams, on loopback",
    parties: &[("server", udp_server), ("client", udp_client)],
    conduct: |run| run.server_and_client(),
    remove: |_| (),
    two_terminals: Some(TwoTerminals { address: |names| format!("udp:{}", address(names)) }),
};

pub(super) const RAW: Demonstration = Demonstration {
    name: "raw",
    shows: "ICMP echo on loopback; the kernel answers",
    parties: &[("pinger", pinger)],
    conduct: |run| {
        run.start("pinger")?;
        run.finish()
    },
    remove: |_| (),
    two_terminals: None,
};

fn address(names: &Names) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, names.port))
}

/// Where the server is: what the conductor passes on from it, or what two terminals have agreed on.
fn server_address(party: &Party) -> Result<SocketAddr, Failure> {
    let told = party.argument(0)?;
    let told =
        told.rsplit_once("tcp:").or(told.rsplit_once("udp:")).map_or(told, |(_scheme, address)| address);
    told.parse().map_err(|_| Failure::wrong(format_args!("{told:?} is no address")))
}

impl Line for tcp::Stream {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.send_all(word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        conversation::read_word(self, into)
    }
}

fn tcp_server(party: &Party) -> Result<(), Failure> {
    let listener = tcp::Listener::bind(address(party.names()))?;
    party.reached("ready", listener.local_address()?);
    let mut stream = listener.accept_deadline(party.deadline())?;
    stream.set_no_delay(true)?;
    conversation::server(party, &mut stream)
}

fn tcp_client(party: &Party) -> Result<(), Failure> {
    let mut stream = tcp::Stream::connect_deadline(server_address(party)?, party.deadline())?;
    stream.set_no_delay(true)?;
    conversation::client(party, &mut stream)
}

/// The server's side: a socket, and whom it heard last.
struct Answering {
    socket: udp::Socket,
    other: SocketAddr,
}

impl Line for Answering {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.socket.send_to(word, self.other)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        let (len, from) = self.socket.receive_from(into)?;
        self.other = from;
        Ok(len)
    }
}

fn udp_server(party: &Party) -> Result<(), Failure> {
    let socket = udp::Socket::bind(address(party.names()))?;
    let own = socket.local_address()?;
    party.reached("ready", own);
    // Whoever writes first is who is answered.
    conversation::server(party, &mut Answering { socket, other: own })
}

/// The client's side: connected, or it would never learn that nobody is there.
impl Line for udp::Connected {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(udp::Connected::send(self, word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        Ok(udp::Connected::receive(self, into)?)
    }
}

fn udp_client(party: &Party) -> Result<(), Failure> {
    conversation::client(party, &mut udp::Connected::to(server_address(party)?)?)
}

fn pinger(party: &Party) -> Result<(), Failure> {
    let mut ping = match Ping::raw(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(Failure::Missing("needs CAP_NET_RAW to open a raw socket".to_owned()));
        }
        opened => opened?,
    };
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let payload = format!("ping {round}");
        let start = Instant::now();
        let reply = ping.echo_deadline(payload.as_bytes(), party.deadline())?;
        samples.push(start.elapsed());
        party.say(&format!("Echo of {payload:?} from {}", ping.peer()));
        expect("the length of the echo", reply.len, payload.len())?;
    }
    party.measured(samples);
    Ok(())
}
