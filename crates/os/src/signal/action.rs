//! What the process does with a signal: `sigaction(2)`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use twixt_sys::signal::{self as sys, ActionFlags, Reaction};

use crate::signal::{SelfPipe, Signal, SignalSet, failed};
use crate::{Error, ErrorKind, Mechanism, Result};

/// What is to be done with a signal, until [`install`](Self::install)ed a plan only.
///
/// A handler runs between any two instructions of a thread, and must touch nothing that those may be in the middle of:
/// no allocation, no lock, no printing. Such code cannot be told from other code by its type, so there are no handlers
/// of the user's own here, but those that the programs of the texts need: count it, record it, or only interrupt.
///
/// ```
/// use twixt_os::signal::{Action, Counter, Disposition, Signal, raise};
/// let counter = Counter::new();
/// {
///     let _handled = Action::count(&counter).restart().install(Signal::USR1)?;
///     raise(Signal::USR1)?;
///     raise(Signal::USR1)?;
/// }
/// assert_eq!(counter.take(), 2);
/// assert_eq!(Disposition::of(Signal::USR1)?, Disposition::Default);
/// # Ok::<(), twixt_os::Error>(())
/// ```
///
/// # Several users of one signal
///
/// The last one installed acts, alone. When its guard is dropped, what it found is back; a guard further down that is
/// dropped first leaves the ones above it in place, and is skipped when they go. What other code sets with
/// `sigaction(2)` on top is left alone.
///
/// # Faults
///
/// When SIGSEGV, SIGBUS, SIGILL or SIGFPE comes from an instruction that failed, rather than from a process, the
/// handler does its work and then hands over to the one that was there before, or to the default disposition: the
/// process ends as it would have.
#[derive(Clone, Debug)]
#[must_use = "an action does nothing until it is installed"]
pub struct Action {
    reaction: Reaction,
    flags: ActionFlags,
    blocked: SignalSet,
}

impl Action {
    /// The default disposition; see [`Signal::default_action`].
    #[doc(alias = "SIG_DFL")]
    pub fn default_disposition() -> Self {
        Self::new(Reaction::Default)
    }

    /// The signal is dropped as it arrives. A program started with `exec` inherits that.
    #[doc(alias = "SIG_IGN")]
    pub fn ignore() -> Self {
        Self::new(Reaction::Ignore)
    }

    /// A handler that does nothing but end the blocking call it interrupts: what the `_interruptible` forms wait for.
    pub fn interrupt() -> Self {
        Self::new(Reaction::Interrupt)
    }

    /// A handler that adds one to the counter.
    pub fn count(counter: &Counter) -> Self {
        Self::new(Reaction::Count(Arc::clone(&counter.0)))
    }

    /// A handler that writes the signal's record to the pipe. It blocks all other signals while it runs, so that
    /// handlers of signals that are pending at once run one after the other, in the order of their numbers.
    pub fn record(pipe: &SelfPipe) -> Self {
        Self { blocked: SignalSet::ALL, ..Self::new(Reaction::Record(Arc::clone(&pipe.recorder))) }
    }

    fn new(reaction: Reaction) -> Self {
        Self { reaction, flags: ActionFlags::empty(), blocked: SignalSet::EMPTY }
    }

    /// Has interrupted system calls go on by themselves: [`ActionFlags::RESTART`]. Without this they fail with
    /// `EINTR`, which the calls of this crate wait out unless asked not to.
    #[doc(alias = "SA_RESTART")]
    pub fn restart(self) -> Self {
        self.with_flags(ActionFlags::RESTART)
    }

    /// Has the default disposition come back as the handler starts: [`ActionFlags::RESETHAND`].
    #[doc(alias = "SA_RESETHAND")]
    pub fn once(self) -> Self {
        self.with_flags(ActionFlags::RESETHAND)
    }

    /// Adds flags.
    pub fn with_flags(mut self, flags: ActionFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Sets what is blocked while the handler runs, beside the signal itself.
    #[doc(alias = "sa_mask")]
    pub fn blocking(mut self, signals: SignalSet) -> Self {
        self.blocked = signals;
        self
    }

    /// Sets the disposition of the signal, for all threads, until the guard is dropped.
    ///
    /// See `sigaction(2)`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): SIGKILL and SIGSTOP, which only the kernel deals with.
    #[doc(alias = "sigaction")]
    #[doc(alias = "signal")]
    pub fn install(self, signal: Signal) -> Result<Installed> {
        if !signal.is_catchable() {
            let why = "only the kernel deals with it; it cannot be handled, ignored or blocked";
            let kind = ErrorKind::InvalidInput;
            return Err(Error::refused(Mechanism::Signal, OPERATION, signal.object(), kind, why));
        }
        let installed = sys::install(signal.as_raw(), self.reaction, self.flags, self.blocked.bits());
        let guard = installed.map_err(|errno| failed(OPERATION, signal.object(), errno))?;
        Ok(Installed { signal, guard })
    }
}

const OPERATION: &str = "set the disposition of";

/// A disposition that was set, and ends when this is dropped. See [`Action::install`].
///
/// A signal that was sent to the process before, but is delivered after, meets what was restored: where that is the
/// default, it may end the process. [`keep`](Self::keep) the disposition where others may send at any time.
///
/// In a forked child dropping it does nothing: the child's dispositions stay as it inherited them.
#[derive(Debug)]
#[must_use = "the disposition before is restored when this is dropped"]
pub struct Installed {
    signal: Signal,
    guard: sys::Installed,
}

impl Installed {
    /// The signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Leaves the disposition in place for the life of the process.
    pub fn keep(self) {
        self.guard.keep();
    }
}

/// Counts signals, from a handler. Clones are the same counter.
///
/// Standard signals that arrive while one of their kind is pending are merged by the kernel, and count once.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// A counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often the handler ran since the last [`take`](Self::take).
    pub fn get(&self) -> u64 {
        // Pairs with the handler's release, so that what the thread wrote before the signal is seen.
        self.0.load(Ordering::Acquire)
    }

    /// Whether it ran at all.
    pub fn is_set(&self) -> bool {
        self.get() != 0
    }

    /// How often it ran, and starts anew from zero.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::AcqRel)
    }
}

/// What is set for a signal at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// `SIG_DFL`
    Default,
    /// `SIG_IGN`
    Ignore,
    /// A handler.
    Handler {
        /// Whether it is an [`Action`]'s, rather than somebody else's.
        ours: bool,
        /// Its flags.
        flags: ActionFlags,
        /// What is blocked while it runs, beside the signal itself.
        blocked: SignalSet,
    },
}

impl Disposition {
    /// Asks the kernel for a signal's disposition in this process.
    ///
    /// See `sigaction(2)`.
    ///
    /// # Errors
    /// None that the kernel is known to give.
    pub fn of(signal: Signal) -> Result<Self> {
        let current = sys::current(signal.as_raw())
            .map_err(|errno| failed("read the disposition of", signal.object(), errno))?;
        let handler =
            |ours| Self::Handler { ours, flags: current.flags, blocked: SignalSet::from_bits(current.mask) };
        Ok(match current.kind {
            sys::Kind::Default => Self::Default,
            sys::Kind::Ignore => Self::Ignore,
            sys::Kind::Ours => handler(true),
            sys::Kind::Foreign(_) => handler(false),
        })
    }
}
