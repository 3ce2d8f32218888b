//! Locks on ranges of bytes: `F_OFD_SETLK` and its kin of `fcntl_locking(2)`.

use core::fmt;
use core::ops::{Bound, RangeBounds};
use std::os::fd::AsFd;
use std::sync::{MutexGuard, PoisonError};

use twixt_sys::ofd_lock;

use super::{File, Kind, acquire, result};
use crate::maker::Maker;
use crate::{Deadline, Error, ErrorKind, Mechanism, Result, Wait};

/// A range of bytes of a file, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last; `None` is up to the end of the file, wherever that will be.
    pub end: Option<u64>,
}

impl ByteRange {
    /// The whole file.
    pub const ALL: Self = Self { start: 0, end: None };
}

/// `0..100`, `100..`
impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{}..{end}", self.start),
            None => write!(f, "{}..", self.start),
        }
    }
}

/// A lock in the way of another: what `F_OFD_GETLK` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its kind.
    pub kind: Kind,
    /// Its bytes.
    pub range: ByteRange,
    /// The process that holds it, if it is a POSIX lock. A range lock is held by an open file description, and
    /// [`File::holders`] finds the processes that have that.
    pub pid: Option<i32>,
}

/// A range that the kernel takes: inclusive, within 0 to `i64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: i64,
    last: i64,
}

impl Span {
    fn new(range: &impl RangeBounds<u64>) -> core::result::Result<Self, (ErrorKind, &'static str)> {
        const TOO_FAR: (ErrorKind, &str) = (ErrorKind::OutOfRange, "a file ends at 2^63 - 1 at the latest");
        // For the kernel a length of 0 is "up to the end", the very opposite.
        const EMPTY: (ErrorKind, &str) = (ErrorKind::InvalidInput, "the range is empty");
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.checked_add(1).ok_or(TOO_FAR)?,
            Bound::Unbounded => 0,
        };
        let last = match range.end_bound() {
            Bound::Included(last) => *last,
            Bound::Excluded(end) => end.checked_sub(1).ok_or(EMPTY)?,
            Bound::Unbounded => i64::MAX.unsigned_abs(),
        };
        let start = i64::try_from(start).map_err(|_| TOO_FAR)?;
        let last = i64::try_from(last).map_err(|_| TOO_FAR)?;
        if start > last { Err(EMPTY) } else { Ok(Self { start, last }) }
    }

    fn from_kernel(start: i64, len: i64) -> ByteRange {
        let start = start.unsigned_abs();
        ByteRange { start, end: (len > 0).then(|| start + len.unsigned_abs()) }
    }

    /// The length for the kernel: 0 up to the end of all files.
    fn len(self) -> i64 {
        if self.last == i64::MAX { 0 } else { self.last - self.start + 1 }
    }

    fn overlaps(self, other: Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }
}

impl File {
    /// Locks a range of bytes: `0..100`, `100..`, `..` (all, also what will be there). They need not exist.
    ///
    /// Shared needs a descriptor that is open for reading, exclusive one for writing. There is no deadlock detection.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) if this very `File` holds bytes of the range: its own locks do not exclude each other,
    /// so open the file once for each thread. [`InvalidInput`](ErrorKind::InvalidInput) for an empty range,
    /// [`OutOfRange`](ErrorKind::OutOfRange) past 2⁶³−1, [`PermissionDenied`](ErrorKind::PermissionDenied) if it is not
    /// open for that, [`LimitReached`](ErrorKind::LimitReached) or [`Unsupported`](ErrorKind::Unsupported) from
    /// the file system.
    #[doc(alias = "F_OFD_SETLKW")]
    #[doc(alias = "lockf")]
    pub fn lock_range(&self, kind: Kind, range: impl RangeBounds<u64>) -> Result<RangeLock<'_>> {
        self.lock_range_wait(kind, range, Wait::forever())
    }

    /// [`File::lock_range`] without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if others hold bytes of it.
    #[doc(alias = "F_OFD_SETLK")]
    pub fn try_lock_range(&self, kind: Kind, range: impl RangeBounds<u64>) -> Result<RangeLock<'_>> {
        self.lock_range_wait(kind, range, Wait::never())
    }

    /// [`File::lock_range`] with a deadline, kept as [`File::lock_deadline`] keeps it.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut).
    pub fn lock_range_deadline(
        &self,
        kind: Kind,
        range: impl RangeBounds<u64>,
        deadline: Deadline,
    ) -> Result<RangeLock<'_>> {
        self.lock_range_wait(kind, range, Wait::until(deadline))
    }

    /// [`File::lock_range`], ended by a signal handler, unless it was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted).
    pub fn lock_range_interruptible(
        &self,
        kind: Kind,
        range: impl RangeBounds<u64>,
    ) -> Result<RangeLock<'_>> {
        self.lock_range_wait(kind, range, Wait::forever().interruptible())
    }

    /// [`File::lock_range`], waiting as told. One system call if it is free.
    ///
    /// # Errors
    /// As the other forms.
    pub fn lock_range_wait(
        &self,
        kind: Kind,
        range: impl RangeBounds<u64>,
        wait: Wait,
    ) -> Result<RangeLock<'_>> {
        const OPERATION: &str = "take a range of";
        let refuse =
            |(kind, why)| Error::refused(Mechanism::Lock, OPERATION, self.object().clone(), kind, why);
        let span = Span::new(&range).map_err(refuse)?;
        let claimed = self
            .claim(span)
            .ok_or_else(|| refuse((ErrorKind::Busy, "this open file itself holds bytes of the range")))?;
        result(OPERATION, self.object(), self.set(kind, span, wait))?;
        Ok(RangeLock { claimed, kind })
    }

    /// `F_OFD_GETLK`: one of the locks of others that would be in the way of this one, if there is any. What it says
    /// may no longer be so when it is read.
    ///
    /// # Errors
    /// As [`File::lock_range`], where they are about the range.
    #[doc(alias = "F_OFD_GETLK")]
    pub fn range_conflict(&self, kind: Kind, range: impl RangeBounds<u64>) -> Result<Option<Conflict>> {
        const OPERATION: &str = "look for conflicts with";
        let span = Span::new(&range).map_err(|(kind, why)| {
            Error::refused(Mechanism::Lock, OPERATION, self.object().clone(), kind, why)
        })?;
        let found = ofd_lock::get(self.as_fd(), for_kernel(kind), span.start, span.len());
        let found = result(OPERATION, self.object(), found)?;
        Ok(found.map(|lock| Conflict {
            kind: if lock.kind == ofd_lock::Kind::Shared { Kind::Shared } else { Kind::Exclusive },
            range: Span::from_kernel(lock.start, lock.len),
            pid: (lock.pid > 0).then_some(lock.pid),
        }))
    }

    fn set(&self, kind: Kind, span: Span, wait: Wait) -> core::result::Result<(), crate::Errno> {
        let (fd, kind) = (self.as_fd(), for_kernel(kind));
        acquire(
            wait,
            || ofd_lock::set_waiting(fd, kind, span.start, span.len()),
            || ofd_lock::set(fd, kind, span.start, span.len()),
        )
    }

    fn claim(&self, span: Span) -> Option<Claim<'_>> {
        let mut held = self.held();
        if held.iter().any(|other| span.overlaps(*other)) {
            return None;
        }
        held.push(span);
        Some(Claim { file: self, span, maker: Maker::this() })
    }

    fn held(&self) -> MutexGuard<'_, Vec<Span>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn for_kernel(kind: Kind) -> ofd_lock::Kind {
    match kind {
        Kind::Shared => ofd_lock::Kind::Shared,
        Kind::Exclusive => ofd_lock::Kind::Exclusive,
    }
}

/// A range that nobody else may lock through the same [`File`], whether the kernel has granted it yet or not.
#[derive(Debug)]
struct Claim<'file> {
    file: &'file File,
    span: Span,
    maker: Maker,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // A forked child goes on refusing these bytes to itself: the kernel would grant them, and releasing them would
        // release its parent's lock. Nor does it wait for a mutex that a thread may have held which it does not have.
        if !self.maker.is_this() {
            return;
        }
        let mut held = self.file.held();
        if let Some(at) = held.iter().position(|span| *span == self.span) {
            held.swap_remove(at);
        }
    }
}

/// A lock on a range of bytes, released when dropped.
///
/// A forked child that drops its copy releases nothing, and its copy of the [`File`] goes on refusing these bytes. It has
/// its parent's open file description, and with that all locks that the parent has or will take by it: a child
/// that wants locks of its own opens the file anew.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RangeLock<'file> {
    /// Given up after the lock itself: fields are dropped after `drop` has run.
    claimed: Claim<'file>,
    kind: Kind,
}

impl RangeLock<'_> {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which bytes it is on.
    pub fn range(&self) -> ByteRange {
        Span::from_kernel(self.claimed.span.start, self.claimed.span.len())
    }

    /// Makes a shared lock exclusive, waiting while others share bytes of it. It stays shared until it is exclusive, so
    /// nobody changes the bytes in between; two that do this to the same bytes wait for each other
    /// for ever.
    ///
    /// # Errors
    /// As [`File::lock_range`]; the lock is then as it was.
    pub fn upgrade(&mut self) -> Result<()> {
        self.convert(Kind::Exclusive, Wait::forever())
    }

    /// [`RangeLock::upgrade`] without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if others share bytes of it; it is then as it was.
    pub fn try_upgrade(&mut self) -> Result<()> {
        self.convert(Kind::Exclusive, Wait::never())
    }

    /// [`RangeLock::upgrade`] with a deadline.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut); it is then as it was.
    pub fn upgrade_deadline(&mut self, deadline: Deadline) -> Result<()> {
        self.convert(Kind::Exclusive, Wait::until(deadline))
    }

    /// [`RangeLock::upgrade`], ended by a signal handler.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted); it is then as it was.
    pub fn upgrade_interruptible(&mut self) -> Result<()> {
        self.convert(Kind::Exclusive, Wait::forever().interruptible())
    }

    /// [`RangeLock::upgrade`], waiting as told.
    ///
    /// # Errors
    /// As the other forms; it is then as it was.
    pub fn upgrade_wait(&mut self, wait: Wait) -> Result<()> {
        self.convert(Kind::Exclusive, wait)
    }

    /// Makes an exclusive lock shared, in one step.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if the file is not open for reading.
    pub fn downgrade(&mut self) -> Result<()> {
        self.convert(Kind::Shared, Wait::forever())
    }

    /// Turns it into the other kind, waiting as told.
    ///
    /// # Errors
    /// As [`RangeLock::upgrade`] and its forms; it is then as it was.
    pub fn convert(&mut self, kind: Kind, wait: Wait) -> Result<()> {
        let Claim { file, span, .. } = self.claimed;
        result("convert a range of", file.object(), file.set(kind, span, wait))?;
        self.kind = kind;
        Ok(())
    }
}

impl Drop for RangeLock<'_> {
    fn drop(&mut self) {
        // In a forked child the open file description is the parent's too, and so is the lock.
        let Claim { file, span, maker } = self.claimed;
        if maker.is_this() {
            // Failing, it goes when the descriptor is closed.
            _ = ofd_lock::set(file.as_fd(), ofd_lock::Kind::Unlock, span.start, span.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_a_forked_child_releases_nothing_and_forgets_nothing() {
        let scratch = twixt_testkit::scratch();
        let path = scratch.path().join("file");
        let (file, other) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        let mut inherited = file.lock_range(Kind::Exclusive, 0..10).unwrap();
        inherited.claimed.maker = Maker::another();
        drop(inherited);
        let refused = |file: &File| file.try_lock_range(Kind::Exclusive, 5..6).unwrap_err().kind();
        assert_eq!(refused(&other), ErrorKind::WouldBlock);
        assert_eq!(refused(&file), ErrorKind::Busy);
        drop(file.try_lock_range(Kind::Exclusive, 10..).unwrap());
    }
}
