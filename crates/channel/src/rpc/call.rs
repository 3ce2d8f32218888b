//! Calls: about to be made, in flight, and those whose result is a stream.

use core::fmt;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use twixt_os::{Deadline, Wait};

use super::client::{Client, decode};
use super::client_core::Taken;
use super::error::{Error, Part, Result, Side};
use super::service::Method;

/// A call that has not been made yet: what a method of a generated client gives.
///
/// ```
/// # twixt_channel::service! { pub trait Sums { fn add(a: i32, b: i32) -> i32; } pub struct SumsClient; }
/// # fn with(client: &SumsClient) -> twixt_channel::rpc::Result<()> {
/// let sum = client.add(1, 2).call()?;
/// // Two at the same time.
/// let (one, other) = (client.add(3, 4).start()?, client.add(5, 6).start()?);
/// let product = one.wait()? * other.wait()?;
/// # Ok(()) }
/// ```
#[must_use = "a call is made by `call` or `start`"]
pub struct Call<'c, A, R> {
    client: &'c Client,
    method: &'static Method,
    arguments: A,
    _result: PhantomData<fn() -> R>,
}

impl<'c, A: Serialize, R: DeserializeOwned> Call<'c, A, R> {
    /// Calls and waits for the result; no longer than the client's timeout, if it has one.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) and of [`Pending::wait`].
    pub fn call(self) -> Result<R> {
        self.start()?.wait()
    }

    /// As [`call`](Self::call), until `deadline`, which the handler gets to see too.
    ///
    /// # Errors
    /// As [`call`](Self::call), and [`Error::TimedOut`].
    pub fn call_deadline(self, deadline: Deadline) -> Result<R> {
        self.start_deadline(deadline)?.wait()
    }

    /// Sends the call, and does not wait for its result. There may be any number in flight, up to
    /// [`Options::calls`](super::Options::calls). Waits for room to send, if there is none.
    ///
    /// # Errors
    /// - [`Error::TooLong`], [`Error::Unencodable`]: the arguments cannot be sent.
    /// - [`Error::TooManyCalls`]: more calls are in flight than may be.
    /// - [`Error::Transport`], [`Error::Closed`]: the conversation is over.
    /// - [`Error::TimedOut`]: there was no room in time.
    pub fn start(self) -> Result<Pending<'c, R>> {
        let deadline = self.client.default_deadline();
        self.start_until(deadline)
    }

    /// As [`start`](Self::start). The call is to be done by `deadline`, and [`Pending::wait`] waits no longer.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_deadline(self, deadline: Deadline) -> Result<Pending<'c, R>> {
        self.start_until(Some(deadline))
    }

    fn start_until(self, deadline: Option<Deadline>) -> Result<Pending<'c, R>> {
        let Self { client, method, arguments, .. } = self;
        let call = client.start(method, &arguments, 0, until(deadline))?;
        Ok(Pending { flight: Flight { client, method, call, deadline, over: false }, _result: PhantomData })
    }
}

impl<'c, A, R> Call<'c, A, R> {
    pub(super) fn new(client: &'c Client, method: &'static Method, arguments: A) -> Self {
        Self { client, method, arguments, _result: PhantomData }
    }
}

/// A call in flight. Dropping it cancels the call.
#[must_use = "dropping it cancels the call"]
pub struct Pending<'c, R> {
    flight: Flight<'c>,
    _result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Pending<'_, R> {
    /// Waits for the result, up to the call's deadline.
    ///
    /// # Errors
    /// - [`Error::TimedOut`]: the deadline passed; the call is cancelled.
    /// - [`Error::Transport`], [`Error::Closed`], [`Error::Malformed`]: the conversation is over.
    /// - Whatever the server reports of the call: [`Error`] says what there is.
    /// - [`Error::Undecodable`]: the reply is no value of the type.
    pub fn wait(mut self) -> Result<R> {
        match self.take(until(self.flight.deadline))? {
            Some(result) => Ok(result),
            None => Err(self.flight.timed_out()),
        }
    }

    /// Waits for the result no longer than `deadline`. The call goes on if it comes first, and can be waited for again.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&mut self, deadline: Deadline) -> Result<R> {
        let deadline = self.flight.deadline.map_or(deadline, |own| own.min(deadline));
        self.wait_wait(Wait::until(deadline))
    }

    /// The result if it has arrived. Reads what there is to read, but waits for nothing.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> Result<Option<R>> {
        self.take(Wait::never())
    }

    /// Waits for the result as `wait` says. The call goes on if the time is up first. A signal ends an interruptible
    /// wait in the thread that reads the connection for the others.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`Error::Transport`] with an interruption.
    pub fn wait_wait(&mut self, wait: Wait) -> Result<R> {
        self.take(wait)?.ok_or_else(|| self.flight.timed_out())
    }

    fn take(&mut self, wait: Wait) -> Result<Option<R>> {
        self.flight.take(wait, Part::Reply)
    }
}

/// A call whose result is a stream, that has not been made yet: what such a method of a generated client gives.
#[must_use = "a call is made by `start`"]
pub struct StreamCall<'c, A, T> {
    client: &'c Client,
    method: &'static Method,
    arguments: A,
    window: u32,
    _item: PhantomData<fn() -> T>,
}

impl<'c, A: Serialize, T: DeserializeOwned> StreamCall<'c, A, T> {
    /// How many items the server may send before the first of them is taken: at least 1. More of them cost more memory
    /// and fewer pauses.
    pub fn window(self, items: u32) -> Self {
        Self { window: items, ..self }
    }

    /// Sends the call.
    ///
    /// # Errors
    /// Those of [`Call::start`].
    pub fn start(self) -> Result<Stream<'c, T>> {
        let deadline = self.client.default_deadline();
        self.start_until(deadline)
    }

    /// As [`start`](Self::start). The whole stream is to be done by `deadline`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_deadline(self, deadline: Deadline) -> Result<Stream<'c, T>> {
        self.start_until(Some(deadline))
    }

    fn start_until(self, deadline: Option<Deadline>) -> Result<Stream<'c, T>> {
        let Self { client, method, arguments, window, .. } = self;
        let call = client.start(method, &arguments, window, until(deadline))?;
        Ok(Stream { flight: Flight { client, method, call, deadline, over: false }, _item: PhantomData })
    }
}

impl<'c, A, T> StreamCall<'c, A, T> {
    pub(super) fn new(client: &'c Client, method: &'static Method, arguments: A, window: u32) -> Self {
        Self { client, method, arguments, window, _item: PhantomData }
    }
}

/// The items of a stream, as they arrive. Ends after the last, or after the first error. Dropping it cancels the call.
#[must_use = "dropping it cancels the call"]
pub struct Stream<'c, T> {
    flight: Flight<'c>,
    _item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Stream<'_, T> {
    /// Waits for the next item, up to the call's deadline; `None` after the last.
    ///
    /// # Errors
    /// As [`Pending::wait`]; the stream has ended then.
    pub fn receive(&mut self) -> Result<Option<T>> {
        let item = self.take(until(self.flight.deadline));
        match item {
            Ok(None) if !self.flight.over => {
                self.flight.cancel();
                Err(self.flight.timed_out())
            }
            item => item,
        }
    }

    /// As [`receive`](Self::receive), no longer than `deadline`. The stream goes on if it comes first.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<Option<T>> {
        let deadline = self.flight.deadline.map_or(deadline, |own| own.min(deadline));
        match self.take(Wait::until(deadline)) {
            Ok(None) if !self.flight.over => Err(self.flight.timed_out()),
            item => item,
        }
    }

    fn take(&mut self, wait: Wait) -> Result<Option<T>> {
        if self.flight.over {
            return Ok(None);
        }
        self.flight.take(wait, Part::Item)
    }
}

impl<T: DeserializeOwned> Iterator for Stream<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.receive().transpose()
    }
}

/// A call that was sent.
struct Flight<'c> {
    client: &'c Client,
    method: &'static Method,
    call: u32,
    deadline: Option<Deadline>,
    /// The client knows nothing of it any more.
    over: bool,
}

impl Flight<'_> {
    /// The result or the next item; `None` if the time was up first, or the stream is over.
    fn take<T: DeserializeOwned>(&mut self, wait: Wait, part: Part) -> Result<Option<T>> {
        if self.over {
            return Err(Error::Closed);
        }
        match self.client.wait_for(self.call, wait)? {
            Taken::Nothing => Ok(None),
            Taken::Payload { payload, .. } => {
                self.over = part == Part::Reply;
                let deep = self.client.service().check_result(self.method, &payload);
                let value = deep.map_err(str::to_owned).and_then(|()| decode(&payload));
                self.client.recycle(payload);
                value.map(Some).map_err(|why| {
                    self.cancel();
                    Error::Undecodable { part, method: self.method.name(), side: Side::Client, why }
                })
            }
            Taken::End => {
                self.over = true;
                Ok(None)
            }
            Taken::Failed(error) => {
                self.over = true;
                Err(error)
            }
        }
    }

    fn cancel(&mut self) {
        if !self.over {
            self.over = true;
            self.client.forget(self.call);
        }
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut { method: self.method.name() }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn until(deadline: Option<Deadline>) -> Wait {
    deadline.map_or(Wait::forever(), Wait::until)
}

impl<A, R> fmt::Debug for Call<'_, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.method.name()).finish()
    }
}

impl<R> fmt::Debug for Pending<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending").field(&self.flight.method.name()).finish()
    }
}

impl<A, T> fmt::Debug for StreamCall<'_, A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamCall").field(&self.method.name()).finish()
    }
}

impl<T> fmt::Debug for Stream<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.flight.method.name()).finish()
    }
}
