//! What the tests of calls share: a service with a method for each thing that can happen, and connections of each kind.

#![allow(dead_code, reason = "each test uses its part")]

#[path = "rings.rs"]
mod rings_of_tests;

pub use rings_of_tests::Place;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use twixt_address::Address;
use twixt_channel::rpc::{self, Context, Ended, Error, Items, Server};
use twixt_channel::{Duplex, Listener, Opening, Receiver, Sender, service};
use twixt_os::Deadline;
use twixt_testkit::{Defer, defer, unique_key, unique_name};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct DivisionByZero;

/// A type that contains itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Nest {
    Empty,
    In(Box<Nest>),
}

/// A number that is refused while it is written or read.
#[derive(Debug, PartialEq)]
pub struct Even(pub u8);

impl Serialize for Even {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            255 => Err(serde::ser::Error::custom("255 is not written")),
            number => serializer.serialize_u8(number),
        }
    }
}

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            odd if odd % 2 == 1 => Err(serde::de::Error::custom("odd")),
            even => Ok(Self(even)),
        }
    }
}

service! {
    /// Does what a test needs.
    pub trait Lab {
        /// The same back.
        fn echo(bytes: Vec<u8>) -> Vec<u8>;
        fn echo_text(text: String) -> String;
        fn add(a: i32, b: i32) -> i32;
        fn divide(a: i32, b: i32) -> Result<i32, DivisionByZero>;
        fn nothing();
        /// So many bytes.
        fn zeros(count: u32) -> Vec<u8>;
        fn even(number: Even) -> Even;
        fn depth(nest: Nest) -> u32;
        fn panic(why: String);
        /// The milliseconds to the deadline.
        fn deadline() -> Option<u64>;
        /// Waits until it is cancelled, and notes that it was.
        fn linger(note: u32);
        /// Waits until `unlock` is called.
        fn gate() -> u32;
        fn unlock();
        /// What was noted.
        fn noted() -> u32;
        /// Counts, and notes how many were sent.
        fn count(to: u64) -> stream u64;
        /// Items of so many bytes each.
        fn chunks(sizes: Vec<u32>) -> stream Vec<u8>;
        /// Panics after so many.
        fn faulty(after: u32) -> stream u32;
    }
    /// Uses a [`Lab`].
    pub struct LabClient;
}

#[derive(Clone, Default)]
pub struct Notes {
    /// How many have begun to linger.
    pub begun: Arc<AtomicU32>,
    pub noted: Arc<AtomicU32>,
    pub open: Arc<AtomicU32>,
    pub sent: Arc<Mutex<u64>>,
}

impl Notes {
    pub fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }

    pub fn noted(&self) -> u32 {
        self.noted.load(Ordering::SeqCst)
    }
}

impl Lab for Notes {
    fn echo(&self, _: &Context<'_>, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn echo_text(&self, _: &Context<'_>, text: String) -> String {
        text
    }

    fn add(&self, _: &Context<'_>, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }

    fn divide(&self, _: &Context<'_>, a: i32, b: i32) -> Result<i32, DivisionByZero> {
        a.checked_div(b).ok_or(DivisionByZero)
    }

    fn nothing(&self, _: &Context<'_>) {}

    fn zeros(&self, _: &Context<'_>, count: u32) -> Vec<u8> {
        vec![0; count as usize]
    }

    fn even(&self, _: &Context<'_>, number: Even) -> Even {
        // 254 becomes what cannot be written, others what cannot be read.
        Even(number.0 + 1)
    }

    fn depth(&self, _: &Context<'_>, mut nest: Nest) -> u32 {
        let mut depth = 0;
        while let Nest::In(inner) = nest {
            depth += 1;
            nest = *inner;
        }
        depth
    }

    fn panic(&self, _: &Context<'_>, why: String) {
        std::panic::resume_unwind(Box::new(why));
    }

    fn deadline(&self, context: &Context<'_>) -> Option<u64> {
        context.deadline().map(|deadline| deadline.remaining().as_millis() as u64)
    }

    fn linger(&self, context: &Context<'_>, note: u32) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while !context.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        self.noted.fetch_add(note, Ordering::SeqCst);
    }

    fn gate(&self, context: &Context<'_>) -> u32 {
        while self.open.load(Ordering::SeqCst) == 0 && !context.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        self.open.load(Ordering::SeqCst)
    }

    fn unlock(&self, _: &Context<'_>) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    fn noted(&self, _: &Context<'_>) -> u32 {
        self.noted.load(Ordering::SeqCst)
    }

    fn count(&self, _: &Context<'_>, to: u64, items: &mut Items<'_, u64>) -> rpc::Result<()> {
        for number in 0..to {
            items.send(&number)?;
            *self.sent.lock().unwrap() = number + 1;
        }
        Ok(())
    }

    fn chunks(&self, _: &Context<'_>, sizes: Vec<u32>, items: &mut Items<'_, Vec<u8>>) -> rpc::Result<()> {
        sizes.into_iter().try_for_each(|size| items.send(&vec![0; size as usize]))
    }

    fn faulty(&self, _: &Context<'_>, after: u32, items: &mut Items<'_, u32>) -> rpc::Result<()> {
        for number in 0..after {
            items.send(&number)?;
        }
        std::panic::resume_unwind(Box::new("faulty"));
    }
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Longer than anything takes.
pub fn later() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(50))
}

/// Waits until something is so. The test's watchdog ends it if it never is.
pub fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A connection of two ends within this process, and what goes with it.
pub struct Pair {
    pub client: Duplex,
    pub server: Duplex,
    pub cleanup: Option<Box<dyn std::any::Any>>,
}

/// A connection by way of a listening socket.
pub fn socket(kind: &str) -> Pair {
    let at = match kind {
        "tcp" => "tcp:127.0.0.1:0".to_owned(),
        kind => format!("{kind}:@{}", unique_name()),
    };
    let listener = Listener::open(&address(&at)).unwrap();
    let client = Duplex::open(&Address::from(listener.address().unwrap())).unwrap();
    Pair { client, server: listener.accept().unwrap(), cleanup: None }
}

fn crossed(
    one: (Sender, Receiver),
    other: (Sender, Receiver),
    cleanup: Option<Box<dyn std::any::Any>>,
) -> Pair {
    Pair { client: (one.0, other.1).into(), server: (other.0, one.1).into(), cleanup }
}

/// Two pipes, one each way.
pub fn pipes() -> Pair {
    let pair = || Opening::new(&address("pipe:")).pair().unwrap();
    crossed(pair(), pair(), None)
}

/// A connection of two rings in one object.
pub fn rings(place: Place) -> Pair {
    let listener = Listener::open(&place.address("?create")).unwrap();
    let client = Duplex::open(&place.address("")).unwrap();
    let server = listener.accept().unwrap();
    Pair { client, server, cleanup: Some(Box::new((listener, place))) }
}

/// Two mailboxes, one each way.
fn mailboxes(one: &str, other: &str, cleanup: Box<dyn std::any::Any>) -> Pair {
    let both = |at: &str| {
        let receiver = Receiver::open(&address(at)).unwrap();
        (Sender::open(&address(at)).unwrap(), receiver)
    };
    crossed(both(one), both(other), Some(cleanup))
}

pub fn posix_shm() -> Pair {
    let [one, other] = [unique_name(), unique_name()];
    let cleanup = remove_at_end(vec![format!("posix-shm:/{one}"), format!("posix-shm:/{other}")]);
    mailboxes(&format!("posix-shm:/{one}?create"), &format!("posix-shm:/{other}?create"), cleanup)
}

pub fn posix_mq() -> Pair {
    let [one, other] = [unique_name(), unique_name()];
    let cleanup = remove_at_end(vec![format!("posix-mq:/{one}"), format!("posix-mq:/{other}")]);
    mailboxes(&format!("posix-mq:/{one}?create"), &format!("posix-mq:/{other}?create"), cleanup)
}

pub fn sysv_msg() -> Pair {
    let [one, other] = [unique_key(), unique_key()];
    let cleanup = remove_at_end(vec![format!("sysv-msg:{one}"), format!("sysv-msg:{other}")]);
    mailboxes(&format!("sysv-msg:{one}?create"), &format!("sysv-msg:{other}?create"), cleanup)
}

pub fn remove_at_end(names: Vec<String>) -> Box<dyn std::any::Any> {
    let guard: Defer<Box<dyn FnOnce()>> = defer(Box::new(move || {
        for name in names {
            remove(&name);
        }
    }));
    Box::new(guard)
}

fn remove(name: &str) {
    if let Some(name) = name.strip_prefix("posix-shm:/") {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    } else if let Some(name) = name.strip_prefix("posix-mq:") {
        let _ = twixt_os::posix::mq::unlink(name);
    } else if let Some(key) = name.strip_prefix("sysv-msg:") {
        let key = twixt_os::sysv::Key::new(key.parse().unwrap()).unwrap();
        if let Ok(queue) = twixt_os::sysv::msg::Queue::open(key) {
            let _ = queue.remove();
        }
    }
}

/// Serves one end in a thread of its own while `client` uses the other, and says how it ended.
pub fn converse_over(
    pair: Pair,
    server: Server<Notes>,
    client: impl FnOnce(&LabClient),
) -> rpc::Result<Ended> {
    let Pair { client: duplex, server: mut served, cleanup } = pair;
    let thread = thread::spawn(move || server.serve(&mut served));
    let lab = LabClient::open(duplex).unwrap();
    client(&lab);
    drop(lab);
    let ended = thread.join().unwrap();
    drop(cleanup);
    ended
}

/// Over a Unix socket, with a plain server.
pub fn converse(client: impl FnOnce(&LabClient)) {
    let ended = converse_over(socket("unix"), Notes::default().into_server(), client);
    assert_eq!(ended, Ok(Ended::Closed));
}

/// The errors that a server reports.
pub fn observed(server: Server<Notes>) -> (Server<Notes>, Arc<Mutex<Vec<Error>>>) {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    (server.on_error(move |error| seen.lock().unwrap().push(error.clone())), errors)
}
