//! A mailbox in front of connections: one receiver hears everyone who connects.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::process::Resource;
use twixt_os::{Deadline, Errno, Error, ErrorKind, Limit, Object, Result, Wait, timespec};

use crate::half::{Accept, Halves, ReceiveHalf};
use crate::{Capabilities, Capacity, Interest, Message, Readiness, mechanism};

/// Receives from all connections of a listener, in turn.
///
/// The end is as with a FIFO: once everyone who had connected has gone, one receive says so, and the next one waits for
/// new ones.
pub(crate) struct Gather {
    accept: Box<dyn Accept>,
    /// How to receive from a new connection.
    receive: Receive,
    /// Watches the listener and all connections.
    epoll: OwnedFd,
    /// A connection keeps its place as long as it lives; the place's number is what epoll reports.
    connections: Vec<Option<Connection>>,
    /// The places that nobody has.
    vacant: Vec<usize>,
    /// The connections that may have something to receive, those that have waited longest first.
    ready: VecDeque<usize>,
    /// How many connections there are, and whether there were any since the last end.
    open: usize,
    had_some: bool,
    /// Whether the listener is not watched for now, since nobody more can be accepted.
    is_paused: bool,
    /// Whether connections have to be tried now and then, since one who dies does not make them ready; and when they were.
    tended: Option<Instant>,
}

/// Makes the receiving half of a connection.
pub(crate) type Receive = Box<dyn Fn(Halves) -> Box<dyn ReceiveHalf> + Send>;

struct Connection {
    half: Box<dyn ReceiveHalf>,
    is_ready: bool,
    /// Whether epoll has reported it since it was last tried.
    was_reported: bool,
    /// How many messages to take from it before it is tried again at once after one, without asking epoll. A sender
    /// with much to say is spared the question, and one that waits for an answer each time is not tried in vain.
    until_eager: u8,
    watched: (RawFd, Interest),
}

/// What epoll reports for the listener; connections have their place.
const LISTENER: u64 = u64::MAX;

/// How many are accepted before those who were accepted are heard again.
const ACCEPTED_AT_ONCE: usize = 64;

/// How long newcomers wait when this process had no descriptor left for them, before it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// After how many messages a connection that had nothing more at once is tried at once again.
const NOT_EAGER: u8 = 16;

impl Gather {
    pub(crate) fn new(accept: Box<dyn Accept>, receive: Receive) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| failure(&*accept, errno))?;
        let tended = accept.readiness().and_then(|readiness| readiness.patience()).map(|_| Instant::now());
        let gather = Self {
            accept,
            receive,
            epoll,
            connections: Vec::new(),
            vacant: Vec::new(),
            ready: VecDeque::new(),
            open: 0,
            had_some: false,
            is_paused: false,
            tended,
        };
        gather.listen()?;
        Ok(gather)
    }

    fn listen(&self) -> Result<()> {
        let Some(readiness) = self.accept.readiness() else { return Ok(()) };
        let data = epoll::EventData::new_u64(LISTENER);
        match epoll::add(&self.epoll, readiness.as_fd(), data, epoll::EventFlags::IN) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(failure(&*self.accept, errno)),
        }
    }

    /// Stops watching for newcomers: they wait, and would be reported over and over.
    fn pause(&mut self) {
        if let Some(readiness) = self.accept.readiness() {
            let _ = epoll::delete(&self.epoll, readiness.as_fd());
        }
        self.is_paused = true;
    }

    fn resume(&mut self) -> Result<()> {
        if self.is_paused {
            self.listen()?;
            self.is_paused = false;
        }
        Ok(())
    }

    /// Takes a message from a connection that has one.
    fn take(&mut self, message: &mut Message) -> Result<bool> {
        while let Some(place) = self.ready.pop_front() {
            let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else { continue };
            let was_reported = std::mem::take(&mut connection.was_reported);
            match connection.half.receive(message, Wait::never()) {
                Ok(()) => {
                    // There may be more; the others come first.
                    if !was_reported {
                        connection.until_eager = 0;
                    }
                    if connection.until_eager == 0 || connection.half.has_buffered() {
                        self.ready.push_back(place);
                    } else {
                        connection.until_eager -= 1;
                        connection.is_ready = false;
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.is_ready = false;
                    if !was_reported {
                        connection.until_eager = NOT_EAGER;
                    }
                    if let Err(error) = self.watch_for(place) {
                        self.drop(place);
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::PeerGone => self.drop(place),
                Err(error) => {
                    // What follows in this connection cannot be trusted; the others are unhurt.
                    self.drop(place);
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    /// Has epoll report what the connection waits for, if that has changed.
    fn watch_for(&mut self, place: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else {
            return Ok(());
        };
        let Some(readiness) = connection.half.readiness() else { return Ok(()) };
        let watched = watched(readiness);
        if connection.watched == watched {
            return Ok(());
        }
        let (data, flags) = (epoll::EventData::new_u64(place as u64), flags(readiness));
        epoll::modify(&self.epoll, readiness.as_fd(), data, flags)
            .map_err(|errno| failure(&*self.accept, errno))?;
        connection.watched = watched;
        Ok(())
    }

    fn drop(&mut self, place: usize) {
        if let Some(connection) = self.connections[place].take() {
            self.open -= 1;
            self.vacant.push(place);
            if let Some(readiness) = connection.half.readiness() {
                // Closing the last descriptor would remove it too, but a passed copy may live elsewhere.
                let _ = epoll::delete(&self.epoll, readiness.as_fd());
            }
            drop(connection);
            // Its descriptor is free for a newcomer. Failing that, there will be another attempt.
            let _ = self.resume();
        }
    }

    /// Accepts those who wait to be. If there are more of them, epoll will say so again.
    fn accept_some(&mut self) -> Result<()> {
        for _ in 0..ACCEPTED_AT_ONCE {
            let halves = match self.accept.accept(Wait::never()) {
                Ok(halves) => halves,
                Err(error) => return self.not_accepted(error),
            };
            let half = (self.receive)(halves);
            self.admit(half)?;
        }
        Ok(())
    }

    /// What becomes of an accept that failed.
    fn not_accepted(&mut self, error: Error) -> Result<()> {
        match error.kind() {
            // Nobody is there, or no longer.
            ErrorKind::WouldBlock | ErrorKind::PeerGone | ErrorKind::NoPeer => Ok(()),
            ErrorKind::LimitReached | ErrorKind::NoSpace => {
                self.pause();
                // Those who have connected are heard, and make room when they go.
                if self.open > 0 { Ok(()) } else { Err(error) }
            }
            _ => Err(error),
        }
    }

    /// Gives a new connection a place.
    fn admit(&mut self, half: Box<dyn ReceiveHalf>) -> Result<()> {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let mut connection = Connection {
            half,
            is_ready: true,
            was_reported: true,
            until_eager: 0,
            watched: (-1, Interest::Read),
        };
        if let Some(readiness) = connection.half.readiness() {
            connection.watched = watched(readiness);
            let (data, flags) = (epoll::EventData::new_u64(place as u64), flags(readiness));
            if let Err(errno) = epoll::add(&self.epoll, readiness.as_fd(), data, flags) {
                self.vacant.push(place);
                return Err(failure(&*self.accept, errno));
            }
        }
        self.connections[place] = Some(connection);
        self.ready.push_back(place);
        self.open += 1;
        self.had_some = true;
        Ok(())
    }

    /// Waits for something to happen, and notes where.
    fn patience(&self) -> Option<Duration> {
        self.accept.readiness().and_then(|readiness| readiness.patience())
    }

    /// Has all connections tried that have not been for a while, where that is needed.
    fn tend(&mut self) {
        let Some(since) = self.tended else { return };
        if self.patience().is_none_or(|patience| since.elapsed() < patience) {
            return;
        }
        self.tended = Some(Instant::now());
        for (place, connection) in self.connections.iter_mut().enumerate() {
            if let Some(connection) = connection.as_mut().filter(|connection| !connection.is_ready) {
                connection.is_ready = true;
                self.ready.push_back(place);
            }
        }
    }

    fn watch(&mut self, wait: Wait) -> Result<()> {
        let (limited, is_shorter) = self.limited(wait);
        let nothing = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [nothing; 32];
        let waited = limited.with_timeout(|timeout| {
            let timeout = timeout.map(timespec);
            match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref())? {
                0 => Err(Errno::AGAIN),
                count => Ok(count),
            }
        });
        let count = match waited {
            Err(Errno::TIMEDOUT) if is_shorter => {
                self.resume()?;
                return self.accept_some();
            }
            waited => waited.map_err(|errno| failure(&*self.accept, errno))?,
        };
        let mut newcomers = false;
        for event in &events[..count] {
            match event.data.u64() {
                LISTENER => newcomers = true,
                place => {
                    let place = place as usize;
                    if let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) {
                        connection.was_reported = true;
                        if !connection.is_ready {
                            connection.is_ready = true;
                            self.ready.push_back(place);
                        }
                    }
                }
            }
        }
        if newcomers { self.accept_some() } else { Ok(()) }
    }

    /// How long to wait while newcomers are not watched for, and whether that is shorter than was asked for.
    fn limited(&self, wait: Wait) -> (Wait, bool) {
        if !self.is_paused && self.tended.is_none() || wait.is_never() {
            return (wait, false);
        }
        let pause = Deadline::after(if self.tended.is_some() { PAUSE / 2 } else { PAUSE });
        if wait.deadline().is_some_and(|deadline| deadline <= pause) {
            return (wait, false);
        }
        let limited = Wait::until(pause);
        (if wait == wait.interruptible() { limited.interruptible() } else { limited }, true)
    }
}

impl ReceiveHalf for Gather {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let mut has_watched = false;
        loop {
            self.tend();
            if self.take(message)? {
                return Ok(());
            }
            if self.open == 0 && self.had_some {
                // Whoever has connected since is no later than the end.
                self.accept_some()?;
                if self.open == 0 {
                    self.had_some = false;
                    let why = "everyone who had connected has gone";
                    return Err(refused(&*self.accept, ErrorKind::PeerGone, why));
                }
                continue;
            }
            // However much arrives of which no message comes, it does not outlast the deadline.
            if has_watched && wait.is_never() {
                return Err(failure(&*self.accept, Errno::AGAIN));
            }
            if has_watched && wait.has_passed() {
                return Err(failure(&*self.accept, Errno::TIMEDOUT));
            }
            self.watch(wait)?;
            has_watched = true;
        }
    }

    fn has_buffered(&self) -> bool {
        self.ready
            .iter()
            .any(|&place| self.connections[place].as_ref().is_some_and(|it| it.half.has_buffered()))
    }

    fn capabilities(&self) -> Capabilities {
        self.accept.capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        // Each connection has its own.
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn address(&self) -> Option<twixt_address::Endpoint> {
        self.accept.address().ok()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        let readiness = Readiness::to_read(self.epoll.as_fd());
        Some(if self.tended.is_some() { readiness.tended() } else { readiness })
    }
}

/// What epoll is told to watch, to see whether that has changed.
fn watched(readiness: Readiness<'_>) -> (RawFd, Interest) {
    (readiness.descriptor().as_raw_fd(), readiness.interest())
}

fn flags(readiness: Readiness<'_>) -> epoll::EventFlags {
    match readiness.interest() {
        Interest::Read => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
        Interest::Write => epoll::EventFlags::OUT,
    }
}

fn failure(accept: &dyn Accept, errno: Errno) -> Error {
    let (mechanism, object) = name(accept);
    let error = Error::kernel(mechanism, "receive from", object, errno);
    if errno == Errno::MFILE {
        let limit = Limit::rlimit("RLIMIT_NOFILE", Resource::Nofile);
        return error.with_limit(limit).with_advice("close descriptors, or raise it with `ulimit -n`");
    }
    error
}

fn refused(accept: &dyn Accept, kind: ErrorKind, why: &'static str) -> Error {
    let (mechanism, object) = name(accept);
    Error::refused(mechanism, "receive from", object, kind, why)
}

fn name(accept: &dyn Accept) -> (twixt_os::Mechanism, Object) {
    match accept.address() {
        Ok(endpoint) => (mechanism::name_of(&endpoint), Object::name(mechanism::object_of(&endpoint))),
        Err(error) => (error.mechanism(), Object::Unnamed),
    }
}
