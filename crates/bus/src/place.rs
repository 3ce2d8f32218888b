//! The directory in which the bus keeps its files.
//!
//! ```text
//! /dev/shm/twixt-1000/bus/            the user's own, 0700, on tmpfs; or $TWIXT_BUS, as it is
//!     topic.prices/                   one for each name; `/` in a name is written `,`
//!         site                        what all agree on: the ring's length, the type, who waits
//!         p0 p1 ...                   a segment for each publisher or producer, written by nobody else
//!         s0 s1 ...                   a segment for each subscriber
//!         c0 c1 ...                   a segment for each consumer of a queue
//!         l0 l1 ...                   a ledger for each producer of a queue, written by all
//! ```

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, mkdir, statat};
use rustix::process::geteuid;
use twixt_address::BusName;
use twixt_os::{Errno, Error, ErrorKind, Object, Result};

use crate::error::{kernel, refused};

/// The variable that names another directory: one that a group shares, or a test's own.
const VARIABLE: &str = "TWIXT_BUS";

/// What a name on the bus leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Every subscriber gets every message.
    Topic,
    /// One consumer gets each message.
    Queue,
    /// The newest value.
    Latest,
    /// Calls and replies.
    Rpc,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Topic, Self::Queue, Self::Latest, Self::Rpc];

    /// What stands before the colon in an address.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Queue => "queue",
            Self::Latest => "latest",
            Self::Rpc => "rpc",
        }
    }

    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Topic => 1,
            Self::Queue => 2,
            Self::Latest => 3,
            Self::Rpc => 4,
        }
    }
}

/// The directory of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// The one that `$TWIXT_BUS` names, which must exist; otherwise the user's own, which is made if need be and must belong to
    /// the user alone.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if the user's own directory belongs to somebody else, or others may
    /// enter it; what the kernel says of making or finding it.
    pub fn of_user() -> Result<Self> {
        if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            return Self::at(PathBuf::from(path));
        }
        let uid = geteuid().as_raw();
        let own = Path::new("/dev/shm").join(format!("twixt-{uid}"));
        make_private(&own, uid)?;
        let path = own.join("bus");
        make_private(&path, uid)?;
        Ok(Self { path })
    }

    /// A directory that exists. Who may enter it may use what stands there, as the modes of the files say.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`InvalidInput`](ErrorKind::InvalidInput) if it is no directory.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let stat = fs::metadata(&path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            kernel("use the directory of the", &path, errno).with_advice("$TWIXT_BUS names it: make it first")
        })?;
        if !stat.is_dir() {
            let why = "it is not a directory";
            return Err(refused(
                "use the directory of the",
                &Object::path(&path),
                ErrorKind::InvalidInput,
                why,
            ));
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a name.
    pub fn directory(&self, kind: Kind, name: &BusName) -> PathBuf {
        self.path.join(format!("{}.{}", kind.scheme(), name.as_str().replace('/', ",")))
    }

    /// The names that there are.
    ///
    /// # Errors
    /// Those of reading a directory.
    pub fn names(&self) -> Result<Vec<(Kind, BusName)>> {
        let failed = |error: std::io::Error| {
            kernel("list the", &self.path, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let Some((scheme, name)) = file.to_str().and_then(|file| file.split_once('.')) else { continue };
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.scheme() == scheme) else { continue };
            let Ok(name) = BusName::new(name.replace(',', "/")) else { continue };
            names.push((kind, name));
        }
        names.sort();
        Ok(names)
    }
}

fn make_private(path: &Path, uid: u32) -> Result<()> {
    match mkdir(path, rustix::fs::Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(kernel("make the directory of the", path, errno)),
    }
    let failed = |errno| kernel("look at the directory of the", path, errno);
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
    let why = if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        "it is not a directory"
    } else if stat.st_uid != uid {
        "it belongs to another user"
    } else if stat.st_mode & 0o077 != 0 {
        "others may enter it"
    } else {
        return Ok(());
    };
    let error: Error =
        refused("trust the directory of the", &Object::path(path), ErrorKind::PermissionDenied, why);
    Err(error.with_advice("make it yours alone (chmod 700), or name another with $TWIXT_BUS"))
}
