//! All segments of the system: `SHM_INFO`, `SHM_STAT_ANY`.

use twixt_sys::sysv::shm as sys;

use crate::sysv::list::every;
use crate::sysv::shm::error::kernel;
use crate::sysv::shm::{Id, Stat};
use crate::{Object, Result};

/// A segment that [`list`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its identifier: [`Segment::open_id`](super::Segment::open_id).
    pub id: Id,
    /// What the kernel tells about it.
    pub stat: Stat,
}

/// The limits of this IPC namespace: the sysctls `kernel.shmmax`, `kernel.shmmni` and `kernel.shmall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "shminfo")]
pub struct Limits {
    /// The most bytes in one segment; 18446744073692774399 by default.
    pub shmmax: u64,
    /// The most segments; 4096 by default.
    pub shmmni: u64,
    /// The most pages in all segments together; 18446744073692774399 by default.
    pub shmall: u64,
}

/// `shmctl(IPC_INFO)`: the limits of this IPC namespace, read without `/proc`. Needs no permission.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`) on a kernel without System V IPC.
#[doc(alias = "IPC_INFO")]
pub fn limits() -> Result<Limits> {
    let info = sys::info().map_err(|errno| kernel("read the limits of every", Object::Unnamed, errno))?;
    Ok(Limits { shmmax: info.shmmax, shmmni: info.shmmni, shmall: info.shmall })
}

/// How much of the [`Limits`] is in use. Pages of any size are counted in ordinary ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "shm_info")]
pub struct Usage {
    /// How many segments there are.
    pub segments: u64,
    /// Pages in them.
    #[doc(alias = "shm_tot")]
    pub pages: u64,
    /// Of these, pages that are in memory.
    #[doc(alias = "shm_rss")]
    pub resident: u64,
    /// Of these, pages that are in the swap space.
    #[doc(alias = "shm_swp")]
    pub swapped: u64,
}

/// `shmctl(SHM_INFO)`: what all segments of this IPC namespace hold together. Needs no permission.
///
/// # Errors
/// As [`limits`].
#[doc(alias = "SHM_INFO")]
pub fn usage() -> Result<Usage> {
    let info = sys::info().map_err(|errno| kernel("read the usage of every", Object::Unnamed, errno))?;
    Ok(Usage {
        segments: info.segments,
        pages: info.pages,
        resident: info.pages_resident,
        swapped: info.pages_swapped,
    })
}

/// `shmctl(2)` with `SHM_STAT_ANY`: all segments of this IPC namespace, whoever owns them. Needs no permission.
///
/// Segments that come and go meanwhile may be there or not.
///
/// ```
/// for segment in twixt_os::sysv::shm::list()? {
///     println!("{} {} {}", segment.stat.perm.key, segment.id, segment.stat.segsz);
/// }
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// As [`limits`].
#[doc(alias = "SHM_STAT_ANY")]
#[doc(alias = "ipcs")]
pub fn list() -> Result<Vec<Listed>> {
    const OPERATION: &str = "list every";
    let info = sys::info().map_err(|errno| kernel(OPERATION, Object::Unnamed, errno))?;
    let listed =
        |index| sys::stat_index(index).map(|(id, stat)| Listed { id: Id::given(id), stat: stat.into() });
    every(info.highest_index, listed).map_err(|errno| kernel(OPERATION, Object::Unnamed, errno))
}
