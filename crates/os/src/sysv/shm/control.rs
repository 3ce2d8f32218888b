//! Looking at a segment and changing it from outside: `shmctl(2)`.

use std::time::SystemTime;

use rustix::process::Resource;
use twixt_sys::sysv::shm as sys;

use crate::sysv::shm::{Segment, Settings};
use crate::sysv::stat::{last_pid, last_time, time};
use crate::sysv::{self, Perm};
use crate::{Errno, ErrorKind, Limit, Result};

/// What the kernel tells about a segment: `struct shmid_ds`. The fields have the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "shmid_ds")]
pub struct Stat {
    /// Who owns it and who may use it.
    pub perm: Perm,
    /// Its size in bytes, as it was asked for. Memory comes in whole pages.
    #[doc(alias = "shm_segsz")]
    pub segsz: usize,
    /// How many attachments there are, of all processes together.
    #[doc(alias = "shm_nattch")]
    pub nattch: u64,
    /// The process that made it; 0 if it has no number in this pid namespace.
    #[doc(alias = "shm_cpid")]
    pub cpid: i32,
    /// The process that attached or detached last; `None` before the first, or if it has no number here.
    #[doc(alias = "shm_lpid")]
    pub lpid: Option<i32>,
    /// When it was last attached, to the second.
    #[doc(alias = "shm_atime")]
    pub atime: Option<SystemTime>,
    /// When it was last detached, to the second.
    #[doc(alias = "shm_dtime")]
    pub dtime: Option<SystemTime>,
    /// When it was made or its permissions were last set, to the second.
    #[doc(alias = "shm_ctime")]
    pub ctime: SystemTime,
    /// Whether it was removed, and is there until its last detach.
    #[doc(alias = "SHM_DEST")]
    pub marked_for_removal: bool,
    /// Whether its pages are kept in memory.
    #[doc(alias = "SHM_LOCKED")]
    pub locked: bool,
}

impl From<sys::Stat> for Stat {
    fn from(stat: sys::Stat) -> Self {
        Self {
            perm: stat.perm.into(),
            segsz: stat.size,
            nattch: stat.attachments,
            cpid: stat.creator_pid,
            lpid: last_pid(stat.last_pid),
            atime: last_time(stat.attached_at),
            dtime: last_time(stat.detached_at),
            ctime: time(stat.changed_at),
            marked_for_removal: stat.perm.mode & sys::MARKED_FOR_REMOVAL != 0,
            locked: stat.perm.mode & sys::LOCKED != 0,
        }
    }
}

/// Looking and setting. All can fail with [`PermissionDenied`](ErrorKind::PermissionDenied) and
/// [`Removed`](ErrorKind::Removed).
impl Segment {
    /// The segment's size, users, permissions and times: `IPC_STAT` of `shmctl(2)`. Needs read permission.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied), [`Removed`](ErrorKind::Removed)
    #[doc(alias = "IPC_STAT")]
    #[doc(alias = "shmctl")]
    pub fn stat(&self) -> Result<Stat> {
        sys::stat(self.id.as_raw()).map(Stat::from).map_err(|errno| self.fail("look at", errno))
    }

    /// Gives the segment a new owner, group and mode: `IPC_SET` of `shmctl(2)`. Attachments that exist are not touched.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) unless owner, creator or root,
    /// [`Removed`](ErrorKind::Removed), [`InvalidInput`](ErrorKind::InvalidInput) for an unmapped user or group
    #[doc(alias = "IPC_SET")]
    #[doc(alias = "shmctl")]
    pub fn set(&self, settings: Settings) -> Result<()> {
        let Settings { uid, gid, mode } = settings;
        sys::set_perm(self.id.as_raw(), uid, gid, mode.bits()).map_err(|errno| {
            sysv::failure::change(self.fail("change", errno), || sys::stat(self.id.as_raw()))
        })
    }

    /// Keeps the segment out of the swap space: pages that are in memory stay there. `SHM_LOCK` of `shmctl(2)`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) unless owner or creator with a `RLIMIT_MEMLOCK` above 0, or
    /// privileged (`CAP_IPC_LOCK`); [`LimitReached`](ErrorKind::LimitReached) if the segment is above `RLIMIT_MEMLOCK`
    /// (8 MiB by default)
    #[doc(alias = "SHM_LOCK")]
    #[doc(alias = "shmctl")]
    pub fn lock(&self) -> Result<()> {
        sys::lock(self.id.as_raw()).map_err(|errno| {
            let error = self.fail("lock", errno);
            if errno != Errno::NOMEM {
                return error;
            }
            let limit = Limit::rlimit("RLIMIT_MEMLOCK", Resource::Memlock);
            let limit = match sys::stat(self.id.as_raw()) {
                Ok(stat) => limit.needed(stat.size as u64),
                Err(_) => limit,
            };
            error
                .with_kind(ErrorKind::LimitReached)
                .with_limit(limit)
                .with_advice("raise it with `ulimit -l`, or lock less")
        })
    }

    /// Lets it go to the swap space again: `SHM_UNLOCK` of `shmctl(2)`.
    ///
    /// # Errors
    /// As [`Segment::lock`].
    #[doc(alias = "SHM_UNLOCK")]
    #[doc(alias = "shmctl")]
    pub fn unlock(&self) -> Result<()> {
        sys::unlock(self.id.as_raw()).map_err(|errno| self.fail("unlock", errno))
    }

    /// Removes the segment, with `IPC_RMID` of `shmctl(2)`: its key leads nowhere at once, and its memory goes with the
    /// last attachment.
    ///
    /// Those who have it attached notice nothing. Until it is gone, [`Segment::open_id`] still finds it.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) unless owner, creator or root,
    /// [`Removed`](ErrorKind::Removed) if it is gone already
    #[doc(alias = "IPC_RMID")]
    #[doc(alias = "shmctl")]
    pub fn remove(&self) -> Result<()> {
        sys::remove(self.id.as_raw()).map_err(|errno| sysv::failure::for_owner(self.fail("remove", errno)))
    }
}
