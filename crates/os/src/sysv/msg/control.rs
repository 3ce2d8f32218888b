//! State and settings of a queue: `msgctl(2)`.

use core::sync::atomic::Ordering;
use std::time::SystemTime;

use twixt_sys::sysv::msg as sys;

use super::Queue;
use crate::sysv::stat::{last_pid, last_time, time};
use crate::sysv::{self, Perm};
use crate::{Errno, Error, ErrorKind, Limit, Mode, Result};

/// The state of a queue: `struct msqid_ds`. The fields have the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "msqid_ds")]
pub struct Stat {
    /// Owner, creator, mode and key.
    pub perm: Perm,
    /// When the last message was sent, in whole seconds.
    #[doc(alias = "msg_stime")]
    pub stime: Option<SystemTime>,
    /// When the last message was received, in whole seconds.
    #[doc(alias = "msg_rtime")]
    pub rtime: Option<SystemTime>,
    /// When the queue was made, or changed by [`Queue::set`], in whole seconds.
    #[doc(alias = "msg_ctime")]
    pub ctime: SystemTime,
    /// Messages in the queue.
    #[doc(alias = "msg_qnum")]
    pub qnum: u64,
    /// Bytes in the queue, types not counted.
    #[doc(alias = "msg_cbytes")]
    pub cbytes: u64,
    /// The most bytes that the queue takes, and also the most messages.
    #[doc(alias = "msg_qbytes")]
    pub qbytes: u64,
    /// The process that sent last. None also if it is not in this process's PID namespace.
    #[doc(alias = "msg_lspid")]
    pub lspid: Option<i32>,
    /// The process that received last.
    #[doc(alias = "msg_lrpid")]
    pub lrpid: Option<i32>,
}

impl From<sys::Stat> for Stat {
    fn from(stat: sys::Stat) -> Self {
        Self {
            perm: stat.perm.into(),
            stime: last_time(stat.stime),
            rtime: last_time(stat.rtime),
            ctime: time(stat.ctime),
            qnum: stat.qnum,
            cbytes: stat.cbytes,
            qbytes: stat.qbytes,
            lspid: last_pid(stat.lspid),
            lrpid: last_pid(stat.lrpid),
        }
    }
}

/// What can be changed of a queue, all at once.
///
/// ```
/// # use twixt_os::Mode;
/// # use twixt_os::sysv::Key;
/// use twixt_os::sysv::msg::{Queue, Settings};
/// # let queue = Queue::create(Key::PRIVATE, Mode::OWNER)?.remove_on_drop();
/// let settings = Settings::from(queue.stat()?);
/// queue.set(Settings { qbytes: 4096, ..settings })?;
/// assert_eq!(queue.stat()?.qbytes, 4096);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The permissions.
    pub mode: Mode,
    /// The most bytes that the queue takes. Lowering it below what is there takes nothing away.
    #[doc(alias = "msg_qbytes")]
    pub qbytes: u64,
}

impl From<Stat> for Settings {
    fn from(stat: Stat) -> Self {
        Self { uid: stat.perm.uid, gid: stat.perm.gid, mode: stat.perm.mode, qbytes: stat.qbytes }
    }
}

impl Queue {
    /// `msgctl(IPC_STAT)`: the state of the queue.
    ///
    /// # Errors
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied) (`EACCES`) without read permission; [`list`](super::list)
    ///   needs none.
    /// - [`Removed`](ErrorKind::Removed) (`EINVAL`) if the queue was removed.
    #[doc(alias = "IPC_STAT")]
    #[doc(alias = "msgctl")]
    pub fn stat(&self) -> Result<Stat> {
        match sys::stat(self.id.as_raw()) {
            Ok(stat) => Ok(stat.into()),
            Err(errno) => Err(self.failure("read the state of", errno)),
        }
    }

    /// `msgctl(IPC_SET)`: changes owner, group, mode and capacity.
    ///
    /// Senders that wait look again whether there is room, and all waiters whether they still may.
    ///
    /// # Errors
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied) (`EPERM`) unless this process's effective user is the
    ///   queue's owner or creator, or it has `CAP_SYS_ADMIN`.
    /// - [`LimitReached`](ErrorKind::LimitReached) (`EPERM`) if `qbytes` is above `kernel.msgmnb` (16384 by
    ///   default), without `CAP_SYS_RESOURCE`.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) (`EINVAL`) for a user or group id that is none.
    /// - [`Removed`](ErrorKind::Removed) (`EINVAL`) if the queue was removed.
    #[doc(alias = "IPC_SET")]
    #[doc(alias = "msgctl")]
    pub fn set(&self, settings: Settings) -> Result<()> {
        let Settings { uid, gid, mode, qbytes } = settings;
        match sys::set(self.id.as_raw(), sys::Settings { uid, gid, mode: mode.bits(), qbytes }) {
            Ok(()) => {
                self.qbytes.store(qbytes, Ordering::Relaxed);
                Ok(())
            }
            Err(errno) => Err(self.set_failure(qbytes, errno)),
        }
    }

    fn set_failure(&self, qbytes: u64, errno: Errno) -> Error {
        let error = self.failure("change", errno);
        match errno {
            Errno::PERM => {
                let limit = msgmnb().needed(qbytes);
                if limit.is_exceeded() && self.is_mine() {
                    error
                        .with_kind(ErrorKind::LimitReached)
                        .with_limit(limit)
                        .with_advice("raise it with sysctl, or have CAP_SYS_RESOURCE")
                } else {
                    sysv::failure::for_owner(error)
                }
            }
            _ => sysv::failure::change(error, || sys::stat(self.id.as_raw())),
        }
    }

    /// Whether this process may change the queue; then it was `qbytes` that was refused.
    fn is_mine(&self) -> bool {
        let me = rustix::process::geteuid();
        me.is_root()
            || sys::stat(self.id.as_raw())
                .is_ok_and(|stat| [stat.perm.uid, stat.perm.creator_uid].contains(&me.as_raw()))
    }

    /// `msgctl(IPC_RMID)`: removes the queue with all its messages, at once.
    ///
    /// Whoever waits on it, and whoever uses it later, gets [`Removed`](ErrorKind::Removed).
    ///
    /// # Errors
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied) (`EPERM`) unless this process's effective user is the
    ///   queue's owner or creator, or it has `CAP_SYS_ADMIN`.
    /// - [`Removed`](ErrorKind::Removed) (`EINVAL`) if it was removed already.
    #[doc(alias = "IPC_RMID")]
    #[doc(alias = "msgctl")]
    pub fn remove(&self) -> Result<()> {
        sys::remove(self.id.as_raw()).map_err(|errno| sysv::failure::for_owner(self.failure("remove", errno)))
    }
}

fn msgmnb() -> Limit {
    let current = sys::limits().ok().and_then(|limits| u64::try_from(limits.msgmnb).ok());
    Limit { name: "kernel.msgmnb", current, needed: None }
}
