//! The end that values come out of.

use core::fmt;
use core::marker::PhantomData;

use serde::de::DeserializeOwned;
use twixt_address::Address;
use twixt_os::{Deadline, ErrorKind, Result, Wait};

use super::schema::Schema;
use super::wire::{readable_name, tag};
use super::{check, malformed, opening, undescribable};
use crate::{Message, Receiver};

/// Receives values of one type. [The module](super) has an example.
pub struct TypedReceiver<T> {
    receiver: Receiver,
    schema: Schema,
    /// Whether each message says its type.
    tagged: bool,
    message: Message,
    values: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> TypedReceiver<T> {
    /// Opens an address as [`Receiver::open`] does; streams of bytes are cut into frames.
    ///
    /// # Errors
    /// Those of [`Receiver::open`] and of [`TypedReceiver::new`].
    pub fn open(address: &Address) -> Result<Self> {
        Self::new(opening(address)?.receiver()?)
    }

    /// Receives values over a receiver, from typed senders.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the mechanism carries numbers, or the type [cannot be
    /// described](Schema::of).
    pub fn new(receiver: Receiver) -> Result<Self> {
        let schema = Schema::of::<T>().map_err(|why| undescribable(receiver.origin(), &why))?;
        Self::with_schema(receiver, schema)
    }

    /// Receives a value, waiting for one; no longer than the address's `timeout`, if it has one.
    ///
    /// # Errors
    /// Those of [`Receiver::receive`], and [`Malformed`](ErrorKind::Malformed) if the message is of another type, which the
    /// error names, or is no value of this one. Such a message has been taken; [`message`](Self::message) still has it.
    pub fn receive(&mut self) -> Result<T> {
        let received = self.receiver.receive_into(&mut self.message);
        received.and_then(|()| self.read())
    }

    /// As [`receive`](Self::receive) without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`WouldBlock`](ErrorKind::WouldBlock) if there is none.
    pub fn try_receive(&mut self) -> Result<T> {
        self.receive_wait(Wait::never())
    }

    /// As [`receive`](Self::receive), until `deadline`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<T> {
        self.receive_wait(Wait::until(deadline))
    }

    /// As [`receive`](Self::receive), until a signal handler has run.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn receive_interruptible(&mut self) -> Result<T> {
        self.receive_wait(Wait::forever().interruptible())
    }

    /// As [`receive`](Self::receive), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and what `wait` ends with.
    pub fn receive_wait(&mut self, wait: Wait) -> Result<T> {
        let received = self.receiver.receive_wait(&mut self.message, wait);
        received.and_then(|()| self.read())
    }

    /// The values, one by one, until all senders have gone. What cannot be read is an error among them.
    pub fn values(&mut self) -> Values<'_, T> {
        Values { receiver: self, ended: false }
    }

    fn read(&self) -> Result<T> {
        let refuse = |why| malformed(self.receiver.origin(), "receive from", why);
        let value = if self.tagged {
            let (hash, name, value) = tag::split(self.message.bytes()).map_err(refuse)?;
            if hash != self.schema.hash() {
                return Err(refuse(self.another_type(hash, name)));
            }
            value
        } else {
            self.message.bytes()
        };
        let unreadable = |why: &str| refuse(format!("what arrived is no {}: {why}", self.schema.name()));
        self.schema.check_nesting(value).map_err(unreadable)?;
        match postcard::take_from_bytes(value) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(unreadable(&format!("it goes on for {} bytes", rest.len()))),
            Err(error) => Err(unreadable(reason(error))),
        }
    }

    fn another_type(&self, hash: u64, name: &[u8]) -> String {
        let (name, ours) = (readable_name(name), &self.schema);
        let another = if name == ours.name() { "another " } else { "" };
        let expected = ours.hash();
        format!(
            "the message holds {another}{name} (type {hash:016x}), and {ours} (type {expected:016x}) is expected"
        )
    }
}

impl<T> TypedReceiver<T> {
    /// As [`TypedReceiver::new`], with a description of your own.
    ///
    /// # Errors
    /// As [`TypedReceiver::new`].
    pub fn with_schema(receiver: Receiver, schema: Schema) -> Result<Self> {
        check(receiver.origin(), &receiver.capabilities())?;
        Ok(Self { receiver, schema, tagged: true, message: Message::new(), values: PhantomData })
    }

    /// Over a connection whose sides have told each other their types.
    pub(super) fn agreed(receiver: Receiver, schema: Schema) -> Self {
        Self { receiver, schema, tagged: false, message: Message::new(), values: PhantomData }
    }

    /// The description of its type.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The message that the last value was read from, for what came along with it: priority, sender, descriptors.
    pub fn message(&mut self) -> &mut Message {
        &mut self.message
    }

    /// The receiver that carries the values.
    pub fn get_ref(&self) -> &Receiver {
        &self.receiver
    }

    /// The receiver that carries the values, to select types of messages, say.
    pub fn get_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Takes the receiver out.
    pub fn into_inner(self) -> Receiver {
        self.receiver
    }
}

/// Why some bytes are no value, as a phrase.
fn reason(error: postcard::Error) -> &'static str {
    match error {
        postcard::Error::DeserializeUnexpectedEnd => "it ends too early",
        postcard::Error::DeserializeBadVarint => "it holds a number that is none",
        postcard::Error::DeserializeBadBool => "it holds a bool that is neither 0 nor 1",
        postcard::Error::DeserializeBadChar => "it holds a character that is none",
        postcard::Error::DeserializeBadUtf8 => "it holds a text that is not UTF-8",
        postcard::Error::DeserializeBadOption => "it holds an option that is neither 0 nor 1",
        postcard::Error::DeserializeBadEnum => "it holds an alternative that is none",
        postcard::Error::SerdeDeCustom => "its Deserialize refuses the contents",
        _ => "it is damaged",
    }
}

impl<T> fmt::Debug for TypedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedReceiver")
            .field("receiver", &self.receiver)
            .field("schema", &self.schema)
            .finish()
    }
}

/// The values of a receiver; ends when all senders have gone, or after an error of the channel. A message that holds no
/// value of the type is an error, after which the next one is taken.
#[derive(Debug)]
pub struct Values<'a, T> {
    receiver: &'a mut TypedReceiver<T>,
    ended: bool,
}

impl<T: DeserializeOwned> Iterator for Values<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if self.ended {
            return None;
        }
        let TypedReceiver { receiver, message, .. } = &mut *self.receiver;
        match receiver.receive_into(message) {
            Ok(()) => Some(self.receiver.read()),
            Err(error) if error.kind() == ErrorKind::PeerGone => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = error.kind() != ErrorKind::TimedOut;
                Some(Err(error))
            }
        }
    }
}
