//! A channel within the process, between threads.
//!
//! It behaves as those between processes do, each capacity included, which makes it the channel to test a program with,
//! and the measure that the others are held against.
//!
//! ```
//! use twixt_channel::{Capacity, local};
//!
//! let (mut sender, mut receiver) = local::channel(Capacity::Messages(16));
//! std::thread::spawn(move || sender.send(b"hello")).join().expect("no panic")?;
//! assert_eq!(receiver.receive()?.bytes(), b"hello");
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! It has no descriptor to poll. An interruptible wait looks again and again, every 4 ms at the latest, since nothing that
//! threads wake each other with ends when a signal handler runs.

use core::fmt;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use twixt_os::{Deadline, Errno, Error, ErrorKind, Limit, Mechanism, Object, Result, Wait};

use crate::half::{ReceiveHalf, SendHalf};
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacities, Capacity, Duplex, Message, Readiness, Receiver, Sender,
};

/// A channel with one sender and one receiver. For more of either, use [`Channel`].
///
/// Sender and receiver see each other's end: [`PeerGone`](ErrorKind::PeerGone).
pub fn channel(capacity: Capacity) -> (Sender, Receiver) {
    let channel = Channel::new(capacity);
    (channel.sender(), channel.receiver())
}

/// Both ends of a connection, with 64 KiB of room each way. Of other capacities, a pair of [`channel`]s makes one:
/// `Duplex::from((sender, receiver))`.
pub fn duplex() -> (Duplex, Duplex) {
    let (here, from_here) = channel(Capacity::Bytes(ROOM));
    let (there, from_there) = channel(Capacity::Bytes(ROOM));
    (Duplex::from((here, from_there)), Duplex::from((there, from_here)))
}

/// What [`duplex`] has room for each way.
const ROOM: u64 = 64 * 1024;

/// What each message takes of a capacity in bytes, or of a budget, beside its own bytes.
pub const OVERHEAD: u64 = size_of::<usize>() as u64;

/// A place where any number of senders and receivers meet, each message going to one receiver.
///
/// As with a FIFO, the end comes when all senders have gone. As long as there is a `Channel` to open others from, each
/// receiver is told so once, and then waits for new ones; afterwards it is told every time. Before the first sender
/// it waits, and before the first receiver what is sent waits.
///
/// ```
/// use twixt_channel::{Capacity, local::Channel};
///
/// let jobs = Channel::new(Capacity::Unbounded { budget: 1 << 20 });
/// let (mut one, mut other) = (jobs.sender(), jobs.sender());
/// let mut receiver = jobs.receiver();
/// one.send(b"this")?;
/// other.send(b"that")?;
/// drop((jobs, one, other));
/// let all: Vec<_> = receiver.messages().collect::<Result<_, _>>()?;
/// assert_eq!(all.len(), 2);
/// # Ok::<(), twixt_os::Error>(())
/// ```
pub struct Channel {
    shared: Arc<Shared>,
}

impl Channel {
    /// A channel that has neither senders nor receivers yet. Room for no bytes or for no message is [`Capacity::Zero`].
    ///
    /// In a capacity of bytes, and in a budget, a message counts with [`OVERHEAD`] bytes beside its own.
    pub fn new(capacity: Capacity) -> Self {
        let capacity = match capacity {
            Capacity::Bytes(0) | Capacity::Messages(0) => Capacity::Zero,
            other => other,
        };
        let state = Mutex::new(State { channels: 1, ..State::default() });
        Self { shared: Arc::new(Shared { capacity, state, arrival: Condvar::new(), room: Condvar::new() }) }
    }

    /// One more sender.
    pub fn sender(&self) -> Sender {
        self.shared.lock().senders += 1;
        Sender::new(Box::new(LocalSender { shared: Arc::clone(&self.shared) }), origin())
    }

    /// One more receiver.
    pub fn receiver(&self) -> Receiver {
        let mut state = self.shared.lock();
        state.receivers += 1;
        state.had_receivers = true;
        drop(state);
        Receiver::new(Box::new(LocalReceiver { shared: Arc::clone(&self.shared), ends_seen: 0 }), origin())
    }
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        self.shared.lock().channels += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.channels -= 1;
        if state.channels == 0 {
            self.shared.wake_all(state);
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.shared.capacity).finish()
    }
}

struct Shared {
    capacity: Capacity,
    state: Mutex<State>,
    /// A message has come, or the end.
    arrival: Condvar,
    /// A message has gone, or all receivers.
    room: Condvar,
}

#[derive(Default)]
struct State {
    /// The messages that wait, and the length of each. With capacity zero, the one that is offered.
    bytes: VecDeque<u8>,
    lengths: VecDeque<usize>,
    /// How many messages were ever taken.
    taken: u64,
    channels: usize,
    senders: usize,
    receivers: usize,
    had_receivers: bool,
    /// How often the last sender has gone.
    ends: u64,
    /// The receivers within a receive. None of them leaves it while there is a message.
    receiving: usize,
    /// The threads that sleep until `arrival`, and until `room`. To wake nobody is a system call saved.
    awaiting_arrival: usize,
    awaiting_room: usize,
}

impl State {
    /// The bytes that wait, and what it takes to tell them apart.
    fn used(&self) -> u64 {
        self.bytes.len() as u64 + self.lengths.len() as u64 * OVERHEAD
    }

    /// Whether what is sent would reach nobody.
    fn nobody_receives(&self) -> bool {
        self.receivers == 0 && (self.had_receivers || self.channels == 0)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.lengths.push_back(bytes.len());
    }

    fn take(&mut self, message: &mut Message) -> bool {
        let Some(len) = self.lengths.pop_front() else { return false };
        let mut room = &mut message.room(len)[..len];
        while !room.is_empty() {
            // Reading from memory cannot fail; it stops where the ring wraps.
            match self.bytes.read(room) {
                Ok(read) if read > 0 => room = &mut room[read..],
                _ => break,
            }
        }
        message.set_len(len);
        self.taken += 1;
        true
    }
}

/// What a thread waits for.
#[derive(Clone, Copy)]
enum Event {
    Arrival,
    Room,
}

impl Shared {
    /// Nothing here panics while it holds the lock, so what a poisoned one guards is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the attempt until it comes to something or the time is up.
    fn settle<T>(
        &self,
        event: Event,
        wait: Wait,
        mut attempt: impl FnMut(&mut State) -> Option<Result<T>>,
    ) -> Result<Result<T>, Errno> {
        let is_interruptible = wait == wait.interruptible();
        if is_interruptible || wait.is_never() {
            return wait.with_backoff(|| attempt(&mut self.lock()).ok_or(Errno::AGAIN));
        }
        let mut state = self.lock();
        loop {
            if let Some(settled) = attempt(&mut state) {
                return Ok(settled);
            }
            if wait.has_passed() {
                return Err(Errno::TIMEDOUT);
            }
            state = self.sleep(state, event, wait.deadline());
        }
    }

    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        event: Event,
        deadline: Option<Deadline>,
    ) -> MutexGuard<'a, State> {
        *state.sleepers(event) += 1;
        let condvar = match event {
            Event::Arrival => &self.arrival,
            Event::Room => &self.room,
        };
        let mut state = match deadline {
            None => condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let woken = condvar.wait_timeout(state, deadline.remaining());
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        *state.sleepers(event) -= 1;
        state
    }

    /// Says that a message has come.
    fn announce_arrival(&self, state: &State) {
        if state.awaiting_arrival > 0 {
            self.arrival.notify_one();
        }
    }

    /// Says that a message has gone.
    fn announce_room(&self, state: &State) {
        match (state.awaiting_room, self.capacity) {
            (0, _) => {}
            (_, Capacity::Messages(_)) => self.room.notify_one(),
            // There is room for one of them, but not for just anyone.
            _ => self.room.notify_all(),
        }
    }

    /// Says that somebody has gone.
    fn wake_all(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.arrival.notify_all();
        self.room.notify_all();
    }

    /// The longest message.
    fn most(&self) -> Option<u64> {
        match self.capacity {
            Capacity::Bytes(most) | Capacity::Unbounded { budget: most } => {
                Some(most.saturating_sub(OVERHEAD))
            }
            Capacity::Zero | Capacity::Messages(_) => None,
        }
    }

    fn has_room(&self, state: &State, len: usize) -> bool {
        match self.capacity {
            Capacity::Zero => state.lengths.is_empty(),
            Capacity::Messages(most) => (state.lengths.len() as u64) < most,
            Capacity::Bytes(most) | Capacity::Unbounded { budget: most } => {
                state.used() + len as u64 + OVERHEAD <= most
            }
        }
    }

    fn len(&self) -> u64 {
        let state = self.lock();
        match self.capacity {
            Capacity::Zero => 0,
            Capacity::Messages(_) => state.lengths.len() as u64,
            Capacity::Bytes(_) | Capacity::Unbounded { .. } => state.used(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message: self.most().map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            sees_end: true,
            capacities: Capacities::all(),
            pollable: false,
            ..Capabilities::new(Boundaries::Kept)
        }
    }
}

impl State {
    fn sleepers(&mut self, event: Event) -> &mut usize {
        match event {
            Event::Arrival => &mut self.awaiting_arrival,
            Event::Room => &mut self.awaiting_room,
        }
    }
}

struct LocalSender {
    shared: Arc<Shared>,
}

impl LocalSender {
    /// Puts the message where a receiver finds it, once there is room. Returns its number.
    fn put(&self, bytes: &[u8], wait: Wait) -> Result<u64> {
        let shared = &*self.shared;
        let put = shared.settle(Event::Room, wait, |state| {
            if state.nobody_receives() {
                return Some(Err(refused(SEND, ErrorKind::PeerGone, "all receivers have gone")));
            }
            if shared.has_room(state, bytes.len()) {
                state.put(bytes);
                shared.announce_arrival(state);
                return Some(Ok(state.taken + state.lengths.len() as u64));
            }
            match shared.capacity {
                Capacity::Unbounded { budget } => Some(Err(over_budget(budget, state.used(), bytes.len()))),
                _ => None,
            }
        });
        put.map_err(|errno| failure(SEND, errno))?
    }

    /// Waits until message `number` has been taken, and otherwise withdraws it.
    ///
    /// A receiver within a receive counts as having taken it when the time is up: it will not leave without.
    fn meet(&self, number: u64, wait: Wait) -> Result<()> {
        let shared = &*self.shared;
        let met = shared.settle(Event::Room, wait, |state| {
            if state.taken >= number {
                Some(Ok(()))
            } else if state.nobody_receives() {
                Some(Err(refused(SEND, ErrorKind::PeerGone, "all receivers have gone")))
            } else {
                None
            }
        });
        let error = match met {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(gone)) => gone,
            Err(errno) => failure(SEND, errno),
        };
        let mut state = shared.lock();
        if state.taken >= number || state.receiving > 0 {
            return Ok(());
        }
        state.bytes.clear();
        state.lengths.clear();
        shared.announce_room(&state);
        Err(error)
    }
}

impl SendHalf for LocalSender {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        if let Some(most) = self.shared.capabilities().max_message
            && bytes.len() > most
        {
            return Err(origin().too_long(bytes.len(), most));
        }
        let number = self.put(bytes, wait)?;
        if self.shared.capacity == Capacity::Zero { self.meet(number, wait) } else { Ok(()) }
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(self.shared.capacity))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(Some(self.shared.len()))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

impl Drop for LocalSender {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            state.ends += 1;
            self.shared.wake_all(state);
        }
    }
}

struct LocalReceiver {
    shared: Arc<Shared>,
    /// How many of the ends this receiver was told.
    ends_seen: u64,
}

impl ReceiveHalf for LocalReceiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let shared = &*self.shared;
        let ends_seen = &mut self.ends_seen;
        let mut state = shared.lock();
        if state.take(message) {
            shared.announce_room(&state);
            return Ok(());
        }
        state.receiving += 1;
        drop(state);
        let received = shared.settle(Event::Arrival, wait, |state| {
            if state.take(message) {
                shared.announce_room(state);
                return Some(Ok(()));
            }
            let is_over = state.senders == 0 && (state.channels == 0 || *ends_seen < state.ends);
            is_over.then(|| {
                *ends_seen = state.ends;
                Err(refused(RECEIVE, ErrorKind::PeerGone, "all senders have gone"))
            })
        });
        let mut state = shared.lock();
        state.receiving -= 1;
        match received {
            Ok(settled) => settled,
            // A sender may have relied on this receiver since.
            Err(_) if state.take(message) => {
                shared.announce_room(&state);
                Ok(())
            }
            Err(errno) => Err(failure(RECEIVE, errno)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(self.shared.capacity))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(Some(self.shared.len()))
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

impl Drop for LocalReceiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receivers -= 1;
        if state.receivers == 0 {
            self.shared.wake_all(state);
        }
    }
}

const SEND: &str = "send to";
const RECEIVE: &str = "receive from";

const fn origin() -> Origin {
    Origin { mechanism: Mechanism::Local, object: Object::Unnamed, endpoint: None, timeout: None }
}

fn failure(operation: &'static str, errno: Errno) -> Error {
    Error::kernel(Mechanism::Local, operation, Object::Unnamed, errno)
}

fn refused(operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
    origin().refused(operation, kind, why)
}

fn over_budget(budget: u64, used: u64, len: usize) -> Error {
    let limit =
        Limit { name: "its budget", current: Some(budget), needed: Some(used + len as u64 + OVERHEAD) };
    refused(SEND, ErrorKind::LimitReached, "no room is left").with_limit(limit)
}
