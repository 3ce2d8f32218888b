//! `struct sockaddr_un`, as long as the kernel really makes it.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::{offset_of, size_of};
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

use crate::Errno;
use crate::call::checked;

/// A Unix address: the bytes that `sun_path` holds, and how many they are.
///
/// A path is given without its NUL; a name in the abstract namespace starts with a NUL; an unnamed socket has no bytes.
///
/// The type is larger than `sockaddr_un`: a socket may be bound to 108 bytes without a NUL, and the kernel then reports
/// them with one, 109 bytes in all.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct UnixName {
    family: u16,
    path: [u8; ROOM],
    /// How many bytes of `path` are meant; never more than `ROOM`.
    len: u8,
}

const ROOM: usize = 110;
const PATH_AT: usize = offset_of!(UnixName, path);
const _: () = assert!(PATH_AT == offset_of!(libc::sockaddr_un, sun_path));
const _: () = assert!(size_of::<libc::sockaddr_un>() <= PATH_AT + ROOM);

impl UnixName {
    /// The most bytes that can be given to the kernel: the size of `sun_path`.
    pub const MOST: usize = size_of::<libc::sockaddr_un>() - PATH_AT;

    /// No name at all. Binding to it has the kernel choose an abstract name.
    pub const UNNAMED: Self = Self { family: libc::AF_UNIX as u16, path: [0; ROOM], len: 0 };

    /// A name from the bytes of `sun_path`: `ENAMETOOLONG` beyond [`UnixName::MOST`].
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        let mut name = Self::UNNAMED;
        if bytes.len() > Self::MOST {
            return Err(Errno::NAMETOOLONG);
        }
        name.path[..bytes.len()].copy_from_slice(bytes);
        name.len = bytes.len() as u8;
        Ok(name)
    }

    /// Makes it no name at all.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The bytes, without the NUL that ends a path.
    pub fn as_bytes(&self) -> &[u8] {
        let bytes = &self.path[..self.len.into()];
        match bytes {
            [first, path @ .., 0] if *first != 0 => &bytes[..=path.len()],
            _ => bytes,
        }
    }

    /// What `connect(2)` and its like take: the address and its length, `sun_family` included.
    pub(super) fn as_sockaddr(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        let bytes = self.as_bytes();
        // A path of 107 bytes or less is given with its NUL, as C programs do.
        let nul = usize::from(bytes.first().is_some_and(|first| *first != 0) && bytes.len() < Self::MOST);
        (ptr::from_ref(self).cast(), (PATH_AT + bytes.len() + nul) as libc::socklen_t)
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        ptr::from_mut(self).cast()
    }

    /// The room that the kernel may write, `sun_family` included.
    pub(super) const CAPACITY: libc::socklen_t = (PATH_AT + ROOM) as libc::socklen_t;

    /// Takes note of how much the kernel wrote, `sun_family` included; 0 when it had nothing to say.
    pub(super) fn set_written(&mut self, written: libc::socklen_t) {
        let len = (written as usize).saturating_sub(PATH_AT).min(ROOM);
        self.len = len as u8;
    }
}

/// The address of the socket itself: `getsockname(2)`.
pub fn local_name(fd: BorrowedFd<'_>) -> Result<UnixName, Errno> {
    let (mut name, mut len) = (UnixName::UNNAMED, UnixName::CAPACITY);
    // SAFETY: the kernel writes at most `len` bytes, which the name has.
    checked(unsafe { libc::getsockname(fd.as_raw_fd(), name.as_mut_ptr(), &raw mut len) })?;
    name.set_written(len);
    Ok(name)
}

/// The address of the socket at the other end: `getpeername(2)`.
pub fn peer_name(fd: BorrowedFd<'_>) -> Result<UnixName, Errno> {
    let (mut name, mut len) = (UnixName::UNNAMED, UnixName::CAPACITY);
    // SAFETY: as in `local_name`.
    checked(unsafe { libc::getpeername(fd.as_raw_fd(), name.as_mut_ptr(), &raw mut len) })?;
    name.set_written(len);
    Ok(name)
}

// SAFETY: the pointer is to a `sockaddr_un` (checked above field by field) of which `PATH_AT + len` bytes are set, and
// `new` allows no more of them than `sockaddr_un` has.
unsafe impl SocketAddrArg for UnixName {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        let (address, len) = self.as_sockaddr();
        f(address.cast(), len)
    }
}

impl PartialEq for UnixName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for UnixName {}

impl Hash for UnixName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixName({})", self.as_bytes().escape_ascii())
    }
}
