//! FIFOs and regular files.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, mknodat};
use twixt_address::FilePath;
use twixt_os::fifo::Fifo;
use twixt_os::{ErrorKind, Mechanism, Mode, Object, mmap};

use crate::Result;
use crate::find::{Identity, Inode, Kind};

pub(super) fn fifo(path: &Path, mode: Mode) -> Result<Identity> {
    let fifo = Fifo::create(path, mode)?;
    Ok(Identity::file(Kind::Fifo, path, Inode::of_descriptor(fifo.as_fd()).ok()))
}

/// A regular file is made without being opened, which `mknod(2)` does. It fails for whatever is there already, a
/// dangling symbolic link too.
pub(super) fn empty(mechanism: Mechanism, path: &FilePath, mode: Mode) -> Result<Identity> {
    let path = path.as_path();
    let raw = rustix::fs::Mode::from_raw_mode(mode.bits());
    mknodat(CWD, path, FileType::RegularFile, raw, 0)
        .map_err(|errno| twixt_os::Error::kernel(mechanism, "create", Object::path(path), errno))?;
    Ok(Identity::file(Kind::Regular(mechanism), path, Inode::of_path(path).ok()))
}

pub(super) fn mapped(path: &Path, size: u64, mode: Mode) -> Result<Identity> {
    let Ok(len) = usize::try_from(size) else {
        let why = "it is larger than the addresses of this machine reach";
        let (mechanism, kind) = (Mechanism::Mmap, ErrorKind::OutOfRange);
        let error = twixt_os::Error::refused(mechanism, "create", Object::path(path), kind, why);
        return Err(error.with_advice("ask for less").into());
    };
    // Mapping is not what is wanted here, so little of it is mapped: more could fail when the file is there already.
    let file = mmap::Options::new().mode(mode).len(1).create(path, len)?;
    Ok(Identity::file(Kind::Regular(Mechanism::Mmap), path, Inode::of_descriptor(file.as_fd()).ok()))
}
