//! Making an object that is not there yet.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use twixt_address::{Address, Endpoint, OptionName, Options, PosixName, SemName, SysvId, SysvKey, UnixName};
use twixt_os::sysv::Key;
use twixt_os::{ErrorKind, Mode};

use crate::find::{Found, Identity};
use crate::{Error, Result, bus, nameless};

mod file;
mod posix;
mod sysv;

const MAKE: &str = "make";

/// Makes the object that the address names, with the options that the address carries. The
/// [crate's page](crate#what-can-be-made-and-removed) has the options of each kind.
///
/// The process's `umask` takes bits away from the mode of what lives in a file system, which is all but System V
/// objects.
///
/// # Errors
/// Those of [`Plan::new`] and [`Plan::make`].
pub fn make(address: &Address) -> Result<Made> {
    Plan::new(address)?.make()
}

/// An object to be made: the address was checked, and nothing was done.
#[derive(Clone, Debug)]
pub struct Plan {
    address: Address,
    mode: Mode,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Fifo,
    /// A plain file that is empty: `file:` and `lock:`.
    Empty,
    Mapped {
        size: u64,
    },
    Queue {
        key: Key,
        capacity: Option<u64>,
    },
    Set {
        key: Key,
        count: usize,
        value: u16,
    },
    Segment {
        key: Key,
        size: usize,
    },
    PosixQueue {
        name: OsString,
        limits: Option<twixt_os::posix::mq::Limits>,
    },
    PosixSemaphore {
        name: OsString,
        value: u32,
    },
    PosixMemory {
        name: OsString,
        size: u64,
    },
    OnBus {
        options: twixt_bus::Options,
    },
}

impl Plan {
    /// Checks whether an object can be made of the address and its options. Whether there is one already is seen when
    /// it is made. A key of the form `ftok=` is derived here.
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the address names nothing that stays, or an object that is there
    ///   already (`id=`); an option does not apply, or one is missing.
    /// - [`OutOfRange`](ErrorKind::OutOfRange): an option's value is not possible on this machine.
    /// - [`NotFound`](ErrorKind::NotFound): the file of `ftok=` is not there.
    pub fn new(address: &Address) -> Result<Self> {
        if let Some(refusal) = nameless::refusal(MAKE, address) {
            return Err(refusal);
        }
        let options = address.options();
        let what = match address.endpoint() {
            Endpoint::Fifo(_) => {
                if options.capacity().is_some() {
                    let why = "a FIFO has a capacity only while a process has it open";
                    return Err(invalid(address, why, "give capacity where it is opened"));
                }
                takes(address, &[])?;
                What::Fifo
            }
            Endpoint::File(_) | Endpoint::Lock(_) => {
                takes(address, &[])?;
                What::Empty
            }
            Endpoint::Mmap(_) => {
                takes(address, &[OptionName::Size])?;
                What::Mapped { size: size(address)? }
            }
            Endpoint::SysvMsg(key) => {
                takes(address, &[OptionName::Capacity])?;
                if options.capacity() == Some(0) {
                    let why = "a capacity of 0 bytes would let no message through";
                    let advice = "give more, or nothing for the default, kernel.msgmnb";
                    return Err(Error::refused(MAKE, address, ErrorKind::OutOfRange, why, advice));
                }
                What::Queue { key: key_of(address, key)?, capacity: options.capacity() }
            }
            Endpoint::SysvSem { index: Some(index), .. } => {
                let why = format!("/{index} is one semaphore of a set, and sets are made whole");
                return Err(invalid(address, why, "leave it out, and give count"));
            }
            Endpoint::SysvSem { key, index: None } => {
                takes(address, &[OptionName::Count, OptionName::Value])?;
                let value = u16::try_from(options.value().unwrap_or(0)).unwrap_or(u16::MAX);
                What::Set { key: key_of(address, key)?, count: options.count().unwrap_or(1) as usize, value }
            }
            Endpoint::SysvShm(key) => {
                takes(address, &[OptionName::Size])?;
                What::Segment { key: key_of(address, key)?, size: in_memory(address, size(address)?)? }
            }
            Endpoint::PosixMq(name) => {
                takes(address, &[OptionName::Capacity, OptionName::MessageSize])?;
                What::PosixQueue { name: name.as_os_str().to_owned(), limits: posix::limits(address)? }
            }
            Endpoint::PosixSem(name) => {
                takes(address, &[OptionName::Value])?;
                let value = u32::try_from(options.value().unwrap_or(0)).unwrap_or(u32::MAX);
                What::PosixSemaphore { name: name.as_os_str().to_owned(), value }
            }
            Endpoint::PosixShm(name) => {
                takes(address, &[OptionName::Size])?;
                no_semaphores_file(MAKE, address, name)?;
                What::PosixMemory { name: name.as_os_str().to_owned(), size: size(address)? }
            }
            Endpoint::Unix { name: UnixName::Path(_), .. } => {
                let why = "a socket and its file are made by the process that serves it";
                return Err(invalid(address, why, "start that process"));
            }
            Endpoint::Topic(_) => {
                takes(address, &[OptionName::Capacity, OptionName::Budget])?;
                bus::check(MAKE, address)?;
                What::OnBus { options: bus::bus_options(address) }
            }
            Endpoint::Queue(_) => {
                use OptionName::{Budget, Capacity, Retries, Visibility};
                takes(address, &[Capacity, Budget, Retries, Visibility])?;
                bus::check(MAKE, address)?;
                What::OnBus { options: bus::bus_options(address) }
            }
            Endpoint::Latest(_) => {
                takes(address, &[OptionName::MessageSize])?;
                What::OnBus { options: bus::bus_options(address) }
            }
            Endpoint::Rpc(_) => {
                takes(address, &[OptionName::Capacity])?;
                What::OnBus { options: bus::bus_options(address) }
            }
            // The others were refused above.
            _ => return Err(nameless::unknown(MAKE, address)),
        };
        let mode = options.mode().and_then(Mode::new).unwrap_or_default();
        Ok(Self { address: Address::from(address.endpoint().clone()), mode, what })
    }

    /// The same for options that come from elsewhere than an address.
    ///
    /// # Errors
    /// Those of [`Plan::new`]. That an address with such options cannot even be written is
    /// [`InvalidInput`](ErrorKind::InvalidInput) as well.
    pub fn with_options(endpoint: Endpoint, options: Options) -> Result<Self> {
        let bare = Address::from(endpoint.clone());
        if let Some(refusal) = nameless::refusal(MAKE, &bare) {
            return Err(refusal);
        }
        let address = Address::new(endpoint, options);
        let address =
            address.map_err(|error| invalid(&bare, error.why().to_owned(), error.right().to_owned()))?;
        Self::new(&address)
    }

    /// The address, without its options.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Makes the object. When it fails, nothing was made, or what was made is gone again.
    ///
    /// # Errors
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): it is there, or something else is at the path.
    /// - [`LimitReached`](ErrorKind::LimitReached): [`Error::limit`] names the limit.
    /// - [`NoSpace`](ErrorKind::NoSpace): the file system is full.
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied), [`NotFound`](ErrorKind::NotFound): of the directory.
    /// - What else the mechanism's `create` says.
    pub fn make(&self) -> Result<Made> {
        let (identity, key) = match (&self.what, self.address.endpoint()) {
            (What::Fifo, Endpoint::Fifo(path)) => (file::fifo(path.as_path(), self.mode)?, None),
            (What::Empty, Endpoint::File(path)) => {
                (file::empty(twixt_os::Mechanism::File, path, self.mode)?, None)
            }
            (What::Empty, Endpoint::Lock(path)) => {
                (file::empty(twixt_os::Mechanism::Lock, path, self.mode)?, None)
            }
            (What::Mapped { size }, Endpoint::Mmap(path)) => {
                (file::mapped(path.as_path(), *size, self.mode)?, None)
            }
            (What::Queue { key, capacity }, _) => (sysv::queue(*key, *capacity, self.mode)?, Some(*key)),
            (What::Set { key, count, value }, _) => (sysv::set(*key, *count, *value, self.mode)?, Some(*key)),
            (What::Segment { key, size }, _) => (sysv::segment(*key, *size, self.mode)?, Some(*key)),
            (What::PosixQueue { name, limits }, _) => (posix::queue(name, *limits, self.mode)?, None),
            (What::PosixSemaphore { name, value }, _) => (posix::semaphore(name, *value, self.mode)?, None),
            (What::PosixMemory { name, size }, _) => (posix::memory(name, *size, self.mode)?, None),
            (What::OnBus { options }, endpoint) => {
                let Some((kind, name)) = bus::name_of(endpoint) else {
                    return Err(nameless::unknown(MAKE, &self.address));
                };
                twixt_bus::make(kind, name, options)?;
                (Identity::OnBus(bus::Site::find(kind, name)?), None)
            }
            _ => return Err(nameless::unknown(MAKE, &self.address)),
        };
        // Only its identifier leads to an object without a key.
        let address = match (key, identity.sysv_id()) {
            (Some(Key::PRIVATE), Some(id)) => Address::from(by_id(self.address.endpoint(), id)),
            _ => self.address.clone(),
        };
        Ok(Made { found: Found::new(address, identity), key })
    }
}

/// An object that was made. It stays when this is dropped.
#[derive(Clone, Debug)]
pub struct Made {
    found: Found,
    key: Option<Key>,
}

impl Made {
    /// The address that leads to it, without options: the one it was made by, or `id=N` for one without a key.
    pub fn address(&self) -> &Address {
        self.found.address()
    }

    /// The kernel's identifier of a System V object.
    pub fn id(&self) -> Option<SysvId> {
        self.found.id()
    }

    /// The key of a System V object, also one that was derived from a file; none if it has none.
    pub fn key(&self) -> Option<Key> {
        self.key.filter(|key| !key.is_private())
    }

    /// The object, to look at it or remove it.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Removes it again, if the name still leads to this very object.
    ///
    /// # Errors
    /// Those of [`Found::remove`].
    pub fn undo(self) -> Result<()> {
        self.found.remove()
    }
}

fn by_id(endpoint: &Endpoint, id: SysvId) -> Endpoint {
    match endpoint {
        Endpoint::SysvMsg(_) => Endpoint::SysvMsg(SysvKey::Id(id)),
        Endpoint::SysvSem { index, .. } => Endpoint::SysvSem { key: SysvKey::Id(id), index: *index },
        Endpoint::SysvShm(_) => Endpoint::SysvShm(SysvKey::Id(id)),
        other => other.clone(),
    }
}

/// Refuses all options but `create`, `mode` and these.
fn takes(address: &Address, allowed: &[OptionName]) -> Result<()> {
    let common = [OptionName::Create, OptionName::Mode];
    let mut given = address.options().given();
    let Some(odd) = given.find(|name| !common.contains(name) && !allowed.contains(name)) else {
        return Ok(());
    };
    let names: Vec<&str> = [OptionName::Mode].iter().chain(allowed).map(|name| name.as_str()).collect();
    let why = format!("option {odd} says nothing about an object that is made");
    Err(invalid(address, why, format!("what can be said is {}", names.join(", "))))
}

fn invalid(
    address: &Address,
    why: impl Into<Cow<'static, str>>,
    advice: impl Into<Cow<'static, str>>,
) -> Error {
    Error::refused(MAKE, address, ErrorKind::InvalidInput, why, advice)
}

fn size(address: &Address) -> Result<u64> {
    let missing = || invalid(address, "its size is missing", "give size, in bytes, or with k, M or G");
    address.options().size().ok_or_else(missing)
}

fn in_memory(address: &Address, bytes: u64) -> Result<usize> {
    let too_large = |_| {
        let why = format!("size {bytes} is more than the addresses of this machine reach");
        Error::refused(MAKE, address, ErrorKind::OutOfRange, why, "ask for less")
    };
    usize::try_from(bytes).map_err(too_large)
}

/// The key to make an object with.
fn key_of(address: &Address, key: &SysvKey) -> Result<Key> {
    match key {
        SysvKey::Id(id) => {
            let why = format!(
                "id={id} names an object that is there, and the kernel chooses the number of a new one"
            );
            Err(invalid(address, why, "give a key, or private"))
        }
        SysvKey::Private => Ok(Key::PRIVATE),
        SysvKey::Key(key) => Ok(Key::new(key.get()).unwrap_or(Key::PRIVATE)),
        SysvKey::Ftok { path, project } => Ok(Key::from_path(path.as_path(), project.get())?),
    }
}

/// Refuses shared memory that would be the file of a semaphore.
pub(crate) fn no_semaphores_file(operation: &'static str, address: &Address, name: &PosixName) -> Result<()> {
    let Some(semaphore) = name.as_os_str().as_bytes().strip_prefix(b"/sem.") else { return Ok(()) };
    let why = "the files of POSIX semaphores have names that begin with sem.";
    let semaphore = SemName::new(OsStr::from_bytes(&[b"/", semaphore].concat()));
    let advice = match semaphore {
        Ok(name) => format!("the semaphore is {}", Endpoint::PosixSem(name)),
        // No semaphore has this file.
        Err(_) => "choose another name".to_owned(),
    };
    Err(Error::refused(operation, address, ErrorKind::InvalidInput, why, advice))
}
