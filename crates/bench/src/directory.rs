//! The directory of a run, and what is left of runs whose conductor was killed.
//!
//! A directory holds a *claim*: a file that its conductor keeps locked as long as it lives, and in which stands what it
//! runs. A claim with something in it that nobody holds was therefore left behind, and tells how to tidy up.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use twixt_os::lock::{Kind, LockFile};

use crate::{Failure, Registry, Result, Setup};

const PREFIX: &str = "twixt-bench-";
const CLAIM: &str = "claim";

/// A directory of one run, in memory where there is such a file system. It goes with what is in it.
pub(crate) struct Directory {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    _claim: LockFile,
}

impl Directory {
    /// Makes one. What is to be run in it is written to its claim by [`claim`](Self::claim).
    pub(crate) fn new() -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{count}", std::process::id());
            let path = place().join(&name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // Of an earlier process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            }
            let claim = LockFile::try_acquire(path.join(CLAIM), Kind::Exclusive);
            let claim = claim.inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
            return Ok(Self { name, path, _claim: claim });
        }
    }

    /// Notes what is run, for whoever has to tidy up after this process.
    pub(crate) fn claim(&self, setup: &Setup) -> Result<()> {
        let text = serde_json::to_vec(setup).map_err(Failure::failed)?;
        Ok(fs::write(self.path.join(CLAIM), text)?)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Where they are made.
fn place() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}

/// Removes what killed conductors of this user have left behind.
pub(crate) fn remove_leftovers(registry: &Registry) {
    let Ok(entries) = fs::read_dir(place()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if let Some((setup, _claim)) = left_behind(&entry.path(), name) {
            if let Ok(entry) = registry.find(&setup.transport) {
                entry.clean(&setup);
            }
            let _ = fs::remove_dir_all(&setup.directory);
        }
    }
}

/// What was run in a directory, if nobody runs it any more; and its claim, so that nobody else tidies up at once.
fn left_behind(path: &Path, name: &str) -> Option<(Setup, LockFile)> {
    let found = fs::symlink_metadata(path).ok()?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    let file = path.join(CLAIM);
    // Without a claim, or with an empty one, it may be just being made.
    if !is_ours || !fs::symlink_metadata(&file).is_ok_and(|claim| claim.is_file() && claim.len() > 0) {
        return None;
    }
    let claim = LockFile::try_acquire(&file, Kind::Exclusive).ok()?;
    let setup: Setup = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
    // Whatever stands in it, no more is removed than what bears this name.
    Some((Setup { name: name.to_owned(), directory: path.to_owned(), ..setup }, claim))
}
