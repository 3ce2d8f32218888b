//! Telling a file from another that has got its name.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Stat, fstat, statat};

use crate::Errno;

/// Device and inode number: no other file has both, as long as this one exists or is open somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }

    /// Of an open file.
    pub(crate) fn of_open(file: impl AsFd) -> Result<Self, Errno> {
        Ok(Self::of(&fstat(file)?))
    }

    /// Of what a path names, which is not followed if it is a link.
    pub(crate) fn of_path(path: &Path) -> Result<Self, Errno> {
        Self::of_entry(CWD, path)
    }

    /// Of what a name in a directory stands for.
    pub(crate) fn of_entry(directory: impl AsFd, name: &Path) -> Result<Self, Errno> {
        Ok(Self::of(&statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }
}
