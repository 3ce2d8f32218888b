//! Who owns a System V object and who may use it: `sysvipc(7)`.

use crate::Mode;
use crate::sysv::{Key, sem, shm};

/// The ownership and permissions of a System V object: `struct ipc_perm` of `sysvipc(7)`.
///
/// The creator stays; the owner, group and mode can be changed by either of them (and by root).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "ipc_perm")]
pub struct Perm {
    /// The key the object was made with; [`Key::PRIVATE`] also once a shared memory segment is marked for removal.
    pub key: Key,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The creator's user id.
    pub creator_uid: u32,
    /// The creator's group id.
    pub creator_gid: u32,
    /// The permission bits.
    pub mode: Mode,
}

impl From<twixt_sys::sysv::Perm> for Perm {
    fn from(perm: twixt_sys::sysv::Perm) -> Self {
        Self {
            key: Key::from_raw(perm.key),
            uid: perm.uid,
            gid: perm.gid,
            creator_uid: perm.creator_uid,
            creator_gid: perm.creator_gid,
            mode: Mode::permissions_of(perm.mode),
        }
    }
}

/// What can be changed of a semaphore set or a segment, all at once. (A queue has
/// [one setting more](crate::sysv::msg::Settings).) What `IPC_SET` of `semctl(2)` and `shmctl(2)` takes.
///
/// ```
/// # use twixt_os::Mode;
/// # use twixt_os::sysv::Key;
/// use twixt_os::sysv::sem::{Settings, Set};
/// # let set = Set::create(Key::PRIVATE, 1, Mode::OWNER)?.remove_on_drop();
/// let settings = Settings::from(set.stat()?);
/// set.set(Settings { mode: Mode::new(0o640).unwrap(), ..settings })?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The owner's user id.
    #[doc(alias = "uid_t")]
    pub uid: u32,
    /// The owner's group id.
    #[doc(alias = "gid_t")]
    pub gid: u32,
    /// The permissions.
    pub mode: Mode,
}

impl From<Perm> for Settings {
    fn from(perm: Perm) -> Self {
        Self { uid: perm.uid, gid: perm.gid, mode: perm.mode }
    }
}

impl From<sem::Stat> for Settings {
    fn from(stat: sem::Stat) -> Self {
        stat.perm.into()
    }
}

impl From<shm::Stat> for Settings {
    fn from(stat: shm::Stat) -> Self {
        stat.perm.into()
    }
}
