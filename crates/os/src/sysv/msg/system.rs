//! All queues of the system, or rather of this process's IPC namespace: `msgctl(2)`.

use twixt_sys::sysv::msg as sys;

use super::{Id, Stat, failure};
use crate::Result;
use crate::sysv::list::every;

/// A queue that [`list`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number: [`Queue::open_id`](super::Queue::open_id) opens it.
    pub id: Id,
    /// Its state.
    pub stat: Stat,
}

/// `msgctl(MSG_STAT_ANY)`: all queues of this IPC namespace, whoever owns them, in the order of the kernel's table.
///
/// Needs no permission. Not a snapshot: queues that come and go meanwhile may be among them or not.
///
/// # Errors
/// None are known on Linux 4.17 and later.
///
/// ```
/// # use twixt_os::Mode;
/// # use twixt_os::sysv::Key;
/// use twixt_os::sysv::msg::{self, Queue};
/// let queue = Queue::create(Key::PRIVATE, Mode::OWNER)?.remove_on_drop();
/// assert!(msg::list()?.iter().any(|listed| listed.id == queue.id()));
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[doc(alias = "MSG_STAT_ANY")]
#[doc(alias = "MSG_STAT")]
#[doc(alias = "ipcs")]
pub fn list() -> Result<Vec<Listed>> {
    const OPERATION: &str = "list every";
    let usage = sys::usage().map_err(|errno| failure::system(OPERATION, errno))?;
    let listed =
        |index| sys::stat_any(index).map(|(id, stat)| Listed { id: Id::given(id), stat: stat.into() });
    every(usage.highest, listed).map_err(|errno| failure::system(OPERATION, errno))
}

/// The limits of this IPC namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "msginfo")]
pub struct Limits {
    /// `kernel.msgmni`: the most queues; 32000 by default.
    pub msgmni: u32,
    /// `kernel.msgmax`: the most bytes of a message; 8192 by default.
    pub msgmax: u32,
    /// `kernel.msgmnb`: the `qbytes` of a new queue; 16384 by default.
    pub msgmnb: u32,
}

/// `msgctl(IPC_INFO)`: the limits of this IPC namespace, read without `/proc`.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`) on a kernel without System V IPC.
#[doc(alias = "IPC_INFO")]
pub fn limits() -> Result<Limits> {
    let limits = sys::limits().map_err(|errno| failure::system("read the limits of the", errno))?;
    Ok(Limits {
        msgmni: limits.msgmni.max(0).cast_unsigned(),
        msgmax: limits.msgmax.max(0).cast_unsigned(),
        msgmnb: limits.msgmnb.max(0).cast_unsigned(),
    })
}

/// What all queues of this IPC namespace hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "msginfo")]
pub struct Usage {
    /// How many queues there are.
    pub queues: u32,
    /// Messages in them.
    pub messages: u32,
    /// Bytes in them.
    pub bytes: u32,
}

/// `msgctl(MSG_INFO)`: what all queues of this IPC namespace hold together. The kernel counts approximately while
/// messages come and go.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`) on a kernel without System V IPC.
#[doc(alias = "MSG_INFO")]
pub fn usage() -> Result<Usage> {
    let usage = sys::usage().map_err(|errno| failure::system("read the usage of every", errno))?;
    Ok(Usage {
        queues: usage.queues.max(0).cast_unsigned(),
        messages: usage.messages.max(0).cast_unsigned(),
        bytes: usage.bytes.max(0).cast_unsigned(),
    })
}
