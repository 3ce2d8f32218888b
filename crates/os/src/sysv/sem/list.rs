//! All sets of the system: `SEM_INFO`, `SEM_STAT_ANY`.

use twixt_sys::sysv::sem as sys;

use crate::sysv::list::every;
use crate::sysv::sem::error::kernel;
use crate::sysv::sem::{Id, Stat};
use crate::{Object, Result};

/// A set that [`list`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its identifier: [`Set::open_id`](super::Set::open_id).
    pub id: Id,
    /// What the kernel tells about it.
    pub stat: Stat,
}

/// The limits of this IPC namespace. The first four are the numbers of the sysctl `kernel.sem`, in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "seminfo")]
pub struct Limits {
    /// The most semaphores in one set.
    pub semmsl: u32,
    /// The most semaphores in all sets together.
    pub semmns: u32,
    /// The most operations in one call.
    pub semopm: u32,
    /// The most sets.
    pub semmni: u32,
    /// The highest value of a semaphore; it cannot be changed.
    pub semvmx: u32,
}

/// `semctl(IPC_INFO)`: the limits of this IPC namespace, read without `/proc`. Needs no permission.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`) on a kernel without System V IPC.
#[doc(alias = "IPC_INFO")]
pub fn limits() -> Result<Limits> {
    let info = sys::info().map_err(|errno| kernel("read the limits of every", Object::Unnamed, errno))?;
    Ok(Limits {
        semmsl: info.semmsl.unsigned_abs(),
        semmns: info.semmns.unsigned_abs(),
        semopm: info.semopm.unsigned_abs(),
        semmni: info.semmni.unsigned_abs(),
        semvmx: info.semvmx.unsigned_abs(),
    })
}

/// How much of the [`Limits`] is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many sets there are.
    pub sets: u32,
    /// Semaphores in them.
    pub semaphores: u32,
}

/// `semctl(SEM_INFO)`: how many sets and semaphores this IPC namespace has. Needs no permission.
///
/// # Errors
/// As [`limits`].
#[doc(alias = "SEM_INFO")]
pub fn usage() -> Result<Usage> {
    let info = sys::info().map_err(|errno| kernel("read the usage of every", Object::Unnamed, errno))?;
    Ok(Usage { sets: info.sets.unsigned_abs(), semaphores: info.semaphores.unsigned_abs() })
}

/// `semctl(2)` with `SEM_STAT_ANY`: all sets of this IPC namespace, whoever owns them. Needs no permission.
///
/// Sets that come and go meanwhile may be there or not.
///
/// ```
/// for set in twixt_os::sysv::sem::list()? {
///     println!("{} {} {}", set.stat.perm.key, set.id, set.stat.nsems);
/// }
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// As [`limits`].
#[doc(alias = "SEM_STAT_ANY")]
#[doc(alias = "ipcs")]
pub fn list() -> Result<Vec<Listed>> {
    const OPERATION: &str = "list every";
    let info = sys::info().map_err(|errno| kernel(OPERATION, Object::Unnamed, errno))?;
    let listed =
        |index| sys::stat_index(index).map(|(id, stat)| Listed { id: Id::given(id), stat: stat.into() });
    every(info.highest_index, listed).map_err(|errno| kernel(OPERATION, Object::Unnamed, errno))
}
