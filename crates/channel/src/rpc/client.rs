//! The client: calls from any number of threads over one connection, without a thread of its own.

use core::fmt;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;
use twixt_address::Address;
use twixt_os::{Deadline, ErrorKind, Maker, Mechanism, Object, Wait};

use super::call::{Call, StreamCall};
use super::client_core::{ClientCore, Taken};
use super::error::{Error, Part, Result};
use super::peer::introduction;
use super::server::check;
use super::service::{Method, Service};
use super::wire::{Packet, Request};
use crate::opening::wait_for;
use crate::{Duplex, Sender};
use pump::{Purpose, Receiving, Sending, State, lock};

mod pump;

/// Calls the methods of a service at the other end of a connection.
///
/// Any number of threads may call at the same time, each through a reference. The client has no thread of its own:
/// whoever waits for a result reads the connection for all the others, and also who waits for room to send does so,
/// that the two sides never wait for each other with full hands.
///
/// Dropping it ends the conversation.
pub struct Client {
    service: &'static Service,
    options: Options,
    /// The longest request that can be sent, once the server has greeted.
    longest_sent: u64,
    // Who has locked the sender or the receiver may lock the state, but never the other way round.
    sender: Mutex<Sending>,
    receiver: Mutex<Receiving>,
    state: Mutex<State>,
    /// A forked child's copy says nothing to the server.
    maker: Maker,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Options {
    calls: usize,
    window: u32,
    max_message: u32,
    compare_types: bool,
    timeout: Option<Duration>,
}

/// The longest message that is taken unless told otherwise: what a byte stream carries at the most.
pub(crate) const LONGEST: u32 = 64 * 1024 * 1024;

impl Options {
    /// 65 536 calls in flight, 16 items of a stream in advance, messages of up to 64 MiB, the types compared, no timeout.
    pub const fn new() -> Self {
        Self { calls: 65_536, window: 16, max_message: LONGEST, compare_types: true, timeout: None }
    }

    /// The most calls that are in flight at a time. One more is refused ([`Error::TooManyCalls`]).
    pub const fn calls(self, most: usize) -> Self {
        Self { calls: most, ..self }
    }

    /// How many items of a stream the server may send before the first of them is taken, unless the call says
    /// otherwise ([`StreamCall::window`]). At least 1.
    pub const fn window(self, items: u32) -> Self {
        Self { window: items, ..self }
    }

    /// The longest message that is taken, in bytes: a server sends no longer reply, but an error instead.
    pub const fn max_message(self, bytes: u32) -> Self {
        Self { max_message: bytes, ..self }
    }

    /// Calls whatever service bears the name, whether or not its methods and types are the same. A method that it has not
    /// is then [`Error::UnknownMethod`], and other types are [`Error::Undecodable`] or wrong values.
    pub const fn any_types(self) -> Self {
        Self { compare_types: false, ..self }
    }

    /// How long a call may take that is given no deadline of its own.
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// Connects to an address and begins a conversation there. The address's `timeout` holds for that and for each call
    /// that is given no deadline of its own.
    ///
    /// # Errors
    /// Those of [`Duplex::open`] and of [`Client::open`].
    pub fn connect(address: &Address, service: &'static Service) -> Result<Self> {
        Self::open_within(address.options().timeout(), || Ok(Duplex::open(address)?), service)
    }

    /// Begins a conversation over a connection: one message there and one back. The `timeout` of the address that the
    /// connection was opened by holds for that and for each call that is given no deadline of its own; of two addresses the
    /// shorter.
    ///
    /// A server that ends before it has greeted is seen where the channel sees who goes, and not over mailboxes and datagrams:
    /// nobody has said yet which process is to be watched. Without a `timeout` this then waits until another server comes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the server serves something else; [`Error::Undescribable`] if the service has a type that
    /// cannot be described; [`Error::Transport`] if the channel fails, of the kind [`PeerGone`](ErrorKind::PeerGone) if
    /// there is no server any more, [`TimedOut`](ErrorKind::TimedOut) if none answers in time, [`Unsupported`](ErrorKind::Unsupported) if it keeps no boundaries (`framing=raw`).
    pub fn open(duplex: Duplex, service: &'static Service) -> Result<Self> {
        Self::open_within(duplex.timeout(), || Ok(duplex), service)
    }

    /// Opens a connection and a conversation over it within a time, which each call then has as well.
    fn open_within(
        timeout: Option<Duration>,
        duplex: impl FnOnce() -> Result<Duplex>,
        service: &'static Service,
    ) -> Result<Self> {
        let options = Options { timeout, ..Options::new() };
        let wait = wait_for(timeout);
        Self::open_wait(duplex()?, service, options, wait)
    }

    /// As [`open`](Self::open), with options, and waiting as `wait` says.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`Error::Transport`] with what `wait` ends with.
    pub fn open_wait(
        mut duplex: Duplex,
        service: &'static Service,
        options: Options,
        wait: Wait,
    ) -> Result<Self> {
        service.check()?;
        check(&mut duplex)?;
        let (sender, receiver) = duplex.split();
        let longest_sent = longest(sender.capabilities().max_message);
        let longest_taken = longest(receiver.capabilities().max_message).min(options.max_message.into());
        let longest_taken = u32::try_from(longest_taken).unwrap_or(u32::MAX);
        let nonce = nonce();
        let compare = options.compare_types;
        let mut core = ClientCore::new(service, compare, nonce, options.calls, longest_sent, longest_taken);
        core.introduce(introduction(&sender, &receiver));
        let about = About::new(&sender);
        let mut client = Self {
            service,
            options,
            longest_sent,
            sender: Mutex::new(Sending { sender, buffer: Vec::new() }),
            receiver: Mutex::new(Receiving::new(receiver)),
            state: Mutex::new(State::new(core)),
            maker: Maker::this(),
        };
        client.greet(wait).map_err(|error| match error {
            Error::TimedOut { .. } => about.timed_out(wait),
            error => error,
        })?;
        client.longest_sent = lock(&client.state).core.longest_sent();
        Ok(client)
    }

    /// The service that it calls.
    pub fn service(&self) -> &'static Service {
        self.service
    }

    /// A call to be made. What [`service!`](crate::service!) generates does this.
    #[doc(hidden)]
    pub fn prepare<A: Serialize, R>(&self, method: u32, arguments: A) -> Call<'_, A, R> {
        Call::new(self, self.method(method), arguments)
    }

    /// As [`prepare`](Self::prepare), for a method whose result is a stream.
    #[doc(hidden)]
    pub fn prepare_stream<A: Serialize, T>(&self, method: u32, arguments: A) -> StreamCall<'_, A, T> {
        StreamCall::new(self, self.method(method), arguments, self.options.window)
    }

    /// The method of a number that the service's own macro gave it.
    fn method(&self, id: u32) -> &'static Method {
        self.service.method(id).expect("a client made for this service")
    }

    /// When a call ends that is given no deadline of its own.
    pub(super) fn default_deadline(&self) -> Option<Deadline> {
        self.options.timeout.map(Deadline::after)
    }

    /// Sends a request, and gives the call's number.
    pub(super) fn start(
        &self,
        method: &'static Method,
        arguments: &impl Serialize,
        window: u32,
        wait: Wait,
    ) -> Result<u32> {
        let window = window.max(1);
        let call = lock(&self.state).core.begin(method, window)?;
        let sent = self.send_request(call, method, arguments, window, wait);
        sent.map(|()| call).map_err(|error| {
            // The server knows nothing of it.
            lock(&self.state).core.forget(call);
            match error.kind() {
                ErrorKind::PeerGone => self.last_words().unwrap_or(error),
                _ => error,
            }
        })
    }

    /// What the server said before it went, of why it did.
    fn last_words(&self) -> Option<Error> {
        let look = |state: &mut State| state.core.is_open().err();
        self.pump_until(Wait::never(), Purpose::Greeting, look).ok().flatten()
    }

    fn send_request(
        &self,
        call: u32,
        method: &'static Method,
        arguments: &impl Serialize,
        window: u32,
        wait: Wait,
    ) -> Result<()> {
        let mut sending = self.turn(wait, method.name())?;
        let request = Request {
            call,
            method: method.id(),
            credit: if method.streams() { window } else { 0 },
            timeout: wait.deadline().map(Deadline::remaining),
            payload: &[],
        };
        let buffer = &mut sending.buffer;
        buffer.clear();
        Packet::Request(request).encode(buffer);
        encode(arguments, buffer).map_err(|why| Error::Unencodable {
            part: Part::Request,
            method: method.name(),
            why,
        })?;
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if len > self.longest_sent {
            let limit = self.longest_sent;
            return Err(Error::TooLong { part: Part::Request, method: method.name(), len, limit });
        }
        self.transmit(&mut sending, wait, method.name())
    }

    /// Waits for a result or an item of a call; [`Taken::Nothing`] if the time was up first.
    pub(super) fn wait_for(&self, call: u32, wait: Wait) -> Result<Taken> {
        let taken = self.pump_until(wait, Purpose::Call(call), |state| match state.core.take(call) {
            Taken::Nothing => None,
            taken => Some(taken),
        })?;
        if let Some(Taken::Payload { grant, .. }) = taken
            && grant > 0
        {
            self.post(Packet::Credit { call, items: grant });
        }
        Ok(taken.unwrap_or(Taken::Nothing))
    }

    /// Gives back a buffer that was taken.
    pub(super) fn recycle(&self, payload: Vec<u8>) {
        lock(&self.state).core.recycle(payload);
    }

    /// The result of a call is no longer wanted.
    pub(super) fn forget(&self, call: u32) {
        let must_tell = lock(&self.state).core.forget(call);
        if must_tell && self.maker.is_this() {
            self.post(Packet::Cancel { call });
        }
    }

    /// Says who calls, and waits for the answer.
    fn greet(&self, wait: Wait) -> Result<()> {
        let mut sending = self.turn(wait, "open")?;
        sending.buffer.clear();
        lock(&self.state).core.open(&mut sending.buffer);
        self.transmit(&mut sending, wait, "open")?;
        drop(sending);
        let opened = self.pump_until(wait, Purpose::Greeting, |state| match state.core.is_open() {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        })?;
        opened.unwrap_or(Err(Error::TimedOut { method: "open" }))
    }
}

/// Ends the conversation, as far as that can be said without waiting.
impl Drop for Client {
    fn drop(&mut self) {
        if self.maker.is_this() && lock(&self.state).core.is_open() == Ok(true) {
            self.post(Packet::Goodbye);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.service.name()).finish()
    }
}

/// Which channel it is about, for an error made after the channel was taken apart.
struct About {
    mechanism: Mechanism,
    object: Object,
}

impl About {
    fn new(sender: &Sender) -> Self {
        let object = sender
            .endpoint()
            .map_or(Object::Unnamed, |endpoint| Object::name(crate::mechanism::object_of(endpoint)));
        Self { mechanism: sender.mechanism(), object }
    }

    fn timed_out(self, wait: Wait) -> Error {
        let kind = if wait.is_never() { ErrorKind::WouldBlock } else { ErrorKind::TimedOut };
        let why = "no server has answered";
        twixt_os::Error::refused(self.mechanism, "begin calls over", self.object, kind, why).into()
    }
}

/// A limit of a channel as the format counts.
pub(super) fn longest(max_message: Option<usize>) -> u64 {
    max_message.and_then(|most| u64::try_from(most).ok()).unwrap_or(u64::MAX)
}

/// Writes a value behind what the buffer holds.
pub(super) fn encode(value: &impl Serialize, buffer: &mut Vec<u8>) -> Result<(), String> {
    match postcard::to_extend(value, std::mem::take(buffer)) {
        Ok(extended) => {
            *buffer = extended;
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a value, which must be all there is.
pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} of {} bytes are left over", rest.len(), bytes.len())),
        Err(error) => Err(format!("{error} ({} bytes)", bytes.len())),
    }
}

/// A number that no other conversation over the same channel bears.
fn nonce() -> u64 {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled != Ok(bytes.len()) {
        // Early at boot, or without the call: who and when is as good a guess at uniqueness as any.
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let pid = u64::from(std::process::id());
        return (since.as_nanos() as u64) ^ pid.rotate_left(32);
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local;
    use crate::rpc::{Ended, Server};

    #[test]
    fn the_copy_of_a_forked_child_says_nothing() {
        static EMPTY: Service = Service::new("Empty", &[]);
        for (maker, ended) in [(Maker::this(), Ended::Closed), (Maker::another(), Ended::PeerGone)] {
            let (client, mut server) = local::duplex();
            let serving = std::thread::spawn(move || {
                Server::new((), &EMPTY, |(), incoming| incoming.unknown()).serve(&mut server)
            });
            let mut client = Client::open(client, &EMPTY).unwrap();
            client.maker = maker;
            drop(client);
            assert_eq!(serving.join().unwrap(), Ok(ended));
        }
    }
}
