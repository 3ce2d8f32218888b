//! Being stopped by the user, as an event to wait for rather than a sudden end.

use std::os::fd::{AsFd, BorrowedFd};

use twixt::os::signal::{Disposition, Signal, SignalFd, SignalSet};

/// The signals that ask a program to end, held back from the moment this is made: Ctrl-C (SIGINT), Ctrl-\\ (SIGQUIT),
/// SIGTERM, and SIGHUP when the terminal goes. Those that are ignored (under `nohup`, say) stay so.
///
/// It is made in the main thread before any other is started; child processes inherit that the signals are blocked.
#[derive(Debug)]
pub struct Stop(SignalFd, SignalSet);

impl Stop {
    /// Blocks the signals, for the rest of the process's life.
    pub fn new() -> anyhow::Result<Self> {
        // A blocked signal is kept even where it is ignored.
        let is_heard = |&signal: &Signal| !matches!(Disposition::of(signal), Ok(Disposition::Ignore));
        let signals = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
        let signals: SignalSet = signals.into_iter().filter(is_heard).collect();
        signals.block()?.keep();
        Ok(Self(SignalFd::create(signals)?, signals))
    }

    /// Which they are.
    pub fn signals(&self) -> SignalSet {
        self.1
    }

    /// Which one came; waits for it if none has yet.
    pub fn signal(&self) -> anyhow::Result<u8> {
        let number = self.0.receive()?.signal().as_raw();
        Ok(u8::try_from(number).unwrap_or(u8::MAX))
    }
}

/// Readable once one has come.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
