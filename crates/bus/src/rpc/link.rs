//! An end of a connection.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use twixt_address::BusName;
use twixt_os::{Deadline, Error, ErrorKind, Result, Wait};

use crate::bell::LONGEST;
use crate::error::refused;
use crate::segment::{HEADER, Own, Peer, What};
use crate::site::{Capacity, Options, Site};
use crate::sync::Ordering;
use crate::topic::{Event, Left, Publisher, Sample, Subscriber, SubscriberOptions};
use crate::wait::{Ended, Patience, Place, Waiting};
use crate::words::WORD;

use super::connection::{Connection, Direction, End, READY};
use super::listener::{is_there, open_site, tell};

/// An end of a connection: messages go to and fro, each direction in order.
///
/// When the other end has gone, cleanly or not, what it sent can still be received; then receiving fails with
/// [`PeerGone`](ErrorKind::PeerGone), each time, and whoever waits learns it within a tenth of a second. Sending fails with it
/// once that is known: what is sent before goes nowhere, as with a socket.
///
/// [`Listener`](super::Listener) has an example.
#[derive(Debug)]
pub struct Link {
    sender: LinkSender,
    receiver: LinkReceiver,
}

/// The half of an end that sends. Dropping it tells the other end that nothing follows.
pub struct LinkSender {
    publisher: Publisher,
    /// Whether it is not known yet that the connection is accepted.
    awaits: Cell<bool>,
    /// After the publisher, which has gone when this looks who is left.
    end: Arc<End>,
}

/// The half of an end that receives. Dropping it has the other end's sends fail.
pub struct LinkReceiver {
    subscriber: Subscriber,
    /// How the other end has left, once that was told.
    left: Option<Left>,
    /// When it was looked at whether the other end lives, by calls that do not wait.
    looked: Instant,
    /// The topic in which the publisher is yet to come, as long as it is not known that the connection is accepted.
    awaits: Option<Arc<Site>>,
    peer: u64,
    /// After the subscriber, which has gone when this looks who is left.
    end: Arc<End>,
}

impl Link {
    /// Connects to the listener at a name, and waits until it has accepted.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such name; [`NoPeer`](ErrorKind::NoPeer) if nobody listens there, or not
    /// any more; [`InvalidInput`](ErrorKind::InvalidInput) and [`Malformed`](ErrorKind::Malformed) if it is there with another
    /// capacity or type; [`NoSpace`](ErrorKind::NoSpace) if the file system has no room for the connection's rings.
    pub fn connect(name: &BusName, options: &Options) -> Result<Self> {
        Self::connect_wait(name, options, Wait::forever())
    }

    /// As [`connect`](Self::connect), until `deadline`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn connect_deadline(name: &BusName, options: &Options, deadline: Deadline) -> Result<Self> {
        Self::connect_wait(name, options, Wait::until(deadline))
    }

    /// As [`connect`](Self::connect), waiting as `wait` says. Without any waiting nobody can accept it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and what `wait` ends with.
    pub fn connect_wait(name: &BusName, options: &Options, wait: Wait) -> Result<Self> {
        Self::connect_waiting(name, options, wait, Waiting::Adaptive)
    }

    /// As [`connect_wait`](Self::connect_wait), with another way to wait.
    ///
    /// # Errors
    /// As [`connect_wait`](Self::connect_wait).
    pub fn connect_waiting(name: &BusName, options: &Options, wait: Wait, waiting: Waiting) -> Result<Self> {
        let Asked { site, request, publisher, mut subscriber, down } = Asked::new(name, options, waiting)?;
        let place = Place { bell: &down.hints.filled, hints: &down.hints, shares_cpu: false };
        accepted(&mut Patience::new(waiting), &place, &site, &mut subscriber, wait)
            .map_err(|ended| ended.into_error("connect to", &site.object))?;
        insist(&publisher)?;
        let end = End::new(request.finish(), Direction::Up, None);
        Ok(Self::of(publisher, subscriber, end, listener_of(&site)))
    }

    /// Connects to the listener at a name without waiting until it has accepted, as one does with a socket. What is sent before
    /// waits for it, up to the capacity, also when this end has gone meanwhile; a listener that goes before
    /// is as an end that goes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn request(name: &BusName, options: &Options) -> Result<Self> {
        let waiting = Waiting::Adaptive;
        let Asked { site, request, publisher, subscriber, down } = Asked::new(name, options, waiting)?;
        publisher.keep(true);
        let peer = listener_of(&site);
        let (connection, own) = request.last();
        let end = Arc::new(End::new(connection, Direction::Up, own));
        Ok(Self {
            sender: LinkSender { publisher, awaits: Cell::new(true), end: Arc::clone(&end) },
            receiver: LinkReceiver {
                subscriber,
                left: None,
                looked: Instant::now(),
                awaits: Some(down),
                peer,
                end,
            },
        })
    }

    pub(super) fn of(publisher: Publisher, subscriber: Subscriber, end: End, peer: u64) -> Self {
        let end = Arc::new(end);
        // One that left before anybody looked, and sent nothing, is not told of.
        let left = (!subscriber.has_publishers()).then_some(Left::Closed);
        Self {
            sender: LinkSender { publisher, awaits: Cell::new(false), end: Arc::clone(&end) },
            receiver: LinkReceiver { subscriber, left, looked: Instant::now(), awaits: None, peer, end },
        }
    }

    /// The two halves, each for a thread of its own.
    pub fn split(self) -> (LinkSender, LinkReceiver) {
        (self.sender, self.receiver)
    }

    /// As [`LinkSender::send`].
    ///
    /// # Errors
    /// As [`LinkSender::send`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.sender.send(message)
    }

    /// As [`LinkSender::send_wait`].
    ///
    /// # Errors
    /// As [`LinkSender::send_wait`].
    #[inline]
    pub fn send_wait(&self, message: &[u8], wait: Wait) -> Result<()> {
        self.sender.send_wait(message, wait)
    }

    /// As [`LinkReceiver::receive`].
    ///
    /// # Errors
    /// As [`LinkReceiver::receive`].
    #[inline]
    pub fn receive(&mut self) -> Result<Sample<'_>> {
        self.receiver.receive()
    }

    /// As [`LinkReceiver::receive_wait`].
    ///
    /// # Errors
    /// As [`LinkReceiver::receive_wait`].
    #[inline]
    pub fn receive_wait(&mut self, wait: Wait) -> Result<Sample<'_>> {
        self.receiver.receive_wait(wait)
    }

    /// As [`LinkReceiver::peer`].
    pub fn peer(&self) -> u32 {
        self.receiver.peer()
    }

    /// The most bytes of a message.
    pub fn longest(&self) -> usize {
        self.sender.longest()
    }
}

impl LinkSender {
    /// Sends a message, and waits for room if there is none.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) once it is known that the other end has gone, or receives no more;
    /// [`TooLong`](ErrorKind::TooLong) for more than [`longest`](Self::longest) bytes; [`Removed`](ErrorKind::Removed) if
    /// somebody has removed the name with all its connections.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::forever())
    }

    /// As [`send`](Self::send) without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`WouldBlock`](ErrorKind::WouldBlock).
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_wait(message, Wait::never())
    }

    /// As [`send`](Self::send), until `deadline`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn send_deadline(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.send_wait(message, Wait::until(deadline))
    }

    /// As [`send`](Self::send), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`send`](Self::send), and what `wait` ends with.
    #[inline]
    pub fn send_wait(&self, message: &[u8], wait: Wait) -> Result<()> {
        if self.end.has_died() {
            return Err(gone("send to", self.end.object(), "the other end has died"));
        }
        if self.awaits.get() {
            return self.send_early(message, wait);
        }
        self.publisher.publish_wait(message, wait).map_err(|error| self.explain(error))
    }

    /// Sends before it is known that the connection is accepted.
    #[cold]
    fn send_early(&self, message: &[u8], wait: Wait) -> Result<()> {
        loop {
            let connection = self.end.connection();
            let listens = is_there(&connection.site);
            if connection.is_accepted() {
                self.awaits.set(false);
                self.publisher.keep(false);
                insist(&self.publisher)?;
                return self.send_wait(message, wait);
            }
            if !listens {
                self.end.note_death();
                return Err(gone("send to", self.end.object(), NOT_ACCEPTED));
            }
            match self.publisher.publish_wait(message, for_a_moment(wait)) {
                Err(error) if error.kind() == ErrorKind::TimedOut && !wait.has_passed() => {}
                sent => return sent.map_err(|error| self.explain(error)),
            }
        }
    }

    #[cold]
    fn explain(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::PeerGone => gone("send to", self.end.object(), "the other end receives no more"),
            _ => self.end.translate("send to", error),
        }
    }

    /// As [`Publisher::doorbell`]. A process that dies rings no doorbell: poll for a tenth of a second at a time, and
    /// [send without waiting](Self::try_send) then, to learn of it.
    ///
    /// # Errors
    /// As [`Publisher::doorbell`].
    pub fn doorbell(&self) -> Result<BorrowedFd<'_>> {
        self.publisher.doorbell()
    }

    /// As [`Publisher::arm`].
    ///
    /// # Errors
    /// As [`Publisher::arm`].
    pub fn arm(&self) -> Result<bool> {
        self.publisher.arm()
    }

    /// The most bytes of a message: a little less than half of the [`capacity`](Self::capacity).
    pub fn longest(&self) -> usize {
        self.publisher.longest()
    }

    /// How much may wait in a direction.
    pub fn capacity(&self) -> Capacity {
        self.publisher.capacity()
    }

    /// How many messages it has sent, and how many bytes.
    pub fn sent(&self) -> (u64, u64) {
        self.publisher.published()
    }
}

impl LinkReceiver {
    /// Receives a message, and waits for one if there is none.
    ///
    /// # Errors
    /// [`PeerGone`](ErrorKind::PeerGone) once everything was received and the other end has gone, or sends no more;
    /// [`Malformed`](ErrorKind::Malformed) if it wrote what makes no sense; [`Removed`](ErrorKind::Removed) if somebody has
    /// removed the name with all its connections.
    #[inline]
    pub fn receive(&mut self) -> Result<Sample<'_>> {
        self.receive_wait(Wait::forever())
    }

    /// As [`receive`](Self::receive) without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`WouldBlock`](ErrorKind::WouldBlock).
    #[inline]
    pub fn try_receive(&mut self) -> Result<Sample<'_>> {
        self.receive_wait(Wait::never())
    }

    /// As [`receive`](Self::receive), until `deadline`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<Sample<'_>> {
        self.receive_wait(Wait::until(deadline))
    }

    /// As [`receive`](Self::receive), waiting as `wait` says.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and what `wait` ends with.
    #[inline]
    pub fn receive_wait(&mut self, wait: Wait) -> Result<Sample<'_>> {
        if let Some(left) = self.left {
            return Err(self.end_of(left));
        }
        if self.awaits.is_some() {
            self.await_acceptance(wait)?;
        }
        if wait.is_never() {
            self.look_who_died()?;
        }
        match self.subscriber.next(wait) {
            Ok(Event::Message(sample)) => Ok(sample),
            Ok(Event::Left { how, .. }) => {
                self.left = Some(how);
                if how == Left::Died {
                    self.end.note_death();
                }
                Err(end_of(&self.end, how))
            }
            // There is one publisher, which waits: whoever writes over what was not received yet is none of ours.
            Ok(Event::Missed { .. }) => {
                self.left = Some(Left::Died);
                Err(malformed(&self.end))
            }
            Err(error) => {
                if error.kind() == ErrorKind::Malformed {
                    self.left = Some(Left::Died);
                }
                Err(self.end.translate("receive from", error))
            }
        }
    }

    /// Waits until the connection is accepted.
    #[cold]
    fn await_acceptance(&mut self, wait: Wait) -> Result<()> {
        let Some(down) = self.awaits.clone() else { return Ok(()) };
        let site = Arc::clone(&self.end.connection().site);
        let place = Place { bell: &down.hints.filled, hints: &down.hints, shares_cpu: false };
        let mut patience = Patience::new(Waiting::Adaptive);
        match accepted(&mut patience, &place, &site, &mut self.subscriber, wait) {
            Ok(()) => {
                self.awaits = None;
                Ok(())
            }
            Err(Ended::Error(error)) if error.kind() == ErrorKind::NoPeer => {
                self.end.note_death();
                self.left = Some(Left::Died);
                Err(gone("receive from", self.end.object(), NOT_ACCEPTED))
            }
            Err(ended) => {
                Err(self.end.translate("receive from", ended.into_error("receive from", &site.object)))
            }
        }
    }

    /// For those that only ask now and then, and so would never learn it: no more often than it costs nothing.
    fn look_who_died(&mut self) -> Result<()> {
        if self.looked.elapsed() >= LONGEST {
            self.looked = Instant::now();
            self.subscriber.look_who_died().map_err(|error| self.end.translate("receive from", error))?;
        }
        Ok(())
    }

    #[cold]
    fn end_of(&self, left: Left) -> Error {
        end_of(&self.end, left)
    }

    /// As [`Subscriber::doorbell`]. A process that dies rings no doorbell: poll for a tenth of a second at a time, and
    /// [receive without waiting](Self::try_receive) then, to learn of it.
    ///
    /// # Errors
    /// As [`Subscriber::doorbell`].
    pub fn doorbell(&mut self) -> Result<BorrowedFd<'_>> {
        self.subscriber.doorbell()
    }

    /// As [`Subscriber::arm`].
    ///
    /// # Errors
    /// As [`Subscriber::arm`].
    pub fn arm(&mut self) -> Result<bool> {
        self.subscriber.arm()
    }

    /// The process id of the other end, as it says; for a client that of the listener. 0 if it is not known.
    pub fn peer(&self) -> u32 {
        u32::try_from(self.peer).unwrap_or(0)
    }

    /// How many messages it has received, and how many bytes.
    pub fn received(&self) -> (u64, u64) {
        self.subscriber.received()
    }

    /// How often it slept.
    pub fn parks(&self) -> u64 {
        self.subscriber.parks()
    }
}

/// Has sends fail where nobody receives. That the other end has gone already is for the first of them to say: what it sent
/// before can still be received.
pub(super) fn insist(publisher: &Publisher) -> Result<()> {
    match publisher.insist() {
        Err(error) if error.kind() == ErrorKind::PeerGone => Ok(()),
        insisted => insisted,
    }
}

#[cold]
fn end_of(end: &End, left: Left) -> Error {
    gone(
        "receive from",
        end.object(),
        match left {
            Left::Closed => "the other end has left",
            Left::Died => "the other end has died",
        },
    )
}

#[cold]
fn malformed(end: &End) -> Error {
    refused("receive from", end.object(), ErrorKind::Malformed, "the other end wrote what makes no sense")
}

fn gone(operation: &'static str, object: &twixt_os::Object, why: &'static str) -> Error {
    refused(operation, object, ErrorKind::PeerGone, why)
}

const NOT_ACCEPTED: &str = "the listener has gone without having accepted the connection";

/// As long as `wait` says, and no longer than it may take to see who has gone.
fn for_a_moment(wait: Wait) -> Wait {
    if wait.is_never() || wait.deadline().is_some_and(|deadline| deadline.remaining() <= LONGEST) {
        return wait;
    }
    let moment = Wait::until(Deadline::after(LONGEST));
    if wait.is_interruptible() { moment.interruptible() } else { moment }
}

/// Waits until the listener has accepted the connection whose subscriber this is.
fn accepted(
    patience: &mut Patience,
    place: &Place<'_>,
    site: &Site,
    subscriber: &mut Subscriber,
    wait: Wait,
) -> Result<(), Ended> {
    let subscriber = RefCell::new(subscriber);
    let look = || match subscriber.borrow_mut().knows_publishers() {
        Ok(false) => None,
        Ok(true) => Some(Ok(())),
        Err(error) => Some(Err(Ended::Error(error))),
    };
    let idle = || {
        if !site.has_name() {
            return Err(Ended::Error(site.removed("connect to")));
        }
        // It may have accepted, and gone then.
        if is_there(site) {
            Ok(None)
        } else {
            look().map_or_else(|| Err(nobody_listens(site).into()), |it| Ok(Some(it)))
        }
    };
    if wait.is_never() {
        return match look() {
            Some(accepted) => accepted,
            None => idle()?.unwrap_or_else(|| {
                let why = "the listener has not accepted it yet";
                Err(refused("connect to", &site.object, ErrorKind::WouldBlock, why).into())
            }),
        };
    }
    patience.wait(place, wait, look, idle)?
}

/// The process that listens, as it says; 0 if it is not known.
fn listener_of(site: &Site) -> u64 {
    let peer = Peer::open(&site.path('l', 0), What::Listener, None);
    peer.ok().flatten().map_or(0, |peer| peer.process().pid)
}

/// What a client has made, and the listener can accept.
struct Asked {
    site: Arc<Site>,
    request: Request,
    publisher: Publisher,
    subscriber: Subscriber,
    down: Arc<Site>,
}

impl Asked {
    fn new(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let site = Arc::new(open_site(name, options)?);
        if !is_there(&site) {
            return Err(nobody_listens(&site));
        }
        Connection::sweep_some(&site)?;
        let request = Request::make(&site)?;
        let (up, down) = (
            Arc::new(request.connection.topic(Direction::Up, true)?),
            Arc::new(request.connection.topic(Direction::Down, true)?),
        );
        let publisher = Publisher::at(up, waiting)?;
        let subscriber = Subscriber::at(Arc::clone(&down), SubscriberOptions::new().waiting(waiting))?;
        request.is_ready()?;
        tell(&site);
        Ok(Self { site, request, publisher, subscriber, down })
    }
}

fn nobody_listens(site: &Site) -> Error {
    refused("connect to", &site.object, ErrorKind::NoPeer, "nobody listens there")
}

/// A connection that is not accepted yet. Dropping it removes what there is of it.
struct Request {
    connection: Connection,
    /// None once somebody else has it.
    own: Option<Own>,
}

impl Request {
    fn make(site: &Arc<Site>) -> Result<Self> {
        let connection = Connection::draw(site)?;
        let making = site.making(What::Caller, HEADER * WORD);
        let Some(own) = Own::create(&connection.request(), making, |_| {})? else {
            let why = "another connection has the same number";
            return Err(refused("connect to", &site.object, ErrorKind::Busy, why));
        };
        // Locked before anything else is there, and removed after everything else.
        let request = Self { connection, own: Some(own) };
        request.connection.make()?;
        Ok(request)
    }

    /// Says that the listener can accept it.
    fn is_ready(&self) -> Result<()> {
        if let Some(own) = &self.own {
            // Release, for form's sake: what the listener opens then it finds by name.
            own.words(READY, 1)?[0].store(1, Ordering::Release);
        }
        Ok(())
    }

    /// It is accepted, and held by its subscribers from now on.
    fn finish(mut self) -> Connection {
        if let Some(own) = self.own.take() {
            own.remove();
        }
        self.connection.clone()
    }

    /// It is accepted at some time, as long as this file lasts.
    fn last(mut self) -> (Connection, Option<Own>) {
        (self.connection.clone(), self.own.take())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.connection.remove();
        }
    }
}

impl fmt::Debug for LinkSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSender").field("site", self.end.object()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkReceiver").field("site", self.end.object()).finish_non_exhaustive()
    }
}
