//! `sendmsg(2)` and `recvmsg(2)` with control messages and Unix addresses.

use core::fmt;
use core::mem::MaybeUninit;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{RecvFlags, ReturnFlags, SendFlags};

use super::{Control, UnixName};
use crate::call::checked;
use crate::prepared::number;
use crate::{Errno, Prepared};

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

/// `recvmsg(2)`: into the buffer, and the sender's address into `from`, where the kernel gives it: datagram and seqpacket
/// sockets.
///
/// There is no room for control messages, which [`Receiving`] has: the kernel closes descriptors that the sender attached,
/// and sets `MSG_CTRUNC` where there were any, and also where `SO_PASSCRED` would have had credentials come.
pub fn receive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    from: Option<&mut UnixName>,
    flags: RecvFlags,
) -> Result<Incoming, Errno> {
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = empty_header();
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    let mut from = from;
    if let Some(from) = &mut from {
        header.msg_name = from.as_mut_ptr().cast();
        header.msg_namelen = UnixName::CAPACITY;
    }
    // SAFETY: the header points to `buffer`, and to `from` if there is one, each with its own length and mutably borrowed here, and
    // to `vector`; all of them outlive the call.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags.bits().cast_signed()) };
    let len = checked(len as i64)? as usize;
    if let Some(from) = from {
        from.set_written(header.msg_namelen);
    }
    Ok(Incoming { len, flags: ReturnFlags::from_bits_retain(header.msg_flags.cast_unsigned()) })
}

/// A message that is being received with what comes beside its bytes: by [preparing](Self::prepare) the call, making it, and
/// [finishing](Self::finish).
///
/// It can be used again for the next message.
pub struct Receiving {
    header: libc::msghdr,
    vector: libc::iovec,
    control: Control,
}

// SAFETY: the pointers in it are used by the call alone that borrows it together with what they lead to.
unsafe impl Send for Receiving {}

/// What the kernel never says of a message: stands where it writes its flags until it has written them.
const UNWRITTEN: i32 = -1;

impl Receiving {
    /// One that has received nothing.
    #[allow(clippy::new_without_default, reason = "a kilobyte should not be made by accident")]
    #[inline]
    pub fn new() -> Self {
        let mut header = empty_header();
        header.msg_flags = UNWRITTEN;
        let vector = libc::iovec { iov_base: core::ptr::null_mut(), iov_len: 0 };
        Self { header, vector, control: Control::new() }
    }

    /// `recvmsg(2)`: into the buffer, and the sender's address into `from`, where the kernel gives it. What is left of the
    /// message before is closed.
    #[inline]
    pub fn prepare<'a>(
        &'a mut self,
        fd: BorrowedFd<'a>,
        buffer: &'a mut [u8],
        from: Option<&'a mut UnixName>,
        flags: RecvFlags,
    ) -> Prepared<'a> {
        self.abandon();
        self.vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let header = &mut self.header;
        header.msg_iov = &raw mut self.vector;
        header.msg_iovlen = 1;
        match from {
            Some(from) => {
                header.msg_name = from.as_mut_ptr().cast();
                header.msg_namelen = UnixName::CAPACITY;
            }
            None => {
                header.msg_name = core::ptr::null_mut();
                header.msg_namelen = 0;
            }
        }
        let (room, len) = self.control.incoming();
        header.msg_control = room.cast();
        header.msg_controllen = len as _;
        // The kernel reads and writes the header, which leads to the vector, the room of the control messages, and with it to
        // the buffer and the address, each with its own length: all of them are mutably borrowed.
        let (header, flags) = (&raw mut *header as usize, flags.bits() as usize);
        Prepared::new(libc::SYS_recvmsg, [number(fd), header, flags, 0, 0, 0])
    }

    /// Takes note of what the kernel wrote beside the bytes, and gives the control messages. `from` is what the call was
    /// prepared with.
    ///
    /// Where the prepared call was not made, or has failed, there is nothing.
    #[inline]
    pub fn finish(&mut self, from: Option<&mut UnixName>) -> (ReturnFlags, &mut Control) {
        let flags = core::mem::replace(&mut self.header.msg_flags, UNWRITTEN);
        // Only the kernel has put anything else there, in a call that has written the rest as well.
        if flags == UNWRITTEN {
            return (ReturnFlags::empty(), &mut self.control);
        }
        self.control.set_written(self.header.msg_controllen as _);
        if let Some(from) = from {
            from.set_written(self.header.msg_namelen);
        }
        (ReturnFlags::from_bits_retain(flags.cast_unsigned()), &mut self.control)
    }

    /// Closes what a call has brought that was made and not finished.
    #[inline]
    fn abandon(&mut self) {
        if self.header.msg_flags != UNWRITTEN {
            self.finish(None).1.clear();
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("control", &self.control).finish_non_exhaustive()
    }
}

fn empty_header() -> libc::msghdr {
    // SAFETY: `msghdr` is made of pointers and integers, for which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
