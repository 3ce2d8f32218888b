//! Plain data as it stands in memory: written from a value into the ring, and out of it into a value, with no buffer between.
//!
//! What the bytes mean both sides must agree on. So a type describes itself, down to the offsets of its fields, and that is
//! stored with the name: whoever opens it with a type of another layout is refused, and told both.
//!
//! The derives are those of the crate [`zerocopy`], with its feature `derive`.
//!
//! ```
//! use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
//! use twixt_bus::{Options, TypedPublisher, TypedSubscriber, plain};
//!
//! #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq)]
//! #[repr(C)]
//! struct Price {
//!     symbol: [u8; 8],
//!     cents: u64,
//! }
//!
//! plain! { Price as "prices.Price" { symbol: [u8; 8], cents: u64 } }
//!
//! # let scratch = twixt_testkit::scratch();
//! # let place = twixt_bus::Place::at(scratch.path())?;
//! let name = twixt_address::BusName::new("prices")?;
//! let options = Options::new().create(true);
//! # let options = options.place(place);
//! let mut subscriber = TypedSubscriber::<Price>::open(&name, &options)?;
//! let publisher = TypedPublisher::<Price>::open(&name, &options)?;
//! let price = Price { symbol: *b"TWXT    ", cents: 1725 };
//! publisher.publish(&price)?;
//! assert_eq!(subscriber.receive()?, price);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod describe;
mod latest;
mod topic;

pub use describe::Plain;
pub use latest::{TypedLatestReader, TypedLatestWriter};
pub use topic::{TypedPublisher, TypedSubscriber};

use twixt_os::{Error, ErrorKind, Object};

use crate::error::refused;

/// A message that is not as long as the type.
#[cold]
fn another_length<T>(operation: &'static str, object: &Object, len: usize) -> Error {
    let why = format!("it has {len} bytes, and a {} has {}", core::any::type_name::<T>(), size_of::<T>());
    refused(operation, object, ErrorKind::Malformed, why)
}
