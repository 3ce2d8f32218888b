//! Who holds the locks of a file: `/proc/locks` and the descriptors of all processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::{ByteRange, File, Kind};
use crate::{Errno, Error, Mechanism, Object, Result};

/// Which of the three families a lock belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `flock(2)`: on the whole file, of an open file description.
    Flock,
    /// `F_OFD_SETLK`: on a range, of an open file description.
    Ofd,
    /// `F_SETLK`, `lockf(3)`: on a range, of a process.
    Posix,
}

/// A process that holds a lock, or waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The process; unknown if it is one whose descriptors could not be read, or in a process namespace that cannot be
    /// seen from here.
    pub pid: Option<i32>,
    /// The family.
    pub class: Class,
    /// The kind.
    pub kind: Kind,
    /// The bytes; all of them for [`Class::Flock`].
    pub range: ByteRange,
}

/// What [`holders`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// Each process that has a lock. One lock has several entries where processes share its open file description.
    pub holders: Vec<Holder>,
    /// Each process that waits for a lock in the kernel. Those that wait with a deadline try again now and then, and are
    /// not seen here.
    pub waiters: Vec<Holder>,
    /// How many processes there were whose descriptors this process may not look at.
    pub unreadable: usize,
}

/// Who holds locks on a file, and who waits for them.
///
/// It reads `/proc/locks` and looks through the descriptors of all processes, and takes as long as that takes. It is a
/// series of looks at a moving thing: a lock may change hands meanwhile.
///
/// ```
/// use twixt_os::lock::{self, Class, Kind, LockFile};
/// # let directory = twixt_testkit::scratch();
/// # let path = directory.path().join("daemon.lock");
/// let _held = LockFile::acquire(&path, Kind::Exclusive)?;
/// let found = lock::holders(&path)?;
/// let own = Some(std::process::id().cast_signed());
/// assert!(found.holders.iter().any(|holder| holder.pid == own && holder.class == Class::Flock));
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound) if there is no such file; others as `stat(2)`, and those of reading `/proc/locks`.
#[doc(alias = "/proc/locks")]
pub fn holders(path: impl AsRef<Path>) -> Result<Holders> {
    let path = path.as_ref();
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let stat = statx(CWD, path, flags, StatxFlags::INO);
    search(stat.map(Inode::from), &Object::path(path))
}

impl File {
    /// Who holds locks on this file, and who waits for them: [`holders`].
    ///
    /// # Errors
    /// As [`holders`].
    pub fn holders(&self) -> Result<Holders> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = statx(self.as_fd(), c"", flags, StatxFlags::INO);
        search(stat.map(Inode::from), self.object())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inode {
    major: u32,
    minor: u32,
    number: u64,
}

impl From<rustix::fs::Statx> for Inode {
    fn from(stat: rustix::fs::Statx) -> Self {
        Self { major: stat.stx_dev_major, minor: stat.stx_dev_minor, number: stat.stx_ino }
    }
}

fn search(inode: core::result::Result<Inode, Errno>, object: &Object) -> Result<Holders> {
    let failure = |errno| Error::kernel(Mechanism::Lock, "find the holders of", object.clone(), errno);
    let inode = inode.map_err(failure)?;
    let mut found = Holders::default();
    // On some file systems (btrfs) the kernel's table shows another device than `stat` does; the descriptors then
    // tell under which name the file stands there.
    let mut names = BTreeSet::from([inode]);
    let unknown =
        |error: io::Error| failure(error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error));
    for process in fs::read_dir("/proc").map_err(unknown)?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        match locks_of(&process.path(), inode) {
            Ok(entries) => {
                for entry in entries {
                    names.insert(entry.inode);
                    let holder = Holder { pid: Some(pid), ..entry.holder };
                    if !found.holders.contains(&holder) {
                        found.holders.push(holder);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found.unreadable += 1,
            Err(_ended_meanwhile) => {}
        }
    }
    let table = fs::read_to_string("/proc/locks").map_err(unknown)?;
    for entry in table.lines().filter_map(parse).filter(|entry| names.contains(&entry.inode)) {
        if entry.is_waiting {
            found.waiters.push(entry.holder);
        } else if !found.explain(&entry.holder) {
            found.holders.push(entry.holder);
        }
    }
    Ok(found)
}

impl Holders {
    /// Whether the descriptors have accounted for a lock of the table. Its process may have ended and left it to a
    /// child; an open file description's has no process there at all.
    fn explain(&self, lock: &Holder) -> bool {
        let mut alike = self.holders.iter().filter(|holder| Holder { pid: lock.pid, ..**holder } == *lock);
        match lock.pid {
            Some(pid) if Path::new(&format!("/proc/{pid}")).exists() => {
                alike.any(|holder| holder.pid == lock.pid)
            }
            _ => alike.next().is_some(),
        }
    }
}

struct Entry {
    inode: Inode,
    holder: Holder,
    is_waiting: bool,
}

/// The locks that a process holds on a file by one of its descriptors.
fn locks_of(process: &Path, inode: Inode) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for descriptor in fs::read_dir(process.join("fd"))? {
        let Ok(descriptor) = descriptor else { continue };
        // Without asking a server, which may not answer, for a descriptor that is probably another file's.
        let stat = statx(CWD, descriptor.path(), AtFlags::STATX_DONT_SYNC, StatxFlags::INO);
        if stat.map(Inode::from) != Ok(inode) {
            continue;
        }
        let info = process.join("fdinfo").join(descriptor.file_name());
        let info = fs::read_to_string(info).unwrap_or_default();
        entries.extend(info.lines().filter_map(|line| parse(line.strip_prefix("lock:")?)));
    }
    Ok(entries)
}

/// A line of `/proc/locks`: `1: -> FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF`. The arrow marks a waiter. Leases and
/// the like give `None`.
fn parse(line: &str) -> Option<Entry> {
    let mut words = line.split_ascii_whitespace().skip(1).peekable();
    let is_waiting = words.next_if_eq(&"->").is_some();
    let class = match words.next()? {
        "FLOCK" => Class::Flock,
        "OFDLCK" => Class::Ofd,
        "POSIX" => Class::Posix,
        _ => return None,
    };
    let _advisory = words.next()?;
    let kind = match words.next()? {
        "READ" => Kind::Shared,
        "WRITE" => Kind::Exclusive,
        _ => return None,
    };
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 0);
    let mut file = words.next()?.split(':');
    let inode = Inode {
        major: u32::from_str_radix(file.next()?, 16).ok()?,
        minor: u32::from_str_radix(file.next()?, 16).ok()?,
        number: file.next()?.parse().ok()?,
    };
    let start = words.next()?.parse().ok()?;
    let end = match words.next()? {
        "EOF" => None,
        last => Some(last.parse::<u64>().ok()?.checked_add(1)?),
    };
    Some(Entry { inode, holder: Holder { pid, class, kind, range: ByteRange { start, end } }, is_waiting })
}
