//! What a handler knows of the call that it answers, and the stream that it sends.

use core::fmt;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use twixt_os::Deadline;

use super::client::{decode, encode};
use super::error::{Error, Part, Result, Side};
use super::server_core::Ticket;
use super::service::{Method, Service};
use super::wire::Packet;

/// The call that a handler answers.
pub struct Context<'a> {
    link: &'a (dyn Link + Sync + 'a),
    of: Of,
}

/// Which call it is.
#[derive(Clone, Copy)]
pub(super) struct Of {
    pub(super) ticket: Ticket,
    pub(super) method: &'static Method,
    pub(super) deadline: Option<Deadline>,
}

/// What a call needs of its connection.
pub(super) trait Link {
    /// Sends an item of a stream, once the client has granted it.
    fn send_item(&self, of: &Of, message: &[u8]) -> Result<()>;

    /// Whether anybody wants the result. Without workers this reads what has arrived.
    fn wants(&self, ticket: Ticket) -> bool;

    /// The longest message that reaches the client.
    fn longest_sent(&self) -> u64;

    /// The service that is served.
    fn service(&self) -> &'static Service;
}

impl<'a> Context<'a> {
    pub(super) fn new(link: &'a (dyn Link + Sync + 'a), of: Of) -> Self {
        Self { link, of }
    }

    /// When the client stops waiting, by this machine's clock; `None` if it has set no deadline.
    pub fn deadline(&self) -> Option<Deadline> {
        self.of.deadline
    }

    /// Whether nobody wants the result any more: the client has cancelled the call or gone, or the deadline has passed.
    /// A handler that takes long asks now and then.
    ///
    /// On a server without workers each time is a look at the connection: one system call more than there are messages.
    pub fn is_cancelled(&self) -> bool {
        self.of.deadline.is_some_and(Deadline::has_passed) || !self.link.wants(self.of.ticket)
    }

    /// The method that was called.
    pub fn method(&self) -> &'static Method {
        self.of.method
    }
}

/// The stream that a handler sends.
pub struct Items<'a, T> {
    context: &'a Context<'a>,
    buffer: Vec<u8>,
    _item: PhantomData<fn(&T)>,
}

impl<T: Serialize> Items<'_, T> {
    /// Sends an item, as soon as the client has room for it.
    ///
    /// # Errors
    /// - [`Error::Cancelled`]: nobody wants it any more. [`Error::TimedOut`]: the deadline has passed.
    /// - [`Error::TooLong`], [`Error::Unencodable`]: this item cannot be sent; others can.
    ///
    /// A handler that returns the error ends the stream with it.
    pub fn send(&mut self, item: &T) -> Result<()> {
        let Context { link, of } = self.context;
        self.buffer.clear();
        Packet::Item { call: of.ticket.call, payload: &[] }.encode(&mut self.buffer);
        write(item, &mut self.buffer, Part::Item, self.context)?;
        link.send_item(of, &self.buffer)
    }
}

/// A call that has arrived, on its way to its handler. What [`service!`](crate::service!) generates takes it there.
#[doc(hidden)]
pub struct Incoming<'a> {
    context: Context<'a>,
    payload: &'a [u8],
    /// Where the last message of the call is made.
    answer: &'a mut Vec<u8>,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(context: Context<'a>, payload: &'a [u8], answer: &'a mut Vec<u8>) -> Self {
        Self { context, payload, answer }
    }

    /// The number of the method.
    pub fn method(&self) -> u32 {
        self.context.of.method.id()
    }

    /// Answers with what the handler makes of the arguments.
    pub fn answer<A, R>(self, handle: impl FnOnce(&Context<'_>, A) -> R) -> Result<()>
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        let result = handle(&self.context, self.arguments()?);
        Packet::Reply { call: self.context.of.ticket.call, payload: &[] }.encode(self.answer);
        write(&result, self.answer, Part::Reply, &self.context)
    }

    /// Answers with the items that the handler sends.
    pub fn stream<A, T>(
        self,
        handle: impl FnOnce(&Context<'_>, A, &mut Items<'_, T>) -> Result<()>,
    ) -> Result<()>
    where
        A: DeserializeOwned,
    {
        let arguments = self.arguments()?;
        let mut items = Items { context: &self.context, buffer: Vec::new(), _item: PhantomData };
        handle(&self.context, arguments, &mut items)?;
        Packet::End { call: self.context.of.ticket.call }.encode(self.answer);
        Ok(())
    }

    /// For a method that the service has and its dispatcher has not, which does not happen.
    pub fn unknown(self) -> Result<()> {
        Err(Error::Failed { method: self.context.of.method.name(), why: "it has no handler".to_owned() })
    }

    fn arguments<A: DeserializeOwned>(&self) -> Result<A> {
        let deep = self.context.link.service().check_arguments(self.context.of.method, self.payload);
        deep.map_err(str::to_owned).and_then(|()| decode(self.payload)).map_err(|why| Error::Undecodable {
            part: Part::Request,
            method: self.context.of.method.name(),
            side: Side::Server,
            why,
        })
    }
}

/// Writes a value behind the header that the message has, if the message is not too long then.
fn write(value: &impl Serialize, message: &mut Vec<u8>, part: Part, context: &Context<'_>) -> Result<()> {
    let method = context.of.method.name();
    encode(value, message).map_err(|why| Error::Unencodable { part, method, why })?;
    let (len, limit) = (u64::try_from(message.len()).unwrap_or(u64::MAX), context.link.longest_sent());
    if len > limit {
        return Err(Error::TooLong { part, method, len, limit });
    }
    Ok(())
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("method", &self.of.method.name())
            .field("deadline", &self.of.deadline)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Items").field(&self.context.of.method.name()).finish()
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.context.of.method.name()).finish()
    }
}
