//! What the tests of topics share.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use twixt_address::BusName;
use twixt_bus::{Capacity, Kind, Options, Place, Publisher, Role, Subscriber, SubscriberOptions, stat};
use twixt_os::{Result, Wait};
use twixt_testkit::{Peer, TempDir, scratch};

#[path = "messages.rs"]
mod messages;

pub use messages::*;

/// A topic in a bus of the test's own, which goes with it.
pub struct Topic {
    place: PathBuf,
    _scratch: Option<TempDir>,
}

pub const NAME: &str = "topic";

impl Topic {
    pub fn new() -> Self {
        let scratch = scratch();
        Self { place: scratch.path().to_owned(), _scratch: Some(scratch) }
    }

    /// One with so many bytes for each publisher, which is there already.
    pub fn of_size(bytes: u64) -> Self {
        let topic = Self::new();
        drop(Subscriber::open(&Self::name(), &topic.sized(bytes)).unwrap());
        topic
    }

    /// The one that the test has, in one of its children.
    pub fn of(peer: &Peer) -> Self {
        Self::at(peer.arg(0))
    }

    pub fn at(place: impl Into<PathBuf>) -> Self {
        Self { place: place.into(), _scratch: None }
    }

    /// What a child finds it by: its first argument.
    pub fn arg(&self) -> String {
        self.place.display().to_string()
    }

    pub fn name() -> BusName {
        BusName::new(NAME).unwrap()
    }

    pub fn place(&self) -> Place {
        Place::at(&self.place).unwrap()
    }

    pub fn directory(&self) -> PathBuf {
        self.place().directory(Kind::Topic, &Self::name())
    }

    /// The names in its directory.
    pub fn files(&self) -> Vec<String> {
        names(&self.directory())
    }

    /// As it is, or with the default capacity.
    pub fn options(&self) -> Options {
        Options::new().place(self.place()).create(true)
    }

    pub fn sized(&self, bytes: u64) -> Options {
        self.options().capacity(Capacity::Bounded(bytes))
    }

    pub fn publisher(&self) -> Publisher {
        Publisher::open(&Self::name(), &self.options()).unwrap()
    }

    pub fn subscriber(&self) -> Subscriber {
        Subscriber::open(&Self::name(), &self.options()).unwrap()
    }

    pub fn subscriber_with(&self, how: SubscriberOptions) -> Subscriber {
        Subscriber::open_with(&Self::name(), &self.options(), how).unwrap()
    }

    /// Has the first publisher's place begin so that its positions wrap around after so many lines: as if it had been used for
    /// ages, by one that has closed it.
    pub fn near_the_wrap(&self, lines: u64) {
        drop(self.publisher());
        let file = std::fs::OpenOptions::new().write(true).open(self.directory().join("p0")).unwrap();
        let start = u64::MAX - lines;
        // head and last of both checkpoints, claim, start, origin and met: see the format.
        for word in [520, 521, 536, 537, CLAIM, 560, 564, 568] {
            file.write_all_at(&start.to_le_bytes(), 8 * word).unwrap();
        }
    }

    /// Up to which position the first publisher's segment has been written.
    pub fn claim(&self) -> u64 {
        let segment = std::fs::File::open(self.directory().join("p0")).unwrap();
        let mut claim = [0; 8];
        segment.read_exact_at(&mut claim, 8 * CLAIM).unwrap();
        u64::from_le_bytes(claim)
    }

    /// What has been received, as who does not take part sees it: messages and bytes of each subscriber.
    pub fn received(&self) -> Vec<(u64, u64)> {
        self.counted(Role::Subscriber)
    }

    /// What has been published, likewise.
    pub fn published(&self) -> Vec<(u64, u64)> {
        self.counted(Role::Publisher)
    }

    fn counted(&self, role: Role) -> Vec<(u64, u64)> {
        let stat = stat(Kind::Topic, &Self::name(), Some(&self.place())).unwrap();
        let those = stat.participants.iter().filter(|it| it.role == role);
        those.map(|it| (it.messages, it.bytes.unwrap())).collect()
    }
}

/// The word of a publisher's segment that says how far it may have been written.
const CLAIM: u64 = 552;

/// The next message, which comes in time or never.
pub fn receive(subscriber: &mut Subscriber) -> Vec<u8> {
    subscriber.receive_wait(in_ms(60_000)).unwrap().to_vec().unwrap()
}

/// A message of any length, whose every byte depends on its number and its length.
pub fn bytes_of(number: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice((number << 16 | len as u64) + 1);
    (0..len).map(|_| (dice.roll() >> 24) as u8).collect()
}

/// The words of a message, as a batch's `fill` writes them.
pub fn write_words(room: &[AtomicU64], bytes: &[u8]) {
    assert_eq!(room.len(), bytes.len().div_ceil(8));
    for (word, chunk) in room.iter().zip(bytes.chunks(8)) {
        let mut whole = [0xa5; 8];
        whole[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(whole), Relaxed);
    }
}

/// What panics where one is let through, and tells nobody.
pub fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("quietly"))
}

/// Up to so many messages of those that are there, or come.
pub fn receive_some(subscriber: &mut Subscriber, most: usize, wait: Wait) -> Result<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    let received = subscriber.receive_batch(most, wait, |it| messages.push(it.to_vec().unwrap()))?;
    assert_eq!(received, messages.len());
    Ok(messages)
}

/// Their numbers.
pub fn numbers(messages: &[Vec<u8>]) -> Vec<u64> {
    messages.iter().map(|bytes| read(bytes).1).collect()
}
