//! ipc-channel: Rust's channels between processes, over sequenced-packet sockets.
//!
//! Its channels of bytes are used, as its documentation advises where nothing has to be serialized. They meet as it
//! describes: a one-shot server for each pair of processes, by which the subscriber gives the publisher an end of its
//! channel. A received message is memory of its own, which the library allocates, and is read there.
//!
//! A sender sleeps while there is no room, and has no way not to.

use std::fs;
use std::path::PathBuf;

use ipc_channel::TryRecvError;
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel};
use twixt::bench::{
    Ends, Entry, Failure, Family, Incoming, Need, Outgoing, Pattern, Receive, Result, Role, Send, Setup,
    Transport, Waiting,
};

pub fn entry() -> Entry {
    Entry::new::<Channel>("ipc-channel", Family::Peer).described("ipc-channel, channels of bytes").capable_of(
        &[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::AnyLength,
            Need::EmptyMessages,
            Need::FdPassing,
            Need::ManySenders,
            Need::CrashSafe,
            Need::SeesEnd,
        ],
    )
}

/// What a subscriber gives a publisher: where to send to, and where to receive what is sent back.
type Greeting = (IpcBytesSender, Option<IpcBytesReceiver>);

/// A party's part.
struct Channel {
    setup: Setup,
    /// Of a publisher, one for each subscriber.
    servers: Vec<IpcOneShotServer<Greeting>>,
}

/// Where the name of the server stands on which a publisher waits for a subscriber.
fn path(setup: &Setup, publisher: usize, subscriber: usize) -> PathBuf {
    setup.directory.join(format!("server-{publisher}-{subscriber}"))
}

impl Transport for Channel {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        let workload = &setup.workload;
        match (workload.pattern, workload.waiting) {
            (Pattern::Batch, _) => Err(Failure::Unsupported("it sends one message at a time".into())),
            (Pattern::Work, _) => Err(Failure::Unsupported("its channels have one receiver each".into())),
            (Pattern::Throughput | Pattern::Fanout, Waiting::Spin) => {
                Err(Failure::Unsupported("its senders sleep while there is no room".into()))
            }
            _ => Ok(()),
        }
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        // Its servers are sockets in directories of their own, which otherwise stay when a process is killed.
        let _ = tempfile::env::override_temp_dir(&setup.directory);
        let mut servers = Vec::new();
        if let Role::Publisher(publisher) = setup.role {
            for subscriber in 0..setup.workload.subscribers {
                let (server, name) = IpcOneShotServer::new()?;
                fs::write(path(setup, publisher, subscriber), name)?;
                servers.push(server);
            }
        }
        Ok(Self { setup: setup.clone(), servers })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let setup = &self.setup;
        let Role::Subscriber(own) = setup.role else { return accept(setup, self.servers) };
        let (there, receiver) = bytes_channel()?;
        let mut sender = None;
        for publisher in 0..setup.workload.publishers {
            let mut greeting: Greeting = (there.clone(), None);
            if setup.workload.pattern == Pattern::Rtt {
                let (back, origin) = bytes_channel()?;
                greeting.1 = Some(origin);
                sender = Some(Sender::new(setup, vec![back]));
            }
            let name = fs::read_to_string(path(setup, publisher, own))?;
            IpcSender::connect(name)?.send(greeting).map_err(Failure::failed)?;
        }
        Ok(Ends { sender, receiver: Some(Receiver { receiver }) })
    }
}

/// Has what the subscribers give to a publisher.
fn accept(setup: &Setup, servers: Vec<IpcOneShotServer<Greeting>>) -> Result<Ends<Sender, Receiver>> {
    let (mut senders, mut receiver) = (Vec::new(), None);
    for server in servers {
        let (_, (there, back)) = server.accept().map_err(Failure::failed)?;
        senders.push(there);
        receiver = back.map(|receiver| Receiver { receiver });
    }
    Ok(Ends { sender: Some(Sender::new(setup, senders)), receiver })
}

/// Sends to each in turn, where there are several.
struct Sender {
    senders: Vec<IpcBytesSender>,
    buffer: Vec<u8>,
}

impl Sender {
    fn new(setup: &Setup, senders: Vec<IpcBytesSender>) -> Self {
        Self { senders, buffer: vec![0; setup.workload.size] }
    }
}

impl Send for Sender {
    /// Sleeps where there is no room; in a round trip there is.
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        message.fill(&mut self.buffer);
        for sender in &self.senders {
            sender.send(&self.buffer)?;
        }
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.try_send(message).map(drop)
    }
}

struct Receiver {
    receiver: IpcBytesReceiver,
}

impl Receive for Receiver {
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        match self.receiver.try_recv() {
            Ok(message) => incoming.check(&message),
            Err(TryRecvError::Empty) => return Ok(false),
            Err(error) => return Err(Failure::failed(error)),
        }
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        incoming.check(&self.receiver.recv().map_err(Failure::failed)?);
        Ok(())
    }
}
