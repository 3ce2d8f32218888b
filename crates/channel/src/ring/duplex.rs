//! A connection: a ring there and a ring back, one client at a time.
//!
//! The object stays; sessions come and go in it. One is opened (both rings empty), a client connects to it, the listening
//! side accepts it, and whoever leaves it last opens the next one. Each side holds its place by what evidence of life the
//! family has, so that death is seen by whoever waits.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::time::Duration;

use twixt_address::{Endpoint, OptionName};
use twixt_os::{Deadline, Errno, ErrorKind, Maker, Wait};

use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::origin::Origin;
use crate::{
    Attributes, Capabilities, Capacities, Capacity, Message, Opening, Parties, Persistence, Readiness,
};

use super::fault::{Fault, Result};
use super::guard::{Bell, Bells, Guard};
use super::layout::{Purpose, Shape, link};
use super::space::Space;
use super::step::step;
use super::transfer::{Company, Ring};
use super::{mailbox, posix, sysv};

/// How long a client that was hung up on may take to receive what was sent to it.
const LINGER: Duration = Duration::from_secs(1);

/// The phases of a session, in the two lowest bits of its word.
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const CONNECTED: u64 = 2;
const ACCEPTED: u64 = 3;
const PHASE: u64 = 3;

/// What a side has closed, in the two lowest bits of its word; the number of the session stands above.
const SENDS_NO_MORE: u64 = 1;
const RECEIVES_NO_MORE: u64 = 2;

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// The one that listens.
    Server,
    /// The one that connects.
    Client,
}

impl Party {
    const fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// The ring that it sends through.
    const fn ring(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }

    /// Where it says what it has closed.
    const fn closed(self) -> usize {
        match self {
            Self::Server => link::SERVER_CLOSED,
            Self::Client => link::CLIENT_CLOSED,
        }
    }
}

/// What a family provides for connections beyond what it does for rings.
pub(crate) trait Places: Guard + Sync + 'static {
    /// Enters where sessions are arranged.
    fn enter_gate(&self, wait: Wait) -> Result<()>;

    /// Leaves it.
    fn leave_gate(&self) -> Result<()>;

    /// Takes a side's place, if nobody alive has it.
    fn try_take_place(&self, party: Party) -> Result<bool>;

    /// Leaves it.
    fn leave_place(&self, party: Party) -> Result<()>;

    /// Whether somebody alive has it.
    fn is_present(&self, party: Party) -> Result<bool>;

    /// Frees the client's place, whoever has it.
    fn evict_client(&self) -> Result<()>;

    /// Rings a bell from outside the section.
    fn ring(&self, ring: usize, bell: Bell) -> Result<()>;
}

/// Listens in a mapped file or in POSIX shared memory.
pub(crate) fn posix_listen(opening: &Opening, persistence: Persistence) -> twixt_os::Result<Box<dyn Accept>> {
    check(opening)?;
    let (guard, shape) = posix::open(opening, Purpose::Duplex)?;
    listen(guard, shape, persistence, opening)
}

/// Connects there.
pub(crate) fn posix_connect(opening: &Opening, persistence: Persistence) -> twixt_os::Result<Halves> {
    check(opening)?;
    let (guard, shape) = posix::open(opening, Purpose::Duplex)?;
    connect(guard, shape, persistence, opening)
}

/// Listens in System V shared memory.
pub(crate) fn sysv_listen(opening: &Opening) -> twixt_os::Result<Box<dyn Accept>> {
    check(opening)?;
    let (guard, shape) = sysv::open(opening, Purpose::Duplex)?;
    listen(guard, shape, Persistence::Kernel, opening)
}

/// Connects there.
pub(crate) fn sysv_connect(opening: &Opening) -> twixt_os::Result<Halves> {
    check(opening)?;
    let (guard, shape) = sysv::open(opening, Purpose::Duplex)?;
    connect(guard, shape, Persistence::Kernel, opening)
}

fn check(opening: &Opening) -> twixt_os::Result<()> {
    if opening.capacity() == Some(Capacity::Zero) {
        let why = "capacity 0 has one direction; open a sender or a receiver";
        return Err(opening.refused("open", ErrorKind::Unsupported, why));
    }
    opening.without("open", &[OptionName::Budget], "the rings of a connection are bounded; give a capacity")
}

fn capabilities(persistence: Persistence, shape: &Shape) -> Capabilities {
    Capabilities {
        max_message: Some(shape.longest()),
        senders: Parties::One,
        receivers: Parties::One,
        sees_end: true,
        listens: true,
        capacities: Capacities::BOUNDED,
        ..mailbox::capabilities(persistence)
    }
}

/// What a handle to a connection knows of itself.
#[derive(Clone)]
struct Identity {
    shape: Shape,
    origin: Origin,
    persistence: Persistence,
}

/// The listening side's place, and the process that has it: a forked child's copy gives up nothing.
struct Host<G: Places>(Arc<G>, Maker);

impl<G: Places> Drop for Host<G> {
    fn drop(&mut self) {
        if self.1.is_this() {
            // What fails, the end of the process makes good.
            let _ = self.0.leave_place(Party::Server);
        }
    }
}

/// One side of one session, from connecting or accepting on.
struct Link<G: Places> {
    guard: Arc<G>,
    shape: Shape,
    me: Party,
    session: u64,
    /// The process that connected or accepted: a forked child's copy ends nothing.
    maker: Maker,
    /// The server keeps its place for longer than a session.
    _host: Option<Arc<Host<G>>>,
}

impl<G: Places> Link<G> {
    /// Whether the session is still this one.
    fn check(&self) -> Result<()> {
        let word = self.guard.memory().load(link::SESSION)?;
        let is_mine = word >> 2 == self.session && [CONNECTED, ACCEPTED].contains(&(word & PHASE));
        if is_mine { Ok(()) } else { Err(Fault::Gone) }
    }

    /// Whether the other side has closed this.
    fn other_has_closed(&self, what: u64) -> Result<bool> {
        let word = self.guard.memory().load(self.me.other().closed())?;
        Ok(word >> 2 != self.session || word & what != 0)
    }

    /// Tells the other side that this one does so no more, and wakes it.
    fn close(&self, what: u64) -> Result<()> {
        let memory = self.guard.memory();
        let at = self.me.closed();
        // Nobody else has cause to write there, but may.
        for _ in 0..8 {
            let word = memory.load(at)?;
            if word >> 2 != self.session || word & what != 0 || memory.exchange(at, word, word | what)? {
                break;
            }
        }
        step();
        match what {
            SENDS_NO_MORE => self.guard.ring(self.me.ring(), Bell::Messages),
            _ => self.guard.ring(self.me.other().ring(), Bell::Room),
        }
    }
}

impl<G: Places> Link<G> {
    /// Leaves the session, in the gate, and opens the next one if the other side has left, too.
    fn leave(&self) -> Result<()> {
        self.check()?;
        let other_is_there = match self.me {
            Party::Client => {
                self.guard.leave_place(Party::Client)?;
                !self.other_has_closed(SENDS_NO_MORE)? || !self.other_has_closed(RECEIVES_NO_MORE)?
            }
            Party::Server => client_needs_time(&self.guard, &self.shape)?,
        };
        if other_is_there { Ok(()) } else { open_session(&self.guard, &self.shape) }
    }
}

impl<G: Places> Drop for Link<G> {
    fn drop(&mut self) {
        if !self.maker.is_this() {
            return;
        }
        // In the gate, since the client's place may be another client's by now. What fails, the next accept makes good, or
        // the end of the process.
        if self.guard.enter_gate(Wait::never()).is_ok() {
            let _ = self.leave();
            let _ = self.guard.leave_gate();
        }
        // The next accept may be asleep until this session is over.
        let _ = self.guard.ring(0, Bell::Taken);
    }
}

/// Whether the client of the session, on which the other side has hung up, is there and has something left to receive.
fn client_needs_time<G: Places>(guard: &Arc<G>, shape: &Shape) -> Result<bool> {
    if !guard.is_present(Party::Client)? {
        return Ok(false);
    }
    let word = guard.memory().load(link::CLIENT_CLOSED)?;
    let waiting = Ring::new(Arc::clone(guard), *shape, Party::Server.ring()).waiting()?;
    Ok(waiting > 0 && word & RECEIVES_NO_MORE == 0)
}

/// Opens the next session, with empty rings; in the gate. Whoever still is in an earlier one is out of it.
fn open_session<G: Places>(guard: &Arc<G>, shape: &Shape) -> Result<()> {
    let memory = guard.memory();
    let session = (memory.load(link::SESSION)? >> 2).wrapping_add(1) & (u64::MAX >> 2);
    memory.store(link::SESSION, session << 2 | CLOSED)?;
    step();
    guard.evict_client()?;
    for ring in 0..shape.rings() {
        match guard.enter(ring, Wait::never()) {
            // One of the last session was stopped inside: another time, then.
            Err(Fault::Wait(_)) => return Ok(()),
            entered => entered?,
        }
        step();
        let cleared = Ring::new(Arc::clone(guard), *shape, ring).initialise();
        guard.leave(ring, Bells::NONE)?;
        cleared?;
    }
    memory.store(link::SERVER_CLOSED, session << 2)?;
    memory.store(link::CLIENT_CLOSED, session << 2)?;
    step();
    memory.store(link::SESSION, session << 2 | OPEN)?;
    step();
    guard.ring(1, Bell::Taken)
}

impl<G: Places> Company<Arc<G>> for Arc<Link<G>> {
    fn may_send(&self, _guard: &Arc<G>) -> Result<()> {
        self.check()?;
        if self.other_has_closed(RECEIVES_NO_MORE)? { Err(Fault::Gone) } else { Ok(()) }
    }

    fn may_receive(&self, _guard: &Arc<G>) -> Result<()> {
        self.check()
    }

    fn may_wait(&self, guard: &Arc<G>, thoroughly: bool, for_room: bool) -> Result<()> {
        let needed = if for_room { RECEIVES_NO_MORE } else { SENDS_NO_MORE };
        if self.other_has_closed(needed)? || thoroughly && !guard.is_present(self.me.other())? {
            return Err(Fault::Gone);
        }
        Ok(())
    }
}

/// Both halves of a side.
fn halves<G: Places>(link: &Arc<Link<G>>, identity: &Identity) -> Halves {
    let half = |ring: usize| Half {
        ring: Ring::new(Arc::clone(&link.guard), identity.shape, ring),
        link: Arc::clone(link),
        identity: identity.clone(),
    };
    (Box::new(SendingHalf(half(link.me.ring()))), Box::new(ReceivingHalf(half(link.me.other().ring()))))
}

struct Half<G: Places> {
    ring: Ring<Arc<G>>,
    link: Arc<Link<G>>,
    identity: Identity,
}

impl<G: Places> Half<G> {
    fn capabilities(&self) -> Capabilities {
        capabilities(self.identity.persistence, &self.identity.shape)
    }

    fn capacity(&self) -> Option<Capacity> {
        Some(self.identity.shape.capacity())
    }

    fn len(&self) -> twixt_os::Result<Option<u64>> {
        self.ring.waiting().map(Some).map_err(|fault| fault.of("look at", &self.identity.origin))
    }
}

struct SendingHalf<G: Places>(Half<G>);

impl<G: Places> SendHalf for SendingHalf<G> {
    fn send(&mut self, bytes: &[u8], _attributes: &Attributes<'_>, wait: Wait) -> twixt_os::Result<()> {
        let Half { ring, link, identity } = &mut self.0;
        let origin = &identity.origin;
        ring.send(bytes, wait, &*link, origin).map_err(|fault| fault.of("send to", origin))
    }

    fn finish(&mut self, _wait: Wait) -> twixt_os::Result<()> {
        self.0.link.close(SENDS_NO_MORE).map_err(|fault| fault.of("close", &self.0.identity.origin))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn capacity(&self) -> twixt_os::Result<Option<Capacity>> {
        Ok(self.0.capacity())
    }

    fn len(&self) -> twixt_os::Result<Option<u64>> {
        self.0.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

impl<G: Places> Drop for SendingHalf<G> {
    fn drop(&mut self) {
        if self.0.link.maker.is_this() {
            let _ = self.0.link.close(SENDS_NO_MORE);
        }
    }
}

struct ReceivingHalf<G: Places>(Half<G>);

impl<G: Places> ReceiveHalf for ReceivingHalf<G> {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> twixt_os::Result<()> {
        let Half { ring, link, identity } = &mut self.0;
        ring.receive(message, wait, &*link).map_err(|fault| {
            message.set_len(0);
            fault.of("receive from", &identity.origin)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn capacity(&self) -> twixt_os::Result<Option<Capacity>> {
        Ok(self.0.capacity())
    }

    fn len(&self) -> twixt_os::Result<Option<u64>> {
        self.0.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

impl<G: Places> Drop for ReceivingHalf<G> {
    fn drop(&mut self) {
        if self.0.link.maker.is_this() {
            let _ = self.0.link.close(RECEIVES_NO_MORE);
        }
    }
}

fn connect<G: Places>(
    guard: G,
    shape: Shape,
    persistence: Persistence,
    opening: &Opening,
) -> twixt_os::Result<Halves> {
    let identity = Identity { shape, origin: Origin::of(opening), persistence };
    let wait = opening.opening_wait();
    let guard = Arc::new(guard);
    let session = connect_waiting(&*guard, wait).map_err(|fault| match fault {
        Fault::Gone => {
            let why = "nobody listens there";
            identity.origin.refused("connect to", ErrorKind::NoPeer, why)
        }
        fault => fault.of("connect to", &identity.origin),
    })?;
    let link = Arc::new(Link { guard, shape, me: Party::Client, session, maker: Maker::this(), _host: None });
    Ok(halves(&link, &identity))
}

fn connect_waiting<G: Places>(guard: &G, wait: Wait) -> Result<u64> {
    loop {
        guard.enter_gate(wait)?;
        let session = take_session(guard);
        let left = guard.leave_gate();
        if let Some(session) = session? {
            guard.ring(0, Bell::Taken)?;
            return Ok(session);
        }
        left?;
        go_on(wait)?;
        guard.sleep(1, Bell::Taken, wait)?;
    }
}

/// Takes the client's place in the session that is open, in the gate.
fn take_session<G: Places>(guard: &G) -> Result<Option<u64>> {
    if !guard.is_present(Party::Server)? {
        return Err(Fault::Gone);
    }
    let memory = guard.memory();
    let word = memory.load(link::SESSION)?;
    if word & PHASE != OPEN || !guard.try_take_place(Party::Client)? {
        return Ok(None);
    }
    step();
    memory.store(link::SESSION, word & !PHASE | CONNECTED)?;
    step();
    Ok(Some(word >> 2))
}

/// Whether a wait goes on.
fn go_on(wait: Wait) -> Result<()> {
    if wait.is_never() {
        return Err(Fault::Wait(Errno::AGAIN));
    }
    if wait.has_passed() { Err(Fault::Wait(Errno::TIMEDOUT)) } else { Ok(()) }
}

fn listen<G: Places>(
    guard: G,
    shape: Shape,
    persistence: Persistence,
    opening: &Opening,
) -> twixt_os::Result<Box<dyn Accept>> {
    let identity = Identity { shape, origin: Origin::of(opening), persistence };
    let failed = |fault: Fault| fault.of("listen at", &identity.origin);
    let guard = Arc::new(guard);
    guard.enter_gate(opening.opening_wait()).map_err(failed)?;
    let taken = guard.try_take_place(Party::Server);
    let host = matches!(taken, Ok(true)).then(|| Arc::new(Host(Arc::clone(&guard), Maker::this())));
    // Whoever connects before the first accept finds it open.
    let opened = host.as_ref().map(|_| open_session(&guard, &shape));
    let left = guard.leave_gate();
    taken.and_then(|_| opened.unwrap_or(Ok(()))).and(left).map_err(failed)?;
    let Some(host) = host else {
        let why = "somebody listens there already";
        return Err(identity.origin.refused("listen at", ErrorKind::AlreadyExists, why));
    };
    let endpoint = opening.endpoint().clone();
    let (present, hung_up) = (RefCell::new(Weak::new()), Cell::new(None));
    Ok(Box::new(Listening { guard, host, identity, endpoint, present, hung_up }))
}

struct Listening<G: Places> {
    guard: Arc<G>,
    host: Arc<Host<G>>,
    identity: Identity,
    endpoint: Endpoint,
    /// The connection that was accepted last.
    present: RefCell<Weak<Link<G>>>,
    /// Until when its client may take to receive what was sent to it, once it is over on this side.
    hung_up: Cell<Option<Deadline>>,
}

impl<G: Places> Listening<G> {
    /// Looks after the session, in the gate. The number of one to be accepted, if there is one.
    fn visit(&self, wait: Wait) -> Result<Option<u64>> {
        self.guard.enter_gate(wait)?;
        let arranged = self.arrange();
        let left = self.guard.leave_gate();
        let arranged = arranged?;
        left.map(|()| arranged)
    }

    fn arrange(&self) -> Result<Option<u64>> {
        if self.present.borrow().strong_count() > 0 {
            return Ok(None);
        }
        let memory = self.guard.memory();
        let word = memory.load(link::SESSION)?;
        match word & PHASE {
            OPEN => Ok(None),
            CONNECTED => {
                memory.store(link::SESSION, word & !PHASE | ACCEPTED)?;
                step();
                self.hung_up.set(None);
                Ok(Some(word >> 2))
            }
            ACCEPTED if self.lingers()? => Ok(None),
            _ => open_session(&self.guard, &self.identity.shape).map(|()| None),
        }
    }

    fn lingers(&self) -> Result<bool> {
        let until = self.hung_up.get().unwrap_or_else(|| Deadline::after(LINGER));
        self.hung_up.set(Some(until));
        Ok(!until.has_passed() && client_needs_time(&self.guard, &self.identity.shape)?)
    }
}

impl<G: Places> Accept for Listening<G> {
    fn accept(&self, wait: Wait) -> twixt_os::Result<Halves> {
        let failed = |fault: Fault| fault.of("accept at", &self.identity.origin);
        loop {
            if let Some(session) = self.visit(wait).map_err(failed)? {
                let link = Arc::new(Link {
                    guard: Arc::clone(&self.guard),
                    shape: self.identity.shape,
                    me: Party::Server,
                    session,
                    maker: Maker::this(),
                    _host: Some(Arc::clone(&self.host)),
                });
                *self.present.borrow_mut() = Arc::downgrade(&link);
                return Ok(halves(&link, &self.identity));
            }
            go_on(wait).map_err(failed)?;
            self.guard.sleep(0, Bell::Taken, wait).map_err(failed)?;
        }
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.identity.persistence, &self.identity.shape)
    }

    fn address(&self) -> twixt_os::Result<Endpoint> {
        Ok(self.endpoint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_a_forked_child_gives_up_no_place() {
        let _test = twixt_testkit::test!();
        let name = twixt_testkit::unique_name();
        let path = format!("/dev/shm/{name}");
        let _gone = twixt_testkit::defer(move || _ = std::fs::remove_file(path));
        let opening = Opening::new(&format!("posix-shm:/{name}?create").parse().unwrap());
        let (guard, shape) = posix::open(&opening, Purpose::Duplex).unwrap();
        let guard = Arc::new(guard);
        for party in [Party::Server, Party::Client] {
            assert!(guard.try_take_place(party).unwrap());
        }
        open_session(&guard, &shape).unwrap();
        assert!(guard.try_take_place(Party::Client).unwrap());
        let word = guard.memory().load(link::SESSION).unwrap();
        guard.memory().store(link::SESSION, word & !PHASE | CONNECTED).unwrap();
        for (maker, stays) in [(Maker::another(), true), (Maker::this(), false)] {
            let guard = || Arc::clone(&guard);
            let session = word >> 2;
            drop(Link { guard: guard(), shape, me: Party::Client, session, maker, _host: None });
            assert_eq!(guard().is_present(Party::Client).unwrap(), stays);
            drop(Host(guard(), maker));
            assert_eq!(guard().is_present(Party::Server).unwrap(), stays);
        }
    }
}
