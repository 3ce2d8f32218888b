//! System V IPC: message queues, semaphore sets and shared memory that the kernel keeps until somebody removes them.
//! See `sysvipc(7)`.
//!
//! | module | objects | system calls |
//! |---|---|---|
//! | [`msg`] | queues of messages with types | `msgget(2)`, `msgop(2)`, `msgctl(2)` |
//! | [`sem`] | sets of semaphores, operated on as one | `semget(2)`, `semop(2)`, `semctl(2)` |
//! | [`shm`] | segments of memory | `shmget(2)`, `shmop(2)`, `shmctl(2)` |
//!
//! Unrelated processes agree on a [`Key`] and open the object by it; related ones may pass on its [`Id`]. Objects
//! belong to the IPC namespace, outlive the processes that made them and are no descriptors: nothing can poll for them.
//!
//! ```
//! use twixt_os::Mode;
//! use twixt_os::sysv::Key;
//! use twixt_os::sysv::msg::{Message, Queue, Select, Type};
//!
//! let key = Key::random()?; // or a number that the programs agree on
//! let queue = Queue::create(key, Mode::OWNER)?.remove_on_drop();
//! queue.send(Type::MIN, b"betwixt")?;
//!
//! let opened = Queue::open(key)?; // in any other process
//! let mut message = Message::with_capacity(64);
//! opened.receive(Select::Any, &mut message)?;
//! assert_eq!(message.bytes(), b"betwixt");
//! # Ok::<(), twixt_os::Error>(())
//! ```

mod failure;
mod id;
pub mod key;
mod list;
pub mod msg;
pub mod perm;
mod remove;
pub mod sem;
pub mod shm;
mod stat;

pub use id::Id;
pub use key::Key;
pub use perm::Perm;
pub use remove::{Removable, RemoveOnDrop};
