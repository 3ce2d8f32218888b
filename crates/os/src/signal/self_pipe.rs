//! A pipe into which a handler writes what it was told: the self-pipe.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use twixt_sys::pipe::vmsplice_out;
use twixt_sys::signal::{RECORD, Recorder};

use crate::signal::stream::{self, Source};
use crate::signal::{Info, failed, no_descriptor};
use crate::{Deadline, Errno, ErrorKind, Limit, Object, Result, Wait};

/// Receives the records of signals whose handler is [`Action::record`](crate::signal::Action::record), in the order in
/// which the handler ran.
///
/// It turns asynchronous signals into something to read and to poll, without blocking them: other threads, and code
/// that knows nothing of this, go on as before. Nothing is lost while no more than [`capacity`](Self::capacity) records
/// wait to be read; what comes beyond that is counted by [`lost`](Self::lost), and dropped.
///
/// Signals that are pending at once run their handlers lowest number first, as `Action::record` blocks all others
/// meanwhile. Where several threads leave a signal unblocked, each may run the handler, and their records
/// may overtake each other; block it in all but one thread where order counts.
///
/// ```
/// use twixt_os::signal::{Action, SelfPipe, Signal, raise};
/// let pipe = SelfPipe::new()?;
/// let _handled = Action::record(&pipe).install(Signal::USR1)?;
/// raise(Signal::USR1)?;
/// assert_eq!(pipe.receive()?.signal(), Signal::USR1);
/// assert_eq!(pipe.lost(), 0);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// A child made by `fork` without `exec` inherits the handlers, but writes nothing into the parent's pipe.
#[derive(Debug)]
pub struct SelfPipe {
    pub(super) recorder: Arc<Recorder>,
    capacity: usize,
    no_nowait: AtomicBool,
}

impl SelfPipe {
    /// How many signals [`receive_many`](Self::receive_many) takes at once.
    pub const BATCH: usize = stream::batch(RECORD);

    /// A pipe of the kernel's default size: 1024 records, unless the user has very many pipes.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached): `RLIMIT_NOFILE`, or `fs.file-max` of the machine.
    pub fn new() -> Result<Self> {
        let pipe = pipe_with(PipeFlags::CLOEXEC);
        let (read, write) = pipe.map_err(|errno| no_descriptor("make a self-pipe for", errno))?;
        // A handler must not wait; whoever reads may, in one system call.
        fcntl_setfl(&write, OFlags::NONBLOCK).map_err(|errno| failed(SIZE, Object::Unnamed, errno))?;
        let bytes = fcntl_getpipe_size(&write).map_err(|errno| failed(SIZE, Object::Unnamed, errno))?;
        let recorder = Recorder::new(read, write).map_err(|errno| failed(SIZE, Object::Unnamed, errno))?;
        let (recorder, capacity) = (Arc::new(recorder), bytes / RECORD);
        Ok(Self { recorder, capacity, no_nowait: AtomicBool::new(false) })
    }

    /// A pipe with room for at least so many records. The kernel rounds up to a power of two pages of 64 records.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached): more than `fs.pipe-max-size` allows a process without
    /// `CAP_SYS_RESOURCE`. Otherwise as for [`new`](Self::new).
    #[doc(alias = "F_SETPIPE_SZ")]
    pub fn with_capacity(records: usize) -> Result<Self> {
        let mut pipe = Self::new()?;
        let needed = records.saturating_mul(RECORD);
        let set = fcntl_setpipe_size(pipe.recorder.read_end(), needed);
        let bytes = set.map_err(|errno| {
            let error = failed(SIZE, Object::Unnamed, errno);
            match errno {
                Errno::PERM | Errno::INVAL => {
                    let limit = Limit::sysctl("fs.pipe-max-size", 0).needed(needed as u64);
                    error.with_kind(ErrorKind::LimitReached).with_limit(limit)
                }
                _ => error,
            }
        })?;
        pipe.capacity = bytes / RECORD;
        Ok(pipe)
    }

    /// How many records can wait to be read.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many records found no room since the pipe was made.
    pub fn lost(&self) -> u64 {
        self.recorder.lost()
    }

    /// Waits for a record and takes it.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    pub fn receive(&self) -> Result<Info> {
        self.receive_wait(Wait::forever())
    }

    /// Takes a record that is there already.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock): there is none.
    pub fn try_receive(&self) -> Result<Info> {
        self.receive_wait(Wait::never())
    }

    /// Waits for a record until the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut): none came.
    pub fn receive_deadline(&self, deadline: Deadline) -> Result<Info> {
        self.receive_wait(Wait::until(deadline))
    }

    /// Waits for a record, until a handler runs that does not write to this pipe, unless it was installed with
    /// `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted): a handler ran, and wrote nothing here.
    pub fn receive_interruptible(&self) -> Result<Info> {
        self.receive_wait(Wait::forever().interruptible())
    }

    /// Waits for a record as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn receive_wait(&self, wait: Wait) -> Result<Info> {
        let receive = |wait| stream::receive(self, wait, Info::from_record);
        match receive(wait) {
            // The handler that ended the wait may have been the one that was waited for.
            Err(error) if error.kind() == ErrorKind::Interrupted => receive(Wait::never()).map_err(|_| error),
            received => received,
        }
    }

    /// Waits for a record, and appends it and as many more as are there, up to [`BATCH`](Self::BATCH), in one read.
    /// Says how many they were. Allocates only where the list has no room for them.
    ///
    /// # Errors
    /// Those of [`receive`](Self::receive).
    pub fn receive_many(&self, into: &mut Vec<Info>) -> Result<usize> {
        self.receive_many_wait(into, Wait::forever())
    }

    /// Appends the records that are there already.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock): there is none.
    pub fn try_receive_many(&self, into: &mut Vec<Info>) -> Result<usize> {
        self.receive_many_wait(into, Wait::never())
    }

    /// As [`receive_many`](Self::receive_many), but not past the deadline.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut): none came.
    pub fn receive_many_deadline(&self, into: &mut Vec<Info>, deadline: Deadline) -> Result<usize> {
        self.receive_many_wait(into, Wait::until(deadline))
    }

    /// As [`receive_many`](Self::receive_many), until a handler runs that does not write to this pipe, unless it was
    /// installed with `SA_RESTART`.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted): a handler ran, and wrote nothing here.
    pub fn receive_many_interruptible(&self, into: &mut Vec<Info>) -> Result<usize> {
        self.receive_many_wait(into, Wait::forever().interruptible())
    }

    /// As [`receive_many`](Self::receive_many), waiting as `wait` says.
    ///
    /// # Errors
    /// Those of the other forms.
    pub fn receive_many_wait(&self, into: &mut Vec<Info>, wait: Wait) -> Result<usize> {
        let mut receive = |wait| stream::receive_many(self, wait, Info::from_record, into);
        match receive(wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => receive(Wait::never()).map_err(|_| error),
            received => received,
        }
    }
}

const SIZE: &str = "set up a self-pipe for";

impl Source for SelfPipe {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.recorder.read_end()
    }

    fn no_nowait(&self) -> &AtomicBool {
        &self.no_nowait
    }

    fn read_otherwise(&self, into: &mut [u8]) -> core::result::Result<usize, Errno> {
        // It can be told by a flag not to wait, on all kernels, but costs a call more.
        vmsplice_out(self.recorder.read_end(), into, SpliceFlags::NONBLOCK)
    }
}

/// The end to read from, for `poll` and `epoll`. It stays the pipe's: handlers may be writing to the other end.
impl AsFd for SelfPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.recorder.read_end()
    }
}
