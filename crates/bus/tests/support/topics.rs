//! What the tests of topics share.

use std::path::PathBuf;

use twixt_address::BusName;
use twixt_bus::{Capacity, Kind, Options, Place, Publisher, Subscriber, SubscriberOptions};
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
}

/// The next message, which comes in time or never.
pub fn receive(subscriber: &mut Subscriber) -> Vec<u8> {
    subscriber.receive_wait(in_ms(60_000)).unwrap().to_vec().unwrap()
}
