//! POSIX IPC: message queues, semaphores and shared memory by names such as `/jobs`.
//!
//! | module | objects | where the names stand | manual page |
//! |---|---|---|---|
//! | [`mq`] | queues of messages with priorities | in the IPC namespace | `mq_overview(7)` |
//! | [`sem`] | semaphores, named or in shared memory | `/dev/shm/sem.NAME` | `sem_overview(7)` |
//! | [`shm`] | pieces of memory | `/dev/shm/NAME` | `shm_overview(7)` |
//!
//! An object stays until it is unlinked and nobody has it open any more, or the machine restarts. A [`Name`] is
//! what they are called by.
//!
//! ```
//! use twixt_os::Mode;
//! use twixt_os::posix::mq::{Access, Priority, Queue};
//!
//! let name = format!("/twixt-posix-{}", std::process::id());
//! let queue = Queue::create(&name, Access::Write, None, Mode::OWNER)?;
//! let _guard = queue.unlink_on_drop()?;
//! queue.send(b"betwixt", Priority::LOWEST)?;
//!
//! let opened = Queue::open(&name, Access::Read)?; // in any other process
//! let mut buffer = vec![0; opened.message_size()];
//! let received = opened.receive(&mut buffer)?;
//! assert_eq!(&buffer[..received.len], b"betwixt");
//! # Ok::<(), twixt_os::Error>(())
//! ```

pub mod mq;
pub mod sem;
pub mod shm;

mod devshm;
mod guard;
mod name;

pub use guard::UnlinkGuard;
pub use name::Name;
