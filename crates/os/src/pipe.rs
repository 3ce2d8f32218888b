//! Anonymous pipes: a one-way stream of bytes between related processes. `pipe(7)`.
//!
//! A pipe is a buffer in the kernel with a [`Writer`] and a [`Reader`]. The ends reach another process by
//! inheritance: as its standard streams, or under any number with [`PassDescriptors`](crate::inherit::PassDescriptors).
//!
//! ```
//! use std::io::{Read, Write};
//! use std::process::Command;
//! use twixt_os::pipe;
//!
//! let (for_child, to_child) = pipe::create()?;
//! let (mut from_child, by_child) = pipe::create()?;
//! let mut child = Command::new("tr").args(["a-z", "A-Z"]).stdin(for_child).stdout(by_child).spawn()?;
//!
//! (&to_child).write_all(b"between us\n")?;
//! drop(to_child); // the last copy of the write end: now `tr` reads the end of the data
//! let mut answer = String::new();
//! from_child.read_to_string(&mut answer)?;
//! assert_eq!(answer, "BETWEEN US\n");
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What both ends can rely on
//!
//! * Bytes arrive in order and once. Without [`Flags::PACKETS`] there are no boundaries: one read may return parts
//!   of several writes.
//! * [`read`](Reader::read) waits while the pipe is empty and somebody holds the write end; it returns what is there,
//!   if only one byte; with every copy of the write end closed it returns what is left, and then 0 for ever.
//! * [`write`](Writer::write) waits while the pipe is full and somebody holds the read end. With every copy of the
//!   read end closed it fails with [`PeerGone`](crate::ErrorKind::PeerGone), and no SIGPIPE is raised, whatever the
//!   process's disposition is.
//! * Up to [`PIPE_BUF`] bytes are written as one piece, never mixed with those of other writers:
//!   [`Writer::write_atomic`] insists on it.
//!
//! # Not waiting
//!
//! `O_NONBLOCK` belongs to the open file description, which other processes may share, so this module leaves it
//! alone. The forms that do not wait, or not for ever, ask per call (`RWF_NOWAIT`); where the kernel does not offer
//! that (FIFOs; pipes before Linux 6.4, or through which pages were moved) the handle opens the pipe a second time through `/proc/self/fd` with
//! `O_NONBLOCK`, once, when it is first needed.

use rustix::pipe::{PipeFlags, pipe_with};

use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object, Result};

mod capacity;
mod end;
mod reader;
mod splice;
mod vectored;
mod writer;

pub use reader::Reader;
pub use twixt_sys::pipe::Vector;
pub use writer::{WriteAllError, Writer};

pub(crate) use end::End;

/// The most bytes that a single write puts into a pipe or FIFO as one piece: 4096 on Linux.
pub const PIPE_BUF: usize = rustix::pipe::PIPE_BUF;

bitflags::bitflags! {
    /// How a pipe is made: `pipe2(2)`. `O_CLOEXEC` is always set; an end reaches a child only when it is passed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u32 {
        /// `O_DIRECT`: each write of up to [`PIPE_BUF`] bytes is a packet, and each read takes one. What does not
        /// fit the reader's buffer is lost; longer writes become several packets; an empty write is none.
        #[doc(alias = "O_DIRECT")]
        const PACKETS = PipeFlags::DIRECT.bits();
        /// `O_NONBLOCK` on both ends, for a program that will inherit one and expects it. The handles of this module
        /// need it for nothing: their blocking forms wait all the same.
        #[doc(alias = "O_NONBLOCK")]
        const NONBLOCK = PipeFlags::NONBLOCK.bits();
        /// `O_NOTIFICATION_PIPE`: a pipe that only the kernel writes to, for `keyctl_watch_key(3)`. Kernels built
        /// without it say [`Unsupported`](ErrorKind::Unsupported).
        #[doc(alias = "O_NOTIFICATION_PIPE")]
        const NOTIFICATION = rustix::fs::OFlags::EXCL.bits();
    }
}

/// Makes a pipe: `pipe2(2)`, with `O_CLOEXEC`.
///
/// Its capacity is 65536 bytes (16 pages), or two pages once the user's pipes take more than
/// `fs.pipe-user-pages-soft` pages; see [`Writer::set_capacity`].
///
/// ```
/// let (reader, writer) = twixt_os::pipe::create()?;
/// writer.write_all(b"1233")?;
/// let mut buffer = [0; 64];
/// assert_eq!(reader.read(&mut buffer)?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LimitReached`](ErrorKind::LimitReached): this process has too many descriptors (`RLIMIT_NOFILE`), the system
/// has (`fs.file-max`), or the user's pipes take too much memory (`fs.pipe-user-pages-hard`).
#[doc(alias = "pipe")]
pub fn create() -> Result<(Reader, Writer)> {
    create_with(Flags::empty())
}

/// Makes a pipe with flags: `pipe2(2)`. See [`create`].
///
/// ```
/// use twixt_os::pipe::{self, Flags};
///
/// let (reader, writer) = pipe::create_with(Flags::PACKETS)?;
/// writer.write_atomic(b"one")?;
/// writer.write_atomic(b"two")?;
/// let mut buffer = [0; 64];
/// assert_eq!(reader.read(&mut buffer)?, 3);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Errors
/// Those of [`create`].
#[doc(alias = "pipe2")]
pub fn create_with(flags: Flags) -> Result<(Reader, Writer)> {
    let flags = PipeFlags::from_bits_retain(flags.bits()) | PipeFlags::CLOEXEC;
    let (reader, writer) = pipe_with(flags).map_err(explain_create)?;
    let reader = End::anonymous(reader);
    let writer = End::anonymous(writer);
    Ok((Reader::from_end(reader), Writer::from_end(writer)))
}

fn explain_create(errno: Errno) -> Error {
    let error = Error::kernel(Mechanism::Pipe, "create", Object::Unnamed, errno);
    match errno {
        Errno::NFILE => error.with_limit(what_enfile_means()),
        Errno::NOPKG => error.with_kind(ErrorKind::Unsupported),
        _ => error.with_descriptor_limit(),
    }
}

/// `ENFILE` stands for two limits: open files of the system, and pages in pipes of the user.
fn what_enfile_means() -> Limit {
    let open_files = Limit::sysctl("fs.file-nr", 0);
    let most_files = Limit::sysctl("fs.file-max", 0);
    let pages = Limit::sysctl("fs.pipe-user-pages-hard", 0);
    match pages.current {
        Some(1..) if open_files.current < most_files.current => pages,
        _ => most_files,
    }
}
