//! Inter-process communication on Linux: every mechanism, whole and safe.
//!
//! This crate is the front door: it re-exports what the crates behind it do, and has no logic of its own.
//!
//! - [`os`]: a module for each kernel mechanism.
//! - [`channel`]: one interface over all that carry messages: open an address, send and receive.
//! - [`bus`]: the zero-copy transport in shared memory: topics, queues, latest values, calls.
//! - [`address`]: one way to name any of their objects.
//! - [`object`]: make, remove and find the users of a named object by its address.
//! - `bench` (feature `bench`): what each of them costs on this machine, beside what the hardware allows.
//! - `tour` (feature `tour`): every mechanism at work between real processes.
//!
//! ```
//! use twixt::os::{Mode, sysv::{Key, msg::{Message, Queue, Select, Type}}};
//!
//! let queue = Queue::create(Key::PRIVATE, Mode::OWNER)?.remove_on_drop();
//! queue.send(Type::new(10).unwrap(), b"ping")?;
//! let mut message = Message::with_capacity(64);
//! queue.receive(Select::Any, &mut message)?;
//! assert_eq!(message.bytes(), b"ping");
//! # Ok::<(), twixt::os::Error>(())
//! ```

#![forbid(unsafe_code)]

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

pub use twixt_address as address;
#[cfg(feature = "bench")]
pub use twixt_bench as bench;
pub use twixt_bus as bus;
pub use twixt_channel as channel;
pub use twixt_object as object;
pub use twixt_os as os;
#[cfg(feature = "tour")]
pub use twixt_tour as tour;
