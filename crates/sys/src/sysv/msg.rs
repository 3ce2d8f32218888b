//! Message queues: `msgget(2)`, `msgop(2)`, `msgctl(2)`.
//!
//! A message travels as a *frame*: what C declares as `struct msgbuf`, a `long` with the type and the bytes right
//! behind it. A frame is a plain byte slice here, its first [`HEADER`] bytes the type in native byte order.

use core::ffi::{c_int, c_long};
use core::mem::MaybeUninit;

use super::Perm;
use crate::call::checked;
use crate::{Errno, Prepared};

/// The size of a frame's first part, the type.
pub const HEADER: usize = size_of::<c_long>();

// Linux's values, the same on every architecture; the libc crate lacks them.
const IPC_INFO: c_int = 3;
const MSG_STAT_ANY: c_int = 13;
const MSG_COPY: c_int = 0o40000;

bitflags::bitflags! {
    /// How `msgget(2)` treats a key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Get: c_int {
        /// Make the queue if there is none.
        const CREATE = libc::IPC_CREAT;
        /// Fail if there is one already.
        const EXCLUSIVE = libc::IPC_EXCL;
    }

    /// The flags of `msgsnd(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Send: c_int {
        /// Fail with `EAGAIN` rather than wait for room.
        const NOWAIT = libc::IPC_NOWAIT;
    }

    /// The flags of `msgrcv(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Receive: c_int {
        /// Fail with `ENOMSG` rather than wait for a message.
        const NOWAIT = libc::IPC_NOWAIT;
        /// Cut a message that is longer than the frame.
        const NOERROR = libc::MSG_NOERROR;
        /// Any type but the one given.
        const EXCEPT = libc::MSG_EXCEPT;
        /// Copy the message whose index stands in the type's place, and leave it. Needs `NOWAIT`.
        const COPY = MSG_COPY;
    }
}

/// `msgget`: the identifier of the queue with this key. `mode` is that of a new queue, and the access asked of an
/// old one.
///
/// # Errors
/// Those of `msgget(2)`.
#[doc(alias = "msgget")]
pub fn get(key: i32, flags: Get, mode: u32) -> Result<i32, Errno> {
    // The kernel looks at nine bits of the mode.
    let flags = flags.bits() | (mode & 0o777).cast_signed();
    // SAFETY: takes integers and touches no memory.
    checked(unsafe { libc::msgget(key, flags) })
}

/// `msgsnd`: puts a frame into the queue.
///
/// `EINVAL` also if the frame is shorter than [`HEADER`].
///
/// # Errors
/// Those of `msgop(2)`.
#[doc(alias = "msgsnd")]
#[inline]
pub fn send(id: i32, frame: &[u8], flags: Send) -> Result<(), Errno> {
    prepare_send(id, frame, flags)?.make().map(drop)
}

/// The call of [`send`].
///
/// # Errors
/// `EINVAL` if the frame is shorter than [`HEADER`].
#[inline(always)]
pub fn prepare_send(id: i32, frame: &[u8], flags: Send) -> Result<Prepared<'_>, Errno> {
    let len = frame.len().checked_sub(HEADER).ok_or(Errno::INVAL)?;
    // The kernel reads HEADER + len bytes, which is all of `frame`.
    let arguments = [id as usize, frame.as_ptr() as usize, len, flags.bits() as usize, 0, 0];
    Ok(Prepared::new(libc::SYS_msgsnd, arguments))
}

/// `msgrcv`: takes a message into a frame and gives the number of bytes behind the header.
///
/// `EINVAL` also if the frame is shorter than [`HEADER`].
///
/// # Errors
/// Those of `msgop(2)`.
#[doc(alias = "msgrcv")]
#[inline]
pub fn receive(id: i32, frame: &mut [u8], mtype: i64, flags: Receive) -> Result<usize, Errno> {
    prepare_receive(id, frame, mtype, flags)?.make()
}

/// The call of [`receive`].
///
/// # Errors
/// `EINVAL` if the frame is shorter than [`HEADER`].
#[inline(always)]
pub fn prepare_receive(id: i32, frame: &mut [u8], mtype: i64, flags: Receive) -> Result<Prepared<'_>, Errno> {
    let room = frame.len().checked_sub(HEADER).ok_or(Errno::INVAL)?;
    // The kernel writes HEADER bytes and at most `room` more, which is all of `frame`. With MSG_COPY it first reads as many,
    // and they are initialised.
    let arguments =
        [id as usize, frame.as_mut_ptr() as usize, room, mtype as usize, flags.bits() as usize, 0];
    Ok(Prepared::new(libc::SYS_msgrcv, arguments))
}

/// `struct msqid_ds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Owner and permissions.
    pub perm: Perm,
    /// When the last message was sent, in seconds of the Unix epoch; 0 is never.
    pub stime: i64,
    /// When the last message was received; 0 is never.
    pub rtime: i64,
    /// When the queue was made or last changed by [`set`].
    pub ctime: i64,
    /// Bytes in the queue.
    pub cbytes: u64,
    /// Messages in the queue.
    pub qnum: u64,
    /// The most bytes, and the most messages, that it takes.
    pub qbytes: u64,
    /// The process that sent last; 0 is none, or one outside this process's PID namespace.
    pub lspid: i32,
    /// The process that received last.
    pub lrpid: i32,
}

impl From<&libc::msqid_ds> for Stat {
    fn from(ds: &libc::msqid_ds) -> Self {
        Self {
            perm: Perm::from(&ds.msg_perm),
            stime: ds.msg_stime,
            rtime: ds.msg_rtime,
            ctime: ds.msg_ctime,
            cbytes: ds.__msg_cbytes,
            qnum: ds.msg_qnum,
            qbytes: ds.msg_qbytes,
            lspid: ds.msg_lspid,
            lrpid: ds.msg_lrpid,
        }
    }
}

/// `msgctl(IPC_STAT)`: the state of a queue that this process may read.
///
/// # Errors
/// Those of `msgctl(2)`.
#[doc(alias = "IPC_STAT")]
pub fn stat(id: i32) -> Result<Stat, Errno> {
    control_status(id, libc::IPC_STAT).map(|(_, stat)| stat)
}

/// `msgctl(MSG_STAT_ANY)`: the identifier and state of the queue at an index of the kernel's table, whoever owns it.
/// `EINVAL` where there is none.
///
/// # Errors
/// Those of `msgctl(2)`.
#[doc(alias = "MSG_STAT_ANY")]
pub fn stat_any(index: i32) -> Result<(i32, Stat), Errno> {
    control_status(index, MSG_STAT_ANY)
}

fn control_status(id: i32, command: c_int) -> Result<(i32, Stat), Errno> {
    let mut ds = MaybeUninit::<libc::msqid_ds>::zeroed();
    // SAFETY: with these commands the kernel writes a `struct msqid_ds`, for which `ds` has the room.
    let returned = checked(unsafe { libc::msgctl(id, command, ds.as_mut_ptr()) })?;
    // SAFETY: the structure holds integers only, for which zeroes and whatever the kernel wrote are valid.
    let ds = unsafe { ds.assume_init() };
    Ok((returned, Stat::from(&ds)))
}

/// What [`set`] changes, all of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The nine permission bits.
    pub mode: u32,
    /// The most bytes that the queue takes.
    pub qbytes: u64,
}

/// `msgctl(IPC_SET)`.
///
/// # Errors
/// Those of `msgctl(2)`.
#[doc(alias = "IPC_SET")]
pub fn set(id: i32, settings: Settings) -> Result<(), Errno> {
    // SAFETY: the structure holds integers only, for which zeroes are valid.
    let mut ds: libc::msqid_ds = unsafe { MaybeUninit::zeroed().assume_init() };
    ds.msg_perm.uid = settings.uid;
    ds.msg_perm.gid = settings.gid;
    // Nine bits fit the field, whose width differs between architectures.
    ds.msg_perm.mode = (settings.mode & 0o777) as _;
    ds.msg_qbytes = settings.qbytes;
    // SAFETY: the kernel reads a `struct msqid_ds`, which `ds` is.
    checked(unsafe { libc::msgctl(id, libc::IPC_SET, &raw mut ds) })?;
    Ok(())
}

/// `msgctl(IPC_RMID)`: removes the queue and its messages, and wakes whoever waits on it.
///
/// # Errors
/// Those of `msgctl(2)`.
#[doc(alias = "IPC_RMID")]
pub fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: this command ignores the pointer.
    checked(unsafe { libc::msgctl(id, libc::IPC_RMID, core::ptr::null_mut()) })?;
    Ok(())
}

/// The limits of this process's IPC namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most queues.
    pub msgmni: i32,
    /// The longest message.
    pub msgmax: i32,
    /// The `qbytes` of a new queue.
    pub msgmnb: i32,
}

/// `msgctl(IPC_INFO)`.
///
/// # Errors
/// Those of `msgctl(2)`.
#[doc(alias = "IPC_INFO")]
pub fn limits() -> Result<Limits, Errno> {
    let (_, info) = control_info(IPC_INFO)?;
    Ok(Limits { msgmni: info.msgmni, msgmax: info.msgmax, msgmnb: info.msgmnb })
}

/// What the queues of this process's IPC namespace use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The highest index in use in the kernel's table: the last one worth asking [`stat_any`] for.
    pub highest: i32,
    /// Queues.
    pub queues: i32,
    /// Messages in all queues.
    pub messages: i32,
    /// Bytes in all queues.
    pub bytes: i32,
}

/// `msgctl(MSG_INFO)`.
///
/// # Errors
/// Those of `msgctl(2)`.
#[doc(alias = "MSG_INFO")]
pub fn usage() -> Result<Usage, Errno> {
    let (highest, info) = control_info(libc::MSG_INFO)?;
    Ok(Usage { highest, queues: info.msgpool, messages: info.msgmap, bytes: info.msgtql })
}

fn control_info(command: c_int) -> Result<(i32, libc::msginfo), Errno> {
    let mut info = MaybeUninit::<libc::msginfo>::zeroed();
    // SAFETY: with these commands the kernel writes a `struct msginfo` where the prototype says `msqid_ds`, and
    // `info` has the room for it.
    let returned = checked(unsafe { libc::msgctl(0, command, info.as_mut_ptr().cast()) })?;
    // SAFETY: the structure holds integers only, for which zeroes and whatever the kernel wrote are valid.
    Ok((returned, unsafe { info.assume_init() }))
}
