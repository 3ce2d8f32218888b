//! The end that values go into.

use core::fmt;
use core::marker::PhantomData;

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use twixt_address::Address;
use twixt_os::{Deadline, Error, ErrorKind, Result, Wait};

use super::schema::Schema;
use super::wire::tag;
use super::{check, opening, undescribable};
use crate::{Attributes, Sender};

/// Sends values of one type. [The module](super) has an example.
///
/// A value is borrowed: a send that fails has sent nothing of it, and the caller still has it. Nothing is allocated per
/// message once the largest has been sent.
///
/// `T` must be readable too: that is how its description is found.
pub struct TypedSender<T> {
    sender: Sender,
    schema: Schema,
    /// What stands in front of each value, and behind it the last one.
    scratch: Vec<u8>,
    tag: usize,
    values: PhantomData<fn(&T)>,
}

impl<T: Serialize + DeserializeOwned> TypedSender<T> {
    /// Opens an address as [`Sender::open`] does; streams of bytes are cut into frames.
    ///
    /// # Errors
    /// Those of [`Sender::open`] and of [`TypedSender::new`].
    pub fn open(address: &Address) -> Result<Self> {
        Self::new(opening(address)?.sender()?)
    }

    /// Sends values over a sender, each with its type in front.
    ///
    /// The sender must take any bytes: a value under `framing=lines` is refused whenever a newline is among its bytes.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the mechanism carries numbers, or the type [cannot be
    /// described](Schema::of).
    pub fn new(sender: Sender) -> Result<Self> {
        let schema = Schema::of::<T>().map_err(|why| undescribable(sender.origin(), &why))?;
        Self::with_schema(sender, schema)
    }
}

impl<T> TypedSender<T> {
    /// As [`TypedSender::new`], with a description of your own.
    ///
    /// # Errors
    /// As [`TypedSender::new`].
    pub fn with_schema(sender: Sender, schema: Schema) -> Result<Self> {
        check(sender.origin(), &sender.capabilities())?;
        let scratch = tag::of(&schema);
        Ok(Self { sender, schema, tag: scratch.len(), scratch, values: PhantomData })
    }

    /// Over a connection whose sides have told each other their types.
    pub(super) fn agreed(sender: Sender, schema: Schema) -> Self {
        Self { sender, schema, tag: 0, scratch: Vec::new(), values: PhantomData }
    }

    /// The description of its type.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Passes on what a stream has accepted and kept back; see [`Sender::flush`].
    ///
    /// # Errors
    /// Those of [`Sender::flush`].
    pub fn flush(&mut self, wait: Wait) -> Result<()> {
        self.sender.flush(wait)
    }

    /// Ends the sending; see [`Sender::close`].
    ///
    /// # Errors
    /// Those of [`Sender::close`].
    pub fn close(self, wait: Wait) -> Result<()> {
        self.sender.close(wait)
    }

    /// The sender that carries the values.
    pub fn get_ref(&self) -> &Sender {
        &self.sender
    }

    /// The sender that carries the values. What is sent through it directly is no value, and is refused by a typed
    /// receiver.
    pub fn get_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// Takes the sender out.
    pub fn into_inner(self) -> Sender {
        self.sender
    }
}

impl<T: Serialize> TypedSender<T> {
    /// Sends a value, waiting for room; no longer than the address's `timeout`, if it has one.
    ///
    /// # Errors
    /// Those of [`Sender::send`], and [`InvalidInput`](ErrorKind::InvalidInput) if `T`'s `Serialize` fails. Whatever the
    /// error, nothing has been sent.
    pub fn send(&mut self, value: &T) -> Result<()> {
        self.write(value)?;
        self.sender.send(&self.scratch)
    }

    /// As [`send`](Self::send) without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`WouldBlock`](ErrorKind::WouldBlock) if there is no room.
    pub fn try_send(&mut self, value: &T) -> Result<()> {
        self.send_wait(value, Wait::never())
    }

    /// As [`send`](Self::send), until `deadline`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn send_deadline(&mut self, value: &T, deadline: Deadline) -> Result<()> {
        self.send_wait(value, Wait::until(deadline))
    }

    /// As [`send`](Self::send), until a signal handler has run.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn send_interruptible(&mut self, value: &T) -> Result<()> {
        self.send_wait(value, Wait::forever().interruptible())
    }

    /// As [`send`](Self::send), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`send`](Self::send), and what `wait` ends with.
    pub fn send_wait(&mut self, value: &T, wait: Wait) -> Result<()> {
        self.send_with(value, &Attributes::NONE, wait)
    }

    /// Sends a value with something that goes along; see [`Sender::send_with`].
    ///
    /// # Errors
    /// Those of [`Sender::send_with`], and as [`send`](Self::send).
    pub fn send_with(&mut self, value: &T, attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        self.write(value)?;
        self.sender.send_with(&self.scratch, attributes, wait)
    }

    fn write(&mut self, value: &T) -> Result<()> {
        self.scratch.truncate(self.tag);
        postcard::serialize_with_flavor(value, Append(&mut self.scratch)).map_err(|why| {
            let origin = self.sender.origin();
            let why = match why {
                postcard::Error::SerializeSeqLengthUnknown => {
                    "it has a sequence that does not know its length"
                }
                postcard::Error::WontImplement => "it has a part that this format has no place for",
                _ => "its Serialize failed",
            };
            let why = format!("the {} cannot be written: {why}", self.schema.name());
            Error::refused(origin.mechanism, "send to", origin.object.clone(), ErrorKind::InvalidInput, why)
        })
    }
}

/// Writes behind what is there, and leaves the room to its owner, also when it fails.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl<T> fmt::Debug for TypedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedSender").field("sender", &self.sender).field("schema", &self.schema).finish()
    }
}
