//! `sendmsg(2)` and `recvmsg(2)` with control messages and Unix addresses.

use core::mem::MaybeUninit;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{RecvFlags, ReturnFlags, SendFlags};

use super::{Control, UnixName};
use crate::Errno;
use crate::call::checked;

/// What [`receive`] tells beside the bytes and the control messages.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// The bytes written to the buffer, or the length of the whole message if `MSG_TRUNC` was among the flags.
    pub len: usize,
    /// `MSG_TRUNC`, `MSG_CTRUNC`, ... as the kernel set them.
    pub flags: ReturnFlags,
}

/// `sendmsg(2)`: the bytes of all slices, to an address if there is one, with the control messages if there are any.
pub fn send(
    fd: BorrowedFd<'_>,
    slices: &[IoSlice<'_>],
    to: Option<&UnixName>,
    control: &Control,
    flags: SendFlags,
) -> Result<usize, Errno> {
    let mut header = empty_header();
    // An `IoSlice` is an `iovec`, as the standard library promises.
    header.msg_iov = slices.as_ptr().cast_mut().cast();
    header.msg_iovlen = slices.len() as _;
    let (outgoing, len) = control.outgoing();
    if len > 0 {
        header.msg_control = outgoing.cast_mut().cast();
        header.msg_controllen = len as _;
    }
    if let Some(to) = to {
        let (address, len) = to.as_sockaddr();
        header.msg_name = address.cast_mut().cast();
        header.msg_namelen = len;
    }
    // SAFETY: the header points to `slices`, which point to bytes that they borrow, to `outgoing` and to the address, each
    // with its own length; all of them outlive the call, which writes to none.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags.bits().cast_signed()) };
    Ok(checked(sent as i64)? as usize)
}

/// `recvmsg(2)`: into the buffer, the control messages into `control`, whose earlier content is closed, and the sender's
/// address into `from`, where the kernel gives it: datagram and seqpacket sockets.
///
/// Without a `control` there is no room for control messages: the kernel closes descriptors that the sender attached,
/// and sets `MSG_CTRUNC` where there were any, and also where `SO_PASSCRED` would have had credentials come.
pub fn receive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: Option<&mut Control>,
    from: Option<&mut UnixName>,
    flags: RecvFlags,
) -> Result<Incoming, Errno> {
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = empty_header();
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    let (mut control, mut from) = (control, from);
    if let Some(from) = &mut from {
        header.msg_name = from.as_mut_ptr().cast();
        header.msg_namelen = UnixName::CAPACITY;
    }
    if let Some(control) = &mut control {
        let (room, len) = control.incoming();
        header.msg_control = room.cast();
        header.msg_controllen = len as _;
    }
    // SAFETY: the header points to `buffer`, and to `from` and the room in `control` if there are any, each with its own length and mutably
    // borrowed here, and to `vector`; all of them outlive the call.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags.bits().cast_signed()) };
    let len = checked(len as i64)? as usize;
    if let Some(control) = control {
        control.set_written(header.msg_controllen as _);
    }
    if let Some(from) = from {
        from.set_written(header.msg_namelen);
    }
    Ok(Incoming { len, flags: ReturnFlags::from_bits_retain(header.msg_flags.cast_unsigned()) })
}

fn empty_header() -> libc::msghdr {
    // SAFETY: `msghdr` is made of pointers and integers, for which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
