//! Who conducts under which names, so that what a killed conductor has left behind can be told from what is in use.

use std::fs;
use std::path::{Path, PathBuf};

use twixt_os::lock::{Kind, LockFile};
use twixt_os::sysv::Key;

use crate::demonstrations::demonstrations;
use crate::failure::Failure;
use crate::names::{Names, TAG};

/// The right to use some names, for as long as this is held and the process lives.
///
/// It is the lock of a file that holds a word from the taking of the claim to its release. A file with the word in it
/// whose lock is free was therefore left behind by a process that could not release it.
#[derive(Debug)]
pub(crate) struct Claim {
    lock: LockFile,
    /// Whether an earlier holder was killed: its objects may be there still.
    pub(crate) inherited: bool,
}

impl Claim {
    /// Takes the claim that the file stands for, unless somebody holds it: then `None`.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, Failure> {
        let lock = match LockFile::try_acquire(path, Kind::Exclusive) {
            Err(error) if error.kind() == twixt_os::ErrorKind::WouldBlock => return Ok(None),
            lock => lock?,
        };
        let inherited = fs::metadata(path)?.len() > 0;
        if let Err(error) = fs::write(path, "claimed\n") {
            let _ = lock.remove();
            return Err(Failure::wrong(format_args!(
                "cannot write {}: {error}; make room there",
                path.display()
            )));
        }
        Ok(Some(Self { lock, inherited }))
    }

    /// Gives the claim back, and its file with it.
    pub(crate) fn release(self) {
        // If it cannot be removed it stays with its word, and the next one tidies up for nothing.
        let _ = self.lock.remove();
    }
}

/// The claim of a tour on one of its directories.
pub(crate) const CLAIM: &str = "claim";

/// Removes the objects and directories of tours that were killed.
///
/// A directory counts only if it is this user's and its claim is free.
pub(crate) fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for names in entries.flatten().filter_map(|entry| left_behind(&entry.path())) {
        for demonstration in demonstrations() {
            demonstration.remove(&names);
        }
        let _ = fs::remove_dir_all(&names.directory);
    }
}

/// The names of a killed tour, if the path is its directory. The claim is not released: it goes with the directory.
fn left_behind(directory: &Path) -> Option<Names> {
    let tag = directory.file_name()?.to_str()?;
    let key = tag.strip_prefix(TAG)?.rsplit_once('-')?.1;
    let key = u32::from_str_radix(key, 16).ok()?.cast_signed();
    crate::names::only_ours(directory).ok()?;
    let path = directory.join(CLAIM);
    // Without a claim it may be one that is just being made.
    fs::symlink_metadata(&path).ok()?;
    let claim = Claim::take(&path).ok()??;
    claim
        .inherited
        .then(|| Names::unique(directory.to_owned(), tag.to_owned(), Key::new(key).unwrap_or(Key::PRIVATE)))
}

/// Makes a fresh directory that only this user can enter, with names that nobody else uses, and claims it.
pub(crate) fn unique_names() -> Result<(Names, Claim), Failure> {
    loop {
        let key = Key::random()?;
        let tag = format!("{TAG}{}-{:08x}", std::process::id(), key.as_raw());
        let directory: PathBuf = std::env::temp_dir().join(&tag);
        if crate::names::make_private(&directory)? {
            // Nobody else can know of it yet but a tidying tour, which leaves alone what has no claim.
            let claim =
                Claim::take(&directory.join(CLAIM)).inspect_err(|_| drop(fs::remove_dir(&directory)))?;
            let claim = claim
                .ok_or_else(|| Failure::wrong("somebody has claimed a directory that was made just now"))?;
            return Ok((Names::unique(directory, tag, key), claim));
        }
    }
}
