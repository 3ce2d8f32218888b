//! What the kernel's errnos mean, operation by operation.

use core::sync::atomic::Ordering;

use twixt_sys::sysv::msg as sys;

use super::send::NEVER_FITS;
use super::{MECHANISM, Message, Queue, Select};
use crate::sysv::{self, Key};
use crate::{Errno, Error, ErrorKind, Limit, Object};

/// `msgget(2)` failed.
pub(super) fn get(operation: &'static str, key: Key, errno: Errno) -> Error {
    let error = Error::kernel(MECHANISM, operation, key.into(), errno);
    match errno {
        Errno::NOSPC => error
            .with_kind(ErrorKind::LimitReached)
            .with_limit(msgmni())
            .with_advice("remove queues that nobody needs (`ipcs -q`, `ipcrm -q`), or raise it with sysctl"),
        Errno::EXIST => error.with_advice("open it, or remove it first"),
        Errno::NOENT => error.with_advice("no queue has this key; create it first"),
        Errno::ACCESS => error.with_advice("the queue exists; its mode does not grant the access asked for"),
        _ => error,
    }
}

fn msgmni() -> Limit {
    let current = sys::limits().ok().and_then(|limits| u64::try_from(limits.msgmni).ok());
    let in_use = sys::usage().ok().and_then(|usage| u64::try_from(usage.queues).ok());
    Limit { name: "kernel.msgmni", current, needed: in_use.map(|queues| queues + 1) }
}

impl Queue {
    /// What all operations on an open queue have in common. Allocates nothing.
    pub(super) fn failure(&self, operation: &'static str, errno: Errno) -> Error {
        sysv::failure::on_object(MECHANISM, operation, self.object.clone(), errno)
    }

    /// `msgsnd(2)` of `len` bytes failed.
    #[cold]
    pub(super) fn send_failure(&self, len: usize, errno: Errno) -> Error {
        match errno {
            NEVER_FITS => self.never_fits(len, self.qbytes.load(Ordering::Relaxed)),
            Errno::INVAL => {
                let limit = msgmax().needed(len as u64);
                if limit.is_exceeded() {
                    self.beyond_msgmax("send to", limit)
                } else {
                    self.failure("send to", errno)
                }
            }
            _ => self.failure("send to", errno),
        }
    }

    /// The kernel refuses a message for its length, or would.
    pub(super) fn beyond_msgmax(&self, operation: &'static str, limit: Limit) -> Error {
        Error::kernel(MECHANISM, operation, self.object.clone(), Errno::INVAL)
            .with_kind(ErrorKind::LimitReached)
            .with_limit(limit)
            .with_advice("raise it with sysctl, or send the message in parts")
    }

    /// The message is longer than the whole queue: the kernel would let it wait for ever.
    fn never_fits(&self, len: usize, qbytes: u64) -> Error {
        let why = "the message would not fit even if the queue were empty";
        let needed = (len as u64).max(1);
        Error::refused(MECHANISM, "send to", self.object.clone(), ErrorKind::TooLong, why)
            .with_limit(Limit { name: "the queue's qbytes", current: Some(qbytes), needed: Some(needed) })
            .with_advice("raise it with `Queue::set`; new queues get kernel.msgmnb")
    }

    /// `msgrcv(2)` failed.
    #[cold]
    pub(super) fn receive_failure(&self, select: Select, message: &Message, errno: Errno) -> Error {
        match errno {
            // What the kernel says is ENOMSG; EAGAIN is what the waiting makes of it.
            Errno::AGAIN => self.failure("receive from", Errno::NOMSG).with_kind(ErrorKind::WouldBlock),
            Errno::TOOBIG => {
                let needed = self.length_of_next(select, message.capacity());
                self.buffer_too_small("receive from", message, needed)
            }
            _ => self.failure("receive from", errno),
        }
    }

    pub(super) fn buffer_too_small(
        &self,
        operation: &'static str,
        message: &Message,
        needed: Option<u64>,
    ) -> Error {
        let limit = Limit { name: "the buffer's capacity", current: Some(message.capacity() as u64), needed };
        self.failure(operation, Errno::TOOBIG)
            .with_limit(limit)
            .with_advice("the message is still in the queue; reserve more, or have it cut")
    }
}

/// The limit of one message's length, without a need.
pub(super) fn msgmax() -> Limit {
    let current = sys::limits().ok().and_then(|limits| u64::try_from(limits.msgmax).ok());
    Limit { name: "kernel.msgmax", current, needed: None }
}

/// `msgctl(2)` failed for all queues, not for one.
pub(super) fn system(operation: &'static str, errno: Errno) -> Error {
    Error::kernel(MECHANISM, operation, Object::Unnamed, errno)
}
