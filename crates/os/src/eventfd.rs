//! A counter in the kernel that one process adds to and another waits on: `eventfd(2)`.
//!
//! ```
//! use twixt_os::eventfd::EventFd;
//! use twixt_os::ErrorKind;
//!
//! let done = EventFd::create(0)?;
//! done.add(2)?;
//! done.add(3)?;
//! assert_eq!(done.read()?, 5); // all that was added, at once
//! assert_eq!(done.try_read().unwrap_err().kind(), ErrorKind::WouldBlock);
//! # Ok::<(), twixt_os::Error>(())
//! ```
//!
//! A *counter* is read whole and set to 0 thereby; a [*semaphore*](EventFd::semaphore) gives 1 to each reader until it
//! is used up. It has no name: other processes get the descriptor by inheritance or over a Unix socket. It
//! lives until the last of them closes it, and nobody is told when the others do.
//!
//! The counter holds 0 to 2⁶⁴−2 ([`MAX`]). Reading waits while it is 0, adding while there is no room for the number.
//!
//! # Blocking, and whose flag that is
//!
//! `O_NONBLOCK` belongs to the open file description, which all processes that have the eventfd share, so this module
//! never changes it. [`EventFd::create`] makes a blocking one, as C does: an operation that has to wait is one system
//! call. Reads that are not to wait, or not for ever, say so call by call (`preadv2(2)` with `RWF_NOWAIT`).
//!
//! For *adding* the kernel knows no such flag. With a blocking description, `try_add` and `add_deadline` therefore look
//! first whether there is room, and write then: with `poll(2)` for 1, which costs one call more, with the counter's value
//! from `/proc` for more than 1. That is exact as long as nobody else adds, since reading only makes room. If another
//! process takes the room between the look and the write, the write waits until somebody reads. It takes a counter
//! within reach of 2⁶⁴ for that to happen at all.
//!
//! Where even that must not be, make a non-blocking description ([`Flags::NONBLOCK`]): all forms of all operations are exact
//! with it, an addition is one call in every form, and those that have to wait do so in `ppoll(2)`.

use std::ffi::CStr;
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use bitflags::bitflags;
use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::ReadWriteFlags;

use crate::inherit::inherited_as;
use crate::wait::Attempt;
use crate::{Deadline, Errno, Error, ErrorKind, Mechanism, Object, Outcome, Prepared, Result, Wait};

/// The largest value of the counter: 2⁶⁴−2.
pub const MAX: u64 = u64::MAX - 1;

bitflags! {
    /// How an eventfd behaves. All are close-on-exec.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u32 {
        /// Reading takes 1 from the counter and gives 1, where it would otherwise take and give all.
        #[doc(alias = "EFD_SEMAPHORE")]
        const SEMAPHORE = EventfdFlags::SEMAPHORE.bits();
        /// `read(2)` and `write(2)`, in all processes that share it, fail with `EAGAIN` where they would wait.
        #[doc(alias = "EFD_NONBLOCK")]
        const NONBLOCK = EventfdFlags::NONBLOCK.bits();
    }
}

/// An eventfd: see `eventfd(2)`.
///
/// ```
/// use std::time::Duration;
/// use twixt_os::eventfd::EventFd;
/// use twixt_os::{Deadline, ErrorKind};
///
/// let places = EventFd::semaphore(2)?; // two may be inside
/// places.read()?;
/// places.try_read()?;
/// let soon = Deadline::after(Duration::from_millis(5));
/// assert_eq!(places.read_deadline(soon).unwrap_err().kind(), ErrorKind::TimedOut);
/// places.add(1)?; // one leaves
/// places.read()?;
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "eventfd")]
pub struct EventFd {
    fd: OwnedFd,
    object: Object,
    /// Whether the description was non-blocking when this value was made.
    nonblocking: bool,
}

impl EventFd {
    /// A counter that begins with `initial`, and whose `read(2)` and `write(2)` block, for all who share it.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_NOFILE` (1024 by default) or `fs.file-max`.
    pub fn create(initial: u32) -> Result<Self> {
        Self::with_flags(initial, Flags::empty())
    }

    /// A semaphore that begins with `initial`: each read takes 1.
    ///
    /// # Errors
    /// As [`EventFd::create`].
    pub fn semaphore(initial: u32) -> Result<Self> {
        Self::with_flags(initial, Flags::SEMAPHORE)
    }

    /// What exactly the flags say.
    ///
    /// # Errors
    /// As [`EventFd::create`].
    pub fn with_flags(initial: u32, flags: Flags) -> Result<Self> {
        let kernel = EventfdFlags::from_bits_retain(flags.bits()) | EventfdFlags::CLOEXEC;
        let fd = rustix::event::eventfd(initial, kernel).map_err(|errno| {
            Error::kernel(Mechanism::EventFd, "create", Object::Unnamed, errno).with_descriptor_limit()
        })?;
        let object = Object::descriptor(fd.as_fd());
        Ok(Self { fd, object, nonblocking: flags.contains(Flags::NONBLOCK) })
    }

    /// Takes over a descriptor that came from somewhere else, if it is an eventfd's.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is something else.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let object = Object::descriptor(fd.as_fd());
        let refuse = |errno| Error::kernel(Mechanism::EventFd, "take over", object.clone(), errno);
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(refuse)?;
        // Where /proc is not mounted, it is taken on trust: the calls are refused by whatever it is.
        let link = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
        if link.is_ok_and(|link| link.to_bytes() != b"anon_inode:[eventfd]") {
            let why = "the descriptor is not an eventfd's";
            return Err(Error::refused(
                Mechanism::EventFd,
                "take over",
                object,
                ErrorKind::InvalidInput,
                why,
            ));
        }
        Ok(Self { fd, object, nonblocking: flags.contains(OFlags::NONBLOCK) })
    }

    /// Takes over the descriptor that this program was started with under `number`: what
    /// [`PassDescriptors`](crate::inherit::PassDescriptors) or the shell's `5<&3` has passed to it. Close-on-exec from
    /// now on.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): there is none (0, 1 and 2 are the standard streams'), it was taken before
    /// or opened by this program itself, or it is not an eventfd.
    pub fn inherited(number: RawFd) -> Result<Self> {
        Self::from_fd(inherited_as(Mechanism::EventFd, number)?)
    }

    /// Takes the counter's value, or 1 of a semaphore's, waiting until it is not 0. One system call,
    /// also when it has to wait.
    ///
    /// See `eventfd(2)`, `read(2)`.
    ///
    /// # Errors
    /// None, as long as the descriptor is what it was.
    #[doc(alias = "eventfd_read")]
    pub fn read(&self) -> Result<u64> {
        self.read_wait(Wait::forever())
    }

    /// [`EventFd::read`] without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if the counter is 0.
    pub fn try_read(&self) -> Result<u64> {
        self.read_wait(Wait::never())
    }

    /// [`EventFd::read`] with a deadline.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) if the counter was 0 until then.
    pub fn read_deadline(&self, deadline: Deadline) -> Result<u64> {
        self.read_wait(Wait::until(deadline))
    }

    /// [`EventFd::read`], ended by a signal handler, unless that was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted).
    pub fn read_interruptible(&self) -> Result<u64> {
        self.read_wait(Wait::forever().interruptible())
    }

    /// [`EventFd::read`], waiting as told. One system call if the counter is not 0.
    ///
    /// # Errors
    /// As the other forms.
    #[inline]
    pub fn read_wait(&self, wait: Wait) -> Result<u64> {
        let mut value = [0; 8];
        let first = match self.prepare_read(&mut value, wait) {
            Some(call) => call.make(),
            None => self.read_now(&mut value),
        };
        self.finish_read(first, &mut value, wait)
    }

    /// The system call of [`read_wait`](Self::read_wait), to be made by who wants it: see [`Prepared`]. None but where it may wait
    /// without end.
    #[inline]
    pub fn prepare_read<'a>(&'a self, value: &'a mut [u8; 8], wait: Wait) -> Option<Prepared<'a>> {
        if wait.is_forever() { Some(Prepared::read(self.fd.as_fd(), value)) } else { None }
    }

    /// What [`read_wait`](Self::read_wait) returns where its [prepared](Self::prepare_read) call has come to `first`, which it
    /// makes again if that is how to wait.
    ///
    /// # Errors
    /// As [`read_wait`](Self::read_wait).
    #[inline]
    pub fn finish_read(&self, first: Outcome, value: &mut [u8; 8], wait: Wait) -> Result<u64> {
        let read = |attempt| match attempt {
            Attempt::Block => rustix::io::read(&self.fd, &mut *value),
            Attempt::DontWait => self.read_now(value),
        };
        wait.on_descriptor_after(first, self.fd.as_fd(), PollFlags::IN, read)
            .map_err(|errno| self.error("read from", errno))?;
        Ok(u64::from_ne_bytes(*value))
    }

    /// Adds to the counter, waiting while the sum would be above [`MAX`]. Adding 0 does nothing.
    /// One system call, also when it has to wait.
    ///
    /// See `eventfd(2)`, `write(2)`.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) for `u64::MAX`, which the counter can never hold.
    #[doc(alias = "eventfd_write")]
    pub fn add(&self, number: u64) -> Result<()> {
        self.add_wait(number, Wait::forever())
    }

    /// [`EventFd::add`] without waiting; see the module about descriptions that block.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if there is no room; [`OutOfRange`](ErrorKind::OutOfRange).
    pub fn try_add(&self, number: u64) -> Result<()> {
        self.add_wait(number, Wait::never())
    }

    /// [`EventFd::add`] with a deadline; see the module about descriptions that block.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) if there was no room until then; [`OutOfRange`](ErrorKind::OutOfRange).
    pub fn add_deadline(&self, number: u64, deadline: Deadline) -> Result<()> {
        self.add_wait(number, Wait::until(deadline))
    }

    /// [`EventFd::add`], ended by a signal handler, unless that was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted); [`OutOfRange`](ErrorKind::OutOfRange).
    pub fn add_interruptible(&self, number: u64) -> Result<()> {
        self.add_wait(number, Wait::forever().interruptible())
    }

    /// Apart from the reading that may wait, which is short enough to become part of its caller.
    #[inline(never)]
    fn read_now(&self, value: &mut [u8; 8]) -> core::result::Result<usize, Errno> {
        let mut buffer = [IoSliceMut::new(value)];
        // The offset of all ones is "where the file stands", the only one that an eventfd takes.
        rustix::io::preadv2(&self.fd, &mut buffer, u64::MAX, ReadWriteFlags::NOWAIT)
    }

    /// [`EventFd::add`], waiting as told. One system call if there is room, with a description that does not block
    /// or a wait that is for ever; otherwise one more for 1, and three more for larger numbers.
    ///
    /// # Errors
    /// As the other forms.
    #[inline]
    pub fn add_wait(&self, number: u64, wait: Wait) -> Result<()> {
        if number > MAX {
            return Err(self.too_much());
        }
        self.add_after(None, number, wait)
    }

    /// The system call of [`add_wait`](Self::add_wait), to be made by who wants it: see [`Prepared`]. `number` is in the order of
    /// bytes of this machine. None where the call might wait for longer than it may, or can never be done.
    #[inline]
    pub fn prepare_add<'a>(&'a self, number: &'a [u8; 8], wait: Wait) -> Option<Prepared<'a>> {
        let is_plain = u64::from_ne_bytes(*number) <= MAX && (wait.is_forever() || self.nonblocking);
        if is_plain { Some(Prepared::write(self.fd.as_fd(), number)) } else { None }
    }

    /// What [`add_wait`](Self::add_wait) returns where its [prepared](Self::prepare_add) call has come to `first`, which it makes
    /// again if that is how to wait.
    ///
    /// # Errors
    /// As [`add_wait`](Self::add_wait).
    #[inline]
    pub fn finish_add(&self, first: Outcome, number: u64, wait: Wait) -> Result<()> {
        self.add_after(Some(first.map(drop)), number, wait)
    }

    #[cold]
    fn too_much(&self) -> Error {
        let (object, why) = (self.object.clone(), "an eventfd's counter holds at most 18446744073709551614");
        Error::refused(Mechanism::EventFd, "add to", object, ErrorKind::OutOfRange, why)
    }

    /// Adds, where the first attempt has come to `first`, if there was one.
    #[inline]
    fn add_after(
        &self,
        mut first: Option<core::result::Result<(), Errno>>,
        number: u64,
        wait: Wait,
    ) -> Result<()> {
        let bytes = number.to_ne_bytes();
        let write = || Prepared::write(self.fd.as_fd(), &bytes).make().map(drop);
        let outcome = if wait.is_forever() && !self.nonblocking {
            wait.with_timeout(|_| first.take().unwrap_or_else(write))
        } else {
            // POLLOUT says only that 1 can be added: where it does, and more cannot, polling would not wait at all. So
            // a larger number is waited for by looking again.
            let attempt =
                || if self.nonblocking || self.has_room(number)? { write() } else { Err(Errno::AGAIN) };
            let first = first.unwrap_or_else(attempt);
            if number <= 1 {
                wait.on_descriptor_after(first, self.fd.as_fd(), PollFlags::OUT, |_| attempt())
            } else {
                wait.with_backoff_after(first, attempt)
            }
        };
        outcome.map_err(|errno| self.error("add to", errno))
    }

    /// Whether a blocking write of `number` would be done at once, as things stand.
    fn has_room(&self, number: u64) -> core::result::Result<bool, Errno> {
        if number == 0 {
            return Ok(true);
        }
        if number == 1 {
            let mut polled = [PollFd::new(&self.fd, PollFlags::OUT)];
            return Ok(poll(&mut polled, Some(&rustix::event::Timespec::default()))? > 0);
        }
        match self.count() {
            Some(count) => Ok(number <= MAX - count.min(MAX)),
            // Without /proc the answer is yes only where it cannot be no: see `try_add`'s caveat.
            None => self.has_room(1),
        }
    }

    /// The counter's value, which nobody else's reading or adding is kept from changing; `None` where /proc is not
    /// mounted. Takes nothing, and allocates nothing.
    #[doc(alias = "eventfd-count")]
    pub fn count(&self) -> Option<u64> {
        let mut path = [0; 64];
        write!(&mut path[..], "/proc/self/fdinfo/{}", self.fd.as_raw_fd()).ok()?;
        let path = CStr::from_bytes_until_nul(&path).ok()?;
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // The whole is five or six short lines.
        let mut text = [0; 512];
        let read = rustix::io::read(&file, &mut text).ok()?;
        // In hexadecimal, with spaces before it.
        let text = core::str::from_utf8(&text[..read]).ok()?;
        let count = text.lines().find_map(|line| line.strip_prefix("eventfd-count:"))?;
        u64::from_str_radix(count.trim(), 16).ok()
    }

    #[cold]
    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(Mechanism::EventFd, operation, self.object.clone(), errno)
    }
}

/// Readable while the counter is not 0, writable while 1 can be added.
impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<EventFd> for OwnedFd {
    fn from(eventfd: EventFd) -> Self {
        eventfd.fd
    }
}

impl TryFrom<OwnedFd> for EventFd {
    type Error = Error;

    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::from_fd(fd)
    }
}
