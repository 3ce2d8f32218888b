//! One receiver for all links that lead to this process.

use core::mem::MaybeUninit;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fs::inotify;
use twixt_os::{Errno, Error, ErrorKind, Result, Wait, timespec};

use super::halves::LinkReceiver;
use super::link::{Link, Role, pairs, sweep};
use super::party::Party;
use super::place::Place;
use crate::half::ReceiveHalf;
use crate::origin::Origin;
use crate::process::Identity;
use crate::{Capabilities, Capacity, Message, Parties, Readiness};

pub(super) struct Inbox {
    place: Arc<Place>,
    own: Identity,
    /// Tells of new links.
    news: OwnedFd,
    /// Watches the news and all links.
    epoll: OwnedFd,
    /// A link keeps its place as long as it is held; the place's number is what epoll reports.
    links: Vec<Option<Held>>,
    /// The links that may have something, those that have waited longest first.
    ready: VecDeque<usize>,
    capabilities: Capabilities,
    origin: Origin,
}

struct Held {
    half: LinkReceiver,
    is_ready: bool,
}

/// What epoll reports for the news; links have their place.
const NEWS: u64 = u64::MAX;

const RECEIVE: &str = "receive from";

impl Inbox {
    pub(super) fn open(origin: Origin) -> Result<Self> {
        let object = || origin.object.clone();
        let own = Party::own(&object)?;
        let place = Arc::new(Place::open(own.credentials, own.credentials)?);
        sweep(&place);
        let fail = |errno| Error::kernel(origin.mechanism, super::OPEN, origin.object.clone(), errno);
        let news =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(fail)?;
        let appears =
            inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::ONLYDIR;
        // By way of the open directory: it is this one, whatever has become of its path.
        inotify::add_watch(&news, place.path_of("."), appears).map_err(fail)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fail)?;
        epoll::add(&epoll, &news, epoll::EventData::new_u64(NEWS), epoll::EventFlags::IN).map_err(fail)?;
        let capabilities =
            Capabilities { credentials: true, sees_end: false, receivers: Parties::One, ..base() };
        let (links, ready) = (Vec::new(), VecDeque::new());
        let mut inbox = Self { place, own: own.identity, news, epoll, links, ready, capabilities, origin };
        inbox.find()?;
        Ok(inbox)
    }

    /// Takes hold of all links that lead here and are not held yet. One that cannot be held does not concern the others.
    fn find(&mut self) -> Result<()> {
        let mut found = Ok(());
        for pair in pairs(&self.place) {
            let is_held = self.links.iter().flatten().any(|held| held.half.link().pair() == pair);
            if pair.receiver != self.own || is_held {
                continue;
            }
            let sender = match Party::of(pair.sender.pid, &|| super::from(pair.sender.pid)) {
                Ok(sender) if sender.identity == pair.sender => sender,
                // It has ended, and may have left something.
                _ => Party::departed(pair.sender, self.place.owner),
            };
            let held = Link::attach(Arc::clone(&self.place), pair, Role::Receive, Arc::new(sender));
            match held.and_then(LinkReceiver::new) {
                Ok(half) => self.hold(half)?,
                // Somebody here receives from it by name.
                Err(error) if error.kind() == ErrorKind::Busy => {}
                Err(error) => found = Err(error),
            }
        }
        found
    }

    fn hold(&mut self, half: LinkReceiver) -> Result<()> {
        let place = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        if let Some(readiness) = half.readiness() {
            let data = epoll::EventData::new_u64(place as u64);
            epoll::add(&self.epoll, readiness.as_fd(), data, epoll::EventFlags::IN)
                .map_err(|errno| self.failure(errno))?;
        }
        let held = Some(Held { half, is_ready: true });
        match self.links.get_mut(place) {
            Some(free) => *free = held,
            None => self.links.push(held),
        }
        self.ready.push_back(place);
        Ok(())
    }

    /// Takes a message from a link that has one.
    fn take(&mut self, message: &mut Message) -> Result<bool> {
        while let Some(place) = self.ready.pop_front() {
            let Some(held) = self.links.get_mut(place).and_then(Option::as_mut) else { continue };
            match held.half.receive(message, Wait::never()) {
                Ok(()) => {
                    // There may be more; the others come first.
                    self.ready.push_back(place);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => held.is_ready = false,
                Err(error) if error.kind() == ErrorKind::PeerGone => {
                    if held.half.link().peer.has_ended() && held.half.link().queued() == 0 {
                        self.links[place] = None;
                    } else {
                        // It has closed, and may send again.
                        self.ready.push_back(place);
                    }
                }
                Err(error) => {
                    // What is wrong in one link does not concern the others.
                    self.ready.push_back(place);
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    /// Waits for something to happen, and notes where.
    fn watch(&mut self, wait: Wait) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(32);
        let waited = wait.with_timeout(|timeout| {
            let timeout = timeout.map(timespec);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref())? {
                0 => Err(Errno::AGAIN),
                _ => Ok(()),
            }
        });
        waited.map_err(|errno| self.failure(errno))?;
        for event in events {
            match event.data.u64() {
                NEWS => {
                    self.read_news();
                    self.find()?;
                }
                place => {
                    let place = place as usize;
                    if let Some(held) = self.links.get_mut(place).and_then(Option::as_mut)
                        && !held.is_ready
                    {
                        held.is_ready = true;
                        self.ready.push_back(place);
                    }
                }
            }
        }
        Ok(())
    }

    /// That there is news is all they say: the directory is looked through anyway, as some may have been lost.
    fn read_news(&self) {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut news = inotify::Reader::new(&self.news, &mut room);
        while news.next().is_ok() {}
    }

    fn failure(&self, errno: Errno) -> Error {
        Error::kernel(self.origin.mechanism, RECEIVE, self.origin.object.clone(), errno)
    }
}

fn base() -> Capabilities {
    crate::stream::capabilities(twixt_address::Framing::Frame)
}

impl ReceiveHalf for Inbox {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        while !self.take(message)? {
            self.watch(wait)?;
        }
        Ok(())
    }

    fn has_buffered(&self) -> bool {
        let has_buffered =
            |&place: &usize| self.links[place].as_ref().is_some_and(|held| held.half.has_buffered());
        self.ready.iter().any(has_buffered)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { senders: Parties::Many, ..self.capabilities.clone() }
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        // Each link has its own.
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.epoll.as_fd()))
    }
}
