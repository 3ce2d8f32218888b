//! The stage: casts the parties of a case and directs them.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind as IoErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_address::Address;
use twixt_channel::Capabilities;
use twixt_os::ErrorKind;
use twixt_testkit::{Child, Test};

use crate::backends::{Backend, Passed, Site};
use crate::body::{Body, numbered};
use crate::party::{CONTROL, ROLE};
use crate::protocol::{
    Abilities, Answer, Choice, Collected, Done, End, Failure, Got, How, Order, Room, Tally, Usage, With,
    read, write,
};

/// A case does not apply: what it is about the backend does not claim, nor is there anything to refuse.
#[derive(Debug)]
pub struct NotClaimed(pub &'static str);

/// What a case comes to, other than a panic.
pub type Played = Result<(), NotClaimed>;

/// How long no party may keep the stage waiting.
pub const HANG: Duration = Duration::from_secs(70);

/// What has limits of its own run.
const USER_NAMESPACE: &[&str] = &["unshare", "--user", "--map-root-user", "--"];

pub struct Stage {
    test: Test,
    pub backend: &'static Backend,
}

/// Parties before they have opened anything.
pub struct Cast {
    pub senders: Vec<Party>,
    pub receivers: Vec<Party>,
    pub site: Rc<Site>,
}

/// One of each, with both ends open.
pub struct Pair {
    pub sender: Party,
    pub receiver: Party,
}

impl Stage {
    pub fn new(test: Test, backend: &'static Backend) -> Self {
        Self { test, backend }
    }

    /// A sender and a receiver, open.
    pub fn pair(&self) -> Pair {
        self.pair_with("").expect("both ends open")
    }

    /// A sender and a receiver, opened with these options; or what the first of them that failed says.
    pub fn pair_with(&self, options: &str) -> Result<Pair, Failure> {
        self.pair_of(self.cast(options, 1, 1))
    }

    /// One of each of the cast, open.
    pub fn pair_of(&self, mut cast: Cast) -> Result<Pair, Failure> {
        let (sender, receiver) = (cast.senders.remove(0), cast.receivers.remove(0));
        self.open(&[&sender], &[&receiver])?;
        Ok(Pair { sender, receiver })
    }

    /// So many senders and receivers, none of which has opened its end.
    pub fn cast(&self, options: &str, senders: usize, receivers: usize) -> Cast {
        self.cast_unlike(options, options, senders, receivers)
    }

    /// As before, with options that differ.
    pub fn cast_unlike(&self, sender: &str, receiver: &str, senders: usize, receivers: usize) -> Cast {
        let mut site = self.backend.site(sender, receiver);
        let (for_sender, for_receiver) =
            (std::mem::take(&mut site.sender.descriptors), std::mem::take(&mut site.receiver.descriptors));
        let mut kinds = vec![(End::Receiver, &for_receiver); receivers];
        kinds.extend(vec![(End::Sender, &for_sender); senders]);
        let processes: Vec<_> = if self.backend.in_threads {
            let (child, controls) = self.process(kinds.len(), &Vec::new(), &[]);
            controls.into_iter().map(|control| (Rc::clone(&child), control)).collect()
        } else {
            let process = |(end, descriptors): &(End, &Passed)| {
                let apart = self.backend.counts_for_user && *end == End::Receiver;
                let (child, mut controls) =
                    self.process(1, descriptors, if apart { USER_NAMESPACE } else { &[] });
                (child, controls.remove(0))
            };
            kinds.iter().map(process).collect()
        };
        let site = Rc::new(site);
        let mut all: Vec<Party> = Vec::new();
        for (index, ((child, control), (end, _))) in processes.into_iter().zip(&kinds).enumerate() {
            let number =
                CONTROL + if self.backend.in_threads { i32::try_from(index).expect("few") } else { 0 };
            let mut party = Party::new(child, control, number, *end, &site);
            let entrance = if *end == End::Sender { &site.sender } else { &site.receiver };
            let receiver = all.first().map_or(party.pid, |first| first.pid);
            party.address = site.address(entrance, receiver);
            all.push(party);
        }
        let senders = all.split_off(receivers);
        Cast { senders, receivers: all, site }
    }

    /// Starts a process with so many parties.
    fn process(
        &self,
        parties: usize,
        descriptors: &Passed,
        wrapper: &[&str],
    ) -> (Rc<RefCell<Option<Child>>>, Vec<UnixStream>) {
        let mut spawn = self.test.child(ROLE).arg(parties).under(wrapper);
        let mut controls = Vec::new();
        for number in CONTROL.. {
            let (here, there) = UnixStream::pair().expect("free descriptors");
            here.set_read_timeout(Some(HANG)).expect("a time");
            controls.push(here);
            spawn = spawn.descriptor(OwnedFd::from(there), number);
            if controls.len() == parties {
                break;
            }
        }
        for (descriptor, number) in descriptors {
            spawn = spawn.descriptor(descriptor.try_clone().expect("a free descriptor"), *number);
        }
        (Rc::new(RefCell::new(Some(spawn.spawn()))), controls)
    }

    /// Has all of them open their ends: receivers first, but not so that one that waits for a sender holds up the sender.
    pub fn open(&self, senders: &[&Party], receivers: &[&Party]) -> Result<(), Failure> {
        for party in receivers.iter().chain(senders) {
            party.begin_open();
            party.wait_until_asleep();
        }
        for party in receivers.iter().chain(senders) {
            party.opened()?;
        }
        Ok(())
    }

    /// What the mechanism claims at its best, before anything is open; `None` for what has no address of its own.
    pub fn claims(&self) -> Option<Abilities> {
        let address = self.backend.receiver.strip_prefix("pair:").unwrap_or(self.backend.receiver);
        let site = self.backend.site("", "");
        let address: Address = site.other(address, "").replace("{receiver}", "1").parse().ok()?;
        Capabilities::of(address.endpoint()).map(|can| Abilities::of(&can))
    }
}

/// A party, as the stage sees it.
pub struct Party {
    // Before the site, which is cleared once nobody uses it.
    child: Rc<RefCell<Option<Child>>>,
    control: UnixStream,
    control_number: i32,
    tid: i32,
    pub pid: i32,
    pub end: End,
    pub address: String,
    can: RefCell<Option<Abilities>>,
    /// Whether a word of it was taken for what it is not yet.
    stormed: Cell<bool>,
    _site: Rc<Site>,
}

/// A settled order.
#[derive(Debug)]
pub struct Settled {
    pub outcome: Result<Done, Failure>,
    pub took: Duration,
}

impl Party {
    fn new(
        child: Rc<RefCell<Option<Child>>>,
        control: UnixStream,
        control_number: i32,
        end: End,
        site: &Rc<Site>,
    ) -> Self {
        let Ok(Answer::Here { tid, pid }) = read(&control) else { panic!("a party did not come on stage") };
        Self {
            child,
            control,
            control_number,
            tid,
            pid,
            end,
            address: String::new(),
            can: RefCell::new(None),
            stormed: Cell::new(false),
            _site: Rc::clone(site),
        }
    }

    /// Its address without options.
    pub fn endpoint(&self) -> &str {
        self.address.split_once('?').map_or(&self.address, |(endpoint, _)| endpoint)
    }

    /// Has it begin something. What comes of it says [`Party::settled`].
    pub fn begin(&self, order: Order) {
        self.stormed.set(false);
        write(&self.control, &order);
    }

    /// What came of the order that was begun.
    pub fn settled(&self) -> Settled {
        loop {
            match self.word() {
                Answer::Settled { outcome, took } => return Settled { outcome, took },
                Answer::Stormed => self.stormed.set(true),
                Answer::Here { .. } => panic!("it came on stage twice"),
            }
        }
    }

    pub fn outcome(&self) -> Result<Done, Failure> {
        self.settled().outcome
    }

    /// Waits until its call has been under the storm for a while. The call must not have ended by then.
    pub fn wait_for_storm(&self) {
        match self.word() {
            Answer::Stormed => {}
            other => panic!("the {:?} did not stand the storm: {other:?}", self.end),
        }
    }

    fn word(&self) -> Answer {
        match read(&self.control) {
            Ok(word) => word,
            Err(error) if matches!(error.kind(), IoErrorKind::WouldBlock | IoErrorKind::TimedOut) => {
                panic!("the {:?} hangs", self.end)
            }
            Err(error) => panic!("the {:?} has died: {error}", self.end),
        }
    }

    /// Whether it has settled what was begun.
    pub fn has_answered(&self) -> bool {
        self.answers_within(Duration::ZERO)
    }

    pub fn answers_within(&self, time: Duration) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN)];
        let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        poll(&mut polled, Some(&time)).is_ok_and(|ready| ready > 0)
    }

    /// Waits until what was begun is settled, or sleeps in the kernel.
    pub fn wait_until_asleep(&self) {
        let end = Instant::now() + HANG;
        while !self.has_answered() && !self.is_asleep() {
            assert!(Instant::now() < end, "the {:?} neither sleeps nor comes to an end", self.end);
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// As before; and it must sleep.
    pub fn must_wait(&self) {
        self.wait_until_asleep();
        if self.has_answered() {
            panic!("the {:?} did not wait: {:?}", self.end, self.settled());
        }
    }

    fn is_asleep(&self) -> bool {
        let path = format!("/proc/{}/task/{}/syscall", self.pid, self.tid);
        let call = std::fs::read_to_string(path).unwrap_or_default();
        let mut words = call.split(' ');
        let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else { return false };
        let first = words.next().and_then(|word| i64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
        // Between two orders it sleeps too, waiting for the next.
        let listens = [libc::SYS_read, libc::SYS_recvfrom].contains(&number)
            && first == Some(i64::from(self.control_number));
        !listens
    }

    pub fn order(&self, order: Order) -> Result<Done, Failure> {
        self.begin(order);
        self.outcome()
    }

    pub fn begin_open(&self) {
        self.begin_open_as(self.end, &self.address);
    }

    pub fn begin_open_as(&self, end: End, address: &str) {
        self.begin(Order::Open { end, address: address.to_owned(), listens: false });
    }

    /// Has it open its address both ways, on the side that waits for the other.
    pub fn begin_open_listening(&self) {
        self.begin(Order::Open { end: End::Duplex, address: self.address.clone(), listens: true });
    }

    pub fn opened(&self) -> Result<Abilities, Failure> {
        match self.outcome()? {
            Done::Opened(can) => {
                *self.can.borrow_mut() = Some(can.clone());
                Ok(can)
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn open_as(&self, end: End, address: &str) -> Result<Abilities, Failure> {
        self.begin_open_as(end, address);
        self.opened()
    }

    /// What its end can do.
    pub fn can(&self) -> Abilities {
        self.can.borrow().clone().expect("it has opened something")
    }

    /// The message of a number.
    pub fn body(&self, number: u64) -> Body {
        let mut bytes = Vec::new();
        numbered(&self.can(), number, &mut bytes);
        Body::Bytes(bytes)
    }

    pub fn begin_send(&self, body: &Body, how: How) {
        self.begin(Order::Send { body: body.clone(), with: With::default(), how });
    }

    pub fn begin_send_with(&self, body: &Body, with: With, how: How) {
        self.begin(Order::Send { body: body.clone(), with, how });
    }

    pub fn send(&self, body: &Body, how: How) -> Result<(), Failure> {
        self.send_with(body, With::default(), how)
    }

    pub fn send_with(&self, body: &Body, with: With, how: How) -> Result<(), Failure> {
        self.order(Order::Send { body: body.clone(), with, how }).map(drop)
    }

    pub fn send_number(&self, number: u64, how: How) -> Result<(), Failure> {
        self.send(&self.body(number), how)
    }

    pub fn begin_receive(&self, how: How) {
        self.begin(Order::Receive { how });
    }

    pub fn received(&self) -> Result<Got, Failure> {
        match self.outcome()? {
            Done::Received(got) => Ok(got),
            other => panic!("{other:?}"),
        }
    }

    pub fn receive(&self, how: How) -> Result<Got, Failure> {
        self.begin_receive(how);
        self.received()
    }

    /// The next message must be this one.
    #[track_caller]
    pub fn expect(&self, body: &Body) {
        match self.receive(How::PATIENT) {
            Ok(got) => assert_eq!(got.body, *body),
            Err(failure) => panic!("expected a message: {failure:?}"),
        }
    }

    #[track_caller]
    pub fn expect_number(&self, number: u64) {
        self.expect(&self.body(number));
    }

    /// There must be no message.
    #[track_caller]
    pub fn expect_none(&self) {
        let failure = self.receive(How::NEVER).expect_err("nothing to receive");
        assert!(failure.is(ErrorKind::WouldBlock), "{failure:?}");
    }

    pub fn begin_send_many(&self, first: u64, count: u64, how: How) {
        self.begin(Order::SendMany { first, count, how });
    }

    pub fn sent(&self) -> Tally {
        match self.outcome().expect("a tally") {
            Done::Sent(tally) => tally,
            other => panic!("{other:?}"),
        }
    }

    pub fn send_many(&self, first: u64, count: u64, how: How) -> Tally {
        self.begin_send_many(first, count, how);
        self.sent()
    }

    pub fn begin_receive_many(&self, most: u64, keep: bool, how: How) {
        self.begin(Order::ReceiveMany { most, keep, how });
    }

    pub fn collected(&self) -> Collected {
        match self.outcome().expect("a collection") {
            Done::Collected(collected) => {
                assert_eq!(collected.wrong, None);
                collected
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn receive_many(&self, most: u64, how: How) -> Collected {
        self.begin_receive_many(most, true, how);
        self.collected()
    }

    pub fn select(&self, choice: Choice) -> Result<(), Failure> {
        self.order(Order::Select(choice)).map(drop)
    }

    pub fn close(&self) -> Result<(), Failure> {
        let closed = self.order(Order::Close { how: How::PATIENT }).map(drop);
        self.leave();
        closed
    }

    /// Lets go of its end.
    pub fn drop_end(&self) {
        self.order(Order::Drop).expect("dropping cannot fail");
        self.leave();
    }

    /// What belongs to a whole process, as its standard output does, is let go of when that ends.
    fn leave(&self) {
        if self.address == "-" {
            self.vanish();
        }
    }

    /// Is gone from one moment to the next: killed, if it is a process.
    pub fn vanish(&self) {
        if Rc::strong_count(&self.child) == 1 {
            if let Some(child) = self.child.borrow_mut().take() {
                child.kill();
            }
        } else {
            self.drop_end();
        }
    }

    pub fn len(&self) -> Option<u64> {
        match self.order(Order::Len).expect("a length or none") {
            Done::Len(len) => len,
            other => panic!("{other:?}"),
        }
    }

    pub fn capacity(&self) -> Option<Room> {
        match self.order(Order::Capacity).expect("a capacity or none") {
            Done::Capacity(capacity) => capacity,
            other => panic!("{other:?}"),
        }
    }

    pub fn poll(&self, patience: Duration) -> Result<bool, Failure> {
        match self.order(Order::Poll { patience })? {
            Done::Is(ready) => Ok(ready),
            other => panic!("{other:?}"),
        }
    }

    pub fn usage(&self) -> Usage {
        match self.order(Order::Usage).expect("a mounted /proc") {
            Done::Usage(usage) => usage,
            other => panic!("{other:?}"),
        }
    }

    pub fn accept(&self) -> Abilities {
        self.begin(Order::Accept { how: How::PATIENT });
        self.opened().expect("a connection")
    }
}
