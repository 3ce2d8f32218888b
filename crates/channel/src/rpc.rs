//! Remote procedure calls over any connection: sockets, pairs of pipes, a command's standard input and output, rings in
//! shared memory.
//!
//! [`service!`](crate::service!) declares what can be called; a [`Server`] answers, a client calls. Any number of calls
//! can be in flight, from any number of threads; results may be streams; deadlines travel with the calls, and who drops
//! a call cancels it.
//!
//! ```
//! use std::time::Duration;
//! use twixt_channel::rpc::{Context, Error};
//! use twixt_channel::{Listener, service};
//! use twixt_os::Deadline;
//!
//! service! {
//!     /// What a weather station can tell.
//!     pub trait Station {
//!         /// The temperature in tenths of a degree.
//!         fn temperature(sensor: String) -> Option<i16>;
//!     }
//!     /// Asks a [`Station`].
//!     pub struct StationClient;
//! }
//!
//! struct Roof;
//!
//! impl Station for Roof {
//!     fn temperature(&self, _: &Context<'_>, sensor: String) -> Option<i16> {
//!         (sensor == "north").then_some(-35)
//!     }
//! }
//!
//! let address = "unix:@twixt-rpc-doc".parse()?;
//! let listener = Listener::open(&address)?;
//! let server = std::thread::spawn(move || Roof.into_server().serve(&mut listener.accept()?));
//!
//! let station = StationClient::connect(&address)?;
//! let soon = Deadline::after(Duration::from_secs(10));
//! assert_eq!(station.temperature("north".to_owned()).call_deadline(soon)?, Some(-35));
//! # drop(station);
//! # server.join().unwrap()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a conversation is
//!
//! One client and one server at the two ends of a [`Duplex`](crate::Duplex). It begins with a comparison of the service's
//! name and of what its methods' types consist of; who differs learns in what. It ends when the client goes. What is
//! then in flight fails by name: on the client's side with [`Error::Transport`] or [`Error::Closed`], on the server's by
//! [`Context::is_cancelled`].
//!
//! How soon that is seen is the channel's affair: sockets and pipes see their peer go at once, rings in shared memory within
//! a tenth of a second. Over a pair of mailboxes, one each way, and over datagrams, which do not see it
//! ([`Capabilities::sees_end`](crate::Capabilities::sees_end)), the two sides tell each other which process they are, and
//! watch that: POSIX queues and sockets see it end at once, rings and System V queues within a tenth of a second. Between two
//! machines, between PID namespaces and without `/proc` it is not seen: give calls deadlines there. Give them deadlines over
//! `udp:`, too, where what is sent before the other side is bound, or faster than it is received, is lost without a word.
//! Nor is it seen that a server has ended before it greeted, since its greeting is what says which process it is: a `timeout` in
//! the address of either mailbox, or [`Client::open_wait`], bounds that.
//!
//! The channel must keep the boundaries of messages and carry any bytes: `exec:` and `-` need `?framing=frame` or
//! `?framing=len`. With `lines` and `nul` the first message is refused, with `raw` the channel itself.
//!
//! # Bounds
//!
//! Nothing that the other side sends makes this side hold more than stands here. A client holds one reply for each call,
//! and as many items of a stream as its window has; calls in flight are [bounded](Options::calls), and so is each
//! message ([`Options::max_message`], [`Server::max_message`]). A server holds as many calls as it has
//! [workers](Server::workers) and places in its [queue](Server::queue). Values of a type that
//! contains itself may be nested 128 deep, and types whose bytes say nothing of that are
//! [refused](Error::Undescribable) when a service is opened. Who says much and means nothing keeps nobody beyond a
//! deadline, and a client that reads nothing keeps a server's thread no longer than [`Server::stall`] says.
//!
//! # Cost
//!
//! A call is a message there and one back, and nothing else: over a socket two system calls on each side. Over mailboxes, where who waits also watches
//! the other process, it is some more, and a System V queue is then looked at again and again, after 20 µs at first and 4 ms at
//! the most: it has nothing that could wake for two reasons. In the long run nothing is allocated but what the arguments and results themselves consist of.
//!
//! The bytes are described in `docs/rpc-format.md`.

mod call;
mod client;
mod client_core;
mod connection;
mod context;
mod error;
mod macros;
mod peer;
mod server;
mod server_core;
mod service;
mod stop;
mod wire;

pub use call::{Call, Pending, Stream, StreamCall};
pub use client::{Client, Options};
pub use context::{Context, Items};
pub use error::{Error, Identity, Part, Result, Side};
pub use server::{Ended, Server};
pub use service::{Method, Service};
pub use stop::StopHandle;

// For what the macro generates, in crates that may not depend on these.
#[doc(hidden)]
pub use context::Incoming;
#[doc(hidden)]
pub use service::{Type, Types, method_id};
#[doc(hidden)]
pub use twixt_address::Address;
#[doc(hidden)]
pub use twixt_os::Wait;
