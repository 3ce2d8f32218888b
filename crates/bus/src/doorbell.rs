//! A descriptor that becomes readable, for those that wait with `poll(2)` and its like: a FIFO beside a participant's file.
//!
//! Who waits arms its bell ([`Bell::arm`](crate::bell::Bell::arm)); who rings that and finds it armed writes a byte.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fchmod, fstat, mkfifoat, open};
use twixt_os::{Errno, Result};

use crate::error::kernel;

/// What the name of each ends with.
const EXTENSION: &str = ".bell";

/// The side that polls.
pub(crate) struct Doorbell {
    fifo: OwnedFd,
    path: PathBuf,
}

impl Doorbell {
    /// Makes it, or takes over what another of the same place has left, for those to ring whom `mode` lets write, whatever the
    /// umask is.
    pub(crate) fn make(path: PathBuf, mode: Mode) -> Result<Self> {
        let failed = |errno| kernel("make the doorbell", &path, errno);
        match mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        // For both directions, so that it never is at an end.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fifo = open(&path, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&fifo).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
            return Err(failed(Errno::EXIST));
        }
        fchmod(&fifo, mode).map_err(failed)?;
        Ok(Self { fifo, path })
    }

    /// Makes it silent again.
    pub(crate) fn drain(&self) {
        let mut drained = [0; 64];
        while rustix::io::read(&self.fifo, &mut drained).is_ok_and(|len| len > 0) {}
    }

    /// Makes it readable from within.
    pub(crate) fn ring(&self) {
        // A full one is readable already.
        let _ = rustix::io::write(&self.fifo, &[1]);
    }

    /// Takes its name away.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}

/// Makes the doorbell of that path readable, if there is one.
pub(crate) fn ring(path: &Path) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // No such file: it has none. ENXIO: nobody has it open.
    let Ok(bell) = open(path, flags, Mode::empty()) else { return };
    // Nothing is written into what only stands where one would be.
    if fstat(&bell).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo) {
        // A full one is readable already.
        let _ = std::fs::File::from(bell).write(&[1]);
    }
}

/// Makes those doorbells in a directory readable whose names are wanted.
pub(crate) fn ring_all(directory: &Path, is_wanted: impl Fn(&str) -> bool) {
    // Whoever cannot be found now looks by itself before long.
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| is_wanted(name) && name.ends_with(EXTENSION)) {
            ring(&entry.path());
        }
    }
}
