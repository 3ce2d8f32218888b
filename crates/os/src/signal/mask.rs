//! Which signals the calling thread holds back, and which have arrived meanwhile.

use core::marker::PhantomData;

use twixt_sys::signal::{How, change_mask, mask, pending, suspend, suspend_timeout};

use crate::signal::{SignalSet, failed};
use crate::wait::timespec;
use crate::{Deadline, Errno, Object, Result};

impl SignalSet {
    /// Blocks these signals in the calling thread, until the guard is dropped: what is sent meanwhile stays pending,
    /// and can be taken with [`SignalSet::wait`] or a [`SignalFd`](crate::signal::SignalFd).
    ///
    /// Each thread has a mask of its own, which the threads that it starts inherit. A signal to the *process* goes to
    /// any thread that does not block it: block in `main`, before other threads are started. SIGKILL and SIGSTOP are
    /// never blocked, whatever the set says.
    ///
    /// ```
    /// use twixt_os::signal::{Signal, SignalSet, raise};
    /// let set = SignalSet::from([Signal::USR1]);
    /// {
    ///     let _blocked = set.block()?;
    ///     raise(Signal::USR1)?;
    ///     assert!(SignalSet::pending()?.contains(Signal::USR1));
    ///     assert_eq!(set.wait()?.signal(), Signal::USR1);
    /// }
    /// assert!(!SignalSet::blocked()?.contains(Signal::USR1));
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// See `sigprocmask(2)`, `pthread_sigmask(3)`.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    #[doc(alias = "sigprocmask")]
    #[doc(alias = "pthread_sigmask")]
    #[doc(alias = "SIG_BLOCK")]
    pub fn block(self) -> Result<MaskGuard> {
        let before = change(How::Block, self, "block")?;
        Ok(MaskGuard::new(How::Unblock, self - before))
    }

    /// Lets these signals through to the calling thread, until the guard is dropped. Pending ones are delivered
    /// before the call returns.
    ///
    /// # Errors
    /// As for [`SignalSet::block`].
    #[doc(alias = "SIG_UNBLOCK")]
    pub fn unblock(self) -> Result<MaskGuard> {
        let before = change(How::Unblock, self, "unblock")?;
        Ok(MaskGuard::new(How::Block, self & before))
    }

    /// Makes this the mask of the calling thread, until the guard is dropped.
    ///
    /// # Errors
    /// As for [`SignalSet::block`].
    #[doc(alias = "SIG_SETMASK")]
    pub fn set_mask(self) -> Result<MaskGuard> {
        let before = change(How::Set, self, "set the mask of")?;
        Ok(MaskGuard::new(How::Set, before))
    }

    /// The mask of the calling thread.
    ///
    /// # Errors
    /// As for [`SignalSet::block`].
    pub fn blocked() -> Result<Self> {
        let set = mask().map_err(|errno| failed("read the mask of", Object::Unnamed, errno))?;
        Ok(Self::from_bits(set))
    }

    /// The signals that are blocked and have arrived, for the calling thread or for the process.
    ///
    /// See `sigpending(2)`.
    ///
    /// # Errors
    /// As for [`SignalSet::block`].
    #[doc(alias = "sigpending")]
    pub fn pending() -> Result<Self> {
        let set = pending().map_err(|errno| failed("list pending", Object::Unnamed, errno))?;
        Ok(Self::from_bits(set))
    }

    /// With this set as the mask, waits until a signal handler has run, and brings the mask back. Unblocking and
    /// waiting are one step, so that no signal falls between a look at a flag and the wait.
    ///
    /// This is for programs that work with handlers; a signal without one is not a reason to return (and may end the
    /// process). Being cut short is the purpose of the call, so there is no other way of waiting than until that or a
    /// deadline.
    ///
    /// ```
    /// use twixt_os::signal::{Action, Counter, Signal, SignalSet, raise};
    /// let counter = Counter::new();
    /// let _handled = Action::count(&counter).install(Signal::USR1)?;
    /// let _blocked = SignalSet::from(Signal::USR1).block()?;
    /// raise(Signal::USR1)?;
    /// while !counter.is_set() {
    ///     SignalSet::blocked()?.without(Signal::USR1).suspend()?;
    /// }
    /// # Ok::<(), twixt_os::Error>(())
    /// ```
    ///
    /// See `sigsuspend(2)`.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    #[doc(alias = "sigsuspend")]
    #[doc(alias = "pause")]
    pub fn suspend(self) -> Result<()> {
        match suspend(self.bits()) {
            Errno::INTR => Ok(()),
            errno => Err(failed("wait for a handler of", Object::Unnamed, errno)),
        }
    }

    /// As [`SignalSet::suspend`], but not past the deadline. A deadline that has passed lets pending signals in and
    /// does not wait.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) when no handler has run by then.
    #[doc(alias = "ppoll")]
    pub fn suspend_deadline(self, deadline: Deadline) -> Result<()> {
        match suspend_timeout(self.bits(), timespec(deadline.remaining())) {
            Err(Errno::INTR) => Ok(()),
            Ok(()) => Err(failed("wait for a handler of", Object::Unnamed, Errno::TIMEDOUT)),
            Err(errno) => Err(failed("wait for a handler of", Object::Unnamed, errno)),
        }
    }
}

fn change(how: How, set: SignalSet, operation: &'static str) -> Result<SignalSet> {
    let before = change_mask(how, set.bits());
    before.map(SignalSet::from_bits).map_err(|errno| failed(operation, Object::Unnamed, errno))
}

/// A change of the calling thread's mask, undone when dropped. It stays in its thread.
///
/// Guards of [`block`](SignalSet::block) and [`unblock`](SignalSet::unblock) undo only what they changed themselves,
/// in whatever order they are dropped; the guard of [`set_mask`](SignalSet::set_mask) brings back the whole mask.
///
/// ```compile_fail,E0277
/// use twixt_os::signal::{Signal, SignalSet};
/// let guard = SignalSet::from(Signal::USR1).block().unwrap();
/// std::thread::spawn(move || drop(guard)); // `*const ()` cannot be sent between threads safely
/// ```
#[derive(Debug)]
#[must_use = "the mask is restored when this is dropped"]
pub struct MaskGuard {
    undo: How,
    set: SignalSet,
    /// The mask is the thread's, so the guard must not leave it.
    not_send: PhantomData<*const ()>,
}

impl MaskGuard {
    fn new(undo: How, set: SignalSet) -> Self {
        Self { undo, set, not_send: PhantomData }
    }

    /// Leaves the mask as it is, for the life of the thread.
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for MaskGuard {
    fn drop(&mut self) {
        // The kernel has no reason to refuse, and there is nobody to tell.
        let _ = change_mask(self.undo, self.set.bits());
    }
}
