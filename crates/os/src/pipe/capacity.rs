//! How much a pipe holds, and how much is in it: `F_GETPIPE_SZ`, `F_SETPIPE_SZ`, `FIONREAD`.

use rustix::io::ioctl_fionread;
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use crate::pipe::{End, Reader, Writer};
use crate::{Errno, Error, ErrorKind, Limit, Result};

impl Reader {
    /// The bytes that the pipe holds when it is full: `F_GETPIPE_SZ`. See [`Writer::capacity`].
    ///
    /// # Errors
    /// None in practice.
    #[doc(alias = "F_GETPIPE_SZ")]
    pub fn capacity(&self) -> Result<usize> {
        capacity(self.end())
    }

    /// Sets the capacity: `F_SETPIPE_SZ`. See [`Writer::set_capacity`].
    ///
    /// # Errors
    /// Those of [`Writer::set_capacity`].
    #[doc(alias = "F_SETPIPE_SZ")]
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        set_capacity(self.end(), bytes)
    }

    /// The bytes that are in the pipe now, waiting to be read: `FIONREAD`.
    ///
    /// ```
    /// let (reader, writer) = twixt_os::pipe::create()?;
    /// writer.write_atomic(b"12345")?;
    /// assert_eq!(reader.queued()?, 5);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// None in practice.
    #[doc(alias = "FIONREAD")]
    pub fn queued(&self) -> Result<usize> {
        queued(self.end())
    }
}

impl Writer {
    /// The bytes that the pipe holds when it is full: `F_GETPIPE_SZ`. 65536 if nobody has changed it.
    ///
    /// The pipe holds pages, and a write begins a new one if its last page has no room for all of it; so writes of
    /// odd sizes fill it sooner.
    ///
    /// # Errors
    /// None in practice.
    #[doc(alias = "F_GETPIPE_SZ")]
    pub fn capacity(&self) -> Result<usize> {
        capacity(self.end())
    }

    /// Sets the capacity: `F_SETPIPE_SZ`. Returns what it is now: the kernel rounds up to a power of two of pages.
    ///
    /// ```
    /// let (_reader, writer) = twixt_os::pipe::create()?;
    /// assert_eq!(writer.set_capacity(100_000)?, 131_072);
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// * [`LimitReached`](ErrorKind::LimitReached): more than `fs.pipe-max-size` (1 MiB by default), which only
    ///   CAP_SYS_RESOURCE may pass; or the user's pipes would take more than `fs.pipe-user-pages-soft` (16384 pages
    ///   by default) or `-hard`, counted in pages, which only CAP_SYS_RESOURCE or CAP_SYS_ADMIN may pass.
    /// * [`Busy`](ErrorKind::Busy): more bytes are in the pipe than it would hold.
    /// * [`OutOfRange`](ErrorKind::OutOfRange): more than 2 GiB.
    #[doc(alias = "F_SETPIPE_SZ")]
    pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
        set_capacity(self.end(), bytes)
    }

    /// The bytes that are in the pipe now, which nobody has read yet: `FIONREAD`.
    ///
    /// # Errors
    /// None in practice.
    #[doc(alias = "FIONREAD")]
    pub fn queued(&self) -> Result<usize> {
        queued(self.end())
    }
}

const SET: &str = "set the capacity of";

/// What `F_SETPIPE_SZ` takes: beyond, the kernel would see another number.
const MOST: usize = 1 << 31;

fn capacity(end: &End) -> Result<usize> {
    fcntl_getpipe_size(end).map_err(|errno| end.error("get the capacity of", errno))
}

fn set_capacity(end: &End, bytes: usize) -> Result<usize> {
    if bytes > MOST {
        return Err(end.refuse(SET, ErrorKind::OutOfRange, "a pipe holds at most 2 GiB (2147483648 bytes)"));
    }
    match fcntl_setpipe_size(end, bytes) {
        Ok(_) => capacity(end),
        Err(errno) => Err(explain(end.error(SET, errno), errno, bytes)),
    }
}

fn explain(error: Error, errno: Errno, bytes: usize) -> Error {
    match errno {
        Errno::PERM => {
            let error = error.with_kind(ErrorKind::LimitReached);
            let most = Limit::sysctl("fs.pipe-max-size", 0).needed(bytes as u64);
            if most.is_exceeded() {
                return error.with_limit(most);
            }
            let soft = Limit::sysctl("fs.pipe-user-pages-soft", 0);
            let limit =
                if soft.current == Some(0) { Limit::sysctl("fs.pipe-user-pages-hard", 0) } else { soft };
            error.with_limit(limit).with_advice("close pipes of this user, or make them smaller")
        }
        Errno::BUSY => error.with_advice("read what is in it first"),
        _ => error,
    }
}

fn queued(end: &End) -> Result<usize> {
    let bytes = ioctl_fionread(end).map_err(|errno| end.error("count the bytes in", errno))?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}
