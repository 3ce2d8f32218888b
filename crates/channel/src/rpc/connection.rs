//! A server's connection: what moves the messages, and what runs the calls.

use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::net::{Shutdown, shutdown};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};

use super::client::longest;
use super::context::{Context, Incoming, Link, Of};
use super::error::{Error, Result};
use super::peer::{Peer, introduction};
use super::server::{Dispatch, Ended, Settings};
use super::server_core::{Event, Job, ServerCore, Spent, Ticket, failure};
use super::service::Service;
use super::stop::{GLANCE, Stop, at_most};
use super::wire::Packet;
use crate::origin::Origin;
use crate::{Message, Receiver, Sender};

/// One connection being served.
///
/// Without workers one thread does everything: a handler that waits for credit, or asks whether it is still wanted,
/// reads the connection itself. With workers one thread reads and the others run the calls.
pub(super) struct Connection<'s> {
    service: &'static Service,
    // Who has locked the sender or the receiver may lock the state, but never the other way round.
    sender: Mutex<&'s mut Sender>,
    receiver: Mutex<Receiving<'s>>,
    state: Mutex<State>,
    /// Rung when there is a job, or no more will come.
    work: Condvar,
    /// Rung when a call has more credit, or is no longer wanted.
    changed: Condvar,
    /// Whether a thread of its own reads.
    threaded: bool,
    /// Whether hanging up on the client's words wakes the thread that waits for them.
    can_hang_up: bool,
    /// How long the conversation may last.
    wait: Wait,
    origin: Origin,
    settings: &'s Settings,
}

struct Receiving<'s> {
    receiver: &'s mut Receiver,
    message: Message,
    /// What is answered at once.
    answer: Vec<u8>,
    /// Whose words these are.
    client: Arc<Peer>,
}

struct State {
    core: ServerCore,
    /// As in [`Receiving`], for who sends.
    client: Arc<Peer>,
    /// How it ended, once it has.
    ended: Option<Result<Ended>>,
    /// How many threads wait for work, and for a change.
    idle: usize,
    parked: usize,
}

impl<'s> Connection<'s> {
    pub(super) fn new(
        service: &'static Service,
        settings: &'s Settings,
        (sender, receiver): (&'s mut Sender, &'s mut Receiver),
        wait: Wait,
    ) -> Self {
        let longest_carried = longest(sender.capabilities().max_message);
        let longest_taken = longest(receiver.capabilities().max_message).min(settings.max_message.into());
        let longest_taken = u32::try_from(longest_taken).unwrap_or(u32::MAX);
        let workers = settings.workers.max(1);
        let can_hang_up = can_hang_up(sender, receiver);
        let origin = receiver.origin().clone();
        let mut core = ServerCore::new(service, workers, settings.queue, longest_carried, longest_taken);
        core.introduce(introduction(sender, receiver));
        let client = Arc::new(Peer::Unknown);
        let receiving =
            Receiving { receiver, message: Message::new(), answer: Vec::new(), client: Arc::clone(&client) };
        Self {
            service,
            sender: Mutex::new(sender),
            receiver: Mutex::new(receiving),
            state: Mutex::new(State { core, client, ended: None, idle: 0, parked: 0 }),
            work: Condvar::new(),
            changed: Condvar::new(),
            threaded: settings.workers > 0,
            can_hang_up,
            wait,
            origin,
            settings,
        }
    }

    /// Serves until the conversation is over.
    pub(super) fn run<H: Sync>(&self, handler: &H, dispatch: Dispatch<H>) -> Result<Ended> {
        if !self.threaded {
            return self.run_alone(handler, dispatch);
        }
        std::thread::scope(|scope| {
            for _ in 0..self.settings.workers {
                let worker = std::thread::Builder::new().name("twixt-rpc".to_owned());
                let spawned = worker.spawn_scoped(scope, || self.work(handler, dispatch));
                if let Err(error) = spawned {
                    self.end(Err(Error::Failed { method: "a worker", why: error.to_string() }));
                }
            }
            while self.ended().is_none() {
                self.look(self.wait);
            }
        });
        self.ended().unwrap_or(Ok(Ended::Closed))
    }

    fn run_alone<H>(&self, handler: &H, dispatch: Dispatch<H>) -> Result<Ended> {
        let mut buffer = Vec::new();
        loop {
            self.keep_to_time();
            let mut state = lock(&self.state);
            let ended = state.ended.clone();
            match (ended, state.core.next()) {
                (Some(ended), _) => return ended,
                (None, Some(job)) => {
                    drop(state);
                    self.answer(job, &mut buffer, handler, dispatch);
                }
                (None, None) => {
                    drop(state);
                    self.look(self.wait);
                }
            }
        }
    }

    /// Runs calls until there will be no more.
    fn work<H>(&self, handler: &H, dispatch: Dispatch<H>) {
        let mut buffer = Vec::new();
        let mut state = lock(&self.state);
        while state.ended.is_none() {
            if let Some(job) = state.core.next() {
                drop(state);
                self.answer(job, &mut buffer, handler, dispatch);
                state = lock(&self.state);
            } else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    /// Runs one call.
    fn answer<H>(&self, job: Job, buffer: &mut Vec<u8>, handler: &H, dispatch: Dispatch<H>) {
        let Job { ticket, method, deadline, payload } = job;
        let context = Context::new(self, Of { ticket, method, deadline });
        let name = method.name();
        let in_time = || match deadline.is_some_and(Deadline::has_passed) {
            true => Err(Error::TimedOut { method: name }),
            false => Ok(()),
        };
        let outcome = in_time().and_then(|()| {
            buffer.clear();
            let incoming = Incoming::new(context, &payload, buffer);
            // The handler's own state is its own to keep whole, as with a lock that is poisoned.
            let outcome = catch_unwind(AssertUnwindSafe(|| dispatch(handler, incoming)));
            outcome.unwrap_or(Err(Error::Panicked { method: name }))?;
            // A handler may have given up because the deadline has passed: what it returned then is no result.
            in_time()
        });
        if let Err(error) = &outcome {
            buffer.clear();
            failure(ticket.call, error, lock(&self.state).core.longest_sent(), buffer);
        }
        let finished = self.finish(ticket, buffer, deadline);
        lock(&self.state).core.recycle(payload);
        let in_time = if finished == Sent::Late { Err(Error::TimedOut { method: name }) } else { Ok(()) };
        match outcome.and(in_time) {
            // The client asked for it, or brought it about by going.
            Err(Error::Cancelled { .. }) | Ok(()) => {}
            Err(error) => self.settings.report(&error),
        }
    }

    /// Sends the last message of a call, if anybody wants it.
    fn finish(&self, ticket: Ticket, message: &[u8], deadline: Option<Deadline>) -> Sent {
        // The sender first: no message of an earlier conversation may come behind the welcome of the next. And the call
        // is finished before its answer is out, which makes room for another.
        let sender = lock(&self.sender);
        let mut state = lock(&self.state);
        let wanted = state.core.finish(ticket);
        let more = state.core.has_work() && state.idle > 0;
        drop(state);
        if more {
            self.work.notify_one();
        }
        if wanted { self.send(sender, message, deadline) } else { Sent::Lost }
    }

    /// Sends a message, before `deadline` and as long as the client reads.
    fn send(
        &self,
        mut sender: MutexGuard<'_, &mut Sender>,
        message: &[u8],
        deadline: Option<Deadline>,
    ) -> Sent {
        let sent = match sender.send_wait(message, Wait::never()) {
            Ok(()) if !sender.holds_back() => return Sent::All,
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            begun => self.send_slowly(&mut sender, message, begun.is_ok(), deadline),
        };
        drop(sender);
        sent.unwrap_or_else(|error| {
            self.lose(error);
            Sent::Lost
        })
    }

    /// The same once there was no room for all of it.
    #[cold]
    fn send_slowly(
        &self,
        sender: &mut Sender,
        message: &[u8],
        mut accepted: bool,
        deadline: Option<Deadline>,
    ) -> Result<Sent> {
        let waiting = |sender: &Sender| sender.len().ok().flatten();
        let mut least = waiting(sender);
        let mut last_read = Instant::now();
        loop {
            let waited = last_read.elapsed();
            let Some(patience) = self.settings.stall.checked_sub(waited).filter(|left| !left.is_zero())
            else {
                return Err(Error::Stalled { waited });
            };
            if deadline.is_some_and(Deadline::has_passed) {
                // What the channel has begun to take goes on with the next message.
                return Ok(if accepted { Sent::All } else { Sent::Late });
            }
            if self.wait.has_passed() || self.is_stopped() || self.ended().is_some() {
                return Ok(Sent::Lost);
            }
            if self.client().has_ended() {
                // Who reads will find the same.
                return Ok(Sent::Lost);
            }
            let mut wait = at_most(self.wait, patience.min(GLANCE));
            if let Some(deadline) = deadline {
                wait = at_most(wait, deadline.remaining());
            }
            let attempt = if accepted { sender.flush(wait) } else { sender.send_wait(message, wait) };
            match attempt {
                Ok(()) if !sender.holds_back() => return Ok(Sent::All),
                Ok(()) => accepted = true,
                Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error.into()),
            }
            // Less waits than ever since: somebody reads.
            let now = waiting(sender);
            if now < least {
                (least, last_read) = (now, Instant::now());
            }
        }
    }

    fn client(&self) -> Arc<Peer> {
        Arc::clone(&lock(&self.state).client)
    }

    fn is_stopped(&self) -> bool {
        self.settings.stop().is_some_and(Stop::is_set)
    }

    /// Ends the conversation if its time is up.
    fn keep_to_time(&self) {
        if self.is_stopped() {
            self.end(Ok(Ended::Stopped));
        } else if self.wait.has_passed() {
            self.end(Err(self.origin.kernel("receive from", Errno::TIMEDOUT).into()));
        }
    }

    /// Waits for a message, so that it can be stopped; `WouldBlock` or `TimedOut` if it is time to look whether it was.
    fn receive(
        &self,
        receiver: &mut Receiver,
        message: &mut Message,
        client: &Peer,
        wait: Wait,
    ) -> twixt_os::Result<()> {
        let stop = self.settings.stop();
        let is_woken = stop.is_some() || !self.threaded || self.can_hang_up;
        let wait = if is_woken { wait } else { at_most(wait, GLANCE) };
        client.receive(receiver, message, wait, stop)
    }

    /// Reads one message, and answers what can be answered at once. Whether there was one.
    fn look(&self, wait: Wait) -> bool {
        self.keep_to_time();
        if self.ended().is_some() {
            return false;
        }
        let mut receiving = lock(&self.receiver);
        let Receiving { receiver, message, answer, client } = &mut *receiving;
        if let Err(error) = self.receive(receiver, message, client, wait) {
            match error.kind() {
                ErrorKind::PeerGone => self.end(Ok(Ended::PeerGone)),
                ErrorKind::WouldBlock => {}
                // A call's own deadline is its own affair.
                ErrorKind::TimedOut if !self.wait.has_passed() => {}
                _ => self.end(Err(error.into())),
            }
            return false;
        }
        answer.clear();
        let mut state = lock(&self.state);
        let event = state.core.receive(message.bytes(), answer);
        if event == Ok(Event::Opened) {
            *client = Arc::new(Peer::of(state.core.client()));
            state.client = Arc::clone(client);
        }
        let (idle, parked) = (state.idle > 0, state.parked > 0);
        drop(state);
        match &event {
            Ok(Event::Queued) if idle => self.work.notify_one(),
            Ok(Event::Changed | Event::Opened) if parked => self.changed.notify_all(),
            _ => {}
        }
        if !answer.is_empty() {
            self.send(lock(&self.sender), answer, None);
        }
        match event {
            Ok(Event::Closed) => self.end(Ok(Ended::Closed)),
            Ok(Event::Refused(error)) => self.end(Err(error)),
            Ok(Event::Rejected(error)) => self.settings.report(&error),
            Ok(Event::Nothing | Event::Opened | Event::Queued | Event::Changed) => {}
            Err(error) => self.end(Err(error)),
        }
        true
    }

    /// A message could not be sent. That the client has gone is left to who reads: it may have said something before.
    fn lose(&self, error: Error) {
        if error.kind() == ErrorKind::PeerGone {
            return;
        }
        self.end(Err(error));
        if self.threaded && self.can_hang_up {
            // Who waits for the client's next words hears that there will be none.
            if let Ok(readiness) = lock(&self.sender).readiness() {
                let _ = shutdown(readiness.descriptor(), Shutdown::Read);
            }
        }
    }

    /// The conversation is over, and if it is the server that ends it, the client is told.
    fn end(&self, how: Result<Ended>) {
        let mut state = lock(&self.state);
        if state.ended.is_some() {
            return;
        }
        let must_tell = !matches!(how, Ok(Ended::Closed | Ended::PeerGone)) && state.core.is_open();
        state.core.close();
        state.ended = Some(how);
        drop(state);
        self.work.notify_all();
        self.changed.notify_all();
        if must_tell {
            let mut goodbye = Vec::new();
            Packet::Goodbye.encode(&mut goodbye);
            // Who does not hear it sees the connection end.
            let _ = lock(&self.sender).send_wait(&goodbye, Wait::never());
        }
    }

    fn ended(&self) -> Option<Result<Ended>> {
        lock(&self.state).ended.clone()
    }
}

impl Link for Connection<'_> {
    /// Sends an item of a stream, once the client has granted it.
    fn send_item(&self, of: &Of, message: &[u8]) -> Result<()> {
        let (ticket, method, deadline) = (of.ticket, of.method.name(), of.deadline);
        let mut state = lock(&self.state);
        loop {
            if deadline.is_some_and(Deadline::has_passed) {
                return Err(Error::TimedOut { method });
            }
            match state.core.spend(ticket) {
                Spent::Granted => break,
                Spent::Unwanted => return Err(Error::Cancelled { method }),
                Spent::NoCredit if self.threaded => {
                    state.parked += 1;
                    state = match deadline {
                        None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                        Some(deadline) => {
                            let woken = self.changed.wait_timeout(state, deadline.remaining());
                            woken.unwrap_or_else(PoisonError::into_inner).0
                        }
                    };
                    state.parked -= 1;
                }
                Spent::NoCredit => {
                    drop(state);
                    let wait = match (deadline, self.wait.deadline()) {
                        (Some(one), Some(other)) => Wait::until(one.min(other)),
                        (Some(one), None) => Wait::until(one),
                        (None, _) => self.wait,
                    };
                    self.look(wait);
                    state = lock(&self.state);
                }
            }
        }
        drop(state);
        let sender = lock(&self.sender);
        if !lock(&self.state).core.wants(ticket) {
            return Err(Error::Cancelled { method });
        }
        match self.send(sender, message, deadline) {
            Sent::All => Ok(()),
            Sent::Late => Err(Error::TimedOut { method }),
            Sent::Lost => Err(Error::Cancelled { method }),
        }
    }

    /// Whether anybody wants the result of a call. Without workers this reads what has arrived.
    fn wants(&self, ticket: Ticket) -> bool {
        if !self.threaded {
            // A client may say more than can be heard; the rest is heard the next time.
            for _ in 0..MOST_HEARD {
                if !lock(&self.state).core.wants(ticket) || !self.look(Wait::never()) {
                    break;
                }
            }
        }
        lock(&self.state).core.wants(ticket)
    }

    /// The longest message that reaches the client.
    fn longest_sent(&self) -> u64 {
        lock(&self.state).core.longest_sent()
    }

    fn service(&self) -> &'static Service {
        self.service
    }
}

/// Whether both halves are of one socket, which no other process has a part in: shutting it down wakes who waits for it.
fn can_hang_up(sender: &Sender, receiver: &Receiver) -> bool {
    let same = match (sender.readiness(), receiver.readiness()) {
        (Ok(out), Ok(back)) => out.descriptor().as_raw_fd() == back.descriptor().as_raw_fd(),
        _ => false,
    };
    same && receiver.capabilities().listens
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// The channel has it.
    All,
    /// The deadline of its call passed before anything of it was sent.
    Late,
    /// Nobody gets it: the conversation is over, or who reads will see that it is.
    Lost,
}

/// How many messages are heard at most when a handler asks whether it is still wanted.
const MOST_HEARD: u32 = 64;

/// A panic elsewhere leaves nothing half done in here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
