//! The names under which the parties of a demonstration find each other's objects.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twixt_os::sysv::Key;

use crate::failure::Failure;

/// Names for the objects of one demonstration: unique ones for a tour, agreed ones for two terminals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// A directory that only this user can write to; all paths lie in it.
    pub(crate) directory: PathBuf,
    /// Part of every name that does not lie in the directory.
    pub(crate) tag: String,
    /// The first of a few successive System V keys.
    pub(crate) first_key: i32,
    /// The port of Internet sockets on the loopback interface; 0 lets the kernel choose.
    pub(crate) port: u16,
}

/// How the tags of unique names begin.
pub(crate) const TAG: &str = "twixt-tour-";

/// The first key of two terminals of root; each user has keys of its own above it.
const AGREED_KEY: i32 = 123_456;

/// The port on which two terminals meet.
const AGREED_PORT: u16 = 7478;

impl Names {
    /// The names under which two terminals of the same user meet: always the same ones.
    ///
    /// # Errors
    /// The directory cannot be made, or somebody else could write to it.
    pub fn agreed() -> Result<Self, Failure> {
        let uid = rustix::process::getuid().as_raw();
        let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let directory = base.unwrap_or_else(std::env::temp_dir).join(format!("twixt-{uid}"));
        if !make_private(&directory)? {
            only_ours(&directory)?;
        }
        let first_key = AGREED_KEY.wrapping_add(uid.wrapping_mul(16).cast_signed());
        Ok(Self { directory, tag: format!("twixt-{uid}"), first_key, port: AGREED_PORT })
    }

    /// Names that nobody else uses; the key is the first of a few.
    pub(crate) fn unique(directory: PathBuf, tag: String, key: Key) -> Self {
        Self { directory, tag, first_key: key.as_raw(), port: 0 }
    }

    /// A path in the demonstration's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The name of a POSIX object: `/TAG-NAME`.
    pub(crate) fn posix(&self, name: &str) -> String {
        format!("/{}-{name}", self.tag)
    }

    /// An abstract socket name.
    pub(crate) fn abstract_name(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// The System V key number `index`.
    pub(crate) fn key(&self, index: i32) -> Key {
        Key::new(self.first_key.wrapping_add(index)).unwrap_or(Key::PRIVATE)
    }
}

/// Makes a directory that only this user can enter; `false` if there is something with that name.
pub(crate) fn make_private(directory: &Path) -> Result<bool, Failure> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => {
            let path = directory.display();
            Err(Failure::wrong(format_args!("cannot make the directory {path}: {error}")))
        }
    }
}

/// Refuses a directory in which somebody else may have laid traps.
pub(crate) fn only_ours(directory: &Path) -> Result<(), Failure> {
    let metadata = fs::symlink_metadata(directory)?;
    let uid = rustix::process::getuid().as_raw();
    if metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let path = directory.display();
    Err(Failure::wrong(format_args!(
        "cannot use {path}: it is not a directory that only this user can enter; remove it"
    )))
}
