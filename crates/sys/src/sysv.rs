//! System V message queues, semaphores and shared memory: `sysvipc(7)`.

pub mod msg;
pub mod sem;
pub mod shm;

/// `struct ipc_perm`, the part of every object that says who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perm {
    /// The key it was made with.
    pub key: i32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The creator's user id.
    pub creator_uid: u32,
    /// The creator's group id.
    pub creator_gid: u32,
    /// The nine permission bits and, above them, flags like `SHM_DEST`.
    pub mode: u32,
}

impl From<&libc::ipc_perm> for Perm {
    fn from(perm: &libc::ipc_perm) -> Self {
        Self {
            key: perm.__key,
            uid: perm.uid,
            gid: perm.gid,
            creator_uid: perm.cuid,
            creator_gid: perm.cgid,
            mode: perm.mode.into(),
        }
    }
}
