//! Removing a name at the end of a scope.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, open, openat, unlinkat};

use crate::file::Identity;
use crate::file::whole::directory_of;
use crate::maker::Maker;
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result};

/// Removes the name of a FIFO or a Unix socket when dropped: in the process that made the guard, and if the name still
/// stands for the same file. A forked child that drops its copy removes nothing.
///
/// It holds the directory, so it finds the name also after a `chdir(2)` or when the directory was renamed. Between
/// looking and removing somebody may still replace the file, as the kernel has no call that does both.
///
/// ```
/// use twixt_os::unix::{Address, StreamListener};
/// use twixt_os::{Mode, fifo::Fifo};
/// # let scratch = twixt_testkit::scratch();
/// # let (path, socket) = (scratch.path().join("fifo"), scratch.path().join("socket"));
///
/// let guard = Fifo::create(&path, Mode::OWNER)?.unlink_on_drop()?;
/// assert!(path.exists());
/// drop(guard);
/// assert!(!path.exists());
///
/// let listener = StreamListener::bind(&Address::path(&socket)?)?;
/// drop(listener.unlink_on_drop()?);
/// assert!(!socket.exists());
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the name is removed when this is dropped"]
pub struct UnlinkGuard {
    directory: OwnedFd,
    name: PathBuf,
    /// Keeps the inode, so that its number cannot come to stand for another file.
    inode: OwnedFd,
    path: PathBuf,
    /// The process in which dropping removes; none once it is not to happen any more.
    maker: Option<Maker>,
    mechanism: Mechanism,
    object: Object,
}

const REMOVE: &str = "remove";

impl UnlinkGuard {
    /// A guard over the name that `path` ends with, for the file that `inode` was opened by.
    pub(crate) fn new(
        mechanism: Mechanism,
        path: &Path,
        inode: OwnedFd,
        object: Object,
    ) -> Result<Self, Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(directory_of(path), flags, rustix::fs::Mode::empty())?;
        // The working directory may change; and where it is gone, the path is for showing only.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { directory, name: name.into(), inode, path, maker: Some(Maker::this()), mechanism, object })
    }

    /// The path of the file that will be removed, as it was when the guard was made.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name now, and says how that went.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if nothing is there, [`Removed`](ErrorKind::Removed) if something else is,
    /// which is left alone; [`PermissionDenied`](ErrorKind::PermissionDenied).
    pub fn remove(mut self) -> Result<()> {
        self.maker = None;
        self.unlink()
    }

    /// Leaves the name alone after all.
    pub fn keep(mut self) {
        self.maker = None;
    }

    fn unlink(&self) -> Result<()> {
        let error = |errno| Error::kernel(self.mechanism, REMOVE, self.object.clone(), errno);
        let inode = Identity::of_open(&self.inode).map_err(error)?;
        if Identity::of_entry(&self.directory, &self.name).map_err(error)? != inode {
            let (kind, why) = (ErrorKind::Removed, "another file has taken its name");
            return Err(Error::refused(self.mechanism, REMOVE, self.object.clone(), kind, why));
        }
        unlinkat(&self.directory, &self.name, AtFlags::empty()).map_err(error)
    }
}

impl Drop for UnlinkGuard {
    fn drop(&mut self) {
        if self.maker.is_some_and(Maker::is_this) {
            // Somebody else has removed or replaced it, or may forbid it: nothing that a drop could do about.
            let _ = self.unlink();
        }
    }
}

/// Opens what a path names, without following a link at its end: neither for reading nor for writing, but to hold it.
pub(crate) fn hold(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, rustix::fs::Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::fifo::Fifo;

    #[test]
    fn the_copy_of_a_forked_child_removes_nothing() {
        let scratch = twixt_testkit::scratch();
        let path = scratch.path().join("fifo");
        let fifo = Fifo::create(&path, Mode::OWNER).unwrap();
        let mut inherited = fifo.unlink_on_drop().unwrap();
        inherited.maker = Some(Maker::another());
        drop(inherited);
        assert!(path.exists());
    }
}
