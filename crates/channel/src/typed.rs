//! Values instead of bytes: whatever serde can write and read, over any channel that carries bytes.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use twixt_address::Address;
//! use twixt_channel::typed::{TypedReceiver, TypedSender};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Job { id: u64, command: String }
//!
//! # let queue = twixt_os::sysv::msg::Queue::create(twixt_os::sysv::Key::PRIVATE, twixt_os::Mode::OWNER)?.remove_on_drop();
//! # let address: Address = format!("sysv-msg:id={}", queue.id().as_raw()).parse()?;
//! # let _ = stringify!(
//! let address: Address = "sysv-msg:0x4a6f62?create".parse()?;
//! # );
//! let mut sender = TypedSender::<Job>::open(&address)?;
//! let mut receiver = TypedReceiver::<Job>::open(&address)?;
//! let job = Job { id: 7, command: "sleep 1".into() };
//! sender.send(&job)?;
//! assert_eq!(receiver.receive()?, job);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both sides must mean the same type, and are told if they do not: a type's [`Schema`] covers the names and types of
//! all its parts, and a hash of it goes along.
//!
//! - [`TypedSender`] and [`TypedReceiver`] put it in front of each message, with the type's name. Whoever comes later,
//!   or reads a queue that others wrote to, sees what it is about: twelve bytes and the name.
//! - [`Typed`] is a connection, on which each side says once, and first, what it sends and what it expects; after that
//!   the messages are the values alone.
//!
//! Values are written in [postcard's format](https://postcard.jamesmunns.com/wire-format). `docs/typed-format.md` gives
//! the bytes around them.
//!
//! # What a stranger can do
//!
//! Send what cannot be read, which is an error that says why
//! ([`Malformed`](twixt_os::ErrorKind::Malformed)). No bytes make a receiver panic, and none make it allocate what has not arrived, as long as `T`'s own
//! `Deserialize` keeps to that: a length that is announced is not believed, sequences of elements that take no bytes
//! are refused when the channel is opened, and values of a type that contains itself may be nested 128 deep.

use core::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use twixt_address::{Address, Framing};
use twixt_os::{Error, ErrorKind, Result, Wait};

use crate::origin::Origin;
use crate::{Capabilities, Content, Duplex, Message, Opening};

mod nesting;
mod receiver;
mod schema;
mod sender;
mod shape;
mod trace;
mod wire;

pub use receiver::{TypedReceiver, Values};
pub use schema::{Schema, Undescribable};
pub use sender::TypedSender;

use wire::hello;

/// A connection on which values of one type go out and values of another come in.
///
/// The other side is a `Typed` with the two types the other way round.
///
/// ```
/// use twixt_address::Address;
/// use twixt_channel::typed::Typed;
/// use twixt_channel::{Duplex, Listener};
/// use twixt_os::Wait;
///
/// let address: Address = "unix-seqpacket:@twixt-typed-doc".parse()?;
/// let listener = Listener::open(&address)?;
/// let server = std::thread::spawn(move || -> twixt_os::Result<()> {
///     let mut client = Typed::<f64, (f64, f64)>::new(listener.accept()?, Wait::forever())?;
///     let (a, b) = client.receive()?;
///     client.send(&(a + b))
/// });
/// let mut sum = Typed::<(f64, f64), f64>::open(&address)?;
/// sum.send(&(1.5, 2.0))?;
/// assert_eq!(sum.receive()?, 3.5);
/// server.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Typed<S, R> {
    sender: TypedSender<S>,
    receiver: TypedReceiver<R>,
}

impl<S: Serialize + DeserializeOwned, R: DeserializeOwned> Typed<S, R> {
    /// Connects as [`Duplex::open`] does, and agrees with the other side on the types; no longer than the address's
    /// `timeout`, if it has one. Streams of bytes are cut into frames.
    ///
    /// # Errors
    /// Those of [`Duplex::open`] and of [`Typed::new`].
    pub fn open(address: &Address) -> Result<Self> {
        let opening = opening(address)?;
        let wait = opening.opening_wait();
        Self::new(opening.wait(wait).duplex()?, wait)
    }

    /// Agrees with the other side of a connection on the types: says what is sent and received here, and waits for the
    /// other side to say the same.
    ///
    /// # Errors
    /// - [`Malformed`](ErrorKind::Malformed): the other side sends or receives another type, and the error names both; or
    ///   it said something else.
    /// - [`Unsupported`](ErrorKind::Unsupported): the mechanism carries numbers, or a type [cannot be
    ///   described](Schema::of).
    /// - Those of sending and receiving, and what `wait` ends with. The connection is gone then.
    pub fn new(connection: Duplex, wait: Wait) -> Result<Self> {
        let origin = connection.origin().clone();
        let describe =
            |schema: Result<Schema, Undescribable>| schema.map_err(|why| undescribable(&origin, &why));
        let sends = describe(Schema::of::<S>())?;
        let receives = describe(Schema::of::<R>())?;
        Self::with_schemas(connection, sends, receives, wait)
    }
}

impl<S, R> Typed<S, R> {
    /// As [`Typed::new`], with descriptions of your own.
    ///
    /// # Errors
    /// As [`Typed::new`].
    pub fn with_schemas(mut connection: Duplex, sends: Schema, receives: Schema, wait: Wait) -> Result<Self> {
        let origin = connection.origin().clone();
        check(&origin, &connection.sender().capabilities())?;
        connection.send_wait(&hello::of(&sends, &receives), wait)?;
        while connection.sender().holds_back() {
            connection.sender().flush(wait)?;
        }
        let mut message = Message::new();
        connection.receive_wait(&mut message, wait)?;
        let said = hello::read(message.bytes()).map_err(|why| malformed(&origin, AGREE, why))?;
        if said.sends != receives.hash() {
            let why =
                differ("the other side sends", &said.sends_text, said.sends, "this side receives", &receives);
            return Err(malformed(&origin, AGREE, why));
        }
        if said.receives != sends.hash() {
            let why = differ(
                "the other side receives",
                &said.receives_text,
                said.receives,
                "this side sends",
                &sends,
            );
            return Err(malformed(&origin, AGREE, why));
        }
        let (sender, receiver) = connection.split();
        Ok(Self {
            sender: TypedSender::agreed(sender, sends),
            receiver: TypedReceiver::agreed(receiver, receives),
        })
    }

    /// The sending half.
    pub fn sender(&mut self) -> &mut TypedSender<S> {
        &mut self.sender
    }

    /// The receiving half.
    pub fn receiver(&mut self) -> &mut TypedReceiver<R> {
        &mut self.receiver
    }

    /// Takes the halves apart, for two threads. Dropping the sender tells the other side that no more will come.
    pub fn split(self) -> (TypedSender<S>, TypedReceiver<R>) {
        (self.sender, self.receiver)
    }
}

impl<S: Serialize, R> Typed<S, R> {
    /// As [`TypedSender::send`].
    ///
    /// # Errors
    /// Those of [`TypedSender::send`].
    pub fn send(&mut self, value: &S) -> Result<()> {
        self.sender.send(value)
    }

    /// As [`TypedSender::send_wait`].
    ///
    /// # Errors
    /// Those of [`TypedSender::send_wait`].
    pub fn send_wait(&mut self, value: &S, wait: Wait) -> Result<()> {
        self.sender.send_wait(value, wait)
    }
}

impl<S, R: DeserializeOwned> Typed<S, R> {
    /// As [`TypedReceiver::receive`].
    ///
    /// # Errors
    /// Those of [`TypedReceiver::receive`].
    pub fn receive(&mut self) -> Result<R> {
        self.receiver.receive()
    }

    /// As [`TypedReceiver::receive_wait`].
    ///
    /// # Errors
    /// Those of [`TypedReceiver::receive_wait`].
    pub fn receive_wait(&mut self, wait: Wait) -> Result<R> {
        self.receiver.receive_wait(wait)
    }
}

impl<S, R> fmt::Debug for Typed<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("sender", &self.sender).field("receiver", &self.receiver).finish()
    }
}

const AGREE: &str = "agree on types over";

/// An opening for values: streams are cut into frames, which any bytes can stand in.
fn opening(address: &Address) -> Result<Opening> {
    let opening = Opening::new(address).framing(Framing::Frame);
    match address.options().framing() {
        None | Some(Framing::Frame | Framing::Len) => Ok(opening),
        Some(framing) => {
            let why = format!(
                "typed values are any bytes, which framing={framing} cannot tell apart; leave it out"
            );
            Err(opening.refused("open", ErrorKind::Unsupported, why))
        }
    }
}

/// Refuses what carries no bytes.
fn check(origin: &Origin, can: &Capabilities) -> Result<()> {
    if can.framing == Some(Framing::Raw) {
        let why = "framing=raw keeps no boundaries, and values need them; framing=frame or framing=len does";
        return Err(origin.refused("open", ErrorKind::Unsupported, why));
    }
    match can.content {
        Content::Bytes => Ok(()),
        Content::Number { .. } => {
            let why = "its messages are numbers, in which typed values have no place";
            Err(origin.refused("open", ErrorKind::Unsupported, why))
        }
    }
}

fn undescribable(origin: &Origin, why: &Undescribable) -> Error {
    Error::refused(origin.mechanism, "open", origin.object.clone(), ErrorKind::Unsupported, why.to_string())
}

fn malformed(origin: &Origin, operation: &'static str, why: String) -> Error {
    Error::refused(origin.mechanism, operation, origin.object.clone(), ErrorKind::Malformed, why)
}

/// Names both types, and their hashes where the texts are the same (they were cut, or one lies).
fn differ(theirs: &str, said: &str, said_hash: u64, ours: &str, schema: &Schema) -> String {
    if said == schema.text() {
        format!(
            "{theirs} {said} (hash {said_hash:016x}), and {ours} another type of that text (hash {:016x})",
            schema.hash()
        )
    } else {
        format!("{theirs} {said}, and {ours} {schema}")
    }
}
