//! Waits that end when the user stops the program, or when nobody reads its output any more.
//!
//! Calls that block in the kernel cannot wait for a descriptor besides what they are for, and a signal that arrives just
//! before such a call does not end it. So a thread looks out, and interrupts the main thread again and again until that has
//! noticed. The calls themselves stay as they are: a message costs no more than without it.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt::os::signal::{self, Action, Pid, Signal, SignalSet};
use twixt::os::{Deadline, Errno, Wait, timespec};

use crate::stop::Stop;

/// What may end a wait before its time.
#[derive(Debug)]
pub struct Interrupt(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The threads whose waits end.
    threads: Mutex<Vec<Pid>>,
    /// The signals that ask the program to end.
    heard: OnceLock<SignalSet>,
    /// Whether one of them has come, and is no longer pending or soon will not be.
    is_coming: AtomicBool,
    /// The number of the one that came; 0 if none has.
    signal: AtomicU8,
    /// How many such signals have come.
    signals: AtomicU32,
    output_has_gone: AtomicBool,
}

/// How often the main thread is interrupted once there is a reason: a call that began between two of these waits no
/// longer than this.
const AGAIN: Duration = Duration::from_millis(10);

impl Interrupt {
    /// Looks out for the signals that ask to end. To be made in the main thread, before any other is started.
    pub fn new() -> anyhow::Result<Self> {
        Self::start(false)
    }

    /// Looks out for the end of whoever reads standard output, too: what is taken afterwards could not be delivered.
    pub fn with_output() -> anyhow::Result<Self> {
        Self::start(true)
    }

    fn start(output: bool) -> anyhow::Result<Self> {
        let stop = Stop::new()?;
        // Ignored by default, so that nobody is hurt by a last one that comes late.
        Action::interrupt().install(Signal::URG)?.keep();
        let seen = Arc::new(Seen::default());
        let _ = seen.heard.set(stop.signals());
        seen.threads.lock().unwrap_or_else(PoisonError::into_inner).push(signal::this_thread());
        if output && has_hung_up(Duration::ZERO) {
            seen.output_has_gone.store(true, Ordering::Relaxed);
        }
        let noted = Arc::clone(&seen);
        // The thread inherits that all are blocked: a signal that is a message must not meet one that knows nothing of it.
        let blocked = SignalSet::ALL.block()?;
        std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            let output = output && !noted.output_has_gone.load(Ordering::Relaxed);
            noted.watch(&stop, output);
            loop {
                noted.interrupt();
                std::thread::sleep(AGAIN);
                noted.look(&stop);
            }
        })?;
        drop(blocked);
        Ok(Self(seen))
    }

    /// As if there had been a reason all along; for tests, whose process keeps its signals.
    #[cfg(test)]
    pub fn due() -> Self {
        Self(Arc::new(Seen { output_has_gone: AtomicBool::new(true), ..Seen::default() }))
    }

    /// Interrupts the waits of the calling thread as well, from now on.
    pub fn attend(&self) {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(signal::this_thread());
    }

    /// No longer interrupts the waits of the calling thread, which is about to end.
    pub fn leave(&self) {
        let this = signal::this_thread();
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).retain(|&thread| thread != this);
    }

    /// The signal that asked the program to end, if one has.
    pub fn signal(&self) -> Option<u8> {
        Some(self.0.signal.load(Ordering::Acquire)).filter(|&signal| signal != 0)
    }

    /// How many such signals have come: whoever asks again means it.
    pub fn signals(&self) -> u32 {
        self.0.signals.load(Ordering::Acquire)
    }

    /// Whether nobody reads standard output any more.
    pub fn output_has_gone(&self) -> bool {
        self.0.output_has_gone.load(Ordering::Acquire)
    }

    /// Whether there is a reason to take nothing more.
    pub fn is_due(&self) -> bool {
        self.signal().is_some() || self.output_has_gone()
    }

    /// The same, and a signal that has been sent is seen even if the thread that looks out has not run since. It costs a
    /// system call.
    pub fn is_due_already(&self) -> bool {
        let heard = self.0.heard.get().copied().unwrap_or_default();
        let is_pending = || SignalSet::pending().is_ok_and(|pending| !(pending & heard).is_empty());
        // In this order: what is not pending any more is coming. A signal to one thread alone is seen by nobody else, so
        // that this ends at some time.
        if is_pending() || self.0.is_coming.load(Ordering::Acquire) {
            let end = Deadline::after(Duration::from_secs(1));
            while !self.is_due() && !end.has_passed() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.is_due()
    }

    /// A wait of at most this time, that ends early when there is a reason.
    pub fn wait(&self, timeout: Option<Duration>) -> Wait {
        timeout.map_or(Wait::forever(), |timeout| Wait::until(Deadline::after(timeout))).interruptible()
    }

    /// Makes a call that blocks, and again after interruptions that had no reason. `EINTR` means that there is one.
    pub fn retry<T>(&self, mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        loop {
            match call() {
                Err(Errno::INTR) if !self.is_due() => {}
                outcome => return outcome,
            }
        }
    }

    /// Sleeps; `false` if there was a reason to wake up early.
    pub fn sleep_until(&self, deadline: Deadline) -> bool {
        while !deadline.has_passed() {
            if self.is_due() {
                return false;
            }
            // The error is that a handler ran.
            let _ = poll(&mut [], Some(&timespec(deadline.remaining())));
        }
        true
    }
}

impl Seen {
    /// Waits until there is a reason to interrupt.
    fn watch(&self, stop: &Stop, output: bool) {
        let stdout = io::stdout();
        let mut polled = vec![PollFd::new(stop, PollFlags::IN)];
        if output {
            // Nothing is asked of it: that it has hung up is told unasked.
            polled.push(PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()));
        }
        while !matches!(poll(&mut polled, None), Ok(1..)) {}
        if polled.get(1).is_some_and(|output| !output.revents().is_empty()) {
            self.output_has_gone.store(true, Ordering::Release);
        }
        self.look(stop);
    }

    /// Interrupts whatever the threads wait in.
    fn interrupt(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended needs it no more.
        threads.retain(|&thread| signal::kill_thread(signal::this_process(), thread, Signal::URG).is_ok());
    }

    /// Notes a signal that has come, if it is the first.
    fn look(&self, stop: &Stop) {
        let mut polled = [PollFd::new(stop, PollFlags::IN)];
        if !matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..)) {
            return;
        }
        self.is_coming.store(true, Ordering::Release);
        if let Ok(signal) = stop.signal() {
            self.signals.fetch_add(1, Ordering::AcqRel);
            let _ = self.signal.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

/// Whether standard output hangs up within this time.
fn has_hung_up(within: Duration) -> bool {
    let stdout = io::stdout();
    let mut polled = [PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    matches!(poll(&mut polled, Some(&timespec(within))), Ok(1..))
}
