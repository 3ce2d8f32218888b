//! System V message queues: `msgget(2)`, `msgop(2)`, `msgctl(2)`, `sysvipc(7)`.
//!
//! A message is a type, from 1 up, and bytes; nothing else travels, so the other side may as well be a C or Python
//! program. A receiver takes the first message of the queue, or selects by type: a [`Select`]. The queue lives in the
//! kernel until somebody removes it, or the machine stops; processes come and go.
//!
//! ```
//! use twixt_os::Mode;
//! use twixt_os::sysv::Key;
//! use twixt_os::sysv::msg::{Message, Queue, Select, Type};
//!
//! const PING: Type = Type::new(10).unwrap();
//! const PONG: Type = Type::new(11).unwrap();
//!
//! let queue = Queue::create(Key::PRIVATE, Mode::OWNER)?.remove_on_drop();
//! queue.send(PING, b"ping")?;
//! queue.send(PONG, b"pong")?;
//!
//! let mut message = Message::with_capacity(64);
//! queue.receive(Select::Exactly(PONG), &mut message)?;
//! assert_eq!((message.mtype(), message.bytes()), (PONG, b"pong".as_slice()));
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! # Waiting
//!
//! A send waits while the queue is full, a receive while it holds no message of the kind asked for. The kernel has
//! no timeout for either, and a queue has no descriptor to poll. So the forms with a deadline try without waiting,
//! and sleep between the tries: 20 µs at first, twice as long each time, 4 ms at most. Such a call may therefore
//! notice up to 4 ms late that it could go on, and a waiter that does not have a deadline is served before it.
//! The other forms wait in the kernel. `SA_RESTART` never restarts these system calls; the forms that are not
//! `_interruptible` call again. As with any system call, a handler that runs just before the wait begins does not end
//! it; with a deadline, that goes for each try.
//!
//! # Limits
//!
//! | limit | default | what it bounds | error |
//! |---|---|---|---|
//! | `kernel.msgmni` | 32000 | queues | [`LimitReached`](crate::ErrorKind::LimitReached) from `create` |
//! | `kernel.msgmax` | 8192 | bytes of one message | [`LimitReached`](crate::ErrorKind::LimitReached) from `send` |
//! | `kernel.msgmnb` | 16384 | `qbytes` of a new queue: its bytes, and also its messages | a full queue waits |
//!
//! They belong to the IPC namespace; [`limits`] reads them. No rlimit applies.
//!
//! # Cost
//!
//! One system call per message, none of them preceded or followed by another, when the message can be sent or taken
//! at once. [`Queue::send_message`] and [`Queue::receive`] hand the caller's [`Message`] to the kernel as it is.
//! [`Queue::send`] first copies the bytes behind their type, which is where the kernel wants them: on the stack up to
//! 8 KiB, the default `kernel.msgmax`, and in one allocation beyond.

use core::sync::atomic::{AtomicU64, Ordering};

use bitflags::bitflags;
use twixt_sys::sysv::msg as sys;

use crate::sysv::{self, Key};
use crate::{Errno, Mechanism, Mode, Object, Result};

mod control;
mod failure;
mod message;
mod peek;
mod receive;
mod select;
mod send;
mod system;

pub use control::{Settings, Stat};
pub use message::Message;
pub use peek::Peeked;
pub use receive::Extent;
pub use select::{NotAType, Select, Type};
pub use system::{Limits, Listed, Usage, limits, list, usage};

/// The number by which the kernel knows a queue: `msqid`.
#[doc(alias = "msqid")]
pub type Id = sysv::Id<Queue>;

/// Removes its queue when dropped: made by [`Queue::remove_on_drop`].
pub type RemoveOnDrop = sysv::RemoveOnDrop<Queue>;

const MECHANISM: Mechanism = Mechanism::SysvMsg;

bitflags! {
    /// What [`Queue::open_for`] asks leave for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Access: u32 {
        /// Taking messages, peeking and [`Queue::stat`]: read permission.
        const RECEIVE = 0o400;
        /// Sending: write permission.
        const SEND = 0o200;
    }
}

/// A message queue.
///
/// A value holds the queue's identifier and no resource: cloning and dropping it makes no system call. All threads,
/// and after a `fork` both processes, may use it at the same time.
///
/// ```
/// use twixt_os::sysv::Key;
/// use twixt_os::sysv::msg::{Queue, Type};
/// use twixt_os::{ErrorKind, Mode};
///
/// let key = Key::random()?;
/// let queue = Queue::create(key, Mode::OWNER)?;
/// assert_eq!(Queue::create(key, Mode::OWNER).unwrap_err().kind(), ErrorKind::AlreadyExists);
/// assert_eq!(Queue::open(key)?.id(), queue.id());
/// queue.send(Type::MIN, b"work")?;
/// assert_eq!(queue.stat()?.qnum, 1);
/// queue.remove()?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
pub struct Queue {
    id: Id,
    object: Object,
    /// The queue's `qbytes` when this value last had reason to look, 0 if never: see `send.rs`.
    qbytes: AtomicU64,
}

impl Queue {
    /// `msgget(IPC_CREAT | IPC_EXCL)`: makes a new queue. With [`Key::PRIVATE`], one that only its [`Id`] leads to.
    ///
    /// Its mode is `mode`, whatever the `umask`: read permission is for receiving, write permission for sending.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if there is a queue with that key.
    /// [`LimitReached`](crate::ErrorKind::LimitReached) (`ENOSPC`) if there are `kernel.msgmni` queues (32000 by
    /// default) already. [`NoSpace`](crate::ErrorKind::NoSpace) (`ENOMEM`).
    #[doc(alias = "msgget")]
    #[doc(alias = "IPC_CREAT")]
    #[doc(alias = "IPC_EXCL")]
    pub fn create(key: Key, mode: Mode) -> Result<Self> {
        Self::get("create", key, sys::Get::CREATE | sys::Get::EXCLUSIVE, mode.bits())
    }

    /// `msgget(0)`: finds an existing queue.
    ///
    /// Asks for no permission: what the process may not do fails when it tries. See [`Queue::open_for`].
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if no queue has that key. [`Key::PRIVATE`] is refused as
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), since the kernel would make a new queue.
    #[doc(alias = "msgget")]
    pub fn open(key: Key) -> Result<Self> {
        Self::open_for(key, Access::empty())
    }

    /// `msgget(0)`: finds an existing queue that this process may use so.
    ///
    /// # Errors
    /// As [`Queue::open`], and [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if the queue's mode does not
    /// allow it.
    #[doc(alias = "msgget")]
    pub fn open_for(key: Key, access: Access) -> Result<Self> {
        if key.is_private() {
            return Err(sysv::failure::private_key(MECHANISM, "open"));
        }
        Self::get("open", key, sys::Get::empty(), access.bits())
    }

    /// `msgget(IPC_CREAT)`: finds the queue, or makes it if there is none.
    ///
    /// Whichever process comes first makes it, without a race. Of an existing queue, the permissions in `mode` are
    /// asked for; its own mode stays. With [`Key::PRIVATE`] the queue is always a new one.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it exists and does not grant `mode` to this process;
    /// otherwise as [`Queue::create`].
    #[doc(alias = "msgget")]
    pub fn open_or_create(key: Key, mode: Mode) -> Result<Self> {
        Self::get("open or create", key, sys::Get::CREATE, mode.bits())
    }

    fn get(operation: &'static str, key: Key, flags: sys::Get, mode: u32) -> Result<Self> {
        match sys::get(key.as_raw(), flags, mode) {
            Ok(id) => Ok(Self::new(Id::given(id), key)),
            Err(errno) => Err(failure::get(operation, key, errno)),
        }
    }

    /// Opens a queue by the number that the kernel gave it, and sees by `msgctl(2)` whether it exists.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such queue in this IPC namespace.
    pub fn open_id(id: Id) -> Result<Self> {
        match sys::stat(id.as_raw()) {
            // Without read permission its state is hidden; that it exists is not.
            Ok(_) | Err(Errno::ACCESS) => Ok(Self::from_id(id)),
            Err(errno) => Err(sysv::failure::not_found(MECHANISM, "open", id.into(), errno)),
        }
    }

    /// A queue by its number, taken on trust: if there is none, the operations say
    /// [`Removed`](crate::ErrorKind::Removed). Makes no system call.
    pub fn from_id(id: Id) -> Self {
        Self::new(id, Key::PRIVATE)
    }

    fn new(id: Id, key: Key) -> Self {
        Self { id, object: id.object(key), qbytes: AtomicU64::new(0) }
    }

    /// The number by which the kernel, `ipcs` and `ipcrm` know the queue.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Has the queue removed when the returned guard is dropped: `IPC_RMID` of `msgctl(2)`.
    pub fn remove_on_drop(self) -> RemoveOnDrop {
        RemoveOnDrop::new(self)
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        let qbytes = AtomicU64::new(self.qbytes.load(Ordering::Relaxed));
        Self { id: self.id, object: self.object.clone(), qbytes }
    }
}
