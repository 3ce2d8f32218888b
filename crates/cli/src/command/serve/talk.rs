//! Connections whose messages have a command each.
//!
//! A connection takes a place among those at work only while a message of it is dealt with. Those that say nothing are watched
//! by one descriptor and hold up nobody, however many they are.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::epoll;
use rustix::process::{Resource, getrlimit};
use twixt::channel::{Framing, Interest, Listener, Message, Readiness, Receiver, Sender};
use twixt::os::eventfd::{EventFd, Flags};
use twixt::os::{Errno, Error, ErrorKind, Mechanism, Object, Result, Wait, timespec};

use super::crew::Crew;
use super::message::Request;

/// A listener, and those who have connected.
pub struct Talk {
    listener: Listener,
    framing: Option<Framing>,
    name: String,
    /// Watches the listener, the bell and the silent ones.
    epoll: OwnedFd,
    /// Those that have nothing more to say at present.
    silent: HashMap<u64, Talker>,
    /// Those that may have something, who has waited longest first.
    ready: VecDeque<Talker>,
    /// How many are being answered.
    out: usize,
    back: Arc<Back>,
    number: u64,
    /// How many there may be, and whether newcomers wait since there are.
    most: usize,
    is_full: bool,
    /// Whether that was told of.
    has_been_full: bool,
}

/// A connection.
struct Talker {
    number: u64,
    sender: Sender,
    receiver: Receiver,
    /// How many messages have come.
    count: u64,
}

/// A message that is to be answered.
pub struct Question {
    /// Nothing once it has been given back, or is closed.
    talker: Option<Talker>,
    message: Message,
    framing: Option<Framing>,
    back: Arc<Back>,
    is_answered: bool,
}

/// Where connections come back once they are answered; nothing for those that are closed.
struct Back {
    returned: Mutex<Vec<Option<Talker>>>,
    bell: EventFd,
}

/// What epoll reports for the listener and the bell; connections have their number.
const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

/// How many descriptors a connection takes at the most, and how many are left for commands that run.
const EACH: usize = 2;
const SPARE: usize = 40;

impl Talk {
    pub fn new(listener: Listener, framing: Option<Framing>) -> Result<Self> {
        let name = listener.address()?.to_string();
        let create = epoll::create(epoll::CreateFlags::CLOEXEC);
        let epoll = create.map_err(|errno| failure(&name, errno))?;
        let back = Back { returned: Mutex::default(), bell: EventFd::with_flags(0, Flags::NONBLOCK)? };
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = (usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(SPARE) / EACH).max(1);
        let talk = Self {
            listener,
            framing,
            name,
            epoll,
            silent: HashMap::new(),
            ready: VecDeque::new(),
            out: 0,
            back: Arc::new(back),
            number: 0,
            most,
            is_full: false,
            has_been_full: false,
        };
        talk.watch(talk.back.bell.as_fd(), BELL, epoll::EventFlags::IN)?;
        talk.listen()?;
        Ok(talk)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next message of any of them.
    pub fn take(&mut self, wait: Wait) -> Result<Question> {
        loop {
            self.take_back()?;
            while let Some(talker) = self.ready.pop_front() {
                if let Some(question) = self.hear(talker)? {
                    return Ok(question);
                }
            }
            self.make_room()?;
            let nothing =
                epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
            let mut events = [nothing; 64];
            let patience = self.patience();
            let limited =
                patience.filter(|_| !wait.is_never()).map_or(wait, |patience| shorter(wait, patience));
            let waited = limited.with_timeout(|timeout| {
                match epoll::wait(&self.epoll, &mut events[..], timeout.map(timespec).as_ref())? {
                    0 => Err(Errno::AGAIN),
                    count => Ok(count),
                }
            });
            let count = match waited {
                Ok(count) => count,
                Err(Errno::TIMEDOUT) if limited != wait => {
                    self.try_all()?;
                    continue;
                }
                Err(errno) => return Err(failure(&self.name, errno)),
            };
            for event in &events[..count] {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    BELL => {}
                    number => self.wake(number),
                }
            }
        }
    }

    /// How long to wait at most before it is looked whether any has something that no descriptor shows.
    pub fn patience(&self) -> Option<Duration> {
        self.listener.readiness().ok()?.patience()
    }

    fn try_all(&mut self) -> Result<()> {
        self.accept()?;
        let numbers: Vec<u64> = self.silent.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.wake(number));
        Ok(())
    }

    /// Lets in who waits for that. If there are more of them, epoll will say so again.
    fn accept(&mut self) -> Result<()> {
        match self.listener.accept_wait(Wait::never()) {
            Ok(connection) => {
                let (sender, receiver) = connection.split();
                self.number += 1;
                self.ready.push_back(Talker { number: self.number, sender, receiver, count: 0 });
                Ok(())
            }
            // Nobody is there, or no longer.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::PeerGone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Newcomers wait while there are as many as there are descriptors for.
    fn make_room(&mut self) -> Result<()> {
        let is_full = self.silent.len() + self.out >= self.most;
        if is_full == self.is_full {
            return Ok(());
        }
        self.is_full = is_full;
        if !is_full {
            return self.listen();
        }
        // Said once: with many newcomers there is room and none again all the time.
        if !std::mem::replace(&mut self.has_been_full, true) {
            super::tell(&format!(
                "no more than {} connections, for which there are descriptors: see `ulimit -n`",
                self.most
            ));
        }
        match self.listener.readiness() {
            Ok(readiness) => {
                epoll::delete(&self.epoll, readiness.descriptor()).map_err(|errno| failure(&self.name, errno))
            }
            Err(_) => Ok(()),
        }
    }

    fn listen(&self) -> Result<()> {
        let readiness = self.listener.readiness()?;
        self.watch(readiness.descriptor(), LISTENER, epoll::EventFlags::IN)
    }

    /// It has said something, or has gone.
    fn wake(&mut self, number: u64) {
        let Some(talker) = self.silent.remove(&number) else { return };
        if let Ok(readiness) = talker.receiver.readiness() {
            let _ = epoll::delete(&self.epoll, readiness.descriptor());
        }
        self.ready.push_back(talker);
    }

    /// Those who have been answered may have said something meanwhile.
    fn take_back(&mut self) -> Result<()> {
        match self.back.bell.try_read() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            taken => taken?,
        };
        for talker in std::mem::take(&mut *self.back.lock()) {
            self.out -= 1;
            self.ready.extend(talker);
        }
        Ok(())
    }

    /// Its next message, if there is one.
    fn hear(&mut self, mut talker: Talker) -> Result<Option<Question>> {
        let mut message = Message::new();
        match talker.receiver.receive_wait(&mut message, Wait::never()) {
            Ok(()) => {
                talker.count += 1;
                self.out += 1;
                let (framing, back) = (self.framing, Arc::clone(&self.back));
                Ok(Some(Question { talker: Some(talker), message, framing, back, is_answered: false }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let watched = talker
                    .receiver
                    .readiness()
                    .map(|readiness| self.watch(readiness.descriptor(), talker.number, flags(readiness)));
                match watched {
                    Ok(watched) => watched?,
                    Err(error) => return Err(error),
                }
                self.silent.insert(talker.number, talker);
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::PeerGone => Ok(None),
            Err(error) => {
                super::tell(&format!("connection {} is closed: {error}", talker.number));
                Ok(None)
            }
        }
    }

    fn watch(&self, descriptor: BorrowedFd<'_>, data: u64, flags: epoll::EventFlags) -> Result<()> {
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(data), flags)
            .map_err(|errno| failure(&self.name, errno))
    }
}

impl AsFd for Talk {
    /// Readable when one may have something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Question {
    /// Runs the command, answers, and gives the connection back.
    pub fn answer(mut self, crew: &Crew) {
        let Some(mut talker) = self.talker.take() else { return };
        let framing = self.framing;
        let mut request = Request::of(talker.count, std::mem::take(&mut self.message));
        let answered = request.run(crew, true).and_then(|mut printed| {
            let delimiter = framing.and_then(Framing::delimiter);
            if printed.is_empty() {
                return Ok(());
            }
            if delimiter.is_some() && printed.last().copied() == delimiter {
                printed.pop();
            }
            let sent = talker.sender.send_wait(&printed, Wait::forever());
            sent.map_err(|error| format!("the answer was not sent: {error}"))
        });
        match answered {
            Ok(()) => self.talker = Some(talker),
            Err(error) => {
                let Talker { number, count, .. } = talker;
                super::tell(&format!("connection {number} is closed after message {count}: {error}"));
            }
        }
        self.is_answered = true;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // Who was not answered sees the connection end.
        let talker = self.talker.take().filter(|_| self.is_answered);
        self.back.lock().push(talker);
        let _ = self.back.bell.add(1);
    }
}

impl Back {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Talker>>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn flags(readiness: Readiness<'_>) -> epoll::EventFlags {
    match readiness.interest() {
        Interest::Read => epoll::EventFlags::IN,
        Interest::Write => epoll::EventFlags::OUT,
    }
}

/// As `wait` says, but no longer than that.
fn shorter(wait: Wait, most: Duration) -> Wait {
    let most = twixt::os::Deadline::after(most);
    let until = Wait::until(wait.deadline().map_or(most, |deadline| deadline.min(most)));
    if wait == wait.interruptible() { until.interruptible() } else { until }
}

fn failure(name: &str, errno: Errno) -> Error {
    let mechanism = if name.starts_with("tcp:") { Mechanism::Tcp } else { Mechanism::UnixStream };
    Error::kernel(mechanism, "watch the connections of", Object::name(name), errno)
}
