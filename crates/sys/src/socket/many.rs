//! `sendmmsg(2)` and `recvmmsg(2)`: several messages with one system call.

use core::mem::MaybeUninit;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{RecvFlags, ReturnFlags, SendFlags};

use super::Incoming;
use crate::Errno;
use crate::call::checked;

/// The most messages that one call here moves. The kernel takes up to 1024; a call costs little beside so many.
pub const MOST_AT_ONCE: usize = 64;

/// `sendmmsg(2)`: each slice is a message to the peer. Says how many went, of which there is at least one; no more than
/// [`MOST_AT_ONCE`] go.
///
/// An error that comes after the first message is told by the next call.
///
/// # Errors
/// Those of `send(2)` for the first message.
pub fn send_many(fd: BorrowedFd<'_>, messages: &[IoSlice<'_>], flags: SendFlags) -> Result<usize, Errno> {
    let count = messages.len().min(MOST_AT_ONCE);
    let mut headers = [empty_header(); MOST_AT_ONCE];
    for (header, message) in headers.iter_mut().zip(messages) {
        // An `IoSlice` is an `iovec`, as the standard library promises.
        header.msg_hdr.msg_iov = core::ptr::from_ref(message).cast_mut().cast();
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers each point to one slice of `messages`, which points to bytes that it borrows; all of
    // them outlive the call, which writes to the headers alone.
    let sent =
        unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count as u32, flags.bits() as _) };
    Ok(checked(sent)? as usize)
}

/// `recvmmsg(2)`: a message into each room, as many as are there, and waits for the first one only (`MSG_WAITFORONE`).
/// Writes to `incoming` what [`receive`](super::receive) tells of each, and says how many came; no more than
/// [`MOST_AT_ONCE`] do, nor than `incoming` has places.
///
/// There is no room for control messages: the kernel closes descriptors that came along.
///
/// # Errors
/// Those of `recv(2)` for the first message.
pub fn receive_many(
    fd: BorrowedFd<'_>,
    rooms: &mut [IoSliceMut<'_>],
    incoming: &mut [Incoming],
    flags: RecvFlags,
) -> Result<usize, Errno> {
    let count = rooms.len().min(incoming.len()).min(MOST_AT_ONCE);
    let mut headers = [empty_header(); MOST_AT_ONCE];
    for (header, room) in headers.iter_mut().zip(rooms.iter_mut()) {
        header.msg_hdr.msg_iov = core::ptr::from_mut(room).cast();
        header.msg_hdr.msg_iovlen = 1;
    }
    let flags = flags.bits().cast_signed() | libc::MSG_WAITFORONE;
    // SAFETY: the first `count` headers each point to one slice of `rooms`, which points to bytes that it mutably borrows; all
    // of them outlive the call, and no two are the same. A null timeout is allowed.
    let came = unsafe {
        libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count as u32, flags as _, core::ptr::null_mut())
    };
    let came = checked(came)? as usize;
    for (header, incoming) in headers[..came].iter().zip(incoming) {
        incoming.len = header.msg_len as usize;
        incoming.flags = ReturnFlags::from_bits_retain(header.msg_hdr.msg_flags.cast_unsigned());
    }
    Ok(came)
}

fn empty_header() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is made of pointers and integers, for which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
