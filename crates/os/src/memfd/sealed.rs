//! A memfd whose length nobody can change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use super::{Memfd, Seals};
use crate::mmap::{Access, Memory};
use crate::{Error, ErrorKind, Mechanism, Object, Result};

/// A memfd with at least [`Seals::FIXED_LENGTH`]: proof that its length is what it is, for good.
///
/// Mapping it needs no protection from truncation, since there can be none. With [`Seals::WRITE`] the bytes
/// cannot change either, so that they may be checked first and used afterwards.
///
/// What remains with a peer who may write: it can punch holes (`fallocate(2)`), which read as zeros.
///
/// ```
/// use std::os::fd::OwnedFd;
/// use twixt_os::ErrorKind;
/// use twixt_os::memfd::{Memfd, Sealed, Seals};
///
/// let memfd = Memfd::create("offer")?;
/// memfd.write_at(0, b"may change yet")?;
/// let refused = Sealed::from_fd(OwnedFd::from(memfd), Seals::IMMUTABLE).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// See `F_GET_SEALS` in `fcntl(2)`.
#[derive(Debug)]
pub struct Sealed {
    memfd: Memfd,
    seals: Seals,
    len: u64,
}

impl Sealed {
    /// Takes over a descriptor that came from somewhere else, if it is a memfd's that has all of these seals, and
    /// [`Seals::FIXED_LENGTH`] in any case.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is something else; [`PermissionDenied`](ErrorKind::PermissionDenied)
    /// if a seal is missing, which the error names.
    pub fn from_fd(fd: OwnedFd, required: Seals) -> Result<Self> {
        Self::check(Memfd::from_fd(fd)?, required | Seals::FIXED_LENGTH)
    }

    /// Takes over the descriptor that this program was started with under `number`: [`Memfd::inherited`], with
    /// these seals, and [`Seals::FIXED_LENGTH`] in any case.
    ///
    /// # Errors
    /// As [`Memfd::inherited`]; [`PermissionDenied`](ErrorKind::PermissionDenied) if a seal is missing.
    pub fn inherited(number: RawFd, required: Seals) -> Result<Self> {
        Self::check(Memfd::inherited(number)?, required | Seals::FIXED_LENGTH)
    }

    pub(super) fn check(memfd: Memfd, required: Seals) -> Result<Self> {
        let seals = memfd.seals()?;
        let missing = required - seals;
        if missing.is_empty() {
            // Only now: before the seals were there the length could change.
            let len = memfd.len()?;
            return Ok(Self { memfd, seals, len });
        }
        let names: Vec<_> = missing.iter_names().map(|(name, _)| format!("F_SEAL_{name}")).collect();
        let why = format!("it is not sealed with {}", names.join(" and "));
        let object = Object::descriptor(memfd.as_fd());
        Err(Error::refused(Mechanism::Memfd, "trust", object, ErrorKind::PermissionDenied, why))
    }

    /// Its length in bytes, for good.
    #[allow(clippy::len_without_is_empty, reason = "an empty one cannot be mapped, which is an error then")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The seals that it had when it was checked. There may be more by now.
    pub fn seals(&self) -> Seals {
        self.seals
    }

    /// Whether its bytes can never change.
    pub fn is_immutable(&self) -> bool {
        self.seals.contains(Seals::WRITE)
    }

    /// Maps all of it for reading.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is empty; otherwise those of `mmap(2)`.
    pub fn map(&self) -> Result<Memory> {
        self.memfd.map_part(Access::ReadOnly, self.len)
    }

    /// Maps all of it for reading and writing.
    ///
    /// # Errors
    /// As [`Sealed::map`]; [`PermissionDenied`](ErrorKind::PermissionDenied) if it is sealed against writing.
    pub fn map_writable(&self) -> Result<Memory> {
        self.memfd.map_part(Access::ReadWrite, self.len)
    }

    /// The memfd, with its other operations.
    pub fn memfd(&self) -> &Memfd {
        &self.memfd
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }
}

impl From<Sealed> for OwnedFd {
    fn from(sealed: Sealed) -> Self {
        sealed.memfd.into()
    }
}

impl From<Sealed> for Memfd {
    fn from(sealed: Sealed) -> Self {
        sealed.memfd
    }
}
