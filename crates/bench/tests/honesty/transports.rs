//! A transport over a Unix socket with one call for each message, honest under one name and not so under others.

use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, kill_process};
use rustix::time::{ClockId, clock_gettime};
use twixt_bench::{
    Ends, Entry, Failure, Family, Incoming, Outgoing, Pattern, Receive, Registry, Result, Role, Send, Setup,
    Transport, Waiting, never,
};

/// What is added to each message over `sleeps`.
pub const SLEEP: Duration = Duration::from_millis(1);

/// The processor time that is added to each message over `computes`, in nanoseconds.
pub const WORK_NS: u64 = 100_000;

/// The system calls that are added to each message over `calls`.
pub const CALLS: u64 = 7;

/// What happens to this message, and only to it, or from it on.
const AT: u64 = 40;

/// Its names. What each does is said where it does it.
pub const NAMES: &[&str] = &[
    "wire", "sleeps", "computes", "calls", "drops", "doubles", "swaps", "tears", "shortens", "withers",
    "stops", "dies", "hangs", "deaf",
];

/// `floor` is the same as `wire`, by the name of a floor; it is the only one.
pub fn registry() -> Registry {
    Registry::of(bare().entries().iter().copied().chain([Entry::new::<Wire>("floor", Family::Floor)]))
}

/// Without a floor: a plan over one of these runs nothing else.
pub fn bare() -> Registry {
    let own = Registry::own();
    let own = own.entries().iter().copied().filter(|entry| entry.family() != Family::Floor);
    let wires = NAMES.iter().map(|name| Entry::new::<Wire>(name, Family::Channel));
    Registry::of(own.chain(wires))
}

pub struct Wire {
    setup: Setup,
    listener: Option<UnixListener>,
}

impl Transport for Wire {
    type Sender = Sender;
    type Receiver = Receiver;

    fn supports(setup: &Setup) -> Result<()> {
        if setup.workload.waiting != Waiting::Block || setup.workload.parties() > 2 {
            return never("it is for two parties that block");
        }
        Ok(())
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let is_subscriber = matches!(setup.role, Role::Subscriber(_));
        let listener = is_subscriber.then(|| UnixListener::bind(setup.directory.join("wire"))).transpose()?;
        Ok(Self { setup: setup.clone(), listener })
    }

    fn connect(self) -> Result<Ends<Sender, Receiver>> {
        let stream = match &self.listener {
            Some(listener) => listener.accept()?.0,
            None => UnixStream::connect(self.setup.directory.join("wire"))?,
        };
        let back = stream.try_clone()?;
        let is_round_trip = self.setup.workload.pattern == Pattern::Rtt;
        let is_publisher = self.listener.is_none();
        let fault = self.setup.transport;
        let size = self.setup.workload.size;
        let sender = Sender {
            stream,
            fault: if is_publisher { fault.clone() } else { String::new() },
            buffer: vec![0; size],
            kept: None,
        };
        let receiver = Receiver {
            stream: back,
            fault: if is_publisher { String::new() } else { fault },
            buffer: vec![0; size],
            received: 0,
        };
        Ok(Ends {
            sender: (is_publisher || is_round_trip).then_some(sender),
            receiver: (!is_publisher || is_round_trip).then_some(receiver),
        })
    }
}

pub struct Sender {
    stream: UnixStream,
    fault: String,
    buffer: Vec<u8>,
    /// A message that goes after the next.
    kept: Option<Vec<u8>>,
}

impl Send for Sender {
    fn try_send(&mut self, _: &mut Outgoing) -> Result<bool> {
        never("it blocks")
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        message.fill(&mut self.buffer);
        let is_it = message.number() == AT;
        match self.fault.as_str() {
            "sleeps" => sleep(SLEEP),
            "computes" => compute(),
            "calls" => (0..CALLS).for_each(|_| _ = black_box(getppid())),
            "drops" if is_it => return Ok(()),
            "doubles" if is_it => self.stream.write_all(&self.buffer)?,
            "swaps" if is_it => {
                self.kept = Some(self.buffer.clone());
                return Ok(());
            }
            // The second half is still that of another message.
            "tears" if is_it => {
                let half = self.buffer.len() / 2;
                self.buffer[half..].fill(0xee);
            }
            "withers" if is_it => return Err(Failure::failed("the wire has withered")),
            // It says that it sends, and does not.
            "stops" if message.number() >= AT => return Ok(()),
            _ => {}
        }
        self.stream.write_all(&self.buffer)?;
        if let Some(kept) = self.kept.take() {
            self.stream.write_all(&kept)?;
        }
        Ok(())
    }
}

/// Uses the processor, and not merely time, for so long.
fn compute() {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
    };
    let end = now() + WORK_NS;
    while now() < end {}
}

pub struct Receiver {
    stream: UnixStream,
    fault: String,
    buffer: Vec<u8>,
    received: u64,
}

impl Receive for Receiver {
    fn try_receive(&mut self, _: &mut Incoming) -> Result<bool> {
        never("it blocks")
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        let is_it = self.received == AT;
        match self.fault.as_str() {
            "dies" if is_it => kill_process(getpid(), Signal::KILL).map_err(std::io::Error::from)?,
            "hangs" if is_it => kill_process(getpid(), Signal::STOP).map_err(std::io::Error::from)?,
            _ => {}
        }
        self.stream.read_exact(&mut self.buffer)?;
        self.received += 1;
        match self.fault.as_str() {
            "shortens" if is_it => incoming.check(&self.buffer[1..]),
            // It hears and says nothing.
            "deaf" if is_it => {}
            _ => incoming.check(&self.buffer),
        }
        Ok(())
    }
}
