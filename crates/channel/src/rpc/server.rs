//! The server: answers calls over one connection, or over all that a listener accepts.

use core::fmt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use twixt_os::{Deadline, ErrorKind, Wait};

use super::client::LONGEST;
use super::connection::Connection;
use super::context::Incoming;
use super::error::{Error, Result};
use super::service::Service;
use super::stop::{GLANCE, Stop, StopHandle, at_most, until_ready};
use crate::{Content, Duplex, Framing, Listener};

/// Answers the calls of a service.
///
/// A generated trait's `into_server` makes one:
///
/// ```
/// use twixt_channel::rpc::Context;
/// use twixt_channel::{Duplex, Listener, service};
///
/// service! {
///     /// Sums.
///     pub trait Sums {
///         /// One number and another.
///         fn add(a: i32, b: i32) -> i32;
///     }
///     /// Calls [`Sums`].
///     pub struct SumsClient;
/// }
///
/// struct Plain;
///
/// impl Sums for Plain {
///     fn add(&self, _: &Context<'_>, a: i32, b: i32) -> i32 {
///         a.wrapping_add(b)
///     }
/// }
///
/// let address = "unix:@twixt-rpc-server-doc".parse()?;
/// let listener = Listener::open(&address)?;
/// let server = std::thread::spawn(move || Plain.into_server().serve(&mut listener.accept()?));
/// assert_eq!(SumsClient::connect(&address)?.add(1, 2).call()?, 3);
/// # server.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server<H> {
    handler: H,
    service: &'static Service,
    dispatch: Dispatch<H>,
    settings: Settings,
}

/// Takes a call to its handler.
pub(super) type Dispatch<H> = fn(&H, Incoming<'_>) -> Result<()>;

/// How a server behaves.
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) queue: usize,
    pub(super) max_message: u32,
    pub(super) stall: Duration,
    stop: Option<StopHandle>,
    observer: Option<Observer>,
}

type Observer = Box<dyn Fn(&Error) + Send + Sync>;

impl Settings {
    /// What ends all serving, if somebody could.
    pub(super) fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref().map(StopHandle::get)
    }

    pub(super) fn report(&self, error: &Error) {
        if let Some(observer) = &self.observer {
            observer(error);
        }
    }
}

/// How a conversation ended without anything being wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client said goodbye.
    Closed,
    /// The client has gone, and did not say so.
    PeerGone,
    /// The server was stopped ([`StopHandle::stop`]); the client has been told.
    Stopped,
}

impl<H: Sync> Server<H> {
    /// What [`service!`](crate::service!) generates does this.
    #[doc(hidden)]
    pub fn new(handler: H, service: &'static Service, dispatch: Dispatch<H>) -> Self {
        let settings = Settings {
            workers: 0,
            queue: 64,
            max_message: LONGEST,
            stall: Duration::from_secs(30),
            stop: None,
            observer: None,
        };
        Self { handler, service, dispatch, settings }
    }

    /// Runs so many calls of a connection at a time, in as many threads, while the thread that serves reads. Without
    /// this (0) that thread runs the calls itself, one after the other, and no other thread is started.
    #[must_use]
    pub fn workers(mut self, threads: usize) -> Self {
        self.settings.workers = threads;
        self
    }

    /// How many calls of a connection may wait to be run: 64 unless told otherwise. One more is refused with
    /// [`Error::Overloaded`]. However many they may be, their arguments take no more than 64 MiB, or one request.
    ///
    /// Without workers, calls wait in the channel while another one runs, unless its handler looks at the connection:
    /// by asking whether it is cancelled, or by waiting for credit.
    #[must_use]
    pub fn queue(mut self, calls: usize) -> Self {
        self.settings.queue = calls;
        self
    }

    /// The longest request that is taken, in bytes, its header of 24 included: 64 MiB unless told otherwise.
    #[must_use]
    pub fn max_message(mut self, bytes: u32) -> Self {
        self.settings.max_message = bytes;
        self
    }

    /// How long a message for a client may wait while the client reads nothing: 30 seconds unless told otherwise. Then the
    /// conversation is ended, with [`Error::Stalled`]. A client that reads, however slowly, is waited for.
    ///
    /// The result of a call that has a deadline is not waited with beyond that, and the conversation goes on.
    #[must_use]
    pub fn stall(mut self, most: Duration) -> Self {
        self.settings.stall = most;
        self
    }

    /// What stops this server, from another thread or a signal handler.
    ///
    /// ```
    /// # use twixt_channel::rpc::Context;
    /// # use twixt_channel::{Listener, service};
    /// # service! { pub trait Sums { fn add(a: i32, b: i32) -> i32; } pub struct SumsClient; }
    /// # struct Plain;
    /// # impl Sums for Plain {
    /// #     fn add(&self, _: &Context<'_>, a: i32, b: i32) -> i32 { a.wrapping_add(b) }
    /// # }
    /// let listener = Listener::open(&"unix:@twixt-rpc-stop-doc".parse()?)?;
    /// let mut server = Plain.into_server();
    /// let handle = server.stop_handle()?;
    /// let serving = std::thread::spawn(move || server.serve_listener(&listener, 10));
    /// // Until somebody has had enough:
    /// handle.stop();
    /// serving.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A server that can be stopped waits for its clients by two system calls more than one that cannot (a look at what has
    /// arrived, and a `ppoll(2)`), whenever nothing has arrived yet; where there is no descriptor to poll it looks ten
    /// times a second.
    ///
    /// # Errors
    /// [`Error::Transport`]: no descriptor is left (`RLIMIT_NOFILE`).
    pub fn stop_handle(&mut self) -> Result<StopHandle> {
        match &self.settings.stop {
            Some(handle) => Ok(handle.clone()),
            None => Ok(self.settings.stop.insert(StopHandle::new()?).clone()),
        }
    }

    /// Told of every call that was answered with an error of the server's: not decodable, too long, refused, too late,
    /// panicked. With [`serve_listener`](Self::serve_listener) also of every conversation that ended with an error.
    #[must_use]
    pub fn on_error(mut self, observer: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.settings.observer = Some(Box::new(observer));
        self
    }

    /// The service that it serves.
    pub fn service(&self) -> &'static Service {
        self.service
    }

    /// Answers one client, until it has gone. Calls that run then are cancelled, and waited for.
    ///
    /// Over a mailbox, which does not see its users go, the client's process is watched instead, and a new client may begin
    /// a new conversation at any time: it ends the one before it.
    ///
    /// # Errors
    /// - [`Error::Mismatch`]: the client calls something else. It has been told.
    /// - [`Error::Malformed`]: the client does not keep to the format.
    /// - [`Error::Stalled`]: the client reads nothing.
    /// - [`Error::Undescribable`]: no service of such types is served.
    /// - [`Error::Transport`]: the channel failed, or is one that keeps no boundaries.
    pub fn serve(&self, duplex: &mut Duplex) -> Result<Ended> {
        self.serve_wait(duplex, Wait::forever())
    }

    /// As [`serve`](Self::serve), as long as `wait` says. The client is told of the end.
    ///
    /// # Errors
    /// As [`serve`](Self::serve), and [`Error::Transport`] with what `wait` ends with.
    pub fn serve_wait(&self, duplex: &mut Duplex, wait: Wait) -> Result<Ended> {
        // For a whole conversation, not to wait is to be at its end at once.
        let wait = if wait.is_never() { Wait::until(Deadline::now()) } else { wait };
        self.service.check()?;
        check(duplex)?;
        let connection = Connection::new(self.service, &self.settings, duplex.halves(), wait);
        connection.run(&self.handler, self.dispatch)
    }

    /// Answers everyone who connects, up to `connections` at a time, each in a thread of its own. Who comes while there
    /// are so many waits to be accepted. Returns when it is [stopped](Self::stop_handle) and all connections have ended.
    ///
    /// # Errors
    /// [`Error::Undescribable`], and those of [`Listener::accept`] that are not one connection's alone; all connections have ended then.
    pub fn serve_listener(&self, listener: &Listener, connections: usize) -> Result<()> {
        self.serve_listener_wait(listener, connections, Wait::forever())
    }

    /// As [`serve_listener`](Self::serve_listener), accepting and serving as long as `wait` says. A signal that
    /// interrupts ends the accepting, but not the conversations.
    ///
    /// # Errors
    /// As [`serve_listener`](Self::serve_listener), and [`Error::Transport`] with what `wait` ends with.
    pub fn serve_listener_wait(&self, listener: &Listener, connections: usize, wait: Wait) -> Result<()> {
        self.service.check()?;
        let places =
            Places { free: Mutex::new(connections.max(1)), freed: Condvar::new(), all: connections.max(1) };
        let each = wait.deadline().map_or(Wait::forever(), Wait::until);
        std::thread::scope(|scope| {
            loop {
                if !places.take(wait) {
                    return Err(timed_out(listener));
                }
                let mut duplex = match self.accept(listener, wait) {
                    Ok(Some(duplex)) => duplex,
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        places.give_back();
                        match error.kind() {
                            // It went before it was accepted.
                            ErrorKind::PeerGone => continue,
                            // Another connection's end gives room for this one.
                            ErrorKind::LimitReached if !wait.has_passed() && places.wait_for_one() => {
                                continue;
                            }
                            _ => return Err(error.into()),
                        }
                    }
                };
                let place = Place(&places);
                let thread = std::thread::Builder::new().name("twixt-rpc".to_owned());
                let spawned = thread.spawn_scoped(scope, move || {
                    let _place = place;
                    if let Err(error) = self.serve_wait(&mut duplex, each) {
                        self.settings.report(&error);
                    }
                });
                if let Err(error) = spawned {
                    let error = Error::Failed { method: "a connection", why: error.to_string() };
                    self.settings.report(&error);
                }
            }
        })
    }
}

impl<H> Server<H> {
    /// Waits for a connection; none if the server is stopped first.
    fn accept(&self, listener: &Listener, wait: Wait) -> twixt_os::Result<Option<Duplex>> {
        let Some(stop) = self.settings.stop() else { return listener.accept_wait(wait).map(Some) };
        loop {
            if stop.is_set() {
                return Ok(None);
            }
            match listener.accept_wait(Wait::never()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !wait.is_never() => {}
                accepted => return accepted.map(Some),
            }
            match listener.readiness() {
                Ok(readiness) => {
                    let ready = until_ready(readiness, [Some(stop.descriptor()), None], wait);
                    ready.map_err(|errno| listener.failed("accept at", errno))?;
                }
                Err(_) => match listener.accept_wait(at_most(wait, GLANCE)) {
                    Err(error) if error.kind() == ErrorKind::TimedOut && !wait.has_passed() => {}
                    accepted => return accepted.map(Some),
                },
            }
        }
    }
}

/// Refuses what cannot carry calls, as far as that shows before the first message.
pub(super) fn check(duplex: &mut Duplex) -> Result<()> {
    let (sender, receiver) = duplex.halves();
    for (can, origin) in
        [(sender.capabilities(), sender.origin()), (receiver.capabilities(), receiver.origin())]
    {
        let why = if can.framing == Some(Framing::Raw) {
            "framing=raw keeps no boundaries, and calls need them; framing=frame or framing=len does"
        } else if can.content != Content::Bytes {
            "its messages are numbers, in which calls have no place"
        } else {
            continue;
        };
        return Err(origin.refused("call over", ErrorKind::Unsupported, why).into());
    }
    Ok(())
}

/// How many connections there may be yet.
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
    all: usize,
}

impl Places {
    /// Waits for a place; whether there was one in time.
    fn take(&self, wait: Wait) -> bool {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = match wait.deadline() {
                None => self.freed.wait(free).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) if deadline.has_passed() => return false,
                Some(deadline) => {
                    let woken = self.freed.wait_timeout(free, deadline.remaining());
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *free -= 1;
        true
    }

    fn give_back(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }

    /// Waits a moment for a connection to end; false if there is none.
    fn wait_for_one(&self) -> bool {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if *free == self.all {
            return false;
        }
        drop(self.freed.wait_timeout(free, GLANCE).unwrap_or_else(PoisonError::into_inner));
        true
    }
}

/// One connection's place.
struct Place<'p>(&'p Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

fn timed_out(listener: &Listener) -> Error {
    let why = "the time to serve is up";
    listener.refused("accept at", ErrorKind::TimedOut, why).into()
}

impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("service", &self.service.name())
            .field("workers", &self.settings.workers)
            .field("queue", &self.settings.queue)
            .finish_non_exhaustive()
    }
}
