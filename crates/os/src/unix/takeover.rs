//! Replacing a socket file that its server left behind.
//!
//! The argument: a socket file is live as long as a socket is bound to its inode, and once that is gone the inode stays
//! dead, since binding always makes a new one. `connect(2)` finds the bound socket by the inode and fails with
//! `ECONNREFUSED` if there is none. For a stream socket that is bound but does not listen yet it would say the same; so
//! the probe is a datagram socket: for any bound socket of another type it is told `EPROTOTYPE`, and for a datagram
//! socket it succeeds or is told `EPERM`.
//!
//! Between probe and removal somebody may put a live socket in the dead one's place. So the file is first renamed to a
//! name that nobody else uses, then probed again under that name, then removed; a live one is renamed back.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode as FileMode, OFlags, RenameFlags, Stat, flock, lstat,
    openat, renameat_with, unlinkat,
};

use crate::file::regular;
use crate::file::whole::temporary_beside;
use crate::unix::Address;
use crate::unix::bind::bind_error;
use crate::unix::socket::{Socket, make};
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result, Wait};

/// Makes way for `bind` at a path, if what is there is stale, and binds.
pub(super) fn bind(
    socket: &Socket,
    address: &Address,
    wait: Wait,
    bind: impl Fn() -> Result<(), Errno>,
) -> Result<()> {
    let Some(path) = address.as_path() else {
        return Err(socket.refuse("bind", ErrorKind::InvalidInput, "its address is not a path"));
    };
    let _lock = Lock::take(socket, path, wait)?;
    if let Some(stat) = stat(path).map_err(|errno| bind_error(socket, errno, true))? {
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            let why = "a file that is not a socket has that path";
            return Err(socket.refuse("bind", ErrorKind::AlreadyExists, why));
        }
        match is_stale(address) {
            Ok(true) => remove(socket, path)?,
            Ok(false) => return Err(in_use(socket)),
            Err(errno) => return Err(socket.error("find out whether anybody listens on", errno)),
        }
    }
    bind().map_err(|errno| bind_error(socket, errno, true))
}

fn in_use(socket: &Socket) -> Error {
    socket
        .error("bind", Errno::ADDRINUSE)
        .with_advice("its server is alive; stop that one, or choose another name")
}

fn stat(path: &Path) -> Result<Option<Stat>, Errno> {
    match lstat(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether no socket is bound to the file any more. That of another type than socket must not be asked.
fn is_stale(address: &Address) -> Result<bool, Errno> {
    let probe = make(Mechanism::UnixDatagram)?;
    match rustix::net::connect(&probe, address.raw()) {
        Err(Errno::CONNREFUSED) => Ok(true),
        // Removed, or replaced by nothing: not stale, but no longer there. `bind` will tell.
        Err(Errno::NOENT) => Ok(true),
        Ok(()) | Err(Errno::PROTOTYPE | Errno::PERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Removes a stale socket file, and nothing that has taken its place meanwhile.
fn remove(socket: &Socket, path: &Path) -> Result<()> {
    let fail = |errno| socket.error("remove the stale path of", errno);
    let aside = temporary_beside(path).map_err(fail)?;
    match renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(fail(errno)),
    }
    let is_socket = stat(&aside)
        .map_err(fail)?
        .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    if is_socket && is_stale_at(&aside).map_err(fail)? {
        return unlinkat(CWD, &aside, AtFlags::empty()).map_err(fail);
    }
    // Somebody was faster, and is alive: put it back.
    match renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Err(in_use(socket)),
        Err(errno) => Err(fail(errno)),
    }
}

/// As [`is_stale`], for a path that may be longer than an address.
fn is_stale_at(path: &Path) -> Result<bool, Errno> {
    if let Ok(address) = Address::path(path) {
        return is_stale(&address);
    }
    let directory = path.parent().ok_or(Errno::INVAL)?;
    let directory = openat(CWD, directory, OFlags::PATH | OFlags::CLOEXEC, FileMode::empty())?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    is_stale(&Address::in_directory(&directory, name).map_err(|_| Errno::NAMETOOLONG)?)
}

/// The lock beside the path, held until dropped.
struct Lock {
    path: PathBuf,
    file: File,
    /// Whether this process made the file, and so has to remove it.
    made: bool,
}

/// Why there is no lock.
enum Unopened {
    /// No file can be made there.
    Directory(Errno),
    /// The lock's file is there and cannot be opened.
    File(Errno),
}

impl Lock {
    fn take(socket: &Socket, path: &Path, wait: Wait) -> Result<Self> {
        let mut name = OsString::from(path);
        name.push(".lock");
        let path = PathBuf::from(name);
        let fail = |errno| {
            Error::kernel(Mechanism::Lock, "take", Object::path(&path), errno).with_descriptor_limit()
        };
        loop {
            let lock = Self::open(&path).map_err(|unopened| match unopened {
                // The socket file could not be made either, and that is what the user wants.
                Unopened::Directory(errno) => bind_error(socket, errno, true),
                Unopened::File(errno) => fail(errno),
            })?;
            wait.with_backoff(|| match flock(&lock.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => Err(Errno::AGAIN),
                outcome => outcome,
            })
            .map_err(|errno| {
                fail(errno).with_advice("another process is binding to the path that it guards")
            })?;
            // The holder before may have removed the file: a lock on it would then guard nothing.
            if regular::names(&lock.path, lock.file.as_fd()) {
                return Ok(lock);
            }
        }
    }

    fn open(path: &Path) -> Result<Self, Unopened> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = FileMode::RUSR | FileMode::WUSR;
        loop {
            let (file, made) = match openat(CWD, path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
                Ok(file) => (file, true),
                Err(Errno::EXIST) => match openat(CWD, path, flags, FileMode::empty()) {
                    Ok(file) => (file, false),
                    // Removed between the two attempts.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(Unopened::File(errno)),
                },
                Err(errno) => return Err(Unopened::Directory(errno)),
            };
            return Ok(Self { path: path.to_owned(), file: file.into(), made });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked, so whoever waits for it will see that the file has gone.
        if self.made && regular::names(&self.path, self.file.as_fd()) {
            let _ = unlinkat(CWD, &self.path, AtFlags::empty());
        }
    }
}
