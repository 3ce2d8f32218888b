//! What the tests of connections share.

use std::path::Path;

use twixt_address::BusName;
use twixt_bus::{Options, Place};
use twixt_testkit::Peer;

#[path = "messages.rs"]
mod messages;

pub use messages::*;

pub fn name() -> BusName {
    BusName::new("calc").unwrap()
}

pub fn options(directory: impl AsRef<Path>) -> Options {
    Options::new().place(Place::at(directory.as_ref()).unwrap()).create(true)
}

/// Those of a child, whose first argument is the directory.
pub fn at(peer: &Peer) -> Options {
    options(peer.arg(0))
}

/// What stands in the directory of the name.
pub fn left(path: &Path) -> Vec<String> {
    names(&path.join("rpc.calc"))
}
