//! What the kernel's errors mean on a message queue.

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::Resource;

use super::{Limits, MECHANISM, Queue};
use crate::{Errno, Error, ErrorKind, Limit, Object};

pub(super) fn open(operation: &'static str, object: Object, errno: Errno, limits: Option<Limits>) -> Error {
    let error = Error::kernel(MECHANISM, operation, object, errno);
    match errno {
        Errno::MFILE => no_room(error, limits.unwrap_or_else(system_defaults)),
        Errno::INVAL => match limits {
            Some(limits) => bad_limits(error, limits),
            None => error,
        },
        Errno::NOSPC => error
            .with_kind(ErrorKind::LimitReached)
            .with_limit(Limit::sysctl("fs.mqueue.queues_max", 0))
            .with_advice("unlink queues that are not needed, or have root raise the limit"),
        Errno::NOSYS => error.with_advice("this kernel has no POSIX message queues (CONFIG_POSIX_MQUEUE)"),
        _ => error,
    }
}

/// `EMFILE` means two things: no descriptor left, or no bytes left for queues.
fn no_room(error: Error, limits: Limits) -> Error {
    if eventfd(0, EventfdFlags::CLOEXEC).is_err_and(|errno| errno == Errno::MFILE) {
        return error.with_descriptor_limit();
    }
    let limit = Limit::rlimit("RLIMIT_MSGQUEUE", Resource::Msgqueue).needed(limits.kernel_bytes());
    let advice = if limit.is_exceeded() {
        "raise it with `ulimit -q`, or ask for fewer or smaller messages"
    } else {
        "all queues of the user count: unlink some, raise it with `ulimit -q`, or ask for fewer or smaller messages"
    };
    error.with_limit(limit).with_advice(advice)
}

fn bad_limits(error: Error, limits: Limits) -> Error {
    if limits.max_messages == 0 || limits.message_size == 0 {
        return error.with_advice("a queue holds at least one message of at least one byte");
    }
    let advice = "ask for less, or have root raise the limit";
    let messages = Limit::sysctl("fs.mqueue.msg_max", 0).needed(limits.max_messages as u64);
    let size = Limit::sysctl("fs.mqueue.msgsize_max", 0).needed(limits.message_size as u64);
    for limit in [messages, size] {
        if limit.is_exceeded() {
            return error.with_kind(ErrorKind::LimitReached).with_limit(limit).with_advice(advice);
        }
    }
    error
}

fn system_defaults() -> Limits {
    let read = |name| Limit::sysctl(name, 0).current.map_or(0, |value| value as usize);
    Limits {
        max_messages: read("fs.mqueue.msg_default").min(read("fs.mqueue.msg_max")),
        message_size: read("fs.mqueue.msgsize_default").min(read("fs.mqueue.msgsize_max")),
    }
}

#[cold]
pub(super) fn send(queue: &Queue, errno: Errno, needed: usize) -> Error {
    let error = Error::kernel(MECHANISM, "send to", queue.object.clone(), errno);
    match errno {
        Errno::MSGSIZE => error.with_limit(Limit {
            name: "the queue's mq_msgsize",
            current: Some(queue.message_size as u64),
            needed: Some(needed as u64),
        }),
        Errno::BADF => error.with_advice("it was opened for reading only"),
        _ => error,
    }
}

#[cold]
pub(super) fn receive(queue: &Queue, errno: Errno, room: usize) -> Error {
    let error = Error::kernel(MECHANISM, "receive from", queue.object.clone(), errno);
    match errno {
        Errno::MSGSIZE => error.with_limit(Limit {
            name: "the buffer's size",
            current: Some(room as u64),
            needed: Some(queue.message_size as u64),
        }),
        Errno::BADF => error.with_advice("it was opened for writing only"),
        _ => error,
    }
}
