//! The directory of a connection: what stands in it, who holds it, and who removes it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use twixt_address::BusName;
use twixt_os::{ErrorKind, Maker, Object, Result};

use crate::error::{malformed, refused};
use crate::place::{Kind, Place};
use crate::segment::{Own, Peer, What, draw, lives};
use crate::site::{Options, Site, make_directory};

use super::listener::is_there;

/// The word of a request's header that is not 0 once the connection is there to be accepted.
pub(super) const READY: usize = 16;
/// How many connections are looked at for what others have left, when somebody comes.
const LOOKED_AT: usize = 16;

/// The names of the two topics.
pub(super) const UP: &str = "up";
pub(super) const DOWN: &str = "down";

/// One of the two topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Up => UP,
            Self::Down => DOWN,
        }
    }
}

/// A connection of a name, by its number.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) site: Arc<Site>,
    number: usize,
}

impl Connection {
    pub(super) fn of(site: &Arc<Site>, number: usize) -> Self {
        Self { site: Arc::clone(site), number }
    }

    /// One that nobody has.
    pub(super) fn draw(site: &Arc<Site>) -> Result<Self> {
        // Half of the numbers, so that all are less than the bound that `Site::list` takes.
        Ok(Self::of(site, (draw()? >> 1) as usize))
    }

    /// The numbers of those that want to be accepted.
    pub(super) fn requests(site: &Site) -> Result<Vec<usize>> {
        site.list('k', usize::MAX)
    }

    /// The file of the client that wants to be accepted.
    pub(super) fn request(&self) -> PathBuf {
        self.site.path('k', self.number)
    }

    fn directory(&self) -> PathBuf {
        self.site.path('c', self.number)
    }

    /// Makes its directory, still empty.
    pub(super) fn make(&self) -> Result<()> {
        make_directory(&self.directory(), self.site.charter.mode)
    }

    /// Opens the topic of a direction, or makes it. It has the capacity of the name, whatever the other side says.
    pub(super) fn topic(&self, direction: Direction, create: bool) -> Result<Site> {
        let charter = &self.site.charter;
        let name = BusName::new(direction.name())
            .map_err(|_| malformed("open", &self.site.object, "its connection has no name"))?;
        let options = Options::new()
            .create(create)
            .place(Place::at(self.directory())?)
            .mode(charter.mode)
            .capacity(charter.capacity);
        let mut topic = Site::open(Kind::Topic, &name, &options)?;
        topic.object = Object::clone(&self.site.object);
        Ok(topic)
    }

    fn participant(&self, direction: Direction, file: &str) -> PathBuf {
        self.directory().join(format!("topic.{}", direction.name())).join(file)
    }

    /// Whether the server has accepted it.
    pub(super) fn is_accepted(&self) -> bool {
        self.participant(Direction::Down, "p0").exists()
    }

    /// Whether somebody lives that receives in that direction.
    fn is_received(&self, direction: Direction) -> bool {
        lives(&self.participant(direction, "s0"), What::Subscriber)
    }

    /// Whether somebody listens who has yet to accept it. That can be done when its client has gone, too: what that has sent
    /// is received.
    fn is_to_be_accepted(&self) -> bool {
        let request = Peer::open(&self.request(), What::Caller, Some(self.site.number));
        let is_ready = request.ok().flatten().is_some_and(|request| request.header(READY) != 0);
        is_ready && is_there(&self.site) && !self.is_accepted()
    }

    /// Removes what stands there of it if nobody is left, and nobody is to come.
    pub(super) fn sweep(&self) {
        if !self.is_to_be_accepted() {
            self.clear();
        }
    }

    /// Removes what stands there of it if nobody is left.
    pub(super) fn clear(&self) {
        // The request first: a client removes it after it has a page in `down`.
        if lives(&self.request(), What::Caller)
            || self.is_received(Direction::Up)
            || self.is_received(Direction::Down)
        {
            return;
        }
        self.remove();
    }

    /// Removes everything of it.
    pub(super) fn remove(&self) {
        // What is not empty yet because another removes it, too, is gone soon.
        let _ = fs::remove_dir_all(self.directory());
        // Numbers are not used again, so that it is nobody else's.
        let _ = fs::remove_file(self.request());
    }

    /// Removes what those have left that were killed, of some connections at a time.
    pub(super) fn sweep_some(site: &Arc<Site>) -> Result<()> {
        let mut numbers = site.list('c', usize::MAX)?;
        numbers.extend(Self::requests(site)?);
        let begin = draw()? as usize % numbers.len().max(1);
        for &number in numbers.iter().cycle().skip(begin).take(LOOKED_AT.min(numbers.len())) {
            Self::of(site, number).sweep();
        }
        Ok(())
    }
}

/// What both halves of an end share. The last of them removes the connection if the other end has gone.
pub(super) struct End {
    connection: Connection,
    /// The direction in which the other end receives.
    sends: Direction,
    /// Whether the other end is known to have died.
    has_died: AtomicBool,
    /// Of a client that did not wait until it was accepted.
    request: Option<Own>,
    maker: Maker,
}

impl End {
    pub(super) fn new(connection: Connection, sends: Direction, request: Option<Own>) -> Self {
        Self { connection, sends, has_died: AtomicBool::new(false), request, maker: Maker::this() }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Notes that the other end has died: one half's finding is the other's, too.
    pub(super) fn note_death(&self) {
        self.has_died.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_died(&self) -> bool {
        self.has_died.load(Ordering::Relaxed)
    }

    pub(super) fn object(&self) -> &Object {
        &self.connection.site.object
    }

    /// What became of a connection that has been removed: its name was, too, or the other end has gone and somebody has
    /// cleared it away.
    pub(super) fn translate(&self, operation: &'static str, error: twixt_os::Error) -> twixt_os::Error {
        if error.kind() == ErrorKind::Removed && self.connection.site.has_name() {
            return refused(operation, self.object(), ErrorKind::PeerGone, "the other end has gone");
        }
        error
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.maker.is_this() || self.request.is_some() && self.connection.is_to_be_accepted() {
            return;
        }
        if !self.connection.is_received(self.sends) {
            self.connection.remove();
        } else if let Some(request) = &self.request {
            request.remove();
        }
    }
}
