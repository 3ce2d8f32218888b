//! Finding the object that an address leads to, and removing it.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, statx, unlinkat};
use twixt_address::{Address, Endpoint, OptionName, SysvId, SysvKey, UnixKind, UnixName};
use twixt_os::posix::mq;
use twixt_os::sysv::{Key, msg, sem, shm};
use twixt_os::{Errno, ErrorKind, Mechanism, Object};

use crate::users::{self, Users};
use crate::{Error, Result, bus, make, nameless};

mod permission;
mod socket;

pub(crate) const FIND: &str = "find";
const REMOVE: &str = "remove";

/// Finds the object that the address leads to. It takes no options: they say how an object is made or used, not which
/// it is.
///
/// Nothing is opened that would be noticed by those who use it, and symbolic links are not followed.
///
/// # Errors
/// - [`NotFound`](ErrorKind::NotFound): there is none.
/// - [`InvalidInput`](ErrorKind::InvalidInput): the address names nothing that stays, or no whole object, or has
///   options; or what is there is of another type.
/// - [`PermissionDenied`](ErrorKind::PermissionDenied): a directory on the way may not be searched.
pub fn find(address: &Address) -> Result<Found> {
    if let Some(refusal) = nameless::refusal(FIND, address) {
        return Err(refusal);
    }
    takes_no_options(address)?;
    let file = |kind, path: &Path| Identity::find_file(kind, path, address);
    let identity = match address.endpoint() {
        Endpoint::Fifo(path) => file(Kind::Fifo, path.as_path())?,
        Endpoint::File(path) => file(Kind::Regular(Mechanism::File), path.as_path())?,
        Endpoint::Mmap(path) => file(Kind::Regular(Mechanism::Mmap), path.as_path())?,
        Endpoint::Lock(path) => file(Kind::Regular(Mechanism::Lock), path.as_path())?,
        Endpoint::Unix { kind, name: UnixName::Path(path) } => file(Kind::socket(*kind), path.as_path())?,
        Endpoint::SysvMsg(key) => Identity::Queue(queue(address, key)?),
        Endpoint::SysvSem { index: Some(index), .. } => {
            let why = format!("/{index} is one semaphore of a set, which is no object of its own");
            let advice = "leave it out to name the set";
            return Err(Error::refused(FIND, address, ErrorKind::InvalidInput, why, advice));
        }
        Endpoint::SysvSem { key, index: None } => Identity::Set(set(address, key)?),
        Endpoint::SysvShm(key) => Identity::Segment(segment(address, key)?),
        Endpoint::PosixMq(name) => posix_queue(name.as_os_str())?,
        Endpoint::PosixSem(name) => file(Kind::PosixSemaphore, &semaphore_file(name.as_os_str()))?,
        Endpoint::PosixShm(name) => {
            make::no_semaphores_file(FIND, address, name)?;
            file(Kind::PosixMemory, &shared_memory_file(name.as_os_str()))?
        }
        endpoint => match bus::name_of(endpoint) {
            Some((kind, name)) => Identity::OnBus(bus::Site::find(kind, name)?),
            // The others were refused above.
            None => return Err(nameless::unknown(FIND, address)),
        },
    };
    Ok(Found::new(Address::from(address.endpoint().clone()), identity))
}

fn takes_no_options(address: &Address) -> Result<()> {
    let given: Vec<&str> = address.options().given().map(OptionName::as_str).collect();
    let (why, advice) = match given.as_slice() {
        [] => return Ok(()),
        [one] => (format!("option {one} says nothing about an object that is there"), "leave it out"),
        [all @ .., last] => {
            let why =
                format!("options {} and {last} say nothing about an object that is there", all.join(", "));
            (why, "leave them out")
        }
    };
    Err(Error::refused(FIND, address, ErrorKind::InvalidInput, why, advice))
}

/// An object that was there when it was looked for. Two are equal if they are the same object, whatever their
/// addresses.
#[derive(Clone, Debug)]
pub struct Found {
    address: Address,
    identity: Identity,
}

impl Found {
    pub(crate) fn new(address: Address, identity: Identity) -> Self {
        Self { address, identity }
    }

    /// The address it was found by, without options.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The kernel's identifier of a System V object.
    pub fn id(&self) -> Option<SysvId> {
        self.identity.sysv_id()
    }

    /// Who uses it: see [`Users`].
    ///
    /// It looks at every process of the machine that can be seen, and takes as long as that takes: milliseconds, mostly.
    ///
    /// # Errors
    /// `/proc` cannot be read, or the object's state cannot, other than for lack of permission.
    pub fn users(&self) -> Result<Users> {
        users::of(&self.identity)
    }

    /// Whether this process may remove it, as far as can be told without trying.
    ///
    /// # Errors
    /// Those of [`Found::remove`].
    pub fn check_removable(&self) -> Result<()> {
        match &self.identity {
            Identity::File { kind, path, inode } => {
                let owner = self.same_file(*kind, path, *inode)?;
                permission::of_file(kind.mechanism(), path, owner)?;
                match kind {
                    Kind::Socket(_) => socket::check_stale(&self.address, path),
                    _ => Ok(()),
                }
            }
            Identity::PosixQueue { name, inode, owner } => {
                self.same_queue(name, *inode)?;
                permission::of_posix_queue(name, *owner)
            }
            Identity::OnBus(site) => {
                let now = self.same_site(site)?;
                permission::of_file(Mechanism::Bus, &now.directory, now.owner)
            }
            Identity::Queue(_) | Identity::Set(_) | Identity::Segment(_) => {
                permission::of_sysv(&self.identity)
            }
        }
    }

    /// Removes it.
    ///
    /// What that means to those who use it depends on the kind: the [crate's page](crate#what-can-be-made-and-removed)
    /// has it. A Unix socket's file is removed only when no socket is bound to it any more. Between the last look and
    /// the removal of a file another may take its name, since the kernel has no call that does both in one.
    ///
    /// # Errors
    /// - [`Removed`](ErrorKind::Removed) or [`NotFound`](ErrorKind::NotFound): it is gone, or another object has its name.
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied): a file's directory cannot be written, or has the sticky bit
    ///   and belongs to another; a System V object or POSIX queue belongs to another.
    /// - [`Busy`](ErrorKind::Busy): a process has the Unix socket bound.
    pub fn remove(&self) -> Result<()> {
        match &self.identity {
            Identity::File { kind: Kind::Socket(_), path, .. } => {
                self.check_removable()?;
                socket::remove(&self.address, path)
            }
            Identity::File { kind, path, inode } => {
                self.same_file(*kind, path, *inode)?;
                unlinkat(CWD, path, AtFlags::empty())
                    .map_err(|errno| permission::unlink_error(kind.mechanism(), path, errno))
            }
            Identity::PosixQueue { name, inode, .. } => {
                self.same_queue(name, *inode)?;
                Ok(mq::unlink(name)?)
            }
            Identity::OnBus(site) => self.same_site(site)?.remove(),
            Identity::Queue(id) => Ok(msg::Queue::open_id(*id)?.remove()?),
            Identity::Set(id) => Ok(sem::Set::open_id(*id)?.remove()?),
            Identity::Segment(id) => Ok(shm::Segment::open_id(*id)?.remove()?),
        }
    }

    /// Sees that the path still leads to the file that was found, and gives its owner.
    fn same_file(&self, kind: Kind, path: &Path, inode: Option<Inode>) -> Result<u32> {
        let found = Identity::look(kind, path, &self.address)?;
        if inode.is_none_or(|inode| inode == Inode::of(&found)) {
            return Ok(found.stx_uid);
        }
        Err(self.replaced())
    }

    fn same_queue(&self, name: &OsStr, inode: Option<Inode>) -> Result<()> {
        match posix_queue(name)? {
            Identity::PosixQueue { inode: Some(now), .. } if inode.is_some_and(|inode| inode != now) => {
                Err(self.replaced())
            }
            _ => Ok(()),
        }
    }

    fn same_site(&self, site: &bus::Site) -> Result<bus::Site> {
        let now = bus::Site::find(site.kind, &site.name)?;
        if now.inode == site.inode { Ok(now) } else { Err(self.replaced()) }
    }

    fn replaced(&self) -> Error {
        Error::refused(
            REMOVE,
            &self.address,
            ErrorKind::Removed,
            "another object has taken its name meanwhile",
            "look again, if that one is to go too",
        )
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.identity.key() == other.identity.key()
    }
}

impl Eq for Found {}

impl Hash for Found {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.key().hash(state);
    }
}

/// Which object it is, beyond its name.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// A file of some kind by its path. Without an inode it could not be looked at when it was made.
    File { kind: Kind, path: PathBuf, inode: Option<Inode> },
    /// A POSIX message queue. Inode and owner are unknown if it may not be opened.
    PosixQueue { name: OsString, inode: Option<Inode>, owner: Option<u32> },
    /// A name on the bus.
    OnBus(bus::Site),
    /// A System V message queue by its identifier.
    Queue(msg::Id),
    /// A System V semaphore set.
    Set(sem::Id),
    /// A System V shared memory segment.
    Segment(shm::Id),
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fifo,
    Regular(Mechanism),
    Socket(Mechanism),
    PosixSemaphore,
    PosixMemory,
}

impl Kind {
    fn socket(kind: UnixKind) -> Self {
        Self::Socket(match kind {
            UnixKind::Stream => Mechanism::UnixStream,
            UnixKind::Datagram => Mechanism::UnixDatagram,
            UnixKind::Seqpacket => Mechanism::UnixSeqpacket,
        })
    }

    pub(crate) fn mechanism(self) -> Mechanism {
        match self {
            Self::Fifo => Mechanism::Fifo,
            Self::Regular(mechanism) | Self::Socket(mechanism) => mechanism,
            Self::PosixSemaphore => Mechanism::PosixSem,
            Self::PosixMemory => Mechanism::PosixShm,
        }
    }

    fn file_type(self) -> FileType {
        match self {
            Self::Fifo => FileType::Fifo,
            Self::Socket(_) => FileType::Socket,
            Self::Regular(_) | Self::PosixSemaphore | Self::PosixMemory => FileType::RegularFile,
        }
    }
}

/// What tells files apart, in the form in which `/proc` has it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inode {
    pub major: u32,
    pub minor: u32,
    pub number: u64,
}

impl Inode {
    pub fn of(stat: &Statx) -> Self {
        Self { major: stat.stx_dev_major, minor: stat.stx_dev_minor, number: stat.stx_ino }
    }

    pub fn of_path(path: &Path) -> Result<Self, Errno> {
        look(path).map(|stat| Self::of(&stat))
    }

    pub fn of_descriptor(descriptor: BorrowedFd<'_>) -> Result<Self, Errno> {
        look_at_descriptor(descriptor).map(|stat| Self::of(&stat))
    }
}

pub(crate) fn look(path: &Path) -> Result<Statx, Errno> {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
}

fn look_at_descriptor(descriptor: BorrowedFd<'_>) -> Result<Statx, Errno> {
    statx(descriptor, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
}

impl Identity {
    pub(crate) fn file(kind: Kind, path: &Path, inode: Option<Inode>) -> Self {
        Self::File { kind, path: path.to_owned(), inode }
    }

    fn find_file(kind: Kind, path: &Path, address: &Address) -> Result<Self> {
        let stat = Self::look(kind, path, address)?;
        Ok(Self::file(kind, path, Some(Inode::of(&stat))))
    }

    /// Looks at a path, which must lead to a file of this kind.
    fn look(kind: Kind, path: &Path, address: &Address) -> Result<Statx> {
        let refuse = |why, advice: &'static str| {
            Err(Error::refused(FIND, address, ErrorKind::InvalidInput, why, advice))
        };
        let stat = look(path).map_err(|errno| {
            let object = match kind {
                // The name that the user gave, not that of the file behind it.
                Kind::PosixSemaphore | Kind::PosixMemory => Object::name(name_of(address)),
                _ => Object::path(path),
            };
            let error = twixt_os::Error::kernel(kind.mechanism(), FIND, object, errno);
            if errno == Errno::NOTDIR { error.with_kind(ErrorKind::NotFound) } else { error }
        })?;
        let found = FileType::from_raw_mode(stat.stx_mode.into());
        if found != kind.file_type() {
            let (found, wanted) = (file_type_name(found), file_type_name(kind.file_type()));
            let advice = "check the path and the scheme";
            return refuse(format!("what is there is {found}, not {wanted}"), advice);
        }
        // 16 bytes on machines of 32 bits, 32 on those of 64.
        if kind == Kind::PosixSemaphore && !matches!(stat.stx_size, 16 | 32) {
            let why = format!("its file has {} bytes, which is no semaphore's size", stat.stx_size);
            return refuse(why, "what is no semaphore can be removed as a file of /dev/shm");
        }
        Ok(stat)
    }

    pub(crate) fn sysv_id(&self) -> Option<SysvId> {
        match self {
            Self::Queue(id) => SysvId::new(id.as_raw()).ok(),
            Self::Set(id) => SysvId::new(id.as_raw()).ok(),
            Self::Segment(id) => SysvId::new(id.as_raw()).ok(),
            Self::File { .. } | Self::PosixQueue { .. } | Self::OnBus(_) => None,
        }
    }

    /// What is equal for the same object.
    fn key(&self) -> (u8, Option<Inode>, &[u8]) {
        let number = |id: i32| Inode { major: 0, minor: 0, number: u64::from(id.unsigned_abs()) };
        match self {
            Self::File { inode: Some(inode), .. } => (0, Some(*inode), &[]),
            Self::File { path, inode: None, .. } => (0, None, path.as_os_str().as_bytes()),
            Self::PosixQueue { name, .. } => (1, None, name.as_bytes()),
            Self::Queue(id) => (2, Some(number(id.as_raw())), &[]),
            Self::Set(id) => (3, Some(number(id.as_raw())), &[]),
            Self::Segment(id) => (4, Some(number(id.as_raw())), &[]),
            Self::OnBus(site) => (5, Some(site.inode), &[]),
        }
    }
}

fn name_of(address: &Address) -> String {
    let endpoint = address.endpoint().to_string();
    endpoint.split_once(':').map_or(endpoint.clone(), |(_scheme, name)| name.to_owned())
}

fn file_type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link, which is not followed",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "something unknown",
    }
}

/// The file behind a POSIX semaphore, as the C library has it.
pub(crate) fn semaphore_file(name: &OsStr) -> PathBuf {
    let mut file = OsString::from("sem.");
    file.push(without_slash(name));
    Path::new("/dev/shm").join(file)
}

/// The file behind POSIX shared memory, as the C library has it.
pub(crate) fn shared_memory_file(name: &OsStr) -> PathBuf {
    Path::new("/dev/shm").join(without_slash(name))
}

fn without_slash(name: &OsStr) -> &OsStr {
    OsStr::from_bytes(name.as_bytes().strip_prefix(b"/").unwrap_or(name.as_bytes()))
}

fn queue(address: &Address, key: &SysvKey) -> Result<msg::Id> {
    match lead(address, key)? {
        Lead::Key(key) => Ok(msg::Queue::open(key)?.id()),
        Lead::Id(id) => match msg::Id::new(id) {
            Some(id) => Ok(msg::Queue::open_id(id)?.id()),
            None => Err(private(address)),
        },
    }
}

fn set(address: &Address, key: &SysvKey) -> Result<sem::Id> {
    match lead(address, key)? {
        Lead::Key(key) => Ok(sem::Set::open(key)?.id()),
        Lead::Id(id) => match sem::Id::new(id) {
            Some(id) => Ok(sem::Set::open_id(id)?.id()),
            None => Err(private(address)),
        },
    }
}

fn segment(address: &Address, key: &SysvKey) -> Result<shm::Id> {
    match lead(address, key)? {
        Lead::Key(key) => Ok(shm::Segment::open(key)?.id()),
        Lead::Id(id) => match shm::Id::new(id) {
            Some(id) => Ok(shm::Segment::open_id(id)?.id()),
            None => Err(private(address)),
        },
    }
}

/// What leads to a System V object that is there.
enum Lead {
    Key(Key),
    Id(i32),
}

fn lead(address: &Address, key: &SysvKey) -> Result<Lead> {
    match key {
        SysvKey::Id(id) => Ok(Lead::Id(id.get())),
        SysvKey::Key(key) => Key::new(key.get()).map(Lead::Key).ok_or_else(|| private(address)),
        SysvKey::Ftok { path, project } => Ok(Lead::Key(Key::from_path(path.as_path(), project.get())?)),
        SysvKey::Private => Err(private(address)),
    }
}

fn private(address: &Address) -> Error {
    let why = "a private key leads to no object that is there";
    let advice = "name it by its number, id=N, which ipcs shows";
    Error::refused(FIND, address, ErrorKind::InvalidInput, why, advice)
}

/// Looks at a POSIX message queue. That takes opening it, which its users do not notice.
fn posix_queue(name: &OsStr) -> Result<Identity> {
    let opened = match mq::Queue::open(name, mq::Access::Read) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => mq::Queue::open(name, mq::Access::Write),
        outcome => outcome,
    };
    let stat = match opened {
        Ok(queue) => look_at_descriptor(queue.as_fd()).ok(),
        // Where the file system of the queues is usually mounted, if it is.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            look(&Path::new("/dev/mqueue").join(without_slash(name))).ok()
        }
        Err(error) => return Err(error.into()),
    };
    let (inode, owner) = (stat.as_ref().map(Inode::of), stat.as_ref().map(|stat| stat.stx_uid));
    Ok(Identity::PosixQueue { name: name.to_owned(), inode, owner })
}
