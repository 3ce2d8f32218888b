//! POSIX message queues: whole messages with priorities, and a descriptor that can be polled.
//!
//! The highest priority is received first, and equal priorities in the order they were sent. A queue and its messages
//! stay in the kernel until it is unlinked and the last descriptor closed, or the machine restarts. See
//! `mq_overview(7)`.
//!
//! ```
//! use twixt_os::Mode;
//! use twixt_os::posix::mq::{Access, Limits, Priority, Queue};
//!
//! let name = format!("/twixt-mq-{}", std::process::id());
//! let limits = Limits { max_messages: 8, message_size: 64 };
//! let queue = Queue::create(&name, Access::ReadWrite, limits, Mode::OWNER)?;
//! let _guard = queue.unlink_on_drop()?;
//!
//! queue.send(b"in good time", Priority::LOWEST)?;
//! queue.send(b"at once", Priority::new(9).unwrap())?;
//!
//! let mut buffer = [0; 64];
//! let received = queue.receive(&mut buffer)?;
//! assert_eq!(&buffer[..received.len], b"at once");
//! assert_eq!(received.priority.get(), 9);
//! # Ok::<(), twixt_os::Error>(())
//! ```

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fstat};
use twixt_sys::mq as sys;

use crate::file::Identity;
use crate::posix::{Name, UnlinkGuard};
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Mode, Object, Outcome, Prepared, Result, Wait};

mod explain;
mod notify;
mod types;

pub use notify::Notification;
pub use types::{Access, Limits, Priority, Received, Status};

const MECHANISM: Mechanism = Mechanism::PosixMq;

/// An open message queue.
///
/// It is a descriptor, close-on-exec as the kernel makes it, and may be polled for readiness as such. Sending and
/// receiving are one system call each, whatever the form, when they can be done at once.
///
/// Dropping it closes the descriptor (`mq_close(3)`); the queue stays. Closing *any* descriptor of a queue also cancels
/// the notification that the process registered on it.
///
/// ```
/// use twixt_os::posix::mq::{self, Access, Limits, Priority, Queue};
/// use twixt_os::{ErrorKind, Mode};
///
/// let name = format!("/twixt-queue-{}", std::process::id());
/// let one = Limits { max_messages: 1, message_size: 16 };
/// let queue = Queue::open_or_create(&name, Access::ReadWrite, one, Mode::OWNER)?;
/// queue.send(b"first", Priority::LOWEST)?;
/// let full = queue.try_send(b"second", Priority::LOWEST).unwrap_err();
/// assert_eq!(full.kind(), ErrorKind::WouldBlock);
/// assert_eq!(queue.status()?.messages, 1);
/// mq::unlink(&name)?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "mqd_t")]
#[doc(alias = "mq_close")]
pub struct Queue {
    fd: OwnedFd,
    access: Access,
    message_size: usize,
    name: Option<Name>,
    object: Object,
}

/// # Opening
impl Queue {
    /// Creates a queue that must not exist: `mq_open(3)` with `O_CREAT | O_EXCL`.
    ///
    /// Without limits, the queue gets those that `fs.mqueue.msg_default` and `fs.mqueue.msgsize_default` name (10 and
    /// 8192 by default). The process's umask takes bits away from the mode.
    ///
    /// # Errors
    /// - [`AlreadyExists`](ErrorKind::AlreadyExists): there is one.
    /// - [`LimitReached`](ErrorKind::LimitReached): `fs.mqueue.msg_max` or `fs.mqueue.msgsize_max` (10 and 8192 by
    ///   default) is below `limits`; `RLIMIT_MSGQUEUE` (819200 bytes by default) is below what the user's queues need in
    ///   all, each (`message_size` + 96) × `max_messages`; there are `fs.mqueue.queues_max` queues (256 by default); or
    ///   the process has `RLIMIT_NOFILE` descriptors (1024 by default).
    /// - [`InvalidInput`](ErrorKind::InvalidInput), [`TooLong`](ErrorKind::TooLong): the name is none, or a limit is 0.
    #[doc(alias = "mq_open")]
    pub fn create(
        name: &(impl AsRef<OsStr> + ?Sized),
        access: Access,
        limits: impl Into<Option<Limits>>,
        mode: Mode,
    ) -> Result<Self> {
        Self::open_with("create", name.as_ref(), access, OFlags::CREATE | OFlags::EXCL, limits.into(), mode)
    }

    /// Opens a queue that exists: `mq_open(3)`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`PermissionDenied`](ErrorKind::PermissionDenied);
    /// [`LimitReached`](ErrorKind::LimitReached) over `RLIMIT_NOFILE` (1024 descriptors by default); and those of a bad
    /// name.
    #[doc(alias = "mq_open")]
    pub fn open(name: &(impl AsRef<OsStr> + ?Sized), access: Access) -> Result<Self> {
        Self::open_with("open", name.as_ref(), access, OFlags::empty(), None, Mode::OWNER)
    }

    /// Opens a queue, and creates it if there is none: `mq_open(3)` with `O_CREAT`. One that exists keeps its limits
    /// and mode.
    ///
    /// # Errors
    /// Those of [`Queue::create`] and [`Queue::open`], but for `AlreadyExists` and `NotFound`.
    #[doc(alias = "mq_open")]
    #[doc(alias = "O_CREAT")]
    pub fn open_or_create(
        name: &(impl AsRef<OsStr> + ?Sized),
        access: Access,
        limits: impl Into<Option<Limits>>,
        mode: Mode,
    ) -> Result<Self> {
        Self::open_with("open or create", name.as_ref(), access, OFlags::CREATE, limits.into(), mode)
    }

    /// Takes over a descriptor that came by inheritance or over a Unix socket. It has no name here.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not that of a message queue.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let object = Object::descriptor(fd.as_fd());
        Self::adopt(fd, None, object.clone())
            .map_err(|errno| Error::kernel(MECHANISM, "use as a", object, errno))
    }

    fn open_with(
        operation: &'static str,
        name: &OsStr,
        access: Access,
        flags: OFlags,
        limits: Option<Limits>,
        mode: Mode,
    ) -> Result<Self> {
        let name = Name::new(MECHANISM, operation, name)?;
        let object = name.object();
        let flags = flags | access.to_flags() | OFlags::CLOEXEC;
        sys::open(in_kernel(&name), flags, mode.to_rustix(), limits.map(Limits::to_raw))
            .and_then(|fd| Self::adopt(fd, Some(name), object.clone()))
            .map_err(|errno| explain::open(operation, object, errno, limits))
    }

    fn adopt(fd: OwnedFd, name: Option<Name>, object: Object) -> Result<Self, Errno> {
        let message_size = sys::attributes(fd.as_fd())?.message_size.try_into().unwrap_or(0);
        let access = Access::of_flags(fcntl_getfl(&fd)?);
        Ok(Self { fd, access, message_size, name, object })
    }
}

/// # Sending
impl Queue {
    /// Sends a message, waiting while the queue is full: `mq_send(3)`.
    ///
    /// # Errors
    /// - [`TooLong`](ErrorKind::TooLong): the message is longer than [`Queue::message_size`].
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the queue was opened for reading only.
    #[doc(alias = "mq_send")]
    pub fn send(&self, message: &[u8], priority: Priority) -> Result<()> {
        self.send_wait(message, priority, Wait::forever())
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`WouldBlock`](ErrorKind::WouldBlock) if the queue is full.
    pub fn try_send(&self, message: &[u8], priority: Priority) -> Result<()> {
        self.send_wait(message, priority, Wait::never())
    }

    /// The same until `deadline`, and at least one try. Setting the clock does not move it, as it does that of
    /// `mq_timedsend(3)`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TimedOut`](ErrorKind::TimedOut) if the queue stayed full.
    #[doc(alias = "mq_timedsend")]
    pub fn send_deadline(&self, message: &[u8], priority: Priority, deadline: Deadline) -> Result<()> {
        self.send_wait(message, priority, Wait::until(deadline))
    }

    /// The same until a signal handler runs, one without `SA_RESTART`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn send_interruptible(&self, message: &[u8], priority: Priority) -> Result<()> {
        self.send_wait(message, priority, Wait::forever().interruptible())
    }

    /// The general form.
    ///
    /// # Errors
    /// As the form that waits so.
    #[inline]
    pub fn send_wait(&self, message: &[u8], priority: Priority, wait: Wait) -> Result<()> {
        self.finish_send(self.prepare_send(message, priority, wait).make(), message, priority, wait)
    }

    /// The system call of [`send_wait`](Self::send_wait), to be made by who wants it: see [`Prepared`].
    #[inline]
    pub fn prepare_send<'a>(&'a self, message: &'a [u8], priority: Priority, wait: Wait) -> Prepared<'a> {
        sys::prepare_send(self.fd.as_fd(), message, priority.get(), wait.is_forever())
    }

    /// What [`send_wait`](Self::send_wait) returns where its [prepared](Self::prepare_send) call has come to `first`, which it
    /// makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`send_wait`](Self::send_wait).
    #[inline]
    pub fn finish_send(&self, first: Outcome, message: &[u8], priority: Priority, wait: Wait) -> Result<()> {
        let fd = self.fd.as_fd();
        let send = |_| or_not_now(self.prepare_send(message, priority, wait).make(), wait);
        let sent = wait.on_descriptor_after(or_not_now(first, wait), fd, PollFlags::OUT, send);
        sent.map(drop).map_err(|errno| explain::send(self, errno, message.len()))
    }
}

/// # Receiving
impl Queue {
    /// Receives the oldest message of the highest priority, waiting while the queue is empty: `mq_receive(3)`.
    ///
    /// # Errors
    /// - [`TooLong`](ErrorKind::TooLong): the buffer has less than [`Queue::message_size`] bytes, however short the
    ///   message is. It is still in the queue.
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the queue was opened for writing only.
    #[doc(alias = "mq_receive")]
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_wait(buffer, Wait::forever())
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`WouldBlock`](ErrorKind::WouldBlock) if the queue is empty.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_wait(buffer, Wait::never())
    }

    /// The same until `deadline`, and at least one try. Setting the clock does not move it, as it does that of
    /// `mq_timedreceive(3)`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TimedOut`](ErrorKind::TimedOut) if the queue stayed empty.
    #[doc(alias = "mq_timedreceive")]
    pub fn receive_deadline(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Received> {
        self.receive_wait(buffer, Wait::until(deadline))
    }

    /// The same until a signal handler runs, one without `SA_RESTART`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`Interrupted`](ErrorKind::Interrupted).
    pub fn receive_interruptible(&self, buffer: &mut [u8]) -> Result<Received> {
        self.receive_wait(buffer, Wait::forever().interruptible())
    }

    /// The general form.
    ///
    /// # Errors
    /// As the form that waits so.
    #[inline]
    pub fn receive_wait(&self, buffer: &mut [u8], wait: Wait) -> Result<Received> {
        let mut priority = 0;
        let first = self.prepare_receive(buffer, &mut priority, wait).make();
        self.finish_receive(first, buffer, &mut priority, wait)
    }

    /// The system call of [`receive_wait`](Self::receive_wait), to be made by who wants it: see [`Prepared`]. It leaves the
    /// message's priority.
    #[inline]
    pub fn prepare_receive<'a>(
        &'a self,
        buffer: &'a mut [u8],
        priority: &'a mut u32,
        wait: Wait,
    ) -> Prepared<'a> {
        sys::prepare_receive(self.fd.as_fd(), buffer, priority, wait.is_forever())
    }

    /// What [`receive_wait`](Self::receive_wait) returns where its [prepared](Self::prepare_receive) call has come to `first`,
    /// which it makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`receive_wait`](Self::receive_wait).
    #[inline]
    pub fn finish_receive(
        &self,
        first: Outcome,
        buffer: &mut [u8],
        priority: &mut u32,
        wait: Wait,
    ) -> Result<Received> {
        let (fd, room) = (self.fd.as_fd(), buffer.len());
        let receive = |_| or_not_now(self.prepare_receive(buffer, priority, wait).make(), wait);
        let len = wait.on_descriptor_after(or_not_now(first, wait), fd, PollFlags::IN, receive);
        let len = len.map_err(|errno| explain::receive(self, errno, room))?;
        Ok(Received { len, priority: Priority::from_kernel(*priority) })
    }

    /// Receives into a new vector, with `mq_receive(3)`: convenient, and an allocation for each message.
    ///
    /// # Errors
    /// Those of [`Queue::receive_wait`].
    pub fn receive_vec(&self, wait: Wait) -> Result<(Vec<u8>, Priority)> {
        let mut message = vec![0; self.message_size];
        let received = self.receive_wait(&mut message, wait)?;
        message.truncate(received.len);
        Ok((message, received.priority))
    }
}

/// # Looking, and removing
impl Queue {
    /// The name it was opened by, if it was.
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// What the queue was opened for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The most bytes in one message, and so what a buffer must have room for: `mq_msgsize`.
    pub fn message_size(&self) -> usize {
        self.message_size
    }

    /// The queue's limits and how many messages it holds now: `mq_getattr(3)`.
    ///
    /// # Errors
    /// None that is known.
    #[doc(alias = "mq_getattr")]
    pub fn status(&self) -> Result<Status> {
        sys::attributes(self.as_fd()).map(Status::from).map_err(|errno| self.error("look at", errno))
    }

    /// Sets or clears `O_NONBLOCK`, the one attribute that can be changed: `mq_setattr(3)`.
    ///
    /// The flag stands in the open file description, which forked children and those who were passed the descriptor
    /// share. It means nothing to the operations here, which wait as they are told; it does to C programs.
    ///
    /// # Errors
    /// None that is known.
    #[doc(alias = "mq_setattr")]
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        let flags = if nonblocking { OFlags::NONBLOCK } else { OFlags::empty() };
        sys::set_flags(self.as_fd(), flags).map_err(|errno| self.error("set the flags of", errno))?;
        Ok(())
    }

    /// A guard that unlinks this queue when dropped: `mq_unlink(3)`.
    ///
    /// To see that the name still leads to this queue, the guard opens and closes it, which also cancels a notification
    /// that this process is registered for.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the queue has no name here.
    pub fn unlink_on_drop(&self) -> Result<UnlinkGuard> {
        let operation = "guard";
        let Some(name) = &self.name else {
            let why = "it came as a descriptor, without a name to unlink";
            let kind = ErrorKind::InvalidInput;
            return Err(Error::refused(MECHANISM, operation, self.object.clone(), kind, why));
        };
        let stat = fstat(&self.fd).map_err(|errno| self.error(operation, errno))?;
        Ok(UnlinkGuard::new(MECHANISM, name.clone(), Identity::of(&stat)))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(MECHANISM, operation, self.object.clone(), errno)
    }
}

/// Removes the name: `mq_unlink(3)`. The queue goes when the last descriptor of it is closed; until then whoever has
/// one may use it.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied) if it is another user's, and
/// those of a bad name.
#[doc(alias = "mq_unlink")]
pub fn unlink(name: &(impl AsRef<OsStr> + ?Sized)) -> Result<()> {
    unlink_name(&Name::new(MECHANISM, "unlink", name.as_ref())?)
}

pub(super) fn unlink_name(name: &Name) -> Result<()> {
    sys::unlink(in_kernel(name)).map_err(|errno| Error::kernel(MECHANISM, "unlink", name.object(), errno))
}

/// The queue that has the name now.
pub(super) fn identity(name: &Name) -> Result<Identity, Errno> {
    let open = |access: Access| sys::open(in_kernel(name), access.to_flags(), Mode::OWNER.to_rustix(), None);
    let fd = match open(Access::Read) {
        Err(Errno::ACCESS) => open(Access::Write)?,
        opened => opened?,
    };
    Ok(Identity::of(&fstat(&fd)?))
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Queue> for OwnedFd {
    fn from(queue: Queue) -> Self {
        queue.fd
    }
}

impl TryFrom<OwnedFd> for Queue {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::from_fd(fd)
    }
}

/// The name as the system calls take it: without the slash.
fn in_kernel(name: &Name) -> &CStr {
    let with_slash = name.as_c_str();
    CStr::from_bytes_with_nul(&with_slash.to_bytes_with_nul()[1..]).unwrap_or(with_slash)
}

/// What would have waited has timed out at once, which is `EAGAIN` everywhere else.
#[inline]
fn or_not_now(outcome: Outcome, wait: Wait) -> Outcome {
    match outcome {
        Err(Errno::TIMEDOUT) if !wait.is_forever() => Err(Errno::AGAIN),
        outcome => outcome,
    }
}
