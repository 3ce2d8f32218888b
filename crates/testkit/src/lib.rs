//! What the tests of twixt stand on: real child processes, unique names, a watchdog, and honest skips.
//!
//! A test that needs a second process gives it a role *in the same test function*; the child runs the same test
//! binary, arrives at the same function and takes the role there:
//!
//! ```no_run
//! // #[test] fn greeting() {
//! let test = twixt_testkit::test!();
//! test.role("client", |peer| {
//!     let name = peer.arg(0);
//!     peer.wait_for("go");
//!     peer.say(&format!("hello {name}"));
//! });
//! let mut client = test.child("client").arg("betwixt").spawn();
//! client.tell("go");
//! client.expect("hello betwixt");
//! client.succeed();
//! // }
//! ```

#![forbid(unsafe_code)]

pub mod call;
mod child;
mod compile;
mod defer;
mod names;
mod need;
mod program;
mod storm;
pub mod strace;
mod test;
mod traced;
pub mod turns;

pub use child::{Child, Spawn, wait_until_blocked_in};
pub use compile::compile_c;
pub use defer::{Defer, defer};
pub use names::{unique_key, unique_name};
pub use need::{Missing, command, namespaces, root};
pub use program::output;
pub use storm::{Storm, under_storm};
pub use tempfile::TempDir;
pub use test::{Peer, Test};
pub use traced::{Step, Traced};

/// How long anything may take before it counts as hung. Nothing in a test may come near it.
pub(crate) const HANG: std::time::Duration = std::time::Duration::from_secs(90);

/// An empty directory of the test's own, removed with all it holds when dropped.
pub fn scratch() -> TempDir {
    tempfile::Builder::new()
        .prefix("twixt-test-")
        .tempdir()
        .expect("a directory in the system's temporary directory")
}

/// A directory for a bus of the test's own, on tmpfs as the user's is: what `$TWIXT_BUS` may name. Removed with all it holds
/// when dropped.
pub fn bus() -> TempDir {
    let shared_memory = std::path::Path::new("/dev/shm");
    tempfile::Builder::new()
        .prefix("twixt-test-bus-")
        .tempdir_in(shared_memory)
        .expect("a directory in /dev/shm")
}

/// How many descriptors this process has.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a mounted /proc").count()
}
