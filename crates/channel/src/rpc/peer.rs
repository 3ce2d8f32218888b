//! Seeing the other side's process end where the channel does not: over mailboxes.
//!
//! The two greetings say which process speaks. Each side then has the other's process as a descriptor (`pidfd_open(2)`),
//! which is readable once the process has ended, however it did.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::process::{Pid, getpid};
use twixt_os::signal::PidFd;
use twixt_os::{Error, ErrorKind, Result, Wait};

use super::service::{FNV_START, fnv};
use super::stop::{GLANCE, Stop, at_most, until_ready};
use super::wire::Who;
use crate::process::{Identity, has_ended};
use crate::{Message, Receiver, Sender};

/// The process at the other end.
#[derive(Debug, Default)]
pub(super) enum Peer {
    /// It has not said which it is, it is on another machine, or the channel sees it go.
    #[default]
    Unknown,
    /// Readable once it has ended.
    Known(PidFd),
    /// It had ended before it was looked at.
    Gone,
}

impl Peer {
    /// The process that a greeting names.
    pub(super) fn of(who: Option<Who>) -> Self {
        let Some(who) = who.filter(|it| place() == Some(it.place)) else { return Self::Unknown };
        let pid = i32::try_from(who.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Self::Unknown };
        match PidFd::open(pid) {
            // The number may have been given away before it was opened. /proc may hide whose it is.
            Ok(pidfd) => match Identity::of(pid.as_raw_nonzero().get()) {
                Some(present) if present.started != who.started => Self::Gone,
                _ => Self::Known(pidfd),
            },
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Self::Gone,
            Err(_) => Self::Unknown,
        }
    }

    /// What becomes readable when it ends.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Known(pidfd) => Some(pidfd.as_fd()),
            Self::Unknown | Self::Gone => None,
        }
    }

    /// Whether it is certain that it has ended.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Known(pidfd) => has_ended(pidfd),
            Self::Gone => true,
        }
    }

    /// Receives a message; `PeerGone` if the process has ended and there is none left of it; `WouldBlock` or `TimedOut`
    /// if it is time for another look, whether or not the time is up.
    pub(super) fn receive(
        &self,
        receiver: &mut Receiver,
        message: &mut Message,
        wait: Wait,
        stop: Option<&Stop>,
    ) -> Result<()> {
        let is_known = !matches!(self, Self::Unknown);
        if !is_known && (wait.is_never() || stop.is_none()) {
            return receiver.receive_wait(message, wait);
        }
        match receiver.receive_wait(message, Wait::never()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            received => return received,
        }
        if self.has_ended() {
            // It may have said something since.
            return receiver.receive_wait(message, Wait::never()).map_err(|error| match error.kind() {
                ErrorKind::WouldBlock => gone(receiver),
                _ => error,
            });
        }
        match receiver.readiness() {
            Ok(readiness) if !wait.is_never() => {
                let ready = until_ready(readiness, [stop.map(Stop::descriptor), self.descriptor()], wait);
                ready.map_err(|errno| receiver.origin().kernel("receive from", errno))?;
                receiver.receive_wait(message, Wait::never())
            }
            // Nothing but another look shows that it has ended, or that all is to end.
            _ => receiver.receive_wait(message, at_most(wait, GLANCE)),
        }
    }
}

/// What this process says of itself over such a channel; nothing where the channel sees who goes, or where it is not known.
pub(super) fn introduction(sender: &Sender, receiver: &Receiver) -> Option<Who> {
    if sender.capabilities().sees_end && receiver.capabilities().sees_end {
        return None;
    }
    let place = place()?;
    let Identity { pid, started } = Identity::of(getpid().as_raw_nonzero().get())?;
    Some(Who { place, started, pid: u32::try_from(pid).ok()? })
}

/// Where numbers of processes and times of starting mean the same: since when the machine runs, and which namespaces.
/// None if `/proc` is not this process's.
fn place() -> Option<u64> {
    if fs::read_link("/proc/self").ok()? != Path::new(&getpid().as_raw_nonzero().to_string()) {
        return None;
    }
    let hash = fnv(FNV_START, &fs::read("/proc/sys/kernel/random/boot_id").ok()?);
    let hash = fnv(hash, fs::read_link("/proc/self/ns/pid").ok()?.as_os_str().as_encoded_bytes());
    // Kernels without time namespaces have one time.
    let time = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    Some(fnv(hash, time.as_os_str().as_encoded_bytes()))
}

fn gone(receiver: &Receiver) -> Error {
    let why = "the process at the other end has ended";
    receiver.origin().refused("receive from", ErrorKind::PeerGone, why)
}
