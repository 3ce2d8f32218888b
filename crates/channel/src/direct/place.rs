//! The directory that the links of a user stand in.

use std::env;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, fstat, mkdirat, openat};
use twixt_os::unix::Credentials;
use twixt_os::{Errno, Error, ErrorKind, Mechanism, Object, Result};

/// An open directory that is the user's alone.
#[derive(Debug)]
pub(super) struct Place {
    directory: OwnedFd,
    path: PathBuf,
    pub(super) owner: Credentials,
}

impl Place {
    /// The directory in which two parties meet: of the one who is not root.
    pub(super) fn of(own: Credentials, peer: Credentials, object: &dyn Fn() -> Object) -> Result<Self> {
        let owner = if own.uid == 0 { peer } else { own };
        if own.uid != peer.uid && own.uid != 0 && peer.uid != 0 {
            let why = format!("it belongs to user {}, and this process to user {}", peer.uid, own.uid);
            return Err(super::refused(object(), ErrorKind::PermissionDenied, why));
        }
        Self::open(own, owner)
    }

    /// The directory of a user, made if need be.
    pub(super) fn open(own: Credentials, owner: Credentials) -> Result<Self> {
        let uid = owner.uid;
        let is_own = own.uid == uid;
        let configured = env::var_os("XDG_RUNTIME_DIR").filter(|_| is_own).map(PathBuf::from);
        let usual = PathBuf::from(format!("/run/user/{uid}"));
        let runtime = configured.into_iter().chain([usual]).find_map(|path| {
            let directory = path.is_absolute().then(|| open_directory(CWD, &path).ok()).flatten()?;
            fstat(&directory).is_ok_and(|stat| stat.st_uid == uid).then_some((directory, path))
        });
        let (directory, path, first) = match runtime {
            Some((directory, path)) => (directory, path, "twixt".to_owned()),
            None => {
                let shared = PathBuf::from("/dev/shm");
                let directory = open_directory(CWD, &shared).map_err(|errno| failed(&shared, errno))?;
                (directory, shared, format!("twixt-{uid}"))
            }
        };
        let mut place = Self { directory, path, owner };
        place.descend(&first)?;
        place.descend("direct")?;
        place.descend(&pid_namespace()?)?;
        Ok(place)
    }

    /// Goes into a directory, which is made if it is not there, and must be the user's alone.
    fn descend(&mut self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        let fail = |errno| failed(&path, errno);
        let is_new = match mkdirat(&self.directory, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(fail(errno)),
        };
        let directory = open_directory(&self.directory, Path::new(name)).map_err(fail)?;
        let stat = fstat(&directory).map_err(fail)?;
        let owner = if is_new && stat.st_uid != self.owner.uid {
            // Root makes it for a user.
            let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
            fchown(&directory, Some(uid), Some(gid)).map_err(fail)?;
            self.owner.uid
        } else {
            stat.st_uid
        };
        let mode = stat.st_mode & 0o7777;
        if owner != self.owner.uid {
            let why = format!("it belongs to user {owner}, who is not user {}", self.owner.uid);
            return Err(untrusted(&path, why));
        }
        if mode & 0o077 != 0 {
            return Err(untrusted(&path, format!("others may use it (mode {mode:04o})")));
        }
        self.directory = directory;
        self.path = path;
        Ok(())
    }

    /// The path of a name in the directory, whatever has become of the path that led there.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd()))
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn open_directory(base: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    openat(base, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The numbers of processes mean something within it only.
fn pid_namespace() -> Result<String> {
    let link = Path::new("/proc/self/ns/pid");
    let target = fs::read_link(link)
        .map_err(|error| failed(link, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    Ok(target.to_string_lossy().chars().filter(char::is_ascii_digit).collect())
}

const MEET: &str = "use the directory of";

fn failed(path: &Path, errno: Errno) -> Error {
    Error::kernel(Mechanism::Direct, MEET, Object::path(path), errno)
}

fn untrusted(path: &Path, why: String) -> Error {
    Error::refused(Mechanism::Direct, MEET, Object::path(path), ErrorKind::PermissionDenied, why)
        .with_advice("remove it, or give it to its user with mode 0700")
}
