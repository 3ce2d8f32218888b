//! The zero-copy transport between the processes of one machine.
//!
//! | | what it is | who gets a message |
//! |---|---|---|
//! | **topic** | [`Publisher`], [`Subscriber`] | every subscriber, each publisher's in order |
//! | **queue** | [`queue::Producer`], [`queue::Consumer`] | one consumer, and another if that one dies |
//! | **latest** | [`LatestWriter`], [`LatestReader`] | whoever looks, the newest value only |
//! | **rpc** | [`Listener`], [`Link`] | the other end of a connection |
//!
//! No daemon, no root: files in memory ([`Place`]) that processes map. A message is written where its receivers read it, and
//! costs no system call while nobody sleeps.
//!
//! ```
//! use twixt_bus::{Options, Publisher, Subscriber};
//! # let scratch = twixt_testkit::scratch();
//! # let place = twixt_bus::Place::at(scratch.path())?;
//! let name = twixt_address::BusName::new("plant/speed")?;
//! let options = Options::new().create(true);
//! # let options = options.place(place);
//! // In one process:
//! let mut subscriber = Subscriber::open(&name, &options)?;
//! // In another:
//! let publisher = Publisher::open(&name, &options)?;
//! publisher.publish(b"1450 rpm")?;
//! assert_eq!(subscriber.receive()?.to_vec()?, b"1450 rpm");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds whatever happens
//!
//! **One writer for each byte.** Every participant has a file of its own that nobody else writes, and that others map for
//! reading only. What several write is the ledger of a queue, whose words name their owner, and a page of hints that nobody
//! believes. So a process that is killed at any instruction leaves nothing that others could not make sense of, and a place
//! that the next one takes over.
//!
//! **Nothing shared is trusted.** Every index and length is checked before it is used. A hostile participant can withhold its
//! own messages, and make others look or ring in vain; it cannot crash them, hang them, or have them read out of bounds.
//!
//! **Who waits for the dead learns it**, within some 100 ms, as an event or an error of a kind of its own. Life is a lock that
//! the kernel drops ([`Options::mode`] decides who may take part), not a process number.
//!
//! `docs/shm-format.md` and its siblings draw the bytes and argue for the orderings; models of all algorithms are explored with
//! loom (`RUSTFLAGS="--cfg twixt_loom" cargo test -p twixt-bus --lib models`).

mod barrier;
mod bell;
mod doorbell;
mod error;
mod futex;
mod hints;
mod holder;
mod latest;
mod place;
pub mod queue;
mod ring;
mod rpc;
mod segment;
mod site;
mod stat;
mod sync;
mod topic;
mod typed;
mod wait;
mod words;

pub use latest::{LatestReader, LatestWriter, MOST_READERS, Presence, Version};
pub use place::{Kind, Place};
pub use rpc::{Link, LinkReceiver, LinkSender, Listener};
pub use site::{Capacity, Options, TypeName, make, remove};
pub use stat::{Participant, Role, Stat, State, stat};
pub use topic::{
    Batch, Event, Flow, Left, Loan, MOST_PUBLISHERS, MOST_SUBSCRIBERS, Message, Publisher, Sample, Slow,
    Subscriber, SubscriberOptions,
};
pub use twixt_sys::words::Visit;
pub use typed::{Plain, TypedLatestReader, TypedLatestWriter, TypedPublisher, TypedSubscriber};
pub use wait::Waiting;

/// For [`plain!`] alone.
#[doc(hidden)]
pub use typed::describe;
