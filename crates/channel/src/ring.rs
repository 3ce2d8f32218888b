//! Rings of messages in shared memory, guarded by semaphores of the same family: `mmap:`, `posix-shm:`, `sysv-shm:`.
//!
//! A ring is a monitor. The truth is in the memory: two counters, and the messages between them; a short section, in which
//! one participant is at a time, moves messages; and semaphores wake those who sleep, which they do only when there is
//! nothing to do, and never for longer than a tenth of a second without looking. So nobody depends on anybody's wake-up:
//! a participant may die at any instruction, and all that its death can cost the others is that time.
//!
//! And nobody depends on anybody's bytes: whoever may write to the memory may write anything to it, and every number that
//! is read there is checked before it is used. What cannot be is [`Malformed`](twixt_os::ErrorKind::Malformed).
//!
//! | module | |
//! |---|---|
//! | `layout` | what stands where in the object |
//! | `queue` | the ring itself, pure |
//! | `guard` | what a family of mechanisms provides for it |
//! | `owner` | mutual exclusion that survives its owner |
//! | `posix`, `sysv` | the two families |
//! | `transfer` | sending and receiving, and waiting for it |
//! | `mailbox`, `duplex` | what users open |
//! | `companion` | what is to be removed with a ring |
//!
//! `docs/ring-format.md` gives the bytes and the argument.

use std::os::fd::{BorrowedFd, OwnedFd};

use twixt_address::OptionName;
use twixt_os::{Error, ErrorKind};

use crate::Opening;
use crate::mechanism::create;
use crate::origin::Origin;

mod companion;
mod duplex;
mod fault;
mod guard;
mod layout;
mod mailbox;
mod owner;
mod posix;
mod queue;
mod space;
mod step;
mod sysv;
mod transfer;

pub use companion::companions;
pub(crate) use duplex::{posix_connect, posix_listen, sysv_connect, sysv_listen};
pub(crate) use mailbox::{capabilities, posix_receiver, posix_sender, sysv_receiver, sysv_sender};

use layout::Unfit;

#[cfg(test)]
mod tests;

/// Refuses what says how a ring is made where none is to be made, and two ways to say how long it is.
fn refuse_without_create(opening: &Opening) -> twixt_os::Result<()> {
    use OptionName::{Budget, Capacity, Mode, Size};
    create::only_with_create(opening, &[Mode, Capacity, Budget, Size])?;
    if opening.address().options().size().is_some() {
        let why = "it follows from size, which is that of the whole object";
        opening.without("open", &[Capacity, Budget], why)?;
    }
    Ok(())
}

/// The error of what an address or an object says.
fn unfit<T>(outcome: Result<T, Unfit>, operation: &'static str, origin: &Origin) -> twixt_os::Result<T> {
    outcome.map_err(|Unfit { kind, why }| {
        let error = Error::refused(origin.mechanism, operation, origin.object.clone(), kind, why);
        match kind {
            ErrorKind::Malformed => error.with_advice("remove it and make it anew, if it is nobody else's"),
            _ => error,
        }
    })
}

/// What mapping said, about the object as the user named it.
fn in_terms_of<T>(outcome: twixt_os::Result<T>, origin: &Origin) -> twixt_os::Result<T> {
    outcome.map_err(|error| error.with_object(origin.object.clone()))
}

/// Another descriptor of the same open file.
fn duplicate(descriptor: BorrowedFd<'_>, origin: &Origin) -> twixt_os::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(descriptor, 3)
        .map_err(|errno| Error::kernel(origin.mechanism, "open", origin.object.clone(), errno))
}
