//! Being stopped by the user, as an event to wait for rather than a sudden end.

use std::os::fd::{AsFd, BorrowedFd};

use twixt::os::signal::{Signal, SignalFd, SignalSet};

/// The signals that ask a program to end, held back from the moment this is made: Ctrl-C (SIGINT), Ctrl-\\ (SIGQUIT),
/// SIGTERM, and SIGHUP when the terminal goes.
///
/// It is made in the main thread before any other is started; child processes inherit that the signals are blocked.
#[derive(Debug)]
pub struct Stop(SignalFd);

impl Stop {
    /// Blocks the signals, for the rest of the process's life.
    pub fn new() -> anyhow::Result<Self> {
        let signals = SignalSet::from([Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]);
        signals.block()?.keep();
        Ok(Self(SignalFd::create(signals)?))
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
