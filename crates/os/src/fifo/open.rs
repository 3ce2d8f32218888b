//! The open modes and their blocking rules.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};

use crate::fifo::{Fifo, Reader, Writer};
use crate::pipe::End;
use crate::wait::timespec;
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Result, Wait};

const OPEN_READ: &str = "open for reading";
const OPEN_WRITE: &str = "open for writing";
const OPEN_BOTH: &str = "open for reading and writing";

impl Fifo {
    /// Opens the read end, waiting until some process opens the write end: `O_RDONLY`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): the mode forbids it.
    /// [`Unsupported`](ErrorKind::Unsupported): `/proc` is not mounted.
    pub fn open_read(&self) -> Result<Reader> {
        self.open_read_wait(Wait::forever())
    }

    /// Opens the read end if some process has the write end open now.
    ///
    /// # Errors
    /// [`NoPeer`](ErrorKind::NoPeer); those of [`open_read`](Self::open_read).
    pub fn try_open_read(&self) -> Result<Reader> {
        self.open_read_wait(Wait::never())
    }

    /// Opens the read end, waiting until `deadline` at the longest for a writer.
    ///
    /// Meanwhile this process counts as a reader: a writer's open succeeds, and if this gives up just then, the
    /// writer finds its reader gone.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut); those of [`open_read`](Self::open_read).
    pub fn open_read_deadline(&self, deadline: Deadline) -> Result<Reader> {
        self.open_read_wait(Wait::until(deadline))
    }

    /// Opens the read end, waiting until some process opens the write end or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted); those of [`open_read`](Self::open_read).
    pub fn open_read_interruptible(&self) -> Result<Reader> {
        self.open_read_wait(Wait::forever().interruptible())
    }

    /// Opens the read end, waiting for a writer as told.
    ///
    /// The kernel waits by itself for ever only. Otherwise the FIFO is opened without waiting, and asked again and
    /// again, at most 4 ms apart, whether there is a writer; nothing is consumed by that.
    ///
    /// # Errors
    /// Those of the wait, with [`NoPeer`](ErrorKind::NoPeer) for not waiting; those of
    /// [`open_read`](Self::open_read).
    pub fn open_read_wait(&self, wait: Wait) -> Result<Reader> {
        if wait.is_forever() {
            return self
                .open_end(OFlags::RDONLY, wait)
                .map(Reader::from_end)
                .map_err(explain(self, OPEN_READ));
        }
        let opened = self.open_end(OFlags::RDONLY | OFlags::NONBLOCK, wait);
        let end = opened.map_err(explain(self, OPEN_READ))?;
        let waited = wait_for_writer(&end, wait);
        waited.and_then(|()| make_blocking(&end)).map_err(|errno| match errno {
            Errno::AGAIN => self.refuse(OPEN_READ, ErrorKind::NoPeer, "no process has it open for writing"),
            errno => self.error(OPEN_READ, errno),
        })?;
        Ok(Reader::from_end(end))
    }

    /// Opens the read end at once, with or without a writer: `O_RDONLY` with `O_NONBLOCK`, which is cleared again.
    ///
    /// As long as no writer has come, reads give 0 as they do after the last writer has gone; waiting for
    /// readiness (`poll(2)`, an event loop) waits for the first writer's bytes.
    ///
    /// # Errors
    /// Those of [`open_read`](Self::open_read).
    pub fn open_read_now(&self) -> Result<Reader> {
        let end = self
            .open_end(OFlags::RDONLY | OFlags::NONBLOCK, Wait::forever())
            .map_err(explain(self, OPEN_READ))?;
        make_blocking(&end).map_err(|errno| self.error(OPEN_READ, errno))?;
        Ok(Reader::from_end(end))
    }

    /// Opens the write end, waiting until some process opens the read end: `O_WRONLY`.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): the mode forbids it.
    /// [`Unsupported`](ErrorKind::Unsupported): `/proc` is not mounted.
    pub fn open_write(&self) -> Result<Writer> {
        self.open_write_wait(Wait::forever())
    }

    /// Opens the write end if some process has the read end open now: `O_WRONLY` with `O_NONBLOCK`, which is cleared
    /// again.
    ///
    /// # Errors
    /// [`NoPeer`](ErrorKind::NoPeer) (`ENXIO`); those of [`open_write`](Self::open_write).
    pub fn try_open_write(&self) -> Result<Writer> {
        self.open_write_wait(Wait::never())
    }

    /// Opens the write end, waiting until `deadline` at the longest for a reader.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut); those of [`open_write`](Self::open_write).
    pub fn open_write_deadline(&self, deadline: Deadline) -> Result<Writer> {
        self.open_write_wait(Wait::until(deadline))
    }

    /// Opens the write end, waiting until some process opens the read end or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted); those of [`open_write`](Self::open_write).
    pub fn open_write_interruptible(&self) -> Result<Writer> {
        self.open_write_wait(Wait::forever().interruptible())
    }

    /// Opens the write end, waiting for a reader as told: in the kernel for ever, otherwise by trying again, at most
    /// 4 ms apart.
    ///
    /// # Errors
    /// Those of the wait, with [`NoPeer`](ErrorKind::NoPeer) for not waiting; those of
    /// [`open_write`](Self::open_write).
    pub fn open_write_wait(&self, wait: Wait) -> Result<Writer> {
        if wait.is_forever() {
            return self
                .open_end(OFlags::WRONLY, wait)
                .map(Writer::from_end)
                .map_err(explain(self, OPEN_WRITE));
        }
        let opened = wait.with_backoff(|| match self.open_descriptor(OFlags::WRONLY | OFlags::NONBLOCK) {
            Err(Errno::NXIO) if !wait.is_never() => Err(Errno::AGAIN),
            outcome => outcome,
        });
        let end = self.end(opened.map_err(explain(self, OPEN_WRITE))?);
        make_blocking(&end).map_err(|errno| self.error(OPEN_WRITE, errno))?;
        Ok(Writer::from_end(end))
    }

    /// Opens both ends in one description: `O_RDWR`, which POSIX leaves undefined and Linux makes never wait.
    ///
    /// Since this process is a writer, the reader never comes to the end of the data, however many writers come and
    /// go: what a server wants that reads one FIFO for good. And since it is a reader, writing never fails for want
    /// of one: a message may reach nobody but its sender. Dropping one of the two changes nothing, as both ends stay
    /// open until both are dropped.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): the mode forbids reading or writing.
    #[doc(alias = "O_RDWR")]
    pub fn open_read_write(&self) -> Result<(Reader, Writer)> {
        let end = self.open_end(OFlags::RDWR, Wait::forever()).map_err(explain(self, OPEN_BOTH))?;
        let second = end.duplicate()?;
        Ok((Reader::from_end(end), Writer::from_end(second)))
    }

    fn open_end(&self, flags: OFlags, wait: Wait) -> Result<End, Errno> {
        // Waits for a partner without O_NONBLOCK; not a timeout, but the same treatment of signals.
        wait.with_timeout(|_| self.open_descriptor(flags)).map(|fd| self.end(fd))
    }

    /// Opens the inode that was checked, whatever stands at the path now.
    fn open_descriptor(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", self.inode.as_raw_fd());
        open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, rustix::fs::Mode::empty())
    }

    fn end(&self, fd: OwnedFd) -> End {
        End::new(fd, Mechanism::Fifo, self.object.clone())
    }
}

fn explain(fifo: &Fifo, operation: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| {
        let error = fifo.error(operation, errno);
        match errno {
            // The inode is held, so it is not the FIFO that is missing.
            Errno::NOENT => {
                error.with_kind(ErrorKind::Unsupported).with_advice("mount /proc, through which it is opened")
            }
            Errno::NXIO => error.with_advice("no process has it open for reading"),
            _ => error,
        }
    }
}

/// Waits until the FIFO has a writer, or has had one since it was opened. Consumes nothing.
///
/// The kernel has no event for the arrival of a writer that has written nothing: hence the back-off.
fn wait_for_writer(reader: &End, wait: Wait) -> Result<(), Errno> {
    // With its read end, or writing to it would raise SIGPIPE.
    let (_held, scratch) = pipe_with(PipeFlags::CLOEXEC)?;
    wait.with_backoff(|| if has_writer(reader, &scratch)? { Ok(()) } else { Err(Errno::AGAIN) })
}

fn has_writer(reader: &End, scratch: &OwnedFd) -> Result<bool, Errno> {
    let mut polled = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
    // Bytes, or POLLHUP: a writer has come and gone since this descriptor was opened.
    if poll(&mut polled, Some(&timespec(Duration::ZERO)))? > 0 {
        return Ok(true);
    }
    match tee(reader, scratch, 1, SpliceFlags::NONBLOCK) {
        Ok(0) => Ok(false),
        // It has a writer but no bytes, or it has bytes.
        Ok(_) | Err(Errno::AGAIN) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Clears `O_NONBLOCK` on a description that nobody else has seen yet.
fn make_blocking(end: &End) -> Result<(), Errno> {
    let flags = fcntl_getfl(end)?;
    fcntl_setfl(end, flags - OFlags::NONBLOCK)
}
