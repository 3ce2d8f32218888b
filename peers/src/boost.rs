//! Boost.Interprocess: `message_queue` (`boost`), and a `boost::lockfree::spsc_queue` in managed shared memory
//! (`boost-spsc`).
//!
//! The first is what its documentation offers for messages: a mutex and two conditions in shared memory, messages copied in
//! and out. One queue each way or for each subscriber; several who share messages share one queue. The second is what it is
//! combined with where speed is asked for: one producer, one consumer, no way to sleep; a message is written once, copied
//! into the queue by `push`, and read in place by `consume_all`.

use std::ffi::{CString, c_char, c_int, c_void};
use std::slice;

use twixt::bench::{
    Ends, Entry, Failure, Family, Incoming, Need, Outgoing, Pattern, Receive, Result, Role, Send, Setup,
    Transport, Waiting, never,
};

pub(crate) const fn message_queue() -> Entry {
    Entry::new::<Boost<Queue>>("boost", Family::Peer)
        .described("Boost.Interprocess message_queue")
        .capable_of(&[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::EmptyMessages,
            Need::Priority,
            Need::Persistence,
            Need::ManySenders,
            Need::ManyReceivers,
        ])
}

pub(crate) const fn spsc_queue() -> Entry {
    Entry::new::<Boost<Ring>>("boost-spsc", Family::Peer)
        .described("boost::lockfree::spsc_queue in shared memory")
        .capable_of(&[Need::Boundaries, Need::Bytes, Need::Reliable, Need::Persistence])
}

/// The bytes that a reason has room for.
const WHY: usize = 256;

type Check = unsafe extern "C" fn(*mut c_void, *const u8, usize);

unsafe extern "C" {
    fn peers_boost_queue(
        name: *const c_char,
        messages: usize,
        length: usize,
        why: *mut c_char,
    ) -> *mut c_void;
    fn peers_boost_queue_close(queue: *mut c_void);
    fn peers_boost_queue_send(
        queue: *mut c_void,
        bytes: *const c_void,
        length: usize,
        waits: c_int,
        why: *mut c_char,
    ) -> c_int;
    fn peers_boost_queue_receive(
        queue: *mut c_void,
        bytes: *mut c_void,
        room: usize,
        length: *mut usize,
        waits: c_int,
        why: *mut c_char,
    ) -> c_int;
    fn peers_boost_remove(name: *const c_char);
    fn peers_boost_ring(name: *const c_char, slots: usize, length: usize, why: *mut c_char) -> *mut c_void;
    fn peers_boost_ring_close(ring: *mut c_void);
    fn peers_boost_ring_room(ring: *mut c_void) -> *mut c_void;
    fn peers_boost_ring_push(ring: *mut c_void) -> c_int;
    fn peers_boost_ring_consume(ring: *mut c_void, check: Check, state: *mut c_void) -> usize;
}

/// A one-way link from one process to another, or among several.
trait Link: Sized + 'static {
    fn supports(setup: &Setup) -> Result<()>;
    fn open(setup: &Setup, index: usize, makes: bool) -> Result<Self>;
    fn send(&mut self, message: &mut Outgoing, waits: bool) -> Result<bool>;
    fn receive(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool>;
}

struct Boost<L> {
    setup: Setup,
    made: Option<L>,
}

impl<L: Link> Transport for Boost<L> {
    type Sender = Links<L>;
    type Receiver = Links<L>;

    fn supports(setup: &Setup) -> Result<()> {
        L::supports(setup)
    }

    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        crate::capacity::choices(setup, &[1 << 18, 1 << 20, 4 << 20])
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let index = match setup.role {
            Role::Subscriber(index) if index == 0 || !is_one(setup) => Some(index),
            Role::Publisher(_) if setup.workload.pattern == Pattern::Rtt => Some(1),
            _ => None,
        };
        let made = index.map(|index| L::open(setup, index, true)).transpose()?;
        Ok(Self { setup: setup.clone(), made })
    }

    fn connect(self) -> Result<Ends<Links<L>, Links<L>>> {
        let setup = &self.setup;
        let is_round_trip = setup.workload.pattern == Pattern::Rtt;
        let others = match setup.role {
            Role::Subscriber(_) if is_round_trip => 1..2,
            Role::Subscriber(_) => 0..0,
            Role::Publisher(_) if is_one(setup) => 0..1,
            Role::Publisher(_) => 0..setup.workload.subscribers,
        };
        let senders = others.map(|index| L::open(setup, index, false)).collect::<Result<Vec<L>>>()?;
        let receiver = match (setup.role, self.made) {
            (_, Some(made)) => Some(made),
            (Role::Subscriber(_), None) => Some(L::open(setup, 0, false)?),
            (Role::Publisher(_), None) => None,
        };
        let links = |links: Vec<L>| Some(Links { links, next: 0 }).filter(|it| !it.links.is_empty());
        Ok(Ends { sender: links(senders), receiver: links(receiver.into_iter().collect()) })
    }

    fn clean(setup: &Setup) {
        for index in 0..setup.workload.subscribers.max(2) {
            if let Ok(name) = name(setup, index) {
                // SAFETY: the name ends with a zero byte.
                unsafe { peers_boost_remove(name.as_ptr()) };
            }
        }
    }
}

/// Whether all subscribers receive from one link.
fn is_one(setup: &Setup) -> bool {
    setup.workload.pattern == Pattern::Work
}

fn name(setup: &Setup, index: usize) -> Result<CString> {
    CString::new(format!("{}-{index}", setup.name)).map_err(Failure::failed)
}

/// How many messages find room: as many as were asked for, or a number that a cache still holds while they are small, and
/// memory while they are not.
fn room(setup: &Setup) -> usize {
    const MESSAGES: u64 = 1024;
    const BYTES: u64 = 8 << 20;
    let size = setup.workload.size.max(1) as u64;
    let room = setup.capacity.map_or_else(|| MESSAGES.min(BYTES / size), |bytes| bytes / size);
    room.max(2) as usize
}

struct Links<L> {
    links: Vec<L>,
    next: usize,
}

impl<L: Link> Links<L> {
    /// To each of the links; which of them is next is remembered where one has no room.
    fn go(&mut self, message: &mut Outgoing, waits: bool) -> Result<bool> {
        loop {
            if !self.links[self.next].send(message, waits)? {
                return Ok(false);
            }
            self.next = (self.next + 1) % self.links.len();
            if self.next == 0 {
                return Ok(true);
            }
        }
    }
}

impl<L: Link> Send for Links<L> {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.go(message, false)
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.go(message, true).map(drop)
    }
}

impl<L: Link> Receive for Links<L> {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.links[0].receive(incoming, false)
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.links[0].receive(incoming, true).map(drop)
    }
}

/// A `message_queue`.
struct Queue {
    queue: *mut c_void,
    buffer: Vec<u8>,
    /// The number of the message that the buffer holds.
    filled: Option<u64>,
    why: Why,
}

impl Link for Queue {
    fn supports(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn open(setup: &Setup, index: usize, makes: bool) -> Result<Self> {
        let (name, size) = (name(setup, index)?, setup.workload.size);
        let (messages, mut why) = (if makes { room(setup) } else { 0 }, Why::new());
        // SAFETY: the name ends with a zero byte, and there is room for a reason.
        let queue = unsafe { peers_boost_queue(name.as_ptr(), messages, size, why.as_mut_ptr()) };
        if queue.is_null() {
            return Err(why.failure());
        }
        Ok(Self { queue, buffer: vec![0; size], filled: None, why })
    }

    fn send(&mut self, message: &mut Outgoing, waits: bool) -> Result<bool> {
        if self.filled != Some(message.number()) {
            message.fill(&mut self.buffer);
            self.filled = Some(message.number());
        }
        let (bytes, why) = (&self.buffer, &mut self.why);
        // SAFETY: the queue is open, the bytes are there, and there is room for a reason.
        let sent = unsafe {
            peers_boost_queue_send(
                self.queue,
                bytes.as_ptr().cast(),
                bytes.len(),
                c_int::from(waits),
                why.as_mut_ptr(),
            )
        };
        why.outcome(sent)
    }

    fn receive(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool> {
        let (buffer, mut len, why) = (&mut self.buffer, 0, &mut self.why);
        // SAFETY: the queue is open, and each pointer has room for what goes there, as much of it as is said.
        let received = unsafe {
            peers_boost_queue_receive(
                self.queue,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut len,
                c_int::from(waits),
                why.as_mut_ptr(),
            )
        };
        let came = why.outcome(received)?;
        if came {
            incoming.check(self.buffer.get(..len).unwrap_or_default());
        }
        Ok(came)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody has it any more.
        unsafe { peers_boost_queue_close(self.queue) };
    }
}

/// A `spsc_queue` in managed shared memory.
struct Ring {
    ring: *mut c_void,
    len: usize,
    /// The number of the message that is written and has not gone, or has just gone.
    filled: Option<u64>,
}

/// The longest message that there is a type of ring for.
const LONGEST: usize = 1 << 20;

impl Link for Ring {
    fn supports(setup: &Setup) -> Result<()> {
        let workload = &setup.workload;
        let why = if workload.waiting != Waiting::Spin {
            "it has no way to sleep"
        } else if workload.pattern == Pattern::Work && workload.parties() > 2 {
            "it has one producer and one consumer"
        } else if workload.size > LONGEST {
            "the size of its elements is part of its type, of which there is none as long as that"
        } else {
            return Ok(());
        };
        Err(Failure::Unsupported(why.into()))
    }

    fn open(setup: &Setup, index: usize, makes: bool) -> Result<Self> {
        let (name, len) = (name(setup, index)?, setup.workload.size);
        let (slots, mut why) = (if makes { room(setup) } else { 0 }, Why::new());
        // SAFETY: the name ends with a zero byte, and there is room for a reason.
        let ring = unsafe { peers_boost_ring(name.as_ptr(), slots, len, why.as_mut_ptr()) };
        if ring.is_null() {
            return Err(why.failure());
        }
        Ok(Self { ring, len, filled: None })
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing, waits: bool) -> Result<bool> {
        if self.filled != Some(message.number()) {
            // SAFETY: the ring is open.
            let room = unsafe { peers_boost_ring_room(self.ring) };
            // SAFETY: the ring has that many bytes there, zeroes or an earlier message, and nobody else looks at them.
            let room = unsafe { slice::from_raw_parts_mut(room.cast::<u8>(), self.len) };
            message.fill(room);
            self.filled = Some(message.number());
        }
        loop {
            // SAFETY: the ring is open, and this is its only producer.
            if unsafe { peers_boost_ring_push(self.ring) } != 0 {
                return Ok(true);
            }
            if !waits {
                return Ok(false);
            }
            // Only the end of a run is sent so: it cannot be asked to sleep.
            std::thread::yield_now();
        }
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool> {
        if waits {
            return never("it has no way to sleep");
        }
        let state: *mut Incoming = incoming;
        // SAFETY: the ring is open, this is its only consumer, and `check` is given what it takes.
        Ok(unsafe { peers_boost_ring_consume(self.ring, check, state.cast()) } > 0)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody has it any more.
        unsafe { peers_boost_ring_close(self.ring) };
    }
}

/// # Safety
/// `state` is an [`Incoming`] that nobody else has, and there are `len` bytes at `bytes`.
unsafe extern "C" fn check(state: *mut c_void, bytes: *const u8, len: usize) {
    // SAFETY: as above.
    let incoming = unsafe { &mut *state.cast::<Incoming>() };
    // SAFETY: as above; the producer does not write there until this has returned.
    incoming.check(unsafe { slice::from_raw_parts(bytes, len) });
}

/// What Boost says when it throws.
struct Why([u8; WHY]);

impl Why {
    #[inline]
    fn new() -> Self {
        Self([0; WHY])
    }

    fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    fn failure(&self) -> Failure {
        let text = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        Failure::Failed(String::from_utf8_lossy(text).into_owned())
    }

    #[inline]
    fn outcome(&self, outcome: c_int) -> Result<bool> {
        if outcome < 0 { Err(self.failure()) } else { Ok(outcome > 0) }
    }
}
