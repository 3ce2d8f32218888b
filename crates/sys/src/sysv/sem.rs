//! Semaphore sets: `semget(2)`, `semop(2)`, `semctl(2)`.

use core::ptr;
use std::time::Duration;

use bitflags::bitflags;

use crate::Errno;
use crate::call::checked;
use crate::sysv::Perm;

pub use operation::{Operation, OperationFlags};
pub use values::{set_values, values};

mod operation;
mod values;

bitflags! {
    /// How `semget(2)` treats a key that has, or has not, a set already.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GetFlags: i32 {
        /// `IPC_CREAT`: makes the set if the key has none.
        const CREATE = libc::IPC_CREAT;
        /// `IPC_EXCL`: fails with `EEXIST` if it has one.
        const EXCLUSIVE = libc::IPC_EXCL;
    }
}

/// `struct semid_ds`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Who may use it.
    pub perm: Perm,
    /// The last successful `semop(2)`, in seconds since the epoch; 0 before the first.
    pub operated: i64,
    /// Creation, `IPC_SET`, `SETVAL` or `SETALL`, whichever was last.
    pub changed: i64,
    /// How many semaphores it has.
    pub count: usize,
}

impl From<&libc::semid_ds> for Stat {
    fn from(stat: &libc::semid_ds) -> Self {
        Self {
            perm: Perm::from(&stat.sem_perm),
            operated: stat.sem_otime,
            changed: stat.sem_ctime,
            count: stat.sem_nsems as usize,
        }
    }
}

/// `struct seminfo` as `IPC_INFO` and `SEM_INFO` fill it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The highest index that [`stat_index`] may find a set under.
    pub highest_index: i32,
    /// `SEMMSL`: semaphores in one set, at most.
    pub semmsl: i32,
    /// `SEMMNS`: semaphores in the whole namespace, at most.
    pub semmns: i32,
    /// `SEMOPM`: operations in one call, at most.
    pub semopm: i32,
    /// `SEMMNI`: sets in the whole namespace, at most.
    pub semmni: i32,
    /// `SEMVMX`: the highest value.
    pub semvmx: i32,
    /// Sets there are now.
    pub sets: i32,
    /// Semaphores there are now, in all sets together.
    pub semaphores: i32,
}

/// A number that the kernel keeps for each semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// `GETVAL`: its value.
    Value,
    /// `GETPID`: who last changed it, or waited for its zero, with success.
    LastPid,
    /// `GETNCNT`: how many threads wait for it to grow.
    WaitingToGrow,
    /// `GETZCNT`: how many threads wait for it to be zero.
    WaitingForZero,
}

/// `semget(2)`: the identifier of the set that the key leads to. `mode` holds the nine permission bits.
///
/// # Errors
/// Those of `semget(2)`.
pub fn get(key: i32, count: i32, flags: GetFlags, mode: u32) -> Result<i32, Errno> {
    let flags = flags.bits() | (mode & 0o777).cast_signed();
    // SAFETY: `semget` takes integers and touches no memory.
    checked(unsafe { libc::semget(key, count, flags) })
}

/// `semtimedop(2)`: applies all operations as one, waiting for at most `timeout` (or without end) until it can.
///
/// Needs at least one operation (`EINVAL`). The wait may end with `EINTR`, also where `SA_RESTART` was asked for.
///
/// # Errors
/// Those of `semop(2)`.
pub fn operate(id: i32, operations: &[Operation], timeout: Option<Duration>) -> Result<(), Errno> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads `len` operations, which have the layout of `struct sembuf`, and the timeout unless it
    // is null; it writes neither.
    let done =
        unsafe { libc::syscall(libc::SYS_semtimedop, id, operations.as_ptr(), operations.len(), timeout) };
    checked(done).map(drop)
}

/// `IPC_STAT`
///
/// # Errors
/// Those of `semctl(2)`.
pub fn stat(id: i32) -> Result<Stat, Errno> {
    let mut stat = empty_stat();
    // SAFETY: with this command the kernel writes one `semid_ds`, which `stat` is.
    checked(unsafe { libc::semctl(id, 0, libc::IPC_STAT, &raw mut stat) })?;
    Ok(Stat::from(&stat))
}

/// `SEM_STAT_ANY`: the set at an index of the kernel's table, and its identifier. Needs no permission.
///
/// # Errors
/// Those of `semctl(2)`.
pub fn stat_index(index: i32) -> Result<(i32, Stat), Errno> {
    let mut stat = empty_stat();
    // SAFETY: as in `stat`.
    let id = checked(unsafe { libc::semctl(index, 0, libc::SEM_STAT_ANY, &raw mut stat) })?;
    Ok((id, Stat::from(&stat)))
}

/// `IPC_SET`: a new owner, group and mode.
///
/// # Errors
/// Those of `semctl(2)`.
pub fn set_perm(id: i32, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    let mut stat = empty_stat();
    stat.sem_perm.uid = uid;
    stat.sem_perm.gid = gid;
    stat.sem_perm.mode = (mode & 0o777) as _;
    // SAFETY: with this command the kernel reads one `semid_ds`, which `stat` is.
    checked(unsafe { libc::semctl(id, 0, libc::IPC_SET, &raw mut stat) }).map(drop)
}

/// `IPC_RMID`: removes the set; whoever waits on it gets `EIDRM`.
///
/// # Errors
/// Those of `semctl(2)`.
pub fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: this command takes no argument.
    checked(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

/// `GETVAL`, `GETPID`, `GETNCNT`, `GETZCNT`
///
/// # Errors
/// Those of `semctl(2)`.
pub fn query(id: i32, number: u16, query: Query) -> Result<i32, Errno> {
    let command = match query {
        Query::Value => libc::GETVAL,
        Query::LastPid => libc::GETPID,
        Query::WaitingToGrow => libc::GETNCNT,
        Query::WaitingForZero => libc::GETZCNT,
    };
    // SAFETY: these commands take no argument.
    checked(unsafe { libc::semctl(id, number.into(), command) })
}

/// `SETVAL`: sets one value, and forgets what every process would have undone to it.
///
/// # Errors
/// Those of `semctl(2)`.
pub fn set_value(id: i32, number: u16, value: i32) -> Result<(), Errno> {
    // `union semun` is as wide as its pointers.
    let value = libc::c_long::from(value);
    // SAFETY: this command takes an integer and touches no memory.
    checked(unsafe { libc::semctl(id, number.into(), libc::SETVAL, value) }).map(drop)
}

/// `IPC_INFO` and `SEM_INFO`: the limits, and how much of them is in use.
///
/// # Errors
/// Those of `semctl(2)`.
pub fn info() -> Result<Info, Errno> {
    let (_, limits) = info_by(libc::IPC_INFO)?;
    let (highest_index, usage) = info_by(libc::SEM_INFO)?;
    Ok(Info {
        highest_index,
        semmsl: limits.semmsl,
        semmns: limits.semmns,
        semopm: limits.semopm,
        semmni: limits.semmni,
        semvmx: limits.semvmx,
        // SEM_INFO puts the usage into two fields that mean nothing on Linux.
        sets: usage.semusz,
        semaphores: usage.semaem,
    })
}

fn info_by(command: i32) -> Result<(i32, libc::seminfo), Errno> {
    // SAFETY: a structure of integers, for which all zeroes are values.
    let mut info: libc::seminfo = unsafe { core::mem::zeroed() };
    // SAFETY: with both commands the kernel writes one `seminfo`, which `info` is.
    let highest = checked(unsafe { libc::semctl(0, 0, command, &raw mut info) })?;
    Ok((highest, info))
}

fn empty_stat() -> libc::semid_ds {
    // SAFETY: a structure of integers, for which all zeroes are values.
    unsafe { core::mem::zeroed() }
}
