//! Signals as something to read: `signalfd(2)`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use twixt_sys::signal::{SignalFdFlags, new_signalfd, set_signalfd};

use crate::signal::stream::{self, Source};
use crate::signal::{Info, SignalSet, failed, no_descriptor};
use crate::{Deadline, Errno, Error, Object, Result, Wait};

/// A descriptor from which blocked signals are read, and which `poll` and `epoll` can wait for.
///
/// What it gives are the signals that are pending for the *reading* thread or its process, so each reader sees its own.
/// The signals must be blocked, in all threads if they are sent to the process; see [`SignalSet::block`].
///
/// ```
/// use twixt_os::signal::{Signal, SignalFd, SignalSet, raise};
/// let set = SignalSet::from([Signal::USR1, Signal::USR2]);
/// let _blocked = set.block()?;
/// let signals = SignalFd::create(set)?;
/// raise(Signal::USR2)?;
/// assert_eq!(signals.receive()?.signal(), Signal::USR2);
/// assert!(signals.try_receive().is_err());
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// The descriptor is close-on-exec. It blocks, as C's does by default, so that a signal that has to be waited for costs
/// one system call; the forms that do not wait, or not for ever, ask for that call by call (`RWF_NOWAIT`). Kernels
/// before 6.10 do not take that for a signalfd: there such a form makes a second, non-blocking descriptor for the
/// same signals, once, and takes the set from `/proc`. If another process that shares the first one changes its set
/// afterwards, that is not seen.
///
/// See `signalfd(2)`.
#[derive(Debug)]
#[doc(alias = "signalfd")]
pub struct SignalFd {
    descriptor: OwnedFd,
    no_nowait: AtomicBool,
    /// Of our own, and non-blocking, for kernels that cannot be asked otherwise; or why it could not be had.
    second: OnceLock<core::result::Result<OwnedFd, Errno>>,
}

impl SignalFd {
    /// How many signals [`receive_many`](Self::receive_many) takes at once.
    pub const BATCH: usize = stream::batch(128);

    /// A new descriptor for these signals. SIGKILL and SIGSTOP never arrive, whatever the set says.
    ///
    /// # Errors
    /// [`LimitReached`](crate::ErrorKind::LimitReached): `RLIMIT_NOFILE` (1024 by default), or `fs.file-max` of the
    /// machine.
    #[doc(alias = "SFD_CLOEXEC")]
    pub fn create(set: SignalSet) -> Result<Self> {
        let descriptor = new_signalfd(set.bits(), SignalFdFlags::CLOEXEC);
        descriptor.map(Self::new).map_err(|errno| no_descriptor("make a descriptor for", errno))
    }

    fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, no_nowait: AtomicBool::new(false), second: OnceLock::new() }
    }

    /// Takes over a signalfd. Nothing is changed about it: `O_NONBLOCK` belongs to all who share it, and both kinds
    /// will do.
    ///
    /// That it is a signalfd shows when it is read.
    ///
    /// # Errors
    /// None, so far.
    pub fn from_fd(descriptor: OwnedFd) -> Result<Self> {
        Ok(Self::new(descriptor))
    }

    /// Changes the signals that it gives, for all who share it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): it is not a signalfd.
    pub fn set_signals(&self, set: SignalSet) -> Result<()> {
        let second = self.second.get().and_then(|made| made.as_ref().ok());
        for descriptor in [Some(&self.descriptor), second].into_iter().flatten() {
            let changed = set_signalfd(descriptor.as_fd(), set.bits());
            changed.map_err(|errno| failed("change the set of", Object::descriptor(self.as_fd()), errno))?;
        }
        Ok(())
    }

    /// The set, as `/proc` shows it.
    fn signals(&self) -> core::result::Result<SignalSet, Errno> {
        let path = format!("/proc/self/fdinfo/{}", self.descriptor.as_raw_fd());
        let info = std::fs::read_to_string(path).map_err(|_| Errno::OPNOTSUPP)?;
        let set = info.lines().find_map(|line| line.strip_prefix("sigmask:"));
        // Without that line it is no signalfd.
        let bits = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).ok_or(Errno::INVAL)?;
        Ok(SignalSet::from_bits(bits))
    }

    /// Waits for a signal and takes it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) where [`from_fd`](Self::from_fd) was given something else.
    pub fn receive(&self) -> Result<Info> {
        self.receive_wait(Wait::forever())
    }

    /// Takes a signal that is pending already.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock): none is.
    pub fn try_receive(&self) -> Result<Info> {
        self.receive_wait(Wait::never())
    }

    /// Waits for a signal until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut): none came.
    pub fn receive_deadline(&self, deadline: Deadline) -> Result<Info> {
        self.receive_wait(Wait::until(deadline))
    }

    /// Waits for a signal, until the handler of another one runs, unless it was installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted): a handler ran.
    pub fn receive_interruptible(&self) -> Result<Info> {
        self.receive_wait(Wait::forever().interruptible())
    }

    /// Waits for a signal as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms. [`Unsupported`](crate::ErrorKind::Unsupported) before Linux 6.10 where the wait is not
    /// for ever and `/proc` is not mounted.
    pub fn receive_wait(&self, wait: Wait) -> Result<Info> {
        stream::receive(self, wait, Info::from_signalfd)
    }

    /// Waits for a signal, and appends it and as many more as are pending, up to [`BATCH`](Self::BATCH), in one read.
    /// Says how many they were. Allocates only where the list has no room for them.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub fn receive_many(&self, into: &mut Vec<Info>) -> Result<usize> {
        self.receive_many_wait(into, Wait::forever())
    }

    /// Appends the signals that are pending already.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock): none is.
    pub fn try_receive_many(&self, into: &mut Vec<Info>) -> Result<usize> {
        self.receive_many_wait(into, Wait::never())
    }

    /// As [`receive_many`](Self::receive_many), but not past the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut): none came.
    pub fn receive_many_deadline(&self, into: &mut Vec<Info>, deadline: Deadline) -> Result<usize> {
        self.receive_many_wait(into, Wait::until(deadline))
    }

    /// As [`receive_many`](Self::receive_many), until the handler of another signal runs, unless it was installed with
    /// `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted): a handler ran.
    pub fn receive_many_interruptible(&self, into: &mut Vec<Info>) -> Result<usize> {
        self.receive_many_wait(into, Wait::forever().interruptible())
    }

    /// As [`receive_many`](Self::receive_many), waiting as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn receive_many_wait(&self, into: &mut Vec<Info>, wait: Wait) -> Result<usize> {
        stream::receive_many(self, wait, Info::from_signalfd, into)
    }
}

impl Source for SignalFd {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    fn no_nowait(&self) -> &AtomicBool {
        &self.no_nowait
    }

    fn read_otherwise(&self, into: &mut [u8]) -> core::result::Result<usize, Errno> {
        let make = || {
            let flags = SignalFdFlags::CLOEXEC | SignalFdFlags::NONBLOCK;
            new_signalfd(self.signals()?.bits(), flags)
        };
        match self.second.get_or_init(make) {
            Ok(second) => rustix::io::read(second, into),
            Err(errno) => Err(*errno),
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl From<SignalFd> for OwnedFd {
    fn from(signals: SignalFd) -> Self {
        signals.descriptor
    }
}

/// [`SignalFd::from_fd`]
impl TryFrom<OwnedFd> for SignalFd {
    type Error = Error;

    fn try_from(descriptor: OwnedFd) -> Result<Self> {
        Self::from_fd(descriptor)
    }
}
