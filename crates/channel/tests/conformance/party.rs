//! The party: a process, or a thread of one, that opens an end and does what the stage orders.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twixt_address::Address;
use twixt_channel::{
    Attributes, Capacity, Duplex, Interest, Listener, Message, Opening, Receiver, Select, Sender, Side, local,
};
use twixt_os::sysv::msg::Type;
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Peer, Storm};

use crate::body::{self, Body, LANES, lane, number_of, numbered};
use crate::protocol::{
    Abilities, Answer, Choice, Collected, Done, End, Failure, Got, How, Limit, Order, Room, Tally, Usage,
    With, read, write,
};

/// What testkit knows the child process as.
pub const ROLE: &str = "party";

/// The number of the descriptor by which the first party of a process is talked to; the others follow.
pub const CONTROL: RawFd = 200;

/// Plays as many parties as the first argument says, until the stage lets go of them.
pub fn play(peer: &Peer) {
    limit_signals();
    let parties: RawFd = peer.arg(0).parse().expect("a number of parties");
    let controls = (CONTROL..CONTROL + parties).map(|number| {
        UnixStream::from(twixt_os::inherit::inherited(number).expect("a socket passed by the stage"))
    });
    let mut controls: Vec<_> = controls.collect();
    let first = controls.remove(0);
    std::thread::scope(|scope| {
        for control in controls {
            scope.spawn(move || Party::new(control).obey());
        }
        Party::new(first).obey();
    });
}

/// Queued signals count for all processes of a user together: a queue is full sooner than would disturb others.
fn limit_signals() {
    const MOST: u64 = 2000;
    let limit = getrlimit(Resource::Sigpending);
    let current = Some(limit.current.unwrap_or(MOST).min(MOST));
    setrlimit(Resource::Sigpending, Rlimit { current, ..limit }).expect("lowering a soft limit");
}

struct Party {
    control: UnixStream,
    held: Held,
    can: Option<Abilities>,
    message: Message,
}

enum Held {
    Nothing,
    Sender(Sender),
    Receiver(Receiver),
    Duplex(Duplex),
    Listener(Listener),
}

type Outcome = Result<Done, Failure>;

impl Party {
    fn new(control: UnixStream) -> Self {
        Self { control, held: Held::Nothing, can: None, message: Message::new() }
    }

    fn obey(mut self) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        write(&self.control, &Answer::Here { tid, pid: std::process::id().cast_signed() });
        while let Ok(order) = read::<Order>(&self.control) {
            let began = Instant::now();
            let outcome = self.carry_out(order);
            write(&self.control, &Answer::Settled { outcome, took: began.elapsed() });
        }
    }

    fn carry_out(&mut self, order: Order) -> Outcome {
        match order {
            Order::Open { end, address, listens } => self.open(end, &address, listens),
            Order::Send { body, with, how } => self.send(&body, &with, how),
            Order::SendMany { first, count, how } => self.send_many(first, count, how),
            Order::Receive { how } => self.receive(how),
            Order::ReceiveMany { most, keep, how } => self.receive_many(most, keep, how),
            Order::Select(choice) => {
                self.receiver().select(choice.as_select())?;
                Ok(Done::Nothing)
            }
            Order::Flush { how } => {
                self.sender().flush(how.as_wait())?;
                Ok(Done::Nothing)
            }
            Order::HoldsBack => Ok(Done::Is(self.sender().holds_back())),
            Order::Close { how } => {
                let closed = match std::mem::replace(&mut self.held, Held::Nothing) {
                    Held::Sender(sender) => sender.close(how.as_wait()),
                    _ => panic!("no sender to close"),
                };
                closed.map(|()| Done::Nothing).map_err(Failure::from)
            }
            Order::Drop => {
                self.held = Held::Nothing;
                Ok(Done::Nothing)
            }
            Order::Len => Ok(Done::Len(match &self.held {
                Held::Sender(sender) => sender.len()?,
                Held::Receiver(receiver) => receiver.len()?,
                _ => panic!("nothing with a length"),
            })),
            Order::Capacity => {
                let capacity: Option<Capacity> = match &self.held {
                    Held::Sender(sender) => sender.capacity()?,
                    Held::Receiver(receiver) => receiver.capacity()?,
                    _ => panic!("nothing with a capacity"),
                };
                Ok(Done::Capacity(capacity.map(Room::of)))
            }
            Order::Poll { patience } => self.poll(patience),
            Order::Usage => Ok(Done::Usage(usage())),
            Order::Accept { how } => self.accept(how),
        }
    }

    fn open(&mut self, end: End, address: &str, listens: bool) -> Outcome {
        // Whoever opens anew has let go of the old.
        self.held = Held::Nothing;
        self.held = if let Some(options) = address.strip_prefix("local:") {
            open_local(end, options)?
        } else if let Some(address) = address.strip_prefix("pair:") {
            open_half(end, address)?
        } else {
            let mut opening = opening(address)?.wait(How::PATIENT.as_wait());
            if listens {
                opening = opening.side(Side::Listen);
            }
            match end {
                End::Sender => Held::Sender(opening.sender()?),
                End::Receiver => Held::Receiver(opening.receiver()?),
                End::Duplex => Held::Duplex(opening.duplex()?),
                End::Listener => Held::Listener(opening.listener()?),
            }
        };
        let can = Abilities::of(&match &mut self.held {
            Held::Sender(sender) => sender.capabilities(),
            Held::Receiver(receiver) => receiver.capabilities(),
            Held::Duplex(duplex) => duplex.sender().capabilities(),
            Held::Listener(listener) => listener.capabilities(),
            Held::Nothing => unreachable!("opened above"),
        });
        self.can = Some(can.clone());
        Ok(Done::Opened(can))
    }

    fn accept(&mut self, how: How) -> Outcome {
        let Held::Listener(listener) = &self.held else { panic!("nothing to accept with") };
        let mut duplex = listener.accept_wait(how.as_wait())?;
        let can = Abilities::of(&duplex.sender().capabilities());
        self.held = Held::Duplex(duplex);
        self.can = Some(can.clone());
        Ok(Done::Opened(can))
    }

    fn sender(&mut self) -> &mut Sender {
        match &mut self.held {
            Held::Sender(sender) => sender,
            Held::Duplex(duplex) => duplex.sender(),
            _ => panic!("no sender is open"),
        }
    }

    fn receiver(&mut self) -> &mut Receiver {
        match &mut self.held {
            Held::Receiver(receiver) => receiver,
            Held::Duplex(duplex) => duplex.receiver(),
            _ => panic!("no receiver is open"),
        }
    }

    fn can(&self) -> Abilities {
        self.can.clone().expect("something was opened")
    }

    fn send(&mut self, body: &Body, with: &With, how: How) -> Outcome {
        let bytes = body.bytes();
        let pipes: Vec<OwnedFd> = (0..with.descriptors).map(pipe_that_says).collect();
        let borrowed: Vec<_> = pipes.iter().map(AsFd::as_fd).collect();
        let mut attributes = Attributes::new().descriptors(&borrowed);
        if let Some(message_type) = with.message_type {
            attributes = attributes.message_type(message_type);
        }
        if let Some(priority) = with.priority {
            attributes = attributes.priority(priority);
        }
        let control = self.control.try_clone().expect("a free descriptor");
        let sender = self.sender();
        under(how, &control, || {
            if !attributes.is_empty() {
                return sender.send_with(&bytes, &attributes, how.as_wait());
            }
            send_as(sender, &bytes, how)
        })?;
        Ok(Done::Nothing)
    }

    fn send_many(&mut self, first: u64, count: u64, how: How) -> Outcome {
        let can = self.can();
        let sender = self.sender();
        let mut bytes = Vec::new();
        for sent in 0..count {
            numbered(&can, first + sent, &mut bytes);
            if let Err(error) = send_as(sender, &bytes, how) {
                return Ok(Done::Sent(Tally { sent, failure: Some(error.into()) }));
            }
        }
        Ok(Done::Sent(Tally { sent: count, failure: None }))
    }

    fn receive(&mut self, how: How) -> Outcome {
        let control = self.control.try_clone().expect("a free descriptor");
        let receiver = self.receiver();
        let mut message = under(how, &control, || match how {
            How { interruptible: true, limit: Limit::Forever, .. } => receiver.receive_interruptible(),
            How { interruptible: true, .. } => {
                let mut message = Message::new();
                receiver.receive_wait(&mut message, how.as_wait()).map(|()| message)
            }
            How { limit: Limit::Forever, .. } => receiver.receive(),
            How { limit: Limit::Never, .. } => receiver.try_receive(),
            How { limit: limit @ (Limit::Past | Limit::Within(_)), .. } => {
                receiver.receive_deadline(deadline(limit))
            }
        })?;
        let descriptors = message.take_descriptors();
        Ok(Done::Received(Got {
            body: Body::of(message.bytes()),
            message_type: message.message_type(),
            priority: message.priority(),
            credentials: message
                .credentials()
                .map(|it| (it.pid.map(|pid| pid.as_raw_nonzero().get()), it.uid, it.gid)),
            descriptors: descriptors.into_iter().map(what_it_says).collect(),
        }))
    }

    fn receive_many(&mut self, most: u64, keep: bool, how: How) -> Outcome {
        let can = self.can();
        let stop = body::stop(&can);
        let mut message = std::mem::take(&mut self.message);
        let receiver = self.receiver();
        let mut collected = Collected::default();
        let mut latest = [None; LANES];
        while collected.count < most {
            if let Err(error) = receiver.receive_wait(&mut message, how.as_wait()) {
                collected.failure = Some(error.into());
                break;
            }
            let Some(mut number) = number_of(&can, message.bytes()) else {
                let shown = String::from_utf8_lossy(message.bytes()).into_owned();
                let after: Vec<u64> = latest.into_iter().flatten().collect();
                collected.wrong.get_or_insert(format!("after {after:?} came {shown:?}"));
                break;
            };
            if number == stop || can.adds_up() && number >= stop {
                collected.stopped = true;
                number -= stop;
                collected.sum += number;
                break;
            }
            collected.count += 1;
            collected.sum += number;
            if can.adds_up() {
                continue;
            }
            let before = latest[lane(number)].replace(number);
            if can.keeps_order()
                && let Some(before) = before
                && before >= number
            {
                collected.wrong.get_or_insert(format!("after {before} came {number}"));
            }
            if keep {
                collected.numbers.push(number);
            }
        }
        self.message = message;
        Ok(Done::Collected(collected))
    }

    fn poll(&mut self, patience: Duration) -> Outcome {
        let readiness = match &self.held {
            Held::Sender(sender) => sender.readiness()?,
            Held::Receiver(receiver) => receiver.readiness()?,
            Held::Listener(listener) => listener.readiness()?,
            _ => panic!("nothing to poll"),
        };
        let interest = match readiness.interest() {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        let mut polled = [PollFd::from_borrowed_fd(readiness.descriptor(), interest)];
        let patience =
            Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
        let ready = poll(&mut polled, Some(&patience)).expect("a descriptor that can be polled");
        Ok(Done::Is(ready > 0))
    }
}

fn opening(address: &str) -> Result<Opening, Failure> {
    // An option that the grammar refuses is refused by name too.
    let parsed = address.parse::<Address>().map_err(|error| Failure::new(ErrorKind::Unsupported, error))?;
    Ok(Opening::new(&parsed))
}

/// Where the parties of one process meet.
static LOCAL: Mutex<Option<local::Channel>> = Mutex::new(None);
static PAIR: Mutex<(Option<Sender>, Option<Receiver>)> = Mutex::new((None, None));

fn open_local(end: End, options: &str) -> Result<Held, Failure> {
    let mut channel = LOCAL.lock().unwrap_or_else(PoisonError::into_inner);
    let channel = channel.get_or_insert_with(|| local::Channel::new(local_capacity(options)));
    match end {
        End::Sender => Ok(Held::Sender(channel.sender())),
        End::Receiver => Ok(Held::Receiver(channel.receiver())),
        End::Duplex | End::Listener => panic!("a channel within a process is opened by no address"),
    }
}

fn local_capacity(options: &str) -> Capacity {
    // The grammar of options is that of a mechanism that takes both.
    let address: Address = format!("mmap:/local{options}").parse().expect("options of the suite");
    match (address.options().budget(), address.options().capacity()) {
        (Some(budget), _) => Capacity::Unbounded { budget },
        (None, Some(bytes)) => Capacity::Bytes(bytes),
        (None, None) => Capacity::Messages(64),
    }
}

fn open_half(end: End, address: &str) -> Result<Held, Failure> {
    let mut pair = PAIR.lock().unwrap_or_else(PoisonError::into_inner);
    if pair.0.is_none() && pair.1.is_none() {
        let (sender, receiver) = opening(address)?.pair()?;
        *pair = (Some(sender), Some(receiver));
    }
    let gone = || Failure::new(ErrorKind::NotFound, "that half was taken before");
    match end {
        End::Sender => pair.0.take().map(Held::Sender).ok_or_else(gone),
        End::Receiver => pair.1.take().map(Held::Receiver).ok_or_else(gone),
        End::Duplex => opening(address)?.duplex().map(Held::Duplex).map_err(Failure::from),
        End::Listener => opening(address)?.listener().map(Held::Listener).map_err(Failure::from),
    }
}

/// By the form of the call that has its name.
fn send_as(sender: &mut Sender, bytes: &[u8], how: How) -> twixt_os::Result<()> {
    match how {
        How { interruptible: true, limit: Limit::Forever, .. } => sender.send_interruptible(bytes),
        How { interruptible: true, .. } => sender.send_wait(bytes, how.as_wait()),
        How { limit: Limit::Forever, .. } => sender.send(bytes),
        How { limit: Limit::Never, .. } => sender.try_send(bytes),
        How { limit: limit @ (Limit::Past | Limit::Within(_)), .. } => {
            sender.send_deadline(bytes, deadline(limit))
        }
    }
}

/// Makes the call, under a storm if it is to be, and tells the stage once the storm has hit.
fn under<T>(how: How, control: &UnixStream, call: impl FnOnce() -> T) -> T {
    if !how.storm {
        return call();
    }
    let storm = Storm::on_this_thread();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            storm.wait_for(20);
            write(control, &Answer::Stormed);
        });
        call()
    })
}

fn deadline(limit: Limit) -> Deadline {
    match limit {
        Limit::Within(time) => Deadline::after(time),
        _ => Instant::now()
            .checked_sub(Duration::from_millis(1))
            .expect("a clock past its first millisecond")
            .into(),
    }
}

impl How {
    fn as_wait(self) -> Wait {
        let wait = match self.limit {
            Limit::Forever => Wait::forever(),
            Limit::Never => Wait::never(),
            Limit::Past | Limit::Within(_) => Wait::until(deadline(self.limit)),
        };
        if self.interruptible { wait.interruptible() } else { wait }
    }
}

impl Choice {
    fn as_select(self) -> Select {
        match self {
            Self::Any => Select::Any,
            Self::Type(number) => Select::Exactly(message_type(number)),
            Self::AtMost(number) => Select::LowestUpTo(message_type(number)),
            Self::Except(number) => Select::Except(message_type(number)),
        }
    }
}

fn message_type(number: i64) -> Type {
    Type::new(number).expect("a positive number")
}

fn pipe_that_says(number: usize) -> OwnedFd {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("free descriptors");
    write!(File::from(writer), "descriptor {number}").expect("room in an empty pipe");
    reader
}

fn what_it_says(descriptor: OwnedFd) -> String {
    let mut text = String::new();
    File::from(descriptor).read_to_string(&mut text).expect("a pipe with text in it");
    text
}

fn usage() -> Usage {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a mounted /proc");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm(5)");
    let resident = pages * rustix::param::page_size() as u64;
    Usage { resident, descriptors: twixt_testkit::descriptors() as u64 }
}
