//! ZeroMQ: libzmq through its message calls, over `ipc://`.
//!
//! | pattern | sockets | why |
//! |---|---|---|
//! | round trip | PAIR and PAIR | both ways over one connection, and less work for the library than REQ and REP |
//! | one way, and shared | PUSH and PULL | what libzmq's own throughput test uses |
//! | fan-out | XPUB and SUB | with `ZMQ_XPUB_NODROP`: a publisher waits for slow subscribers and drops nothing |
//!
//! Messages are built in libzmq's own memory (`zmq_msg_init_size`) and handed over, and read where libzmq has received
//! them: nothing is copied besides what the library itself does. One I/O thread, as the guide advises below a gigabyte a
//! second. libzmq sends small messages that have queued up together by itself, so there is no batch to ask for.
//!
//! All that goes over a wire goes through the I/O thread, one in each process. Parties that spin take the CPUs that these
//! need: with two of them, a message that comes waits for a turn of the scheduler. So with `spin` a party of a round trip
//! gives its CPU up between two attempts, and one way it sleeps in libzmq's own call, as libzmq's throughput test does: of
//! spinning, giving up and sleeping these were the fastest, by a factor of two to three over spinning.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::rc::Rc;
use std::slice;

use twixt::bench::{
    Ends, Entry, Failure, Family, Incoming, Need, Outgoing, Pattern, Receive, Result, Role, Send, Setup,
    Transport,
};
use zmq::{Context, Socket, SocketType};
use zmq_sys as ffi;

pub(crate) const fn entry() -> Entry {
    Entry::new::<ZeroMq>("zeromq", Family::Peer).described("ZeroMQ over ipc://").capable_of(&[
        Need::Boundaries,
        Need::Bytes,
        Need::Reliable,
        Need::AnyLength,
        Need::EmptyMessages,
        Need::BothWays,
        Need::ManySenders,
        Need::ManyReceivers,
        Need::FanOut,
        Need::CrashSafe,
        Need::Pollable,
        Need::Network,
    ])
}

struct ZeroMq {
    setup: Setup,
    context: Context,
    /// A subscriber's, bound.
    bound: Option<Socket>,
}

impl Transport for ZeroMq {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        crate::capacity::choices(setup, &[1 << 20, 1 << 30])
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let context = Context::new();
        let index = match (setup.workload.pattern, setup.role) {
            // One publisher serves all who subscribe.
            (Pattern::Fanout, Role::Publisher(_)) => Some(0),
            (Pattern::Fanout, Role::Subscriber(_)) | (_, Role::Publisher(_)) => None,
            (_, Role::Subscriber(index)) => Some(index),
        };
        let bound = match index {
            Some(index) => {
                let socket = socket(&context, setup)?;
                socket.bind(&endpoint(setup, index)).map_err(Failure::failed)?;
                Some(socket)
            }
            None => None,
        };
        Ok(Self { setup: setup.clone(), context, bound })
    }

    fn connect(mut self) -> Result<Ends<Sender, Receiver>> {
        let workload = &self.setup.workload;
        let socket = match self.bound.take() {
            Some(mut socket) => {
                if workload.pattern == Pattern::Fanout {
                    await_subscriptions(&mut socket, workload.subscribers)?;
                }
                socket
            }
            None => {
                let socket = socket(&self.context, &self.setup)?;
                let endpoints = if workload.pattern == Pattern::Fanout { 1 } else { workload.subscribers };
                for index in 0..endpoints {
                    socket.connect(&endpoint(&self.setup, index)).map_err(Failure::failed)?;
                }
                socket
            }
        };
        let socket = Rc::new(RefCell::new(socket));
        let is_round_trip = workload.pattern == Pattern::Rtt;
        let sends = is_round_trip || matches!(self.setup.role, Role::Publisher(_));
        let receives = is_round_trip || matches!(self.setup.role, Role::Subscriber(_));
        let sender = sends.then(|| Sender { socket: End::of(&socket, &self.setup), message: None });
        let receiver = receives.then(|| Receiver {
            socket: End::of(&socket, &self.setup),
            message: Message::empty(),
            drains: workload.pattern == Pattern::Work && workload.publishers > 1,
            is_ending: false,
        });
        Ok(Ends { sender, receiver })
    }
}

/// A socket of the kind that this party needs.
fn socket(context: &Context, setup: &Setup) -> Result<Socket> {
    let is_publisher = matches!(setup.role, Role::Publisher(_));
    let kind = match setup.workload.pattern {
        Pattern::Rtt => SocketType::PAIR,
        Pattern::Fanout if is_publisher => SocketType::XPUB,
        Pattern::Fanout => SocketType::SUB,
        _ if is_publisher => SocketType::PUSH,
        _ => SocketType::PULL,
    };
    let mut socket = context.socket(kind).map_err(Failure::failed)?;
    let room = room(setup);
    socket
        .set_sndhwm(room)
        .and_then(|()| socket.set_rcvhwm(room))
        // Whoever is to have messages has them before a party goes.
        .and_then(|()| socket.set_linger(0))
        .map_err(Failure::failed)?;
    if kind == SocketType::XPUB {
        set_flag(&mut socket, ffi::ZMQ_XPUB_VERBOSE)?;
        set_flag(&mut socket, ffi::ZMQ_XPUB_NODROP)?;
    }
    if kind == SocketType::SUB {
        socket.set_subscribe(b"").map_err(Failure::failed)?;
    }
    Ok(socket)
}

/// How many messages may wait on each side: libzmq's default of 1,000 keeps its threads waking each other up, and more
/// than there is memory for are not asked for.
fn room(setup: &Setup) -> i32 {
    const MESSAGES: u64 = 10_000;
    const BYTES: u64 = 64 << 20;
    let size = setup.workload.size.max(1) as u64;
    let room = setup.capacity.map_or_else(|| MESSAGES.min(BYTES / size), |bytes| bytes / size);
    i32::try_from(room.max(1)).unwrap_or(i32::MAX)
}

fn endpoint(setup: &Setup, index: usize) -> String {
    format!("ipc://{}/{index}", setup.directory.display())
}

/// Waits until all have subscribed: what is published before that, they would miss.
fn await_subscriptions(socket: &mut Socket, subscribers: usize) -> Result<()> {
    for _ in 0..subscribers {
        socket.recv_bytes(0).map_err(Failure::failed)?;
    }
    Ok(())
}

fn set_flag(socket: &mut Socket, option: u32) -> Result<()> {
    let on: c_int = 1;
    // SAFETY: the socket is open, and the option's value is an int, of which the length is given.
    let outcome = unsafe {
        ffi::zmq_setsockopt(socket.as_mut_ptr(), option as c_int, (&raw const on).cast(), size_of::<c_int>())
    };
    done(outcome).map(drop)
}

/// A socket, of which a round trip has both ends.
struct End {
    pointer: *mut c_void,
    /// Whose pointer it is: it stays open as long as this.
    socket: Rc<RefCell<Socket>>,
    /// Whether an attempt waits: see [the module](self).
    sleeps: bool,
}

impl End {
    fn of(socket: &Rc<RefCell<Socket>>, setup: &Setup) -> Self {
        let pointer = socket.borrow_mut().as_mut_ptr();
        Self { pointer, socket: socket.clone(), sleeps: setup.workload.pattern != Pattern::Rtt }
    }
}

struct Sender {
    socket: End,
    /// One that was filled, and has not gone.
    message: Option<Message>,
}

impl Sender {
    #[inline]
    fn go(&mut self, outgoing: &mut Outgoing, flags: u32) -> Result<bool> {
        let mut message = match self.message.take() {
            Some(message) if outgoing.is_filled() => message,
            _ => {
                let mut message = Message::of(outgoing.len())?;
                outgoing.fill(message.bytes_mut());
                message
            }
        };
        // SAFETY: both are live; libzmq takes what the message holds if it succeeds, and leaves it be if not.
        let outcome = unsafe { ffi::zmq_msg_send(&raw mut message.0, self.socket.pointer, flags as c_int) };
        let went = went(outcome)?;
        if !went {
            self.message = Some(message);
        }
        Ok(went)
    }
}

impl Send for Sender {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        if self.socket.sleeps {
            return self.go(message, 0);
        }
        let went = self.go(message, ffi::ZMQ_DONTWAIT)?;
        if !went {
            std::thread::yield_now();
        }
        Ok(went)
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        while !self.go(message, 0)? {}
        Ok(())
    }
}

/// For how many milliseconds nothing must come before all has come. Shorter than the time after which the end of a run
/// is sent again; if it is too short, messages are missing, and the run fails.
const QUIET_MS: i64 = 80;

struct Receiver {
    socket: End,
    message: Message,
    /// One of several publishers says that all have sent everything, and what the others have sent may come later.
    drains: bool,
    /// It has said so. The end is held back until nothing comes any more: messages are given on one by one until then,
    /// so that the time of the last is the last message's and not that of the silence after it.
    is_ending: bool,
}

impl Receiver {
    #[inline]
    fn go(&mut self, incoming: &mut Incoming, flags: u32) -> Result<bool> {
        if self.is_ending && !self.has_more()? {
            incoming.check(&vec![0xff; incoming.len()]);
            return Ok(true);
        }
        // SAFETY: both are live; libzmq drops what the message held, and gives it what has come.
        let outcome =
            unsafe { ffi::zmq_msg_recv(&raw mut self.message.0, self.socket.pointer, flags as c_int) };
        if !went(outcome)? {
            return Ok(false);
        }
        let bytes = self.message.bytes();
        if self.drains && bytes.iter().take(8).all(|&byte| byte == 0xff) {
            self.is_ending = true;
            return Ok(false);
        }
        incoming.check(bytes);
        Ok(true)
    }

    #[cold]
    fn has_more(&self) -> Result<bool> {
        let ready = self.socket.socket.borrow().poll(zmq::POLLIN, QUIET_MS).map_err(Failure::failed)?;
        Ok(ready > 0)
    }
}

impl Receive for Receiver {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        if self.socket.sleeps {
            return self.go(incoming, 0);
        }
        let came = self.go(incoming, ffi::ZMQ_DONTWAIT)?;
        if !came {
            std::thread::yield_now();
        }
        Ok(came)
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        while !self.go(incoming, 0)? {}
        Ok(())
    }
}

/// A message of libzmq's. It is never moved while it holds anything that points into itself: libzmq's own functions take
/// it by address, and none keeps the address.
struct Message(ffi::zmq_msg_t);

impl Message {
    fn empty() -> Self {
        let mut message = ffi::zmq_msg_t { __: [0; 64] };
        // SAFETY: it is given room for a message, which becomes an empty one. It cannot fail.
        unsafe { ffi::zmq_msg_init(&raw mut message) };
        Self(message)
    }

    /// One of so many bytes, not yet written.
    #[inline]
    fn of(len: usize) -> Result<Self> {
        let mut message = ffi::zmq_msg_t { __: [0; 64] };
        // SAFETY: it is given room for a message, which it makes one of.
        let outcome = unsafe { ffi::zmq_msg_init_size(&raw mut message, len) };
        done(outcome)?;
        Ok(Self(message))
    }

    #[inline]
    fn bytes(&mut self) -> &[u8] {
        self.bytes_mut()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the message is a live one.
        let len = unsafe { ffi::zmq_msg_size(&raw const self.0) };
        // SAFETY: as above.
        let data = unsafe { ffi::zmq_msg_data(&raw mut self.0) };
        // SAFETY: a message has that many bytes there for as long as it lives and is not sent, and nobody else has it.
        // They are bytes whatever they are: memory from `malloc` that nobody reads before it is written.
        unsafe { slice::from_raw_parts_mut(data.cast(), len) }
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the message is a live one; after it was sent, an empty one.
        unsafe { ffi::zmq_msg_close(&raw mut self.0) };
    }
}

#[inline]
fn went(outcome: c_int) -> Result<bool> {
    if outcome >= 0 {
        return Ok(true);
    }
    // SAFETY: it only reads this thread's error number.
    match unsafe { ffi::zmq_errno() } {
        libc_errno::EAGAIN | libc_errno::EINTR => Ok(false),
        error => Err(Failure::failed(zmq::Error::from_raw(error))),
    }
}

fn done(outcome: c_int) -> Result<()> {
    went(outcome).and_then(|done| if done { Ok(()) } else { Err(Failure::failed("libzmq was interrupted")) })
}

mod libc_errno {
    use std::ffi::c_int;

    pub(super) const EAGAIN: c_int = rustix::io::Errno::AGAIN.raw_os_error();
    pub(super) const EINTR: c_int = rustix::io::Errno::INTR.raw_os_error();
}
