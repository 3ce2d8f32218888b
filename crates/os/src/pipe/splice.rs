//! Moving pages instead of copying bytes: `splice(2)`, `tee(2)`, `vmsplice(2)`.

use core::sync::atomic::AtomicU64;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{SpliceFlags, splice, tee};
use twixt_sys::pipe::{vmsplice, vmsplice_words, without_sigpipe};

use crate::pipe::{Reader, Writer};
use crate::wait::{Attempt, timespec};
use crate::{Deadline, Errno, Result, Wait};

/// # Moving on: `splice(2)`
///
/// From this pipe to a file, a socket or another pipe, without a copy through this process where the kernel can.
/// Waits while this pipe is empty, or the target is a full pipe. `offset` is where to write in a file, and moves
/// on; `None` uses the file's own position, and is the only choice for pipes and sockets. Returns the number of
/// bytes moved, 0 once every copy of the write end is closed and nothing is left. Costs one system call more than C's
/// `splice`, at least, to keep SIGPIPE away.
///
/// The forms that do not wait, or not for ever, speak for pipes only: a socket that cannot take the bytes makes
/// the kernel wait all the same, unless it has `O_NONBLOCK`.
///
/// ```
/// use twixt_os::pipe;
/// # let directory = std::env::temp_dir();
/// # let path = directory.join(format!("twixt-splice-{}", std::process::id()));
///
/// let (reader, writer) = pipe::create()?;
/// writer.write_all(b"from pipe to file")?;
/// let file = std::fs::File::create_new(&path)?;
/// # std::fs::remove_file(&path)?;
/// assert_eq!(reader.splice_to(&file, None, 4096)?, 17);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Reader {
    /// Moves up to `len` bytes to `target`, waiting until there are some.
    ///
    /// # Errors
    /// [`PeerGone`](crate::ErrorKind::PeerGone) if the target has no reader;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the target cannot be spliced to (a file opened to append,
    /// for one) or is this very pipe; what writing to the target fails with.
    #[doc(alias = "splice")]
    pub fn splice_to(&self, target: impl AsFd, offset: Option<&mut u64>, len: usize) -> Result<usize> {
        self.splice_to_wait(target, offset, len, Wait::forever())
    }

    /// Moves up to `len` bytes that are there now to `target`.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock), those of [`splice_to`](Self::splice_to).
    pub fn try_splice_to(&self, target: impl AsFd, offset: Option<&mut u64>, len: usize) -> Result<usize> {
        self.splice_to_wait(target, offset, len, Wait::never())
    }

    /// Moves up to `len` bytes to `target`, waiting until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut), those of [`splice_to`](Self::splice_to).
    pub fn splice_to_deadline(
        &self,
        target: impl AsFd,
        offset: Option<&mut u64>,
        len: usize,
        deadline: Deadline,
    ) -> Result<usize> {
        self.splice_to_wait(target, offset, len, Wait::until(deadline))
    }

    /// Moves up to `len` bytes to `target`, waiting until there are some or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted), those of [`splice_to`](Self::splice_to).
    pub fn splice_to_interruptible(
        &self,
        target: impl AsFd,
        offset: Option<&mut u64>,
        len: usize,
    ) -> Result<usize> {
        self.splice_to_wait(target, offset, len, Wait::forever().interruptible())
    }

    /// Moves up to `len` bytes to `target`, waiting as told.
    ///
    /// # Errors
    /// Those of the wait and of [`splice_to`](Self::splice_to).
    pub fn splice_to_wait(
        &self,
        target: impl AsFd,
        mut offset: Option<&mut u64>,
        len: usize,
        wait: Wait,
    ) -> Result<usize> {
        let (source, target) = (self.as_fd(), target.as_fd());
        transfer(wait, source, target, |flags| {
            splice(source, None, target, offset.as_deref_mut(), len, flags)
        })
        .map_err(|errno| self.end().error("splice from", errno))
    }
}

/// # Copying without consuming: `tee(2)`
///
/// What this pipe holds appears in another one too, and stays here to be read. The bytes themselves are not copied;
/// both pipes refer to the same pages.
///
/// ```
/// use twixt_os::pipe;
///
/// let (reader, writer) = pipe::create()?;
/// let (copy_reader, copy_writer) = pipe::create()?;
/// writer.write_all(b"twice")?;
/// assert_eq!(reader.tee_to(&copy_writer, 64)?, 5);
/// assert_eq!((reader.queued()?, copy_reader.queued()?), (5, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Reader {
    /// Copies up to `len` bytes to `target`, waiting until there are some and the target has room. Returns the
    /// number of bytes, 0 once every copy of the write end is closed and nothing is left. Always starts with the
    /// first byte that this pipe holds.
    ///
    /// # Errors
    /// [`PeerGone`](crate::ErrorKind::PeerGone) if the target has no reader;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if both are the same pipe.
    #[doc(alias = "tee")]
    pub fn tee_to(&self, target: &Writer, len: usize) -> Result<usize> {
        self.tee_to_wait(target, len, Wait::forever())
    }

    /// Copies up to `len` bytes that are there now to `target`.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock), those of [`tee_to`](Self::tee_to).
    pub fn try_tee_to(&self, target: &Writer, len: usize) -> Result<usize> {
        self.tee_to_wait(target, len, Wait::never())
    }

    /// Copies up to `len` bytes to `target`, waiting until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut), those of [`tee_to`](Self::tee_to).
    pub fn tee_to_deadline(&self, target: &Writer, len: usize, deadline: Deadline) -> Result<usize> {
        self.tee_to_wait(target, len, Wait::until(deadline))
    }

    /// Copies up to `len` bytes to `target`, waiting until there are some or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted), those of [`tee_to`](Self::tee_to).
    pub fn tee_to_interruptible(&self, target: &Writer, len: usize) -> Result<usize> {
        self.tee_to_wait(target, len, Wait::forever().interruptible())
    }

    /// Copies up to `len` bytes to `target`, waiting as told.
    ///
    /// # Errors
    /// Those of the wait and of [`tee_to`](Self::tee_to).
    pub fn tee_to_wait(&self, target: &Writer, len: usize, wait: Wait) -> Result<usize> {
        transfer(wait, self.as_fd(), target.as_fd(), |flags| tee(self, target, len, flags))
            .map_err(|errno| self.end().error("tee from", errno))
    }
}

/// # Moving in: `splice(2)`
///
/// From a file, a socket or another pipe into this one. See [`Reader::splice_to`] for the details, which are the
/// same in this direction: `offset` is where to read in a file. What comes from a file is its page in the kernel's
/// cache, so what is written to the file afterwards can show in the pipe.
impl Writer {
    /// Moves up to `len` bytes from `source`, waiting until there are some and this pipe has room. Returns the number
    /// of bytes, 0 at the end of the source.
    ///
    /// # Errors
    /// [`PeerGone`](crate::ErrorKind::PeerGone) if nobody holds this pipe's read end;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the source cannot be spliced from or is this very pipe;
    /// what reading from the source fails with.
    #[doc(alias = "splice")]
    pub fn splice_from(&self, source: impl AsFd, offset: Option<&mut u64>, len: usize) -> Result<usize> {
        self.splice_from_wait(source, offset, len, Wait::forever())
    }

    /// Moves up to `len` bytes that are there now from `source`.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock), those of [`splice_from`](Self::splice_from).
    pub fn try_splice_from(&self, source: impl AsFd, offset: Option<&mut u64>, len: usize) -> Result<usize> {
        self.splice_from_wait(source, offset, len, Wait::never())
    }

    /// Moves up to `len` bytes from `source`, waiting until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut), those of [`splice_from`](Self::splice_from).
    pub fn splice_from_deadline(
        &self,
        source: impl AsFd,
        offset: Option<&mut u64>,
        len: usize,
        deadline: Deadline,
    ) -> Result<usize> {
        self.splice_from_wait(source, offset, len, Wait::until(deadline))
    }

    /// Moves up to `len` bytes from `source`, waiting until there are some or a signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted), those of [`splice_from`](Self::splice_from).
    pub fn splice_from_interruptible(
        &self,
        source: impl AsFd,
        offset: Option<&mut u64>,
        len: usize,
    ) -> Result<usize> {
        self.splice_from_wait(source, offset, len, Wait::forever().interruptible())
    }

    /// Moves up to `len` bytes from `source`, waiting as told.
    ///
    /// # Errors
    /// Those of the wait and of [`splice_from`](Self::splice_from).
    pub fn splice_from_wait(
        &self,
        source: impl AsFd,
        mut offset: Option<&mut u64>,
        len: usize,
        wait: Wait,
    ) -> Result<usize> {
        let (source, target) = (source.as_fd(), self.as_fd());
        transfer(wait, source, target, |flags| {
            splice(source, offset.as_deref_mut(), target, None, len, flags)
        })
        .map_err(|errno| self.end().error("splice to", errno))
    }
}

/// # Lending memory: `vmsplice(2)`
///
/// The pipe refers to the pages of the bytes instead of copying them. They must stay as they are until the last
/// reader has read them, which nobody can foresee: so they are `'static`, constants or leaked.
///
/// ```
/// let (reader, writer) = twixt_os::pipe::create()?;
/// assert_eq!(writer.vmsplice(b"part of the program")?, 19);
/// assert_eq!(reader.queued()?, 19);
/// # Ok::<(), twixt_os::Error>(())
/// ```
impl Writer {
    /// Puts references to `bytes` into the pipe, waiting while it is full. Returns how many bytes went in.
    ///
    /// # Errors
    /// [`PeerGone`](crate::ErrorKind::PeerGone).
    pub fn vmsplice(&self, bytes: &'static [u8]) -> Result<usize> {
        self.vmsplice_wait(bytes, Wait::forever())
    }

    /// Puts references to `bytes` into the pipe if it has room now.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock), [`PeerGone`](crate::ErrorKind::PeerGone).
    pub fn try_vmsplice(&self, bytes: &'static [u8]) -> Result<usize> {
        self.vmsplice_wait(bytes, Wait::never())
    }

    /// Puts references to `bytes` into the pipe, waiting until `deadline` at the longest.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut), [`PeerGone`](crate::ErrorKind::PeerGone).
    pub fn vmsplice_deadline(&self, bytes: &'static [u8], deadline: Deadline) -> Result<usize> {
        self.vmsplice_wait(bytes, Wait::until(deadline))
    }

    /// Puts references to `bytes` into the pipe, waiting while it is full and no signal handler has run.
    ///
    /// # Errors
    /// [`Interrupted`](crate::ErrorKind::Interrupted), [`PeerGone`](crate::ErrorKind::PeerGone).
    pub fn vmsplice_interruptible(&self, bytes: &'static [u8]) -> Result<usize> {
        self.vmsplice_wait(bytes, Wait::forever().interruptible())
    }

    /// Puts references to `bytes` into the pipe, waiting as told.
    ///
    /// # Errors
    /// Those of the wait; [`PeerGone`](crate::ErrorKind::PeerGone).
    pub fn vmsplice_wait(&self, bytes: &'static [u8], wait: Wait) -> Result<usize> {
        wait.on_descriptor(self.as_fd(), PollFlags::OUT, |attempt| {
            without_sigpipe(|| vmsplice(self.as_fd(), bytes, flags(attempt)))
        })
        .map_err(|errno| self.end().error("vmsplice to", errno))
    }

    /// As [`vmsplice_wait`](Self::vmsplice_wait), of `len` bytes from the byte `from` on, in memory that is written to again
    /// later. Until the other side says that it has read them, they must be left alone: it reads what is there then.
    ///
    /// # Errors
    /// As [`vmsplice`](Self::vmsplice), and [`InvalidInput`](crate::ErrorKind::InvalidInput) if there are not so many bytes.
    pub fn vmsplice_words_wait(
        &self,
        words: &'static [AtomicU64],
        from: usize,
        len: usize,
        wait: Wait,
    ) -> Result<usize> {
        wait.on_descriptor(self.as_fd(), PollFlags::OUT, |attempt| {
            without_sigpipe(|| vmsplice_words(self.as_fd(), words, from, len, flags(attempt)))
        })
        .map_err(|errno| self.end().error("vmsplice to", errno))
    }
}

/// A call that moves bytes from one descriptor to another, and may have to wait for either.
fn transfer(
    wait: Wait,
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    mut call: impl FnMut(SpliceFlags) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    wait.on_descriptor(source, PollFlags::IN, |attempt| {
        loop {
            match without_sigpipe(|| call(flags(attempt))) {
                // EAGAIN does not say whether the source was empty or the target full. Both may have become ready
                // since, and others may take what they give, again and again: past the deadline it ends.
                Err(Errno::AGAIN) if !wait.is_never() && !wait.has_passed() && is_readable(source) => {
                    wait.poll(target, PollFlags::OUT)?;
                }
                outcome => return outcome,
            }
        }
    })
}

fn flags(attempt: Attempt) -> SpliceFlags {
    match attempt {
        Attempt::Block => SpliceFlags::empty(),
        Attempt::DontWait => SpliceFlags::NONBLOCK,
    }
}

fn is_readable(source: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(source, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&timespec(std::time::Duration::ZERO))), Ok(1))
}
