//! Several messages with one system call, over any socket that keeps message boundaries: `sendmmsg(2)`, `recvmmsg(2)`.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, ReturnFlags};
use twixt_sys::socket::{self as sys, Incoming};

pub use twixt_sys::socket::MOST_AT_ONCE;

use super::transfer::{receive_flags, send_flags};
use crate::{Errno, Wait};

/// `sendmmsg(2)` once the first message can be sent.
pub(crate) fn send(fd: BorrowedFd<'_>, messages: &[IoSlice<'_>], wait: Wait) -> Result<usize, Errno> {
    if messages.is_empty() {
        return Ok(0);
    }
    wait.on_descriptor(fd, PollFlags::OUT, |attempt| sys::send_many(fd, messages, send_flags(attempt)))
}

/// `recvmmsg(2)` once there is a message. `lens` are the lengths that the messages had.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    rooms: &mut [IoSliceMut<'_>],
    lens: &mut [usize],
    wait: Wait,
) -> Result<usize, Errno> {
    let count = rooms.len().min(lens.len()).min(MOST_AT_ONCE);
    if count == 0 {
        return Ok(0);
    }
    let mut incoming = [Incoming { len: 0, flags: ReturnFlags::empty() }; MOST_AT_ONCE];
    let came = wait.on_descriptor(fd, PollFlags::IN, |attempt| {
        let flags = RecvFlags::TRUNC | receive_flags(attempt);
        sys::receive_many(fd, rooms, &mut incoming[..count], flags)
    })?;
    for (len, incoming) in lens.iter_mut().zip(&incoming[..came]) {
        *len = incoming.len;
    }
    Ok(came)
}

/// The longest of the messages, for what an error says of limits.
pub(crate) fn longest(messages: &[IoSlice<'_>]) -> usize {
    messages.iter().map(|message| message.len()).max().unwrap_or(0)
}
