//! What both ends of pipes and FIFOs share: the descriptor, and how to ask it not to wait.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::{ReadWriteFlags, preadv2, pwritev2, read, writev};
use rustix::pipe::SpliceFlags;
use twixt_sys::Prepared;
use twixt_sys::pipe::{RWF_NOSIGNAL, Vector, vmsplice_out, without_sigpipe};

use crate::wait::Attempt;
use crate::{Errno, Error, ErrorKind, Mechanism, Object, Result};

/// `preadv2` and `pwritev2` act on the stream, as `read` and `write` do, when told this offset.
const NO_OFFSET: u64 = u64::MAX;

/// Set once a kernel was found to lack `RWF_NOSIGNAL`.
static NO_NOSIGNAL: AtomicBool = AtomicBool::new(false);

/// One end: its descriptor and what has been learnt about it.
#[derive(Debug)]
pub(crate) struct End {
    fd: OwnedFd,
    /// Set once the pipe was found to lack `RWF_NOWAIT`.
    no_nowait: AtomicBool,
    /// The same pipe opened anew with `O_NONBLOCK`, or why that failed.
    nonblocking: OnceLock<Result<OwnedFd, Errno>>,
    mechanism: Mechanism,
    object: Object,
}

impl End {
    pub(crate) fn anonymous(fd: OwnedFd) -> Self {
        let object = Object::descriptor(fd.as_fd());
        Self::new(fd, Mechanism::Pipe, object)
    }

    pub(crate) fn new(fd: OwnedFd, mechanism: Mechanism, object: Object) -> Self {
        Self { fd, no_nowait: AtomicBool::new(false), nonblocking: OnceLock::new(), mechanism, object }
    }

    /// Checks that a descriptor of unknown origin is an end of a pipe or FIFO in the wanted direction.
    pub(crate) fn checked(fd: OwnedFd, operation: &'static str, refused: OFlags) -> Result<Self> {
        let end = Self::anonymous(fd);
        let kind = fstat(&end.fd).map_err(|errno| end.error(operation, errno))?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::Fifo {
            return Err(end.refuse(operation, ErrorKind::InvalidInput, "the descriptor is not a pipe"));
        }
        let flags = fcntl_getfl(&end.fd).map_err(|errno| end.error(operation, errno))?;
        if flags.contains(OFlags::PATH) || flags & OFlags::ACCMODE == refused {
            let why = "the descriptor was not opened in this direction";
            return Err(end.refuse(operation, ErrorKind::InvalidInput, why));
        }
        Ok(end)
    }

    pub(crate) fn duplicate(&self) -> Result<Self> {
        let fd =
            rustix::io::fcntl_dupfd_cloexec(&self.fd, 3).map_err(|errno| self.error("duplicate", errno))?;
        Ok(match self.mechanism {
            Mechanism::Pipe => Self::anonymous(fd),
            mechanism => Self::new(fd, mechanism, self.object.clone()),
        })
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// A failed operation. Allocates nothing.
    #[cold]
    pub(crate) fn error(&self, operation: &'static str, errno: Errno) -> Error {
        let error = Error::kernel(self.mechanism, operation, self.object.clone(), errno);
        match self.nonblocking.get() {
            Some(Err(refused)) if *refused == errno => error
                .with_kind(ErrorKind::Unsupported)
                .with_advice("not to wait on this pipe it must be opened again through /proc/self/fd"),
            _ => error,
        }
    }

    pub(crate) fn refuse(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(self.mechanism, operation, self.object.clone(), kind, why)
    }

    #[inline]
    pub(crate) fn read(&self, attempt: Attempt, buffer: &mut [u8]) -> Result<usize, Errno> {
        if attempt == Attempt::Block { read(&self.fd, buffer) } else { self.read_now(buffer) }
    }

    /// Apart from reading with waiting, which is short enough to become part of its caller.
    #[inline(never)]
    fn read_now(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        if !self.no_nowait.load(Ordering::Relaxed) {
            match preadv2(&self.fd, &mut [IoSliceMut::new(buffer)], NO_OFFSET, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.no_nowait.store(true, Ordering::Relaxed),
                outcome => return outcome,
            }
        }
        match self.nonblocking() {
            Ok(fd) => read(fd, buffer),
            // The last resort loses the boundaries of packets, and is asked for by a flag too.
            Err(refused) => match vmsplice_out(self.fd.as_fd(), buffer, SpliceFlags::NONBLOCK) {
                Err(Errno::BADF | Errno::NOSYS) => Err(refused),
                outcome => outcome,
            },
        }
    }

    /// The call that [`read`](Self::read) makes, if it is one that takes the buffer alone.
    #[inline]
    pub(crate) fn prepare_read<'a>(&'a self, attempt: Attempt, buffer: &'a mut [u8]) -> Option<Prepared<'a>> {
        (attempt == Attempt::Block).then(|| Prepared::read(self.fd.as_fd(), buffer))
    }

    /// Whether the kernel is not known to lack what writing with a single call asks for.
    #[inline]
    pub(crate) fn prepares(&self, attempt: Attempt) -> bool {
        let has_nowait = attempt == Attempt::Block || !self.no_nowait.load(Ordering::Relaxed);
        has_nowait && !NO_NOSIGNAL.load(Ordering::Relaxed)
    }

    /// The first call that [`write`](Self::write) makes, where the kernel is not known to lack what it asks for.
    #[inline]
    pub(crate) fn prepare_write<'a>(
        &'a self,
        attempt: Attempt,
        vector: &'a mut Vector,
        bytes: &'a [u8],
    ) -> Option<Prepared<'a>> {
        if !self.prepares(attempt) {
            return None;
        }
        let nowait = match attempt {
            Attempt::Block => ReadWriteFlags::empty(),
            Attempt::DontWait => ReadWriteFlags::NOWAIT,
        };
        Some(vector.prepare_write(self.fd.as_fd(), bytes, nowait.bits() | RWF_NOSIGNAL))
    }

    /// Writes, and raises no SIGPIPE.
    #[inline]
    pub(crate) fn write(&self, attempt: Attempt, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        if attempt == Attempt::Block {
            write_silently(self.fd.as_fd(), slices, ReadWriteFlags::empty())
        } else {
            self.write_now(slices)
        }
    }

    /// Apart, as reading is.
    #[inline(never)]
    fn write_now(&self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        if !self.no_nowait.load(Ordering::Relaxed) {
            match write_silently(self.fd.as_fd(), slices, ReadWriteFlags::NOWAIT) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.no_nowait.store(true, Ordering::Relaxed),
                outcome => return outcome,
            }
        }
        match self.nonblocking() {
            Ok(fd) => write_silently(fd, slices, ReadWriteFlags::empty()),
            // Opened without waiting for a reader, a pipe without one says ENXIO where a write would say this.
            Err(Errno::NXIO) => Err(Errno::PIPE),
            Err(refused) => Err(refused),
        }
    }

    /// The same pipe under a description of our own, which may be non-blocking without anybody noticing.
    fn nonblocking(&self) -> Result<BorrowedFd<'_>, Errno> {
        match self.nonblocking.get() {
            Some(Ok(fd)) => return Ok(fd.as_fd()),
            Some(Err(errno)) => return Err(*errno),
            None => {}
        }
        match self.reopen() {
            // Neither says anything about the next attempt.
            Err(errno @ (Errno::NXIO | Errno::INTR)) => Err(errno),
            // Another thread may have been faster; then its descriptor counts and ours is closed.
            outcome => match self.nonblocking.get_or_init(|| outcome) {
                Ok(fd) => Ok(fd.as_fd()),
                Err(errno) => Err(*errno),
            },
        }
    }

    fn reopen(&self) -> Result<OwnedFd, Errno> {
        let flags = fcntl_getfl(&self.fd)?;
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let access = flags & OFlags::ACCMODE;
        let fd = open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        if flags.contains(OFlags::DIRECT) {
            // Cannot be given to open(2) for a pipe.
            fcntl_setfl(&fd, OFlags::NONBLOCK | OFlags::DIRECT)?;
        }
        Ok(fd)
    }

    /// Sets or clears a status flag of the description, and of our own second one where there is one.
    pub(crate) fn set_flag(&self, flag: OFlags, on: bool) -> Result<(), Errno> {
        let second = self.nonblocking.get().and_then(|opened| opened.as_ref().ok());
        for fd in [Some(&self.fd), second].into_iter().flatten() {
            let mut flags = fcntl_getfl(fd)?;
            flags.set(flag, on);
            fcntl_setfl(fd, flags)?;
        }
        Ok(())
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `writev` without SIGPIPE: one system call where the kernel has `RWF_NOSIGNAL`.
#[inline]
fn write_silently(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>], flags: ReadWriteFlags) -> Result<usize, Errno> {
    if !NO_NOSIGNAL.load(Ordering::Relaxed) {
        let silent = flags | ReadWriteFlags::from_bits_retain(RWF_NOSIGNAL);
        match pwritev2(fd, slices, NO_OFFSET, silent) {
            // One of the flags is unknown, and nothing was written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            outcome => return outcome,
        }
    }
    write_blocking_sigpipe(fd, slices, flags)
}

/// The same on a kernel without `RWF_NOSIGNAL`, or on one that knows no other of the flags.
#[inline(never)]
fn write_blocking_sigpipe(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    flags: ReadWriteFlags,
) -> Result<usize, Errno> {
    let outcome = without_sigpipe(|| {
        if flags.is_empty() { writev(fd, slices) } else { pwritev2(fd, slices, NO_OFFSET, flags) }
    });
    if !matches!(outcome, Err(Errno::OPNOTSUPP | Errno::NOSYS)) {
        // It was the silence that the kernel did not know.
        NO_NOSIGNAL.store(true, Ordering::Relaxed);
    }
    outcome
}
