//! nng, as bundled by its crate, over `ipc://`.
//!
//! | pattern | sockets | why |
//! |---|---|---|
//! | round trip | pair0 and pair0 | both ways over one connection, without the bookkeeping of req0 and rep0 |
//! | one way, and shared | push0 and pull0 | its pipeline, which loses nothing |
//! | fan-out | a push0 for each pull0 | pub0 drops what a subscriber has no room for, and cannot be told to wait |
//!
//! `nng-pubsub` is pub0 and sub0 all the same, for fan-out alone, and what it drops is reported as lost.
//!
//! Messages are built in nng's own memory and handed over, and read where nng has received them, by operations that are used
//! again and again (`nng_send_aio`, `nng_recv_aio`): what its manual calls the most efficient way. A receiver asks for many
//! messages at a time. Buffers of its sockets are as long as is allowed, which lets its threads run ahead of each other.
//!
//! nng does all its work in threads of its own, some four in each process, and has nothing to poll: an attempt that does not
//! wait is an operation with a limit of no time at all. Whoever makes these without a pause takes the CPUs that its threads
//! need, a hundred times over. So with `spin`, too, a party sleeps until an operation has ended.

use std::ffi::c_int;
use std::num::NonZeroU32;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::slice;

use nng::options::protocol::pubsub::Subscribe;
use nng::options::{Options, RecvBufferSize, RecvMaxSize, SendBufferSize};
use nng::{Error, Protocol, Socket};
use nng_sys as ffi;
use twixt::bench::{
    Ends, Entry, Failure, Family, Incoming, Need, Outgoing, Pattern, Receive, Result, Role, Send, Setup,
    Transport,
};

pub(crate) const fn entry() -> Entry {
    Entry::new::<Nng>("nng", Family::Peer).described("nng over ipc://").capable_of(&[
        Need::Boundaries,
        Need::Bytes,
        Need::Reliable,
        Need::AnyLength,
        Need::EmptyMessages,
        Need::BothWays,
        Need::ManySenders,
        Need::ManyReceivers,
        Need::CrashSafe,
        Need::Pollable,
        Need::Network,
    ])
}

pub(crate) const fn publish_subscribe() -> Entry {
    Entry::new::<Nng>(PUBSUB, Family::Peer).described("nng over ipc://, pub and sub").capable_of(&[
        Need::Boundaries,
        Need::Bytes,
        Need::AnyLength,
        Need::EmptyMessages,
        Need::ManySenders,
        Need::FanOut,
        Need::CrashSafe,
        Need::Pollable,
        Need::Network,
    ])
}

const PUBSUB: &str = "nng-pubsub";

/// The most messages that a socket of nng buffers.
const MOST: u64 = 8192;

struct Nng {
    setup: Setup,
    /// A subscriber's, listening.
    listening: Option<Socket>,
}

impl Transport for Nng {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        if is_pubsub(setup) && setup.workload.pattern != Pattern::Fanout {
            return Err(Failure::Unsupported("it publishes to subscribers, and does nothing else".into()));
        }
        Ok(())
    }

    fn is_lossy(setup: &Setup) -> bool {
        is_pubsub(setup)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let listening = match setup.role {
            Role::Publisher(_) => None,
            Role::Subscriber(index) => {
                let socket = socket(setup)?;
                socket.listen(&url(setup, index)).map_err(Failure::failed)?;
                Some(socket)
            }
        };
        Ok(Self { setup: setup.clone(), listening })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let workload = &self.setup.workload;
        let mut sockets = Vec::new();
        match self.listening {
            Some(socket) => sockets.push(Rc::new(socket)),
            None => {
                let own_each = workload.pattern == Pattern::Fanout && !is_pubsub(&self.setup);
                for index in 0..workload.subscribers {
                    if sockets.is_empty() || own_each {
                        sockets.push(Rc::new(socket(&self.setup)?));
                    }
                    if let Some(socket) = sockets.last() {
                        // Does not return before it is connected.
                        socket.dial(&url(&self.setup, index)).map_err(Failure::failed)?;
                    }
                }
            }
        }
        let is_round_trip = workload.pattern == Pattern::Rtt;
        let receiver = match self.setup.role {
            Role::Publisher(_) if !is_round_trip => None,
            _ => {
                let drains = workload.pattern == Pattern::Work && workload.publishers > 1;
                sockets.first().cloned().map(|socket| Receiver::new(socket, drains)).transpose()?
            }
        };
        Ok(Ends { sender: Some(Sender { operation: Operation::new()?, sockets }), receiver })
    }
}

fn is_pubsub(setup: &Setup) -> bool {
    setup.transport == PUBSUB
}

/// A socket of the kind that this party needs.
fn socket(setup: &Setup) -> Result<Socket> {
    let is_publisher = matches!(setup.role, Role::Publisher(_));
    let protocol = match setup.workload.pattern {
        Pattern::Rtt => Protocol::Pair0,
        Pattern::Fanout if is_pubsub(setup) && is_publisher => Protocol::Pub0,
        Pattern::Fanout if is_pubsub(setup) => Protocol::Sub0,
        _ if is_publisher => Protocol::Push0,
        _ => Protocol::Pull0,
    };
    let socket = Socket::new(protocol).map_err(Failure::failed)?;
    // A message may be as long as it likes.
    socket.set_opt::<RecvMaxSize>(0).map_err(Failure::failed)?;
    let room = room(setup);
    // Some protocols have no buffer of one of the two kinds.
    for set in [socket.set_opt::<SendBufferSize>(room), socket.set_opt::<RecvBufferSize>(room)] {
        match set {
            Ok(()) | Err(Error::NotSupported) => {}
            Err(error) => return Err(Failure::failed(error)),
        }
    }
    if protocol == Protocol::Sub0 {
        socket.set_opt::<Subscribe>(Vec::new()).map_err(Failure::failed)?;
    }
    Ok(socket)
}

/// How many messages find room in a socket's buffer.
fn room(setup: &Setup) -> i32 {
    const BYTES: u64 = 64 << 20;
    let size = setup.workload.size.max(1) as u64;
    let room = setup.capacity.unwrap_or(BYTES) / size;
    room.clamp(1, MOST) as i32
}

fn url(setup: &Setup, index: usize) -> String {
    format!("ipc://{}/{index}", setup.directory.display())
}

/// A message of nng's that is to be sent, or has come.
struct Owned(NonNull<ffi::nng_msg>);

impl Owned {
    /// One of so many bytes.
    fn of(len: usize) -> Result<Self> {
        let mut message = ptr::null_mut();
        // SAFETY: there is room for the pointer.
        let outcome = unsafe { ffi::nng_msg_alloc(&raw mut message, len) };
        done(outcome)?;
        NonNull::new(message).map(Self).ok_or_else(|| Failure::failed("nng has no message"))
    }

    #[inline]
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the message is a live one.
        let len = unsafe { ffi::nng_msg_len(self.0.as_ptr()) };
        // SAFETY: as above.
        let body = unsafe { ffi::nng_msg_body(self.0.as_ptr()) };
        // SAFETY: a message has that many bytes there for as long as it lives and is not sent, and nobody else has it; nng
        // fills new ones with zeros.
        unsafe { slice::from_raw_parts_mut(body.cast(), len) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the message is a live one, and nobody has it any more.
        unsafe { ffi::nng_msg_free(self.0.as_ptr()) };
    }
}

/// An operation of nng's, used again and again: `nng_sendmsg` and `nng_recvmsg` make one for each message.
struct Operation(NonNull<ffi::nng_aio>);

impl Operation {
    fn new() -> Result<Self> {
        let mut aio = ptr::null_mut();
        // SAFETY: there is room for the pointer; without a function nothing is called.
        let outcome = unsafe { ffi::nng_aio_alloc(&raw mut aio, None, ptr::null_mut()) };
        done(outcome)?;
        NonNull::new(aio).map(Self).ok_or_else(|| Failure::failed("nng has no operation"))
    }

    fn limit(&self, milliseconds: i32) {
        // SAFETY: the operation is a live one, and not under way.
        unsafe { ffi::nng_aio_set_timeout(self.0.as_ptr(), milliseconds) };
    }

    #[inline]
    fn send(&self, socket: &Socket, message: Owned) -> Result<()> {
        let aio = self.0.as_ptr();
        // SAFETY: the operation is not under way; nng has the message from here on, if it succeeds.
        unsafe { ffi::nng_aio_set_msg(aio, message.0.as_ptr()) };
        // SAFETY: the socket is open, and the operation has a message.
        unsafe { ffi::nng_send_aio(socket.nng_socket(), aio) };
        self.wait()?;
        std::mem::forget(message);
        Ok(())
    }

    #[inline]
    fn begin_to_receive(&self, socket: &Socket) {
        // SAFETY: the socket is open, and the operation is not under way.
        unsafe { ffi::nng_recv_aio(socket.nng_socket(), self.0.as_ptr()) };
    }

    /// What was received.
    #[inline]
    fn received(&self) -> Result<Owned> {
        self.wait()?;
        // SAFETY: the operation has ended well.
        let message = unsafe { ffi::nng_aio_get_msg(self.0.as_ptr()) };
        NonNull::new(message).map(Owned).ok_or_else(|| Failure::failed("nng has received no message"))
    }

    #[inline]
    fn wait(&self) -> Result<()> {
        // SAFETY: the operation is a live one.
        unsafe { ffi::nng_aio_wait(self.0.as_ptr()) };
        // SAFETY: it has ended.
        done(unsafe { ffi::nng_aio_result(self.0.as_ptr()) })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: it is a live one; nng stops it first.
        unsafe { ffi::nng_aio_free(self.0.as_ptr()) };
    }
}

#[inline]
fn done(outcome: c_int) -> Result<()> {
    match NonZeroU32::new(outcome.cast_unsigned()) {
        None => Ok(()),
        Some(code) => Err(Failure::failed(Error::from(code))),
    }
}

struct Sender {
    operation: Operation,
    /// One; for fan-out, one for each subscriber.
    sockets: Vec<Rc<Socket>>,
}

impl Send for Sender {
    /// Waits: see [the module](self).
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.send(message).map(|()| true)
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        for socket in &self.sockets {
            // The memory is nng's, and new: each subscriber has a message of its own.
            let mut own = Owned::of(message.len())?;
            message.fill(own.bytes());
            self.operation.send(socket, own)?;
        }
        Ok(())
    }
}

/// How many messages nng is asked for at a time: its threads can hand over as many before this one has run.
const ASKED: usize = 64;

/// For how many milliseconds nothing must come before all has come. Shorter than the time after which the end of a run is
/// sent again; if it is too short, messages are missing, and the run fails.
const QUIET_MS: i32 = 80;

struct Receiver {
    /// In the order in which they were begun, from `next` on.
    operations: Vec<Operation>,
    next: usize,
    socket: Rc<Socket>,
    /// One of several publishers says that all have sent everything, and what the others have sent may come later.
    drains: bool,
    /// It has said so. The end is held back until nothing comes any more: messages are given on one by one until then,
    /// so that the time of the last is the last message's and not that of the silence after it.
    is_ending: bool,
}

impl Receiver {
    fn new(socket: Rc<Socket>, drains: bool) -> Result<Self> {
        // Of a single one the limit can be changed before it begins again.
        let count = if drains { 1 } else { ASKED };
        let operations = (0..count).map(|_| Operation::new()).collect::<Result<Vec<_>>>()?;
        operations.iter().for_each(|operation| operation.begin_to_receive(&socket));
        Ok(Self { operations, next: 0, socket, drains, is_ending: false })
    }
}

impl Receive for Receiver {
    /// Waits: see [the module](self).
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let operation = &self.operations[self.next];
        let received = operation.received();
        if received.is_err() && self.is_ending {
            incoming.check(&vec![0xff; incoming.len()]);
            return Ok(true);
        }
        let mut message = received?;
        let bytes = message.bytes();
        let ends = self.drains && bytes.iter().take(8).all(|&byte| byte == 0xff);
        if ends {
            operation.limit(QUIET_MS);
            self.is_ending = true;
        } else {
            incoming.check(bytes);
        }
        operation.begin_to_receive(&self.socket);
        self.next = (self.next + 1) % self.operations.len();
        Ok(!ends)
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.try_receive(incoming)? {}
        Ok(())
    }
}
