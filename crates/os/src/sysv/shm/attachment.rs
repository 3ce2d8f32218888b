//! A segment in this process's address space: `shmat(2)`, `shmdt(2)`.

use core::ops::Deref;

use twixt_sys::sysv::shm as sys;

use crate::mmap::Memory;
use crate::sysv::shm::error::kernel;
use crate::sysv::shm::{Access, MECHANISM, Segment};
use crate::{Errno, Result};

pub use twixt_sys::sysv::shm::Place;

const ATTACH: &str = "attach";

impl Segment {
    /// Attaches the segment, whole, wherever there is room: `shmat(2)`.
    ///
    /// Its size is what the kernel says, whoever asked for what.
    ///
    /// # Errors
    /// - [`PermissionDenied`](crate::ErrorKind::PermissionDenied): reading needs read permission, writing needs both
    /// - [`Removed`](crate::ErrorKind::Removed) if the segment is gone. One that is only marked can be attached.
    /// - [`NoSpace`](crate::ErrorKind::NoSpace): no room in the address space (`RLIMIT_AS`, unlimited by default),
    ///   or too many mappings (`vm.max_map_count`, 65530 by default)
    #[doc(alias = "shmat")]
    #[doc(alias = "SHM_RDONLY")]
    pub fn attach(&self, access: Access) -> Result<Attachment> {
        self.attach_at(Place::Anywhere, access)
    }

    /// Attaches the segment at an address, for programs that have agreed on one: `shmat(2)`.
    ///
    /// # Errors
    /// As [`Segment::attach`]; [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is anything else already, the
    /// address is below 64 KiB, or [`Place::At`] is not a multiple of the page size.
    #[doc(alias = "shmat")]
    #[doc(alias = "SHM_RND")]
    pub fn attach_at(&self, place: Place, access: Access) -> Result<Attachment> {
        match sys::attach(self.id.as_raw(), place, access) {
            Ok(mapping) => {
                let memory = Memory::new(mapping, MECHANISM, self.object.clone());
                Ok(Attachment { segment: self.clone(), memory })
            }
            // EINVAL is the address's fault where there was one and the segment is still there.
            Err(Errno::INVAL) if place != Place::Anywhere && sys::stat(self.id.as_raw()).is_ok() => {
                Err(kernel(ATTACH, self.object.clone(), Errno::INVAL).with_advice(
                    "the address must be free, a multiple of the page size and not below 64 KiB",
                ))
            }
            Err(errno) => Err(self.fail(ATTACH, errno)),
        }
    }
}

/// An attached segment. Reading and writing are those of [`Memory`], which it derefs to.
///
/// Every offset is checked against the segment's size, which is not a whole number of pages. Detached when dropped; the
/// segment stays. A child made by `fork(2)` has the attachment too; a program started by `execve(2)` has not.
///
/// ```
/// use std::sync::atomic::Ordering;
/// use twixt_os::Mode;
/// use twixt_os::sysv::Key;
/// use twixt_os::sysv::shm::{Access, Segment};
///
/// let segment = Segment::create(Key::PRIVATE, 100, Mode::OWNER)?.remove_on_drop();
/// let attached = segment.attach(Access::ReadWrite)?;
/// attached.write(8, b"betwixt")?;
/// attached.atomic_u64(0)?.fetch_add(1, Ordering::Relaxed); // as any process that attached it may
/// assert!(attached.write(94, b"betwixt").is_err(), "past its end");
/// assert_eq!(attached.detach().stat()?.nattch, 0);
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "shmdt")]
pub struct Attachment {
    segment: Segment,
    memory: Memory,
}

impl Attachment {
    /// The memory, for those who want it apart from the segment.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The segment.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Detaches it, as dropping does, and gives the segment back: `shmdt(2)`.
    #[doc(alias = "shmdt")]
    pub fn detach(self) -> Segment {
        self.segment
    }
}

impl Deref for Attachment {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}
