//! Shared memory segments: `shmget(2)`, `shmat(2)`, `shmctl(2)`.

use core::ffi::c_void;
use core::ptr;

use bitflags::bitflags;

use crate::call::{checked, last_errno};
use crate::sysv::Perm;
use crate::{Access, Errno, Mapping};

const SHM_STAT_ANY: i32 = 15;
const SHM_INFO: i32 = 14;
const SHM_HUGE_SHIFT: u32 = 26;

/// Set in [`Perm::mode`] once the segment was removed and waits for its last detach.
pub const MARKED_FOR_REMOVAL: u32 = 0o1000;
/// Set in [`Perm::mode`] while `SHM_LOCK` keeps the segment in memory.
pub const LOCKED: u32 = 0o2000;

/// Below this nothing is attached: a mapping of the null page would make null pointers valid. The default of
/// `vm.mmap_min_addr`, which does not bind root.
const LOWEST_ADDRESS: usize = 0x1_0000;

bitflags! {
    /// How `shmget(2)` finds or makes a segment.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GetFlags: i32 {
        /// `IPC_CREAT`: makes the segment if the key has none.
        const CREATE = libc::IPC_CREAT;
        /// `IPC_EXCL`: fails with `EEXIST` if it has one.
        const EXCLUSIVE = libc::IPC_EXCL;
        /// `SHM_HUGETLB`: of huge pages.
        const HUGE_PAGES = libc::SHM_HUGETLB;
        /// `SHM_NORESERVE`: without a reservation of swap space or huge pages.
        const NO_RESERVE = libc::SHM_NORESERVE;
    }
}

/// `struct shmid_ds`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Who may use it. The mode also holds [`MARKED_FOR_REMOVAL`] and [`LOCKED`].
    pub perm: Perm,
    /// Its size in bytes, as it was asked for.
    pub size: usize,
    /// The last attach, in seconds since the epoch; 0 before the first.
    pub attached_at: i64,
    /// The last detach; 0 before the first.
    pub detached_at: i64,
    /// Creation or `IPC_SET`, whichever was last.
    pub changed_at: i64,
    /// Who made it.
    pub creator_pid: i32,
    /// Who attached or detached last; 0 before the first.
    pub last_pid: i32,
    /// How many attachments there are.
    pub attachments: u64,
}

impl From<&libc::shmid_ds> for Stat {
    fn from(stat: &libc::shmid_ds) -> Self {
        Self {
            perm: Perm::from(&stat.shm_perm),
            size: stat.shm_segsz,
            attached_at: stat.shm_atime,
            detached_at: stat.shm_dtime,
            changed_at: stat.shm_ctime,
            creator_pid: stat.shm_cpid,
            last_pid: stat.shm_lpid,
            attachments: stat.shm_nattch,
        }
    }
}

/// `struct shminfo` and `struct shm_info`: the limits, and how much of them is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// The highest index that [`stat_index`] may find a segment under.
    pub highest_index: i32,
    /// `SHMMAX`: bytes in one segment, at most.
    pub shmmax: u64,
    /// `SHMMNI`: segments in the whole namespace, at most.
    pub shmmni: u64,
    /// `SHMALL`: pages in the whole namespace, at most.
    pub shmall: u64,
    /// Segments there are now.
    pub segments: u64,
    /// Pages in all segments together.
    pub pages: u64,
    /// Of these, pages that are in memory.
    pub pages_resident: u64,
    /// Of these, pages that are in swap space.
    pub pages_swapped: u64,
}

/// Where to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the kernel finds room.
    Anywhere,
    /// At exactly this address, a multiple of the page size.
    At(usize),
    /// `SHM_RND`: at this address, rounded down to a multiple of the page size (`SHMLBA`).
    RoundedDown(usize),
}

/// `shmget(2)`: the identifier of the segment that the key leads to. `mode` holds the nine permission bits.
///
/// With [`GetFlags::HUGE_PAGES`], `huge_page_log2` chooses the page size; 0 is the system's default.
///
/// # Errors
/// Those of `shmget(2)`.
pub fn get(key: i32, size: usize, flags: GetFlags, huge_page_log2: u8, mode: u32) -> Result<i32, Errno> {
    let huge = (u32::from(huge_page_log2 & 0x3f) << SHM_HUGE_SHIFT).cast_signed();
    let flags = flags.bits() | huge | (mode & 0o777).cast_signed();
    // SAFETY: `shmget` takes integers and touches no memory.
    checked(unsafe { libc::shmget(key, size, flags) })
}

/// `shmat(2)`: attaches the segment, whole.
///
/// Never replaces what is mapped already (that would be `SHM_REMAP`): such a place is `EINVAL`, as is one below
/// 64 KiB.
///
/// # Errors
/// Those of `shmop(2)`.
pub fn attach(id: i32, place: Place, access: Access) -> Result<Mapping, Errno> {
    let (address, rounding) = match place {
        Place::Anywhere => (0, 0),
        Place::At(address) => (address, 0),
        Place::RoundedDown(address) => (address, libc::SHM_RND),
    };
    if place != Place::Anywhere && address < LOWEST_ADDRESS {
        return Err(Errno::INVAL);
    }
    let reading = match access {
        Access::ReadOnly => libc::SHM_RDONLY,
        Access::ReadWrite => 0,
    };
    // SAFETY: without SHM_REMAP the kernel only maps where nothing is mapped, so no memory in use changes.
    let base = unsafe { libc::shmat(id, ptr::without_provenance(address), rounding | reading) };
    if base.addr() == usize::MAX {
        return Err(last_errno());
    }
    // While it is attached, the identifier cannot pass to another segment, so this is the size of what was attached.
    let mapping = stat(id).and_then(|stat| Mapping::attached(base, stat.size, access));
    mapping.inspect_err(|_| detach(base))
}

fn detach(base: *mut c_void) {
    // SAFETY: called with what `shmat` returned, before anything refers to it.
    let _ = unsafe { libc::shmdt(base) };
}

/// `IPC_STAT`
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn stat(id: i32) -> Result<Stat, Errno> {
    let mut stat = empty_stat();
    // SAFETY: with this command the kernel writes one `shmid_ds`, which `stat` is.
    checked(unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut stat) })?;
    Ok(Stat::from(&stat))
}

/// `SHM_STAT_ANY`: the segment at an index of the kernel's table, and its identifier. Needs no permission.
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn stat_index(index: i32) -> Result<(i32, Stat), Errno> {
    let mut stat = empty_stat();
    // SAFETY: as in `stat`.
    let id = checked(unsafe { libc::shmctl(index, SHM_STAT_ANY, &raw mut stat) })?;
    Ok((id, Stat::from(&stat)))
}

/// `IPC_SET`: a new owner, group and mode.
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn set_perm(id: i32, uid: u32, gid: u32, mode: u32) -> Result<(), Errno> {
    let mut stat = empty_stat();
    stat.shm_perm.uid = uid;
    stat.shm_perm.gid = gid;
    stat.shm_perm.mode = (mode & 0o777) as _;
    // SAFETY: with this command the kernel reads one `shmid_ds`, which `stat` is.
    checked(unsafe { libc::shmctl(id, libc::IPC_SET, &raw mut stat) }).map(drop)
}

/// `IPC_RMID`: marks the segment, which goes with its last attachment.
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn remove(id: i32) -> Result<(), Errno> {
    control(id, libc::IPC_RMID)
}

/// `SHM_LOCK`: keeps the segment's pages in memory once they are there.
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn lock(id: i32) -> Result<(), Errno> {
    control(id, libc::SHM_LOCK)
}

/// `SHM_UNLOCK`
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn unlock(id: i32) -> Result<(), Errno> {
    control(id, libc::SHM_UNLOCK)
}

fn control(id: i32, command: i32) -> Result<(), Errno> {
    // SAFETY: the commands that come here take no argument.
    checked(unsafe { libc::shmctl(id, command, ptr::null_mut()) }).map(drop)
}

/// `IPC_INFO` and `SHM_INFO`
///
/// # Errors
/// Those of `shmctl(2)`.
pub fn info() -> Result<Info, Errno> {
    /// `struct shminfo64`
    #[repr(C)]
    #[derive(Default)]
    struct Limits {
        shmmax: libc::c_ulong,
        shmmin: libc::c_ulong,
        shmmni: libc::c_ulong,
        shmseg: libc::c_ulong,
        shmall: libc::c_ulong,
        unused: [libc::c_ulong; 4],
    }
    /// `struct shm_info`
    #[repr(C)]
    #[derive(Default)]
    struct Usage {
        used_ids: libc::c_int,
        shm_tot: libc::c_ulong,
        shm_rss: libc::c_ulong,
        shm_swp: libc::c_ulong,
        swap_attempts: libc::c_ulong,
        swap_successes: libc::c_ulong,
    }
    let mut limits = Limits::default();
    // SAFETY: with this command the kernel writes one `shminfo64`, which `limits` is.
    checked(unsafe { libc::shmctl(0, libc::IPC_INFO, (&raw mut limits).cast()) })?;
    let mut usage = Usage::default();
    // SAFETY: with this command the kernel writes one `shm_info`, which `usage` is.
    let highest_index = checked(unsafe { libc::shmctl(0, SHM_INFO, (&raw mut usage).cast()) })?;
    Ok(Info {
        highest_index,
        shmmax: limits.shmmax,
        shmmni: limits.shmmni,
        shmall: limits.shmall,
        segments: usage.used_ids.unsigned_abs().into(),
        pages: usage.shm_tot,
        pages_resident: usage.shm_rss,
        pages_swapped: usage.shm_swp,
    })
}

fn empty_stat() -> libc::shmid_ds {
    // SAFETY: a structure of integers, for which all zeroes are values.
    unsafe { core::mem::zeroed() }
}
