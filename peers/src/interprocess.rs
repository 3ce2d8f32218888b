//! interprocess: local sockets, which are Unix stream sockets here.
//!
//! As in its examples a listener accepts, a client connects, and reading is buffered, so that small messages come many at
//! a time; as there, the library's own types are used and nothing of the socket is tuned. A stream has no messages: each
//! stands behind its length, in the same call.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::rc::Rc;

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, Listener, ListenerOptions, Name, Stream, ToFsName};
use rustix::event::{PollFd, PollFlags, poll};
use twixt::bench::{
    Ends, Entry, Failure, Family, Incoming, Need, Outgoing, Pattern, Receive, Result, Role, Send, Setup,
    Transport, Waiting,
};

pub fn entry() -> Entry {
    Entry::new::<LocalSocket>("interprocess", Family::Peer)
        .described("interprocess, local sockets")
        .capable_of(&[
            Need::AnyLength,
            Need::Bytes,
            Need::BothWays,
            Need::Reliable,
            Need::ManySenders,
            Need::CrashSafe,
            Need::SeesEnd,
            Need::Pollable,
            Need::Credentials,
        ])
}

/// A party's part: subscribers listen.
struct LocalSocket {
    setup: Setup,
    listener: Option<Listener>,
}

fn name(setup: &Setup, subscriber: usize) -> Result<Name<'static>> {
    Ok(setup.directory.join(subscriber.to_string()).to_fs_name::<GenericFilePath>()?)
}

impl Transport for LocalSocket {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        if Length::try_from(setup.workload.size).is_err() {
            return Err(Failure::Unsupported("a length has four bytes".into()));
        }
        match setup.workload.pattern {
            Pattern::Batch => Err(Failure::Unsupported("it sends one message at a time".into())),
            Pattern::Work => Err(Failure::Unsupported("its sockets have one receiver each".into())),
            _ => Ok(()),
        }
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let listener = match setup.role {
            Role::Subscriber(own) => Some(ListenerOptions::new().name(name(setup, own)?).create_sync()?),
            Role::Publisher(_) => None,
        };
        Ok(Self { setup: setup.clone(), listener })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let workload = &self.setup.workload;
        let streams = match &self.listener {
            Some(listener) => vec![Rc::new(listener.accept()?)],
            None => (0..workload.subscribers)
                .map(|subscriber| Ok(Rc::new(Stream::connect(name(&self.setup, subscriber)?)?)))
                .collect::<Result<_>>()?,
        };
        for stream in &streams {
            // Whoever sleeps does so in the call that reads or writes; only who tries first may not.
            stream.set_nonblocking(workload.waiting != Waiting::Block)?;
        }
        let receiver = streams.first().map(|stream| Receiver::new(stream.clone(), workload.size));
        let sender = Sender::new(streams, workload.size);
        Ok(Ends { sender: Some(sender), receiver })
    }
}

/// What stands before each message: its length, in the machine's order.
type Length = u32;

const PREFIX: usize = size_of::<Length>();

/// Sends to each in turn, where there are several.
struct Sender {
    streams: Vec<Rc<Stream>>,
    /// A message behind its length.
    buffer: Vec<u8>,
    /// Which stream is next.
    stream: usize,
    /// How much of the message that one has had.
    written: usize,
}

impl Sender {
    fn new(streams: Vec<Rc<Stream>>, size: usize) -> Self {
        let length = Length::try_from(size).unwrap_or(Length::MAX);
        let mut buffer = length.to_ne_bytes().to_vec();
        buffer.resize(PREFIX + size, 0);
        Self { streams, buffer, stream: 0, written: 0 }
    }
}

impl Send for Sender {
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        if !message.is_filled() {
            message.fill(&mut self.buffer[PREFIX..]);
        }
        while let Some(stream) = self.streams.get(self.stream) {
            match stream.as_ref().write(&self.buffer[self.written..]) {
                Ok(0) => return Err(Failure::failed("the other side has closed the socket")),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if self.written == self.buffer.len() {
                (self.stream, self.written) = (self.stream + 1, 0);
            }
        }
        self.stream = 0;
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        while !self.try_send(message)? {
            wait(&self.streams[self.stream], PollFlags::OUT)?;
        }
        Ok(())
    }
}

/// How much is read at once: more than the 8 KiB of the standard library, so that it is never what bounds small messages.
const READING: usize = 128 << 10;

struct Receiver {
    stream: Rc<Stream>,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not looked at yet.
    begin: usize,
    end: usize,
}

impl Receiver {
    fn new(stream: Rc<Stream>, size: usize) -> Self {
        Self { stream, buffer: vec![0; READING.max(PREFIX + size)], begin: 0, end: 0 }
    }

    /// Looks at all messages that are there as a whole: whether there was one.
    fn look(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let mut any = false;
        while let Some((prefix, rest)) = self.buffer[self.begin..self.end].split_first_chunk::<PREFIX>() {
            let len = Length::from_ne_bytes(*prefix) as usize;
            if PREFIX + len > self.buffer.len() {
                return Err(Failure::Wrong(format!("a message says that it has {len} bytes")));
            }
            let Some(message) = rest.get(..len) else { break };
            incoming.check(message);
            self.begin += PREFIX + len;
            any = true;
        }
        // What is left of a message has to have room for the rest of it.
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        Ok(any)
    }
}

impl Receive for Receiver {
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        loop {
            match self.stream.as_ref().read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(Failure::failed("the other side has closed the socket")),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if self.look(incoming)? {
                return Ok(true);
            }
        }
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.try_receive(incoming)? {
            wait(&self.stream, PollFlags::IN)?;
        }
        Ok(())
    }
}

fn wait(stream: &Stream, what: PollFlags) -> Result<()> {
    let Stream::UdSocket(socket) = stream;
    match poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), what)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(Failure::failed(error)),
    }
}
