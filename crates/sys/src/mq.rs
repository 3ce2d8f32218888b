//! POSIX message queues: `mq_overview(7)`.
//!
//! The system calls themselves: the C library adds nothing to them but the removal of the name's slash, and it
//! hides the protocol by which the kernel notifies a thread.

use core::ffi::{CStr, c_int, c_long, c_void};
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};

use crate::call::checked;
use crate::prepared::number;
use crate::{Errno, Prepared};

/// `struct mq_attr`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// `mq_flags`: `O_NONBLOCK` or nothing.
    pub flags: OFlags,
    /// `mq_maxmsg`: how many messages the queue holds.
    pub max_messages: i64,
    /// `mq_msgsize`: the most bytes in one message.
    pub message_size: i64,
    /// `mq_curmsgs`: how many messages it holds now.
    pub messages: i64,
}

/// `struct sigevent`, as `mq_notify(2)` takes it: what happens when a message arrives in the empty queue.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// `SIGEV_NONE`: nothing; the registration stands all the same.
    Nothing,
    /// `SIGEV_SIGNAL`: this signal goes to the process, with this value.
    Signal {
        /// The signal's number.
        number: i32,
        /// `sival_ptr`, or the bytes of `sival_int`.
        value: usize,
    },
    /// `SIGEV_THREAD`, as the kernel knows it: `cookie` arrives on the netlink socket, its last byte replaced by
    /// [`WOKEN_UP`] or [`REMOVED`]. A C library would have a thread wait there.
    Cookie {
        /// An `AF_NETLINK` socket.
        socket: BorrowedFd<'a>,
        /// What will arrive there.
        cookie: &'a Cookie,
    },
}

/// What the kernel sends for `SIGEV_THREAD`: `NOTIFY_COOKIE_LEN` bytes.
pub type Cookie = [u8; 32];
/// The last byte of a cookie: a message has arrived.
pub const WOKEN_UP: u8 = 1;
/// The last byte of a cookie: the registration was cancelled.
pub const REMOVED: u8 = 2;

/// `mq_open(2)`. The name stands without its slash, as the kernel takes it.
///
/// `limits` are `mq_maxmsg` and `mq_msgsize` of a queue that is created; without them it gets the system's defaults.
///
/// # Errors
/// Those of `mq_open(3)`.
#[doc(alias = "mq_open")]
pub fn open(name: &CStr, flags: OFlags, mode: Mode, limits: Option<(i64, i64)>) -> Result<OwnedFd, Errno> {
    let attributes = limits.map(|(max_messages, message_size)| {
        let mut attributes = no_attributes();
        attributes.mq_maxmsg = max_messages;
        attributes.mq_msgsize = message_size;
        attributes
    });
    let attributes = attributes.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the name ends with NUL, and `attributes` is null or initialised; both outlive the call, which only reads.
    let fd = checked(unsafe {
        libc::syscall(libc::SYS_mq_open, name.as_ptr(), flags.bits(), mode.bits(), attributes)
    })?;
    // SAFETY: the kernel has just opened this descriptor for the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// `mq_unlink(2)`. The name stands without its slash.
///
/// # Errors
/// Those of `mq_unlink(3)`.
#[doc(alias = "mq_unlink")]
pub fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the name ends with NUL and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_mq_unlink, name.as_ptr()) })?;
    Ok(())
}

/// `mq_timedsend(2)`, which waits for room, or does not: then it fails with `ETIMEDOUT` where it would.
#[inline(always)]
pub fn prepare_send<'a>(
    queue: BorrowedFd<'a>,
    message: &'a [u8],
    priority: u32,
    waits: bool,
) -> Prepared<'a> {
    let (bytes, priority) = (message.as_ptr() as usize, priority as usize);
    // The kernel reads the message, which is borrowed, and a time that lives for ever.
    let arguments = [number(queue), bytes, message.len(), priority, until(waits), 0];
    Prepared::new(libc::SYS_mq_timedsend, arguments)
}

/// `mq_timedreceive(2)`, which waits for a message, or does not: then it fails with `ETIMEDOUT` where it would. Returns the
/// number of bytes, and leaves the priority.
#[inline(always)]
pub fn prepare_receive<'a>(
    queue: BorrowedFd<'a>,
    buffer: &'a mut [u8],
    priority: &'a mut u32,
    waits: bool,
) -> Prepared<'a> {
    let (bytes, priority) = (buffer.as_mut_ptr() as usize, ptr::from_mut(priority) as usize);
    // The kernel writes to the buffer, no more than its length, and one word to `priority`, both of them mutably borrowed, and
    // reads a time that lives for ever.
    let arguments = [number(queue), bytes, buffer.len(), priority, until(waits), 0];
    Prepared::new(libc::SYS_mq_timedreceive, arguments)
}

/// The argument that has a call wait for ever, or not at all.
#[inline(always)]
fn until(waits: bool) -> usize {
    static LONG_AGO: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    if waits { 0 } else { &raw const LONG_AGO as usize }
}

/// `mq_getattr(3)`
///
/// # Errors
/// Those of `mq_getattr(3)`.
#[doc(alias = "mq_getattr")]
pub fn attributes(queue: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    get_set_attributes(queue, None)
}

/// `mq_setattr(3)`, which changes `mq_flags` alone; the attributes as they were.
///
/// # Errors
/// Those of `mq_setattr(3)`.
#[doc(alias = "mq_setattr")]
pub fn set_flags(queue: BorrowedFd<'_>, flags: OFlags) -> Result<Attributes, Errno> {
    let mut new = no_attributes();
    new.mq_flags = flags.bits().into();
    get_set_attributes(queue, Some(&new))
}

fn get_set_attributes(queue: BorrowedFd<'_>, new: Option<&libc::mq_attr>) -> Result<Attributes, Errno> {
    let mut old = no_attributes();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a borrowed `mq_attr` that the kernel reads; it writes one to `old`.
    checked(unsafe { libc::syscall(libc::SYS_mq_getsetattr, queue.as_raw_fd(), new, &raw mut old) })?;
    Ok(Attributes {
        flags: OFlags::from_bits_retain(old.mq_flags as u32),
        max_messages: old.mq_maxmsg,
        message_size: old.mq_msgsize,
        messages: old.mq_curmsgs,
    })
}

/// `mq_notify(2)`: registers this process for one [`Event`], or with `None` cancels its registration.
///
/// # Errors
/// Those of `mq_notify(3)`.
#[doc(alias = "mq_notify")]
pub fn notify(queue: BorrowedFd<'_>, event: Option<Event<'_>>) -> Result<(), Errno> {
    let event = event.map(|event| match event {
        Event::Nothing => SigEvent::new(libc::SIGEV_NONE, 0, ptr::null()),
        Event::Signal { number, value } => {
            SigEvent::new(libc::SIGEV_SIGNAL, number, ptr::without_provenance(value))
        }
        Event::Cookie { socket, cookie } => {
            SigEvent::new(libc::SIGEV_THREAD, socket.as_raw_fd(), cookie.as_ptr().cast())
        }
    });
    let event = event.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `event` is null or initialised and outlives the call. Where its value is a pointer, that is to a borrowed
    // cookie of the length that the kernel copies before it returns.
    checked(unsafe { libc::syscall(libc::SYS_mq_notify, queue.as_raw_fd(), event) })?;
    Ok(())
}

/// `struct sigevent` as the kernel lays it out: 64 bytes in all.
#[repr(C)]
struct SigEvent {
    /// `union sigval`, whose members share their first bytes.
    value: *const c_void,
    signo: c_int,
    notify: c_int,
    padding: [c_int; 12],
}

const _: () = assert!(size_of::<SigEvent>() == 64);

impl SigEvent {
    fn new(notify: c_int, signo: c_int, value: *const c_void) -> Self {
        Self { value, signo, notify, padding: [0; 12] }
    }
}

fn no_attributes() -> libc::mq_attr {
    const WORDS: usize = size_of::<libc::mq_attr>() / size_of::<c_long>();
    // SAFETY: `mq_attr` consists of `c_long`s alone, for which every bit pattern is valid.
    unsafe { core::mem::transmute::<[c_long; WORDS], libc::mq_attr>([0; WORDS]) }
}
