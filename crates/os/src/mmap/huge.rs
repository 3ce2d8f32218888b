//! Which huge pages memory is made of.

/// Which huge pages memory is made of: `mmap(2)`, `shmget(2)`.
///
/// The pool of each size is filled by the administrator: `vm.nr_hugepages` for the default size (0 by default), and
/// `/sys/kernel/mm/hugepages` for all.
///
/// ```
/// use twixt_os::mmap::HugePages;
/// let two_megabytes = HugePages::of_size(2 << 20).unwrap();
/// assert_eq!(two_megabytes.size(), Some(2 << 20));
/// assert!(HugePages::of_size(3 << 20).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "MAP_HUGE_2MB")]
#[doc(alias = "MAP_HUGE_1GB")]
#[doc(alias = "SHM_HUGE_2MB")]
#[doc(alias = "SHM_HUGE_1GB")]
pub struct HugePages {
    log2: u8,
}

impl HugePages {
    /// Of the system's default size, `Hugepagesize` in `/proc/meminfo`.
    pub const DEFAULT: Self = Self { log2: 0 };

    /// Of this size in bytes, a power of two. Which sizes there are, `/sys/kernel/mm/hugepages` tells.
    pub const fn of_size(bytes: u64) -> Option<Self> {
        if bytes.is_power_of_two() && bytes > 1 {
            Some(Self { log2: bytes.trailing_zeros() as u8 })
        } else {
            None
        }
    }

    /// The size of one in bytes. None if it is the default, and `/proc/meminfo` does not tell that: the kernel has no
    /// huge pages.
    pub fn size(self) -> Option<u64> {
        match self.log2 {
            0 => default_size(),
            log2 => Some(1 << log2),
        }
    }

    /// The binary logarithm of the size, 0 for the default: what the flags of System V shared memory hold.
    pub(crate) const fn log2(self) -> u8 {
        self.log2
    }
}

/// `Hugepagesize:    2048 kB`
fn default_size() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024).filter(|size| size.is_power_of_two())
}
