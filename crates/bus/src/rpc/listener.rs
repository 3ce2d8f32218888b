//! The side that is connected to.

use core::fmt;
use std::collections::VecDeque;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use twixt_address::BusName;
use twixt_os::{Deadline, ErrorKind, Maker, Result, Wait};

use crate::barrier;
use crate::doorbell::{self, Doorbell};
use crate::error::{check_maker, refused};
use crate::place::Kind;
use crate::segment::{HEADER, Own, Peer, What, sweep};
use crate::site::{Capacity, Options, Site};
use crate::topic::{Publisher, Subscriber, SubscriberOptions};
use crate::wait::{Ended, Patience, Place, Waiting};
use crate::words::WORD;

use super::Link;
use super::connection::{Connection, Direction, End, READY};
use super::link::insist;

/// Accepts connections to a name. There is one at a time.
///
/// Connections are independent of it: they stay when it is dropped.
///
/// ```
/// use twixt_bus::{Link, Listener, Options};
/// use twixt_os::Wait;
/// # let scratch = twixt_testkit::scratch();
/// # let place = twixt_bus::Place::at(scratch.path())?;
/// let name = twixt_address::BusName::new("sums")?;
/// let options = Options::new().create(true);
/// # let options = options.place(place);
/// let mut listener = Listener::open(&name, &options)?;
/// let client = std::thread::spawn({
///     let (name, options) = (name.clone(), options.clone());
///     move || -> Result<Vec<u8>, twixt_os::Error> {
///         let mut link = Link::connect(&name, &options)?;
///         link.send(b"1 + 1")?;
///         link.receive()?.to_vec()
///     }
/// });
/// let mut link = listener.accept()?;
/// assert_eq!(link.receive()?.to_vec()?, b"1 + 1");
/// link.send(b"2")?;
/// assert_eq!(client.join().unwrap()?, b"2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Listener {
    site: Arc<Site>,
    own: Own,
    roster: u32,
    /// Those that were found and not looked at yet.
    requests: VecDeque<usize>,
    waiting: Waiting,
    patience: Patience,
    doorbell: Option<Doorbell>,
    maker: Maker,
    /// How often it has found nothing to do.
    idle: u32,
}

/// How often it finds nothing to do before it looks what others have left: every second.
const TIDY: u32 = 20;

impl Listener {
    /// Listens at a name.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if another process does; [`NotFound`](ErrorKind::NotFound) if the name is
    /// not there and not to be made; [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it
    /// is there with another capacity or type, or one that is not [`Capacity::Bounded`].
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_waiting(name, options, Waiting::Adaptive)
    }

    /// As [`open`](Self::open), with another way to wait, for it and for the connections that it accepts.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let site = Arc::new(open_site(name, options)?);
        let own = take_seat(&site)?;
        for number in Connection::requests(&site)? {
            // Those who wanted another listener and have not lived to see this one.
            Connection::of(&site, number).clear();
        }
        Connection::sweep_some(&site)?;
        // Another than the present, so that those that wait already are found.
        let roster = site.hints.roster().wrapping_sub(1);
        Ok(Self {
            site,
            own,
            roster,
            requests: VecDeque::new(),
            waiting,
            patience: Patience::new(waiting),
            doorbell: None,
            maker: Maker::this(),
            idle: 0,
        })
    }

    /// Accepts a connection, and waits for one if there is none.
    ///
    /// # Errors
    /// [`Removed`](ErrorKind::Removed) if somebody has removed the name; what the kernel says of making the files of this end.
    pub fn accept(&mut self) -> Result<Link> {
        self.accept_wait(Wait::forever())
    }

    /// As [`accept`](Self::accept) without waiting.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`WouldBlock`](ErrorKind::WouldBlock).
    pub fn try_accept(&mut self) -> Result<Link> {
        self.accept_wait(Wait::never())
    }

    /// As [`accept`](Self::accept), until `deadline`.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn accept_deadline(&mut self, deadline: Deadline) -> Result<Link> {
        self.accept_wait(Wait::until(deadline))
    }

    /// As [`accept`](Self::accept), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and what `wait` ends with.
    pub fn accept_wait(&mut self, wait: Wait) -> Result<Link> {
        check_maker(self.maker, "accept from", &self.site.object)?;
        if let Some(found) = self.look() {
            return found;
        }
        if wait.is_never() {
            if !self.site.has_name() {
                return Err(self.site.removed("accept from"));
            }
            let why = "nobody wants to be connected";
            return Err(refused("accept from", &self.site.object, ErrorKind::WouldBlock, why));
        }
        let site = Arc::clone(&self.site);
        let place = Place { bell: &site.hints.filled, hints: &site.hints, shares_cpu: false };
        let mut patience = self.patience.clone();
        let this = core::cell::RefCell::new(&mut *self);
        let found = patience.wait(
            &place,
            wait,
            || this.borrow_mut().look(),
            || {
                let mut this = this.borrow_mut();
                if !this.site.has_name() {
                    return Err(Ended::Error(this.site.removed("accept from")));
                }
                this.idle = this.idle.wrapping_add(1);
                if this.idle.is_multiple_of(TIDY) {
                    // What cannot be looked into now is the next time.
                    let _ = Connection::sweep_some(&this.site);
                }
                Ok(None)
            },
        );
        self.patience = patience;
        found.unwrap_or_else(|ended: Ended| Err(ended.into_error("accept from", &self.site.object)))
    }

    /// A descriptor that is readable when somebody may want to be connected, for `poll(2)` and its like: after it was, accept
    /// without waiting until there is nobody, and [`arm`](Self::arm) before polling again.
    ///
    /// # Errors
    /// Those of making a FIFO beside the listener's file; [`InvalidInput`](ErrorKind::InvalidInput) in a process that was forked since
    /// it was opened.
    pub fn doorbell(&mut self) -> Result<BorrowedFd<'_>> {
        self.arm()?;
        match &self.doorbell {
            Some(bell) => Ok(bell.as_fd()),
            None => Err(self.site.removed("make the doorbell of")),
        }
    }

    /// Has the [`doorbell`](Self::doorbell) ring for who comes next. Whether somebody may be there already: then it is
    /// readable at once.
    ///
    /// # Errors
    /// Those of [`doorbell`](Self::doorbell).
    pub fn arm(&mut self) -> Result<bool> {
        check_maker(self.maker, "accept from", &self.site.object)?;
        let bell = match self.doorbell.take() {
            Some(bell) => bell,
            None => self.site.doorbell(bell_path(&self.site))?,
        };
        bell.drain();
        self.site.hints.filled.arm();
        if !barrier::heavy() {
            self.site.hints.ask_for_fences();
        }
        let is_ready = !self.requests.is_empty() || self.roster != self.site.hints.roster();
        if is_ready {
            bell.ring();
        }
        self.doorbell = Some(bell);
        Ok(is_ready)
    }

    /// How much may wait in each direction of a connection.
    pub fn capacity(&self) -> Capacity {
        self.site.charter.capacity
    }

    /// The next connection, or why there is none, if there is either.
    fn look(&mut self) -> Option<Result<Link>> {
        loop {
            while let Some(number) = self.requests.pop_front() {
                match self.take(number) {
                    Ok(None) => {}
                    Ok(Some(link)) => return Some(Ok(link)),
                    Err(error) => {
                        // It is the fault of this side, so that the other one may still be accepted.
                        self.requests.push_front(number);
                        return Some(Err(error));
                    }
                }
            }
            let roster = self.site.hints.roster();
            if self.roster == roster {
                return None;
            }
            match Connection::requests(&self.site) {
                Ok(requests) => self.requests = requests.into(),
                Err(error) => return Some(Err(error)),
            }
            self.roster = roster;
        }
    }

    /// Accepts a connection. `None` if it is not ready, or has gone, or is accepted already, or makes no sense.
    fn take(&self, number: usize) -> Result<Option<Link>> {
        let connection = Connection::of(&self.site, number);
        let Ok(Some(request)) = Peer::open(&connection.request(), What::Caller, Some(self.site.number))
        else {
            return Ok(None);
        };
        if request.header(READY) == 0 || connection.is_accepted() {
            if !request.is_alive() {
                connection.clear();
            }
            return Ok(None);
        }
        match self.accept_topics(&connection) {
            Ok(Some((publisher, subscriber))) => {
                // The connection is held by the pages of its subscribers from now on.
                let _ = fs::remove_file(connection.request());
                let end = End::new(connection, Direction::Down, None);
                Ok(Some(Link::of(publisher, subscriber, end, request.process().pid)))
            }
            Ok(None) => {
                connection.clear();
                Ok(None)
            }
            // What a client made that makes no sense, or has gone, is no connection.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Malformed
                        | ErrorKind::NotFound
                        | ErrorKind::Removed
                        | ErrorKind::InvalidInput
                        | ErrorKind::PermissionDenied
                        | ErrorKind::Unsupported
                        | ErrorKind::Truncated
                ) =>
            {
                connection.clear();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn accept_topics(&self, connection: &Connection) -> Result<Option<(Publisher, Subscriber)>> {
        let up = Arc::new(connection.topic(Direction::Up, false)?);
        let down = Arc::new(connection.topic(Direction::Down, false)?);
        // The client may have sent something already, and gone.
        let mut subscriber = Subscriber::at(up, SubscriberOptions::new().waiting(self.waiting).with_all())?;
        if !subscriber.knows_publishers()? {
            return Ok(None);
        }
        // This rings the client, which then finds the subscriber, too.
        let publisher = Publisher::at(down, self.waiting)?;
        insist(&publisher)?;
        Ok(Some((publisher, subscriber)))
    }
}

/// Opens the site of a name.
pub(super) fn open_site(name: &BusName, options: &Options) -> Result<Site> {
    let unfit = |capacity| !matches!(capacity, Capacity::Bounded(_));
    if options.capacity.is_some_and(unfit) {
        let object = twixt_os::Object::name(format!("rpc:{name}"));
        let why = "the directions of a connection have a bounded capacity";
        return Err(refused("open", &object, ErrorKind::InvalidInput, why));
    }
    let site = Site::open(Kind::Rpc, name, options)?;
    if unfit(site.charter.capacity) {
        let why = "it says that its connections have no bounded capacity";
        return Err(crate::error::malformed("open", &site.object, why));
    }
    Ok(site)
}

/// Becomes the listener.
fn take_seat(site: &Site) -> Result<Own> {
    let path = site.path('l', 0);
    let making = site.making(What::Listener, HEADER * WORD);
    for _ in 0..4 {
        if let Some(own) = Own::create(&path, making, |_| {})? {
            return Ok(own);
        }
        match Peer::open(&path, What::Listener, None) {
            Ok(Some(peer)) if peer.is_alive() => {
                let why = format!("process {} listens there already", peer.process().pid);
                return Err(refused("listen at", &site.object, ErrorKind::AlreadyExists, why));
            }
            // Somebody's who has died, or what makes no sense and belongs to nobody: it goes.
            _ if sweep(&path) => {}
            Ok(Some(peer)) => {
                let why =
                    format!("a child of process {}, which has gone, has its files open", peer.process().pid);
                return Err(refused("listen at", &site.object, ErrorKind::Busy, why));
            }
            Ok(None) => {}
            Err(error) => return Err(error),
        }
        if !site.has_name() {
            return Err(site.removed("listen at"));
        }
    }
    let why = "others begin and end to listen there all the time";
    Err(refused("listen at", &site.object, ErrorKind::Busy, why))
}

/// Whether there is one.
pub(super) fn is_there(site: &Site) -> bool {
    crate::segment::lives(&site.path('l', 0), What::Listener)
}

/// Tells the listener that somebody wants to be connected.
pub(super) fn tell(site: &Site) {
    site.hints.change_roster();
    barrier::heavy();
    site.hints.set_rung();
    if site.hints.filled.ring().doorbells {
        doorbell::ring(&bell_path(site));
    }
}

fn bell_path(site: &Site) -> std::path::PathBuf {
    site.directory.join("l0.bell")
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        if let Some(bell) = &self.doorbell {
            bell.remove();
        }
        self.own.remove();
        for number in Connection::requests(&self.site).unwrap_or_default() {
            Connection::of(&self.site, number).sweep();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("site", &self.site.object).finish_non_exhaustive()
    }
}
