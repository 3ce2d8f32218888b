//! What the exit status says.

use std::process::ExitCode;

use twixt::os::ErrorKind;
use twixt::tour::Failure;

/// How the program ends. `twixt --help` tells the user the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was done.
    Success,
    /// Nothing was found, or something was found that should not be.
    Nothing,
    /// The command line is wrong, or what it asks for was refused.
    Refused,
    /// Part of it could not be read.
    Partial,
    /// The time was up.
    TimedOut,
    /// The other side has gone, or nobody is there.
    PeerGone,
    /// The user stopped it; 128 and the number of the signal.
    Stopped(u8),
    /// What a command ended with that was run for the user.
    Command(u8),
}

impl Exit {
    /// What an error that nobody has handled says to the caller.
    pub fn of(error: &anyhow::Error) -> Self {
        let of_mechanism = error.downcast_ref::<twixt::os::Error>().map(twixt::os::Error::kind);
        let of_object = || error.downcast_ref::<twixt::object::Error>().map(twixt::object::Error::kind);
        match error.downcast_ref::<Failure>() {
            Some(Failure::Absent(_)) => return Self::Nothing,
            Some(Failure::Gone(_)) => return Self::PeerGone,
            _ => {}
        }
        match of_mechanism.or_else(of_object) {
            Some(ErrorKind::NotFound) => Self::Nothing,
            Some(ErrorKind::TimedOut) => Self::TimedOut,
            Some(ErrorKind::PeerGone | ErrorKind::NoPeer) => Self::PeerGone,
            _ => Self::Refused,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Nothing => 1,
            Exit::Refused => 2,
            Exit::Partial => 3,
            Exit::TimedOut => 4,
            Exit::PeerGone => 5,
            Exit::Stopped(signal) => 128u8.saturating_add(signal),
            Exit::Command(status) => status,
        })
    }
}
