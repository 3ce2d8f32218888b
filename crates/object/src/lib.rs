//! Named IPC objects by their addresses: making them, removing them, and finding out who uses them.
//!
//! ```
//! use twixt_address::Address;
//! # let scratch = twixt_testkit::scratch();
//! # let path = scratch.path().join("jobs");
//! # let text = format!("fifo:{}", path.display());
//! // "fifo:/run/jobs"
//! let address: Address = text.parse()?;
//! twixt_object::make(&address)?;
//!
//! let found = twixt_object::find(&address)?;
//! for user in found.users()?.users {
//!     println!("{:?} {:?} {:?}", user.pid, user.command, user.uses);
//! }
//! found.remove()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`make`] and [`find`] do each in one step. A [`Plan`] is what [`make`] would do, checked as far as that goes without
//! doing it, so that several objects can be checked before the first is made; [`Found::check_removable`] is the same
//! for removal.
//!
//! # What can be made and removed
//!
//! | address | options of [`make`] | what `make` makes | what [`Found::remove`] removes |
//! |---|---|---|---|
//! | `fifo:` | `mode` | the FIFO | the FIFO |
//! | `file:`, `lock:` | `mode` | an empty file | the file |
//! | `mmap:` | `mode`, **`size`** | a file of that size, its space reserved | the file |
//! | `sysv-msg:` | `mode`, `capacity` (bytes) | the queue | the queue, its messages; waiters are told |
//! | `sysv-sem:` | `mode`, `count`, `value` | the set, initialised | the set; waiters are told |
//! | `sysv-shm:` | `mode`, **`size`** | the segment | the segment, once nobody has it attached |
//! | `posix-mq:` | `mode`, `capacity` (messages), `message-size` | the queue | the name |
//! | `posix-sem:` | `mode`, `value` | the semaphore | the name |
//! | `posix-shm:` | `mode`, **`size`** | the object, its space reserved | the name |
//! | `topic:`, `rpc:` | `mode`, `capacity` (bytes), `budget` (not `rpc:`) | the name | the name with all that waits; who has it open is told |
//! | `queue:` | the same, `retries`, `visibility` | the name | the same |
//! | `latest:` | `mode`, `message-size` | the name | the same |
//! | `unix:`, `unix-dgram:`, `unix-seqpacket:` with a path | | nothing: a server makes it | a socket file whose server is gone |
//!
//! Options in bold must be given. All other addresses name something that goes with the processes that use it; the
//! error says so.

#![forbid(unsafe_code)]

mod bus;
mod error;
mod find;
mod make;
mod nameless;
mod users;

pub use bus::{bus_options, names_on_bus};
pub use error::Error;
pub use find::{Found, find};
pub use make::{Made, Plan, make};
pub use users::{Use, User, Users};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;
