//! Connections between a server and its clients, for whatever protocol goes to and fro: calls, mostly.
//!
//! A connection is two topics of one publisher and one subscriber each, one for either direction, in a directory of its own:
//! what is true of topics is true of it, and a round trip costs what two of their hops cost.
//!
//! ```text
//! rpc.NAME/
//!     site            what listener and clients agree on; its bell `filled` is rung for the listener
//!     l0              the listener: there is one at a time, which holds its lock
//!     l0.bell         its doorbell, if it has one
//!     k81             client 81 wants to be connected: held by its lock until it is
//!     c81/            the connection
//!         topic.up/   what the client publishes and the server receives
//!         topic.down/ what the server publishes and the client receives
//! ```
//!
//! | who | does | died here, it leaves |
//! |---|---|---|
//! | client | makes `k81`, locked | `k81` without a lock |
//! | client | makes `c81` with both topics, publishes to `up`, subscribes to `down` | and `c81` |
//! | client | sets [`READY`](connection::READY) in `k81`, rings the listener, waits for a publisher of `down`, or does not | a connection that is accepted all the same |
//! | listener | subscribes to `up`, publishes to `down` (which rings the client) | a connection whose client learns it |
//! | listener | removes `k81` | `k81`, which the client removes |
//! | each end, when it leaves | takes its subscriber's page away; if the other's has gone or is dead, removes `c81` | `c81` |
//!
//! What is left is removed by whoever connects or listens next, on evidence: nobody listens who is yet to accept it, `k81` is not
//! locked, and neither is the page of a subscriber in `up` or in `down`, looked at in this order.

mod connection;
mod link;
mod listener;
#[cfg(all(test, not(twixt_loom)))]
mod tests;

pub use link::{Link, LinkReceiver, LinkSender};
pub use listener::Listener;

/// The two topics of a connection, and who publishes to them: the client and the server.
pub(crate) const DIRECTIONS: [&str; 2] = [connection::UP, connection::DOWN];
