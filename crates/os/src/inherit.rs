//! Descriptors that a program starts with: giving them to a command, and taking over what was given.
//!
//! A descriptor without a name (a pipe's end, an eventfd, a memfd, a socket) reaches another program over a Unix socket,
//! or here: the parent passes it under a number, and the child takes it over under that number.
//!
//! ```
//! use std::os::fd::AsFd;
//! use std::process::Command;
//! use twixt_os::eventfd::EventFd;
//! use twixt_os::inherit::PassDescriptors;
//!
//! let done = EventFd::create(0)?;
//! let mut command = Command::new("sh");
//! command.args(["-c", r"printf '\1\1\1\1\1\1\1\1' >&8"]);
//! command.pass_descriptors([(done.as_fd().try_clone_to_owned()?, 8)])?;
//! let mut child = command.spawn()?;
//! drop(command); // it holds the descriptors that it passes
//! assert_eq!(done.read()?, 0x0101_0101_0101_0101);
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A child that uses this library says it so:
//!
//! ```no_run
//! use twixt_os::eventfd::EventFd;
//! EventFd::inherited(8)?.add(1)?;
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::os::fd::{OwnedFd, RawFd};
use std::process::Command;

use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object, Result};

/// Takes over the descriptor that this program was started with under `number`: what [`PassDescriptors`] or the shell's
/// `5<&3` has passed to it. Close-on-exec from now on.
///
/// The types for descriptors have an `inherited` of their own, which also sees whether it is one of theirs.
///
/// What `execve(2)` leaves open has no close-on-exec flag, and what Rust's standard library and this one open has: that
/// is how an inherited descriptor is known. The kernel keeps no other mark of it.
///
/// # What cannot be seen
///
/// A descriptor that the program itself owns, and that has no close-on-exec flag, looks like an inherited one: because a C
/// library or `rustix::fs::open` without `O_CLOEXEC` opened it, or because the flag was cleared (`rustix::io::fcntl_setfd`).
/// Naming such a number here gives it a second owner, and the first of the two to go closes it under the other. That
/// breaks I/O safety ([`std::os::fd`]) without a word of `unsafe`, and it is the one call of this library that can: name
/// only numbers that were agreed on with whoever started the program, and clear the flag of no descriptor with one of them.
/// To pass a descriptor on, leave its flag alone and use [`PassDescriptors`].
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), or it was taken
/// before or opened by this program itself.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    inherited_as(Mechanism::File, number)
}

/// The same, with the error of a mechanism.
pub(crate) fn inherited_as(mechanism: Mechanism, number: RawFd) -> Result<OwnedFd> {
    twixt_sys::spawn::inherited(number).map_err(|errno| {
        Error::kernel(mechanism, "take over", Object::Descriptor(number), errno)
            .with_advice("no such descriptor was inherited, or it was taken before")
    })
}

/// Lets a [`Command`] start with descriptors at given numbers, as the shell's `command 5<&12` does.
///
/// The program learns the numbers from its arguments, the environment or convention.
///
/// ```
/// use std::process::Command;
/// use twixt_os::inherit::PassDescriptors;
/// use twixt_os::pipe;
///
/// let (reader, writer) = pipe::create()?;
/// let mut command = Command::new("sh");
/// command.args(["-c", "echo to seven >&7"]).pass_descriptors([(writer, 7)])?;
/// let mut child = command.spawn()?;
/// drop(command); // it holds the descriptors that it passes
///
/// assert_eq!(std::io::read_to_string(reader)?, "to seven\n");
/// child.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait PassDescriptors {
    /// Has the command start with each descriptor at the number beside it. Everything else that is open in this
    /// process stays close-on-exec.
    ///
    /// Call it once for a command, with all the descriptors, since one call could overwrite in the child what
    /// another is to pass. A number may be one that is in use in this process; it means the child's.
    ///
    /// The descriptors belong to the command from then on. Drop it after spawning, or this process keeps the write
    /// end of a pipe open whose reader waits for the end of the data.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a number is negative or stands twice;
    /// [`LimitReached`](ErrorKind::LimitReached) if one is not below `RLIMIT_NOFILE`, or too many descriptors are
    /// open. Spawning fails with `EBUSY`, and starts nothing, if a number was in use here, was let go by another
    /// thread, and was then taken by the standard library for its own purposes; numbers above those that this
    /// process uses avoid that.
    fn pass_descriptors<D, I>(&mut self, descriptors: I) -> Result<&mut Self>
    where
        D: Into<OwnedFd>,
        I: IntoIterator<Item = (D, RawFd)>;
}

impl PassDescriptors for Command {
    fn pass_descriptors<D, I>(&mut self, descriptors: I) -> Result<&mut Self>
    where
        D: Into<OwnedFd>,
        I: IntoIterator<Item = (D, RawFd)>,
    {
        let descriptors: Vec<(OwnedFd, RawFd)> =
            descriptors.into_iter().map(|(descriptor, number)| (descriptor.into(), number)).collect();
        let highest = descriptors.iter().map(|(_, number)| *number).max();
        twixt_sys::spawn::pass_descriptors(self, descriptors).map_err(|errno| explain(errno, highest))?;
        Ok(self)
    }
}

const PASS: &str = "pass a descriptor to";

fn explain(errno: Errno, highest: Option<RawFd>) -> Error {
    let error = |errno| Error::kernel(Mechanism::Popen, PASS, Object::Unnamed, errno);
    let mut limit = Limit::descriptors();
    if let Some(highest) = highest.and_then(|number| u64::try_from(number).ok()) {
        limit = limit.needed(highest + 1);
    }
    match errno {
        Errno::INVAL if limit.is_exceeded() => {
            error(errno).with_kind(ErrorKind::LimitReached).with_limit(limit)
        }
        Errno::INVAL => {
            let why = "the numbers must be 0 or more and differ from each other";
            Error::refused(Mechanism::Popen, PASS, Object::Unnamed, ErrorKind::InvalidInput, why)
        }
        errno => error(errno).with_descriptor_limit(),
    }
}
