//! One interface over every mechanism: open an address, send and receive.
//!
//! ```
//! use twixt_address::Address;
//! use twixt_channel::{Receiver, Sender};
//!
//! let address: Address = "unix:@twixt-channel-doc".parse()?;
//! let mut receiver = Receiver::open(&address)?;
//! let mut sender = Sender::open(&address)?;
//! sender.send(b"hello")?;
//! assert_eq!(receiver.receive()?.bytes(), b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod attributes;
mod capabilities;
mod connection;
pub mod direct;
mod duplex;
pub mod framing;
mod gather;
mod half;
mod listener;
pub mod local;
mod mechanism;
mod message;
mod number;
mod opening;
mod origin;
mod process;
mod readiness;
mod receiver;
mod rendezvous;
mod ring;
pub mod rpc;
mod sender;
mod source;
mod stream;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod typed;

pub use attributes::{Attributes, Select};
pub use capabilities::{
    Boundaries, Capabilities, Capacities, Capacity, Content, Direction, Parties, Persistence,
};
pub use duplex::Duplex;
pub use listener::Listener;
pub use message::Message;
pub use opening::{Opening, Side};
pub use readiness::{Interest, Readiness};
pub use receiver::{Messages, Receiver};
pub use ring::companions;
pub use sender::Sender;
pub use twixt_address::Framing;
