//! Moving messages on behalf of all threads that use a client.
//!
//! One thread at a time reads: it is *pumping*. The others sleep, each until its own call has something to take, or
//! until it is its turn to pump. Whoever stops pumping wakes one of them.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_os::{Errno, ErrorKind, Wait};

use super::Client;
use crate::rpc::client_core::{ClientCore, Event};
use crate::rpc::error::{Error, Result};
use crate::rpc::peer::Peer;
use crate::rpc::stop::at_most;
use crate::rpc::wire::Packet;
use crate::{Message, Receiver, Sender};

/// What sends, and the room in which its messages are made.
pub(super) struct Sending {
    pub(super) sender: Sender,
    pub(super) buffer: Vec<u8>,
}

/// What receives, and the room for what it receives.
pub(super) struct Receiving {
    receiver: Receiver,
    message: Message,
    /// Whose words these are.
    server: Peer,
}

/// What all threads know.
pub(super) struct State {
    pub(super) core: ClientCore,
    /// Whether some thread reads.
    pumping: bool,
    /// Whether some thread has its turn to send.
    sending: bool,
    /// The threads that sleep, and what for.
    sleeping: Vec<Sleeper>,
    /// Messages without a payload, to be sent by whoever has the next turn: a drop waits for nothing.
    posted: VecDeque<Packet<'static>>,
    /// Something stands to be sent that there was no room for.
    stuck: bool,
}

struct Sleeper {
    purpose: Purpose,
    bell: Arc<Condvar>,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// That the server greets.
    Greeting,
    /// What there is to take of a call.
    Call(u32),
    /// Its turn to send.
    Turn,
}

thread_local! {
    /// What a thread sleeps on; it sleeps for one call at a time.
    static BELL: Arc<Condvar> = Arc::new(Condvar::new());
}

/// How long to sleep where nothing says when there is room again.
const SHORT: Duration = Duration::from_millis(1);
/// How long to wait for room while somebody else reads, who may stop.
const LONG: Duration = Duration::from_millis(10);

/// How many messages to read before looking whether the time is up.
const MOST_HEARD: u32 = 1024;

impl Receiving {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver, message: Message::new(), server: Peer::Unknown }
    }
}

impl State {
    pub(super) fn new(core: ClientCore) -> Self {
        Self {
            core,
            pumping: false,
            sending: false,
            sleeping: Vec::new(),
            posted: VecDeque::new(),
            stuck: false,
        }
    }

    /// Wakes somebody to pump, if nobody does and somebody sleeps who could.
    fn hand_over(&self) {
        if !self.pumping {
            self.wake(|purpose| purpose != Purpose::Turn);
        }
    }

    /// Wakes one of those who sleep for such a purpose.
    fn wake(&self, suits: impl Fn(Purpose) -> bool) {
        if let Some(sleeper) = self.sleeping.iter().find(|sleeper| suits(sleeper.purpose)) {
            sleeper.bell.notify_one();
        }
    }

    fn fail(&mut self, error: Error) {
        self.core.fail(error);
        for sleeper in &self.sleeping {
            sleeper.bell.notify_one();
        }
    }
}

impl Client {
    /// Waits until `look` finds what it looks for; `None` if the time was up first. Reads for everybody meanwhile, or
    /// sleeps while somebody else does.
    pub(super) fn pump_until<T>(
        &self,
        wait: Wait,
        purpose: Purpose,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut state = lock(&self.state);
        let (mut is_up, mut heard) = (false, 0);
        loop {
            if let Some(found) = look(&mut state) {
                state.hand_over();
                return Ok(Some(found));
            }
            if is_up {
                state.hand_over();
                return Ok(None);
            }
            if state.pumping {
                is_up = wait.is_never();
                if !is_up {
                    state = sleep(state, purpose, wait);
                    is_up = wait.has_passed();
                }
                continue;
            }
            state.pumping = true;
            let stuck = state.stuck;
            drop(state);
            let pumped = self.pump(wait, stuck);
            state = lock(&self.state);
            state.pumping = false;
            match pumped {
                Ok(moved) => {
                    heard += u32::from(moved);
                    // Whoever says much that is of no concern to this call does not keep it beyond its time.
                    let is_silent = !moved || heard.is_multiple_of(MOST_HEARD);
                    is_up = is_silent && (wait.is_never() || wait.has_passed());
                }
                // Only an interruption is this thread's alone.
                Err(error) => {
                    state.hand_over();
                    return Err(error);
                }
            }
        }
    }

    /// Sends what stands in the buffer. What a stream has accepted in part is sent, also when the time is up.
    pub(super) fn transmit(&self, sending: &mut Sending, wait: Wait, method: &'static str) -> Result<()> {
        let mut accepted = false;
        loop {
            let Sending { sender, buffer } = &mut *sending;
            let attempt =
                if accepted { sender.flush(Wait::never()) } else { sender.send_wait(buffer, Wait::never()) };
            match attempt {
                Ok(()) => {
                    accepted = true;
                    if !sender.holds_back() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if wait.is_never() || wait.has_passed() {
                // What is kept back is sent later.
                return if accepted { Ok(()) } else { Err(Error::TimedOut { method }) };
            }
            match self.until_room(sending, wait) {
                Err(_) if accepted => return Ok(()),
                outcome => outcome?,
            }
        }
    }

    /// Waits for the turn to send.
    pub(super) fn turn(&self, wait: Wait, method: &'static str) -> Result<Turn<'_>> {
        let mut state = lock(&self.state);
        while state.sending {
            if wait.is_never() || wait.has_passed() {
                return Err(Error::TimedOut { method });
            }
            state = sleep(state, Purpose::Turn, wait);
        }
        state.sending = true;
        drop(state);
        Ok(Turn { client: self, sending: lock(&self.sender) })
    }

    /// Leaves a message to whoever has the next turn to send, which is this thread if nobody else sends.
    pub(super) fn post(&self, packet: Packet<'static>) {
        let mut state = lock(&self.state);
        state.posted.push_back(packet);
        if !state.sending {
            state.sending = true;
            drop(state);
            // Its end sends what was posted.
            drop(Turn { client: self, sending: lock(&self.sender) });
        }
    }

    /// Tries again to send what there was no room for.
    fn unstick(&self) {
        let mut state = lock(&self.state);
        if state.sending {
            return;
        }
        state.sending = true;
        drop(state);
        drop(Turn { client: self, sending: lock(&self.sender) });
    }

    /// Reads one message; whether there was one, or something that all threads must know. Only who has set `pumping`.
    fn pump(&self, wait: Wait, stuck: bool) -> Result<bool> {
        let wait = if stuck {
            self.unstick();
            at_most(wait, LONG)
        } else {
            wait
        };
        let mut receiving = lock(&self.receiver);
        self.read(&mut receiving, wait)
    }

    fn read(&self, receiving: &mut Receiving, wait: Wait) -> Result<bool> {
        let Receiving { receiver, message, server } = receiving;
        match server.receive(receiver, message, wait, None) {
            Ok(()) => {}
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(false),
                    ErrorKind::Interrupted => Err(error.into()),
                    _ => {
                        lock(&self.state).fail(error.into());
                        Ok(true)
                    }
                };
            }
        }
        let mut state = lock(&self.state);
        match state.core.receive(message.bytes()) {
            Ok(Event::Arrived(call)) => state.wake(|purpose| purpose == Purpose::Call(call)),
            Ok(Event::Opened) => *server = Peer::of(state.core.server()),
            Ok(Event::Nothing) => {}
            Err(error) => state.fail(error),
        }
        Ok(true)
    }

    /// Waits for room to send, and reads meanwhile: the other side may be waiting for room as well.
    fn until_room(&self, sending: &mut Sending, wait: Wait) -> Result<()> {
        let mut state = lock(&self.state);
        // The channel has ended: there will be no room.
        state.core.is_open()?;
        if state.pumping {
            drop(state);
            let short = at_most(wait, LONG);
            match sending.sender.readiness() {
                Ok(readiness) => match short.until_writable(readiness.descriptor()) {
                    Err(Errno::INTR) => return Err(interrupted(&sending.sender)),
                    _ready_or_time_for_another_look => {}
                },
                Err(_) => std::thread::sleep(SHORT),
            }
            return Ok(());
        }
        state.pumping = true;
        drop(state);
        let outcome = self.read_until_room(sending, wait);
        let mut state = lock(&self.state);
        state.pumping = false;
        state.hand_over();
        outcome
    }

    fn read_until_room(&self, sending: &mut Sending, wait: Wait) -> Result<()> {
        let mut receiving = lock(&self.receiver);
        if self.read(&mut receiving, Wait::never())? {
            return Ok(());
        }
        let (Ok(out), Ok(back)) = (sending.sender.readiness(), receiving.receiver.readiness()) else {
            // A mailbox without a descriptor wakes who waits for a message, not who waits for one or for room.
            return self.read(&mut receiving, at_most(wait, SHORT)).map(drop);
        };
        let mut polled = [
            PollFd::from_borrowed_fd(out.descriptor(), PollFlags::OUT),
            PollFd::from_borrowed_fd(back.descriptor(), PollFlags::IN),
            // What never makes room any more is to be seen, too.
            receiving
                .server
                .descriptor()
                .map_or(PollFd::from_borrowed_fd(back.descriptor(), PollFlags::empty()), |server| {
                    PollFd::from_borrowed_fd(server, PollFlags::IN)
                }),
        ];
        let ready = wait.with_timeout(|timeout| {
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            if poll(&mut polled, timeout.as_ref())? == 0 { Err(Errno::AGAIN) } else { Ok(()) }
        });
        match ready {
            Err(Errno::INTR) => Err(interrupted(&sending.sender)),
            _ready_or_past => Ok(()),
        }
    }
}

/// A thread's turn to send. Its end sends what others have posted meanwhile.
pub(super) struct Turn<'c> {
    client: &'c Client,
    sending: MutexGuard<'c, Sending>,
}

impl Turn<'_> {
    /// Sends what was kept back and what was posted, as far as there is room for it now. Whether it could all be sent.
    fn send_posted(&mut self, mut posted: Option<Packet<'static>>) -> bool {
        let Sending { sender, buffer } = &mut *self.sending;
        let sent = match &posted {
            None => sender.flush(Wait::never()),
            Some(packet) => {
                buffer.clear();
                packet.encode(buffer);
                sender.send_wait(buffer, Wait::never())
            }
        };
        if matches!(&sent, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            if let Some(packet) = posted.take() {
                lock(&self.client.state).posted.push_front(packet);
            }
            return false;
        }
        // Any other error is found again by who next wants something of the channel.
        !sender.holds_back()
    }
}

impl Deref for Turn<'_> {
    type Target = Sending;

    fn deref(&self) -> &Sending {
        &self.sending
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Sending {
        &mut self.sending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut goes_on = !self.sending.sender.holds_back() || self.send_posted(None);
        let mut state = loop {
            let mut state = lock(&self.client.state);
            state.stuck = !goes_on;
            if !goes_on {
                break state;
            }
            let Some(packet) = state.posted.pop_front() else { break state };
            drop(state);
            goes_on = self.send_posted(Some(packet));
        };
        // The next one finds the sender's lock free at the latest when this drop is over.
        state.sending = false;
        state.wake(|purpose| purpose == Purpose::Turn);
    }
}

/// Sleeps until woken or the time is up.
fn sleep<'a>(mut state: MutexGuard<'a, State>, purpose: Purpose, wait: Wait) -> MutexGuard<'a, State> {
    let bell = BELL.with(Arc::clone);
    state.sleeping.push(Sleeper { purpose, bell: Arc::clone(&bell) });
    let mut state = match wait.deadline() {
        None => bell.wait(state).unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let woken = bell.wait_timeout(state, deadline.remaining());
            woken.unwrap_or_else(PoisonError::into_inner).0
        }
    };
    if let Some(place) = state.sleeping.iter().position(|sleeper| Arc::ptr_eq(&sleeper.bell, &bell)) {
        state.sleeping.swap_remove(place);
    }
    state
}

fn interrupted(sender: &Sender) -> Error {
    let object = super::About::new(sender);
    twixt_os::Error::kernel(object.mechanism, "send to", object.object, Errno::INTR).into()
}

/// A panic elsewhere leaves nothing half done in here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
