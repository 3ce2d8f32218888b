//! FIFOs, also called named pipes: pipes that unrelated processes find by a path. `fifo(7)`.
//!
//! ```
//! # use std::time::Duration;
//! use twixt_os::{Mode, fifo::Fifo};
//!
//! # let path = std::env::temp_dir().join(format!("twixt-doc-fifo-{}", std::process::id()));
//! let fifo = Fifo::create(&path, Mode::OWNER)?;
//! let _guard = fifo.unlink_on_drop()?;
//!
//! // The other process, here a thread. Each open waits for the other.
//! let sender = std::thread::spawn({
//!     let path = path.clone();
//!     move || -> Result<(), twixt_os::Error> {
//!         let writer = Fifo::open(&path)?.open_write()?;
//!         Ok(writer.write_all(b"ping")?)
//!     }
//! });
//! let reader = fifo.open_read()?;
//! let mut buffer = [0; 64];
//! assert_eq!(reader.read(&mut buffer)?, 4);
//! assert_eq!(reader.read(&mut buffer)?, 0, "the writer has gone");
//! sender.join().unwrap()?;
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! # The name and the ends
//!
//! A [`Fifo`] is the name: it holds no data, and nobody waits for it. Opening it to read or to write gives an end of
//! the pipe, a [`Reader`] or [`Writer`], with all that [`pipe`](crate::pipe) says of them. The data lives in memory
//! and only as long as some process has an end open; the name stays until it is removed.
//!
//! # Opening
//!
//! | | there is a partner | nobody yet |
//! |---|---|---|
//! | [`open_read`](Fifo::open_read) (`O_RDONLY`) | at once | waits for a writer |
//! | [`open_write`](Fifo::open_write) (`O_WRONLY`) | at once | waits for a reader |
//! | [`try_open_read`](Fifo::try_open_read) | at once | [`NoPeer`](crate::ErrorKind::NoPeer) |
//! | [`try_open_write`](Fifo::try_open_write) (`O_WRONLY｜O_NONBLOCK`) | at once | [`NoPeer`](crate::ErrorKind::NoPeer) (`ENXIO`) |
//! | [`open_read_now`](Fifo::open_read_now) (`O_RDONLY｜O_NONBLOCK`) | at once | at once: reads give 0 until a writer comes |
//! | [`open_read_write`](Fifo::open_read_write) (`O_RDWR`) | at once | at once: never an end of the data |
//!
//! # What is refused
//!
//! Anything that is not a FIFO, symbolic links among them: it is looked at before it is opened, so that a device
//! that someone put at the path is not touched.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Stat, fstat, mknodat};

use crate::file::hold;
use crate::pipe::{Reader, Writer};
use crate::{Errno, Error, ErrorKind, Mechanism, Mode, Object, Result};

mod open;

pub use crate::file::UnlinkGuard;

/// A FIFO by its name: the inode that stood at the path when this was made.
///
/// It stays the same FIFO if the path is renamed, removed or taken by another one.
///
/// ```
/// use twixt_os::{ErrorKind, Mode, fifo::Fifo};
/// # let scratch = twixt_testkit::scratch();
/// # let path = scratch.path().join("fifo");
///
/// let fifo = Fifo::create(&path, Mode::OWNER)?;
/// assert_eq!(Fifo::create(&path, Mode::OWNER).unwrap_err().kind(), ErrorKind::AlreadyExists);
/// assert_eq!(fifo.try_open_write().unwrap_err().kind(), ErrorKind::NoPeer);
/// let (reader, writer) = fifo.open_read_write()?;
/// writer.write_all(b"to myself")?;
/// assert_eq!(reader.read(&mut [0; 64])?, 9);
/// fifo.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// See `fifo(7)`, `mkfifo(3)`.
#[derive(Debug)]
pub struct Fifo {
    /// Opened with `O_PATH`: it refers to the inode without opening the pipe.
    inode: OwnedFd,
    path: PathBuf,
    object: Object,
}

const CREATE: &str = "create";
const OPEN: &str = "open";

impl Fifo {
    /// Makes a FIFO at a path where nothing is yet: `mkfifo(3)`, `mknod(2)` with `S_IFIFO`.
    ///
    /// The process's `umask` takes bits away from `mode`.
    ///
    /// # Errors
    /// * [`AlreadyExists`](ErrorKind::AlreadyExists): something is there, a dangling symbolic link too.
    /// * [`NotFound`](ErrorKind::NotFound): a directory on the way is not there.
    /// * [`PermissionDenied`](ErrorKind::PermissionDenied): the directory cannot be written, or the file system is
    ///   read-only.
    /// * [`NoSpace`](ErrorKind::NoSpace), [`LimitReached`](ErrorKind::LimitReached) (the user's quota),
    ///   [`Unsupported`](ErrorKind::Unsupported): the file system's word.
    #[doc(alias = "mkfifo")]
    #[doc(alias = "mknod")]
    pub fn create(path: impl AsRef<Path>, mode: Mode) -> Result<Self> {
        let path = path.as_ref();
        make(path, mode).map_err(|errno| explain_create(path, errno))?;
        Self::find(path, CREATE)
    }

    /// Finds the FIFO at a path. Opens neither end.
    ///
    /// # Errors
    /// * [`NotFound`](ErrorKind::NotFound): nothing is there.
    /// * [`InvalidInput`](ErrorKind::InvalidInput): it is something else, or a symbolic link.
    /// * [`PermissionDenied`](ErrorKind::PermissionDenied): a directory on the way cannot be searched.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::find(path.as_ref(), OPEN)
    }

    /// Finds the FIFO at a path, or makes it if nothing is there. The mode is for a new one.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`create`](Self::create), except that it is or is not there.
    pub fn open_or_create(path: impl AsRef<Path>, mode: Mode) -> Result<Self> {
        let path = path.as_ref();
        loop {
            match make(path, mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(explain_create(path, errno)),
            }
            match Self::find(path, OPEN) {
                // Removed in between: then it is to be made.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => return outcome,
            }
        }
    }

    fn find(path: &Path, operation: &'static str) -> Result<Self> {
        let object = Object::path(path);
        let error = |errno| Error::kernel(Mechanism::Fifo, operation, object.clone(), errno);
        let refuse = |why: &'static str| {
            Err(Error::refused(Mechanism::Fifo, operation, object.clone(), ErrorKind::InvalidInput, why))
        };
        let inode = hold(path).map_err(error)?;
        match FileType::from_raw_mode(fstat(&inode).map_err(error)?.st_mode) {
            FileType::Fifo => {}
            FileType::Symlink => return refuse("it is a symbolic link, which is not followed"),
            _ => return refuse("what is there is not a FIFO"),
        }
        Ok(Self { inode, path: path.to_owned(), object })
    }

    /// The path that it was made or found by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its permissions.
    ///
    /// # Errors
    /// None in practice.
    pub fn mode(&self) -> Result<Mode> {
        Ok(Mode::permissions_of(self.stat()?.st_mode))
    }

    /// Its owner's user and group id.
    ///
    /// # Errors
    /// None in practice.
    pub fn owner(&self) -> Result<(u32, u32)> {
        let stat = self.stat()?;
        Ok((stat.st_uid, stat.st_gid))
    }

    /// Removes the name, if it still stands for this FIFO. The ends that are open stay usable.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if nothing is at the path, [`Removed`](ErrorKind::Removed) if something
    /// else is; [`PermissionDenied`](ErrorKind::PermissionDenied).
    #[doc(alias = "unlink")]
    pub fn remove(&self) -> Result<()> {
        self.unlink_on_drop()?.remove()
    }

    /// A guard that removes the name when it is dropped, if the name still stands for this FIFO then, and only in
    /// this process: a forked child that drops its copy removes nothing.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the directory has gone;
    /// [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_NOFILE`.
    pub fn unlink_on_drop(&self) -> Result<UnlinkGuard> {
        let error = |errno| self.error("remove", errno);
        let inode = self.inode.try_clone().map_err(|_| error(Errno::MFILE))?;
        UnlinkGuard::new(Mechanism::Fifo, &self.path, inode, self.object.clone()).map_err(error)
    }

    fn stat(&self) -> Result<Stat> {
        fstat(&self.inode).map_err(|errno| self.error("look at", errno))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(Mechanism::Fifo, operation, self.object.clone(), errno)
    }

    fn refuse(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(Mechanism::Fifo, operation, self.object.clone(), kind, why)
    }
}

/// The descriptor refers to the name (`O_PATH`): it can be looked at and passed on, not read or written.
impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inode.as_fd()
    }
}

fn make(path: &Path, mode: Mode) -> Result<(), Errno> {
    mknodat(CWD, path, FileType::Fifo, mode.to_rustix(), 0)
}

fn explain_create(path: &Path, errno: Errno) -> Error {
    let error = Error::kernel(Mechanism::Fifo, CREATE, Object::path(path), errno);
    // What mknod(2) says where the file system has no such files; lacking permission is EACCES.
    if errno == Errno::PERM { error.with_kind(ErrorKind::Unsupported) } else { error }
}
